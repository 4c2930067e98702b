//! A container with the program in it, and what is done to it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, LogsOptionsBuilder, RemoveVolumeOptions, StartContainerOptions,
};
use futures_util::TryStreamExt as _;
use squall::engine::docker::Docker;
use squall::engine::{Ability, Apply as _, Engine as _, Observe as _, Outcome, Tag};
use squall::experiment::fault::{Context, Fault};
use squall::host::facts::Facts;
use squall::model::instance::{Aspect, Instance, InstanceId, Rollback, Setting};

use crate::cases::Case;
use crate::within::{Said, parse};

/// The word that this program is started with in the container.
pub(crate) const WITHIN: &str = "within";

/// How long it may take until the program says what it should.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often it is listened to.
const LISTEN: Duration = Duration::from_millis(100);

/// A container with the program in it.
pub(crate) struct Stage {
    docker: Docker,
    api: bollard::Docker,
    name: String,
    id: InstanceId,
    volume: Option<String>,
}

/// What became of a fault.
pub(crate) struct Row {
    fault: &'static str,
    before: String,
    during: String,
    after: String,
    counters: String,
    complaints: Vec<String>,
    /// How often it was taken before.
    again: usize,
}

impl Stage {
    pub(crate) async fn open(data: Option<&str>) -> anyhow::Result<Self> {
        let docker = Docker::connect(std::env::var("DOCKER_HOST").ok().as_deref()).await?;
        let api = bollard::Docker::connect_with_defaults()?;
        let name = format!("squall-machine-{}", std::process::id());
        let image = docker.own_image("squall-machine").await?;
        let volume = data.is_none().then(|| name.clone());
        let body = ContainerCreateBody {
            image: Some(image),
            cmd: Some(vec![WITHIN.to_owned()]),
            env: Some(["BURN=1", "HOLD=40", "WORKER=1"].map(str::to_owned).to_vec()),
            labels: Some(HashMap::from([("squall.machine".to_owned(), std::process::id().to_string())])),
            host_config: Some(HostConfig {
                binds: Some(vec![format!("{}:/data", data.unwrap_or(&name))]),
                tmpfs: Some(HashMap::from([("/memory".to_owned(), "size=32m,nr_inodes=1000".to_owned())])),
                memory: Some(256 << 20),
                nano_cpus: Some(500_000_000),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let id = InstanceId(api.create_container(Some(options), body).await?.id);
        let stage = Self { docker, api, name, id, volume };
        let started = stage.api.start_container(&stage.id.0, None::<StartContainerOptions>).await;
        match started {
            Ok(()) => Ok(stage),
            Err(e) => stage.clear().await.and(Err(e.into())),
        }
    }

    /// Removes everything.
    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        self.docker.remove_labelled(&format!("squall.machine={}", std::process::id()), true).await?;
        if let Some(volume) = &self.volume {
            self.api.remove_volume(volume, None::<RemoveVolumeOptions>).await?;
        }
        Ok(self.docker.remove_images_of("squall-machine", None).await?)
    }

    /// On what it runs.
    pub(crate) fn describe(&self) -> String {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let groups =
            Facts::here().cgroups().map_or("no control groups".to_owned(), |c| format!("control groups {c:?}"));
        format!("On {}, Linux {}, {groups}.", self.docker.describe().version, release.trim())
    }

    async fn look(&self) -> anyhow::Result<Instance> {
        self.docker.look(&self.id).await?.context("the container is gone")
    }

    /// What the program said last.
    async fn said(&self) -> anyhow::Result<Said> {
        let options = LogsOptionsBuilder::new().stdout(true).tail("1").build();
        let lines: Vec<_> = self.api.logs(&self.id.0, Some(options)).try_collect().await?;
        Ok(parse(&lines.iter().map(ToString::to_string).collect::<String>()))
    }

    /// Listens until the program says it; what it said last, and whether it was that.
    async fn hear(&self, is: impl Fn(&Said) -> bool) -> anyhow::Result<(Said, bool)> {
        let end = tokio::time::Instant::now() + PATIENCE;
        // What it is saying at the moment is of the time before, and counters take their time.
        tokio::time::sleep(LISTEN * 15).await;
        loop {
            let said = self.said().await?;
            if is(&said) || tokio::time::Instant::now() >= end {
                let heard = is(&said);
                return Ok((said, heard));
            }
            tokio::time::sleep(LISTEN).await;
        }
    }

    /// Does it, and rolls it back.
    pub(crate) async fn row(&self, case: &Case) -> anyhow::Result<Row> {
        let written: serde_json::Value = serde_yaml::from_str(&format!("{{ {} }}", case.fault))?;
        let fault: Fault = serde_json::from_value(written)?;
        let mut complaints = Vec::new();
        let (well, good) = self.hear(|said| case.is_well(said)).await?;
        ensure!(good, "it is not well before: {well:?}");
        let before = self.look().await?;
        if let Some(why) = fault.disturb().refuses(&before) {
            bail!("refused: {why}");
        }
        let mut settings =
            fault.disturb().settings(&before, &Context { time_limit: Duration::from_hours(24), ..Context::default() });
        for to in &mut settings {
            match self.docker.ability(&before, to) {
                Ability::No(why) => bail!("{why}"),
                Ability::As(other) => *to = *other,
                Ability::Yes => {}
            }
        }
        let made = self.set_all(&settings).await;
        let (ill, good) = self.hear(|said| case.is_ill(said, &well)).await?;
        if !good {
            complaints.push(format!("it met {ill:?}"));
        }
        let during = self.look().await?;
        for to in &settings {
            if to.observed_as().as_ref() != during.settings.get(&to.aspect()) {
                complaints.push(format!("it is not {to}"));
            }
        }
        let old = |to: &Setting| match fault.disturb().back(to, before.settings.get(&to.aspect())) {
            Rollback::To(old) => Some(old),
            Rollback::Nothing => None,
        };
        let undone = self.set_all(&settings.iter().filter_map(old).collect::<Vec<_>>()).await;
        made?;
        undone?;
        let (after, good) = self.hear(|said| case.is_well(said)).await?;
        if !good {
            complaints.push(format!("it still meets {after:?}"));
        }
        if self.look().await?.settings != before.settings {
            complaints.push("it is not as before".to_owned());
        }
        let aspects: Vec<Aspect> = settings.iter().map(Setting::aspect).collect();
        let seen = aspects.iter().filter_map(|a| during.sees.get(a)).flat_map(|sees| sees.split("; "));
        // Of several file systems, the one that is filled.
        let counters: Vec<&str> = seen.filter(|sees| !sees.starts_with('/') || sees.contains('→')).collect();
        Ok(Row {
            fault: case.fault,
            before: case.shown(&well),
            during: case.shown(&ill),
            after: case.shown(&after),
            counters: counters.join("; "),
            complaints,
            again: 0,
        })
    }

    async fn set_all(&self, settings: &[Setting]) -> anyhow::Result<()> {
        for to in settings {
            let tag = Tag { run: self.name.clone(), change: 0 };
            let end = tokio::time::Instant::now() + PATIENCE;
            let outcome = loop {
                match self.docker.set(&tag, &self.id, to).await {
                    // What the program writes to cannot be made read-only at that very moment.
                    Err(e) if e.to_string().contains("open for writing") && tokio::time::Instant::now() < end => {
                        tokio::time::sleep(LISTEN).await;
                    }
                    other => break other?,
                }
            };
            ensure!(outcome == Outcome::Done, "{to}: {outcome:?}");
        }
        Ok(())
    }
}

impl Row {
    pub(crate) fn is_good(&self) -> bool {
        self.complaints.is_empty()
    }

    pub(crate) fn taken(self, again: usize) -> Self {
        Self { again, ..self }
    }

    pub(crate) fn is_as_before(&self) -> bool {
        !self.complaints.iter().any(|c| c.contains("as before"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, before, during, after, counters, .. } = self;
        let as_before = if self.is_as_before() { "yes" } else { "**no**" };
        let again = ["", ", the second time", ", the third time"].get(self.again).copied().unwrap_or_default();
        let good =
            if self.is_good() { format!("yes{again}") } else { format!("**no**: {}", self.complaints.join("; ")) };
        write!(f, "| `{fault}` | {before} | {during} | {after} | {counters} | {as_before} | {good} |")
    }
}
