//! A helper's side of the stream: what is heard is done, and what came of it is said. Ends with the lease.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::alone::Ended;
use super::calls::Calls;
use super::replica::Replica;
use crate::engine::node::protocol::{BEAT, Call, FromNode, LEASE, ToNode, line};

/// The most lines of one message.
const AT_ONCE: usize = 1024;

pub(super) struct Server {
    calls: Calls,
    /// Those that are being made.
    making: JoinSet<()>,
    open: HashMap<u64, AbortHandle>,
    say: UnboundedSender<FromNode>,
    _writer: JoinSet<()>,
}

impl Server {
    /// # Errors
    /// Where there is no stream.
    pub(super) fn new(calls: Calls) -> io::Result<Self> {
        let (say, said) = unbounded_channel();
        let mut writer = JoinSet::new();
        writer.spawn(write(said, stdout()?));
        Ok(Self { calls, making: JoinSet::new(), open: HashMap::new(), say, _writer: writer })
    }

    pub(super) fn say(&self, what: FromNode) {
        let _ = self.say.send(what);
    }

    /// Serves until the lease is over.
    pub(super) async fn serve(&mut self) -> Ended {
        let Ok(mut input) = stdin() else { return Ended::Stream };
        let mut text = Vec::new();
        let mut heard = Instant::now();
        loop {
            while self.making.try_join_next().is_some() {}
            let deadline = self.calls.runs.lock().await.held.values().filter_map(Replica::deadline).min();
            let silence = heard + LEASE;
            tokio::select! {
                // What waits to be heard comes first: this process may have been held up itself.
                biased;
                read = input.read_buf(&mut text) => match read {
                    Ok(1..) => {
                        if self.hear_all(&mut text).await.is_err() {
                            return Ended::Stream;
                        }
                        heard = Instant::now();
                    }
                    Ok(0) | Err(_) => return Ended::Stream,
                },
                () = sleep_until(silence) => return Ended::Silence,
                () = sleep_until(deadline.unwrap_or(silence)), if deadline.is_some() => return Ended::Deadline,
            }
        }
    }

    /// Hears every whole line.
    async fn hear_all(&mut self, text: &mut Vec<u8>) -> Result<(), ()> {
        let end = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = text.drain(..end).collect();
        for line in lines.split_inclusive(|b| *b == b'\n') {
            match serde_json::from_slice(line) {
                Ok(said) => self.hear(said).await,
                Err(e) => {
                    complain!("what the runner says is not understood: {e}");
                    return Err(());
                }
            }
        }
        Ok(())
    }

    async fn hear(&mut self, said: ToNode) {
        match said {
            ToNode::Beat => {}
            ToNode::Forget { n } => {
                if let Some(call) = self.open.remove(&n) {
                    call.abort();
                }
            }
            ToNode::Line { run, line } => self.calls.runs.lock().await.line(&run, line),
            ToNode::Ask { n, call } => {
                if let Call::Hold { run, .. } = &call {
                    self.calls.runs.lock().await.early.insert(run.clone(), Vec::new());
                }
                let (calls, say) = (self.calls.clone(), self.say.clone());
                let call = self.making.spawn(async move {
                    let answer = calls.answer(call).await;
                    let _ = say.send(FromNode::Answer { n, answer });
                });
                self.open.retain(|_, call| !call.is_finished());
                self.open.insert(n, call);
            }
        }
    }

    /// Ends every call that is still being made, and lets go of the runs, for who rolls them back.
    pub(super) async fn end(mut self) {
        self.making.shutdown().await;
        self.calls.runs.lock().await.held.clear();
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
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            n = said.recv_many(&mut batch, AT_ONCE) => if n == 0 { return },
            _ = beat.tick() => batch.push(FromNode::Beat),
        }
        let message: Vec<u8> = batch.drain(..).flat_map(|what| line(&what)).collect();
        // That it is heard nowhere is told by what is heard here.
        let _ = output.write_all(&message).await;
        let _ = output.flush().await;
    }
}
