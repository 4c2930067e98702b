//! HTTP/2. Both ends speak it with the proxy, and each request has a stream of its own to the server: what is said there arrives as it was
//! said, while frames, windows and the packing of headers are each connection's own. The faults are those of HTTP/1.

mod exchange;
mod wire;

use std::io;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use h2::{client, server};
use hyper::body::Bytes;

use self::exchange::Exchange;
use self::wire::Wire;
use super::{Between, Http};

/// What a client's connection begins with (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How many bytes of a stream, and of a connection, may wait here, and how long a head may be.
const STREAM: u32 = 256 * 1024;
const CONNECTION: u32 = 1024 * 1024;
const HEAD: u32 = 256 * 1024;

/// Whether a server may begin so that need not wait for its client: with its settings (RFC 9113, section 6.5), on no stream.
pub(super) fn may_begin(down: &[u8]) -> bool {
    const SETTINGS: u8 = 4;
    down.get(3).is_none_or(|kind| *kind == SETTINGS) && down.iter().take(9).skip(5).all(|byte| *byte == 0)
}

impl Http {
    /// Has a connection pass whose ends began with `up` and `down`, to its end.
    pub(super) async fn pass_http2(&self, between: &Between<'_>, up: Vec<u8>, down: Vec<u8>) -> io::Result<()> {
        let (to_server, server) = client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM)
            .initial_connection_window_size(CONNECTION)
            .max_header_list_size(HEAD)
            .handshake::<_, Bytes>(Wire::new(between.server, down))
            .await
            .map_err(io::Error::other)?;
        let client = server::Builder::new()
            .initial_window_size(STREAM)
            .initial_connection_window_size(CONNECTION)
            .max_header_list_size(HEAD)
            .handshake::<_, Bytes>(Wire::new(between.client, up));
        let (mut client, mut server) = (client.await.map_err(io::Error::other)?, std::pin::pin!(server));
        let (mut server_is_there, mut is_over, mut ended) = (true, false, between.ended.clone());
        let mut exchanges = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = client.accept() => match accepted {
                    Some(Ok((request, answer))) => {
                        let to_server = to_server.clone();
                        exchanges.push(Exchange { http: self, between, to_server }.run(request, answer));
                    }
                    Some(Err(e)) => return Err(io::Error::other(e)),
                    None => return Ok(()),
                },
                // What it has answered already goes on.
                _ = &mut server, if server_is_there => {
                    server_is_there = false;
                    client.graceful_shutdown();
                }
                // A server that dies in the middle is a connection that ends in the middle.
                Some(is_lost) = exchanges.next() => if is_lost {
                    return Err(io::ErrorKind::ConnectionReset.into());
                },
                // What goes on may come to its end.
                _ = ended.wait_for(|ended| *ended), if !is_over => {
                    is_over = true;
                    client.graceful_shutdown();
                }
            }
        }
    }
}
