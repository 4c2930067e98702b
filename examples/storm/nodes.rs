//! Three machines with a private engine each, in a cluster of the storm's (`tests/lab/cluster`), and the machine `op` from which
//! experiments are run on them, over TLS and ssh. What is on a machine is seen by this very program, started there.

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::join_all;
use rustix::process::{Signal, kill_process};
use serde::{Deserialize, Serialize};
use squall::record::journal;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use crate::casualty::journal_in;
use crate::field::Field;
use crate::look::Look;

/// The word that this program is started with on a machine.
pub(crate) const OBSERVER: &str = "observer";

/// The machine that experiments are run from.
pub(crate) const OPERATOR: &str = "op";

/// The others.
pub(crate) const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// The one that is reached over ssh.
pub(crate) const OVER_SSH: &str = "n2";

/// The longest that the program on a machine may take for anything.
const LONGEST: Duration = Duration::from_mins(1);

/// What the program on a machine is asked for: a line each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// All that is to be seen of its containers.
    Look,
    /// Makes its network and its containers.
    Prepare,
    /// Starts those that have ended, and makes those that are gone.
    Refill,
    /// Whether nothing of a run is left.
    IsClean(PathBuf),
    /// Kills the helpers of a run.
    KillHelpers(PathBuf),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    Look(Look),
    Image(String),
    Done,
}

/// Answers what is asked on the standard input, about the machine that this process is on.
pub(crate) async fn observe(service: &str) -> anyhow::Result<()> {
    let field = Field::of_machine(service).await?;
    for line in std::io::stdin().lock().lines() {
        let ask = serde_json::from_str(&line?).context("a question")?;
        let said = answer(&field, ask).await.map_err(|e| format!("{e:#}"));
        println!("{}", serde_json::to_string(&said)?);
    }
    Ok(())
}

async fn answer(field: &Field, ask: Ask) -> anyhow::Result<Said> {
    match ask {
        Ask::Look => return Ok(Said::Look(field.look().await?)),
        Ask::Prepare => {
            field.make_network().await?;
            field.refill().await?;
            return Ok(Said::Image(field.image().to_owned()));
        }
        Ask::Refill => {
            field.start_ended().await?;
            field.refill().await?;
        }
        Ask::IsClean(dir) => field.is_clean(&dir).await?,
        Ask::KillHelpers(dir) => {
            let state = journal_in(&dir).and_then(|path| journal::replay(&path).ok()).unwrap_or_default();
            for helper in field.helpers(&state).await? {
                // One that is gone by now needs no signal.
                let _ = kill_process(helper, Signal::KILL);
            }
        }
    }
    Ok(Said::Done)
}

/// The program on a machine.
struct Observer {
    // It ends with its input.
    asked: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

/// The cluster. It is gone with this value, and if this process is killed, by itself.
pub(crate) struct Nodes {
    name: String,
    /// Of the containers on all machines.
    pub(crate) service: String,
    /// For everything else; seen on all machines.
    pub(crate) dir: PathBuf,
    /// The image of helpers.
    pub(crate) image: String,
    observers: BTreeMap<&'static str, Observer>,
    holder: Child,
}

impl Nodes {
    /// With containers on each.
    pub(crate) async fn prepare() -> anyhow::Result<Self> {
        let name = format!("storm-{}", std::process::id());
        let mut holder = script(&["hold", &name, "docker", "docker", "docker"]);
        // What kills this process and all of its group is not to kill what takes the cluster away.
        let mut holder = holder.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(holder.stdout.take().context("a pipe")?).lines();
        let ready =
            timeout(Duration::from_mins(2), said.next_line()).await.context("the cluster does not come up")??;
        ensure!(ready.as_deref() == Some("ready"), "the cluster did not come up");
        let root = std::env::var_os("SQUALL_CLUSTERS").map_or_else(|| "/var/tmp/squall-clusters".into(), PathBuf::from);
        let dir = root.join(&name).join("storm");
        std::fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
        let service = format!("squall-{name}");
        let mut nodes = Self { name, service, dir, image: String::new(), observers: BTreeMap::new(), holder };
        for node in NODES {
            nodes.start_observer(node)?;
            if let Said::Image(image) = nodes.ask(node, &Ask::Prepare).await? {
                nodes.image = image;
            }
        }
        let engines = NODES.map(|node| format!("  {node}: {{ host: '{}' }}\n", address(node)));
        std::fs::write(nodes.fleet(), format!("version: 1\nengines:\n{}", engines.concat()))?;
        Ok(nodes)
    }

    fn fleet(&self) -> PathBuf {
        self.dir.join("fleet.yaml")
    }

    /// What the cluster's script does, on this cluster.
    pub(crate) async fn does(&self, verb: &str, machine: &str) -> anyhow::Result<()> {
        let status = script(&[verb, &self.name, machine]).status().await?;
        ensure!(status.success(), "`cluster {verb} {machine}` ended with {status}");
        Ok(())
    }

    /// `squall` on the operator's machine, with helpers on all others.
    pub(crate) fn squall(&self, words: &[&str], state: &Path) -> Command {
        let tls = self.dir.with_file_name("tls");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = script(&["run", &self.name, OPERATOR]);
        command.arg(this_program()).args(words).arg("--fleet").arg(self.fleet());
        command.args(["--helper", "always", "--helper-image", &self.image]);
        command.env("SQUALL_STATE", state).env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", tls);
        command.env("PATH", format!("{}:{path}", self.dir.with_file_name("bin").display()));
        command
    }

    /// Starts the program on a machine, which was off before.
    pub(crate) fn start_observer(&mut self, node: &'static str) -> anyhow::Result<()> {
        let mut command = script(&["run", &self.name, node]);
        command.arg(this_program()).args([OBSERVER, &self.service]).env_remove("DOCKER_HOST");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let asked = process.stdin.take().context("a pipe")?;
        let said = BufReader::new(process.stdout.take().context("a pipe")?).lines();
        self.observers.insert(node, Observer { asked, said, _process: process });
        Ok(())
    }

    async fn ask(&mut self, node: &str, ask: &Ask) -> anyhow::Result<Said> {
        let observer = self.observers.get_mut(node).context("a machine of the cluster")?;
        observer.ask(ask).await.with_context(|| format!("{ask:?} on {node}"))
    }

    /// Has it done on one of them.
    pub(crate) async fn has(&mut self, node: &str, ask: &Ask) -> anyhow::Result<()> {
        self.ask(node, ask).await.map(drop)
    }

    /// All that is to be seen on these machines, at once, and when each has told it.
    pub(crate) async fn look_at_times(
        &mut self,
        on: &[&'static str],
    ) -> anyhow::Result<BTreeMap<&'static str, (Look, Instant)>> {
        let asked = self.observers.iter_mut().filter(|(node, _)| on.contains(node));
        let looks = asked.map(async |(node, observer)| match observer.ask(&Ask::Look).await? {
            Said::Look(look) => Ok((*node, (look, Instant::now()))),
            said => bail!("{node} said {said:?}"),
        });
        join_all(looks).await.into_iter().collect()
    }

    /// The same without the times.
    pub(crate) async fn look(&mut self, on: &[&'static str]) -> anyhow::Result<BTreeMap<&'static str, Look>> {
        let looks = self.look_at_times(on).await?;
        Ok(looks.into_iter().map(|(node, (look, _))| (node, look)).collect())
    }
}

impl Observer {
    async fn ask(&mut self, ask: &Ask) -> anyhow::Result<Said> {
        let line = serde_json::to_string(ask)? + "\n";
        self.asked.write_all(line.as_bytes()).await?;
        let said = timeout(LONGEST, self.said.next_line()).await.context("no answer")??.context("it has ended")?;
        serde_json::from_str::<Result<Said, String>>(&said)?.map_err(anyhow::Error::msg)
    }
}

/// How `op` reaches the engine of a node.
fn address(node: &str) -> String {
    let host = format!("10.77.0.{}", node.trim_start_matches('n'));
    if node == OVER_SSH { format!("ssh://root@{host}") } else { format!("tcp://{host}:2376") }
}

fn this_program() -> PathBuf {
    std::env::current_exe().expect("this program has a file")
}

fn script(args: &[&str]) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/cluster"));
    command.args(args).stdin(Stdio::null());
    command
}

impl Nodes {
    /// Takes the cluster away.
    pub(crate) async fn clear(mut self) -> anyhow::Result<()> {
        self.observers.clear();
        drop(self.holder.stdin.take());
        let ended = timeout(LONGEST, self.holder.wait()).await.context("the cluster does not go")??;
        ensure!(!self.dir.exists(), "{} is left: its holder ended with {ended}", self.dir.display());
        Ok(())
    }
}
