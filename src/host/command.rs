//! Runs a command of the user's on this machine: bounded in time and output, and nothing of it outlives the bound.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;

use super::net::namespace::Namespace;

/// How much of what a command prints is kept, for each of its two outputs (bytes).
pub const OUTPUT_LIMIT: usize = 64 * 1024;

/// How long to read on after the end of a command whose own children still hold its outputs open.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 128 and the signal's number where a signal ended it.
    pub status: i32,
    /// What it printed, at most [`OUTPUT_LIMIT`].
    pub stdout: String,
    /// What it complained about, at most [`OUTPUT_LIMIT`].
    pub stderr: String,
}

/// Runs a program with its arguments in a process group of its own; after `timeout` the whole group is killed and the
/// answer is `None`. Dropping the future kills the program too.
///
/// # Errors
/// Where it cannot be started.
pub async fn run(argv: &[String], env: &[(&str, String)], timeout: Duration) -> io::Result<Option<Output>> {
    run_at(None, argv, env, timeout).await
}

/// The same in a directory; else in this process's.
///
/// # Errors
/// Where it cannot be started, or the directory is not there.
pub async fn run_at(
    directory: Option<&Path>,
    argv: &[String],
    env: &[(&str, String)],
    timeout: Duration,
) -> io::Result<Option<Output>> {
    supervise(None, directory, argv, env, None, timeout).await
}

/// The same, with something on its standard input; a program that does not read it all is no error.
///
/// # Errors
/// Where it cannot be started.
pub async fn run_with(
    argv: &[String],
    env: &[(&str, String)],
    input: &[u8],
    timeout: Duration,
) -> io::Result<Option<Output>> {
    supervise(None, None, argv, env, Some(input), timeout).await
}

/// As [`run`], in a network namespace.
///
/// # Errors
/// Where the namespace cannot be entered, or the program cannot be started.
pub async fn run_in(
    namespace: Option<&Namespace>,
    argv: &[String],
    env: &[(&str, String)],
    timeout: Duration,
) -> io::Result<Option<Output>> {
    supervise(namespace, None, argv, env, None, timeout).await
}

async fn supervise(
    namespace: Option<&Namespace>,
    directory: Option<&Path>,
    argv: &[String],
    env: &[(&str, String)],
    input: Option<&[u8]>,
    timeout: Duration,
) -> io::Result<Option<Output>> {
    let (program, arguments) = argv.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    let runtime = Handle::current();
    let child = match namespace {
        None => command.spawn()?,
        // A program is where the thread is that starts it.
        Some(namespace) => namespace.run(|| {
            let _inside = runtime.enter();
            command.spawn()
        })?,
    };
    let mut leader = Leader(child);
    let child = &mut leader.0;
    // While the child is not waited for, its number cannot be anybody else's.
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err, feed) = (child.stdout.take(), child.stderr.take(), child.stdin.take());
    let mut reading = Box::pin(async {
        tokio::join!(keep(out, &mut stdout), keep(err, &mut stderr), give(feed, input.unwrap_or_default()));
    });
    let ended = tokio::time::timeout(timeout, async {
        let status = tokio::select! {
            status = child.wait() => status?,
            () = &mut reading => return child.wait().await,
        };
        let _ = tokio::time::timeout(LAST_WORDS, &mut reading).await;
        Ok(status)
    })
    .await;
    drop(reading);
    let Ok(status) = ended else {
        if let (Some(group), None) = (group, child.try_wait()?) {
            // It may have ended this instant: then there is nothing to kill.
            let _ = kill_process_group(group, Signal::KILL);
        }
        child.wait().await?;
        return Ok(None);
    };
    let status = status?;
    let status = status.code().or_else(|| std::os::unix::process::ExitStatusExt::signal(&status).map(|s| 128 + s));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(Output { status: status.unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }))
}

/// The first process of a group, which is killed as a whole when it is not waited for any more: the runtime would kill
/// the first process alone.
struct Leader(Child);

impl Drop for Leader {
    fn drop(&mut self) {
        // It has a number until it is waited for; so long no other process can have it.
        if let Some(group) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // It may have ended this instant: then there is nothing to kill.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Keeps the first part of a stream, and reads the rest too, so that its writer never waits.
async fn keep(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut chunk = [0; 8 * 1024];
    while let Ok(n @ 1..) = stream.read(&mut chunk).await {
        let room = OUTPUT_LIMIT - kept.len();
        kept.extend_from_slice(&chunk[..n.min(room)]);
    }
}

/// Writes all of it, or as much as the reader takes, and closes the stream.
async fn give(stream: Option<impl AsyncWrite + Unpin>, input: &[u8]) {
    let Some(mut stream) = stream else { return };
    let _ = stream.write_all(input).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, timeout: Duration) -> Option<Output> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        run(&argv, &[("GREETING", "hello".to_owned())], timeout).await.unwrap()
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn status_and_output_are_told_apart() {
        let got = sh("echo $GREETING; echo oh >&2; exit 3", LONG).await.unwrap();
        assert_eq!((got.status, got.stdout.as_str(), got.stderr.as_str()), (3, "hello\n", "oh\n"));
        assert_eq!(sh("kill -9 $$", LONG).await.unwrap().status, 137);
    }

    #[tokio::test]
    async fn what_is_given_is_read_and_need_not_be() {
        let input = "x".repeat(1_000_000);
        let given = async |script: &str| {
            let argv = ["sh", "-c", script].map(str::to_owned);
            run_with(&argv, &[], input.as_bytes(), LONG).await.unwrap().unwrap()
        };
        assert_eq!(given("wc -c").await.stdout, "1000000\n");
        assert_eq!(given("exit 3").await.status, 3);
    }

    #[tokio::test]
    async fn output_is_capped_without_stopping_the_command() {
        let got = sh("head -c 1000000 /dev/zero; echo done >&2", LONG).await.unwrap();
        assert_eq!((got.status, got.stdout.len(), got.stderr.as_str()), (0, OUTPUT_LIMIT, "done\n"));
    }

    #[tokio::test]
    async fn too_slow_a_command_is_killed_with_its_children() {
        let mark = format!("{}.slow", std::process::id());
        let script = format!("export SQUALL_SLOW={mark}; sleep 61 & sleep 62");
        assert_eq!(sh(&script, Duration::from_millis(300)).await, None);
        for left in crate::host::process::with_variable("SQUALL_SLOW", &mark) {
            assert!(left.ended_within(Duration::from_secs(5)).await.unwrap(), "it was killed, so its end is near");
        }
    }

    #[tokio::test]
    async fn a_command_that_nobody_waits_for_is_killed_with_its_children() {
        let mark = format!("{}.dropped", std::process::id());
        let find = || crate::host::process::with_variable("SQUALL_SLOW", &mark);
        let script = format!("export SQUALL_SLOW={mark}; sleep 61 & sleep 62 & wait");
        let begun = async {
            while find().len() < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            _ = sh(&script, LONG) => panic!("it takes a minute"),
            () = begun => {}
        }
        for left in find() {
            assert!(left.ended_within(Duration::from_secs(5)).await.unwrap(), "it was killed, so its end is near");
        }
    }

    #[tokio::test]
    async fn a_child_in_the_background_does_not_hold_up_the_answer() {
        let began = std::time::Instant::now();
        let got = sh("sleep 30 & echo $!", LONG).await.unwrap();
        assert!(began.elapsed() < LONG / 2);
        let left = crate::host::process::Process::open(got.stdout.trim().parse().unwrap()).unwrap().unwrap();
        left.signal(Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_an_error() {
        assert!(run(&["/no/such/program".to_owned()], &[], LONG).await.is_err());
        assert!(run(&[], &[], LONG).await.is_err());
    }
}
