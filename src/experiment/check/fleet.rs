//! The meaning of a fleet file: each machine has a name and one way to its engine.

use super::super::document::tree::Node;
use super::header;
use crate::experiment::diagnostic::Mistake;
use crate::experiment::document::Document;
use crate::experiment::document::found::Found;
use crate::model::quantity;

/// What stands in `reach` for the name of a node's host.
pub(in crate::experiment) const HOSTNAME: &str = "{hostname}";
/// What stands in `reach` for a node's address.
pub(in crate::experiment) const ADDRESS: &str = "{address}";

/// How an engine's address can begin.
const SCHEMES: [&str; 3] = ["unix://", "tcp://", "ssh://"];

/// Adds what is wrong with the meaning of a fleet file.
pub(in crate::experiment) fn fleet_file(document: &mut Document) {
    let mut found = Found { document, lookup: &quantity::unset, mistakes: Vec::new() };
    header(&mut found);
    let engines = found.document.entry(&["engines"]).map(|e| e.value.clone());
    let swarm = found.document.entry(&["swarm"]).is_some();
    if !swarm && engines.as_ref().is_none_or(|all| all.entries().is_empty() && !all.has_mistakes()) {
        let at = found.document.key_at(&["engines"]);
        let help = "name each under `engines`, by `context` or `host`, or a manager under `swarm`";
        found.add(Mistake::error(&at, "it names no engine").help(help));
    }
    for entry in engines.iter().flat_map(Node::entries) {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if entry.key.is_empty() || entry.key.starts_with('.') || !entry.key.chars().all(fits) {
            let what = format!("`{}` cannot be the name of a machine", entry.key);
            found.add(Mistake::error(&entry.key_at, what).label("letters, digits, `-`, `_` and `.`"));
        }
        way(&mut found, &["engines", &entry.key]);
    }
    if swarm {
        if engines.is_some() {
            let at = found.document.key_at(&["swarm"]);
            let what = "`engines` and `swarm` do not go together";
            found.add(Mistake::error(&at, what).label("the nodes of the Swarm are the machines"));
        }
        way(&mut found, &["swarm"]);
        let path = ["swarm", "reach"];
        if let Some(reach) = found.document.part::<String>(&path) {
            let at = found.document.value_at(&path);
            if !reach.contains(HOSTNAME) && !reach.contains(ADDRESS) {
                let what = "`reach` leads to one engine, whatever the node is";
                found.add(Mistake::error(&at, what).help(format!("say `{HOSTNAME}` or `{ADDRESS}` in it")));
            }
            scheme(&mut found, &path);
        }
    }
    let mistakes = found.mistakes;
    document.mistakes.extend(mistakes);
}

/// One way to an engine.
fn way(found: &mut Found<'_>, path: &[&str]) {
    let under = |key| [path, &[key]].concat();
    let [context, host] = ["context", "host"].map(|key| found.document.entry(&under(key)).is_some());
    let at = found.document.key_at(path);
    match (context, host) {
        (false, false) => {
            found.add(Mistake::error(&at, "nothing says how its engine is reached").help("give `context` or `host`"));
        }
        (true, true) => {
            found.add(Mistake::error(&at, "`context` and `host` do not go together").label("two ways to one engine"));
        }
        _ => {}
    }
    if host {
        scheme(found, &under("host"));
    }
}

fn scheme(found: &mut Found<'_>, path: &[&str]) {
    let Some(address) = found.document.part::<String>(path) else { return };
    if !SCHEMES.iter().any(|scheme| address.starts_with(scheme)) {
        let at = found.document.value_at(path);
        found.add(
            Mistake::error(&at, format!("`{address}` is no address of an engine"))
                .help("it begins with unix://, tcp:// or ssh://"),
        );
    }
}
