//! Remarks beside the lines of an experiment's file, in the words of GitHub Actions' workflow commands.

use super::super::facts;
use crate::experiment::read::line_of;
use crate::occasions::gate::{Entry, Standing};
use crate::record::event::Phase;
use crate::record::state::RunState;
use crate::text::visible;

/// A line for each experiment that is not plain good. `source` is the text of a file, where it can be had; `path` is how
/// the repository calls it.
#[must_use]
pub fn annotations(
    entries: &[Entry],
    source: &dyn Fn(&str) -> Option<String>,
    path: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let of = |entry: &Entry| {
        let level = match entry.standing() {
            Standing::Held => return None,
            Standing::Flaky | Standing::KnownWeakness | Standing::RehearsedBroken => "warning",
            Standing::UnexpectedlyHeld | Standing::Rehearsed => "notice",
            Standing::NotRun
            | Standing::NoVerdict
            | Standing::Undecided
            | Standing::Regressed
            | Standing::Broken
            | Standing::LeftBehind => "error",
        };
        let line = source(&entry.file).map_or(1, |text| line(entry, &text));
        let title = format!("{}: {}", entry.name, entry.standing().words());
        let file = path(&entry.file);
        Some(format!(
            "::{level} file={},line={line},title={}::{}",
            property(&file),
            property(&title),
            data(&entry.why())
        ))
    };
    entries.iter().filter_map(of).collect()
}

/// The line that it is about: the expectation that broke, else what is known of it, else the experiment's name.
fn line(entry: &Entry, source: &str) -> usize {
    let run = entry.telling().and_then(|a| a.run.as_deref());
    match entry.standing() {
        Standing::KnownWeakness | Standing::UnexpectedlyHeld => return line_of(source, &["known-weakness"]),
        Standing::Regressed | Standing::Undecided => {
            let worst = entry.comparison.as_ref().and_then(|c| c.figures.iter().max_by_key(|f| f.finding));
            return line_of(source, &["steady-state", worst.map_or("", |f| f.check.as_str())]);
        }
        _ => {}
    }
    match run.and_then(missed) {
        Some((section, check, phase, key)) => {
            // `during` stands over `expect`, key by key; a key that is in neither has the check's own line.
            let of = |part: &str| line_of(source, &[section, &check, part, &key]);
            let check_at = line_of(source, &[section, &check]);
            let parts: &[&str] = if phase == Phase::During { &["during", "expect"] } else { &["expect"] };
            let exact = parts.iter().find(|part| has(source, &[section, &check, part, &key]));
            exact.map_or(check_at, |part| of(part))
        }
        None => line_of(source, &["name"]),
    }
}

fn has(source: &str, path: &[&str]) -> bool {
    crate::experiment::read::has_key(source, path)
}

/// The expectation that decided a run: section, check, phase and key.
fn missed(run: &RunState) -> Option<(&'static str, String, Phase, String)> {
    let section = |safety| if safety { "safety" } else { "steady-state" };
    if let Some(b) = run.breaches.first() {
        return Some((section(b.safety), b.check.clone(), b.phase, b.standing.expectation.clone()));
    }
    let too_late = run.recovery.as_ref().and_then(|recovery| recovery.missed.iter().next());
    if let Some((check, standing)) = too_late {
        let safety = run.checks.get(check).is_some_and(|c| c.safety);
        return Some((section(safety), check.clone(), Phase::Recovery, standing.expectation.clone()));
    }
    run.checks.iter().find_map(|(name, check)| {
        [Phase::Baseline, Phase::During].into_iter().find_map(|phase| {
            let missed = facts::standings(run, name, phase).into_iter().find(|s| !s.held)?;
            Some((section(check.safety), name.clone(), phase, missed.expectation))
        })
    })
}

/// Text of a workflow command: in its message.
fn data(text: &str) -> String {
    visible::text(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// In one of its properties.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::record::state::Finished;

    const SOURCE: &str = "\
version: 1
name: freeze-the-store
hypothesis: It goes on.
known-weakness: no replica
steady-state:
  checkout:
    http: http://x/
    expect:
      success: 99%
      p95: 100ms
    during:
      success: 90%
";

    fn of(entries: &[Entry]) -> Vec<String> {
        annotations(entries, &|_| Some(SOURCE.to_owned()), &str::to_owned)
    }

    #[test]
    fn each_is_at_the_line_that_it_is_about() {
        let all = of(&fixture::every());
        let begins = |text: &str| assert!(all.iter().any(|a| a.starts_with(text)), "{text}:\n{}", all.join("\n"));
        begins("::error file=chaos/freeze-the-store.yaml,line=12,title=freeze-the-store%3A broken::");
        begins("::warning file=chaos/freeze-the-store.yaml,line=4,title=known%3A known weakness::");
        begins("::notice file=chaos/unexpected.yaml,line=4,");
        begins("::warning file=chaos/flaky.yaml,line=2,title=flaky%3A held (flaky)::held 2 of 3 times, 2 required");
        begins("::error file=chaos/engine-down.yaml,line=2,");
        begins("::error file=chaos/never.yaml,line=2,title=never%3A not run::stopped by a signal");
        assert_eq!(all.len(), 6, "what held has nothing to remark");
    }

    #[test]
    fn a_recovery_that_took_too_long_is_at_its_expectation_with_its_cause() {
        let mut entry = fixture::every().remove(1);
        let run = super::super::super::fixture::too_slow();
        let Finished { verdict, text: why, .. } = run.finished.clone().unwrap();
        entry.attempts = vec![crate::occasions::gate::Attempt { verdict, why, run: Some(Box::new(run)) }];
        entry.known_weakness = None;
        let line = of(&[entry]).remove(0);
        assert!(
            line.contains(",line=9,") && line.contains("9 of 250 samples failed") && line.contains("timeout 8"),
            "{line}"
        );
    }

    #[test]
    fn nothing_in_a_message_ends_the_command() {
        let mut entry = fixture::every().remove(1);
        entry.attempts[0].why = "50 %\nof a: b".to_owned();
        let line = of(&[entry]).remove(0);
        assert!(line.ends_with("::50 %25%0Aof a: b"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
}
