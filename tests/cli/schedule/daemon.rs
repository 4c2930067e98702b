//! A daemon as a process, in a place with a schedule and an experiment: started, listened to, asked and ended.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A daemon on the simulated engine, in a directory of its own; killed when it is dropped.
pub(super) struct Daemon {
    child: Child,
    dir: PathBuf,
    log: PathBuf,
}

/// The state directory and the files of several daemons, one after the other.
pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
}

pub(super) const EXPERIMENT: &str = "
version: 1
name: quick
hypothesis: It holds.
steady-state: { up: { http: 'http://127.0.0.1:8080/', rate: 20/s, expect: { success: 90% }, during: { success: 1% } } }
target: { service: shop }
fault: pause
blast-radius: { max-instances: 1 }
timing: { baseline: 200ms, duration: 200ms, recovery: 5s }
";

impl Place {
    pub(super) fn new(entry: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let place = Self { dir };
        place.write("quick.yaml", EXPERIMENT);
        place.schedule(entry);
        place
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        // In one step, as editors do: nobody reads half a file.
        let new = self.dir.path().join("new");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, self.dir.path().join(name)).expect("a file");
    }

    pub(super) fn schedule(&self, entry: &str) {
        self.write("s.yaml", &format!("version: 1\nname: s\nentries:\n  it: {{ experiments: quick.yaml, {entry} }}\n"));
    }

    pub(super) fn daemon(&self) -> Daemon {
        self.daemon_with(|_| {})
    }

    pub(super) fn daemon_with(&self, more: impl FnOnce(&mut Command)) -> Daemon {
        self.daemon_on(&["--engine", "sim"], more)
    }

    pub(super) fn daemon_on(&self, engine: &[&str], more: impl FnOnce(&mut Command)) -> Daemon {
        let dir = self.dir.path().to_owned();
        let log = dir.join("log");
        let out = std::fs::File::options().create(true).append(true).open(&log).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command
            .args(["schedule", "s.yaml", "--listen", "127.0.0.1:0"])
            .args(engine)
            .current_dir(&dir)
            .env("SQUALL_STATE", dir.join("state"))
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a log"))
            .stderr(out);
        more(&mut command);
        Daemon { child: command.spawn().expect("it starts"), dir, log }
    }

    /// The runs in the history: their ids and verdicts.
    pub(super) fn runs(&self) -> Vec<(String, String)> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(["list", "--json"]).env("SQUALL_STATE", self.dir.path().join("state"));
        let listed = command.output().expect("the binary starts").stdout;
        let rows = listed.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        rows.map(|line| {
            let row: serde_json::Value = serde_json::from_slice(line).expect("JSON");
            (row["run"].as_str().expect("an id").to_owned(), row["verdict"].as_str().unwrap_or("").to_owned())
        })
        .collect()
    }
}

impl Daemon {
    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has said something so many times.
    #[track_caller]
    pub(super) fn says(&self, text: &str, times: usize) {
        until(&format!("{times} × {text:?}"), || self.said(), || self.said().matches(text).count() >= times);
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a PID")).expect("a PID");
        kill_process(pid, signal).expect("it is there");
    }

    /// Waits for its end.
    pub(super) fn ends(mut self) -> Option<i32> {
        until("its end", String::new, || self.child.try_wait().expect("a child").is_some());
        self.child.wait().expect("a child").code()
    }

    pub(super) fn kill(mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }

    pub(super) fn connect(&self) -> TcpStream {
        self.says("figures: http://", 1);
        let said = self.said();
        let address =
            said.rsplit("figures: http://").next().and_then(|rest| rest.split('/').next()).expect("an address");
        TcpStream::connect(address).expect("it listens")
    }

    /// What it answers to a request: the whole of it.
    pub(super) fn asked(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time-out");
        stream.write_all(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A run that outlives its daemon ends by itself: its world is simulated and short. The directory waits for it.
        let busy = || {
            std::fs::read_dir(self.dir.join("state/runs")).into_iter().flatten().flatten().any(|e| is_locked(&e.path()))
        };
        for _ in 0..600 {
            if !busy() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn is_locked(run: &Path) -> bool {
    squall::record::journal::is_locked(&run.join("journal.ndjson"))
}

#[track_caller]
pub(super) fn until(what: &str, told: impl Fn() -> String, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !is() {
        assert!(Instant::now() < end, "waited in vain for {what}:\n{}", told());
        std::thread::sleep(Duration::from_millis(20));
    }
}
