//! Processes of this very program that do one thing for it: they read what, say that they have begun, and go on by themselves.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::time::timeout;

/// Starts one, hands it its order as a line of JSON, and waits for its word. What comes back is the other end of its standard
/// input, with which some of them end.
///
/// # Errors
/// Where it cannot be started, does not begin in time, or says why it cannot.
pub async fn begin(command: &mut Command, order: &impl Serialize, limit: Duration) -> io::Result<ChildStdin> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("a process without input and output"));
    };
    let said = async {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        input.write_all(&line).await?;
        input.flush().await?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        io::Result::Ok(line)
    };
    let line = timeout(limit, said).await.map_err(|_| io::Error::other("the worker does not begin"))??;
    match line.trim() {
        "ready" => Ok(input),
        "" => Err(io::Error::other("the worker ended without a word")),
        why => Err(io::Error::other(why.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, limit: Duration) -> Result<ChildStdin, String> {
        begin(Command::new("sh").args(["-c", script]), &["an order"], limit).await.map_err(|e| e.to_string())
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
}
