//! Tells the service manager how this process is: one datagram a message, to the socket that it names in the environment.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager, where there is one that listens.
#[derive(Debug)]
pub struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment says. Without `NOTIFY_SOCKET` nobody is told anything.
    ///
    /// # Errors
    /// Where the socket it names cannot be.
    pub fn from_env() -> io::Result<Self> {
        let watchdog = std::env::var("WATCHDOG_USEC").ok().and_then(|us| us.parse().ok()).map(Duration::from_micros);
        let mine = std::env::var("WATCHDOG_PID").ok().is_none_or(|pid| pid == std::process::id().to_string());
        let to = match std::env::var_os("NOTIFY_SOCKET") {
            Some(path) if !path.is_empty() => Some((UnixDatagram::unbound()?, address(&path)?)),
            _ => None,
        };
        Ok(Self { to, watchdog: watchdog.filter(|_| mine) })
    }

    /// How often it wants to hear that all is well.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.to.is_some())
    }

    /// Work is being done, in so many words for people.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", status.replace('\n', " ")));
    }

    /// Files are being read again; [`Self::ready`] tells of the end of it.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={us}"));
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// All is well.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// A manager that does not listen any more is no reason to do anything else.
    fn send(&self, message: &str) {
        if let Some((socket, to)) = &self.to
            && let Err(e) = socket.send_to_addr(message.as_bytes(), to)
        {
            tracing::debug!("the service manager was not told: {e}");
        }
    }
}

/// A path, or with a leading `@` a name without a file.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    }
}
