//! What several faults look for in their keys.

use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;

/// A number: how many in all, or how many more. Here and below, `fault` is the path of the fault, its name last.
pub(super) fn counted(found: &mut Found<'_>, fault: &[&str]) {
    alone(found, fault, ["leave", "limit"], "`limit` is how many in all, `leave` how many more than there are");
}

pub(super) fn nothing(found: &mut Found<'_>, fault: &[&str], help: &'static str) {
    let at = found.document.key_at(fault);
    found.add(Mistake::error(&at, format!("`{}` does nothing", fault.join("."))).help(help));
}

/// Two keys that say the same in two ways.
pub(super) fn alone(found: &mut Found<'_>, fault: &[&str], keys: [&str; 2], help: &'static str) {
    let entry = |key: &str| found.document.entry(&[fault, &[key]].concat()).cloned();
    let (Some(one), Some(other)) = (entry(keys[0]), entry(keys[1])) else { return };
    let (first, second) = if one.key_at.start < other.key_at.start { (one, other) } else { (other, one) };
    found.add(
        Mistake::error(&second.key_at, format!("`{}` and `{}` do not go together", first.key, second.key))
            .also(&first.key_at, "the other one")
            .help(help),
    );
}

/// Exactly one of two keys.
pub(super) fn one_of(found: &mut Found<'_>, fault: &[&str], keys: [&str; 2], help: &'static str) {
    alone(found, fault, keys, help);
    if keys.iter().all(|key| found.document.entry(&[fault, &[key]].concat()).is_none()) {
        let at = found.document.key_at(fault);
        let name = fault.last().copied().unwrap_or_default();
        found.add(Mistake::error(&at, format!("`{name}` needs `{}` or `{}`", keys[0], keys[1])).help(help));
    }
}

/// A key whose value comes to nothing.
pub(super) fn no_load(found: &mut Found<'_>, fault: &[&str], key: &str) {
    let at = found.document.value_at(&[fault, &[key]].concat());
    found.add(Mistake::error(&at, format!("`{key}` is no load")).label("more than 0"));
}

/// An absolute path without detours.
pub(super) fn path(found: &mut Found<'_>, fault: &[&str], path: &str) {
    let why = if !path.starts_with('/') {
        "write it as the instance sees it, from `/` on"
    } else if path.split('/').any(|part| part == ".." || part == ".") {
        "write it without `.` and `..`"
    } else if path.contains('\0') {
        "a path has no zero byte"
    } else {
        return;
    };
    let at = found.document.value_at(&[fault, &["path"]].concat());
    found.add(Mistake::error(&at, format!("`{path}` is not an absolute path")).label(why));
}
