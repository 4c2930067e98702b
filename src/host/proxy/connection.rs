//! One connection: where it was going, the one that takes its place there, and what becomes of what passes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::between::Between;
use super::clients::Clients;
use super::counters::{Counters, count};
use super::http::Http;
use super::io::reset;
use super::redis::Redis;
use super::stream::Stream;
use super::tls::{self, Tls};
use super::{choose::Chooser, postgres};
use crate::host::net::nft::rule::OWN;
use crate::host::net::raw::{bind_without_port, set_mark};
use crate::model::network::{Chosen, ProxyFault, SqlError};

/// What becomes of the connections of a flow.
#[derive(Debug)]
pub(super) struct Work {
    /// Whether others begin them, and the proxy is on the side of the server.
    comes: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Stream(Stream),
    Http(Http),
    Redis(Redis),
    Tls(Tls),
    Postgres(SqlError, Chooser),
}

impl Work {
    pub(super) fn new(fault: &ProxyFault, comes: bool, seed: u64) -> Self {
        let kind = match fault {
            ProxyFault::Stream(fault) => Kind::Stream(Stream::new(fault.clone(), comes, seed)),
            ProxyFault::Http(fault) => Kind::Http(Http::new((**fault).clone(), seed)),
            ProxyFault::Grpc(fault) => Kind::Http(Http::new(fault.as_http(), seed)),
            ProxyFault::Tls(fault) => Kind::Tls(Tls::new((**fault).clone(), seed)),
            ProxyFault::Redis { error, share } => Kind::Redis(Redis::new(*error, *share, seed)),
            ProxyFault::Postgres { error, share } => {
                let chosen = Chosen { share: *share, ..Chosen::default() };
                Kind::Postgres(error.clone(), Chooser::new(chosen, seed))
            }
        };
        Self { comes, kind }
    }
}

/// What all connections have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) counters: Counters,
    pub(super) clients: Clients,
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
    if let Kind::Postgres(error, chooser) = &work.kind
        && chooser.next().is_some()
    {
        // The server never sees it.
        if postgres::refuse(client, error, &mut up).await? {
            count(counters.affected());
            return Ok(());
        }
        count(counters.opaque());
    }
    let mut is_cut = false;
    if let Kind::Tls(tls) = &work.kind {
        match tls.meet(client, &mut up, counters, &mut shared.ended.clone()).await? {
            tls::Next::Pass => {}
            tls::Next::Cut => is_cut = true,
            tls::Next::Over => return Ok(()),
        }
    }
    let connected = if work.comes { to_this_server(client, &shared.clients).await } else { to_there(client).await };
    let server = match connected {
        Ok(server) => server,
        Err(e) => {
            count(counters.unreachable());
            return Err(e);
        }
    };
    let mut between = Between { client, server: &server, counters, ended: shared.ended.clone() };
    let mut ended = shared.ended.clone();
    let result = match &work.kind {
        Kind::Stream(stream) => tokio::select! {
            result = Box::pin(stream.pass(client, &server, counters)) => result,
            _ = ended.wait_for(|ended| *ended) => Ok(()),
        },
        Kind::Http(http) => http.pass(&mut between).await,
        Kind::Tls(tls) if is_cut => tls.cut(client, &server, &mut up, counters).await,
        Kind::Redis(redis) => redis.pass(&mut between).await,
        Kind::Postgres(..) | Kind::Tls(_) => between.tunnel(&mut up, &mut Vec::new()).await,
    };
    if result.is_err() {
        reset(&server);
    }
    result
}

/// Connects to where a client of this namespace was going.
async fn to_there(client: &TcpStream) -> io::Result<TcpStream> {
    let here = client.local_addr()?;
    let to: SocketAddr =
        if here.is_ipv4() { ip_original_dst(client)?.into() } else { ipv6_original_dst(client)?.into() };
    if to == here {
        // It came by itself: there is nowhere to go.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    // From the address that the client has chosen.
    connect(client, OWN, client.peer_addr()?.ip(), to).await
}

/// Connects to the server of this namespace that a client was going to, which takes it for the client.
async fn to_this_server(client: &TcpStream, clients: &Clients) -> io::Result<TcpStream> {
    let to = client.local_addr()?;
    if to.ip().is_loopback() {
        // It came by itself: nothing is led here from the loopback.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    connect(client, clients.mark(client.peer_addr()?.ip())?, to.ip(), to).await
}

async fn connect(client: &TcpStream, mark: u32, from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    set_mark(&socket, mark)?;
    // The port is the kernel's to choose when it knows to where.
    bind_without_port(&socket)?;
    socket.bind((from, 0).into())?;
    let server = socket.connect(to).await?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    Ok(server)
}
