//! Plain processes on this machine, started from a stack file; no root needed, unless the stack has a network of its own.
//!
//! There is no daemon: a state file per stack says which processes there are, and /proc says how they are. So any
//! process can observe and set, and what one of them started outlives it.

mod claims;
mod private;
mod process;
mod records;
mod set;
mod traffic;
mod up;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::net::manual::{end_connections, untouch};
use super::shell::{quote, typed_here};
use super::{
    Ability, Apply, Claim, Description, Engine, EngineError, Execute, Kind, Lock, NOTHING_LIES_THERE, ONLY_A_MARK,
    Observe, Outcome, Ran, Tag, here,
};
use crate::host::{Host, command};
use crate::model::instance::{Aspect, Change, Command, Epoch, Instance, InstanceId, Kill, Laid, Setting, Trait};
use process::ProcessIdentity;
use records::{Record, Records};

const NO_DISK: &str = "the processes of a local stack have no disk of their own; run the experiment on containers";

const NO_GROUP: &str =
    "the processes of a local stack have no control group of their own; run the experiment on containers";

/// A stack of plain processes.
#[derive(Debug, Clone)]
pub struct Local {
    /// The stack's directory.
    dir: PathBuf,
    /// The state file: the engine's address.
    address: PathBuf,
    /// The machine of its processes. Squall's own file there starts them; `squall` in a command means it too.
    host: Arc<Host>,
    /// What shall be up, where the stack file is known.
    wanted: Option<up::Wanted>,
}

/// A process of the stack, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The instance as it is.
    pub instance: Instance,
    /// Its main process, where it runs.
    pub pid: Option<u32>,
    /// Its port, where it has one.
    pub port: Option<u16>,
    /// The file of its output.
    pub log: PathBuf,
}

impl Local {
    /// The stack that an engine's description in a journal means.
    ///
    /// # Errors
    /// Where our own program cannot be found.
    pub fn from_description(description: &Description) -> Result<Self, EngineError> {
        Self::at(PathBuf::from(&description.address))
    }

    /// The stack with a state file.
    fn at(address: PathBuf) -> Result<Self, EngineError> {
        let squall = std::env::current_exe().map_err(|e| EngineError::Refused {
            attempt: "find this program's own file".to_owned(),
            why: e.to_string(),
        })?;
        let dir = address.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { dir, address, host: Arc::new(Host::new(squall)), wanted: None })
    }

    /// The same, with another program as `squall`. For tests, whose own file is not `squall`.
    #[must_use]
    pub fn with_binary(self, squall: PathBuf) -> Self {
        Self { host: Arc::new(Host::new(squall)), ..self }
    }

    /// The directory of what is known of the stack; it goes with the stack.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.dir
    }

    /// How every process of the stack is, in the order of the stack file; none where it is not up.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn status(&self) -> Result<Vec<Status>, EngineError> {
        let Some(records) = records::read(&self.dir)? else { return Ok(Vec::new()) };
        Ok(records.processes.iter().map(|(name, record)| self.observe_one(&records, name, record)).collect())
    }

    /// Whether the stack has a network of its own: as it is up, else as its file says.
    fn is_private(&self) -> bool {
        match records::read(&self.dir) {
            Ok(Some(records)) => records.processes.values().any(|record| record.spec.slot.is_some()),
            _ => self.wanted.as_ref().is_some_and(up::Wanted::is_private),
        }
    }

    fn identity<'a>(&'a self, records: &'a Records, name: &'a str) -> ProcessIdentity<'a> {
        ProcessIdentity { address: &self.address, stack: &records.stack, name }
    }

    fn observe_one(&self, records: &Records, name: &str, record: &Record) -> Status {
        let main = self.identity(records, name).main(record).map(|(_, life)| life);
        let stopped = main.and_then(|life| crate::host::process::stat(life.pid)).is_some_and(|stat| stat.state == 'T');
        let epoch = main.or(record.life).map(|life| format!("{}+{}", life.pid, life.started)).unwrap_or_default();
        let spec = &record.spec;
        let instance = Instance {
            zone: spec.zone.clone(),
            labels: spec.labels.clone(),
            epoch: Epoch(epoch),
            addresses: spec.address(&records.stack).into_iter().collect(),
            traits: spec.slot.is_none().then_some(Trait::HostNetwork).into_iter().collect(),
            settings: BTreeMap::from([
                (Aspect::Running, Setting::Running(main.is_some())),
                (Aspect::Paused, Setting::Paused(stopped)),
            ]),
            ..Instance::new(name, name, &spec.service)
        };
        Status { instance, pid: main.map(|life| life.pid), port: spec.port, log: spec.log.clone() }
    }
}

/// Why a mark cannot be set, where it cannot: of all that Squall lays, only a disturbance of traffic lies on plain processes.
fn not_marked(aspect: Aspect, mark: Option<&str>) -> Option<String> {
    let why = match (mark, aspect.laid()) {
        (Some(_), _) => ONLY_A_MARK,
        (None, Some(Laid::Traffic)) => return None,
        (None, Some(Laid::Filling)) => NO_DISK,
        (None, Some(Laid::Cpu | Laid::Memory | Laid::Connections | Laid::Still)) => NO_GROUP,
        (None, Some(Laid::Isolation)) => set::NO_NODE,
        (None, None) => NOTHING_LIES_THERE,
    };
    Some(why.to_owned())
}

impl Engine for Local {
    fn describe(&self) -> Description {
        Description::of(Kind::Local, self.address.display().to_string(), env!("CARGO_PKG_VERSION"))
    }
}

#[async_trait]
impl Observe for Local {
    async fn observe(&self) -> Result<Vec<Instance>, EngineError> {
        let Some(records) = records::read(&self.dir)? else { return Ok(Vec::new()) };
        let each = records.processes.iter().map(|(name, record)| self.with_traffic(&records, name, record));
        let mut instances = join_all(each).await;
        instances.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(instances)
    }

    async fn look(&self, id: &InstanceId) -> Result<Option<Instance>, EngineError> {
        let Some(records) = records::read(&self.dir)? else { return Ok(None) };
        match records.processes.get(&id.0) {
            Some(record) => Ok(Some(self.with_traffic(&records, &id.0, record).await)),
            None => Ok(None),
        }
    }
}

impl Local {
    /// Whether it can make such a setting of this instance so.
    #[must_use]
    pub fn ability(&self, instance: &Instance, to: &Setting) -> Ability {
        match to {
            Setting::Network(_) | Setting::ConnectionsReset(_) => self.can_disturb(instance, to),
            Setting::Limit(_) | Setting::Stressor(_) | Setting::Signalled(_) => Ability::No(NO_GROUP.to_owned()),
            Setting::RestartPolicy(_) => Ability::No(set::NO_POLICY.to_owned()),
            Setting::Isolated(_) | Setting::Availability(_) => Ability::No(set::NO_NODE.to_owned()),
            Setting::Filled(_) | Setting::Freed(_) | Setting::ReadOnly(_) => Ability::No(NO_DISK.to_owned()),
            Setting::Ran(command) => here::placed(command),
            Setting::Mark(aspect, mark) => not_marked(*aspect, mark.as_deref()).map_or(Ability::Yes, Ability::No),
            Setting::Running(_)
            | Setting::Killed(_)
            | Setting::Stopped { .. }
            | Setting::Restarted { .. }
            | Setting::Paused(_) => Ability::Yes,
        }
    }
}

#[async_trait]
impl Apply for Local {
    async fn set(&self, tag: &Tag, id: &InstanceId, to: &Setting) -> Result<Outcome, EngineError> {
        self.make_so(tag, id, to).await
    }

    async fn can(&self, all: &[(Instance, Setting)]) -> Result<Vec<Ability>, EngineError> {
        Ok(all.iter().map(|(instance, to)| self.ability(instance, to)).collect())
    }

    async fn addresses_of(&self, host: &str) -> Result<Vec<IpAddr>, EngineError> {
        super::net::addresses_of(host).await
    }

    async fn cannot_start(&self, _: &InstanceId, command: &Command) -> Option<String> {
        here::cannot_start(command)
    }

    fn by_hand(&self, change: &Change, to: &Setting) -> String {
        self.typed(change, to)
    }
}

#[async_trait]
impl Execute for Local {
    async fn exec(&self, instance: &str, argv: &[String], timeout: Duration) -> Result<Ran, EngineError> {
        let refused =
            |why: String| EngineError::Refused { attempt: format!("run `{}` in {instance}", argv.join(" ")), why };
        let records = records::read(&self.dir)?;
        let known = records.as_ref().and_then(|r| Some((r, r.processes.get(instance)?)));
        let Some((records, record)) = known else { return Err(refused("there is no such instance".to_owned())) };
        let status = self.observe_one(records, instance, record);
        if !status.instance.is_up() {
            return Err(refused("it is not running, or paused".to_owned()));
        }
        let port = record.spec.port.map(|port| ("PORT", port.to_string()));
        let own = record.spec.environment.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let env: Vec<(&str, String)> = own.chain(port).chain([("SQUALL_INSTANCE", instance.to_owned())]).collect();
        let namespace = self.site(records, instance, record).map_err(|e| refused(e.to_string()))?.map(|s| s.namespace);
        match command::run_in(namespace.as_ref(), argv, &env, timeout).await {
            Ok(Some(command::Output { status, stdout, stderr })) => Ok(Ran { status, stdout, stderr }),
            Ok(None) => Err(EngineError::TimedOut {
                attempt: format!("run `{}` in {instance}", argv.join(" ")),
                after: timeout,
            }),
            Err(e) => Err(refused(e.to_string())),
        }
    }
}

#[async_trait]
impl Lock for Local {
    async fn claim(&self, claim: &Claim) -> Result<(), EngineError> {
        claims::take(&self.dir, claim)
    }

    async fn release(&self, claim: &Claim) -> Result<(), EngineError> {
        claims::release(&self.dir, &claim.service, &claim.run)
    }

    async fn claims(&self) -> Result<Vec<Claim>, EngineError> {
        claims::list(&self.dir)
    }
}

impl Local {
    /// What a person would type.
    fn typed(&self, change: &Change, to: &Setting) -> String {
        // It needs nobody to be there.
        if let Setting::Ran(command) = to {
            return typed_here(command);
        }
        let Ok(Some(records)) = records::read(&self.dir) else {
            return format!("# nothing: {} is not there any more", self.address.display());
        };
        let Some(record) = records.processes.get(&change.instance.0) else {
            return format!("# nothing: {} does not exist any more", change.name);
        };
        let identity = self.identity(&records, &change.instance.0);
        let mut pids: Vec<String> = identity.members().iter().map(|held| held.pid().to_string()).collect();
        if pids.is_empty() {
            pids.extend(record.life.map(|life| life.pid.to_string()));
        }
        let kill = |signal: &str| format!("kill -{signal} {}   # {}", pids.join(" "), change.name);
        match to {
            Setting::Running(true) | Setting::Restarted { .. } => {
                // The address is STATE/stacks/NAME/state.json.
                let state = self.dir.ancestors().nth(2).unwrap_or(Path::new("/"));
                let (state, file) = (state.display().to_string(), records.file.display().to_string());
                let (state, file) = (quote(&state), quote(&file));
                format!("squall --state {state} stack up {file}   # {}", change.name)
            }
            Setting::Running(false) => kill("KILL"),
            Setting::Killed(Kill { signal, .. }) => kill(signal.name().trim_start_matches("SIG")),
            Setting::Stopped { .. } => kill("TERM"),
            Setting::Paused(true) => kill("STOP"),
            Setting::Paused(false) => kill("CONT"),
            Setting::RestartPolicy(_) => format!("nothing: {}", set::NO_POLICY),
            Setting::Isolated(_) | Setting::Availability(_) => format!("nothing: {}", set::NO_NODE),
            Setting::Mark(aspect, _) => match not_marked(*aspect, None) {
                None => untouch(pids.first().map_or("PID", String::as_str)),
                Some(why) => format!("nothing: {why}"),
            },
            Setting::Limit(_) => format!("nothing: {NO_GROUP}"),
            Setting::Filled(_) | Setting::Freed(_) | Setting::ReadOnly(_) => format!("nothing: {NO_DISK}"),
            Setting::ConnectionsReset(_) => end_connections(pids.first().map_or("PID", String::as_str)),
            // Nobody would: what is set back is always that it is left alone.
            Setting::Network(_) | Setting::Stressor(_) | Setting::Signalled(_) => "squall run".to_owned(),
            Setting::Ran(command) => typed_here(command),
        }
    }
}
