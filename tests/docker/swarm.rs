//! Tasks of a Swarm: of a real one of three nodes, and containers that carry the labels of tasks, with the test in the place of the Swarm.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use squall::host::net::namespace::Namespace;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::harness::{Sandbox, Spec};
use crate::scene::{Ended, Scene, eventually, lonely};

const TIMING: &str = "baseline: 500ms, duration: 1s, recovery: 20s";
const LONGER: &str = "baseline: 1s, duration: 3s, recovery: 20s";

#[tokio::test]
async fn a_task_is_replaced_and_never_started_again() {
    let labels = ["com.docker.swarm.service.name", "com.docker.swarm.task.id"];
    let mut spec = Spec { labels: labels.map(|key| (key, "web".to_owned())).to_vec(), ..lonely() };
    let scene = Box::pin(Scene::of(2, spec.clone())).await;
    let mut run = scene.start(&scene.experiment("kill: { heal: self }", TIMING));
    let state = run.until_on().await;
    let ended = state.targeted[0].id.clone();
    spec.labels.push(("squall.service", scene.service.clone()));
    let successor = Box::pin(scene.sandbox.start("targeted-3", spec)).await;
    let done = run.ends().await;
    done.is(0, "hypothesis-held");
    assert!(!scene.sandbox.look(&ended).await.is_running(), "it runs beside its successor");
    assert!(scene.sandbox.look(&successor).await.is_up());
    scene.is_clear().await;
}

/// A Swarm of three nodes, and a scene on the engine of n1, its manager.
pub(crate) struct Swarm {
    pub(crate) scene: Scene,
    // Fields end in this order: the engine goes last.
    pub(crate) cluster: Cluster,
}

impl Swarm {
    pub(crate) async fn new() -> Self {
        let cluster = Cluster::swarm(3, &format!("squall-test-{}", std::process::id())).await;
        let scene = Scene::in_sandbox(Sandbox::on(Some(cluster.host("n1"))).await, 0, lonely()).await;
        cluster.docker("n1", &["network", "create", "--driver", "overlay", "shop"]).await;
        Self { scene, cluster }
    }

    /// A service; it has converged when this returns. No kernel here has IPVS, and no name server answers.
    pub(crate) async fn service(&self, name: &str, replicas: usize, options: &[&str], serves: &[&str]) {
        let (of, image) = (replicas.to_string(), self.scene.sandbox.image.clone());
        let mut args = vec!["service", "create", "--detach", "--no-resolve-image", "--endpoint-mode", "dnsrr"];
        args.extend(["--network", "shop", "--name", name, "--replicas", &of]);
        args.extend(options);
        args.push(&image);
        args.extend(["serve"].iter().chain(serves));
        self.cluster.docker("n1", &args).await;
        self.all_run(name, replicas).await;
    }

    /// Waits until so many tasks of a service run.
    pub(crate) async fn all_run(&self, name: &str, replicas: usize) {
        // A limit for each node may be told behind it.
        let (filter, all) = (format!("name={name}"), format!("{replicas}/{replicas}"));
        let list = ["service", "ls", "--filter", filter.as_str(), "--format", "{{.Replicas}}"];
        eventually(&format!("{all} of {name}"), || async {
            (self.cluster.docker("n1", &list).await.split(' ').next() == Some(&all)).then_some(())
        })
        .await;
    }

    /// The containers on n1 of a service that run, and the ended ones.
    async fn containers(&self, service: &str) -> (Vec<String>, Vec<String>) {
        let filter = format!("label=com.docker.swarm.service.name={service}");
        let told =
            self.cluster.docker("n1", &["ps", "-a", "--filter", &filter, "--format", "{{.State}} {{.ID}}"]).await;
        let (running, ended): (Vec<&str>, Vec<&str>) = told.lines().partition(|line| line.starts_with("running"));
        let ids = |lines: Vec<&str>| lines.iter().filter_map(|l| l.split(' ').nth(1)).map(str::to_owned).collect();
        (ids(running), ids(ended))
    }

    /// Those that the run has ended stay so, and beside what replaces them nothing runs.
    async fn is_left_to_the_swarm(&self, ended: &Ended, service: &str, replicas: usize) {
        self.all_run(service, replicas).await;
        let (running, over) = self.containers(service).await;
        assert_eq!(running.len(), replicas, "{running:?} run");
        for target in &ended.state.targeted {
            let is = |id: &String| target.id.0.starts_with(id.as_str());
            assert!(over.iter().any(is) && !running.iter().any(is), "{} was started again", target.name);
        }
        let differs = ended.state.restored.iter().any(|r| !r.differences.is_empty());
        assert!(!differs, "{:?}", ended.state.restored);
        self.scene.is_clear().await;
    }

    /// A run on the node n1 itself.
    async fn run_there(&self, state: &str, experiment: &str) -> Ended {
        let squall = self.scene.squall_by(self.cluster.command("n1", "nice"), state);
        self.scene.start_by(squall, experiment, self.scene.dir.path().join(state)).ends().await
    }

    /// What `squall` says of an experiment before it is run, on the engine of a node.
    async fn plan(&self, node: &str, experiment: &str) -> (Option<i32>, String) {
        let mut squall: Command = self.scene.squall("plan");
        squall.env("DOCKER_HOST", self.cluster.host(node));
        squall.arg("plan").arg(self.scene.file("plan.yaml", experiment));
        let output = squall.output().await.expect("the binary starts");
        let text = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned()).concat();
        (output.status.code(), text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// A customer who knows nothing of Squall.
pub(crate) struct Customer {
    leaves: Arc<AtomicBool>,
    asking: JoinHandle<Vec<(Instant, bool)>>,
}

impl Customer {
    pub(crate) fn of(address: SocketAddr, from: Namespace) -> Self {
        let leaves = Arc::new(AtomicBool::new(false));
        let is_gone = Arc::clone(&leaves);
        let asking = tokio::task::spawn_blocking(move || {
            let mut answers = Vec::new();
            while !is_gone.load(Ordering::Relaxed) {
                let good = from.run(|| ask(address)).unwrap_or(false);
                answers.push((Instant::now(), good));
                pause();
            }
            answers
        });
        Self { leaves, asking }
    }

    /// How many answers there were, how many of them were bad, and for how long on end at most.
    pub(crate) async fn says(self) -> (usize, usize, Duration) {
        self.leaves.store(true, Ordering::Relaxed);
        let answers = self.asking.await.expect("no panic");
        let outages = answers.chunk_by(|one, next| !one.1 && !next.1);
        let longest = outages.filter(|run| !run[0].1).map(|run| run[run.len() - 1].0 - run[0].0).max();
        (answers.len(), answers.iter().filter(|(_, good)| !good).count(), longest.unwrap_or_default())
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread without a runtime")]
fn pause() {
    std::thread::sleep(Duration::from_millis(30));
}

pub(crate) fn ask(address: SocketAddr) -> std::io::Result<bool> {
    let limit = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"GET /checkout HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(answer == *b"HTTP/1.1 200")
}

pub(crate) const ON_N1: [&str; 2] = ["--constraint", "node.hostname==n1"];

/// Two shops behind a gateway before one store, all on n1: what goes unnoticed by a customer on another machine, and what does not.
#[tokio::test]
async fn customers_of_a_swarm_agree_with_the_verdict_and_no_task_is_started_beside_its_replacement() {
    let swarm = Swarm::new().await;
    let name = |part: &str| swarm.scene.sandbox.name(part);
    let (web, store) = (name("targeted"), name("store"));
    swarm.service(&store, 1, &ON_N1, &["store", "--listen", "0.0.0.0:8080"]).await;
    let upstream = format!("{store}:8080");
    swarm.service(&web, 2, &ON_N1, &["shop", "--listen", "0.0.0.0:8080", "--upstream", &upstream]).await;
    // Each name stands for both of them; one that does not answer is asked again by the other way.
    let upstream = format!("{web}:8080,{web}:8080,{web}:8080");
    let published = [&ON_N1[..], &["--publish", "mode=host,published=8080,target=8080"]].concat();
    swarm
        .service(&name("gateway"), 1, &published, &["gateway", "--listen", "0.0.0.0:8080", "--upstream", &upstream])
        .await;
    let gateway = SocketAddr::from(([10, 77, 0, 1], 8080));
    let op = || swarm.cluster.network("op");
    let good = || async { op().run(|| ask(gateway)).unwrap_or(false).then_some(()) };
    eventually("an answer", good).await;

    let check = "checkout: { http: 'http://10.77.0.1:8080/checkout', rate: 20/s, timeout: 1s, expect: { success: 90% }, \
                 during: { success: 80%, max-outage: 1s } }";
    for (state, fault) in [("engine", "kill: { heal: self }"), ("host", "kill: { via: host, heal: self }")] {
        let customer = Customer::of(gateway, op());
        let ended = swarm.run_there(state, &swarm.scene.checked(check, fault, LONGER)).await;
        let (asked, bad, outage) = customer.says().await;
        ended.is(0, "hypothesis-held").rolled_back_by("runner");
        assert!(
            asked > 50 && bad * 5 < asked && outage < Duration::from_secs(1),
            "{fault}: {bad} of {asked}, {outage:?}"
        );
        swarm.is_left_to_the_swarm(&ended, &web, 2).await;
    }

    // There is one store, and for as long as the Swarm takes no customer is served.
    let customer = Customer::of(gateway, op());
    let x = swarm.scene.checked(check, "kill: { heal: self }", "baseline: 500ms, duration: 8s, recovery: 20s");
    let x = x.replace(&format!("target: {{ service: {web} }}"), &format!("target: {{ service: {store} }}"));
    let ended = swarm.run_there("store", &x).await;
    swarm.is_left_to_the_swarm(&ended, &store, 1).await;
    let (_, _, outage) = customer.says().await;
    ended.is(1, "hypothesis-broken").rolled_back_by("runner");
    assert!(outage >= Duration::from_secs(1), "{outage:?}");
}

/// A rollback in the time between a task's end and its replacement, or of one that is never replaced, starts nothing.
#[tokio::test]
async fn what_has_ended_is_left_to_the_swarm_also_before_it_is_replaced() {
    let swarm = Swarm::new().await;
    let (web, scene) = (swarm.scene.service.clone(), &swarm.scene);
    let delayed = [&ON_N1[..], &["--restart-delay", "6s"]].concat();
    swarm.service(&web, 2, &delayed, &["store", "--listen", "0.0.0.0:8080"]).await;
    let x = scene.experiment("kill: { heal: self }", "baseline: 500ms, duration: 60s, recovery: 20s");

    let mut run = scene.start_in("killed", &x);
    run.until_on().await;
    run.signal(Signal::KILL);
    let ended = run.ends().await;
    ended.rolled_back_by("guard");
    let (running, _) = swarm.containers(&web).await;
    assert_eq!(running.len(), 1, "it has not been replaced yet, and nothing was started");
    swarm.is_left_to_the_swarm(&ended, &web, 2).await;

    // A task that is not replaced.
    swarm.cluster.docker("n1", &["service", "update", "--detach", "--restart-condition", "none", &web]).await;
    let updated = ["service", "inspect", &web, "--format", "{{.UpdateStatus.State}}"];
    eventually("an update", || async { (swarm.cluster.docker("n1", &updated).await == "completed").then_some(()) })
        .await;
    let (before, _) = swarm.containers(&web).await;
    let ended = scene
        .start_in("never", &scene.experiment("kill: { heal: self }", "baseline: 500ms, duration: 1s, recovery: 5s"));
    let ended = ended.ends().await;
    ended.is(1, "recovery-too-slow").rolled_back_by("runner");
    let said = ended.report["text"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("has put no healthy instance in the place of"), "{said}");
    let (after, _) = swarm.containers(&web).await;
    assert!(after.len() == 1 && before.contains(&after[0]), "{before:?} {after:?}");
    scene.is_clear().await;
}

#[tokio::test]
async fn what_runs_on_other_nodes_counts_and_is_named() {
    let swarm = Swarm::new().await;
    let web = swarm.scene.service.clone();
    let spread = ["--replicas-max-per-node", "2"];
    swarm.service(&web, 6, &spread, &["store", "--listen", "0.0.0.0:8080"]).await;
    let x = swarm.scene.experiment("kill: { heal: self }", TIMING);
    let limited = x.replace("max-instances: 1", "max-instances: 1, min-healthy: 1");
    let of_all = format!("target: {{ service: {web}, pick: all }}");
    let all =
        x.replace("max-instances: 1", "max-instances: 9").replace(&format!("target: {{ service: {web} }}"), &of_all);

    let unseen = "4 run on n2, n3, which are not seen from here";
    for (x, says) in [(&limited, "`min-healthy` counts every instance"), (&all, "`pick: all` is about all")] {
        let (code, said) = swarm.plan("n1", x).await;
        assert!(code == Some(3) && said.contains(says) && said.contains(unseen), "{code:?} {said}");
    }
    let (code, said) = swarm.plan("n1", &x).await;
    assert!(code == Some(0) && said.contains(unseen) && said.contains("it runs on n3"), "{code:?} {said}");

    // A worker knows of none of them, and says so.
    let (code, said) = swarm.plan("n2", &limited).await;
    assert!(code == Some(0) && said.contains("only those that are seen here count"), "{code:?} {said}");
    let (code, said) = swarm.plan("n2", &limited.replace("min-healthy: 1", "min-healthy: 2")).await;
    assert!(code == Some(3) && said.contains("only 1 healthy instances"), "{code:?} {said}");

    // One of them is in the run's place of the others: the fault ends what is seen, and another node may take its place.
    let ended = swarm.scene.start(&x).ends().await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");
    swarm.all_run(&web, 6).await;
    assert!(!swarm.scene.sandbox.look(&ended.state.targeted[0].id).await.is_running());
    swarm.scene.is_clear().await;

    let output = swarm.scene.squall("doctor").arg("doctor").output().await.expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("a manager of 3 nodes"), "{said}");
}
