//! Ports of one machine that lead to the same ports of another's loopback, as people reach what listens there with `ssh -L`.

use std::net::{SocketAddr, TcpListener, TcpStream};

use squall::host::net::namespace::Namespace;
use tokio::task::JoinSet;

/// It ends with this value.
pub(crate) struct Relay {
    _connections: JoinSet<()>,
}

impl Relay {
    /// From a machine to another one, both known by their networks.
    ///
    /// # Errors
    /// Where a port is taken.
    pub(crate) fn between(from: &Namespace, to: &Namespace, ports: &[u16]) -> anyhow::Result<Self> {
        let mut relay = JoinSet::new();
        for port in ports {
            let there = SocketAddr::from(([127, 0, 0, 1], *port));
            let listener = from.run(|| TcpListener::bind(there))?;
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            relay.spawn(carry(listener, to.try_clone()?, there));
        }
        Ok(Self { _connections: relay })
    }
}

async fn carry(listener: tokio::net::TcpListener, to: Namespace, there: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        // A connection to where nothing listens is closed.
        let Ok(far) = to.run(|| TcpStream::connect(there)) else { continue };
        let Ok(mut far) = far.set_nonblocking(true).and_then(|()| tokio::net::TcpStream::from_std(far)) else {
            continue;
        };
        connections.spawn(async move { drop(tokio::io::copy_bidirectional(&mut near, &mut far).await) });
        while connections.try_join_next().is_some() {}
    }
}
