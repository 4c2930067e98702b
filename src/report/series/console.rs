//! The end of a series on a terminal: a table, why not everything in it is plain good, and what all of them come to.

use std::fmt::Write as _;

use tabled::builder::Builder;
use tabled::settings::{Style, Width, peaker::Priority};

use super::super::page;
use super::{comparison, headline, mark, recovery, run_id, shout};
use crate::model::exit::REHEARSAL;
use crate::occasions::gate::{self, Entry, Standing};
use crate::text::visible;

/// The table with what belongs to it; the table is at most `width` columns wide.
#[must_use]
pub fn table(entries: &[Entry], width: usize) -> String {
    let mut rows = Builder::default();
    rows.push_record(["experiment", "", "recovered", "run"]);
    for entry in entries {
        let standing = entry.standing();
        let telling = entry.telling();
        // The end of an id is what every command takes.
        let run = run_id(telling).and_then(|id| id.rsplit('-').next()).unwrap_or_default();
        rows.push_record([
            visible::line(&entry.name).into_owned(),
            format!("{} {}", mark(standing), standing.words()),
            recovery(telling).unwrap_or_default(),
            visible::line(run).into_owned(),
        ]);
    }
    let mut table = rows.build();
    table.with(Style::rounded()).with(Width::wrap(width).priority(Priority::max(true)).keep_words(true));
    let mut out = format!("{table}\n");
    for entry in entries.iter().filter(|e| e.standing() != Standing::Held) {
        // Writing to a String cannot fail.
        let (name, why) = (visible::line(&entry.name), entry.why());
        let _ = writeln!(out, "{} {name}: {}", mark(entry.standing()), visible::line(&why));
    }
    for c in entries.iter().filter_map(|e| e.comparison.as_ref()) {
        let _ = write!(out, "\n{}", comparison(c, width));
    }
    if entries.iter().any(Entry::is_rehearsal) {
        let _ = writeln!(out, "{REHEARSAL}");
    }
    let verdict = gate::verdict(entries);
    let _ = write!(out, "{} (exit {}), {}", shout(verdict), verdict.code(), headline(entries));
    page(&out)
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn it_fits_and_says_how_each_stands() {
        let text = table(&fixture::every(), 80);
        for line in text.lines().filter(|l| l.starts_with(['│', '╭', '├', '╰'])) {
            assert!(::console::measure_text_width(line) <= 80, "{line}");
        }
        insta::assert_snapshot!("series-console", text);
    }
}
