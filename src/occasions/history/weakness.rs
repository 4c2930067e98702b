//! Weaknesses: a hypothesis that broke is an open one, until a later run holds.

use jiff::{SignedDuration, Timestamp};

use super::Row;
use super::note::Note;

/// A hypothesis that broke.
#[derive(Debug, Clone, PartialEq)]
pub struct Weakness {
    /// The experiment's name.
    pub experiment: String,
    /// When the run began that found it.
    pub since: Timestamp,
    /// The run that found it.
    pub run: String,
    /// What broke, in a sentence.
    pub why: Option<String>,
    /// In how many runs it has shown so far.
    pub times: usize,
    /// When and by which run it was closed: the first that held since.
    pub closed: Option<(Timestamp, String)>,
    /// When the next one of this experiment began: what is noted while the closing run goes on still belongs to this one.
    pub next: Option<Timestamp>,
    /// Who sees to it, if somebody noted that.
    pub owner: Option<String>,
    /// What is to be done, if somebody noted that.
    pub action: Option<String>,
}

impl Weakness {
    /// How long it was open, or is by now.
    #[must_use]
    pub fn open_for(&self, now: Timestamp) -> SignedDuration {
        self.closed.as_ref().map_or(now, |c| c.0).duration_since(self.since).max(SignedDuration::ZERO)
    }

    /// Takes what people noted while it was open; the newest word of each kind stands.
    #[must_use]
    pub fn noted(mut self, notes: &[Note]) -> Self {
        let meant = |note: &&Note| {
            note.experiment == self.experiment && note.at >= self.since && self.next.is_none_or(|next| note.at < next)
        };
        let meant: Vec<&Note> = notes.iter().filter(meant).collect();
        self.owner = meant.iter().rev().find_map(|n| n.owner.clone());
        self.action = meant.iter().rev().find_map(|n| n.action.clone());
        self
    }
}

/// The weaknesses that the runs of an experiment show, oldest first; the runs are in their order.
pub(super) fn of(experiment: &str, runs: &[&Row]) -> Vec<Weakness> {
    let mut all: Vec<Weakness> = Vec::new();
    for row in runs {
        let (Some(held), Some(began)) = (row.counts(), row.began) else { continue };
        let open = all.last_mut().filter(|w| w.closed.is_none());
        match (held, open) {
            (true, Some(weakness)) => weakness.closed = Some((began, row.run.clone())),
            (false, Some(weakness)) => weakness.times += 1,
            (false, None) => all.push(Weakness {
                experiment: experiment.to_owned(),
                since: began,
                run: row.run.clone(),
                why: row.text.clone(),
                times: 1,
                closed: None,
                next: None,
                owner: None,
                action: None,
            }),
            (true, None) => {}
        }
    }
    for i in 1..all.len() {
        all[i - 1].next = Some(all[i].since);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::occasions::history::series::tests::rows;

    fn told(letters: &str) -> Vec<(usize, bool)> {
        let rows = rows(letters);
        let refs: Vec<&Row> = rows.iter().collect();
        of("kill-one", &refs).iter().map(|w| (w.times, w.closed.is_some())).collect()
    }

    #[test]
    fn a_weakness_is_open_until_a_run_holds() {
        assert_eq!(told("hh"), []);
        assert_eq!(told("hb"), [(1, false)]);
        assert_eq!(told("bnbb"), [(3, false)], "a run without a verdict neither adds to it nor closes it");
        assert_eq!(told("br"), [(1, false)], "a rehearsal closes nothing");
        assert_eq!(told("bh"), [(1, true)]);
        assert_eq!(told("bbhhb"), [(2, true), (1, false)]);
    }

    #[test]
    fn it_says_how_long_it_was_open() {
        let rows = rows("bbnh");
        let weaknesses = of("kill-one", &rows.iter().collect::<Vec<_>>());
        let now = "2026-12-01T00:00:00Z".parse().unwrap();
        assert_eq!(weaknesses[0].open_for(now), SignedDuration::from_hours(72));
        assert_eq!(weaknesses[0].why.as_deref(), Some("`checkout` failed"));
    }

    #[test]
    fn a_note_belongs_to_the_weakness_that_was_open_then() {
        let rows = rows("bhb");
        let note = |day: &str, owner: Option<&str>, action: Option<&str>| Note {
            at: format!("{day}T12:00:00Z").parse().unwrap(),
            experiment: "kill-one".to_owned(),
            owner: owner.map(str::to_owned),
            action: action.map(str::to_owned),
        };
        let mut notes = vec![
            note("2026-11-01", Some("ana"), Some("add a replica")),
            note("2026-11-03", Some("ben"), None),
            note("2026-11-04", Some("cleo"), None),
        ];
        // While the run goes on that closes it, which began at nine.
        notes.insert(1, note("2026-11-02", None, Some("add two")));
        notes.push(Note { experiment: "another".to_owned(), ..note("2026-11-05", Some("dan"), Some("x")) });
        let told: Vec<_> = of("kill-one", &rows.iter().collect::<Vec<_>>())
            .into_iter()
            .map(|w| w.noted(&notes))
            .map(|w| (w.owner.unwrap_or_default(), w.action))
            .collect();
        assert_eq!(told, [("ana".to_owned(), Some("add two".to_owned())), ("cleo".to_owned(), None)]);
    }
}
