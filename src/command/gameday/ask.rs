//! Asks at the terminal.

use std::io::Write as _;

use rustix::termios::{QueueSelector, tcflush};
use tokio::task::spawn_blocking;

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Yes,
    No,
    Quit,
    /// Nobody answers any more: the terminal is gone, or was closed with Ctrl-D.
    Gone,
}

/// Asks until there is an answer. May be dropped at any time: a line that is typed then is lost, and nothing else.
pub(super) async fn ask(question: &str) -> Word {
    // What was typed while a run went on was no answer to this.
    let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
    loop {
        let mut out = std::io::stdout();
        let _ = write!(out, "{question} ").and_then(|()| out.flush());
        let line = spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).map(|_| line)
        });
        let Ok(Ok(line)) = line.await else { return Word::Gone };
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return Word::Yes,
            "n" | "no" => return Word::No,
            "q" | "quit" => return Word::Quit,
            // Not even the end of a line.
            _ if line.is_empty() => return Word::Gone,
            _ => crate::report::follow::say("y, n or q"),
        }
    }
}
