//! Nodes of a Swarm that are out: cut off, without power, drained. Each is a machine of its own; the Swarm, customers and the runner are on
//! the others.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use bollard::models::{HostConfig, PortBinding};
use rustix::process::Signal;
use squall::host::net::namespace::Namespace;
use squall::host::net::nft;
use squall::host::process;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::harness::{Sandbox, Spec};
use crate::scene::{Run, Scene, eventually, guard, send};

const LONG: &str = "baseline: 500ms, duration: 50s, recovery: 20s";

/// A Swarm of three nodes with six tasks, and on one node two more containers, of which the first publishes a port.
struct Nodes {
    scene: Scene,
    cluster: Cluster,
    /// The node that is out.
    node: &'static str,
    /// Where its published port is.
    published: SocketAddr,
    /// What tables its network has before.
    tables: Vec<String>,
}

impl Nodes {
    async fn of(node: &'static str) -> Self {
        let cluster = Cluster::swarm(3, &format!("squall-test-{}", std::process::id())).await;
        let published = PortBinding { host_ip: None, host_port: Some("8081".to_owned()) };
        let host = HostConfig {
            port_bindings: Some(HashMap::from([("8080/tcp".to_owned(), Some(vec![published]))])),
            ..HostConfig::default()
        };
        let sandbox = Sandbox::on(Some(cluster.host(node))).await;
        let mut scene = Box::pin(Scene::in_sandbox(sandbox, 1, Spec { host, ..Spec::default() })).await;
        scene.options = ["--helper-image", &scene.sandbox.image].map(str::to_owned).to_vec();
        let label = ("squall.service", scene.service.clone());
        scene.targeted.push(scene.sandbox.start("targeted-2", Spec { labels: vec![label], ..Spec::default() }).await);
        let (service, image) = (scene.service.clone(), scene.sandbox.image.clone());
        let create =
            ["service", "create", "--detach", "--no-resolve-image", "--endpoint-mode", "dnsrr", "--replicas", "6"];
        let rest = ["--name", &service, &image, "serve", "store", "--listen", "0.0.0.0:8080"];
        cluster.docker("n1", &[&create[..], &rest[..]].concat()).await;
        let address = [10, 77, 0, node[1..].parse().expect("a number")];
        let tables = cluster.network(node).run(|| nft::named("")).expect("its tables");
        let nodes = Self { scene, cluster, node, published: (address, 8081).into(), tables };
        nodes.all_run().await;
        nodes.is_reached(true).await;
        nodes
    }

    async fn all_run(&self) {
        let filter = format!("name={}", self.scene.service);
        let list = ["service", "ls", "--filter", filter.as_str(), "--format", "{{.Replicas}}"];
        eventually("6 tasks", || async { (self.cluster.docker("n1", &list).await == "6/6").then_some(()) }).await;
    }

    fn experiment(&self, fault: &str, timing: &str) -> String {
        let x = self.scene.experiment(fault, timing);
        let target = format!("target: {{ service: {} }}", self.scene.service);
        x.replace(&target, &format!("target: {{ node: {} }}", self.node))
            .replace("max-instances: 1", "max-nodes: 1, max-instances: 9")
    }

    /// Whether its published port answers a customer on another machine.
    async fn is_reached(&self, is: bool) {
        let (from, to) = (|| self.cluster.network("op"), self.published);
        eventually(&format!("an answer: {is}"), || async {
            (from().run(|| TcpStream::connect_timeout(&to, Duration::from_millis(300))).is_ok() == is).then_some(())
        })
        .await;
    }

    /// What the manager says of a node, or of its Swarm.
    async fn node_is(&self, what: &str, want: &str) {
        let format = format!("{{{{.{what}}}}}");
        let ask = ["node", "inspect", self.node, "--format", &format];
        eventually(&format!("{what} {want}"), || async {
            (self.cluster.docker("n1", &ask).await == want).then_some(())
        })
        .await;
    }

    /// How many tasks the Swarm says to run elsewhere.
    async fn elsewhere(&self) -> usize {
        let list = ["service", "ps", &self.scene.service, "--filter", "desired-state=running", "--format"];
        let told = self.cluster.docker("n1", &[&list[..], &["{{.Node}} {{.CurrentState}}"]].concat()).await;
        told.lines().filter(|line| !line.starts_with(self.node) && line.contains(" Running")).count()
    }

    async fn all_elsewhere(&self) {
        eventually("6 tasks elsewhere", || async { (self.elsewhere().await == 6).then_some(()) }).await;
    }

    /// Whether the containers on the node reach each other.
    fn talk(&self) -> bool {
        // The bridge gives its addresses in turn: the first one has this.
        let to: SocketAddr = ([172, 17, 0, 2], 8080).into();
        let second = process::of_container(&self.scene.targeted[1].0).into_iter().next().expect("it runs");
        Namespace::of(second.pid())
            .expect("its network")
            .run(|| TcpStream::connect_timeout(&to, Duration::from_secs(1)))
            .is_ok()
    }

    /// Nothing lies on the node, and it is reached.
    async fn is_not_cut(&self) {
        let tables = self.cluster.network(self.node).run(|| nft::named("")).expect("its tables");
        assert_eq!(tables, self.tables, "something is left on the node");
        self.is_reached(true).await;
    }

    async fn is_as_before(&self) {
        self.is_not_cut().await;
        self.cluster.settles(self.node, &self.scene.service).await;
        self.node_is("Spec.Availability", "active").await;
        self.node_is("Spec.Labels", "map[]").await;
        self.is_reached(true).await;
        self.scene.is_clear().await;
    }

    /// `squall`, on the machine `op` or on a node, which reaches the engine there.
    fn start_from(&self, machine: &str, host: &str, state: &str, experiment: &str) -> Run {
        let mut squall = self.scene.squall_by(self.cluster.command(machine, "nice"), state);
        squall.env("DOCKER_HOST", host);
        self.scene.start_by(squall, experiment, self.scene.dir.path().join(state))
    }

    /// What `squall plan` says.
    async fn plan(&self, machine: Option<&str>, options: &[&str], experiment: &str) -> (Option<i32>, String) {
        let by = machine.map_or_else(|| tokio::process::Command::new("nice"), |on| self.cluster.command(on, "nice"));
        let mut squall = self.scene.squall_by(by, "plan");
        squall.arg("plan").arg(self.scene.file("plan.yaml", experiment)).args(&self.scene.options).args(options);
        let output = squall.output().await.expect("the binary starts");
        let text = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned()).concat();
        (output.status.code(), text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

#[tokio::test]
async fn a_node_is_cut_off_and_its_swarm_goes_on_without_it() {
    let nodes = Box::pin(Nodes::of("n3")).await;
    assert!(nodes.talk());
    let mut run = nodes
        .scene
        .start(&nodes.experiment("node-outage: { mode: isolate }", "baseline: 500ms, duration: 25s, recovery: 20s"));
    run.until_on().await;
    nodes.is_reached(false).await;
    assert!(nodes.talk(), "containers on the node reach each other");
    nodes.node_is("Status.State", "down").await;
    nodes.all_elsewhere().await;
    assert!(nodes.talk());
    let ended = run.ends().await;
    nodes.node_is("Status.State", "ready").await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");
    assert!(ended.state.changes.len() >= 4, "each container on the node carries the change");
    nodes.all_run().await;
    nodes.is_as_before().await;
}

/// With both of them no process is left but the helper, which is cut off itself.
#[tokio::test]
async fn a_helper_ends_the_isolation_of_its_node_alone() {
    let nodes = Box::pin(Nodes::of("n3")).await;
    for (state, signal) in [("killed", Signal::KILL), ("stopped", Signal::STOP)] {
        let mut run = nodes.scene.start_in(state, &nodes.experiment("node-outage: {}", LONG));
        let on = run.until_on().await;
        nodes.is_reached(false).await;
        let operator = [run.pid(), guard(&on)];
        for pid in operator {
            send(pid, signal);
        }
        nodes.is_reached(true).await;
        for pid in operator {
            if signal == Signal::STOP {
                send(pid, Signal::KILL);
            }
        }
        drop(run.dies().await);
        let recovered = nodes.scene.squall(state).arg("recover").output().await.expect("the binary runs");
        assert!(recovered.status.success(), "{}", String::from_utf8_lossy(&recovered.stdout));
        nodes.is_as_before().await;
    }
}

/// Lets an engine's socket be reached over TCP at `listen` in a network; `by` another address, where that is given.
fn forward(network: &Namespace, listen: SocketAddr, to: To) -> JoinSet<()> {
    let listener = network.run(|| std::net::TcpListener::bind(listen)).expect("the port is free");
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(listener).expect("a socket");
    let network = network.try_clone().expect("a descriptor");
    let mut forwarding = JoinSet::new();
    forwarding.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut from, _)) = listener.accept().await {
            match &to {
                To::Socket(path) => {
                    let Ok(mut engine) = UnixStream::connect(path).await else { continue };
                    connections.spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut engine).await });
                }
                To::Address(address) => {
                    // While the node is cut off nobody refuses, and nothing else of the test goes on.
                    let connect = || TcpStream::connect_timeout(address, Duration::from_millis(200));
                    let Ok(engine) = network.run(connect) else { continue };
                    engine.set_nonblocking(true).expect("a socket");
                    let mut engine = tokio::net::TcpStream::from_std(engine).expect("a socket");
                    connections.spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut engine).await });
                }
            }
        }
    });
    forwarding
}

enum To {
    Socket(PathBuf),
    Address(SocketAddr),
}

/// Over a network: by the port that the runner knows it goes on, and by another one the lease ends it.
#[tokio::test]
async fn a_runner_keeps_its_way_to_the_engine_of_a_node_that_is_cut_off() {
    let nodes = Box::pin(Nodes::of("n3")).await;
    let socket = nodes.cluster.host("n3");
    let engine: SocketAddr = ([10, 77, 0, 3], 2375).into();
    let _to_engine =
        forward(&nodes.cluster.network("n3"), engine, To::Socket(socket.trim_start_matches("unix://").into()));
    // Where a helper looks for it whose runner knows no path.
    let usual = ["--bind", socket.trim_start_matches("unix://"), "/var/run/docker.sock"];
    let bound = nodes.cluster.command("n3", "mount").args(usual).status().await.expect("mount");
    assert!(bound.success(), "{bound}");
    let x = nodes.experiment("node-outage: {}", "baseline: 500ms, duration: 15s, recovery: 20s");
    let mut run = nodes.start_from("op", "tcp://10.77.0.3:2375", "by-port", &x);
    run.until_on().await;
    nodes.is_reached(false).await;
    run.ends().await.is(0, "hypothesis-held").rolled_back_by("runner");
    nodes.is_as_before().await;

    let local: SocketAddr = ([127, 0, 0, 1], 4000).into();
    let _to_node = forward(&nodes.cluster.network("op"), local, To::Address(engine));
    let mut run =
        nodes.start_from("op", "tcp://127.0.0.1:4000", "otherwise", &nodes.experiment("node-outage: {}", LONG));
    run.until("the fault is in place", |s| s.changes.iter().any(|c| c.injecting.is_some())).await;
    nodes.is_reached(false).await;
    nodes.is_reached(true).await;
    let output = run.ends_within(Duration::from_mins(3)).await;
    // Whether it was made so was never heard, so that the guard watches on for it.
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    nodes.is_not_cut().await;
}

#[tokio::test]
async fn a_part_of_a_node_and_the_runners_own_are_refused() {
    let nodes = Box::pin(Nodes::of("n3")).await;
    let x = nodes.experiment("node-outage: {}", LONG);
    let (code, said) = nodes.plan(None, &[], &x).await;
    assert_eq!(code, Some(0), "{said}");
    let second = format!("{}-targeted-2", nodes.scene.sandbox.prefix);
    let part = x.replace("node: n3", "node: n3, image: 'no-such-*'");
    let (code, said) = nodes.plan(None, &[], &part).await;
    assert!(code == Some(3) && said.contains("nothing matches"), "{code:?} {said}");
    let one = x.replace("node: n3", &format!("node: n3, name: {second}"));
    let (code, said) = nodes.plan(None, &[], &one).await;
    assert!(code == Some(3) && said.contains("-targeted-1 (not selected)"), "{code:?} {said}");
    let protected = x.replace(
        "max-nodes: 1",
        &format!("max-nodes: 1, protect: ['com.docker.swarm.service.name={}']", nodes.scene.service),
    );
    let (code, said) = nodes.plan(None, &[], &protected).await;
    assert!(code == Some(3) && said.contains("(protected by "), "{code:?} {said}");
    let (code, said) = nodes.plan(None, &["--helper", "never"], &x).await;
    assert!(code == Some(3) && said.contains("only a helper on the node"), "{code:?} {said}");
    let (code, said) = nodes.plan(Some("n3"), &["--helper", "always"], &x).await;
    assert!(code == Some(3) && said.contains("Squall itself runs on that node"), "{code:?} {said}");
    let (code, said) = nodes.plan(None, &[], &x.replace("node-outage: {}", "node-outage: { mode: drain }")).await;
    assert!(code == Some(3) && said.contains("by a manager of its Swarm alone"), "{code:?} {said}");
    let (code, said) = nodes.plan(None, &[], &x.replace("node-outage: {}", "node-outage: { mode: power }")).await;
    assert!(code == Some(3) && said.contains("would start another one on the same node"), "{code:?} {said}");
}

/// Of the manager, whose engine sets it; its tasks go to the others.
#[tokio::test]
async fn a_node_that_is_drained_or_without_power_gets_back_what_it_had() {
    for (state, fault, was, meanwhile) in [
        ("drain", "node-outage: { mode: drain }", "active", "drain"),
        ("paused", "node-outage: { mode: drain }", "pause", "drain"),
        ("power", "node-outage: { mode: power }", "active", "pause"),
    ] {
        let nodes = Box::pin(Nodes::of("n1")).await;
        nodes.cluster.docker("n1", &["node", "update", "--availability", was, "n1"]).await;
        let mut run = nodes.scene.start(&nodes.experiment(fault, "baseline: 1s, duration: 15s, recovery: 20s"));
        let on = run.until_on().await;
        nodes.node_is("Spec.Availability", meanwhile).await;
        let label = ["node", "inspect", "n1", "--format", "{{index .Spec.Labels \"squall.run\"}}"];
        let held = nodes.cluster.docker("n1", &label).await;
        assert!(held.starts_with(&on.started.as_ref().expect("it began").run), "{held}");
        if state == "power" {
            nodes.is_reached(false).await;
        }
        nodes.all_elsewhere().await;
        let ended = run.ends().await;
        ended.is(0, "hypothesis-held").rolled_back_by("runner");
        nodes.node_is("Spec.Availability", was).await;
        nodes.cluster.docker("n1", &["node", "update", "--availability", "active", "n1"]).await;
        nodes.is_as_before().await;
        for id in &nodes.scene.targeted {
            assert!(nodes.scene.sandbox.look(id).await.is_up(), "{state}: what no orchestrator replaces is up again");
        }
    }
}

/// A person's own change meanwhile stays, and the run says so.
#[tokio::test]
async fn what_a_person_makes_of_a_drained_node_is_not_overwritten() {
    let nodes = Box::pin(Nodes::of("n1")).await;
    let mut run = nodes.scene.start(&nodes.experiment("node-outage: { mode: drain }", LONG));
    run.until_on().await;
    nodes.cluster.docker("n1", &["node", "update", "--availability", "pause", "n1"]).await;
    // It stays unfinished until a person says so.
    let output = run.ends_within(Duration::from_mins(3)).await;
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    nodes.node_is("Spec.Availability", "pause").await;
    nodes.node_is("Spec.Labels", "map[]").await;
    nodes.cluster.docker("n1", &["node", "update", "--availability", "active", "n1"]).await;
}
