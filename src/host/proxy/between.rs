//! A connection, seen from between its two ends.

use std::io;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::counters::Counters;
use super::io::tunnel;

/// Both ends of a connection, and what all have in common.
pub(super) struct Between<'a> {
    pub(super) client: &'a TcpStream,
    pub(super) server: &'a TcpStream,
    pub(super) counters: &'a Counters,
    pub(super) ended: watch::Receiver<bool>,
}

impl Between<'_> {
    /// Leaves it to itself, until the fault is over.
    pub(super) async fn tunnel(&mut self, up: &mut Vec<u8>, down: &mut Vec<u8>) -> io::Result<()> {
        tokio::select! {
            result = tunnel(self.client, self.server, up, down) => result,
            _ = self.ended.wait_for(|ended| *ended) => Ok(()),
        }
    }
}
