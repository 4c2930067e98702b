//! The table of one engine, and the document that it stands in.

use std::fmt;
use std::path::Path;

use anyhow::Context as _;

use crate::column::{Cell, Outcome, SUITE};
use crate::engines::{Kind, Way};

/// What became of every row, over every way.
pub(crate) struct Table {
    pub(crate) kind: Kind,
    pub(crate) described: String,
    pub(crate) ways: Vec<Way>,
    /// Each with a cell for each way; `None` where it was not run.
    pub(crate) rows: Vec<(String, Vec<Option<Cell>>)>,
}

impl Table {
    fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.rows.iter().flat_map(|(_, cells)| cells.iter().flatten())
    }

    /// How many cells are.
    pub(crate) fn wrong(&self) -> usize {
        self.cells().filter(|cell| matches!(cell.outcome, Outcome::Wrong(_))).count()
    }

    /// Replaces the table of this engine in a document, which has it between two marks.
    ///
    /// # Errors
    /// Where it has no such marks.
    pub(crate) fn write_into(&self, document: &Path) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(document)?;
        let (begin, end) = (format!("<!-- begin {} -->\n", self.kind), format!("<!-- end {} -->", self.kind));
        let parts = text.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1)));
        let (head, tail) = parts.with_context(|| format!("{} has no `{begin}` with its end", document.display()))?;
        Ok(std::fs::write(document, format!("{head}{begin}{self}{end}{tail}"))?)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |is: fn(&Outcome) -> bool| self.cells().filter(|cell| is(&cell.outcome)).count();
        writeln!(
            f,
            "{}: {} of {} as expected, {} refused when planning, {} wrong.\n",
            self.described,
            number(|outcome| *outcome == Outcome::AsExpected),
            self.cells().count(),
            number(|outcome| matches!(outcome, Outcome::Refused(_))),
            self.wrong(),
        )?;
        let ways: Vec<String> = self.ways.iter().map(ToString::to_string).collect();
        writeln!(f, "| what | {} |", ways.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(ways.len()))?;
        // Each reason once, below.
        let mut notes: Vec<&str> = Vec::new();
        for (row, cells) in &self.rows {
            let row = if row == SUITE { row.clone() } else { format!("`{row}`") };
            write!(f, "| {row} |")?;
            for cell in cells {
                let Some(cell) = cell else {
                    write!(f, " – |")?;
                    continue;
                };
                let (words, why) = match &cell.outcome {
                    Outcome::AsExpected => ("as expected", None),
                    Outcome::Refused(why) => ("refused when planning", Some(why)),
                    Outcome::Wrong(what) => ("**wrong**", Some(what)),
                };
                write!(f, " {words}")?;
                if let Some(why) = why {
                    let known = notes.iter().position(|note| note == why).unwrap_or_else(|| {
                        notes.push(why);
                        notes.len() - 1
                    });
                    write!(f, " ({})", known + 1)?;
                }
                let again = if cell.again > 0 { format!(", run {} times", cell.again + 1) } else { String::new() };
                write!(f, ", {:.0} s{again} |", cell.took.as_secs_f64())?;
            }
            writeln!(f)?;
        }
        for (n, note) in notes.iter().enumerate() {
            write!(f, "\n{}. {note}", n + 1)?;
        }
        writeln!(f, "{}", if notes.is_empty() { "" } else { "\n" })
    }
}
