//! Reads experiment and stack files: from bytes to a value with its warnings, or to every mistake at once.
//!
//! Pure: the caller brings the bytes and knows the variables.

use super::diagnostic::{Mistake, Mistakes};
use super::document::{self, Document, Reading};
use super::{Experiment, check, tree};
use crate::experiment::stack::Stack;
use crate::model::quantity::Lookup;

/// Reads an experiment; `name` is how messages call the file.
///
/// # Errors
/// Every mistake in it, each with its place.
pub fn experiment(name: &str, bytes: &[u8], lookup: Lookup<'_>) -> Result<Reading<Experiment>, Mistakes> {
    let (mut document, value) = document::parse(name, bytes, lookup)?;
    check::experiment(&mut document, lookup);
    document.finish(value)
}

/// Reads a stack file; `name` is how messages call the file.
///
/// # Errors
/// Every mistake in it, each with its place.
pub fn stack(name: &str, bytes: &[u8], lookup: Lookup<'_>) -> Result<Reading<Stack>, Mistakes> {
    let (mut document, value) = document::parse(name, bytes, lookup)?;
    check::stack(&mut document);
    document.finish(value)
}

/// The line of a key in a file's text, from 1; where it is missing, that of the nearest key around it.
#[must_use]
pub fn line_of(source: &str, path: &[&str]) -> usize {
    let Ok(root) = tree::parse(source, &mut Vec::new()) else { return 1 };
    let found = (1..=path.len()).rev().find_map(|n| root.entry(&path[..n]));
    let at = found.or_else(|| root.entries().first()).map_or(0, |entry| entry.key_at.start);
    source.get(..at).unwrap_or_default().matches('\n').count() + 1
}

/// Whether a file's text has this key.
#[must_use]
pub fn has_key(source: &str, path: &[&str]) -> bool {
    tree::parse(source, &mut Vec::new()).is_ok_and(|root| root.entry(path).is_some())
}

/// What is wrong with the version and the name of a file, for formats that stand elsewhere.
#[must_use]
pub fn head(document: &Document) -> Vec<Mistake> {
    check::head(document)
}

/// What is wrong with a check that is asked by itself, for formats that stand elsewhere.
#[must_use]
pub fn probe(document: &Document, lookup: Lookup<'_>, path: &[&str]) -> Vec<Mistake> {
    check::probe_of(document, lookup, path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::experiment::diagnostic::Severity;
    use crate::experiment::fault::Fault;
    use crate::experiment::probe::Probe;
    use crate::model::quantity::Absent;

    const GOOD: &str = "\
version: 1
name: kill-one-shop
hypothesis: Losing one of ${SHOPS} shops goes unnoticed.
steady-state:
  checkout:
    http: { url: 'http://x/${PATH}', headers: { X-Debug: true, Version: 1.10 } }
    rate: 50/s
    expect: { success: 99%, p95: 300ms }
    during: { success: 95%, max-outage: 2s }
  port: { tcp: 'x:80' }
  shops: { exec: [count, '3'], expect: { value: '3' } }
target: { service: shop, labels: a=b, pick: 30% }
fault: kill
blast-radius: { max-instances: '1', protect: [ squall.protect ] }
timing: { baseline: 3s }
safety:
  gateway: { http: http://x/health, expect: { success: 90% } }
";

    fn lookup(name: &str) -> Result<String, Absent> {
        ["SHOPS", "PATH"].contains(&name).then(|| "3".to_owned()).ok_or(Absent::Unset)
    }

    fn read(source: &str) -> Result<Reading<Experiment>, Mistakes> {
        experiment("a.yaml", source.as_bytes(), &lookup)
    }

    #[test]
    fn short_forms_and_places_decide_what_a_scalar_is() {
        let experiment = read(GOOD).unwrap_or_else(|m| panic!("{m}")).value;
        assert_eq!(experiment.hypothesis, "Losing one of 3 shops goes unnoticed.", "filled in at once");
        let Probe::Http(http) = &experiment.steady_state["checkout"].probe else { panic!("{experiment:?}") };
        assert_eq!(http.url.0, "http://x/${PATH}", "kept, so that no journal holds a secret");
        assert_eq!((http.headers["X-Debug"].0.as_str(), http.headers["Version"].0.as_str()), ("true", "1.10"));
        let Probe::Exec(exec) = &experiment.steady_state["shops"].probe else { panic!("{experiment:?}") };
        assert_eq!(exec.run[1].0, "3");
        assert_eq!(experiment.faults()[0].target.labels, ["a=b"]);
        assert_eq!(experiment.blast_radius.max_instances, Some(1));
        assert_eq!(experiment.faults()[0].fault, Fault::Kill(crate::experiment::fault::Kill::default()));
    }

    #[test]
    fn every_spelling_of_a_fault_without_parameters_is_the_same() {
        for fault in
            ["fault: pause", "fault: { pause: }", "fault: { pause: {} }", "fault:\n  pause:", "fault: { pause: ~ }"]
        {
            let experiment = read(&GOOD.replace("fault: kill", fault)).unwrap_or_else(|m| panic!("{fault}: {m}")).value;
            assert_eq!(experiment.faults()[0].fault.name(), "pause");
        }
    }

    #[test]
    fn what_was_read_can_be_stored_and_read_again() {
        let experiment = read(GOOD).unwrap_or_else(|m| panic!("{m}")).value;
        let json = serde_json::to_string(&experiment).unwrap();
        assert_eq!(serde_json::from_str::<Experiment>(&json).unwrap(), experiment);
    }

    #[test]
    fn a_secret_is_in_no_message() {
        let source = GOOD.replace("'http://x/${PATH}'", "'${SECRET}'");
        let lookup = |name: &str| if name == "SECRET" { Ok("hunter2".to_owned()) } else { lookup(name) };
        let mistakes = super::experiment("a.yaml", source.as_bytes(), &lookup).unwrap_err();
        assert!(mistakes.to_string().contains("${SECRET}"), "{mistakes}");
        assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");

        for (from, to) in [
            ("50/s", "'${SECRET}'"),
            ("99%", "'x${SECRET}'"),
            ("'1'", "'${SECRET}'"),
            ("30%", "'${SECRET}'"),
            ("fault: kill", "fault: { kill: { signal: '${SECRET}' } }"),
            ("'x:80'", "'${SECRET}'"),
            ("a=b", "'=${SECRET}'"),
            ("kill-one-shop", "'!${SECRET}'"),
        ] {
            let source = GOOD.replacen(from, to, 1);
            let mistakes = super::experiment("a.yaml", source.as_bytes(), &lookup).unwrap_err();
            assert!(!mistakes.to_string().contains("hunter2"), "{to}: {mistakes}");
        }
    }

    #[test]
    fn a_stack_is_read_by_the_same_rules() {
        let good = "version: 1\nname: demo\nservices:\n  shop: { command: [serve], needs: [store], port: 8000, environment: { A: 1 } }\n  store: { command: [serve] }\n";
        let stack = stack("stack.yaml", good.as_bytes(), &lookup).unwrap_or_else(|m| panic!("{m}")).value;
        assert_eq!(stack.services["shop"].environment["A"].0, "1");
        let bad = good
            .replace("needs: [store]", "needs: [stoer]")
            .replace("port: 8000", "port: 0")
            .replace("command: [serve] }\n", "comand: [] }\n");
        let mistakes = super::stack("stack.yaml", bad.as_bytes(), &lookup).unwrap_err().to_string();
        for want in ["did you mean `store`?", "cannot have these ports", "did you mean `command`?"] {
            assert!(mistakes.contains(want), "{want}: {mistakes}");
        }
    }

    /// A change that a slip of the hand makes.
    #[derive(Debug, Clone)]
    enum Slip {
        Remove(usize, usize),
        Insert(usize, String),
        Repeat(usize, usize),
    }

    fn slip() -> impl Strategy<Value = Slip> {
        let text = prop_oneof![
            "[ \\t\\n:{}\\[\\]&*!|>'\"%@`#,?-]{1,3}".prop_map(|s| s),
            "\\PC{1,4}".prop_map(|s| s),
            prop::sample::select(vec![
                "${NOPE}", "*a", "&a ", "- ", "? ", "\r\n", "\u{0}", "\u{feff}", "null", "1M", "{}", "<<: "
            ])
            .prop_map(str::to_owned),
        ];
        prop_oneof![
            (0..GOOD.len(), 1..40_usize).prop_map(|(at, n)| Slip::Remove(at, n)),
            (0..GOOD.len(), text).prop_map(|(at, text)| Slip::Insert(at, text)),
            (0..GOOD.len(), 1..60_usize).prop_map(|(at, n)| Slip::Repeat(at, n)),
        ]
    }

    fn slipped(slips: &[Slip]) -> String {
        let mut text = GOOD.to_owned();
        for slip in slips {
            let cut = |at: usize| text.floor_char_boundary(at.min(text.len()));
            match slip {
                Slip::Remove(at, n) => text.replace_range(cut(*at)..cut(at + n), ""),
                Slip::Insert(at, more) => text.insert_str(cut(*at), more),
                Slip::Repeat(at, n) => {
                    let part = text[cut(*at)..cut(at + n)].to_owned();
                    text.insert_str(cut(at + n), &part);
                }
            }
        }
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_slip_is_read_or_explained(slips in prop::collection::vec(slip(), 1..6)) {
            let source = slipped(&slips);
            match read(&source) {
                Ok(reading) => {
                    prop_assert_eq!(reading.warnings.count(Severity::Error), 0);
                    let _ = reading.warnings.render(true);
                }
                Err(mistakes) => {
                    prop_assert!(mistakes.count(Severity::Error) > 0);
                    prop_assert!(mistakes.list().iter().all(|m| m.at.end <= source.len() && m.at.start <= m.at.end));
                    let _ = mistakes.render(true);
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_explained(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mistakes = experiment("a.yaml", &bytes, &lookup).unwrap_err();
            prop_assert!(!mistakes.to_string().is_empty());
        }
    }
}
