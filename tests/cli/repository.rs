//! What the repository says of itself is so: experiments for everything, every subcommand in the docs, no dead link.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, ValueEnum as _};
use squall::engine::Kind;
use squall::experiment::fault::Fault;
use squall::experiment::probe::Probe;
use squall::experiment::{Experiment, read};
use squall::model::quantity;

use crate::harness::repository;

/// The files in a directory of the repository with this ending.
fn files(dir: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository(dir)).expect("a directory");
    let mut files: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    assert!(!files.is_empty(), "no {ending} in {dir}/");
    files
}

/// README and everything under docs/.
fn pages() -> Vec<(PathBuf, String)> {
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(repository);
    let docs = [files("docs", ".md"), files("docs/decisions", ".md")].concat();
    top.into_iter().chain(docs).map(|path| (path.clone(), std::fs::read_to_string(&path).expect("it reads"))).collect()
}

fn experiment(name: &str, text: &[u8]) -> Experiment {
    match read::experiment(name, text, &quantity::unset) {
        Ok(reading) => reading.value,
        Err(mistakes) => panic!("{}", mistakes.render(false)),
    }
}

fn experiments() -> Vec<Experiment> {
    let read = |path: PathBuf| experiment(&path.to_string_lossy(), &std::fs::read(&path).expect("it reads"));
    files("experiments", ".yaml").into_iter().map(read).collect()
}

#[test]
fn every_fault_has_an_experiment() {
    let faults: Vec<_> = experiments().iter().flat_map(Experiment::faults).collect();
    let shown: BTreeSet<&str> = faults.iter().map(|i| i.fault.name()).collect();
    assert_eq!(shown, BTreeSet::from(Fault::NAMES));
}

#[test]
fn every_engine_is_shown_to_do_what_every_engine_must() {
    for kind in Kind::value_variants() {
        let suite = match kind {
            Kind::Docker => "tests/docker/conforms.rs",
            Kind::Local => "tests/cli/local.rs",
            Kind::Sim => "tests/sim/conformance.rs",
        };
        let text = std::fs::read_to_string(repository(suite)).expect("it reads");
        assert!(text.contains("conforms(&mut "), "{suite} does not try {kind}");
    }
}

#[test]
fn every_fault_that_lasts_is_in_the_storm() {
    // There is no moment at which the storm could find them in place; what `exec` does and undoes is the user's own, and the storm's
    // machine is not to go out with all that is on it.
    const OVER_AT_ONCE: [&str; 4] = ["restart", "reset", "exec", "node-outage"];
    let storm = std::fs::read_to_string(repository("examples/storm/faults.rs")).expect("it reads");
    for name in Fault::NAMES {
        let is_there = storm.contains(&format!("\"{name}: {{"));
        assert_ne!(is_there, OVER_AT_ONCE.contains(&name), "`{name}` in examples/storm/faults.rs: {is_there}");
    }
}

#[test]
fn every_probe_has_an_experiment() {
    let experiments = experiments();
    let checks = experiments.iter().flat_map(|x| x.steady_state.values().chain(x.safety.values()));
    assert_eq!(checks.map(|c| c.probe.name()).collect::<BTreeSet<_>>(), BTreeSet::from(Probe::NAMES));
}

#[test]
fn the_experiment_that_the_readme_explains_is_the_one_in_the_repository() {
    let readme = std::fs::read_to_string(repository("README.md")).expect("it reads");
    let explained =
        readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of YAML");
    let file = std::fs::read(repository("experiments/kill-one-shop.yaml")).expect("it reads");
    assert_eq!(experiment("README.md", explained.as_bytes()), experiment("the file", &file));
}

#[test]
fn the_docs_name_every_subcommand() {
    let pages: String = pages().into_iter().map(|(_, text)| text).collect();
    for command in squall::command::cli::Cli::command().get_subcommands().filter(|c| !c.is_hide_set()) {
        let call = format!("squall {}", command.get_name());
        assert!(pages.contains(&call), "neither README nor docs say anything about `{call}`");
    }
}

#[test]
fn the_readme_has_the_exit_codes_of_the_program() {
    let readme = std::fs::read_to_string(repository("README.md")).expect("it reads");
    for line in squall::command::cli::EXIT_CODES.lines().skip(1) {
        let mut words = line.trim().splitn(2, ' ');
        let (code, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().trim());
        let verdict = rest.split("  ").next().unwrap_or_default();
        assert!(readme.contains(&format!("| {code} | {verdict} |")), "README lacks exit code {code}, {verdict}");
    }
}

#[test]
fn every_dependency_is_accounted_for() {
    let manifest = std::fs::read_to_string(repository("Cargo.toml")).expect("it reads");
    let page = std::fs::read_to_string(repository("docs/decisions/0002-dependencies.md")).expect("it reads");
    let sections =
        manifest.split("\n[").filter(|s| s.starts_with("dependencies]") || s.starts_with("dev-dependencies]"));
    let names: BTreeSet<&str> =
        sections.flat_map(str::lines).filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    assert!(names.contains("tokio") && names.contains("proptest"), "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "0002-dependencies.md says nothing about {missing:?}");
}

#[test]
fn no_link_of_the_docs_is_dead() {
    for (page, text) in pages() {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|t| !t.contains("://") && !t.starts_with('#')) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = page.parent().unwrap_or(Path::new("")).join(file);
            assert!(path.exists(), "{}: {target}", page.display());
            let headings = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(anchor.is_empty() || has_heading(&headings, anchor), "{}: {target}", page.display());
        }
    }
}

/// All Rust code below a directory, with the texts that go over several lines in one.
fn code(dir: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all += &code(&path);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("it reads");
            let mut lines = text.split("\\\n");
            all += lines.next().unwrap_or_default();
            lines.for_each(|line| all += line.trim_start());
        }
    }
    all
}

#[test]
fn whatever_is_refused_says_what_the_docs_say_and_has_a_test() {
    let page = std::fs::read_to_string(repository("docs/refusals.md")).expect("it reads");
    let code = code(&repository("src"));
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, message, shown] = cells[..] else { panic!("three cells: {line}") };
        for part in message.split('…') {
            assert!(code.contains(part.trim()), "no message says `{part}`: {line}");
        }
        let [file, name] = shown.split(' ').map(|word| word.trim_matches('`')).collect::<Vec<_>>()[..] else {
            panic!("a file and a test: {line}");
        };
        let tests = std::fs::read_to_string(repository(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(tests.contains(&format!("fn {name}(")), "there is no test {name} in {file}");
        rows += 1;
    }
    assert!(rows > 30, "{rows} refusals");
}

#[test]
fn every_reason_is_explained() {
    let page = std::fs::read_to_string(repository("docs/pipelines.md")).expect("it reads");
    let source = std::fs::read_to_string(repository("src/record/event/words.rs")).expect("it reads");
    let (_, reasons) = source.split_once("pub enum Reason {").expect("reasons");
    let (reasons, _) = reasons.split_once("\n}").expect("an end");
    let words = reasons.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| {
        let word = line.trim().trim_end_matches(',');
        let hyphens = word
            .chars()
            .enumerate()
            .flat_map(|(i, c)| (i > 0 && c.is_uppercase()).then_some('-').into_iter().chain([c]));
        hyphens.collect::<String>().to_lowercase()
    });
    let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    assert!(words.len() > 20, "{words:?}");
    for word in words {
        assert!(page.contains(&format!("`{word}`")), "docs/pipelines.md does not know `{word}`");
    }
}

/// Whether a page has a heading with this anchor, as GitHub makes them.
fn has_heading(page: &str, anchor: &str) -> bool {
    page.lines().filter(|line| line.starts_with('#')).any(|line| {
        let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect::<String>() == anchor
    })
}
