//! Whether a report for programs is what its documentation says, field by field. For tests.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// The paths of all fields, such as `checks[].phases[].from`.
pub(super) struct Fields {
    /// Those whose insides are documented elsewhere.
    pub(super) opaque: &'static [&'static str],
    /// Those with keys that users name: `*`.
    pub(super) keyed: &'static [&'static str],
}

impl Fields {
    /// Adds those of a report.
    pub(super) fn of(&self, value: &Value, into: &mut BTreeSet<String>) {
        self.under(value, "", into);
    }

    fn under(&self, value: &Value, at: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) if !self.opaque.contains(&at) => {
                for (key, value) in map {
                    let key = if self.keyed.contains(&at) { "*" } else { key };
                    let path = if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
                    into.insert(path.clone());
                    self.under(value, &path, into);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.under(item, &format!("{at}[]"), into)),
            _ => {}
        }
    }
}

/// Holds them against the first column of a page's tables.
#[track_caller]
pub(super) fn are_those_of(page: &str, produced: &BTreeSet<String>) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let documented: BTreeSet<String> = std::fs::read_to_string(page)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(path, _)| path.to_owned()))
        .collect();
    let missing: Vec<_> = produced.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(produced).collect();
    assert!(missing.is_empty() && stale.is_empty(), "not documented: {missing:#?}\nnot produced: {stale:#?}");
}
