//! Faults of connections, whatever is spoken on them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpStream;
use tokio::time::sleep;

use super::choose::Chooser;
use super::counters::{Counters, count};
use super::io::{pump, reset, tunnel};
use super::later::Way;
use crate::model::network::{Chosen, Direction, StreamFault};

/// A fault at work.
#[derive(Debug)]
pub(super) struct Stream {
    fault: StreamFault,
    chooser: Chooser,
    /// Whether what the client says arrives at the instance (else it leaves it).
    comes: bool,
    seed: u64,
}

impl Stream {
    pub(super) fn new(fault: StreamFault, comes: bool, seed: u64) -> Self {
        let chosen = Chosen { share: fault.share, ..Chosen::default() };
        Self { fault, chooser: Chooser::new(chosen, seed), comes, seed }
    }

    /// Has a connection pass, up to its end.
    pub(super) async fn pass(&self, client: &TcpStream, server: &TcpStream, counters: &Counters) -> io::Result<()> {
        let Some(number) = self.chooser.next() else {
            return tunnel(client, server, &mut Vec::new(), &mut Vec::new()).await;
        };
        let is_counted = AtomicBool::new(false);
        let happens = || {
            if !is_counted.swap(true, Ordering::Relaxed) {
                count(counters.affected());
            }
        };
        let ends = async {
            let Some(end) = self.fault.end else { return std::future::pending().await };
            sleep(end.after).await;
            happens();
            if end.reset {
                reset(client);
                reset(server);
            }
        };
        tokio::select! {
            biased;
            () = ends => Ok(()),
            passed = self.both((client, server), number, &happens) => passed,
        }
    }

    async fn both(
        &self,
        (client, server): (&TcpStream, &TcpStream),
        number: u64,
        happens: &(dyn Fn() + Sync),
    ) -> io::Result<()> {
        let way = |from, to, is_up: bool| {
            let seed = self.seed.wrapping_add(number * 2 + u64::from(is_up));
            let way = Way { from, to, is_up, fault: &self.fault, seed, happens };
            self.way(way)
        };
        let (mut up, mut down) =
            (std::pin::pin!(way(client, server, true)), std::pin::pin!(way(server, client, false)));
        let (mut up_over, mut down_over) = (false, false);
        while !(up_over && down_over) {
            let is_over = tokio::select! {
                over = &mut up, if !up_over => { up_over = true; over? }
                over = &mut down, if !down_over => { down_over = true; over? }
            };
            // Both ends see it closed.
            if is_over {
                break;
            }
        }
        Ok(())
    }

    /// One way; whether the connection is over.
    async fn way(&self, way: Way<'_>) -> io::Result<bool> {
        let other = if way.is_up == self.comes { Direction::Egress } else { Direction::Ingress };
        if self.fault.direction == other {
            pump(way.from, way.to, &mut Vec::new()).await.map(|()| false)
        } else {
            way.pass().await
        }
    }
}
