//! A proxy from its beginning to its end: its entries, the rules that lead there, and when it goes.

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::clients::Clients;
use super::connection::{self, Shared, Work};
use super::counters::Counters;
use super::listen::{self, Entry, proxied, table_of};
use crate::host::net::leases::Leases;
use crate::host::net::netlink::{Family, Socket};
use crate::host::net::nft::{self, TableState};
use crate::host::net::{link, sockets};
use crate::host::orders::Orders;
use crate::model::network::Existing;

/// How often it looks whether what it is for is still there.
const LOOK: Duration = Duration::from_millis(50);

/// For how long after its beginning connections may come to stand that were on their way before.
const ON_THEIR_WAY: Duration = Duration::from_secs(1);

/// How long the process that has started it may take to finish what it is for.
const BEGINS: Duration = Duration::from_secs(10);

/// How long what goes on at its end may take.
const GRACE: Duration = Duration::from_secs(1);

/// How long it waits where the kernel has no room for another connection.
const FULL: Duration = Duration::from_millis(10);

/// A proxy that is in the path.
#[derive(Debug)]
pub struct Proxy {
    orders: Orders,
    entries: Vec<Entry>,
    shared: Arc<Shared>,
    end: watch::Sender<bool>,
    /// With these the rules go.
    leases: Leases,
    begin: Instant,
}

impl Proxy {
    /// Comes into the path of connections in the namespace of this thread; it takes up none of them before [`Proxy::serve`]. The rules
    /// belong to this process: they are gone with it.
    ///
    /// # Errors
    /// Where the kernel or the user's rights do not suffice.
    pub fn new(orders: Orders) -> io::Result<Self> {
        have_descriptors();
        let flows: Vec<_> = proxied(&orders.network).map(|(flow, traffic, _)| (flow, traffic.comes())).collect();
        let entries =
            flows.into_iter().map(|(flow, comes)| listen::open(flow, comes)).collect::<io::Result<Vec<_>>>()?;
        let (leases, table) = (Leases::default(), table_of(&orders.mark));
        let lease = nft::put_owned(&table, &listen::path(&orders, &entries))?;
        let clients = Clients::new(lease.addresses(&table));
        leases.keep(lease, std::process::id());
        let (end, ended) = watch::channel(false);
        let shared = Arc::new(Shared { counters: Counters::new()?, clients, ended });
        let proxy = Self { orders, entries, shared, end, leases, begin: Instant::now() };
        proxy.reset_existing()?;
        Ok(proxy)
    }

    /// Ends connections that do not go through it, where that is asked for.
    fn reset_existing(&self) -> io::Result<()> {
        let ports: Vec<u16> = self.entries.iter().map(|entry| entry.port).collect();
        for (_, traffic, proxied) in proxied(&self.orders.network) {
            if proxied.existing == Existing::Reset {
                let own = traffic
                    .network
                    .as_ref()
                    .and_then(|name| self.orders.interfaces.get(name))
                    .map(|index| addresses(*index));
                let ended = sockets::reset_begun(traffic, own.transpose()?.as_deref(), &ports)?;
                self.shared.counters.reset().fetch_add(ended as u64, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Stays in the path until one of the `ends` can be read, the table that stands for what it is for is gone, or its lease has lapsed.
    ///
    /// # Errors
    /// Where it has no threads to do it with.
    pub fn serve(self, ends: [BorrowedFd<'_>; 2]) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        for (flow, traffic, proxied) in proxied(&self.orders.network) {
            let seed = self.orders.network.seed.wrapping_add(flow as u64);
            let work = Arc::new(Work::new(&proxied.fault, traffic.comes(), seed));
            for entry in self.entries.iter().filter(|entry| entry.flow == flow) {
                for listener in &entry.listeners {
                    let _guard = runtime.enter();
                    let listener = TcpListener::from_std(listener.try_clone()?)?;
                    runtime.spawn(accept(listener, Arc::clone(&work), Arc::clone(&self.shared)));
                }
            }
        }
        while !is_ready(ends)? {
            if self.begin.elapsed() < ON_THEIR_WAY {
                // What cannot be reset now was looked for before.
                let _ = self.reset_existing();
            }
            // Where the kernel does not tell, the lease still holds.
            if nft::tables().is_ok_and(|tables| !tables.iter().any(|table| self.is_for(table))) {
                break;
            }
        }
        drop(self.leases);
        // Until nothing is led here any more, it is taken up.
        let table = table_of(&self.orders.mark);
        let begin = Instant::now();
        // Where the kernel knows no table that belongs to a process, it is removed by its name.
        while nft::remove(&table).is_err() && begin.elapsed() < GRACE {
            let _ = is_ready([]);
        }
        self.end.send_replace(true);
        runtime.block_on(async {
            let over = async {
                while self.shared.counters.read().open > 0 {
                    tokio::time::sleep(FULL).await;
                }
            };
            let _ = tokio::time::timeout(GRACE, over).await;
        });
        runtime.shutdown_background();
        Ok(())
    }

    /// Whether a table is the one that it is for, and has an effect. One that is not finished may have a beginning yet to come, for a while.
    fn is_for(&self, table: &nft::Table) -> bool {
        let goes_on = match table.state {
            TableState::Whole => true,
            TableState::Unfinished => self.begin.elapsed() < BEGINS,
            TableState::Lapsed => false,
        };
        goes_on && table.mark == self.orders.mark
    }
}

/// Whether one of them can be read, after a while.
fn is_ready<const N: usize>(ends: [BorrowedFd<'_>; N]) -> io::Result<bool> {
    let mut fds = ends.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let timeout = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
    match poll(&mut fds, Some(&timeout)) {
        Ok(n) => Ok(n > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Takes up one connection after the other.
async fn accept(listener: TcpListener, work: Arc<Work>, shared: Arc<Shared>) {
    let mut ended = shared.ended.clone();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ended.wait_for(|ended| *ended) => break,
        };
        match accepted {
            Ok((client, _)) => {
                connections.spawn(connection::serve(client, Arc::clone(&work), Arc::clone(&shared)));
            }
            Err(_) => tokio::time::sleep(FULL).await,
        }
    }
    connections.join_all().await;
}

/// The addresses of an interface.
fn addresses(index: u32) -> io::Result<Vec<IpAddr>> {
    let links = link::links(&mut Socket::open(Family::Route)?)?;
    let own = links.into_iter().filter(|link| link.index == index);
    Ok(own.flat_map(|link| link.addresses).map(|(address, _)| address).collect())
}

/// Each connection takes two descriptors: as many as may be had.
fn have_descriptors() {
    /// As many as Linux lets a process have, unless it is told otherwise (`fs.nr_open`).
    const MOST: u64 = 1 << 20;
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: Some(MOST), maximum: Some(MOST) };
    if setrlimit(Resource::Nofile, most).is_err() {
        // Fewer will do where that is refused.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}
