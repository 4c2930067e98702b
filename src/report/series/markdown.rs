//! The summary for a pull request or a job's page: a table, and below it the whole report of everything that is not plain
//! good.

use std::fmt::Write as _;

use super::super::{Format, markdown as one, page, render};
use super::comparison::shown;
use super::{headline, recovery, run_id};
use crate::model::exit::REHEARSAL;
use crate::occasions::compare::{Comparison, Finding};
use crate::occasions::gate::{self, Entry, Standing};

/// Pages that show it take a MiB; what goes beyond half of that is left to the reports beside the journals.
const LONGEST: usize = 512 * 1024;

/// The text.
#[must_use]
pub fn markdown(entries: &[Entry]) -> String {
    let verdict = gate::verdict(entries);
    let mut out = format!(
        "## {} {}\n\n",
        one::symbol(Some(verdict)),
        one::text(&super::super::words::sentence(&headline(entries)))
    );
    if entries.iter().any(Entry::is_rehearsal) {
        let _ = write!(out, "{REHEARSAL}\n\n");
    }
    out.push_str("| Experiment | | Why | Recovery | Run |\n|---|---|---|---|---|\n");
    for entry in entries {
        let telling = entry.telling();
        let standing = format!("{} {}", symbol(entry.standing()), entry.standing().words());
        let recovery = recovery(telling).unwrap_or_else(|| "–".to_owned());
        let run = run_id(telling).map_or_else(|| "–".to_owned(), one::code);
        let cells = [one::text(&entry.name), standing, one::text(&entry.why()), one::text(&recovery), run];
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    for (entry, c) in entries.iter().filter_map(|e| Some((e, e.comparison.as_ref()?))) {
        compared(&mut out, &entry.name, c);
    }
    for entry in entries.iter().filter(|e| e.standing() != Standing::Held) {
        let Some(run) = entry.telling().and_then(|a| a.run.as_deref()) else { continue };
        let report = render(run, Format::Markdown);
        if out.len() + report.len() > LONGEST {
            out.push_str("\nThe others are in the reports beside their journals.\n");
            break;
        }
        let _ = write!(out, "\n<details><summary>{}</summary>\n\n{report}\n</details>\n", one::text(&entry.name));
    }
    page(&out)
}

/// How an experiment stands to an earlier run, in a table.
fn compared(out: &mut String, name: &str, c: &Comparison) {
    let _ = write!(out, "\n**{}**: {}\n", one::text(name), one::text(&c.why()));
    if !c.figures.is_empty() {
        out.push_str("\n| Figure | Before | Now | Change | Allowed | |\n|---|---|---|---|---|---|\n");
    }
    for f in &c.figures {
        let finding = match f.finding {
            Finding::NotWorse => "✅",
            Finding::Undecided => "⚪ undecided",
            Finding::Worse => "❌ worse",
        };
        let cells =
            [format!("{} {}", f.check, f.of), shown(f, f.base), shown(f, f.new), f.change_told(), f.allowed_told()];
        let _ = writeln!(out, "| {} | {finding} |", cells.map(|c| one::text(&c)).join(" | "));
    }
    for note in &c.notes {
        let _ = write!(out, "\n- {}", one::text(note));
    }
    out.push('\n');
}

fn symbol(standing: Standing) -> &'static str {
    match standing {
        Standing::Held => "✅",
        Standing::Rehearsed | Standing::RehearsedBroken => "🎭",
        Standing::Flaky | Standing::KnownWeakness | Standing::UnexpectedlyHeld => "⚠️",
        Standing::NotRun | Standing::NoVerdict | Standing::Undecided => "⚪",
        Standing::Broken | Standing::Regressed => "❌",
        Standing::LeftBehind => "🛑",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn it_names_every_experiment_and_shows_what_is_not_good() {
        let text = markdown(&fixture::every());
        let (table, details) = text.split_once("\n<details>").unwrap();
        insta::assert_snapshot!("series-markdown", table);
        assert!(details.contains("freeze-the-store") && !details.contains("<summary>kill-one-replica"), "{details}");
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    }

    #[test]
    fn it_fits_a_page() {
        let entries: Vec<Entry> = std::iter::repeat_with(fixture::every).take(200).flatten().collect();
        let text = markdown(&entries);
        assert!(text.len() < 1024 * 1024, "{} bytes", text.len());
        assert!(text.contains("beside their journals"));
    }
}
