//! A room: a view of the file systems (and a network) of its own, for what would be felt everywhere otherwise.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use squall::host::net::namespace::Namespace;
use tokio::process::{Child, Command};

use crate::scene::eventually;

/// Ends with this value, and with this process at the latest after some minutes.
pub(crate) struct Room {
    holder: Child,
    network: bool,
}

impl Room {
    /// A room that shares the network with everybody.
    pub(crate) async fn new() -> Self {
        Self::with(false).await
    }

    /// A room with a network of its own, which has nothing but loopback.
    pub(crate) async fn with_network() -> Self {
        let room = Self::with(true).await;
        room.does("ip", &["link", "set", "lo", "up"]).await;
        room
    }

    async fn with(network: bool) -> Self {
        let mut holder = Command::new("unshare");
        holder.args(["--mount", "--propagation", "private"]).args(network.then_some("--net"));
        let holder = holder.args(["sleep", "300"]).kill_on_drop(true).spawn().expect("unshare");
        let room = Self { holder, network };
        let name = PathBuf::from(format!("/proc/{}/comm", room.pid()));
        eventually("a room", || async {
            std::fs::read_to_string(&name).is_ok_and(|name| name.trim() == "sleep").then_some(())
        })
        .await;
        room
    }

    /// A memory file system of this size at a directory, seen in this room alone.
    pub(crate) async fn mount_memory(&self, at: &Path, size: &str) {
        let (options, at) = (format!("size={size}"), at.display().to_string());
        self.does("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", &at]).await;
    }

    /// A command in this room. Its PID is that of the program itself.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid().to_string(), "--mount"]).args(self.network.then_some("--net"));
        command.args(["--", program]).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// A command in this room's network, which sees the files that everybody sees.
    pub(crate) fn in_network(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid().to_string(), "--net", "--", program]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Its network, if it has one of its own.
    pub(crate) fn namespace(&self) -> Namespace {
        Namespace::of(self.pid()).expect("these tests need root")
    }

    pub(crate) async fn does(&self, program: &str, args: &[&str]) {
        let status = self.command(program).args(args).status().await.expect("nsenter");
        assert!(status.success(), "{program} {args:?}: {status}");
    }

    /// A path of this room, as it is found from outside.
    pub(crate) fn path(&self, inside: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.pid(), inside.display()))
    }

    fn pid(&self) -> u32 {
        self.holder.id().expect("nobody has asked for its end")
    }
}
