//! Which engine the `docker` command means, where that is another than the usual one: contexts are not followed, so a run under
//! one is refused before it reaches an engine that was not meant.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{DEFAULT_HOST, Docker};
use crate::engine::EngineError;

/// Where the `docker` command looks for its context.
#[derive(Debug, Clone, Default)]
struct Settings {
    /// The value of `DOCKER_CONTEXT`.
    variable: Option<String>,
    /// The directory of `config.json` and of the contexts.
    directory: Option<PathBuf>,
}

impl Settings {
    fn here() -> Self {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = || text("HOME").map(|home| Path::new(&home).join(".docker"));
        Self { variable: text("DOCKER_CONTEXT"), directory: text("DOCKER_CONFIG").map(PathBuf::from).or_else(home) }
    }

    /// The name of the context that is chosen, and by what; `None` for the default one.
    fn chosen(&self) -> Option<(String, &'static str)> {
        let named = self.variable.clone().map(|name| (name, "DOCKER_CONTEXT"));
        let current = || {
            let config: Value = read(&self.directory.as_ref()?.join("config.json"))?;
            Some((config["currentContext"].as_str()?.to_owned(), "`docker context use`"))
        };
        named.or_else(current).filter(|(name, _)| !name.is_empty() && name != "default")
    }

    /// The address of a context's engine, if it is known.
    fn address(&self, context: &str) -> Option<String> {
        let all = std::fs::read_dir(self.directory.as_ref()?.join("contexts/meta")).ok()?;
        all.filter_map(Result::ok)
            .filter_map(|entry| read(&entry.path().join("meta.json")))
            .find(|meta| meta["Name"] == context)
            .and_then(|meta| meta["Endpoints"]["docker"]["Host"].as_str().map(str::to_owned))
    }

    /// Why the usual engine is not the one that `docker` shows, if it is not.
    fn another_engine(&self) -> Option<String> {
        let (name, by) = self.chosen()?;
        let address = self.address(&name);
        if address.as_deref().is_some_and(|a| same(a, DEFAULT_HOST)) {
            return None;
        }
        let there = address.as_deref().unwrap_or("an engine that its files do not tell");
        let example = address.as_deref().unwrap_or("unix:///path/to/docker.sock");
        Some(format!(
            "the current Docker context is `{name}` (by {by}), which is {there}; Squall does not follow contexts and would use \
             {DEFAULT_HOST}. Name the engine: `--docker-host {example}` or DOCKER_HOST, `--docker-host {DEFAULT_HOST}` for this \
             machine's own"
        ))
    }
}

fn read(file: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Whether two addresses are one socket, `/run` and `/var/run` being the same directory on most machines.
fn same(one: &str, other: &str) -> bool {
    let real = |address: &str| {
        let path = Path::new(address.strip_prefix("unix://").unwrap_or(address));
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    };
    real(one) == real(other)
}

impl Docker {
    /// Finds the engine at `host`, else the usual one, unless the `docker` command would use another by its context.
    ///
    /// # Errors
    /// As [`Docker::connect`]; and where a context names another engine.
    pub async fn meant(host: Option<&str>) -> Result<Self, EngineError> {
        if host.is_none_or(str::is_empty)
            && let Some(why) = Settings::here().another_engine()
        {
            return Err(EngineError::NotMeant { why });
        }
        Self::connect(host).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory as `docker context create` leaves it.
    fn directory(current: &str, contexts: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("config.json"),
            format!(r#"{{ "auths": {{}}, "currentContext": "{current}" }}"#),
        )
        .unwrap();
        for (n, (name, host)) in contexts.iter().enumerate() {
            let meta = dir.path().join(format!("contexts/meta/{n}"));
            std::fs::create_dir_all(&meta).unwrap();
            let text = format!(
                r#"{{ "Name": "{name}", "Metadata": {{}}, "Endpoints": {{ "docker": {{ "Host": "{host}" }} }} }}"#
            );
            std::fs::write(meta.join("meta.json"), text).unwrap();
        }
        dir
    }

    fn refusal(variable: Option<&str>, dir: &tempfile::TempDir) -> Option<String> {
        let directory = Some(dir.path().to_owned());
        Settings { variable: variable.map(str::to_owned), directory }.another_engine()
    }

    #[test]
    fn a_context_with_another_engine_is_refused_and_both_are_named() {
        let dir = directory("staging", &[("prod", "tcp://10.0.0.9:2375"), ("staging", "ssh://me@staging")]);
        let by_file = refusal(None, &dir).unwrap();
        assert!(by_file.contains("`staging`") && by_file.contains("ssh://me@staging"), "{by_file}");
        assert!(by_file.contains(DEFAULT_HOST), "{by_file}");
        let by_variable = refusal(Some("prod"), &dir).unwrap();
        assert!(by_variable.contains("`prod` (by DOCKER_CONTEXT)") && by_variable.contains("tcp://10.0.0.9:2375"));
        assert!(refusal(Some("gone"), &dir).unwrap().contains("its files do not tell"));
    }

    #[test]
    fn the_default_context_and_one_of_the_same_engine_are_fine() {
        let dir = directory("staging", &[("staging", "ssh://me@staging"), ("mine", DEFAULT_HOST)]);
        assert_eq!(refusal(Some("default"), &dir), None, "the variable overrules the file");
        assert_eq!(refusal(Some("mine"), &dir), None);
        assert_eq!(refusal(None, &directory("default", &[])), None);
        assert_eq!(refusal(None, &directory("", &[])), None);
        assert_eq!(refusal(None, &tempfile::tempdir().unwrap()), None, "there is no config.json");
    }
}
