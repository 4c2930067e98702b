//! A helper's side of the stream: calls are made on the node's engine, and their answers said. Ends with the lease.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::replica::{self, Permit, Replica};
use super::roll_back_alone;
use crate::engine::docker::Docker;
use crate::engine::node::protocol::{Answer, BEAT, Call, FromNode, LEASE, ToNode, line};
use crate::engine::{Ability, Apply as _, EngineError, Execute as _, Observe as _, Outcome, Tag};

/// Why a helper serves no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The runner has closed the stream, or is dead.
    Stream,
    /// It is silent, whatever the stream is.
    Silence,
    /// A run has come to its deadline.
    Deadline,
    /// The engine, or a person, ends the helper.
    Terminated,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream => f.write_str("the stream to the runner ended"),
            Self::Silence => write!(f, "the runner had said nothing for {}", humantime::format_duration(LEASE)),
            Self::Deadline => f.write_str("the run went on past its deadline"),
            Self::Terminated => f.write_str("the helper was told to end"),
        }
    }
}

/// What a runner has told of its runs. A call that changes something waits until what was said before it is written.
type Runs = Arc<Mutex<InCare>>;

#[derive(Default)]
struct InCare {
    held: BTreeMap<String, Replica>,
    /// Lines of runs that are just being taken into care.
    early: BTreeMap<String, Vec<String>>,
}

impl InCare {
    fn line(&mut self, run: &str, line: String) -> anyhow::Result<()> {
        match (self.held.get_mut(run), self.early.get_mut(run)) {
            (Some(replica), _) => replica.add(&line)?,
            (None, Some(early)) => early.push(line),
            (None, None) => {}
        }
        Ok(())
    }
}

pub(super) struct Server {
    docker: Arc<Docker>,
    session: PathBuf,
    runs: Runs,
    /// The calls that are being made.
    calls: JoinSet<()>,
    open: HashMap<u64, AbortHandle>,
    say: UnboundedSender<FromNode>,
    _writer: JoinSet<()>,
}

impl Server {
    /// # Errors
    /// Where there is no stream.
    pub(super) fn new(docker: Arc<Docker>, session: &Path) -> io::Result<Self> {
        let (say, said) = unbounded_channel();
        let mut writer = JoinSet::new();
        writer.spawn(write(said, stdout()?));
        Ok(Self {
            docker,
            session: session.to_owned(),
            runs: Runs::default(),
            calls: JoinSet::new(),
            open: HashMap::new(),
            say,
            _writer: writer,
        })
    }

    pub(super) fn say(&self, what: FromNode) {
        let _ = self.say.send(what);
    }

    /// Serves until the lease is over.
    pub(super) async fn serve(&mut self) -> Ended {
        let Ok(input) = stdin() else { return Ended::Stream };
        let mut input = BufReader::new(input);
        let mut text = Vec::new();
        let mut heard = Instant::now();
        loop {
            while self.calls.try_join_next().is_some() {}
            let deadline = self.runs.lock().await.held.values().filter_map(Replica::deadline).min();
            tokio::select! {
                read = input.read_until(b'\n', &mut text) => match read {
                    Ok(_) if text.last() == Some(&b'\n') => {
                        heard = Instant::now();
                        match serde_json::from_slice(&text) {
                            Ok(said) => self.hear(said).await,
                            Err(e) => {
                                complain!("what the runner says is not understood: {e}");
                                return Ended::Stream;
                            }
                        }
                        text.clear();
                    }
                    Ok(_) | Err(_) => return Ended::Stream,
                },
                () = sleep_until(heard + LEASE) => return Ended::Silence,
                () = sleep_until(deadline.unwrap_or(heard + 2 * LEASE)), if deadline.is_some() => return Ended::Deadline,
            }
        }
    }

    async fn hear(&mut self, said: ToNode) {
        match said {
            ToNode::Beat => {}
            ToNode::View(view) => {
                let docker = Docker::clone(&self.docker).with_view(view).await;
                match docker {
                    Ok(docker) => self.docker = Arc::new(docker),
                    Err(e) => complain!("{e}"),
                }
            }
            ToNode::Forget { n } => {
                if let Some(call) = self.open.remove(&n) {
                    call.abort();
                }
            }
            ToNode::Line { run, line } => {
                let mut runs = self.runs.lock().await;
                // What cannot be written here may not be rolled back here: nothing more of it is made so.
                if let Err(e) = runs.line(&run, line) {
                    complain!("{e:#}");
                    if let Some(replica) = runs.held.get_mut(&run) {
                        replica.add_no_more();
                    }
                }
            }
            ToNode::Ask { n, call } => {
                if let Call::Hold { run, .. } = &call {
                    self.runs.lock().await.early.insert(run.clone(), Vec::new());
                }
                let asked = Asked {
                    docker: Arc::clone(&self.docker),
                    session: self.session.clone(),
                    runs: Arc::clone(&self.runs),
                };
                let say = self.say.clone();
                let call = self.calls.spawn(async move {
                    let answer = asked.answer(call).await;
                    let _ = say.send(FromNode::Answer { n, answer });
                });
                self.open.retain(|_, call| !call.is_finished());
                self.open.insert(n, call);
            }
        }
    }

    /// Ends every call that is still being made, and lets go of the runs: the engine, and the journals of those that are not over.
    pub(super) async fn end(mut self) -> (Arc<Docker>, Vec<PathBuf>) {
        self.calls.shutdown().await;
        let held = std::mem::take(&mut self.runs.lock().await.held);
        (self.docker, held.into_values().filter_map(Replica::let_go).collect())
    }
}

/// The stream's two ends: an engine gives its containers pipes.
fn stdin() -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)
}

fn stdout() -> io::Result<pipe::Sender> {
    pipe::Sender::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?)
}

async fn write(mut said: UnboundedReceiver<FromNode>, mut output: pipe::Sender) {
    let mut beat = tokio::time::interval(BEAT);
    loop {
        let what = tokio::select! {
            what = said.recv() => match what { Some(what) => what, None => return },
            _ = beat.tick() => FromNode::Beat,
        };
        // That no one hears is told by what is heard.
        let _ = output.write_all(&line(&what)).await;
        let _ = output.flush().await;
    }
}

/// What a call needs.
struct Asked {
    docker: Arc<Docker>,
    session: PathBuf,
    runs: Runs,
}

impl Asked {
    async fn answer(&self, call: Call) -> Result<Answer, EngineError> {
        let docker = &self.docker;
        Ok(match call {
            Call::Hold { run, journal, known } => self.hold(run, &journal, known).await?,
            Call::Recover => self.recover().await?,
            Call::Observe => Answer::Instances(docker.observe().await?.into_iter().map(Into::into).collect()),
            Call::Look(id) => Answer::Instance(docker.look(&id).await?.map(|seen| Box::new(seen.into()))),
            Call::Prepare(all) => {
                docker.prepare(&all).await;
                Answer::Done
            }
            Call::Set { tag, id, to } => Answer::Outcome(match self.permit(&tag).await? {
                Permit::Granted => docker.set(&tag, &id, &to).await?,
                Permit::Over => Outcome::Already,
            }),
            Call::Can(all) => {
                let abilities = all.iter().map(|(instance, to)| docker.ability(instance, to));
                Answer::Abilities(abilities.collect::<Vec<Ability>>())
            }
            Call::AddressesOf(host) => Answer::Addresses(docker.addresses_of(&host).await?),
            Call::Exec { instance, command, timeout } => Answer::Ran(docker.exec(&instance, &command, timeout).await?),
            Call::EndAbandoned => {
                docker.end_abandoned().await;
                Answer::Done
            }
        })
    }

    async fn permit(&self, tag: &Tag) -> Result<Permit, EngineError> {
        let runs = self.runs.lock().await;
        let none = || Err(format!("the node holds no run {}", tag.run));
        let permit = runs.held.get(&tag.run).map_or_else(none, |replica| replica.permit(tag.change));
        permit.map_err(|why| refused(format!("change {tag}"), why))
    }

    async fn hold(&self, run: String, journal: &str, known: bool) -> Result<Answer, EngineError> {
        let attempt = || format!("hold the run {run} on the node");
        let taken = Replica::take(&self.session, &run, journal, known).await;
        let (mut replica, found) = taken.map_err(|e| refused(attempt(), format!("{e:#}")))?;
        let mut runs = self.runs.lock().await;
        for line in runs.early.remove(&run).unwrap_or_default() {
            replica.add(&line).map_err(|e| refused(attempt(), format!("{e:#}")))?;
        }
        runs.held.insert(run, replica);
        Ok(found.map_or(Answer::Done, |found| Answer::Alone(vec![found])))
    }

    /// Rolls back what helpers of this session have left, which are dead.
    async fn recover(&self) -> Result<Answer, EngineError> {
        let attempt = || "look for what helpers have left".to_owned();
        let all = || replica::all(&self.session).map_err(|e| refused(attempt(), e.to_string()));
        for (path, found) in all()?.into_iter().filter(|(_, found)| found.outstanding) {
            tracing::debug!(run = found.run, "left by a helper");
            roll_back_alone(&path, &self.docker, Ended::Stream).await;
        }
        Ok(Answer::Alone(all()?.into_iter().map(|(_, found)| found).collect()))
    }
}

fn refused(attempt: String, why: String) -> EngineError {
    EngineError::Refused { attempt, why }
}
