//! `squall.yaml`: what holds for all experiments in its folder and below.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::diagnostic::Mistakes;
use super::document::{self, Reading};
use super::{Experiment, check};
use crate::model::quantity::Lookup;

/// How such a file is called.
pub const NAME: &str = "squall.yaml";

/// What holds for all experiments in a folder and below, where they do not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProjectFile {
    /// Version of the file format; 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The projects that they are about (`*` stands for any text, `none` for what is in no project): of Compose, or a stack of
    /// Swarm.
    #[schemars(extend("x-one" = true))]
    pub project: Vec<String>,
}

impl ProjectFile {
    /// Gives an experiment what it does not say itself.
    pub fn apply(&self, x: &mut Experiment) {
        if x.project.is_empty() {
            x.project.clone_from(&self.project);
        }
    }
}

/// Reads such a file; `name` is how messages call it.
///
/// # Errors
/// Every mistake in it, each with its place.
pub fn read(name: &str, bytes: &[u8], lookup: Lookup<'_>) -> Result<Reading<ProjectFile>, Mistakes> {
    let (mut document, value) = document::parse(name, bytes, lookup)?;
    check::project_file(&mut document);
    document.finish(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_file_is_read_as_strictly_as_an_experiment() {
        let read = |text: &str| super::read(NAME, text.as_bytes(), &|_| Err(crate::model::quantity::Absent::Unset));
        assert_eq!(read("version: 1\nproject: shop").unwrap().value.project, ["shop"]);
        for (text, want) in [
            ("version: 1\nprojekt: shop", "did you mean `project`?"),
            ("version: 1\nproject: shop\nzones: { label: rack }", "unknown key `zones`"),
            ("version: 2\nproject: shop", "`version` must be 1"),
            ("version: 1\nproject: ''", "`project` is empty"),
            ("version: 1", "the file lacks `project`"),
        ] {
            let mistakes = read(text).unwrap_err().to_string();
            assert!(mistakes.contains(want), "{want}: {mistakes}");
        }
    }
}
