//! One connection: where it was going, the one that takes its place there, and what becomes of what passes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::between::Between;
use super::counters::{Counters, count};
use super::http::Http;
use super::io::reset;
use super::redis::Redis;
use super::stream::Stream;
use super::{choose::Chooser, postgres};
use crate::host::net::nft::rule::OWN;
use crate::host::net::raw::{bind_without_port, set_mark};
use crate::model::network::{Chosen, ProxyFault, SqlError};

/// What becomes of the connections of a flow.
#[derive(Debug)]
pub(super) enum Work {
    Stream(Stream),
    Http(Http),
    Redis(Redis),
    Postgres(SqlError, Chooser),
}

impl Work {
    pub(super) fn new(fault: &ProxyFault, seed: u64) -> Self {
        match fault {
            ProxyFault::Stream(fault) => Self::Stream(Stream::new(fault.clone(), seed)),
            ProxyFault::Http(fault) => Self::Http(Http::new((**fault).clone(), seed)),
            ProxyFault::Redis { error, share } => Self::Redis(Redis::new(*error, *share, seed)),
            ProxyFault::Postgres { error, share } => {
                let chosen = Chosen { share: *share, ..Chosen::default() };
                Self::Postgres(error.clone(), Chooser::new(chosen, seed))
            }
        }
    }
}

/// What all connections have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) counters: Counters,
    pub(super) ended: watch::Receiver<bool>,
}

/// A connection, up to its end.
pub(super) async fn serve(client: TcpStream, work: Arc<Work>, shared: Arc<Shared>) {
    count(shared.counters.connections());
    count(shared.counters.open());
    if passed(&client, &work, &shared).await.is_err() {
        reset(&client);
    }
    shared.counters.open().fetch_sub(1, Ordering::Relaxed);
}

async fn passed(client: &TcpStream, work: &Work, shared: &Shared) -> io::Result<()> {
    let (mut up, counters) = (Vec::new(), &shared.counters);
    if let Work::Postgres(error, chooser) = work
        && chooser.next().is_some()
    {
        // The server never sees it.
        if postgres::refuse(client, error, &mut up).await? {
            count(counters.affected());
            return Ok(());
        }
        count(counters.opaque());
    }
    let server = match connect(client).await {
        Ok(server) => server,
        Err(e) => {
            count(counters.unreachable());
            return Err(e);
        }
    };
    let mut between = Between { client, server: &server, counters, ended: shared.ended.clone() };
    let mut ended = shared.ended.clone();
    let result = match work {
        Work::Stream(stream) => tokio::select! {
            result = Box::pin(stream.pass(client, &server, counters)) => result,
            _ = ended.wait_for(|ended| *ended) => Ok(()),
        },
        Work::Http(http) => http.pass(&mut between).await,
        Work::Redis(redis) => redis.pass(&mut between).await,
        Work::Postgres(..) => between.tunnel(&mut up, &mut Vec::new()).await,
    };
    if result.is_err() {
        reset(&server);
    }
    result
}

/// Connects to where a client was going.
async fn connect(client: &TcpStream) -> io::Result<TcpStream> {
    let here = client.local_addr()?;
    let to: SocketAddr =
        if here.is_ipv4() { ip_original_dst(client)?.into() } else { ipv6_original_dst(client)?.into() };
    if to == here {
        // It came by itself: there is nowhere to go.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    set_mark(&socket, OWN)?;
    // From the address that the client has chosen; the port is the kernel's to choose when it knows to where.
    bind_without_port(&socket)?;
    socket.bind((client.peer_addr()?.ip(), 0).into())?;
    let server = socket.connect(to).await?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    Ok(server)
}
