//! A stack of containers from a compose file, that is up for one `squall run` and taken away when that is over, however it ends.
//!
//! Compose makes it, under a project name of our own. What is taken away is known by that name on the engine, whatever has
//! become of the file, and of Compose itself.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::brought_up::{self, Note};
use super::stack_guard::{self, StackGuard};
use crate::engine::docker::{Docker, Endpoint, Readiness, new_name, of_project};
use crate::engine::{Engine as _, StillThere};
use crate::host::store::StateDir;
use crate::host::{command, process};
use crate::text::glob::glob;

/// In the environment of Compose's processes, so that they are found by the process that takes the stack away.
const VARIABLE: &str = "SQUALL_PROJECT";
/// How long Compose may take: images are pulled and built.
const MAKING: Duration = Duration::from_mins(15);
/// How long the containers may take to be healthy, once they are started.
const HEALTH: Duration = Duration::from_mins(5);
/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a process of Compose's may take to end once it is killed.
const END: Duration = Duration::from_secs(10);
/// How many of Compose's last lines are shown.
const LINES: usize = 12;

/// Whether a file is one of Compose's, and not one of Squall's: by its name, or by what is in it.
pub(crate) fn is_compose(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let named = ["compose*.yaml", "compose*.yml", "docker-compose*.yaml", "docker-compose*.yml"];
    named.iter().any(|pattern| glob(pattern, &name))
        || std::fs::read_to_string(file).is_ok_and(|text| reads_as_compose(&text))
}

/// Ours has `version: 1`; Compose's has a text there, such as `"3.7"`, or nothing.
fn reads_as_compose(text: &str) -> bool {
    let Ok(file) = serde_yaml::from_str::<serde_yaml::Value>(text) else { return false };
    file.get("services").is_some_and(serde_yaml::Value::is_mapping)
        && file.get("version").and_then(serde_yaml::Value::as_u64) != Some(1)
}

/// The name that Compose gives the project of a file if the file gives no other.
pub(super) fn name_of(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let named = serde_yaml::from_str::<serde_yaml::Value>(&text).ok()?.get("name").cloned();
    let folder = || Some(file.canonicalize().ok()?.parent()?.file_name()?.to_string_lossy().to_lowercase());
    let name = named.and_then(|name| name.as_str().map(str::to_owned)).or_else(folder)?;
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    Some(name.trim_start_matches(['-', '_']).to_owned()).filter(|name| !name.is_empty())
}

/// A project that is up.
pub(super) struct Project {
    name: String,
    docker: Docker,
    guard: StackGuard,
    note: Option<Note>,
}

impl Project {
    /// Brings it up, and waits until every container of it is healthy (or runs, where it has no health check).
    ///
    /// # Errors
    /// Where it does not come up, with the last words of what failed; then nothing of it is left.
    pub(super) async fn up(file: &Path, endpoint: Endpoint, state: &StateDir) -> anyhow::Result<Self> {
        let docker = Docker::reach(endpoint).await?;
        let name = new_name();
        let environment = environment(&name, &docker);
        let compose = program(&environment).await?;
        let stack = brought_up::Stack { engine: docker.describe(), project: Some(name.clone()) };
        let note = Note::write(&brought_up::directory(state, &name), &stack)?;
        let mut words: Vec<OsString> = vec!["--state".into(), state.root().into()];
        words.extend(["stack", "keep", "--project", &name, "--on", &stack_guard::engine(&docker)].map(OsString::from));
        let guard = StackGuard::start(words).await.inspect_err(|_| brought_up::over(note.as_ref()))?;
        let project = Self { name, docker, guard, note };
        let stopped = stopped()?;
        let came = tokio::select! {
            came = project.make(&compose, file, &environment) => came,
            signal = stopped => Err(anyhow!("stopped by {signal}")),
        };
        match came {
            Ok(()) => Ok(project),
            Err(e) => {
                let words = project.last_words().await;
                project.down().await.context(StillThere(format!("{e:#}{words}")))?;
                bail!("the stack {} did not come up, and nothing of it is left: {e:#}{words}", file.display())
            }
        }
    }

    /// Its name, which no other project has.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    async fn make(&self, compose: &[&str], file: &Path, environment: &[(&str, String)]) -> anyhow::Result<()> {
        let file = file.to_str().with_context(|| format!("the name of {} is no text", file.display()))?;
        let words = compose.iter().copied().chain(["--file", file, "--project-name", &self.name, "up", "--detach"]);
        let argv: Vec<String> = words.map(str::to_owned).collect();
        let output = command::run(&argv, environment, MAKING).await?;
        let Some(output) = output else {
            bail!("`{}` took longer than {}", argv.join(" "), humantime::format_duration(MAKING));
        };
        if output.status != 0 {
            bail!("`{}` ended with exit status {}:\n{}", argv.join(" "), output.status, last_lines(&output.stderr));
        }
        self.healthy().await
    }

    /// Returns when every container is ready.
    async fn healthy(&self) -> anyhow::Result<()> {
        let end = Instant::now() + HEALTH;
        loop {
            let all = self.docker.readiness(&of_project(&self.name)).await?;
            let of = |wanted: fn(&Readiness) -> bool| {
                all.iter().filter(|(_, _, r)| wanted(r)).map(|(_, name, r)| format!("{name} {r}")).collect::<Vec<_>>()
            };
            let failed = of(|r| matches!(r, Readiness::Failed(_)));
            let waiting = of(|r| matches!(r, Readiness::Starting));
            if !failed.is_empty() {
                bail!("{}", failed.join("; "));
            }
            if all.is_empty() {
                bail!("it has no containers");
            }
            if waiting.is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                bail!("{} after {}", waiting.join("; "), humantime::format_duration(HEALTH));
            }
            sleep(LOOK).await;
        }
    }

    /// What those printed last that are not ready.
    async fn last_words(&self) -> String {
        let mut words = String::new();
        for (id, name, readiness) in self.docker.readiness(&of_project(&self.name)).await.unwrap_or_default() {
            if readiness != Readiness::Ready {
                for line in self.docker.last_words(&id).await.lines() {
                    let _ = write!(words, "\n{name} | {line}");
                }
            }
        }
        words
    }

    /// Takes it away: containers, networks and volumes.
    ///
    /// # Errors
    /// Where the engine refuses; the guard tries again then.
    pub(super) async fn down(self) -> anyhow::Result<()> {
        take_away(&self.docker, &self.name).await?;
        brought_up::over(self.note.as_ref());
        self.guard.shutdown().await;
        Ok(())
    }
}

/// Takes away all that carries a project's name, and ends the processes of Compose that would still add to it.
pub(super) async fn take_away(docker: &Docker, project: &str) -> anyhow::Result<()> {
    process::kill_with_variable(VARIABLE, project, END).await.context("cannot end Compose")?;
    docker.remove_labelled(&of_project(project), false).await?;
    docker.remove_volumes_labelled(&of_project(project)).await?;
    Ok(())
}

fn environment(project: &str, docker: &Docker) -> Vec<(&'static str, String)> {
    let mut environment = docker.environment();
    environment.push((VARIABLE, project.to_owned()));
    environment
}

/// `docker compose`, or `docker-compose` where there is no such plugin.
async fn program(environment: &[(&str, String)]) -> anyhow::Result<Vec<&'static str>> {
    const TIMEOUT: Duration = Duration::from_secs(20);
    for words in [&["docker", "compose"][..], &["docker-compose"]] {
        let argv: Vec<String> = words.iter().chain(&["version"]).map(|w| (*w).to_owned()).collect();
        if let Ok(Some(output)) = command::run(&argv, environment, TIMEOUT).await
            && output.status == 0
        {
            return Ok(words.to_vec());
        }
    }
    bail!("a compose file needs `docker compose` or `docker-compose` in the PATH; install one of them")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// The name of the first signal that comes.
fn stopped() -> anyhow::Result<impl Future<Output = &'static str>> {
    let mut int = signal(SignalKind::interrupt()).context("cannot heed SIGINT")?;
    let mut term = signal(SignalKind::terminate()).context("cannot heed SIGTERM")?;
    let mut hup = signal(SignalKind::hangup()).context("cannot heed SIGHUP")?;
    Ok(async move {
        tokio::select! {
            _ = int.recv() => "SIGINT",
            _ = term.recv() => "SIGTERM",
            _ = hup.recv() => "SIGHUP",
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compose_file_is_known_by_its_name_or_by_what_is_in_it() {
        for name in ["compose.yaml", "compose.ci.yml", "deploy/docker-compose.yml", "docker-compose.test.yaml"] {
            assert!(is_compose(Path::new(name)), "{name}");
        }
        assert!(!is_compose(Path::new("/nowhere/stack.yaml")));
        for (text, compose) in [
            ("services: { shop: { image: shop } }", true),
            ("version: '3.7'\nservices: { shop: { image: shop } }", true),
            ("version: 1\nname: shop\nservices: { shop: { command: [shop] } }", false),
            ("version: 1\nname: x\nfault: pause", false),
            ("- services", false),
        ] {
            assert_eq!(reads_as_compose(text), compose, "{text}");
        }
    }

    #[test]
    fn a_project_is_named_by_its_file_or_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("My.Shop");
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("compose.yaml");
        for (text, name) in [("services: {}", "myshop"), ("name: billing\nservices: {}", "billing")] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(name_of(&file).as_deref(), Some(name));
        }
    }

    #[test]
    fn the_last_lines_are_shown() {
        assert_eq!(last_lines("a\n\nb\n"), "a\nb");
        let many = (0..50).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        assert!(last_lines(&many).starts_with("38\n") && last_lines(&many).ends_with("\n49"));
    }
}
