//! What is found wrong in a file beyond what its types can tell, and what is looked for everywhere.

use super::Document;
use super::diagnostic::Mistake;
use crate::model::quantity::{Lookup, Span, Text};

/// The checks of one document, and what they found.
pub struct Found<'a> {
    /// What is checked. A part with a mistake in it is left alone: what it lacks may be a consequence.
    pub document: &'a Document,
    /// What its variables hold.
    pub lookup: Lookup<'a>,
    /// What was found.
    pub mistakes: Vec<Mistake>,
}

impl Found<'_> {
    /// One more.
    pub fn add(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }
}

/// A path as people read it: the keys, without the numbers of items.
#[must_use]
pub fn dotted(path: &[&str]) -> String {
    path.iter().filter(|key| key.parse::<usize>().is_err()).copied().collect::<Vec<_>>().join(".")
}

/// A list of texts, none of which is empty.
pub fn texts(found: &mut Found<'_>, path: &[&str]) {
    let texts: Option<Vec<String>> = found.document.part(path);
    if texts.is_some_and(|all| all.is_empty() || all.iter().any(|text| text.trim().is_empty())) {
        let at = found.document.value_at(path);
        found.add(Mistake::error(&at, format!("`{}` is empty", dotted(path))));
    }
}

/// The key `project` of what stands at this path.
pub fn projects(found: &mut Found<'_>, path: &[&str]) {
    let path = [path, &["project"]].concat();
    let named: Option<Vec<String>> = found.document.part(&path);
    if named.is_some_and(|all| all.is_empty() || all.iter().any(|name| name.trim().is_empty())) {
        let at = found.document.value_at(&path);
        found.add(
            Mistake::error(&at, format!("`{}` is empty", dotted(&path)))
                .help("`none` means what is in no project, and `\"*\"` all projects"),
        );
    }
}

/// An argument list that can be started.
pub fn command(found: &mut Found<'_>, path: &[&str], list: &[Text]) {
    if list.first().is_none_or(|program| program.0.trim().is_empty()) {
        let at = found.document.key_at(path);
        found.add(
            Mistake::error(&at, format!("`{}` names no program", dotted(path))).label("write `[program, argument]`"),
        );
    }
}

/// A time that is none at all.
pub fn positive(found: &mut Found<'_>, path: &[&str], span: Span) {
    if span.0.is_zero() {
        let at = found.document.value_at(path);
        found.add(Mistake::error(&at, format!("`{}` is zero", dotted(path))));
    }
}

/// A time in whole seconds.
pub fn whole_seconds(found: &mut Found<'_>, path: &[&str], span: Span) {
    if span.0.subsec_nanos() != 0 {
        let at = found.document.value_at(path);
        found.add(
            Mistake::error(&at, format!("`{}` must be whole seconds", dotted(path))).label("engines count in seconds"),
        );
    }
}
