//! Bringing a whole stack up and taking it down.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures_util::future::try_join_all;
use indexmap::IndexMap;
use rustix::process::Signal;
use tokio::time::Instant;

use super::records::{FILE, Locked, ProcessSpec, Record, Records};
use super::{Local, here, private};
use crate::engine::{EngineError, Outcome, StillThere};
use crate::experiment::read;
use crate::experiment::stack::{Replica, Stack, Subnet};
use crate::host::store::StateDir;
use crate::model::quantity;

/// How long processes have to end by themselves before they are killed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(3);

/// What shall be up.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    name: String,
    file: PathBuf,
    subnet: Option<Subnet>,
    replicas: Vec<Replica>,
}

impl Wanted {
    pub(super) fn is_private(&self) -> bool {
        self.subnet.is_some()
    }
}

impl Local {
    /// The stack of a stack file, up or not.
    ///
    /// # Errors
    /// Where the file cannot be read or is wrong.
    pub fn open(state: &StateDir, file: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let read = read::stack(&file.display().to_string(), &bytes, &here::variable);
        Self::of(state, file, &read.map_err(|mistakes| anyhow!("the stack file is wrong\n{mistakes}"))?.value)
    }

    /// The same, of a stack file that has been read.
    ///
    /// # Errors
    /// Where the stack cannot be.
    pub fn of(state: &StateDir, file: &Path, stack: &Stack) -> anyhow::Result<Self> {
        let file = std::path::absolute(file).with_context(|| format!("cannot find {}", file.display()))?;
        let replicas = stack.replicas().map_err(|why| anyhow!("{} is wrong: {why}", file.display()))?;
        let address = state.stacks_dir().join(&stack.name).join(FILE);
        let wanted = Wanted { name: stack.name.clone(), file, subnet: stack.network, replicas };
        Ok(Self { wanted: Some(wanted), ..Self::at(address)? })
    }

    /// Starts what is missing, ends what the file does not know (any more), and waits until every port answers.
    /// Says who was started. Where that fails, what it started is taken down again.
    ///
    /// # Errors
    /// Where a process cannot be started or does not answer, with the end of its output.
    pub async fn up(&self) -> anyhow::Result<Vec<String>> {
        let wanted =
            self.wanted.as_ref().context("this stack was opened without its file; nothing says what to start")?;
        self.write_down(wanted).await?;
        let mut started = Vec::new();
        let result = self.start_all(wanted, &mut started).await;
        if let Err(e) = result {
            self.undo(wanted, &started).await.map_err(anyhow::Error::from).context(StillThere(e.to_string()))?;
            return Err(e.into());
        }
        Ok(started)
    }

    /// Makes the state say what the file says; processes that it says nothing about, or something else, are ended.
    async fn write_down(&self, wanted: &Wanted) -> anyhow::Result<()> {
        let mut processes: IndexMap<String, Record> = IndexMap::new();
        for replica in &wanted.replicas {
            let spec = self.spec(wanted, replica).with_context(|| format!("cannot start {}", replica.name))?;
            processes.insert(replica.name.clone(), Record { spec, life: None, starting: false });
        }
        // Before anything is touched.
        let slot = processes.values().find_map(|record| record.spec.slot.as_ref());
        slot.map_or(Ok(()), private::check)?;
        let locked = Locked::make(&self.dir).await?;
        let before = locked.read()?.map(|records| records.processes).unwrap_or_default();
        let records = Records { stack: wanted.name.clone(), file: wanted.file.clone(), processes: IndexMap::new() };
        for (name, old) in before {
            match processes.get_mut(&name) {
                Some(new) if new.spec == old.spec => *new = old,
                _ => self.identity(&records, &name).sweep().await?,
            }
        }
        let seats = processes.values().any(|record| record.spec.slot.is_some());
        locked.write(&Records { processes, ..records })?;
        if !seats {
            private::remove(&self.address)?;
        }
        Ok(())
    }

    async fn start_all(&self, wanted: &Wanted, started: &mut Vec<String>) -> Result<(), EngineError> {
        let mut waiting = Vec::new();
        for replica in &wanted.replicas {
            let Some((records, life, outcome)) = self.launch(&replica.name).await? else {
                return Err(EngineError::Refused {
                    attempt: format!("start {}", replica.name),
                    why: "another process took the stack away meanwhile".to_owned(),
                });
            };
            if outcome == Outcome::Done {
                started.push(replica.name.clone());
            }
            waiting.push((records, replica.name.as_str(), life));
        }
        try_join_all(waiting.iter().map(|(records, name, life)| async move {
            self.identity(records, name).ready(&records.processes[*name].spec, *life).await
        }))
        .await
        .map(drop)
    }

    /// Ends what was started; the whole stack where that is all there is.
    async fn undo(&self, wanted: &Wanted, started: &[String]) -> Result<(), EngineError> {
        let others = self.status()?.iter().any(|s| s.instance.is_running() && !started.contains(&s.instance.name));
        if !others {
            return self.down().await.map(drop);
        }
        let records = Records { stack: wanted.name.clone(), file: wanted.file.clone(), processes: IndexMap::new() };
        for name in started {
            self.identity(&records, name).sweep().await?;
        }
        Ok(())
    }

    fn spec(&self, wanted: &Wanted, replica: &Replica) -> anyhow::Result<ProcessSpec> {
        let directory = wanted.file.parent().unwrap_or(Path::new("/")).to_owned();
        let fill = |text: &String| quantity::fill(text, here::variable).map_err(|missing| anyhow!("{missing}"));
        let mut command = replica.command.iter().map(fill).collect::<Result<Vec<String>, _>>()?;
        if let Some(program) = command.first_mut() {
            if program == "squall" {
                *program = self.host.program().display().to_string();
            } else if program.contains('/') {
                *program = directory.join(&*program).display().to_string();
            }
        }
        let environment = replica.environment.iter().map(|(name, value)| Ok((name.clone(), fill(value)?)));
        Ok(ProcessSpec {
            service: replica.service.clone(),
            zone: replica.zone.clone(),
            labels: replica.labels.clone().into_iter().collect(),
            port: replica.port,
            slot: wanted.subnet.and_then(|subnet| private::slot(&self.address, subnet, replica)),
            command,
            environment: environment.collect::<anyhow::Result<_>>()?,
            log: self.dir.join(format!("{}.log", replica.name)),
            directory,
        })
    }

    /// Ends every process of the stack and waits until they are gone, then removes its state. Says how many there were.
    ///
    /// # Errors
    /// Where a process does not end, or the state cannot be read.
    pub async fn down(&self) -> Result<usize, EngineError> {
        let Some(locked) = Locked::take(&self.dir).await? else {
            // Its directory may have been removed by hand.
            private::remove(&self.address)?;
            return Ok(0);
        };
        let Some(records) = locked.read()? else {
            private::remove(&self.address)?;
            locked.remove()?;
            return Ok(0);
        };
        let mut mains = Vec::new();
        for (name, record) in &records.processes {
            let identity = self.identity(&records, name);
            if let Some((main, _)) = identity.main(record) {
                let signalled = main.signal(Signal::TERM).and_then(|()| main.signal(Signal::CONT));
                signalled.map_err(|e| identity.refused("end", &e))?;
                mains.push((identity, main));
            }
        }
        let deadline = Instant::now() + EXIT_TIMEOUT;
        for (identity, main) in &mains {
            let left = deadline.saturating_duration_since(Instant::now());
            if !main.ended_within(left).await.map_err(|e| identity.refused("watch", &e))? {
                identity.end(main, Signal::KILL, left).await?;
            }
        }
        for name in records.processes.keys() {
            self.identity(&records, name).sweep().await?;
        }
        let ended = mains.len();
        private::remove(&self.address)?;
        locked.remove()?;
        Ok(ended)
    }
}
