//! The runs of one experiment in their order, and what they say together.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::weakness::{self, Weakness};
use super::{Row, score};
use crate::experiment::Due;

/// The runs of one experiment, oldest first.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// The experiment's name.
    pub experiment: &'a str,
    /// Its runs.
    pub runs: Vec<&'a Row>,
}

/// A hypothesis that held and then broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regression<'a> {
    /// The run in which it broke.
    pub run: &'a str,
    /// In how many runs before it had held.
    pub held: usize,
}

/// The runs of each experiment, by name. Rows without a name belong to none.
#[must_use]
pub fn series(rows: &[Row]) -> Vec<Series<'_>> {
    let mut by_name: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        if let Some(name) = &row.experiment {
            by_name.entry(name).or_default().push(row);
        }
    }
    by_name
        .into_iter()
        .map(|(experiment, mut runs)| {
            runs.sort_by(|a, b| (a.began, &a.run).cmp(&(b.began, &b.run)));
            Series { experiment, runs }
        })
        .collect()
}

impl<'a> Series<'a> {
    /// The newest run.
    #[must_use]
    pub fn last(&self) -> Option<&'a Row> {
        self.runs.last().copied()
    }

    /// The newest run that says something about the hypothesis.
    #[must_use]
    pub fn shown(&self) -> Option<&'a Row> {
        self.runs.iter().rev().find(|row| row.counts().is_some()).copied()
    }

    /// How often it is to be run, as the newest run's file said.
    #[must_use]
    pub fn due(&self) -> Option<Due> {
        self.runs.iter().rev().find(|row| row.experiment.is_some()).and_then(|row| row.due)
    }

    /// When it is due again, where it says how often: after the newest run that said anything; at once, where none did.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        let due = self.due()?;
        Some(self.shown().and_then(|row| row.began).map_or(Timestamp::MIN, |done| due.after(done)))
    }

    /// Its score from 0 to 100; nothing where none of its runs is over in a real world.
    #[must_use]
    pub fn score(&self, now: Timestamp) -> Option<f64> {
        score::score(&self.runs, self.due().unwrap_or(Due::MONTHLY), now)
    }

    /// Every run in which the hypothesis broke after it had held, oldest first.
    #[must_use]
    pub fn regressions(&self) -> Vec<Regression<'a>> {
        let mut regressions = Vec::new();
        let mut held = 0;
        for row in &self.runs {
            match row.counts() {
                Some(true) => held += 1,
                Some(false) => {
                    if held > 0 {
                        regressions.push(Regression { run: &row.run, held });
                    }
                    held = 0;
                }
                None => {}
            }
        }
        regressions
    }

    /// The regression that it stands in now: the newest run that says something is it.
    #[must_use]
    pub fn regression(&self) -> Option<Regression<'a>> {
        let shown = self.shown()?;
        self.regressions().pop().filter(|r| r.run == shown.run)
    }

    /// Its weaknesses, oldest first.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<Weakness> {
        weakness::of(self.experiment, &self.runs)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::exit::Verdict;
    use crate::occasions::history::Status;
    use crate::record::state::RunState;

    /// A run: `h`eld, `b`roken, `n`o verdict, `r` a rehearsal that held, `u`nfinished.
    pub(in crate::occasions::history) fn row(began: &str, letter: char) -> Row {
        let verdict = match letter {
            'h' | 'r' => Some(Verdict::Held),
            'b' => Some(Verdict::Broken),
            'n' => Some(Verdict::NoVerdict),
            _ => None,
        };
        Row {
            experiment: Some("kill-one".to_owned()),
            began: began.parse().ok(),
            status: if verdict.is_some() { Status::Finished } else { Status::Unfinished },
            verdict,
            rehearsal: letter == 'r',
            text: (letter == 'b').then(|| "`checkout` failed".to_owned()),
            ..Row::of(began, &RunState::default())
        }
    }

    pub(in crate::occasions::history) fn rows(letters: &str) -> Vec<Row> {
        letters.chars().enumerate().map(|(i, l)| row(&format!("2026-11-{:02}T09:00:00Z", i + 1), l)).collect()
    }

    #[test]
    fn a_regression_is_a_break_after_it_held() {
        for (letters, want) in [
            ("hhb", Some((3, 2))),
            ("hnb", Some((3, 1))),
            ("hrub", Some((4, 1))),
            ("bb", None),
            ("hbb", None),
            ("hbh", None),
            ("rb", None),
        ] {
            let rows = rows(letters);
            let all = series(&rows);
            let got = all[0].regression().map(|r| (r.run.to_owned(), r.held));
            let want = want.map(|(day, held)| (format!("2026-11-{day:02}T09:00:00Z"), held));
            assert_eq!(got, want, "{letters}");
        }
        let rows = rows("hbhhbb");
        assert_eq!(series(&rows)[0].regressions().iter().map(|r| r.held).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn it_is_due_after_the_last_run_that_said_anything() {
        let mut rows = rows("hnr");
        assert_eq!(series(&rows)[0].due_at(), None, "nobody says how often");
        for row in &mut rows {
            row.due = "every week".parse().ok();
        }
        assert_eq!(series(&rows)[0].due_at(), "2026-11-08T09:00:00Z".parse().ok());
        rows.remove(0);
        assert_eq!(series(&rows)[0].due_at(), Some(Timestamp::MIN), "it was never really done");
    }
}
