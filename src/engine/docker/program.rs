//! Whether a command's program is in its container: looked up through the engine, so that nothing is run for it, and in a
//! container without a shell, too.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use bollard::container::PathStatResponse;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::ContainerArchiveInfoOptionsBuilder;

use super::Docker;
use super::failure::{Failure, within};
use crate::engine::fill_command;
use crate::engine::here::variable_in_use;
use crate::model::instance::{Command, InstanceId};

/// How long the engine may take to look at one file. What it does not tell is no objection to the command.
const ANSWER: Duration = Duration::from_secs(3);

/// Where a container without a `PATH` of its own looks.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Docker {
    /// Why a command could not be started in a container; `None` where its program is there, or that cannot be told.
    pub(super) async fn lacks(&self, id: &InstanceId, command: &Command) -> Option<String> {
        let program = match fill_command(command, variable_in_use) {
            Ok(argv) => argv.into_iter().next().unwrap_or_default(),
            Err(e) => return Some(e.to_string()),
        };
        let container = self.inspect_within(ANSWER, &id.0).await.ok()??;
        let name = super::container::name_of(&container, id);
        let places = places(&container, &program);
        for place in &places {
            // The engine does not see into file systems in memory.
            if in_memory(&container, place) {
                return None;
            }
            let options = ContainerArchiveInfoOptionsBuilder::new().path(&place.to_string_lossy()).build();
            match within(ANSWER, self.api.get_container_archive_info(&id.0, Some(options))).await {
                Ok(file) if may_run(&file) => return None,
                Ok(_) | Err(Failure::Missing(_)) => {}
                Err(_) => return None,
            }
        }
        let looked: Vec<_> = places.iter().filter_map(|p| p.parent()).map(|dir| dir.display().to_string()).collect();
        Some(format!("there is no program `{program}` in {name} (looked in {})", looked.join(":")))
    }
}

/// Where the runtime looks for a program, in its order. Pure.
fn places(container: &ContainerInspectResponse, program: &str) -> Vec<PathBuf> {
    let config = container.config.as_ref();
    let directory = config.and_then(|c| c.working_dir.as_deref()).filter(|dir| !dir.is_empty()).unwrap_or("/");
    if program.contains('/') {
        return vec![plain(&Path::new(directory).join(program))];
    }
    let path = config.and_then(|c| c.env.iter().flatten().find_map(|v| v.strip_prefix("PATH=")));
    let dirs = path.unwrap_or(DEFAULT_PATH).split(':').filter(|dir| dir.starts_with('/'));
    dirs.map(|dir| Path::new(dir).join(program)).collect()
}

/// The same path without `.`, which the engine would take for a file's name.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|c| *c != Component::CurDir).collect()
}

fn in_memory(container: &ContainerInspectResponse, place: &Path) -> bool {
    let tmpfs = container.host_config.as_ref().and_then(|h| h.tmpfs.as_ref());
    tmpfs.is_some_and(|all| all.keys().any(|dir| place.starts_with(dir)))
        || container.mounts.iter().flatten().any(|m| {
            m.typ.as_deref() == Some("tmpfs") && m.destination.as_deref().is_some_and(|dir| place.starts_with(dir))
        })
}

/// As Go writes a file's mode: a link may lead to anything.
fn may_run(file: &PathStatResponse) -> bool {
    const DIRECTORY: u32 = 1 << 31;
    const LINK: u32 = 1 << 27;
    file.file_mode & LINK != 0 || file.file_mode & DIRECTORY == 0 && file.file_mode & 0o111 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(config: &serde_json::Value) -> ContainerInspectResponse {
        serde_json::from_value(config.clone()).unwrap()
    }

    #[test]
    fn a_program_is_looked_for_where_the_runtime_looks() {
        let bare = container(&serde_json::json!({}));
        assert_eq!(places(&bare, "sh").len(), 6);
        assert_eq!(places(&bare, "/bin/sh"), [PathBuf::from("/bin/sh")]);
        let own = serde_json::json!({ "Config": { "Env": ["A=1", "PATH=/a:/b:"], "WorkingDir": "/app" } });
        assert_eq!(places(&container(&own), "sh"), ["/a/sh", "/b/sh"].map(PathBuf::from));
        assert_eq!(places(&container(&own), "./undo"), [PathBuf::from("/app/undo")]);
    }

    #[test]
    fn what_the_engine_cannot_see_is_not_held_against_a_command() {
        let memory = serde_json::json!({ "HostConfig": { "Tmpfs": { "/run": "" } } });
        let has = container(&memory);
        assert!(in_memory(&has, Path::new("/run/undo")) && !in_memory(&has, Path::new("/running/undo")));
    }
}
