//! Who may import whom: `docs/architecture.md` has the table, and this holds the code against it.
//!
//! A module stands below those that may import it, so the table is also an order: nothing can go round in circles. Read
//! are the paths that begin with `crate::` or `super::`; tests may import what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One line of the table.
struct Module {
    /// As in a path, without `crate::`.
    name: String,
    may_import: BTreeSet<String>,
    /// Whether it wires everything together, and may import all that stands above it.
    wires: bool,
    /// Whether it is computation alone.
    pure: bool,
}

/// What a module that is computation alone does not mention.
const WORLD: [&str; 12] = [
    "tokio",
    "rustix",
    "bollard",
    "tempfile",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::net::Tcp",
    "SystemTime",
    "Timestamp::now",
    "rand::random",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The table under "Who may import whom".
fn table() -> Vec<Module> {
    let page = std::fs::read_to_string(root().join("docs/architecture.md")).expect("the page is there");
    let section = page.split("## Who may import whom").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let mut modules = Vec::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, imports, touches] = cells[..] else { panic!("not four cells: {line}") };
        let wires = imports == "all of them";
        let may_import = if wires {
            modules.iter().map(|m: &Module| m.name.clone()).collect()
        } else {
            names(imports).into_iter().collect()
        };
        modules.push(Module { name: names(name).concat(), may_import, wires, pure: touches == "nothing" });
    }
    modules
}

/// The innermost module of the table that a path lies in.
fn owner<'a>(table: &'a [Module], path: &[String]) -> Option<&'a Module> {
    let path = path.join("::");
    let lies_in = |m: &&Module| path == m.name || path.starts_with(&format!("{}::", m.name));
    table.iter().filter(lies_in).max_by_key(|m| m.name.len())
}

/// A file under src/ as a path: `engine/docker/mod.rs` is `engine::docker`.
fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    path.pop_if(|last| last == "mod");
    path
}

/// The code of a file without comments and its tests; lines stay where they are.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line }).collect::<Vec<_>>().join("\n")
}

/// Every path from the crate's root that a code mentions, with its line.
fn paths(code: &str, here: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for (at, start) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            // In the middle of a longer path.
            continue;
        }
        let mut base = if start == "crate::" { Vec::new() } else { here.to_vec() };
        let mut rest = &code[at..];
        while let Some(above) = rest.strip_prefix("super::") {
            base.pop();
            rest = above;
        }
        let line = code[..at].matches('\n').count() + 1;
        leaves(rest.trim_start_matches("crate::"), &base, &mut |path| found.push((line, path)));
    }
    found
}

/// The ends of a path that may branch (`a::{b, c::d}`); what comes after it is returned.
fn leaves<'a>(text: &'a str, base: &[String], found: &mut impl FnMut(Vec<String>)) -> &'a str {
    let mut path = base.to_vec();
    let mut rest = text.trim_start();
    loop {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if end > 0 {
            path.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
        if let Some(more) = rest.strip_prefix("::") {
            rest = more.trim_start();
        } else if end == 0 && rest.starts_with('{') {
            rest = &rest[1..];
            loop {
                rest = leaves(rest, &path, found).trim_start();
                match rest.strip_prefix(',') {
                    Some(next) if !next.trim_start().starts_with('}') => rest = next,
                    _ => return rest.trim_start_matches(',').trim_start().strip_prefix('}').unwrap_or_default(),
                }
            }
        } else {
            found(path);
            return rest;
        }
    }
}

/// Which modules of the table a file imports: with the line.
fn imports<'a>(table: &'a [Module], me: &Module, file: &Path, code: &str) -> Vec<(usize, &'a Module)> {
    let paths = paths(code, &module_path(file)).into_iter();
    let mut imports: Vec<(usize, &Module)> = paths.filter_map(|(n, path)| Some((n, owner(table, &path)?))).collect();
    imports.retain(|(_, other)| other.name != me.name);
    imports.sort_by_key(|(line, other)| (*line, &other.name));
    imports.dedup_by_key(|(line, other)| (*line, &other.name));
    imports
}

/// What a file imports or mentions against the table, each in a line.
fn offences(table: &[Module], file: &Path, text: &str) -> Vec<String> {
    let code = code(text);
    let at = |line: usize| format!("src/{}:{line}", file.display());
    let Some(me) = owner(table, &module_path(file)) else {
        return vec![format!("the table does not know src/{}", file.display())];
    };
    let strange = imports(table, me, file, &code).into_iter().filter(|(_, other)| !me.may_import.contains(&other.name));
    let mut offences: Vec<String> =
        strange.map(|(line, other)| format!("`{}` may not import `{}`: {}", me.name, other.name, at(line))).collect();
    for (n, line) in code.lines().enumerate().filter(|_| me.pure) {
        for world in WORLD.iter().filter(|world| line.contains(*world)) {
            offences.push(format!("`{}` is computation alone and may not use `{world}`: {}", me.name, at(n + 1)));
        }
    }
    offences
}

/// Every file under src/, relative to it, with its text; without those that only tests use.
fn sources() -> Vec<(PathBuf, String)> {
    let src = root().join("src");
    let mut dirs = vec![src.clone()];
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").path()) {
            if entry.is_dir() {
                dirs.push(entry);
            } else if entry.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&entry).expect("it reads");
                files.push((entry.strip_prefix(&src).expect("it is below").to_owned(), text));
            }
        }
    }
    let for_tests: BTreeSet<Vec<String>> = files
        .iter()
        .flat_map(|(file, text)| {
            let after = text.split("#[cfg(test)]\n").skip(1);
            let names = after.filter_map(|code| code.lines().next()?.split("mod ").nth(1)?.strip_suffix(';'));
            names.map(|name| [module_path(file), vec![name.to_owned()]].concat()).collect::<Vec<_>>()
        })
        .collect();
    files.retain(|(file, _)| !["main.rs", "lib.rs"].map(Path::new).contains(&file.as_path()));
    files.retain(|(file, _)| !for_tests.contains(&module_path(file)));
    files.sort();
    files
}

#[test]
fn nobody_imports_whom_the_table_does_not_allow() {
    let (table, sources) = (table(), sources());
    assert!(sources.len() > 100, "only {} files were read", sources.len());
    let offences: Vec<String> = sources.iter().flat_map(|(file, text)| offences(&table, file, text)).collect();
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn the_table_is_an_order_of_modules_that_exist() {
    let sources = sources();
    let mut below = BTreeSet::new();
    for module in table() {
        for other in &module.may_import {
            assert!(below.contains(other), "`{}` imports `{other}`, which does not stand above it", module.name);
        }
        let name: Vec<String> = module.name.split("::").map(str::to_owned).collect();
        assert!(sources.iter().any(|(file, _)| module_path(file).starts_with(&name)), "no module `{}`", module.name);
        assert!(below.insert(module.name.clone()), "`{}` has two lines", module.name);
    }
}

/// Permissions that nobody uses would make the page say more than is so.
#[test]
fn the_table_allows_no_more_than_is_used() {
    let table = table();
    let mut used = BTreeSet::new();
    for (file, text) in &sources() {
        let Some(me) = owner(&table, &module_path(file)) else { continue };
        used.extend(imports(&table, me, file, &code(text)).into_iter().map(|(_, m)| (&me.name, &m.name)));
    }
    for module in table.iter().filter(|m| !m.wires) {
        let unused: Vec<_> = module.may_import.iter().filter(|other| !used.contains(&(&module.name, *other))).collect();
        assert!(unused.is_empty(), "`{}` may import {unused:?} and does not: take it out of the table", module.name);
    }
}

/// The parts of a module that import each other in a circle: its files and folders below `mod.rs`, each with all that is in it.
fn circles(sources: &[(PathBuf, String)]) -> Vec<String> {
    // Of each module, which of its parts mentions which.
    let mut arrows: BTreeMap<Vec<String>, BTreeSet<(String, String)>> = BTreeMap::new();
    let known: BTreeSet<Vec<String>> = sources.iter().map(|(file, _)| module_path(file)).collect();
    for (file, text) in sources {
        let here = module_path(file);
        for (_, there) in paths(&code(text), &here) {
            let common = here.iter().zip(&there).take_while(|(a, b)| a == b).count();
            let (Some(from), Some(to)) = (here.get(common), there.get(common)) else { continue };
            // What is no file of its own belongs to the module itself.
            if known.iter().any(|file| file.starts_with(&there[..=common])) {
                arrows.entry(here[..common].to_vec()).or_default().insert((from.clone(), to.clone()));
            }
        }
    }
    let mut circles = Vec::new();
    for (module, arrows) in arrows.into_iter().filter(|(module, _)| !module.is_empty()) {
        let reached = |from: &String| {
            let mut all = BTreeSet::from([from.clone()]);
            while let Some((_, to)) = arrows.iter().find(|(a, b)| all.contains(a) && !all.contains(b)) {
                all.insert(to.clone());
            }
            all
        };
        let parts: BTreeSet<&String> = arrows.iter().map(|(from, _)| from).collect();
        let round = parts
            .iter()
            .filter(|a| parts.iter().any(|b| a != &b && reached(a).contains(*b) && reached(b).contains(**a)));
        let round: Vec<&str> = round.map(|a| a.as_str()).collect();
        if !round.is_empty() {
            circles.push(format!("{}: {}", module.join("::"), round.join(", ")));
        }
    }
    circles
}

#[test]
fn the_parts_of_a_module_form_no_circle() {
    let found = circles(&sources());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));

    let files =
        [("run/a.rs", "use super::b::x::B;"), ("run/b/x.rs", "use crate::run::c;"), ("run/c.rs", "use super::a::A;")];
    let mut files: Vec<(PathBuf, String)> = files.map(|(file, text)| (file.into(), text.to_owned())).into();
    files.push(("run/d.rs".into(), "use super::{a, D};".into()));
    assert_eq!(circles(&files), ["run: a, b, c"]);
}

#[test]
fn an_offence_is_told_with_its_place() {
    let table = table();
    let told = |file: &str, text: &str| offences(&table, Path::new(file), text).join("\n");
    let text =
        "//! crate::engine\nuse crate::{\n    model::instance::Setting,\n};\nfn f() { crate::engine::by_hand() }\n";
    let found = "`experiment::fault` may not import `engine`: src/experiment/fault/kill.rs:5";
    assert_eq!(told("experiment/fault/kill.rs", text), found);
    let text = "use crate::{model::{Change, Kill}, engine::docker::Docker, record::event::Event};\n";
    assert_eq!(told("run/mod.rs", text), "`run` may not import `engine::docker`: src/run/mod.rs:1");
    let found = "`run` may not import `command`: src/run/a/b.rs:1";
    assert_eq!(told("run/a/b.rs", "use super::super::super::command;"), found);
    assert_eq!(told("engine/sim/mod.rs", "use super::docker::Docker;").lines().count(), 1);
    let text = "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::engine::Engine;\n}\n";
    assert_eq!(told("experiment/fault/kill.rs", text), "");
    assert!(
        told("experiment/fault/kill.rs", "use tokio::time::sleep;")
            .contains("`experiment::fault` is computation alone")
    );
    assert!(told("novel/mod.rs", "").contains("does not know src/novel/mod.rs"));
}

/// A stranger finds their way.
#[test]
fn the_house_has_few_floors() {
    let entries = std::fs::read_dir(root().join("src")).expect("a directory").count();
    assert!(entries <= 12, "src/ has {entries} entries: put the new one on a floor");
}
