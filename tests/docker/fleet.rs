//! One experiment on several machines: each with an engine of its own and a helper, in a cluster of the test's.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::Signal;
use squall::engine::docker::Docker;
use squall::engine::fleet::{Fleet, Machine};
use squall::engine::{Claim, Engine, Lock as _, Observe as _};
use squall::model::instance::{Aspect, InstanceId, Setting};
use squall::record::state::RunState;

use crate::cluster::Cluster;
use crate::conformance::{World, conforms};
use crate::harness::Sandbox;
use crate::scene::{Run, Scene, eventually, guard, lonely, send};

const TIMING: &str = "warm-up: 100ms, baseline: 1s, duration: 4s, recovery: 20s";
const LONG: &str = "warm-up: 100ms, baseline: 1s, duration: 60s, recovery: 20s";

const HELPER: &str = "squall-test-helper";

/// Three machines with a container each, all of one service.
struct Machines {
    scenes: Vec<Scene>,
    /// Of all of them.
    service: String,
    // Fields end in this order: the engines go last.
    cluster: Cluster,
}

impl Machines {
    async fn new() -> Self {
        let cluster = Cluster::of(3).await;
        let mut scenes = Vec::new();
        let mut file = "version: 1\nengines:\n".to_owned();
        let service = format!("fleet-{}", std::process::id());
        for n in 1..=3 {
            let host = cluster.host(&format!("n{n}"));
            writeln!(file, "  n{n}: {{ host: '{host}' }}").expect("a text");
            let mut scene = Box::pin(Scene::in_sandbox(Sandbox::on(Some(host)).await, 0, lonely())).await;
            let mut spec = lonely();
            spec.labels.push(("squall.service", service.clone()));
            scene.targeted.push(scene.sandbox.start("web", spec).await);
            // The helpers' image, by one name on all machines.
            cluster.docker(&format!("n{n}"), &["tag", &scene.sandbox.image, HELPER]).await;
            scenes.push(scene);
        }
        let fleet = scenes[0].file("fleet.yaml", &file);
        scenes[0].options =
            ["--fleet", &fleet.display().to_string(), "--helper-image", HELPER].map(str::to_owned).to_vec();
        Self { scenes, service, cluster }
    }

    /// An experiment that freezes those that `target` means.
    fn experiment(&self, target: &str, timing: &str) -> String {
        format!(
            "version: 1\nname: on-several-machines\nhypothesis: Nothing stays behind.\nzones: {{ engine: {{}} }}\nsteady-state:\n  \
             count: {{ engine: {{ service: {0}, count: running }}, rate: 4/s, expect: {{ value: {{ at-most: 1000 }} }} }}\n\
             target: {{ service: {0}, {target} }}\nfault: {{ pause: {{}} }}\n\
             blast-radius: {{ max-instances: 3, max-zones: 3 }}\ntiming: {{ {timing} }}\n",
            self.service
        )
    }

    fn start(&self, target: &str, timing: &str) -> Run {
        self.start_in("state", target, timing)
    }

    fn start_in(&self, state: &str, target: &str, timing: &str) -> Run {
        let scene = &self.scenes[0];
        let text = self.experiment(target, timing);
        scene.start_as(scene.squall(state), &format!("{state}.yaml"), &text, scene.dir.path().join(state))
    }

    /// What `squall` says, and its exit status.
    async fn says(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut squall = self.scenes[0].squall("state");
        let output = squall.args(args).args(&self.scenes[0].options).output().await.expect("the binary starts");
        let text = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned()).concat();
        (output.status.code(), text)
    }

    /// Whether the container of each machine is frozen.
    async fn frozen(&self) -> Vec<bool> {
        let mut all = Vec::new();
        for scene in &self.scenes {
            all.push(self.is_frozen(scene).await);
        }
        all
    }

    async fn is_frozen(&self, scene: &Scene) -> bool {
        let i = scene.sandbox.look(&scene.targeted[0]).await;
        i.settings[&Aspect::Paused] == Setting::Paused(true)
    }

    /// Nothing of any helper is left on any machine, and no lock.
    async fn is_clear(&self) {
        for scene in &self.scenes {
            let docker = &scene.sandbox.docker;
            eventually("the end of helpers, volumes and locks", || async {
                let sessions = docker.sessions().await.expect("the engine answers");
                let claims: Vec<Claim> = docker.claims().await.expect("the engine answers");
                let helpers = docker.observe().await.expect("the engine answers");
                let helpers = helpers.iter().filter(|i| i.name.starts_with("squall-node")).count();
                (sessions.is_empty() && claims.is_empty() && helpers == 0).then_some(())
            })
            .await;
        }
    }
}

fn changed(s: &RunState) -> Vec<&str> {
    s.changes.iter().map(|c| c.change.name.as_str()).collect()
}

#[tokio::test]
async fn an_experiment_is_about_instances_wherever_they_run() {
    let machines = Machines::new().await;
    let plan = machines.scenes[0].file("plan.yaml", &machines.experiment("zone: n2, pick: all", TIMING));
    let (code, said) = machines.says(&["plan", &plan.display().to_string()]).await;
    let (targeted, spared) = said.split_once("Spared:").expect("some are");
    assert!(code == Some(0) && targeted.contains("n2/squall") && !targeted.contains("n1/squall"), "{said}");
    assert!(spared.contains("n1/squall-test") && !spared.contains("squall-node"), "{said}");

    let mut run = machines.start("zone: n2, pick: all", TIMING);
    let on = run.until_on().await;
    assert_eq!(machines.frozen().await, [false, true, false]);
    assert!(changed(&on).iter().all(|name| name.starts_with("n2/")), "{:?}", changed(&on));
    // One of the machines alone is locked, too.
    for scene in &machines.scenes {
        assert_eq!(scene.sandbox.docker.claims().await.expect("the engine answers").len(), 1);
    }
    let other = machines.start_in("other", "zone: n3, pick: all", TIMING).ends().await;
    other.is(3, "claimed");
    let ended = run.ends().await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");
    assert_eq!(machines.frozen().await, [false; 3]);
    machines.is_clear().await;
}

#[tokio::test]
async fn every_machine_rolls_back_alone_when_runner_and_guard_are_killed() {
    let machines = Machines::new().await;
    let mut run = machines.start("pick: all", LONG);
    let on = run.until_on().await;
    assert_eq!(machines.frozen().await, [true; 3]);
    for pid in [run.pid(), guard(&on)] {
        send(pid, Signal::KILL);
    }
    eventually("all are thawed", || async { (machines.frozen().await == [false; 3]).then_some(()) }).await;
    drop(run.dies().await);
    let (code, said) = machines.says(&["recover"]).await;
    assert!(code == Some(0) && said.contains("nothing is left"), "{said}");
    machines.is_clear().await;
}

#[tokio::test]
async fn a_fault_begins_and_ends_on_all_machines_and_the_report_says_how_far_apart() {
    let machines = Machines::new().await;
    let ended = machines.start("pick: all", TIMING).ends().await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");
    let (over, spread) = ended.state.spread_over_machines().expect("they are several");
    assert!(over == 3 && spread.end.is_some(), "{spread:?}");
    let within = |what: &str| ended.report["faults"][0][what].as_f64().expect("milliseconds");
    assert!(within("injected-within-ms") < 4000.0 && within("rolled-back-within-ms") < 4000.0, "{}", ended.report);
    machines.is_clear().await;
}

/// What is on the other machines is rolled back at once, and what was on that one as soon as it is there again.
#[tokio::test]
async fn a_machine_that_goes_off_ends_the_run_and_holds_up_no_other() {
    let machines = Machines::new().await;
    let mut run = machines.start("pick: all", LONG);
    run.until_on().await;
    machines.cluster.does(&["off", "n2"]).await;
    for n in [0, 2] {
        let scene = &machines.scenes[n];
        eventually("it is thawed", || async { (!machines.is_frozen(scene).await).then_some(()) }).await;
    }
    let output = run.ends_within(Duration::from_secs(200)).await;
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    machines.cluster.does(&["on", "n2"]).await;
    eventually("the machine's engine", || async {
        Docker::connect(Some(&machines.cluster.host("n2"))).await.is_ok().then_some(())
    })
    .await;
    let (code, said) = machines.says(&["recover"]).await;
    assert!(code == Some(0) && said.contains("nothing is left"), "{said}");
    let scene = &machines.scenes[1];
    assert!(scene.sandbox.look(&scene.targeted[0]).await.is_up(), "it ran before, and it is not frozen");
    machines.is_clear().await;
}

#[tokio::test]
async fn machines_that_do_not_answer_or_are_one_are_refused() {
    let machines = Machines::new().await;
    let x = machines.scenes[0].file("x.yaml", &machines.experiment("pick: 1", TIMING));
    let x = x.display().to_string();
    let [one, two] = ["n1", "n2"].map(|n| machines.cluster.host(n));
    for (args, want) in [
        (vec!["--docker-host", &one, "--docker-host", "unix:///nowhere.sock"], "a machine that does not answer"),
        (vec!["--docker-host", &one, "--docker-host", &one], "are one engine"),
    ] {
        let output = machines.scenes[0].squall("state").args(["plan", &x]).args(args).output().await.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(output.status.code() == Some(3) && said.contains(want), "{said}");
    }
    let (code, said) = machines.says(&["doctor"]).await;
    assert!(code == Some(0) && ["n1: ", "n2: ", "n3: "].iter().all(|name| said.contains(name)), "{said}");
    // Without names each is called as it calls itself.
    let args = ["plan", &x, "--json", "--docker-host", &one, "--docker-host", &two];
    let output = machines.scenes[0].squall("state").args(args).output().await.expect("it runs");
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let node = plan["targeted"][0]["node"].as_str().expect("its machine");
    assert!(["n1", "n2"].contains(&node), "{node}");
}

/// A sandbox as one of several machines.
struct OfSeveral {
    sandbox: Sandbox,
    fleet: Fleet,
}

#[async_trait]
impl World for OfSeveral {
    fn engine(&self) -> &dyn Engine {
        &self.fleet
    }

    async fn instance(&mut self, name: &str) -> InstanceId {
        let there = self.sandbox.instance(name).await;
        InstanceId(InstanceId::of_node("here", &there.0))
    }

    async fn remove(&mut self, id: &InstanceId) -> bool {
        self.sandbox.remove(&InstanceId(InstanceId::on_its_node(&id.0).to_owned())).await
    }

    fn service(&self) -> String {
        self.sandbox.service()
    }
}

#[tokio::test]
async fn several_machines_do_what_every_engine_must() {
    let sandbox = Sandbox::new().await;
    let engine = Arc::new(sandbox.docker.clone());
    let fleet = Fleet::of(vec![Machine { name: "here".to_owned(), engine }]);
    conforms(&mut OfSeveral { sandbox, fleet }).await;
}
