//! Redis commands that are answered with an error.

use std::io;

use tokio::net::TcpStream;

use super::between::Between;
use super::choose::Chooser;
use super::counters::count;
use super::io::{drain, read, send};
use super::resp::{Command, Value};
use crate::model::network::{Chosen, RedisError};

/// A fault at work.
#[derive(Debug)]
pub(super) struct Redis {
    error: RedisError,
    chooser: Chooser,
}

/// Commands after which more than one answer comes, or none.
const NOT_ONE_ANSWER: [&str; 8] =
    ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR", "SYNC", "PSYNC", "CLIENT", "RESET"];

impl Redis {
    pub(super) fn new(error: RedisError, share: f64, seed: u64) -> Self {
        Self { error, chooser: Chooser::new(Chosen { share, ..Chosen::default() }, seed) }
    }

    /// Has a connection pass, up to its end.
    pub(super) async fn pass(&self, between: &mut Between<'_>) -> io::Result<()> {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        loop {
            let Some((mut command, name, taken)) = begun(between, &mut up, &mut down).await? else {
                return between.tunnel(&mut up, &mut down).await;
            };
            count(between.counters.requests());
            if self.error.is_about(&name) {
                count(between.counters.meant());
                if self.chooser.next().is_some() {
                    count(between.counters.affected());
                    drain(&mut up, taken);
                    if !skipped(between.client, &mut up, &mut command).await? {
                        return Ok(());
                    }
                    let mut text = format!("-{}\r\n", self.error.text()).into_bytes();
                    let length = text.len();
                    send(between.client, &mut text, length).await?;
                    continue;
                }
            }
            send(between.server, &mut up, taken).await?;
            let one = forwarded(between, &mut up, &mut command).await? && !NOT_ONE_ANSWER.contains(&name.as_str());
            if !one || !answered(between, &mut down).await? {
                return between.tunnel(&mut up, &mut down).await;
            }
        }
    }
}

/// The next command as far as it is there, once it has a name: how many bytes. Nothing where none can be read.
async fn begun(
    between: &mut Between<'_>,
    up: &mut Vec<u8>,
    down: &mut Vec<u8>,
) -> io::Result<Option<(Command, String, usize)>> {
    let (mut command, mut taken) = (Command::new(), 0);
    loop {
        let Ok(n) = command.take(&up[taken..]) else {
            count(between.counters.opaque());
            return Ok(None);
        };
        taken += n;
        if let Some(name) = command.name() {
            return Ok(Some((command, name, taken)));
        }
        tokio::select! {
            biased;
            n = read(between.client, up) => if n? == 0 { return Ok(None) },
            n = read(between.server, down) => { n?; return Ok(None) }
            _ = between.ended.wait_for(|ended| *ended), if up.is_empty() => return Ok(None),
        }
    }
}

/// Does away with the rest of a command; whether it came.
async fn skipped(client: &TcpStream, up: &mut Vec<u8>, command: &mut Command) -> io::Result<bool> {
    while !command.is_done() {
        if up.is_empty() && read(client, up).await? == 0 {
            return Ok(false);
        }
        let Ok(n) = command.take(up) else { return Ok(false) };
        drain(up, n);
    }
    Ok(true)
}

/// Sends on the rest of a command; whether it could be read to its end.
async fn forwarded(between: &Between<'_>, up: &mut Vec<u8>, command: &mut Command) -> io::Result<bool> {
    while !command.is_done() {
        if up.is_empty() && read(between.client, up).await? == 0 {
            return Ok(false);
        }
        let Ok(n) = command.take(up) else { return Ok(false) };
        send(between.server, up, n).await?;
    }
    Ok(true)
}

/// Sends on an answer, and what the server tells unasked before it; whether it could be read to its end.
async fn answered(between: &Between<'_>, down: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let (mut value, mut is_told) = (Value::new(), None);
        while !value.is_done() {
            if down.is_empty() && read(between.server, down).await? == 0 {
                return Ok(false);
            }
            is_told = is_told.or(down.first().map(|first| *first == b'>'));
            let Ok(n) = value.take(down, |_| {}) else { return Ok(false) };
            send(between.client, down, n).await?;
        }
        if is_told != Some(true) {
            return Ok(true);
        }
    }
}
