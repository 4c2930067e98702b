//! Bytes from a socket and to it. Buffers have memory only while bytes are in them: thousands of connections may be idle.
//!
//! Each of these may be given up while it waits, and nothing is lost: what is not sent is still in its buffer.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use rustix::net::{Shutdown, sockopt};
use tokio::net::TcpStream;
use tokio::task::consume_budget;

/// How many bytes are read at once, at most: into a buffer, and on their way through.
const PIECE: usize = 16 * 1024;
const THROUGH: usize = 64 * 1024;

thread_local! {
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; THROUGH]);
}

/// Adds what has come to a buffer; how many bytes, none: nothing more will come.
pub(super) async fn read(stream: &TcpStream, into: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        consume_budget().await;
        stream.readable().await?;
        into.reserve(PIECE);
        match stream.try_read_buf(into) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// Sends the first so many bytes of a buffer, which are gone from it then.
pub(super) async fn send(stream: &TcpStream, from: &mut Vec<u8>, mut length: usize) -> io::Result<()> {
    while length > 0 {
        consume_budget().await;
        match stream.try_write(&from[..length]) {
            Ok(n) => {
                length -= n;
                drain(from, n);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Removes the first so many bytes.
pub(super) fn drain(from: &mut Vec<u8>, n: usize) {
    if n == from.len() {
        *from = Vec::new();
    } else {
        from.drain(..n);
    }
}

/// Passes everything on, after what is in a buffer already, up to the end, which it passes on as well. Where the other end hears no more, it
/// is over without an error: what that end still says is for the other way to read.
pub(super) async fn pump(from: &TcpStream, to: &TcpStream, rest: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let length = rest.len();
        if send(to, rest, length).await.is_err() {
            return Ok(());
        }
        consume_budget().await;
        from.readable().await?;
        let over = ROOM.with_borrow_mut(|room| {
            let n = match from.try_read(room) {
                Ok(0) => return Ok(true),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            };
            // What does not go on now, does when it is tried again.
            let sent = to.try_write(&room[..n]).unwrap_or(0);
            rest.extend_from_slice(&room[sent..n]);
            Ok(false)
        })?;
        if over {
            // One that has gone needs no end.
            let _ = finish(to);
            return Ok(());
        }
    }
}

/// Says that nothing more will come.
pub(super) fn finish(stream: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::shutdown(stream, Shutdown::Write)?)
}

/// Has a connection end with a reset as soon as it is dropped.
pub(super) fn reset(stream: &TcpStream) {
    // One that has ended needs none.
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Leaves both ways to themselves.
pub(super) async fn tunnel(
    client: &TcpStream,
    server: &TcpStream,
    up: &mut Vec<u8>,
    down: &mut Vec<u8>,
) -> io::Result<()> {
    tokio::try_join!(pump(client, server, up), pump(server, client, down)).map(drop)
}
