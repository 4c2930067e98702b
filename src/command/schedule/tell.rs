//! Who is told of what the daemon's runs come to. Messages are sent by tasks that nothing waits for, but for a moment at the
//! daemon's end.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::say;
use crate::engine::here::variable_in_use;
use crate::model::exit::Verdict;
use crate::occasions::history::Row;
use crate::occasions::notify::send::{self, RetryPolicy};
use crate::occasions::notify::{Message, Recipient, Severity, Stage, Subject};
use crate::occasions::schedule::Tell;

/// How long the daemon's end waits for messages that are on their way.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How many messages wait for a recipient that is slow.
const MOST_WAITING: usize = 16;

/// Who wants to know about a run, and what.
pub(super) struct Listeners {
    /// `schedule/entry`.
    pub(super) key: String,
    pub(super) recipients: Vec<Recipient>,
    pub(super) tell: Tell,
}

/// Messages on their way: to each recipient one after the other, so that what is over never arrives before what has begun,
/// and nobody waits for somebody else's.
#[derive(Default)]
pub(super) struct Messages {
    lines: Vec<(Recipient, Sender<Message>)>,
    senders: JoinSet<()>,
}

impl Messages {
    pub(super) fn send(&mut self, recipients: &[Recipient], message: &Message) {
        for recipient in recipients {
            if self.line(recipient).try_send(message.clone()).is_err() {
                say(&format!("{MOST_WAITING} messages wait for a recipient already; not told: {}", message.title));
            }
        }
    }

    /// The way to a recipient.
    fn line(&mut self, to: &Recipient) -> &Sender<Message> {
        let at = self.lines.iter().position(|(recipient, _)| recipient == to).unwrap_or_else(|| {
            let (out, messages) = mpsc::channel(MOST_WAITING);
            self.senders.spawn(send_all(messages, to.clone()));
            self.lines.push((to.clone(), out));
            self.lines.len() - 1
        });
        &self.lines[at].1
    }

    /// Waits a moment for those that are still on their way.
    pub(super) async fn last_words(&mut self) {
        self.lines.clear();
        let all = async { while self.senders.join_next().await.is_some() {} };
        if timeout(LAST_WORDS, all).await.is_err() {
            say("messages were still on their way");
        }
    }
}

async fn send_all(mut messages: Receiver<Message>, to: Recipient) {
    let to = [to];
    while let Some(message) = messages.recv().await {
        for sent in send::all(&to, &message, RetryPolicy::default(), variable_in_use).await {
            if let Some(why) = sent.error {
                say(&format!("{} was not told: {why}", sent.recipient));
            }
        }
    }
}

/// What is said when a run begins; nothing where nobody wants to know.
pub(super) fn begins(to: &Listeners, experiment: &str, at: Timestamp) -> Option<Message> {
    let title = format!("{experiment} begins ({})", to.key);
    (to.tell == Tell::Everything).then(|| message(to, experiment, at, Stage::Initial, Severity::Info, title))
}

/// What is said when a run has ended; nothing where nobody wants to know. `troubled`: whether trouble was told before. `row`:
/// what the history knows of it.
pub(super) fn ends(
    to: &Listeners,
    experiment: &str,
    at: Timestamp,
    verdict: Option<Verdict>,
    troubled: bool,
    row: Option<(&Row, &Path)>,
) -> Option<Message> {
    let stage = match (verdict, to.tell, troubled) {
        // No trouble, and the end of none.
        (Some(verdict), Tell::Trouble, _) if verdict.is_rehearsal() => return None,
        (Some(verdict), Tell::Everything, _) if verdict.is_rehearsal() => Stage::Resolution,
        (Some(Verdict::Held), Tell::Trouble, false) => return None,
        (Some(Verdict::Held), ..) => Stage::Resolution,
        (_, Tell::Trouble, false) => Stage::Initial,
        _ => Stage::Update,
    };
    let (severity, came) = match verdict {
        Some(Verdict::Held) if troubled => (Severity::Info, "held again"),
        Some(verdict) => (Severity::of(verdict), verdict.words()),
        None => (Severity::Critical, "has no end"),
    };
    let title = format!("{experiment}: {came} ({})", to.key);
    let mut message = message(to, experiment, at, stage, severity, title);
    message.verdict = verdict;
    if let Some((row, report)) = row {
        message.text.extend(row.text.clone().or_else(|| row.reason.clone()).filter(|_| verdict != Some(Verdict::Held)));
        message.run = Some(row.run.clone());
        message.report = Some(report.display().to_string());
    }
    if matches!(verdict, None | Some(Verdict::LeftBehind)) {
        message.text.push("Something may still be in place: `squall recover` rolls it back.".to_owned());
    }
    Some(message)
}

fn message(
    to: &Listeners,
    experiment: &str,
    at: Timestamp,
    stage: Stage,
    severity: Severity,
    title: String,
) -> Message {
    Message {
        at,
        key: format!("squall/schedule/{}", to.key),
        stage,
        severity,
        title,
        text: Vec::new(),
        subject: Subject::Experiment(experiment.to_owned()),
        verdict: None,
        run: None,
        report: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(tell: Tell, verdict: Option<Verdict>, troubled: bool) -> Option<(Stage, Severity)> {
        let to = Listeners { key: "s/it".to_owned(), recipients: Vec::new(), tell };
        let message = ends(&to, "quick", Timestamp::UNIX_EPOCH, verdict, troubled, None)?;
        Some((message.stage, message.severity))
    }

    #[test]
    fn trouble_is_told_and_its_end_and_nothing_else() {
        use Verdict::{Broken, Held, LeftBehind, NoVerdict};
        assert_eq!(said(Tell::Trouble, Some(Held), false), None);
        assert_eq!(said(Tell::Trouble, Some(Broken), false), Some((Stage::Initial, Severity::Error)));
        assert_eq!(said(Tell::Trouble, Some(NoVerdict), true), Some((Stage::Update, Severity::Warning)));
        assert_eq!(said(Tell::Trouble, Some(LeftBehind), false), Some((Stage::Initial, Severity::Critical)));
        assert_eq!(said(Tell::Trouble, None, false), Some((Stage::Initial, Severity::Critical)));
        assert_eq!(said(Tell::Trouble, Some(Held), true), Some((Stage::Resolution, Severity::Info)));
    }

    #[test]
    fn who_wants_everything_hears_of_begins_and_ends() {
        let to = |tell| Listeners { key: "s/it".to_owned(), recipients: Vec::new(), tell };
        let begins = |tell| begins(&to(tell), "quick", Timestamp::UNIX_EPOCH).map(|m| m.stage);
        assert_eq!([begins(Tell::Trouble), begins(Tell::Everything)], [None, Some(Stage::Initial)]);
        assert_eq!(said(Tell::Everything, Some(Verdict::Held), false), Some((Stage::Resolution, Severity::Info)));
        assert_eq!(said(Tell::Everything, Some(Verdict::Broken), false), Some((Stage::Update, Severity::Error)));
    }
}
