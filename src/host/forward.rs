//! A socket of another machine, as one of this machine: `ssh` forwards it, one process for all connections, which is started again
//! when it ends. It asks nothing on the terminal, and ends with this process, however that ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Signal, geteuid, getpid, getppid, set_parent_process_death_signal};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::store::private_file;

/// How long a connection may take to be made.
const READY_TIMEOUT: Duration = Duration::from_secs(15);

/// How often it is looked whether it is there.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long until one that has ended is started again: at first, and at most.
const AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// The options of every `ssh`, whatever the user's configuration says: no question, no terminal, no command; a connection of its own
/// that ends with it, and whose end is noticed within 15 s. Other forwards of that configuration may fail.
const OPTIONS: [&str; 12] = [
    "BatchMode=yes",
    "ControlMaster=no",
    "ControlPath=none",
    "ControlPersist=no",
    "IgnoreUnknown=ForkAfterAuthentication",
    "ForkAfterAuthentication=no",
    "PermitLocalCommand=no",
    "StreamLocalBindUnlink=yes",
    "StreamLocalBindMask=0177",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
];

/// Directories in the one for temporary files, each with a file that its living process has locked.
const PREFIX: &str = "squall-ssh-";
const LOCK: &str = "lock";

/// The socket of an engine where no path is named.
const SOCKET: &str = "/var/run/docker.sock";

/// A socket of another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    host: String,
    user: Option<String>,
    port: Option<u16>,
    socket: String,
}

impl Remote {
    /// Reads `ssh://[user@]host[:port][/path/of/socket]`.
    ///
    /// # Errors
    /// Where it is no such address.
    pub fn read(address: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{address}` is not ssh://[user@]host[:port][/path]: {why}");
        let url = reqwest::Url::parse(address).map_err(|e| wrong(&e.to_string()))?;
        if url.password().is_some() {
            return Err(wrong("a password is not taken; give this user a key"));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let user = Some(url.username()).filter(|user| !user.is_empty()).map(str::to_owned);
        // What begins with a dash would be an option of ssh's.
        let fine = |c: char| c.is_ascii_alphanumeric() || "._:@+-".contains(c);
        let is_name = |name: &str| !name.is_empty() && !name.starts_with('-') && name.chars().all(fine);
        if !is_name(&host) {
            return Err(wrong("it has no name of a machine"));
        }
        if user.as_deref().is_some_and(|user| !is_name(user)) {
            return Err(wrong("it has no name of a user"));
        }
        let path = Some(url.path()).filter(|path| !matches!(*path, "" | "/"));
        // ssh would take these apart, or fill something in.
        if path.is_some_and(|path| path.contains([':', '%', '$'])) || url.query().is_some() || url.fragment().is_some()
        {
            return Err(wrong("the path of a socket has no `:`, `%`, `$`, `?` or `#`"));
        }
        Ok(Self { host, user, port: url.port(), socket: path.unwrap_or(SOCKET).to_owned() })
    }

    fn arguments(&self, socket: &Path) -> Vec<String> {
        let mut arguments = vec!["-N".to_owned(), "-T".to_owned()];
        arguments.extend(OPTIONS.iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]));
        arguments.extend(["-L".to_owned(), format!("{}:{}", socket.display(), self.socket)]);
        arguments.extend(self.user.iter().flat_map(|user| ["-l".to_owned(), user.clone()]));
        arguments.extend(self.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]));
        arguments.extend(["--".to_owned(), self.host.clone()]);
        arguments
    }
}

/// A socket that is forwarded for as long as this is kept.
#[derive(Debug)]
pub struct Forward {
    /// Ends with this, and the child with it; before the directory goes.
    _supervisor: JoinSet<()>,
    directory: TempDir,
    _lock: File,
}

impl Forward {
    /// Forwards a socket; it takes connections when this returns.
    ///
    /// # Errors
    /// Where `ssh` is not there, or does not get there: in its own words.
    pub async fn open(remote: Remote) -> io::Result<Self> {
        sweep();
        let directory = tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir()?;
        let lock = private_file().write(true).open(directory.path().join(LOCK))?;
        lock.lock()?;
        let way = Way { remote, socket: directory.path().join("engine.sock"), log: directory.path().join("log") };
        let child = way.start()?;
        let child = way.ready(child).await?;
        let mut supervisor = JoinSet::new();
        supervisor.spawn(way.keep_up(child));
        Ok(Self { _supervisor: supervisor, directory, _lock: lock })
    }

    /// The socket on this machine; only this user can use it.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("engine.sock")
    }
}

struct Way {
    remote: Remote,
    socket: PathBuf,
    /// What ssh complains of.
    log: PathBuf,
}

impl Way {
    #[expect(unsafe_code, reason = "what a child does between fork and exec")]
    fn start(&self) -> io::Result<Child> {
        let mut command = Command::new("ssh");
        command.args(self.remote.arguments(&self.socket));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&self.log)?).kill_on_drop(true);
        // A Ctrl-C at the terminal is for this process, which still needs the way to the engine.
        command.process_group(0);
        let parent = getpid();
        // SAFETY: two system calls that neither allocate nor lock.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                // It may have died before that was set.
                if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
            });
        }
        command
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("cannot start `ssh`, which leads to the engine: {e}")))
    }

    /// Waits until the socket takes connections.
    async fn ready(&self, mut child: Child) -> io::Result<Child> {
        let end = Instant::now() + READY_TIMEOUT;
        loop {
            if UnixStream::connect(&self.socket).await.is_ok() {
                return Ok(child);
            }
            let ended = child.try_wait()?;
            if ended.is_some() || Instant::now() >= end {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
                let said = if said.is_empty() { "it said nothing".to_owned() } else { said.join("; ") };
                return Err(io::Error::other(format!(
                    "`ssh {}` does not get there: {said} (it may ask nothing: this user needs a key or an agent, and the machine's \
                     key among the known hosts)",
                    self.remote.host
                )));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn keep_up(self, mut child: Child) {
        let mut pause = AGAIN[0];
        loop {
            let began = Instant::now();
            let ended = child.wait().await;
            tracing::warn!(?ended, host = self.remote.host, "ssh has ended and is started again");
            if began.elapsed() > AGAIN[1] {
                pause = AGAIN[0];
            }
            child = loop {
                sleep(pause).await;
                pause = (pause * 2).min(AGAIN[1]);
                // One whose socket does not come is killed with its value.
                let started = async { self.ready(self.start()?).await };
                match started.await {
                    Ok(child) => break child,
                    Err(e) => tracing::warn!("{e}"),
                }
            };
        }
    }
}

/// Removes the directories of this user's processes that were killed, wherever these ran: the kernel has freed their locks.
fn sweep() {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let is_own = entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == geteuid().as_raw());
        // One without a lock is being made at this moment.
        if is_own && File::open(entry.path().join(LOCK)).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let remote = |host: &str, user: Option<&str>, port, socket: &str| Remote {
            host: host.to_owned(),
            user: user.map(str::to_owned),
            port,
            socket: socket.to_owned(),
        };
        for (address, is) in [
            ("ssh://staging", remote("staging", None, None, SOCKET)),
            ("ssh://me@10.0.0.9:2222", remote("10.0.0.9", Some("me"), Some(2222), SOCKET)),
            ("ssh://[::1]/run/user/1000/docker.sock", remote("::1", None, None, "/run/user/1000/docker.sock")),
        ] {
            assert_eq!(Remote::read(address), Ok(is));
        }
    }

    /// Nothing in an address becomes an option, another host or another socket.
    #[test]
    fn what_ssh_could_take_for_something_else_is_refused() {
        for address in [
            "ssh://",
            "ssh://-oProxyCommand=touch%20x/",
            "ssh://-l@host",
            "ssh://me:secret@host",
            "ssh://host/a:b",
            "ssh://ho%20st",
            "ssh://h$(id)",
            "ssh://h/s?x",
            "ssh://h/%h",
        ] {
            assert!(Remote::read(address).is_err(), "{address}: {:?}", Remote::read(address));
        }
        let arguments = Remote::read("ssh://me@h:1/s").unwrap().arguments(Path::new("/t"));
        assert_eq!(&arguments[arguments.len() - 8..], ["-L", "/t:/s", "-l", "me", "-p", "1", "--", "h"]);
    }
}
