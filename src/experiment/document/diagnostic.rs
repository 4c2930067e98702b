//! Mistakes in a file that people wrote: what is wrong, where it stands, and what to write instead.
//!
//! Knows how to show them; knows nothing of experiments.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::text::visible;

/// After so many, the rest is only counted.
const SHOWN: usize = 50;

/// How bad a mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but perhaps not as it was meant.
    Warning,
}

/// One mistake, with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub title: String,
    /// Where, as a range of bytes.
    pub at: Range<usize>,
    /// A few words for beside the caret.
    pub label: String,
    /// Other places that matter, each with a few words.
    pub also: Vec<(Range<usize>, String)>,
    /// What to do about it, one line each.
    pub help: Vec<String>,
}

impl Mistake {
    /// An error at a place.
    #[must_use]
    pub fn error(at: &Range<usize>, title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            title: title.into(),
            at: at.clone(),
            label: String::new(),
            also: Vec::new(),
            help: Vec::new(),
        }
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(at: &Range<usize>, title: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(at, title) }
    }

    /// The words beside the caret.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = text.into();
        self
    }

    /// Another place that matters.
    #[must_use]
    pub fn also(mut self, at: &Range<usize>, text: impl Into<String>) -> Self {
        self.also.push((at.clone(), text.into()));
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }
}

/// All mistakes of one file, in the order in which they stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    name: String,
    source: String,
    list: Vec<Mistake>,
}

impl Mistakes {
    /// The mistakes of a file with this name and content.
    #[must_use]
    pub fn new(name: &str, source: &str, mut list: Vec<Mistake>) -> Self {
        for mistake in &mut list {
            mistake.at = first_line(source, &mistake.at);
            for (at, _) in &mut mistake.also {
                *at = first_line(source, at);
            }
        }
        list.sort_by_key(|m| (m.at.start, m.severity));
        list.dedup();
        Self { name: name.to_owned(), source: source.to_owned(), list }
    }

    /// Each of them.
    #[must_use]
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many are of this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|m| m.severity == severity).count()
    }

    /// All of them for people, each with its excerpt; with colours where `styled`.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let mut shown: Vec<String> = self.list.iter().take(SHOWN).map(|m| self.render_one(m, &renderer)).collect();
        if self.list.len() > SHOWN {
            shown.push(format!("… and {} more in {}", self.list.len() - SHOWN, self.name));
        }
        shown.join("\n\n")
    }

    fn render_one(&self, mistake: &Mistake, renderer: &Renderer) -> String {
        let level = match mistake.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut primary = AnnotationKind::Primary.span(mistake.at.clone());
        if !mistake.label.is_empty() {
            primary = primary.label(visible::line(&mistake.label));
        }
        let context = |at: &Range<usize>| AnnotationKind::Context.span(at.clone());
        let also = mistake.also.iter().map(|(at, text)| context(at).label(visible::line(text)));
        // The renderer sees to the excerpt itself.
        let snippet =
            Snippet::source(&self.source).path(visible::line(&self.name)).annotation(primary).annotations(also);
        let group = level
            .primary_title(visible::text(&mistake.title))
            .element(snippet)
            .elements(mistake.help.iter().map(|h| Level::HELP.message(visible::text(h))));
        renderer.render(&[group])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Mistakes {}

/// The part of a range that is on its first line, without the space at its end: a caret under a whole page says
/// nothing.
fn first_line(source: &str, at: &Range<usize>) -> Range<usize> {
    let start = floor(source, at.start);
    let end = floor(source, at.end.max(at.start));
    let line = source[start..end].lines().next().unwrap_or_default().trim_end();
    start..start + line.len()
}

fn floor(source: &str, index: usize) -> usize {
    source.floor_char_boundary(index.min(source.len()))
}

/// The candidate that was probably meant: a slip or two away, or the rest of a longer name.
#[must_use]
pub fn meant<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace('_', "-");
    let written = plain(written);
    let slips = (written.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|c| {
            let candidate = plain(c);
            let distance = strsim::damerau_levenshtein(&written, &candidate);
            let part = written.len() >= 3 && (candidate.starts_with(&written) || candidate.ends_with(&written));
            (distance <= slips || part).then_some((distance, c))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}

/// Names in backticks with commas and a last `and`.
#[must_use]
pub fn and<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names, "and")
}

/// Names in backticks with commas and a last `or`.
#[must_use]
pub fn or<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names, "or")
}

fn joined<'a>(names: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let names: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [many @ .., end] => format!("{} {last} {end}", many.join(", ")),
    }
}

/// A text from the file, short enough for a message.
#[must_use]
pub fn short(text: &str) -> String {
    let line: String = visible::line(text).chars().take(60).collect();
    if text.chars().count() > 60 { format!("{line}…") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_a_slip_or_two_away() {
        assert_eq!(meant("kil", ["kill", "stop"]), Some("kill"));
        assert_eq!(meant("htpp", ["http", "tcp"]), Some("http"));
        assert_eq!(meant("KILL", ["SIGTERM", "SIGKILL"]), Some("SIGKILL"));
        assert_eq!(meant("warm_up", ["warm-up"]), Some("warm-up"));
        assert_eq!(meant("colour", ["rate", "timeout"]), None);
    }

    #[test]
    fn a_caret_stays_on_its_line_and_inside_the_file() {
        assert_eq!(first_line("a: b  \nc: d\n", &(0..11)), 0..4);
        assert_eq!(first_line("ä", &(1..9)), 0..2);
        assert_eq!(first_line("", &(0..0)), 0..0);
    }

    #[test]
    fn mistakes_are_shown_in_the_order_of_the_file_even_in_an_empty_one() {
        let empty = Mistakes::new("a.yaml", "", vec![Mistake::error(&(0..0), "the file is empty")]);
        assert!(empty.to_string().contains("the file is empty"), "{empty}");
        let two =
            Mistakes::new("a.yaml", "a\nb\n", vec![Mistake::error(&(2..3), "two"), Mistake::error(&(0..1), "one")]);
        let titles: Vec<&str> = two.list().iter().map(|m| m.title.as_str()).collect();
        assert_eq!(titles, ["one", "two"]);
    }
}
