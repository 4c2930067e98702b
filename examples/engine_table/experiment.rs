//! The files of `experiments/`, and what their first lines say that they come to.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::engines::Kind;

/// One of them.
pub(crate) struct Experiment {
    /// Its file's name, without the ending.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// The exit code that it ends with.
    pub(crate) expected: i32,
    /// Whether it asks a Prometheus and an Alertmanager.
    pub(crate) is_monitored: bool,
}

/// What engines cannot do, which is refused when it is planned: the file, on which engines, and words of the reason. Another refusal is wrong.
const REFUSED: [(&str, Option<Kind>, &str); 5] = [
    // The shops of the demonstration have no workers.
    ("process-workers-of-one-shop", None, "worker*"),
    ("zone-power", Some(Kind::Podman), "cannot change the restart policy"),
    // They are for several machines, and this is one.
    ("node-drain", None, "nothing matches the target (node n2)"),
    ("node-isolate", None, "nothing matches the target (node n2)"),
    ("node-power", None, "nothing matches the target (node n2)"),
];

impl Experiment {
    /// All of them, by their names.
    ///
    /// # Errors
    /// Where one cannot be read, or does not say what it comes to.
    pub(crate) fn all() -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/experiments"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "yaml") {
                all.push(Self::read(&path)?);
            }
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let head: Vec<&str> = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
        let expected = expected(&head.join(" "))
            .with_context(|| format!("{} does not say in its first lines what to expect", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, path: path.to_owned(), expected, is_monitored: text.contains("127.0.0.1:9090") })
    }

    /// Whether it may be refused on an engine for such a reason.
    pub(crate) fn may_be_refused(&self, kind: Kind, why: &str) -> bool {
        REFUSED
            .iter()
            .any(|(name, on, words)| *name == self.name && on.is_none_or(|on| on == kind) && why.contains(words))
    }
}

/// The exit code of the first verdict that is to be expected.
fn expected(head: &str) -> Option<i32> {
    let (_, after) = head.split_once("xpect the verdict `")?;
    match after.split_once('`')?.0 {
        "held" => Some(0),
        "broken" => Some(1),
        _ => None,
    }
}
