//! Faults of connections, whatever is spoken on them.

use std::io;

use tokio::net::TcpStream;
use tokio::time::sleep;

use super::choose::Chooser;
use super::counters::{Counters, count};
use super::io::{pump, reset, tunnel};
use super::later;
use crate::model::network::{Chosen, Direction, StreamFault};

/// A fault at work.
#[derive(Debug)]
pub(super) struct Stream {
    fault: StreamFault,
    chooser: Chooser,
    seed: u64,
}

impl Stream {
    pub(super) fn new(fault: StreamFault, seed: u64) -> Self {
        let chosen = Chosen { share: fault.share, ..Chosen::default() };
        Self { fault, chooser: Chooser::new(chosen, seed), seed }
    }

    /// Has a connection pass, up to its end.
    pub(super) async fn pass(&self, client: &TcpStream, server: &TcpStream, counters: &Counters) -> io::Result<()> {
        let Some(number) = self.chooser.next() else {
            return tunnel(client, server, &mut Vec::new(), &mut Vec::new()).await;
        };
        count(&counters.affected);
        let ends = async {
            let Some(end) = self.fault.end else { return std::future::pending().await };
            sleep(end.after).await;
            if end.reset {
                reset(client);
                reset(server);
            }
        };
        tokio::select! {
            passed = self.both(client, server, number) => passed,
            () = ends => Ok(()),
        }
    }

    async fn both(&self, client: &TcpStream, server: &TcpStream, number: u64) -> io::Result<()> {
        let up = self.way(client, server, self.fault.direction != Direction::Ingress, number * 2);
        let down = self.way(server, client, self.fault.direction != Direction::Egress, number * 2 + 1);
        let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
        let (mut up_over, mut down_over) = (false, false);
        while !(up_over && down_over) {
            let met_limit = tokio::select! {
                limit = &mut up, if !up_over => { up_over = true; limit? }
                limit = &mut down, if !down_over => { down_over = true; limit? }
            };
            // Both ends see it closed.
            if met_limit {
                break;
            }
        }
        Ok(())
    }

    /// One way; whether a limit was met.
    async fn way(&self, from: &TcpStream, to: &TcpStream, affected: bool, number: u64) -> io::Result<bool> {
        if affected {
            later::pump(from, to, &self.fault, self.seed.wrapping_add(number)).await
        } else {
            pump(from, to, &mut Vec::new()).await.map(|()| false)
        }
    }
}
