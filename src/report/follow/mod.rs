//! What people and programs see while a run goes on: functions over its events.
//!
//! A follower keeps its own fold of the events and is never awaited by the run: a stuck terminal delays no undo, a
//! closed pipe stops nothing. It knows neither engine nor journal.

mod console;
#[cfg(test)]
pub(crate) mod fixture;
mod json;
mod live;
mod narrate;
pub(crate) mod paint;
mod summary;
pub(crate) mod words;

use std::io::{IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::mpsc;

use ::console::Term;

pub use self::console::{console, console_from};
pub use json::json;
pub use summary::{summary, verdict};

use crate::record::event::Stamped;
use crate::text::{redact, visible};

/// The events of a run as they happen. The sender never waits; the end of the channel is the end of the run.
pub type Events = tokio::sync::mpsc::UnboundedReceiver<Arc<Stamped>>;

/// Where a follower writes.
pub enum Output {
    /// A terminal that a live display can be drawn on. It keeps what is written until it is flushed.
    Terminal(Term),
    /// A pipe, a file, a dumb terminal: lines and nothing else.
    Lines(Box<dyn Write + Send>),
}

impl Output {
    /// Standard output: live where it is a terminal that can be drawn on (not `TERM=dumb`).
    #[must_use]
    pub fn stdout() -> Self {
        if std::io::stdout().is_terminal() && !dumb() {
            Self::Terminal(Term::buffered_stdout())
        } else {
            Self::Lines(Box::new(std::io::stdout()))
        }
    }

    /// Columns that text may fill: the terminal's, else 80.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Terminal(term) => columns(term),
            Self::Lines(_) => 80,
        }
    }
}

/// How a follower shows things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Only the end.
    pub quiet: bool,
    /// With colours. They never carry a meaning that no symbol or word has.
    pub colour: bool,
}

impl Style {
    /// What suits an output: colours on a terminal, unless `NO_COLOR` is set or it is a dumb one.
    #[must_use]
    pub fn of(out: &Output, quiet: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self { quiet, colour: matches!(out, Output::Terminal(_)) && !no_color }
    }
}

fn dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// Columns of a terminal that text may fill; some say that they have none.
fn columns(term: &Term) -> usize {
    usize::from(term.size().1).clamp(20, 200)
}

/// Says something on standard output, after the followers are done. A pipe that is closed (`| head -1`) is no error, and
/// no reason to panic, as `println!` would.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", visible::inert(&visible::text(text)));
}

/// Says something on standard error. One that is closed or full stops nothing.
pub fn complain(text: &str) {
    complain_styled(&visible::text(&redact::text(text)));
}

/// The same for what has colours, in which texts from outside are fit to be seen already.
pub fn complain_styled(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", visible::inert(text));
}

/// Says a command of a pipeline, on standard error. Nothing else that is said is one.
pub fn command(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The same for sentences, of which a terminal gets lines that fit it. Not for commands and paths: who copies one wants it whole.
pub fn tell(text: &str) {
    match Output::stdout() {
        Output::Terminal(term) => say(&fitting(text, columns(&term))),
        Output::Lines(_) => say(text),
    }
}

/// Breaks what is longer than a line between its words, with what follows further in than its begin.
fn fitting(text: &str, width: usize) -> String {
    let lines = text.split('\n').flat_map(|line| {
        if ::console::measure_text_width(line) <= width {
            return vec![line.to_owned()];
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        let pad = |i: usize| " ".repeat(indent + if i > 0 { 2 } else { 0 });
        let broken = words::wrap(line, width.saturating_sub(indent + 2));
        broken.into_iter().enumerate().map(|(i, line)| pad(i) + &line).collect()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Lets `write` have the events in a thread of its own, and comes back when it is done: a terminal that takes no more
/// bytes (Ctrl-S) must not hold a worker of the runtime, nor its end.
async fn on_a_thread(mut events: Events, write: impl FnOnce(mpsc::Receiver<Arc<Stamped>>) + Send + 'static) {
    let (to_writer, for_writer) = mpsc::channel();
    let (done, is_done) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("follow".into()).spawn(move || {
        write(for_writer);
        // Where nobody waits any more, nobody need be told.
        let _ = done.send(());
    });
    while let Some(event) = events.recv().await {
        // A writer that has given up (no thread to be had, a panic) stops nothing: the events are still taken.
        let _ = to_writer.send(event);
    }
    drop(to_writer);
    if thread.is_ok() {
        let _ = is_done.await;
    }
}

/// Writes lines until that fails for the first time (a closed pipe, a full disk), then silently no more.
struct Lines {
    sink: Option<Box<dyn Write + Send>>,
}

impl Lines {
    fn new(sink: Box<dyn Write + Send>) -> Self {
        Self { sink: Some(sink) }
    }

    fn put(&mut self, line: &str) {
        if let Some(sink) = &mut self.sink
            && writeln!(sink, "{line}").and_then(|()| sink.flush()).is_err()
        {
            self.sink = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A buffer that a test can look into while a follower has it; closed after `room` bytes.
    #[derive(Clone)]
    pub(super) struct Buffer {
        pub(super) bytes: Arc<Mutex<Vec<u8>>>,
        room: usize,
    }

    impl Buffer {
        pub(super) fn new(room: usize) -> Self {
            Self { bytes: Arc::default(), room }
        }

        pub(super) fn text(&self) -> String {
            String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Buffer {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            let mut bytes = self.bytes.lock().unwrap();
            if bytes.len() + buf.len() > self.room {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            bytes.extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What a follower writes to a pipe.
    pub(super) async fn followed<F: Future<Output = ()>>(
        events: &[Stamped],
        room: usize,
        follow: impl FnOnce(Events, Output) -> F,
    ) -> String {
        let buffer = Buffer::new(room);
        let (send, receive) = tokio::sync::mpsc::unbounded_channel();
        for event in events {
            send.send(Arc::new(event.clone())).unwrap();
        }
        drop(send);
        follow(receive, Output::Lines(Box::new(buffer.clone()))).await;
        buffer.text()
    }

    #[test]
    fn what_is_said_fits_a_terminal() {
        let text = "short\n\n  and so on: /a/rather/long/path of one word after the other";
        assert_eq!(
            fitting(text, 30),
            "short\n\n  and so on:\n    /a/rather/long/path of one\n    word after the other"
        );
    }
}
