//! Ports for programs that take a number and bind it later: `#[path = "../ports/mod.rs"] mod ports;`.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below Linux's ephemeral ports (ip(7): from 32768 on), so that no connection of this machine's takes one meanwhile.
const POOL: std::ops::Range<u16> = 20_000..32_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on loopback that nothing listens on, given out once by this process. Another process begins elsewhere.
pub(crate) fn free_port() -> u16 {
    let begin = u16::try_from(std::process::id() * 37 % u32::from(POOL.end - POOL.start)).expect("within the pool");
    (0..POOL.end - POOL.start)
        .map(|_| POOL.start + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % (POOL.end - POOL.start))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
