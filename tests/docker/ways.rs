//! The ways to an engine: TLS by variables and by a context, and another machine's socket over `ssh`. A real engine and a real
//! `sshd`, both on this machine.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use squall::engine::docker::{Docker, Endpoint};
use squall::engine::{Engine as _, Tls};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::conformance::conforms;
use crate::harness::Sandbox;
use crate::private_engine::PrivateEngine;
use crate::scene::{Run, Scene, eventually, lonely, send};

const SHORT: &str = "baseline: 500ms, duration: 1s, recovery: 2s";
const LONG: &str = "baseline: 500ms, duration: 60s, recovery: 500ms";

/// An engine that only speaks TLS over the network, and a port of this machine that leads to it.
struct Guarded {
    engine: PrivateEngine,
    port: u16,
    /// `ca.pem`, `cert.pem` and `key.pem`, as a user of it has them.
    files: tempfile::TempDir,
    _relay: JoinSet<()>,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

impl Guarded {
    async fn new() -> Self {
        let file = |option: &str, name: &str| format!("--{option}={}", data(name).display());
        let tls = [file("tlscacert", "client-ca.pem"), file("tlscert", "server.pem"), file("tlskey", "server.key")];
        let mut options = vec!["--bridge=none", "--host=tcp://127.0.0.1:2376", "--tlsverify"];
        options.extend(tls.iter().map(String::as_str));
        let mut engine = PrivateEngine::with(&options).await;
        engine.up().await;
        let files = tempfile::tempdir().expect("a directory");
        for (name, as_) in [("ca.pem", "ca.pem"), ("client.pem", "cert.pem"), ("client.key", "key.pem")] {
            std::fs::copy(data(name), files.path().join(as_)).expect("a file");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let room = engine.namespace();
        let mut relay = JoinSet::new();
        relay.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let far =
                    room.run(|| TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], 2376)))).expect("the engine");
                far.set_nonblocking(true).expect("a socket");
                let mut far = tokio::net::TcpStream::from_std(far).expect("a socket");
                connections.spawn(async move { drop(tokio::io::copy_bidirectional(&mut near, &mut far).await) });
            }
        });
        Self { engine, port, files, _relay: relay }
    }

    fn address(&self) -> String {
        format!("tcp://localhost:{}", self.port)
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint {
            tls: Some(Tls { directory: self.files.path().to_owned(), verify: true }),
            ..Endpoint::at(&self.address())
        }
    }

    /// Docker's configuration with a context that means this engine.
    fn context(&self, name: &str) -> tempfile::TempDir {
        let config = tempfile::tempdir().expect("a directory");
        let (meta, tls) = (config.path().join("contexts/meta/id"), config.path().join("contexts/tls/id/docker"));
        for dir in [&meta, &tls] {
            std::fs::create_dir_all(dir).expect("a directory");
        }
        let text =
            format!(r#"{{ "Name": "{name}", "Endpoints": {{ "docker": {{ "Host": "{}" }} }} }}"#, self.address());
        std::fs::write(meta.join("meta.json"), text).expect("a file");
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::copy(self.files.path().join(file), tls.join(file)).expect("a file");
        }
        config
    }
}

#[tokio::test]
async fn over_tls_an_engine_does_what_every_engine_must() {
    let guarded = Guarded::new().await;
    let mut sandbox = Sandbox::on(Some(guarded.engine.host())).await;
    let docker = Docker::reach(guarded.endpoint()).await.expect("an answer");
    let again = Docker::from_description(&docker.describe()).await.expect("the same again");
    sandbox.docker = again.with_binary(env!("CARGO_BIN_EXE_squall").into());
    conforms(&mut sandbox).await;
}

/// By variables and by a context; the guard, which knows only the journal, rolls back by the same way.
#[tokio::test]
async fn over_tls_a_run_holds_and_one_whose_runner_dies_is_rolled_back() {
    let guarded = Guarded::new().await;
    let scene = Scene::in_sandbox(Sandbox::on(Some(guarded.engine.host())).await, 1, lonely()).await;
    let before = scene.settings().await;
    let by_variables = |state: &str| {
        let mut squall = scene.squall(state);
        squall.env("DOCKER_HOST", guarded.address()).env("DOCKER_TLS_VERIFY", "1");
        squall.env("DOCKER_CERT_PATH", guarded.files.path());
        squall
    };
    let run = |squall: Command, state: &str, timing: &str| {
        scene.start_by(squall, &scene.experiment("pause: {}", timing), scene.dir.path().join(state))
    };
    run(by_variables("held"), "held", SHORT).ends().await.is(0, "hypothesis-held");

    let config = guarded.context("guarded");
    let mut by_context = scene.squall("context");
    by_context.env_remove("DOCKER_HOST").env("DOCKER_CONFIG", config.path()).env("DOCKER_CONTEXT", "guarded");
    let mut going = run(by_context, "context", LONG);
    going.until_on().await;
    going.signal(Signal::KILL);
    going.ends().await.rolled_back_by("guard");
    scene.is_as(&before).await;

    // Who does not know the engine's CA, or is not known to it, is told so.
    for (file, says) in [("ca.pem", "certificate"), ("cert.pem", "cert.pem")] {
        let mut squall = by_variables("refused");
        std::fs::rename(guarded.files.path().join(file), guarded.files.path().join("away")).expect("it is there");
        let output = squall.arg("plan").arg(scene.file("x.yaml", &scene.experiment("pause: {}", SHORT))).output();
        let output = output.await.expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(3) && said.contains(says) && said.contains("DOCKER_HOST"), "{said}");
        std::fs::rename(guarded.files.path().join("away"), guarded.files.path().join(file)).expect("it is there");
    }
}

/// An `sshd` of this test's own, and an `ssh` that knows it.
struct Ssh {
    server: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Ssh {
    async fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("squall-test-ssh-").tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        for name in ["host", "key"] {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(name)]);
            assert!(command.status().await.expect("the package openssh-client").success());
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let public = std::fs::read_to_string(path("host.pub")).expect("a key");
        std::fs::write(path("known"), format!("[127.0.0.1]:{port} {public}")).expect("a file");
        std::fs::copy(path("key.pub"), path("authorized")).expect("a file");
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PidFile none\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n",
            path("host"),
            path("authorized")
        );
        std::fs::write(path("sshd_config"), config).expect("a file");
        // With what some people have there: connections that outlive their process, and a forward that only one can have.
        let config = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nControlMaster auto\nControlPath {}\nControlPersist yes\n\
             LocalForward 127.0.0.1:{port} 127.0.0.1:9\n",
            path("key"),
            path("known"),
            path("master")
        );
        std::fs::write(path("ssh_config"), config).expect("a file");
        let script = format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", path("ssh_config"));
        std::fs::create_dir(path("bin")).expect("a directory");
        std::fs::write(path("bin/ssh"), script).expect("a file");
        std::fs::set_permissions(path("bin/ssh"), std::fs::Permissions::from_mode(0o755)).expect("a mode");
        // Where the package makes it at boot only.
        std::fs::create_dir_all("/run/sshd").expect("a directory");
        let mut server = Command::new("/usr/sbin/sshd");
        server.args(["-D", "-e", "-f", &path("sshd_config")]).stderr(Stdio::null()).kill_on_drop(true);
        let server = server.spawn().expect("the package openssh-server");
        let there = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("an sshd", || async { tokio::net::TcpStream::connect(there).await.ok() }).await;
        Self { server, port, dir }
    }

    fn start(&self, scene: &Scene, state: &str, timing: &str) -> Run {
        let mut squall = scene.squall(state);
        squall.env("DOCKER_HOST", format!("ssh://root@127.0.0.1:{}", self.port));
        let path = format!("{}:{}", self.dir.path().join("bin").display(), std::env::var("PATH").expect("a PATH"));
        squall.env("PATH", path);
        scene.start_by(squall, &scene.experiment("pause: {}", timing), scene.dir.path().join(state))
    }
}

/// The `ssh` that a process has started, by the directory of its socket.
fn ssh_of(pid: u32) -> Vec<i32> {
    let with = format!("squall-ssh-{pid}-");
    let all = std::fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&with)))
        .collect()
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a PID"), Signal::KILL).expect("it is there");
}

#[tokio::test]
async fn over_ssh_a_run_holds_and_neither_a_killed_ssh_nor_a_killed_runner_leaves_anything() {
    let ssh = Ssh::new().await;
    let scene = Scene::of(1, lonely()).await;
    let before = scene.settings().await;
    ssh.start(&scene, "held", SHORT).ends().await.is(0, "hypothesis-held");

    // Killed, it is started again, and the run goes on by it.
    let mut run = ssh.start(&scene, "again", LONG);
    run.until_on().await;
    let [first] = ssh_of(run.pid())[..] else { panic!("one process for all connections: {:?}", ssh_of(run.pid())) };
    kill(first);
    let pid = run.pid();
    eventually("another ssh", || async { ssh_of(pid).first().filter(|pid| **pid != first).map(drop) }).await;
    run.signal(Signal::INT);
    let ended = run.ends().await;
    ended.rolled_back_by("runner");
    assert_eq!(ended.output.status.code(), Some(3));
    scene.is_as(&before).await;

    let mut run = ssh.start(&scene, "killed", LONG);
    run.until_on().await;
    let pid = run.pid();
    run.signal(Signal::KILL);
    run.ends().await.rolled_back_by("guard");
    scene.is_as(&before).await;
    eventually("the end of its ssh", || async { ssh_of(pid).is_empty().then_some(()) }).await;

    assert!(!ssh.dir.path().join("master").exists(), "no connection is shared");

    // Where there is no way, ssh says why.
    send(ssh.server.id().expect("it runs"), Signal::TERM);
    let output = ssh.start(&scene, "no-way", SHORT).dies().await.0;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(3) && said.contains("does not get there") && said.contains("refused"),
        "{said}"
    );
}
