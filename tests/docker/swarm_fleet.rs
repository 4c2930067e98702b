//! A Swarm of three machines as one fleet, from a machine beside it: faults on any of its nodes, and between them. A customer who knows nothing
//! of Squall says whether the verdicts are right.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;

use crate::scene::{Ended, eventually, guard, send};
use crate::swarm::{Customer, ON_N1, Swarm, ask};

const CHECK: &str = "checkout: { http: 'http://10.77.0.1:8080/checkout', rate: 20/s, timeout: 1s, expect: { success: 90% }, \
                     during: { success: 80%, max-outage: 1s } }";
const SHORT: &str = "baseline: 1s, duration: 3s, recovery: 20s";
/// Long enough for a customer to tell it from a bad moment.
const LONGER: &str = "baseline: 1s, duration: 6s, recovery: 20s";
/// Longer than a manager takes to miss a node.
const LONG: &str = "baseline: 1s, duration: 14s, recovery: 30s";

/// A shop on each node, behind a gateway on the manager's, before one store there.
struct Show {
    swarm: Swarm,
    web: String,
    gateway: SocketAddr,
}

/// An experiment, and what it should come to.
struct Case {
    name: &'static str,
    target: &'static str,
    fault: &'static str,
    timing: &'static str,
    code: i32,
}

impl Show {
    async fn new() -> Self {
        let mut swarm = Swarm::new().await;
        let name = |part: &str| swarm.scene.sandbox.name(part);
        let (web, store, front) = (swarm.scene.service.clone(), name("store"), name("gateway"));
        swarm.service(&store, 1, &ON_N1, &["store", "--listen", "0.0.0.0:8080"]).await;
        let upstream = format!("{store}:8080");
        let one_each = ["--replicas-max-per-node", "1"];
        swarm.service(&web, 3, &one_each, &["shop", "--listen", "0.0.0.0:8080", "--upstream", &upstream]).await;
        let upstream = format!("{web}:8080,{web}:8080,{web}:8080,{web}:8080");
        let published = [&ON_N1[..], &["--publish", "mode=host,published=8080,target=8080"]].concat();
        swarm.service(&front, 1, &published, &["gateway", "--listen", "0.0.0.0:8080", "--upstream", &upstream]).await;
        let [manager, any] = ["n1", "{hostname}"].map(|node| swarm.cluster.host(node));
        let fleet = format!("version: 1\nswarm: {{ host: '{manager}', reach: '{any}' }}\n");
        let fleet = swarm.scene.file("fleet.yaml", &fleet).display().to_string();
        swarm.scene.options =
            ["--fleet", &fleet, "--helper-image", &swarm.scene.sandbox.image].map(str::to_owned).to_vec();
        let show = Self { swarm, web, gateway: ([10, 77, 0, 1], 8080).into() };
        show.is_served().await;
        show
    }

    /// What the manager says of n3.
    async fn node_is(&self, want: &str) {
        let node = ["node", "inspect", "n3", "--format", "{{.Spec.Availability}} {{.Spec.Labels}} {{.Status.State}}"];
        eventually(want, || async { (self.swarm.cluster.docker("n1", &node).await == want).then_some(()) }).await;
    }

    /// Waits until an experiment may be run: what has just been started is no target yet.
    async fn is_steady(&self, experiment: &str) {
        for node in ["n1", "n2", "n3"] {
            self.swarm.cluster.settles(node, &self.web).await;
        }
        let (scene, file) = (&self.swarm.scene, self.swarm.scene.file("plan.yaml", experiment));
        eventually("targets", || async {
            let plan = scene.squall("plan").arg("plan").arg(&file).args(&scene.options).output().await;
            plan.expect("the binary starts").status.success().then_some(())
        })
        .await;
    }

    async fn is_served(&self) {
        let op = || self.swarm.cluster.network("op");
        eventually("an answer", || async { op().run(|| ask(self.gateway)).unwrap_or(false).then_some(()) }).await;
    }

    /// The run, and what a customer met meanwhile.
    async fn runs(&self, case: &Case) -> (Ended, (usize, usize, Duration)) {
        let scene = &self.swarm.scene;
        let x = scene.checked(CHECK, case.fault, case.timing);
        let (target, store) = (case.target.replace("WEB", &self.web), scene.sandbox.name("store"));
        let x = x
            .replace(&format!("target: {{ service: {} }}", self.web), &format!("target: {{ {target} }}"))
            .replace("max-instances: 1", "max-instances: 3, max-nodes: 3")
            .replace("STORE", &store)
            // So that the customer meets all of it.
            .replace("hypothesis:", "zones: { engine: {} }\non-breach: observe\nhypothesis:");
        self.is_steady(&x).await;
        let customer = Customer::of(self.gateway, self.swarm.cluster.network("op"));
        let squall = scene.squall_by(self.swarm.cluster.command("op", "nice"), case.name);
        let ended = scene.start_by(squall, &x, scene.dir.path().join(case.name)).ends().await;
        (ended, customer.says().await)
    }
}

#[tokio::test]
async fn customers_agree_with_what_is_said_of_faults_on_any_node_and_between_them() {
    let show = Show::new().await;
    let case = |name, target, fault, timing, code| Case { name, target, fault, timing, code };
    for case in [
        case("killed", "service: WEB, node: n2", "kill: { heal: self }", SHORT, 0),
        case("frozen", "service: WEB, node: n3", "pause: {}", SHORT, 0),
        case("late", "service: WEB, pick: all", "latency: { delay: 400ms, to: { service: STORE } }", LONGER, 1),
        case("cut", "service: WEB, node: n3", "partition: { from: { service: STORE } }", SHORT, 0),
        case("zone", "zone: n3", "zone-outage: { mode: isolate }", SHORT, 0),
        case("drained", "node: n3", "node-outage: { mode: drain }", SHORT, 0),
        case("without-power", "node: n3", "node-outage: { mode: power }", SHORT, 0),
        case("cut-off", "node: n3", "node-outage: { mode: isolate }", LONG, 0),
    ] {
        let (ended, (asked, bad, outage)) = show.runs(&case).await;
        let reason = if case.code == 0 { "hypothesis-held" } else { "hypothesis-broken" };
        ended.is(case.code, reason).rolled_back_by("runner");
        let is_noticed = bad * 5 >= asked || outage >= Duration::from_secs(2);
        assert!(
            asked > 20 && is_noticed == (case.code == 1),
            "{}: {bad} of {asked} answers were bad, {outage:?} on end",
            case.name
        );
        let nodes: Vec<&str> = ended.state.targeted.iter().filter_map(|i| i.node.as_deref()).collect();
        assert!(nodes.iter().all(|node| case.target.contains(node)) || nodes.len() == 3, "{}: {nodes:?}", case.name);
        show.swarm.all_run(&show.web, 3).await;
        show.is_served().await;
        show.node_is("active map[] ready").await;
    }

    // What a person makes of a node is seen, though what ran there is gone.
    let scene = &show.swarm.scene;
    let x = scene.experiment("node-outage: { mode: drain }", LONG);
    let x = x.replace(&format!("target: {{ service: {} }}", show.web), "target: { node: n3 }");
    let x = x.replace("max-instances: 1", "max-nodes: 1");
    show.is_steady(&x).await;
    let mut run = scene.start_in("meddled", &x);
    run.until_on().await;
    eventually("nothing runs there", || async {
        let left = show.swarm.cluster.docker("n3", &["ps", "--quiet", "--filter", "name=targeted"]).await;
        left.is_empty().then_some(())
    })
    .await;
    show.swarm.cluster.docker("n1", &["node", "update", "--availability", "active", "n3"]).await;
    run.ends().await.is(3, "fault-vanished");
    show.node_is("active map[] ready").await;
    show.swarm.all_run(&show.web, 3).await;

    // No process is left but the helpers, of which the manager's may do it.
    show.is_steady(&x).await;
    let mut run = scene.start_in("dead", &x);
    let on = run.until_on().await;
    show.node_is(&format!("drain map[squall.run:{}/drain] ready", on.started.as_ref().expect("it began").run)).await;
    for pid in [run.pid(), guard(&on)] {
        send(pid, Signal::KILL);
    }
    show.node_is("active map[] ready").await;
    drop(run.dies().await);
    let recovered = scene.squall("dead").arg("recover").output().await.expect("the binary runs");
    assert!(recovered.status.success(), "{}", String::from_utf8_lossy(&recovered.stdout));
    show.swarm.all_run(&show.web, 3).await;
    scene.is_clear().await;
}
