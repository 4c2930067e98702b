//! What another process does meanwhile to a target, to the run's files, or to its processes.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::ChaCha12Rng;
use rand::{Rng as _, RngExt};
use rustix::process::{Pid, Signal, kill_process};
use squall::host::process;
use squall::model::instance::Aspect;
use squall::record::state::RunState;
use tokio::process::Command;
use tokio::time::sleep;

use crate::field::Field;
use crate::look::inhabitants;

/// How long a runner is held still that goes on then.
const HELD_STILL: Duration = Duration::from_secs(1);

/// One of them.
#[derive(Debug)]
pub(crate) struct ExternalAction {
    pub(crate) words: &'static str,
    pub(crate) act: Act,
    /// Commands with which the same person makes it good again.
    pub(crate) undo: &'static [&'static str],
    /// What is his own from then on, so that the container is made anew after the round.
    pub(crate) his: His,
    /// Which targets it makes others than they were meant to be: no fault that should last is on at such a one.
    pub(crate) ends: Ends,
}

/// What is done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Commands about the container `{name}`, with the main process `{pid}`, of the service `{service}`.
    Run(&'static [&'static str]),
    /// It is removed, and another one made under its name.
    Replace,
    /// Every table of Squall's in its network is deleted.
    DropTables,
    /// All its processes go on.
    Wake,
    Journal(Damage),
    Signal(&'static [Whom], Signal),
    /// The runner is held still for a while.
    HoldStill,
    RemoveLock,
    /// A command of Squall's, about the same state directory.
    Squall(&'static [&'static str]),
}

/// What is done to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    Removed,
    /// With the directories of all runs.
    DirectoryRemoved,
    Overwritten,
    Truncated,
    /// One byte is another one, and runner and guard are dead.
    ByteThenKilled,
    /// It is removed, and the runner is dead.
    RemovedThenKilled,
}

/// A process of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    Runner,
    Guard,
    /// Those that hold packets, or load.
    Processes,
}

/// At which targets a fault that should last is over then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    None,
    All,
    /// Those that run and are not frozen.
    Up,
    /// Those that run, frozen or not.
    Running,
    Frozen,
    DownOrFrozen,
}

/// What of a container is the meddler's from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum His {
    Nothing,
    Aspects(&'static [Aspect]),
    /// Its networks: their links get other names, and the engine has rules of its own in them.
    Networks,
}

const LIMITS: &[Aspect] = &[Aspect::CpuLimit, Aspect::MemoryLimit, Aspect::ProcessLimit];

const fn run(
    words: &'static str,
    commands: &'static [&'static str],
    undo: &'static [&'static str],
    ends: Ends,
) -> ExternalAction {
    ExternalAction { words, act: Act::Run(commands), undo, his: His::Nothing, ends }
}

const fn network(
    words: &'static str,
    commands: &'static [&'static str],
    undo: &'static [&'static str],
    ends: Ends,
) -> ExternalAction {
    ExternalAction { his: His::Networks, ..run(words, commands, undo, ends) }
}

const fn of_the_run(words: &'static str, act: Act) -> ExternalAction {
    ExternalAction { words, act, undo: &[], his: His::Nothing, ends: Ends::None }
}

/// All of them.
pub(crate) static ALL: &[ExternalAction] = &[
    run("rename", &["docker rename {name} {name}-renamed"], &["docker rename {name}-renamed {name}"], Ends::Running),
    run("remove", &["docker rm --force {name}"], &[], Ends::All),
    ExternalAction { words: "remove and make again", act: Act::Replace, undo: &[], his: His::Nothing, ends: Ends::All },
    run("restart", &["docker restart --time 0 {name}"], &[], Ends::DownOrFrozen),
    run("stop", &["docker stop --time 0 {name}"], &["docker start {name}"], Ends::Running),
    run("kill", &["docker kill {name}"], &["docker start {name}"], Ends::Running),
    run("pause", &["docker pause {name}"], &["docker unpause {name}"], Ends::Up),
    run("unpause", &["docker unpause {name}"], &[], Ends::Frozen),
    network(
        "disconnect from its network",
        &["docker network disconnect bridge {name}"],
        &["docker network connect bridge {name}"],
        Ends::Running,
    ),
    network(
        "connect to another network",
        &["docker network connect {service} {name}"],
        &["docker network disconnect {service} {name}"],
        Ends::Running,
    ),
    network(
        "disconnect and connect again",
        &["docker network disconnect bridge {name}", "docker network connect bridge {name}"],
        &[],
        Ends::None,
    ),
    run("flush the rules in its network", &["nsenter --target {pid} --net nft flush ruleset"], &[], Ends::None),
    of_the_run("delete Squall's tables in its network", Act::DropTables),
    run(
        "remove the queues of its network",
        &[
            "nsenter --target {pid} --net tc qdisc del dev eth0 root",
            "nsenter --target {pid} --net tc qdisc del dev eth0 clsact",
        ],
        &[],
        Ends::None,
    ),
    ExternalAction {
        words: "update its limits",
        act: Act::Run(&["docker update --memory 96m --memory-swap 192m --cpus 0.5 --pids-limit 64 {name}"]),
        undo: &[],
        his: His::Aspects(LIMITS),
        ends: Ends::None,
    },
    ExternalAction {
        words: "update its restart policy",
        act: Act::Run(&["docker update --restart on-failure {name}"]),
        undo: &[],
        his: His::Aspects(&[Aspect::RestartPolicy]),
        ends: Ends::None,
    },
    run(
        "fill its memory disk",
        &["dd if=/dev/zero of=/proc/{pid}/root/memory/filler bs=1M count=64"],
        &["rm -f /proc/{pid}/root/memory/filler"],
        Ends::None,
    ),
    run(
        "remove Squall's files in it",
        &["rm -rf /proc/{pid}/root/.squall /proc/{pid}/root/data/.squall /proc/{pid}/root/memory/.squall"],
        &[],
        Ends::None,
    ),
    of_the_run("SIGCONT to all its processes", Act::Wake),
    of_the_run("remove the journal", Act::Journal(Damage::Removed)),
    of_the_run("remove all runs' directories", Act::Journal(Damage::DirectoryRemoved)),
    of_the_run("overwrite parts of the journal", Act::Journal(Damage::Overwritten)),
    of_the_run("truncate the journal", Act::Journal(Damage::Truncated)),
    of_the_run("one byte of the journal, SIGKILL of runner and guard", Act::Journal(Damage::ByteThenKilled)),
    of_the_run("remove the journal, SIGKILL of the runner", Act::Journal(Damage::RemovedThenKilled)),
    of_the_run("SIGSTOP of the guard", Act::Signal(&[Whom::Guard], Signal::STOP)),
    of_the_run("SIGSTOP of the shaper, or of load", Act::Signal(&[Whom::Processes], Signal::STOP)),
    // The guard first: a runner that is killed first would give it a head start.
    of_the_run("SIGKILL of runner and guard", Act::Signal(&[Whom::Guard, Whom::Runner], Signal::KILL)),
    of_the_run(
        "SIGKILL of all its processes",
        Act::Signal(&[Whom::Guard, Whom::Runner, Whom::Processes], Signal::KILL),
    ),
    of_the_run("SIGSTOP of the runner for 1 s", Act::HoldStill),
    of_the_run("remove the lock on the engine", Act::RemoveLock),
    of_the_run("`squall recover` meanwhile", Act::Squall(&["recover"])),
    of_the_run("`squall recover --unlock` meanwhile", Act::Squall(&["recover", "--unlock"])),
];

impl ExternalAction {
    /// Whether it kills the runner.
    pub(crate) fn kills_the_runner(&self) -> bool {
        match self.act {
            Act::Signal(whom, Signal::KILL) => whom.contains(&Whom::Runner),
            Act::Journal(damage) => matches!(damage, Damage::ByteThenKilled | Damage::RemovedThenKilled),
            _ => false,
        }
    }

    /// Whether no process is left then that rolls back.
    pub(crate) fn kills_both(&self) -> bool {
        self.kills_the_runner() && self.act != Act::Journal(Damage::RemovedThenKilled)
    }

    /// Whether a run may have lost what it knew for good.
    pub(crate) fn may_cost_a_fact(&self) -> bool {
        self.act == Act::Journal(Damage::ByteThenKilled)
    }
}

/// A run as a meddler finds it.
pub(crate) struct Scene<'a> {
    pub(crate) field: &'a Field,
    /// The run's state directory.
    pub(crate) dir: &'a Path,
    pub(crate) runner: Pid,
    pub(crate) state: &'a RunState,
    /// The container that is meddled with.
    pub(crate) name: &'a str,
}

impl Scene<'_> {
    /// Does it. What cannot be done, such as thawing what is not frozen, is left.
    pub(crate) async fn meddle(&self, meddling: &ExternalAction, rng: &mut ChaCha12Rng) -> anyhow::Result<()> {
        match &meddling.act {
            Act::Run(commands) => self.field.each(commands, self.name).await?,
            Act::Replace => self.field.replace(self.name).await?,
            Act::DropTables => self.drop_tables().await?,
            Act::Wake => {
                let id = self.field.id(self.name).await?.unwrap_or_default();
                inhabitants(&id).iter().filter_map(|p| pid(p.pid)).for_each(|p| send(p, Signal::CONT));
            }
            Act::Journal(damage) => self.damage(*damage, rng)?,
            Act::Signal(whom, signal) => whom.iter().for_each(|whom| self.signal(*whom, *signal)),
            Act::HoldStill => {
                send(self.runner, Signal::STOP);
                sleep(HELD_STILL).await;
                send(self.runner, Signal::CONT);
            }
            Act::RemoveLock => self.field.remove_locks().await?,
            Act::Squall(words) => {
                Field::squall(self.dir).args(*words).stdout(Stdio::null()).stderr(Stdio::null()).status().await?;
            }
        }
        Ok(())
    }

    async fn drop_tables(&self) -> anyhow::Result<()> {
        let Some(pid) = self.field.pid(self.name).await? else { return Ok(()) };
        let pid = pid.to_string();
        let nft = |words: &[&str]| {
            let mut command = Command::new("nsenter");
            command.args(["--target", &pid, "--net", "nft"]).args(words).stderr(Stdio::null());
            command
        };
        let listed = nft(&["list", "tables"]).output().await?;
        for line in String::from_utf8_lossy(&listed.stdout).lines().filter(|line| line.contains("squall_")) {
            nft(&["delete"]).args(line.split(' ')).status().await?;
        }
        Ok(())
    }

    fn damage(&self, damage: Damage, rng: &mut ChaCha12Rng) -> anyhow::Result<()> {
        let Some(journal) = file_in(self.dir) else { return Ok(()) };
        let file = std::fs::File::options().read(true).write(true).open(&journal)?;
        let length = file.metadata()?.len().max(1);
        match damage {
            Damage::Removed | Damage::RemovedThenKilled => std::fs::remove_file(&journal)?,
            Damage::DirectoryRemoved => std::fs::remove_dir_all(self.dir.join("runs"))?,
            Damage::Overwritten => {
                for _ in 0..3 {
                    let mut noise = vec![0; rng.random_range(1..200)];
                    rng.fill_bytes(&mut noise);
                    file.write_all_at(&noise, rng.random_range(0..length))?;
                }
            }
            Damage::Truncated => file.set_len(rng.random_range(0..length))?,
            Damage::ByteThenKilled => {}
        }
        if matches!(damage, Damage::RemovedThenKilled) {
            self.signal(Whom::Runner, Signal::KILL);
        }
        if damage == Damage::ByteThenKilled {
            self.signal(Whom::Guard, Signal::KILL);
            self.signal(Whom::Runner, Signal::KILL);
            let at = rng.random_range(0..length);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at)?;
            byte[0] ^= rng.random_range(1..=255_u8);
            file.write_all_at(&byte, at)?;
        }
        Ok(())
    }

    fn signal(&self, whom: Whom, signal: Signal) {
        match whom {
            Whom::Runner => send(self.runner, signal),
            Whom::Guard => {
                let guard = self.state.guards.last().and_then(|g| g.id.parse().ok());
                guard.and_then(pid).into_iter().for_each(|guard| send(guard, signal));
            }
            Whom::Processes => {
                let run = self.state.started.as_ref().map(|s| s.run.clone()).unwrap_or_default();
                for change in &self.state.changes {
                    let tag = format!("{run}.{}", change.change.n);
                    for process in process::with_variable("SQUALL_CHANGE", &tag) {
                        let _ = process.signal(signal);
                    }
                }
            }
        }
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// One that has ended hears nothing.
fn send(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal);
}

/// The journal's file of the only run in a state directory, whatever is in it.
pub(crate) fn file_in(dir: &Path) -> Option<PathBuf> {
    let run = std::fs::read_dir(dir.join("runs")).ok()?.find_map(Result::ok)?;
    Some(run.path().join("journal.ndjson")).filter(|journal| journal.exists())
}

impl Field {
    /// Runs commands about a container, one after the other, as far as they can be run.
    pub(crate) async fn each(&self, commands: &[&str], name: &str) -> anyhow::Result<()> {
        for line in commands {
            let pid = self.pid(name).await?;
            if pid.is_none_or(|pid| pid == 0) && line.contains("{pid}") {
                continue;
            }
            let filled = line.replace("{name}", name).replace("{service}", self.service());
            let filled = filled.replace("{pid}", &pid.unwrap_or_default().to_string());
            let (program, words) = filled.split_once(' ').context("a command has arguments")?;
            let mut command = Command::new(program);
            command.args(words.split(' ')).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().await.with_context(|| format!("cannot start {program}"))?;
        }
        Ok(())
    }
}
