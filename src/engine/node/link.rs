//! The stream to a helper: calls with their answers, the lines of journals, and the beats by which each side knows that the other is
//! there. Knows no container.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::container::LogOutput;
use futures_util::{Stream, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::protocol::{Answer, BEAT, Call, FromNode, Hello, LEASE, ToNode, line};
use crate::engine::EngineError;

type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;
type Open = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Answer, EngineError>>>>>;

/// How long a helper may take from its start to its first word.
const FIRST_WORD: Duration = Duration::from_secs(20);

/// The most lines of one message.
const AT_ONCE: usize = 1024;

/// How much of what a helper complains of is kept.
const COMPLAINTS: usize = 4096;

/// A stream to a helper that has said who it is. Dropping it ends the stream, and with it the helper.
#[derive(Debug)]
pub(super) struct Link {
    say: Mutex<Option<UnboundedSender<ToNode>>>,
    open: Open,
    next: AtomicU64,
    /// Why it is lost, as soon as it is.
    lost: watch::Receiver<Option<String>>,
    /// It was lost because nothing was heard any more, and not by its end.
    is_silent: Arc<AtomicBool>,
    writer: Mutex<JoinSet<()>>,
    reader: Mutex<JoinSet<()>>,
}

impl Link {
    /// Listens to a helper until it has said who it is; why not where it does not.
    pub(super) async fn open(mut output: Output, input: Input) -> Result<(Self, Hello), String> {
        let mut lines = Lines { said: Vec::new(), complained: Vec::new(), patience: FIRST_WORD, is_silent: false };
        let hello = loop {
            match lines.next(&mut output).await? {
                FromNode::Hello(hello) => break hello,
                FromNode::Beat | FromNode::Answer { .. } => {}
            }
        };
        lines.patience = LEASE;
        let (say, said) = unbounded_channel();
        let (gone, lost) = watch::channel(None);
        let (open, is_silent) = (Open::default(), Arc::default());
        let (mut writer, mut reader) = (JoinSet::new(), JoinSet::new());
        writer.spawn(write(input, said));
        reader.spawn(read(output, lines, Arc::clone(&open), (gone, Arc::clone(&is_silent))));
        let (say, writer, reader) = (Mutex::new(Some(say)), Mutex::new(writer), Mutex::new(reader));
        Ok((Self { say, open, next: AtomicU64::new(0), lost, is_silent, writer, reader }, hello))
    }

    /// Says something that has no answer. What is said is heard in this order.
    pub(super) fn say(&self, what: ToNode) {
        // Where the stream has ended, that is told by what is asked.
        if let Some(say) = &*lock(&self.say) {
            let _ = say.send(what);
        }
    }

    /// Why it is lost, where it is.
    pub(super) fn lost(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    /// Whether it is lost because nothing was heard for as long as a helper waits as well, before it rolls back alone.
    pub(super) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }

    /// Asks; in this order with all that is said. An asker that goes away is told of.
    pub(super) fn begin(&self, call: Call) -> Waiting {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        lock(&self.open).insert(n, sender);
        // Lost before it was listed, or after.
        if self.lost().is_some() {
            lock(&self.open).remove(&n);
        }
        self.say(ToNode::Ask { n, call });
        let (open, say) = (Arc::clone(&self.open), lock(&self.say).clone());
        Waiting { receiver, asker: Asker { n, open, say }, lost: self.lost.clone() }
    }

    /// Ends the stream, when all that was said is on its way: the helper hears of it at once.
    pub(super) async fn close(&self) {
        drop(lock(&self.say).take());
        let mut writer = std::mem::take(&mut *lock(&self.writer));
        let _ = timeout(BEAT, writer.join_next()).await;
        let mut reader = std::mem::take(&mut *lock(&self.reader));
        writer.shutdown().await;
        reader.shutdown().await;
    }
}

/// A call whose answer is awaited.
pub(super) struct Waiting {
    receiver: oneshot::Receiver<Result<Answer, EngineError>>,
    asker: Asker,
    lost: watch::Receiver<Option<String>>,
}

impl Waiting {
    /// What the helper says; why the stream was lost, if it was.
    pub(super) async fn answer(self) -> Result<Result<Answer, EngineError>, String> {
        let Self { receiver, asker, lost } = self;
        let answer = receiver.await;
        drop(asker);
        answer.map_err(|_| lost.borrow().clone().unwrap_or_else(|| "the stream to it ended".to_owned()))
    }
}

/// Who waits for an answer.
struct Asker {
    n: u64,
    open: Open,
    say: Option<UnboundedSender<ToNode>>,
}

impl Drop for Asker {
    fn drop(&mut self) {
        if lock(&self.open).remove(&self.n).is_some()
            && let Some(say) = &self.say
        {
            let _ = say.send(ToNode::Forget { n: self.n });
        }
    }
}

/// What is said in one moment goes out in one piece: the settings of a fault are one message to each node.
async fn write(mut input: Input, mut said: UnboundedReceiver<ToNode>) {
    let mut beat = tokio::time::interval(BEAT);
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            n = said.recv_many(&mut batch, AT_ONCE) => if n == 0 { return },
            _ = beat.tick() => batch.push(ToNode::Beat),
        }
        let message: Vec<u8> = batch.drain(..).flat_map(|what| line(&what)).collect();
        if input.write_all(&message).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
}

async fn read(
    mut output: Output,
    mut lines: Lines,
    open: Open,
    (gone, is_silent): (watch::Sender<Option<String>>, Arc<AtomicBool>),
) {
    let why = loop {
        match lines.next(&mut output).await {
            Ok(FromNode::Answer { n, answer }) => {
                // An asker that went away needs none.
                if let Some(asker) = lock(&open).remove(&n) {
                    let _ = asker.send(answer);
                }
            }
            Ok(FromNode::Beat | FromNode::Hello(_)) => {}
            Err(why) => break why,
        }
    };
    is_silent.store(lines.is_silent, Ordering::Relaxed);
    let _ = gone.send(Some(why));
    lock(&open).clear();
}

/// What a helper says, line by line, whatever pieces it comes in.
struct Lines {
    said: Vec<u8>,
    complained: Vec<u8>,
    /// How long it may say nothing.
    patience: Duration,
    /// It has said nothing for longer.
    is_silent: bool,
}

impl Lines {
    async fn next(&mut self, output: &mut Output) -> Result<FromNode, String> {
        loop {
            if let Some(end) = self.said.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.said.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(|e| format!("what it says is not understood ({e})"));
            }
            // Part of a line shows that it is there as well.
            let Ok(next) = timeout(self.patience, output.next()).await else {
                self.is_silent = true;
                return Err(format!("it has said nothing for {}", humantime::format_duration(self.patience)));
            };
            match next {
                Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => {
                    self.said.extend_from_slice(&message);
                }
                Some(Ok(LogOutput::StdErr { message })) => {
                    tracing::debug!(text = %String::from_utf8_lossy(&message), "the helper complains");
                    let room = COMPLAINTS.saturating_sub(self.complained.len()).min(message.len());
                    self.complained.extend_from_slice(&message[..room]);
                }
                Some(Ok(LogOutput::StdIn { .. })) => {}
                Some(Err(e)) => return Err(self.ended(&e.to_string())),
                None => return Err(self.ended("the stream to it ended")),
            }
        }
    }

    /// Why there is nothing more: in its own words if it has said any.
    fn ended(&self, why: &str) -> String {
        let complained = String::from_utf8_lossy(&self.complained);
        let complained = complained.trim();
        if complained.is_empty() { why.to_owned() } else { complained.to_owned() }
    }
}

fn lock<T>(what: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn says(message: &FromNode) -> LogOutput {
        LogOutput::StdOut { message: super::line(message).into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_helper_that_is_not_heard_of_is_silent_and_one_that_ends_is_not() {
        let hello = Hello { version: String::new(), protocol: 0, engine: None, container: None };
        let said = || stream::iter([says(&FromNode::Hello(hello.clone())), says(&FromNode::Beat)].map(Ok));
        let outputs: [(Output, bool); 2] =
            [(Box::pin(said()), false), (Box::pin(said().chain(stream::pending())), true)];
        for (output, is_silent) in outputs {
            let (link, _) = Link::open(output, Box::pin(tokio::io::sink())).await.unwrap();
            assert!(!link.is_silent());
            link.lost.clone().wait_for(Option::is_some).await.unwrap();
            assert_eq!(link.is_silent(), is_silent, "{:?}", link.lost());
        }
    }
}
