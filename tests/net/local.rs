//! Stacks with a network of their own, in a namespace that stands for the machine. Its firewall forwards nothing, and hands
//! bridges' packets to that rule, as a machine with Docker does.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use squall::engine::local::Local;
use squall::engine::{Ability, Apply as _, Execute as _, Observe as _, Outcome, Tag};
use squall::host::process::Process;
use squall::host::store::StateDir;
use squall::model::instance::{Aspect, Instance, InstanceId, Setting, Trait};
use squall::model::network::{Flow, Network, Traffic, Treatment};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::pair::{empty, output, processes_of as pids};

const SQUALL: &str = env!("CARGO_BIN_EXE_squall");

/// A machine with a stack file on it.
struct World {
    dir: tempfile::TempDir,
}

/// What a network leaves on a machine: links with their addresses, routes, named namespaces.
fn traces() -> Vec<String> {
    ["ip -br address", "ip route show table all", "ip -6 route", "ip netns"].map(said).to_vec()
}

fn said(command: &str) -> String {
    let output = output(command).unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl World {
    fn write(&self, network: &str) {
        let serve = |service: &str, more: &str| {
            format!("[squall, serve, {service}, --name, '{{name}}', --listen, '{{address}}:{{port}}'{more}]")
        };
        let text = format!(
            "version: 1\nname: shop\nnetwork: {network}\nservices:\n  \
             store: {{ port: 8080, command: {} }}\n  shop: {{ port: 8080, replicas: 2, command: {} }}\n  \
             gateway: {{ port: 8080, command: {} }}\n",
            serve("store", ""),
            serve("shop", ", --upstream, '{store-1}:8080'"),
            serve("gateway", ", --upstream, '{shop-1}:8080,{shop-2}:8081'"),
        );
        std::fs::write(self.file(), text).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("stack.yaml")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn engine(&self) -> Local {
        let state = StateDir::find(Some(self.state())).unwrap();
        Local::open(&state, &self.file()).unwrap().with_binary(SQUALL.into())
    }

    fn squall(&self, verb: &str) -> Command {
        let mut command = Command::new(SQUALL);
        command.arg("--state").arg(self.state()).args(["stack", verb]).arg(self.file());
        command
    }
}

/// A test that fails leaves no processes either.
impl Drop for World {
    fn drop(&mut self) {
        for pid in pids(&self.state()) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

/// Runs a test on a machine of its own, and sees that it leaves nothing there.
fn on_a_machine(network: &str, test: impl AsyncFnOnce(&World) + Send) {
    empty()
        .run(|| {
            said("ip link set lo up");
            said("iptables -P FORWARD DROP");
            // Where the kernel filters bridges at all.
            let _ = std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "1");
            let before = traces();
            let world = World { dir: tempfile::tempdir().unwrap() };
            world.write(network);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                test(&world).await;
                world.engine().down().await.unwrap();
            });
            assert_eq!((traces(), pids(&world.state())), (before, Vec::new()));
            Ok(())
        })
        .unwrap();
}

/// Kills every process of a stack, and waits until they are gone.
async fn kill_all(state: &Path) {
    let killed = pids(state);
    assert!(!killed.is_empty());
    for pid in &killed {
        assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    }
    for pid in killed {
        // With all its threads, which the state of its first one does not tell.
        while Process::open(pid.try_into().unwrap()).unwrap().is_some_and(|p| p.is_alive()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What an HTTP service answers; at once, or not at all.
async fn get(address: &str, path: &str) -> String {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    };
    tokio::time::timeout(Duration::from_secs(2), ask).await.expect("an answer").unwrap()
}

async fn look(engine: &Local, name: &str) -> Instance {
    engine.look(&InstanceId(name.into())).await.unwrap().expect("the instance")
}

#[test]
fn processes_reach_each_other_by_address_and_the_machine_them() {
    on_a_machine("10.213.7.0/24", async |world| {
        let engine = world.engine();
        assert_eq!(engine.up().await.unwrap().len(), 4);
        let told: Vec<_> = engine.observe().await.unwrap();
        let told: Vec<_> = told.iter().map(|i| (i.name.as_str(), i.addresses[0].ip.to_string())).collect();
        let expected = [("gateway-1", 5), ("shop-1", 3), ("shop-2", 4), ("store-1", 2)];
        assert_eq!(told, expected.map(|(name, n)| (name, format!("10.213.7.{n}"))));
        assert!(!look(&engine, "shop-1").await.traits.contains(&Trait::HostNetwork));

        let answer = get("10.213.7.5:8080", "/checkout").await;
        assert!(answer.contains("200 OK") && answer.contains("store-1"), "{answer}");

        let command = ["ip", "-4", "-br", "address"].map(str::to_owned);
        let ran = engine.exec("shop-2", &command, Duration::from_secs(5)).await.unwrap().stdout;
        assert!(ran.contains("10.213.7.4/24") && ran.contains("127.0.0.1/8") && !ran.contains("sqb"), "{ran}");
        assert_eq!(engine.up().await.unwrap(), [] as [&str; 0], "nothing is missing");
    });
}

#[test]
fn a_restart_keeps_the_address_and_peers_reach_it_at_once() {
    on_a_machine("10.213.7.0/24", async |world| {
        let engine = world.engine();
        engine.up().await.unwrap();
        let before = look(&engine, "store-1").await;
        assert!(
            get("10.213.7.5:8080", "/checkout").await.contains("200 OK"),
            "everybody knows the store's address now"
        );
        for _ in 0..5 {
            let restarted = Setting::Restarted { timeout: Duration::from_secs(5) };
            let tag = Tag { run: "test".into(), change: 0 };
            assert_eq!(engine.set(&tag, &before.id, &restarted).await.unwrap(), Outcome::Done);
            assert!(get("10.213.7.5:8080", "/checkout").await.contains("200 OK"));
        }
        let after = look(&engine, "store-1").await;
        assert_ne!(after.epoch, before.epoch);
        assert_eq!(after.addresses, before.addresses);
    });
}

#[test]
fn whatever_is_killed_and_removed_by_hand_down_clears_the_rest() {
    on_a_machine("10.213.7.0/24", async |world| {
        let before = traces();
        let engine = world.engine();
        engine.up().await.unwrap();
        kill_all(&world.state()).await;
        assert_eq!(engine.down().await.unwrap(), 0);
        assert_eq!(traces(), before);

        engine.up().await.unwrap();
        kill_all(&world.state()).await;
        std::fs::remove_dir_all(world.state()).unwrap();
        assert_ne!(traces(), before);
        engine.down().await.unwrap();
        assert_eq!(traces(), before);
    });
}

#[test]
fn the_next_up_takes_over_what_is_left_and_follows_the_file() {
    on_a_machine("10.213.7.0/24", async |world| {
        world.engine().up().await.unwrap();
        let link =
            said("ip -br link").lines().find_map(|l| l.strip_prefix("sqb")?.split('@').next().map(str::to_owned));
        said(&format!("ip link del sqb{}", link.unwrap()));
        world.write("10.213.8.0/28");
        let engine = world.engine();
        assert_eq!(engine.up().await.unwrap().len(), 4, "all have other addresses");
        assert!(get("10.213.8.5:8080", "/checkout").await.contains("200 OK"));
        assert!(!said("ip route").contains("10.213.7"));

        let text = std::fs::read_to_string(world.file()).unwrap();
        let ports =
            text.replace("store: { port: 8080", "store: { port: 8090").replace("{store-1}:8080", "{store-1}:8090");
        let ports = ports.replace("shop: { port: 8080", "shop: { port: 8081").replace("{shop-2}:8081", "{shop-2}:8082");
        let ports = ports.replace("{shop-1}:8080", "{shop-1}:8081").replace("network: 10.213.8.0/28\n", "");
        std::fs::write(world.file(), ports).unwrap();
        let engine = world.engine();
        assert_eq!(engine.up().await.unwrap().len(), 4);
        assert!(get("127.0.0.1:8080", "/checkout").await.contains("200 OK"));
        assert!(look(&engine, "shop-1").await.traits.contains(&Trait::HostNetwork));
        assert!(!said("ip -br link").contains("sqb"), "nobody needs it any more");
    });
}

#[test]
fn a_network_that_is_somebodys_is_refused_and_so_is_one_without_root() {
    on_a_machine("10.213.0.0/16", async |world| {
        said("ip link add other type veth peer name rehto");
        said("ip address add 10.213.7.9/24 dev other");
        said("ip link set other up");
        let before = traces();
        let refused = world.squall("up").output().unwrap();
        let why = String::from_utf8(refused.stderr).unwrap();
        assert!(why.contains("own network 10.213.0.0/16: it overlaps with 10.213.7."), "{why}");
        assert!(why.contains("on other"), "{why}");
        assert_eq!((traces(), world.state().exists()), (before, false));
        said("ip link del other");

        std::fs::set_permissions(world.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let nobody = 65534;
        let refused = world.squall("up").uid(nobody).gid(nobody).output().unwrap();
        let why = String::from_utf8(refused.stderr).unwrap();
        assert!(why.contains("it takes root") && why.contains("leave `network` out"), "{why}");
    });
}

#[test]
fn traffic_of_one_is_disturbed_and_that_of_the_others_is_not() {
    on_a_machine("10.213.7.0/24", async |world| {
        let engine = world.engine();
        engine.up().await.unwrap();
        let store = look(&engine, "store-1").await;
        let everything: Traffic = serde_json::from_str(r#"{"direction":"ingress"}"#).unwrap();
        let network =
            Network { flows: vec![Flow { traffic: everything, treatment: Treatment::Drop }], mechanism: None, seed: 1 };
        let mark = network.mark();
        let to = Setting::Network(Box::new(network));
        let Ability::As(to) = engine.ability(&store, &to) else { panic!("{:?}", engine.ability(&store, &to)) };
        let tag = Tag { run: format!("local-{}", std::process::id()), change: 0 };
        assert_eq!(engine.set(&tag, &store.id, &to).await.unwrap(), Outcome::Done);
        assert_eq!(engine.set(&tag, &store.id, &to).await.unwrap(), Outcome::Already);

        let answer = get("10.213.7.5:8080", "/checkout").await;
        assert!(!answer.contains("200 OK"), "the shops do not reach the store: {answer}");
        let during = engine.observe().await.unwrap();
        let marked: Vec<_> = during
            .iter()
            .filter(|i| i.settings[&Aspect::Network] != Setting::Mark(Aspect::Network, None))
            .map(|i| (i.name.as_str(), &i.settings[&Aspect::Network], i.counted.unwrap().dropped > 0))
            .collect();
        assert_eq!(marked, [("store-1", &Setting::Mark(Aspect::Network, Some(mark)), true)]);

        let untouched = Setting::Mark(Aspect::Network, None);
        assert_eq!(engine.set(&tag, &store.id, &untouched).await.unwrap(), Outcome::Done);
        assert_eq!(look(&engine, "store-1").await.settings, store.settings);
        assert!(get("10.213.7.5:8080", "/checkout").await.contains("200 OK"));

        engine.set(&tag, &store.id, &to).await.unwrap();
        let restarted = Setting::Restarted { timeout: Duration::from_secs(5) };
        engine.set(&tag, &store.id, &restarted).await.unwrap();
        assert_eq!(look(&engine, "store-1").await.settings[&Aspect::Network], untouched, "it went with the namespace");
        assert_eq!(engine.set(&tag, &store.id, &untouched).await.unwrap(), Outcome::Already);
    });
}
