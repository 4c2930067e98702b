//! The resilience score of one experiment, from 0 to 100. `docs/history.md` explains it with numbers.
//!
//! Two factors. **What share of the runs held**: the newest run weighs 1, each older one 0.8 of the next newer. A run that says
//! nothing about the hypothesis (interrupted, halted, refused …) weighs nothing: it is no failure of the system. **How fresh that
//! is**: 1 until the experiment is due again after the last run that said anything, then halved with each further interval.

use jiff::{SignedDuration, Timestamp};

use super::Row;
use crate::experiment::Due;

/// What an older run weighs beside the next newer one.
const FADE: f64 = 0.8;

/// The score of runs, oldest first; nothing where none of them says anything in a real world.
pub(super) fn score(runs: &[&Row], due: Due, now: Timestamp) -> Option<f64> {
    let mut weight = 1.0;
    let (mut held, mut all) = (0.0, 0.0);
    for good in runs.iter().rev().filter_map(|row| row.counts()) {
        if good {
            held += weight;
        }
        all += weight;
        weight *= FADE;
    }
    let last = runs.iter().rev().find(|row| row.counts().is_some());
    let fresh = last.and_then(|row| row.began).map_or(0.0, |began| freshness(began, due, now));
    (all > 0.0).then(|| 100.0 * held / all * fresh)
}

/// 1 until it is due, then halved with each further interval.
fn freshness(done: Timestamp, due: Due, now: Timestamp) -> f64 {
    let end = due.after(done);
    let late = now.duration_since(end);
    let interval = end.duration_since(done);
    if late <= SignedDuration::ZERO { 1.0 } else { 0.5_f64.powf(late.as_secs_f64() / interval.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::occasions::history::series::tests::row;

    /// Runs one day apart, the last of them on the 20th; a letter for each.
    fn scored(letters: &str, now: &str) -> Option<f64> {
        let first = 21 - letters.len();
        let rows: Vec<Row> = letters
            .chars()
            .enumerate()
            .map(|(i, letter)| row(&format!("2026-11-{:02}T09:00:00Z", first + i), letter))
            .collect();
        score(&rows.iter().collect::<Vec<_>>(), "every 10 days".parse().unwrap(), now.parse().unwrap())
    }

    #[test]
    fn recent_runs_count_most() {
        let now = "2026-11-20T12:00:00Z";
        let near = |letters, want: f64| {
            let got = scored(letters, now).unwrap();
            assert!((got - want).abs() < 0.05, "{letters}: {got}");
        };
        near("h", 100.0);
        near("hhhhh", 100.0);
        near("b", 0.0);
        // 1 of 1 + 0.8.
        near("bh", 55.6);
        // 0.8 of 1 + 0.8.
        near("hb", 44.4);
        // The example of the docs: held, no verdict, broken, held, held; the newest last.
        near("hnbhh", 78.3);
    }

    #[test]
    fn what_says_nothing_about_the_system_neither_raises_nor_lowers_it() {
        let now = "2026-11-20T12:00:00Z";
        assert_eq!(scored("n", now), None, "nothing was ever shown");
        assert_eq!(scored("hn", now), scored("h", now));
        assert_eq!(scored("nbn", now), Some(0.0));
        assert_eq!(scored("hr", now), Some(100.0));
        assert_eq!(scored("r", now), None);
    }

    #[test]
    fn what_is_stale_fades() {
        for (now, want) in [
            ("2026-11-30T08:00:00Z", 100.0),
            ("2026-12-10T09:00:00Z", 50.0),
            ("2026-12-20T09:00:00Z", 25.0),
            ("2027-11-20T09:00:00Z", 0.0),
        ] {
            assert_eq!(scored("hh", now).map(f64::round), Some(want), "{now}");
        }
        // A run without a verdict refreshes nothing.
        let fresh = scored("h", "2026-12-05T09:00:00Z").unwrap();
        assert!(fresh < 75.0, "{fresh}");
    }
}
