//! What is different where the engine is Podman, which speaks Docker's language: what it lacks, and which of its containers are no
//! instances.

use bollard::models::{ContainerInspectResponse, SystemInfo, SystemInfoCgroupVersionEnum, SystemVersion};
use futures_util::TryStreamExt as _;
use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use serde_json::Value;

use super::QUICK;
use super::failure::within;
use crate::model::instance::Setting;

/// A Podman, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Podman {
    /// As it says it.
    version: String,
    /// Whether it runs without root.
    pub(super) rootless: bool,
    /// Whether it puts containers in control groups that can be frozen.
    freezes: bool,
}

/// The first one that changes restart policies.
const UPDATES: (u32, u32) = (5, 1);

impl Podman {
    /// `None` where an engine is none.
    pub(super) async fn of(api: &bollard::Docker, version: &SystemVersion, info: &SystemInfo) -> Option<Self> {
        Self::read(version, info, is_rootless(api)).await
    }

    async fn read(version: &SystemVersion, info: &SystemInfo, rootless: impl Future<Output = bool>) -> Option<Self> {
        let mut components = version.components.iter().flatten();
        let engine = components.find(|component| component.name == "Podman Engine")?;
        let rootless = rootless.await;
        let v1 = info.cgroup_version == Some(SystemInfoCgroupVersionEnum::_1);
        Some(Self { version: engine.version.clone(), rootless, freezes: !(rootless && v1) })
    }

    /// What it is, for people.
    pub(super) fn words(&self) -> String {
        format!("Podman {}{}", self.version, if self.rootless { ", rootless" } else { "" })
    }

    /// Why it cannot make such a setting so, and what to do; `None` where it can.
    pub(super) fn lacks(&self, to: &Setting) -> Option<String> {
        match to {
            Setting::RestartPolicy(_) if self.number() < UPDATES => Some(format!(
                "Podman {} cannot change the restart policy of a container, which takes 5.1: use a newer one, or leave restart \
                 policies as they are with `heal: self`",
                self.version
            )),
            Setting::Paused(true) if !self.freezes => Some(
                "rootless Podman cannot pause containers where control groups are of version 1: run it as root, or on a host with \
                 version 2"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// The first two parts of its version; the newest where they cannot be read.
    fn number(&self) -> (u32, u32) {
        let mut parts = self.version.split(['.', '-']).map(|part| part.parse().unwrap_or(u32::MAX));
        (parts.next().unwrap_or(u32::MAX), parts.next().unwrap_or(u32::MAX))
    }
}

/// Whether a Podman runs without root.
async fn is_rootless(api: &bollard::Docker) -> bool {
    raw(api, "/info").await.is_some_and(|info| info["Rootless"] == true)
}

/// The option by which a container of Podman's may write the kernel's values: it does not read the paths that Docker is told of.
pub(super) const WRITABLE_KERNEL: &str = "unmask=ALL";

/// Where a Podman has its socket unless it was told otherwise, if it runs as root.
pub(super) const USUAL_SOCKET: &str = "/run/podman/podman.sock";

/// Where the service of a Podman listens on its own host; `None` where that is no socket, or it does not say.
pub(super) async fn socket(api: &bollard::Docker) -> Option<String> {
    let info = raw(api, "/v4.0.0/libpod/info").await?;
    let path = info["host"]["remoteSocket"]["path"].as_str()?;
    let path = path.strip_prefix("unix://").unwrap_or(path);
    path.starts_with('/').then(|| path.to_owned())
}

/// An answer as it stands, for what the client knows no field for: by the one call that hands over whatever it gets.
async fn raw(api: &bollard::Docker, path: &'static str) -> Option<Value> {
    let api = api.clone().with_request_modifier(move |mut request| {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static(path));
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        request
    });
    let answer = within(QUICK, api.export_container("info").try_collect::<Vec<_>>()).await.ok()?.concat();
    serde_json::from_slice(&answer).ok()
}

/// Whether a container only holds the namespaces of its pod: it runs nothing of anybody's.
pub(super) fn is_infra(container: &ContainerInspectResponse) -> bool {
    let name = container.name.as_deref().unwrap_or_default().trim_start_matches('/');
    let is_id = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let image = container.config.as_ref().and_then(|c| c.image.as_deref()).unwrap_or_default();
    name.strip_suffix("-infra").is_some_and(is_id) || image.starts_with("localhost/podman-pause:")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fake::Fake;
    use super::*;
    use crate::model::instance::RestartPolicy;

    async fn podman(version: &str, rootless: bool, cgroups: &str) -> Podman {
        let told = json!({ "Version": version, "Components": [{ "Name": "Podman Engine", "Version": version }] });
        let info = json!({ "CgroupVersion": cgroups });
        let (told, info) = (serde_json::from_value(told).unwrap(), serde_json::from_value(info).unwrap());
        Podman::read(&told, &info, async { rootless }).await.unwrap()
    }

    #[tokio::test]
    async fn only_podman_is_podman() {
        let docker = json!({ "Version": "20.10.24", "Components": [{ "Name": "Engine", "Version": "20.10.24" }] });
        assert_eq!(
            Podman::read(&serde_json::from_value(docker).unwrap(), &SystemInfo::default(), async { true }).await,
            None
        );
        assert_eq!(podman("4.3.1", false, "1").await.words(), "Podman 4.3.1");
        assert_eq!(podman("5.4.2", true, "2").await.words(), "Podman 5.4.2, rootless");
    }

    #[tokio::test]
    async fn what_it_lacks_is_told_with_what_to_do() {
        let policy = Setting::RestartPolicy(RestartPolicy::Never);
        for (version, lacks) in
            [("4.3.1", true), ("5.0.3", true), ("5.1.0-rc1", false), ("5.10", false), ("6.1.0", false)]
        {
            let why = podman(version, false, "2").await.lacks(&policy);
            assert_eq!(why.is_some(), lacks, "{version}: {why:?}");
        }
        for (rootless, cgroups, lacks) in [(true, "1", true), (true, "2", false), (false, "1", false)] {
            let podman = podman("4.3.1", rootless, cgroups).await;
            assert_eq!(podman.lacks(&Setting::Paused(true)).is_some(), lacks, "{rootless}, version {cgroups}");
            assert_eq!(podman.lacks(&Setting::Paused(false)), None);
        }
    }

    #[tokio::test]
    async fn it_says_where_its_socket_is() {
        for (path, there) in [
            ("unix:///run/elsewhere/podman.sock", Some("/run/elsewhere/podman.sock")),
            ("/run/podman/podman.sock", Some("/run/podman/podman.sock")),
            ("tcp://0.0.0.0:2375", None),
        ] {
            let fake = Fake::new(move |_, asked| match asked {
                "GET /v4.0.0/libpod/info" => (200, json!({ "host": { "remoteSocket": { "path": path } } }).to_string()),
                _ => (404, "{}".to_owned()),
            });
            assert_eq!(socket(&fake.await.docker.api).await.as_deref(), there, "{path}");
        }
        let silent = Fake::new(|_, _| (404, "{}".to_owned())).await;
        assert_eq!(socket(&silent.docker.api).await, None);
    }

    #[test]
    fn what_holds_a_pod_together_is_infra_and_nothing_else() {
        let of = |name: &str, image: &str| {
            is_infra(&serde_json::from_value(json!({ "Name": name, "Config": { "Image": image } })).unwrap())
        };
        assert!(of("/235135ae720c-infra", "localhost/any:1"));
        assert!(of("/mine", "localhost/podman-pause:4.3.1-0"));
        assert!(!of("/shop-infra", "shop:1") && !of("/235135ae720c", "shop:1"));
    }
}
