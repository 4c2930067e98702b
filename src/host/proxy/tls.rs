//! Faults of TLS handshakes: the client's first message tells which server it asks for, and nothing is opened.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::choose::Chooser;
use super::counters::{Counters, count};
use super::head::Parsed;
use super::hello;
use super::io::{finish, read, send};
use super::later::Pace;
use crate::model::network::{Chosen, TlsAlert, TlsEnd, TlsFault};
use crate::text::glob::glob;

/// A fault at work.
#[derive(Debug)]
pub(super) struct Tls {
    fault: TlsFault,
    chooser: Chooser,
    seed: u64,
}

/// How it goes on after a client's first message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// To the server, as it is.
    Pass,
    /// To the server, whose first answer arrives in part.
    Cut,
    /// Not at all.
    Over,
}

impl Tls {
    pub(super) fn new(fault: TlsFault, seed: u64) -> Self {
        let chosen = Chosen { share: fault.share, ..Chosen::default() };
        Self { fault, chooser: Chooser::new(chosen, seed), seed }
    }

    /// Reads a client's first message into `up`, and does what is to become of the handshake before the server has it.
    pub(super) async fn meet(
        &self,
        client: &TcpStream,
        up: &mut Vec<u8>,
        counters: &Counters,
        ended: &mut watch::Receiver<bool>,
    ) -> io::Result<Next> {
        let hello = loop {
            match hello::read(up) {
                Parsed::Whole(hello) => break hello,
                Parsed::Foreign => {
                    count(counters.opaque());
                    return Ok(Next::Pass);
                }
                Parsed::Partial => {}
            }
            tokio::select! {
                n = read(client, up) => if n? == 0 { return Ok(Next::Pass) },
                _ = ended.wait_for(|ended| *ended) => return Ok(Next::Pass),
            }
        };
        let name = hello.name.unwrap_or_default();
        if !self.fault.names.is_empty() && !self.fault.names.iter().any(|pattern| glob(pattern, &name)) {
            return Ok(Next::Pass);
        }
        count(counters.meant());
        let Some(number) = self.chooser.next() else { return Ok(Next::Pass) };
        if !self.fault.delay.is_none() {
            count(counters.affected());
            let due = Pace::new(self.fault.delay, None, None, self.seed.wrapping_add(number)).due(0);
            tokio::select! {
                () = sleep_until(due) => {}
                _ = ended.wait_for(|ended| *ended) => return Ok(Next::Pass),
            }
        }
        let Some(end) = self.fault.end else { return Ok(Next::Pass) };
        if self.fault.delay.is_none() && end != TlsEnd::Cut {
            count(counters.affected());
        }
        match end {
            TlsEnd::Cut => Ok(Next::Cut),
            TlsEnd::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            TlsEnd::Alert(alert) => refuse(client, alert).await.map(|()| Next::Over),
            TlsEnd::Stall => {
                tokio::select! {
                    () = gone(client) => {}
                    _ = ended.wait_for(|ended| *ended) => {}
                }
                Ok(Next::Over)
            }
        }
    }

    /// Passes half of the server's first answer on, and nothing after it.
    pub(super) async fn cut(
        &self,
        client: &TcpStream,
        server: &TcpStream,
        up: &mut Vec<u8>,
        counters: &Counters,
    ) -> io::Result<()> {
        let length = up.len();
        send(server, up, length).await?;
        let mut down = Vec::new();
        let n = read(server, &mut down).await?;
        send(client, &mut down, n / 2).await?;
        if self.fault.delay.is_none() {
            count(counters.affected());
        }
        finish(client)?;
        wait_for_end(client).await;
        Ok(())
    }
}

/// Ends a handshake in a server's words.
async fn refuse(client: &TcpStream, alert: TlsAlert) -> io::Result<()> {
    // A record: an alert, the version that all records have, its length; fatal, and which.
    let mut text = vec![21, 3, 3, 0, 2, 2, alert as u8];
    let length = text.len();
    send(client, &mut text, length).await?;
    finish(client)?;
    wait_for_end(client).await;
    Ok(())
}

/// Until the client has heard it: what it still sends would have it reset before.
async fn wait_for_end(client: &TcpStream) {
    const LONGEST: Duration = Duration::from_secs(1);
    let _ = timeout(LONGEST, gone(client)).await;
}

/// Until the client says no more.
async fn gone(client: &TcpStream) {
    let mut unheard = Vec::new();
    while read(client, &mut unheard).await.is_ok_and(|n| n > 0) {
        unheard.clear();
    }
}
