//! Tells people what happens on a game day, from a task that the walk-through does not await: nobody's webhook stands in the
//! way of an undo. What came of each message is on the timeline.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::reports;
use crate::engine::here::variable_in_use;
use crate::host::store::StateDir;
use crate::model::exit::Verdict;
use crate::occasions::gameday::event::Event;
use crate::occasions::gameday::{Gameday, timeline};
use crate::occasions::gate::{Attempt, Entry};
use crate::occasions::notify::send::{self, RetryPolicy};
use crate::occasions::notify::{Message, Recipient, Severity, Stage, Subject};

/// How long the end of a game day waits for its messages.
const LAST: Duration = Duration::from_secs(10);

/// Sends the messages of one game day.
pub(super) struct Tell {
    gameday: Gameday,
    key: String,
    report: Option<String>,
    path: PathBuf,
    /// One for each recipient: one that is slow or dead delays no other.
    lines: Vec<Outbox>,
    senders: JoinSet<()>,
}

/// The way to one recipient.
struct Outbox {
    /// Of which kind it is; no secret.
    kind: &'static str,
    out: UnboundedSender<Message>,
    open: Open,
}

/// The messages that are not settled yet.
type Open = Arc<Mutex<VecDeque<Stage>>>;

fn lock(open: &Open) -> MutexGuard<'_, VecDeque<Stage>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tell {
    pub(super) fn begin(gameday: &Gameday, id: &str, path: &Path, state: &StateDir) -> Self {
        let mut senders = JoinSet::new();
        let line = |recipient: &Recipient| {
            let (out, messages) = unbounded_channel();
            let open = Open::default();
            senders.spawn(send_all(messages, recipient.clone(), path.to_owned(), open.clone()));
            Outbox { kind: kind(recipient), out, open }
        };
        Self {
            gameday: gameday.clone(),
            key: format!("squall/gameday/{id}"),
            report: Some(reports::page(state, id).display().to_string()),
            path: path.to_owned(),
            lines: gameday.notify.iter().map(line).collect(),
            senders,
        }
    }

    fn say(&self, stage: Stage, severity: Severity, title: String, more: Message) {
        let message = Message { stage, severity, title, ..more };
        for line in &self.lines {
            lock(&line.open).push_back(stage);
            // Where nobody sends any more, the message stays open, and the end says so.
            let _ = line.out.send(message.clone());
        }
    }

    fn blank(&self) -> Message {
        Message {
            at: Timestamp::now(),
            key: self.key.clone(),
            stage: Stage::Update,
            severity: Severity::Info,
            title: String::new(),
            text: Vec::new(),
            subject: Subject::Gameday(self.gameday.name.clone()),
            verdict: None,
            run: None,
            report: None,
        }
    }

    pub(super) fn begins(&self) {
        let scenarios = self.gameday.scenarios.len();
        let text =
            vec![self.gameday.objective.clone(), format!("owner: {}; scenarios: {scenarios}", self.gameday.owner)];
        let title = format!("Game day begins: {}", self.gameday.title);
        self.say(Stage::Initial, Severity::Info, title, Message { text, ..self.blank() });
    }

    pub(super) fn scenario(&self, name: &str, attempt: &Attempt) {
        let title = format!("{}: {name}: {}", self.gameday.title, attempt.verdict.words());
        let run = attempt.run.as_ref().and_then(|run| run.started.as_ref()).map(|s| s.run.clone());
        let more = Message { text: vec![attempt.why.clone()], verdict: Some(attempt.verdict), run, ..self.blank() };
        self.say(Stage::Update, Severity::of(attempt.verdict), title, more);
    }

    /// The last message; waits a little for all that are still on their way.
    pub(super) async fn ends(mut self, verdict: Verdict, entries: &[Entry]) {
        let title = format!("Game day is over: {}: {}", self.gameday.title, verdict.words());
        let text = entries.iter().map(|e| format!("{}: {}", e.name, e.standing().words())).collect();
        let more = Message { text, verdict: Some(verdict), report: self.report.take(), ..self.blank() };
        self.say(Stage::Resolution, Severity::of(verdict), title, more);
        // Closed: each sender comes to its end when it is through.
        let lines: Vec<_> = self.lines.drain(..).map(|line| (line.kind, line.open)).collect();
        let _ = timeout(LAST, async { while self.senders.join_next().await.is_some() {} }).await;
        self.senders.shutdown().await;
        for (kind, open) in lines {
            for stage in std::mem::take(&mut *lock(&open)) {
                let error = Some(format!("given up {LAST:?} after the end of the game day"));
                note(&self.path, Event::Told { stage, recipient: kind.to_owned(), attempts: 0, error });
            }
        }
    }
}

fn kind(recipient: &Recipient) -> &'static str {
    match recipient {
        Recipient::Slack(_) => "slack",
        Recipient::PagerDuty(_) => "pagerduty",
        Recipient::Webhook(_) => "webhook",
        Recipient::Command(_) => "command",
        Recipient::File(_) => "file",
    }
}

fn note(path: &Path, event: Event) {
    if let Err(e) = timeline::add(path, event) {
        complain!("warning: {e:#}");
    }
}

/// One message after the other: what is over must not arrive before what has begun.
async fn send_all(mut messages: UnboundedReceiver<Message>, to: Recipient, path: PathBuf, open: Open) {
    let to = [to];
    while let Some(message) = messages.recv().await {
        let stage = message.stage;
        for sent in send::all(&to, &message, RetryPolicy::default(), variable_in_use).await {
            let send::Sent { recipient, attempts, error } = sent;
            note(&path, Event::Told { stage, recipient, attempts, error });
        }
        lock(&open).pop_front();
    }
}
