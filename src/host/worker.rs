//! Workers: processes of this very program that do one thing for it. One way to start them, one word by which they say that they
//! stand, one time limit for it, and two ways to end them: by their standard input, and by a signal.
//!
//! Not among them are processes that this word or this end does not fit: a guard in a container says it by a file, since no pipe
//! leads out of there; `squall stack spawn` tells a number and ends; a schedule's run is to outlive the daemon, and stands when
//! its journal does.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// What a worker says when it stands; any other word is why it cannot.
const READY: &str = "ready";

/// How long it may take for that, and to end when it is let go.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A worker that stands. Dropping it closes its standard input, and kills nothing.
#[derive(Debug)]
pub struct Worker {
    /// Kept, because a child that has ended has none any more.
    pid: u32,
    child: Child,
    input: Option<ChildStdin>,
}

impl Worker {
    /// Starts one that hears of this process's end: its standard input ends then, even on SIGKILL. What it complains of is not heard.
    ///
    /// # Errors
    /// Where it cannot be started, is not ready in time, or says why it cannot be; then it is gone.
    pub async fn start(command: &mut Command) -> io::Result<Self> {
        Self::stand(command.stdin(Stdio::piped()).stderr(Stdio::null()), &[], READY_TIMEOUT).await
    }

    /// The same, with an order: a line of JSON on its standard input.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub async fn start_with(command: &mut Command, order: &impl Serialize) -> io::Result<Self> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        Self::stand(command.stdin(Stdio::piped()).stderr(Stdio::null()), &line, READY_TIMEOUT).await
    }

    /// Starts one that is to outlive this process: nothing that ends here ends it, and it complains where this process does.
    ///
    /// # Errors
    /// As [`Worker::start`].
    pub async fn start_apart(command: &mut Command) -> io::Result<Self> {
        Self::stand(command.stdin(Stdio::null()).stderr(Stdio::inherit()), &[], READY_TIMEOUT).await
    }

    async fn stand(command: &mut Command, order: &[u8], limit: Duration) -> io::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let (Some(pid), Some(output)) = (child.id(), child.stdout.take()) else {
            return Err(io::Error::other("a process without number and output"));
        };
        let mut input = child.stdin.take();
        let said = async {
            let ordered = async {
                let Some(input) = &mut input else { return Ok(()) };
                input.write_all(order).await?;
                input.flush().await
            };
            let ordered = ordered.await;
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).await?;
            // One that says why it cannot need not have read its order.
            if line.trim().is_empty() {
                ordered?;
            }
            io::Result::Ok(line)
        };
        let why = match timeout(limit, said).await {
            Ok(Ok(line)) if line.trim() == READY => return Ok(Self { pid, child, input }),
            Ok(Ok(line)) if line.trim().is_empty() => io::Error::other("the worker ended without a word"),
            Ok(Ok(line)) => io::Error::other(line.trim().to_owned()),
            Ok(Err(e)) => e,
            Err(_) => io::Error::other("the worker does not begin"),
        };
        // Should it stand after all, no process would know of it.
        let _ = child.start_kill();
        Err(why)
    }

    /// Its number, even after its end.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub async fn exited(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Kills it. One that has ended is no error.
    pub fn kill(&mut self) {
        let _ = self.child.start_kill();
    }

    /// Says a last word, closes its standard input, and waits a while for its end.
    pub async fn shutdown(mut self, word: &str) {
        if let Some(mut input) = self.input.take() {
            // One that is gone already needs no word.
            let _ = input.write_all(word.as_bytes()).await;
        }
        let _ = timeout(EXIT_TIMEOUT, self.child.wait()).await;
    }

    /// The other end of its standard input, for as long as it is to go on.
    ///
    /// # Errors
    /// Where it has none, or the kernel refuses.
    pub fn into_input(self) -> io::Result<OwnedFd> {
        self.input.ok_or(io::ErrorKind::BrokenPipe)?.into_owned_fd()
    }
}

/// The worker's side: does what it takes to stand, and says that it does, or why it cannot.
///
/// # Errors
/// That of what it takes.
pub fn stand<T, E: Display>(how: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let begun = how();
    let word = begun.as_ref().map_or_else(|e| format!("{e:#}"), |_| READY.to_owned());
    // A starter that has died meanwhile hears nothing. That is no reason to end, and none to panic: a guard is needed all the more.
    let mut output = io::stdout();
    let _ = writeln!(output, "{word}").and_then(|()| output.flush());
    begun
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, limit: Duration) -> Result<Worker, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped());
        Worker::stand(&mut command, b"[\"an order\"]\n", limit).await.map_err(|e| e.to_string())
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn it_has_its_order_before_it_begins() {
        assert!(sh(r#"read order; test "$order" = '["an order"]' && echo ready"#, LONG).await.is_ok());
    }

    #[tokio::test]
    async fn why_it_does_not_begin_is_told() {
        assert_eq!(sh("read order; echo no such thing", LONG).await.unwrap_err(), "no such thing");
        assert_eq!(sh("read order", LONG).await.unwrap_err(), "the worker ended without a word");
        let late = sh("read order; read forever", Duration::from_millis(100)).await;
        assert_eq!(late.unwrap_err(), "the worker does not begin");
    }

    #[tokio::test]
    async fn its_input_ends_it_unless_it_stands_apart() {
        let script = "echo ready; read word; test \"$word\" = leave";
        let start = async || Worker::start(Command::new("sh").args(["-c", script])).await;
        let mut let_go = start().await.unwrap();
        drop(let_go.input.take());
        assert_eq!(timeout(LONG, let_go.exited()).await.unwrap().unwrap().code(), Some(1));
        let (told, began) = (start().await.unwrap(), std::time::Instant::now());
        told.shutdown("leave\n").await;
        assert!(began.elapsed() < EXIT_TIMEOUT, "it hears its last word");

        let mut apart =
            Worker::start_apart(Command::new("sh").args(["-c", "echo ready; exec sleep 60"])).await.unwrap();
        assert!(timeout(Duration::from_millis(100), apart.exited()).await.is_err(), "nothing ends it");
        apart.kill();
        assert!(!timeout(LONG, apart.exited()).await.unwrap().unwrap().success());
        assert!(apart.into_input().is_err());
    }

    #[tokio::test]
    async fn one_that_is_late_is_gone() {
        let mark = format!("{}.late", std::process::id());
        let mut command = Command::new("sleep");
        command.arg("60").stdin(Stdio::piped()).env("SQUALL_LATE", &mark);
        assert!(Worker::stand(&mut command, &[], Duration::from_millis(300)).await.is_err());
        for left in crate::host::process::with_variable("SQUALL_LATE", &mark) {
            assert!(left.ended_within(LONG).await.unwrap(), "it was killed, so its end is near");
        }
    }
}
