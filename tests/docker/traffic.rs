//! Disturbances of traffic on real containers: they are felt, they can be rolled back by anybody, and the namespace is as it
//! was before.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use bollard::models::HostConfig;
use bollard::query_parameters::{RestartContainerOptions, StopContainerOptionsBuilder};
use squall::engine::{Ability, Apply as _, EngineError, Observe as _, Outcome};
use squall::model::instance::sharing::{Resource, Side};
use squall::model::instance::{Aspect, InstanceId, Setting};
use squall::model::network::{
    Bandwidth, Chance, Direction, Flow, Loss, Mechanism, Network, Peer, Peers, Protocol, Shape, Traffic, Treatment,
};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::harness::{Sandbox, Spec};

/// Long enough for a SYN that is sent again after a second to get through where nothing stops it.
const SILENCE: Duration = Duration::from_millis(1500);

fn network(flows: Vec<Flow>) -> Network {
    Network { flows, mechanism: None, seed: 1 }
}

fn all(treatment: Treatment) -> Network {
    network(vec![Flow { traffic: Traffic::all(Direction::Both), treatment }])
}

fn late(delay: Duration) -> Network {
    let shape = Shape { delay, ..Shape::default() };
    let traffic = Traffic::all(Direction::Egress);
    let flow = Flow { traffic, treatment: Treatment::Shape(Box::new(shape)) };
    // The one mechanism that every kernel has on which these tests run.
    Network { mechanism: Some(Mechanism::Userspace), ..network(vec![flow]) }
}

fn set(network: &Network) -> Setting {
    Setting::Network(Box::new(network.clone()))
}

/// Everything that can be seen of a namespace's network from outside.
pub(crate) async fn namespace(sandbox: &Sandbox, id: &InstanceId) -> String {
    let pid = sandbox.pid(id).await.to_string();
    let look = |words: &[&str]| {
        let output = Command::new("nsenter").args(["-t", &pid, "-n"]).args(words).output().expect("nsenter");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    [
        look(&["ip", "-o", "link"]),
        look(&["ip", "-o", "addr"]),
        look(&["ip", "route"]),
        look(&["tc", "qdisc"]),
        look(&["tc", "filter", "show", "dev", "eth0", "egress"]),
        look(&["tc", "filter", "show", "dev", "eth0", "ingress"]),
        look(&["nft", "--stateless", "list", "ruleset"]),
    ]
    .concat()
}

/// Where it answers HTTP, as soon as it does.
async fn address(sandbox: &Sandbox, id: &InstanceId) -> SocketAddr {
    let ip: IpAddr = sandbox.look(id).await.addresses.first().expect("an address").ip;
    let address = SocketAddr::new(ip, 8080);
    let begin = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it never listens");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    address
}

/// How long a connection takes; nothing where it is not made in time.
async fn connects(to: SocketAddr, within: Duration) -> Option<std::io::Result<Duration>> {
    let begin = Instant::now();
    timeout(within, TcpStream::connect(to)).await.ok().map(|c| c.map(|_| begin.elapsed()))
}

async fn mark(sandbox: &Sandbox, id: &InstanceId) -> Setting {
    sandbox.look(id).await.settings.get(&Aspect::Network).expect("it is observed").clone()
}

const NOTHING: Setting = Setting::Mark(Aspect::Network, None);

#[tokio::test]
async fn a_delay_is_felt_and_rolled_back() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("target", Spec::default()).await;
    let to = address(&sandbox, &id).await;
    let before = namespace(&sandbox, &id).await;
    assert_eq!(mark(&sandbox, &id).await, NOTHING);
    let network = late(Duration::from_millis(150));
    let setting = set(&network);

    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &setting).await.unwrap(), Outcome::Done);
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &setting).await.unwrap(), Outcome::Already);
    assert_eq!(mark(&sandbox, &id).await, Setting::Mark(Aspect::Network, Some(network.mark())));
    let took = connects(to, Duration::from_secs(10)).await.expect("in time").unwrap();
    assert!(took >= Duration::from_millis(150), "{took:?}");
    let counted = sandbox.look(&id).await.counted.expect("it is counted");
    assert!(counted.packets > 0 && counted.dropped == 0, "{counted:?}");

    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &NOTHING).await.unwrap(), Outcome::Done);
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &NOTHING).await.unwrap(), Outcome::Already);
    assert_eq!(mark(&sandbox, &id).await, NOTHING);
    assert_eq!(namespace(&sandbox, &id).await, before);
    connects(to, Duration::from_secs(10)).await.expect("in time").unwrap();
}

#[tokio::test]
async fn another_setting_takes_the_place_of_an_earlier_one() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("target", Spec::default()).await;
    let before = namespace(&sandbox, &id).await;
    let (first, second) = (all(Treatment::Drop), late(Duration::from_millis(20)));
    for (change, network) in [(0, &first), (1, &second), (2, &first)] {
        assert_eq!(sandbox.docker.set(&sandbox.tag(change), &id, &set(network)).await.unwrap(), Outcome::Done);
        assert_eq!(mark(&sandbox, &id).await, Setting::Mark(Aspect::Network, Some(network.mark())));
    }
    for change in [2, 1, 0] {
        sandbox.docker.set(&sandbox.tag(change), &id, &NOTHING).await.unwrap();
    }
    assert_eq!(namespace(&sandbox, &id).await, before);
}

#[tokio::test]
async fn what_is_cut_off_is_silent_and_what_is_refused_says_so() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("target", Spec::default()).await;
    let to = address(&sandbox, &id).await;
    let before = namespace(&sandbox, &id).await;
    connects(to, SILENCE).await.expect("it answers").unwrap();

    sandbox.docker.set(&sandbox.tag(0), &id, &set(&all(Treatment::Drop))).await.unwrap();
    assert!(connects(to, SILENCE).await.is_none(), "cut off");
    let counted = sandbox.look(&id).await.counted.expect("it is counted");
    assert!(counted.dropped > 0 && counted.dropped == counted.packets, "{counted:?}");

    sandbox.docker.set(&sandbox.tag(0), &id, &set(&all(Treatment::Reject))).await.unwrap();
    let refused = connects(to, Duration::from_secs(10)).await.expect("at once").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{refused}");

    sandbox.docker.set(&sandbox.tag(0), &id, &NOTHING).await.unwrap();
    connects(to, SILENCE).await.expect("it answers again").unwrap();
    assert_eq!(namespace(&sandbox, &id).await, before);
}

#[tokio::test]
async fn only_what_is_meant_is_disturbed() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("target", Spec::default()).await;
    let to = address(&sandbox, &id).await;
    let gateway = sandbox.look(&id).await.addresses[0].ip;
    let others = [
        Traffic { protocol: Some(Protocol::Udp), ..Traffic::all(Direction::Both) },
        Traffic { local_ports: vec!["8081-65535".parse().unwrap()], ..Traffic::all(Direction::Both) },
        // Itself is nobody it talks with over a wire.
        Traffic { peers: Peers::These(vec![Peer::Addresses(gateway.into())]), ..Traffic::all(Direction::Both) },
        Traffic { peers: Peers::These(Vec::new()), ..Traffic::all(Direction::Both) },
    ];
    for (n, traffic) in others.into_iter().enumerate() {
        let told = format!("{traffic}");
        let network = network(vec![Flow { traffic, treatment: Treatment::Drop }]);
        sandbox.docker.set(&sandbox.tag(n), &id, &set(&network)).await.unwrap();
        connects(to, SILENCE).await.unwrap_or_else(|| panic!("{told}: it is not meant")).unwrap();
    }
    let meant = Traffic { local_ports: vec!["8080".parse().unwrap()], ..Traffic::all(Direction::Ingress) };
    let network = network(vec![Flow { traffic: meant, treatment: Treatment::Drop }]);
    sandbox.docker.set(&sandbox.tag(9), &id, &set(&network)).await.unwrap();
    assert!(connects(to, SILENCE).await.is_none(), "this is meant");
}

#[tokio::test]
async fn a_frozen_container_is_disturbed_as_well() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("target", Spec::default()).await;
    sandbox.docker.set(&sandbox.tag(0), &id, &Setting::Paused(true)).await.unwrap();
    let network = all(Treatment::Drop);
    assert_eq!(sandbox.docker.set(&sandbox.tag(1), &id, &set(&network)).await.unwrap(), Outcome::Done);
    assert_eq!(mark(&sandbox, &id).await, Setting::Mark(Aspect::Network, Some(network.mark())));
    assert_eq!(sandbox.docker.set(&sandbox.tag(1), &id, &NOTHING).await.unwrap(), Outcome::Done);
}

#[tokio::test]
async fn a_disturbance_ends_with_the_life() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("target", Spec::default()).await;
    let network = late(Duration::from_millis(50));
    sandbox.docker.set(&sandbox.tag(0), &id, &set(&network)).await.unwrap();
    sandbox.api.restart_container(&id.0, None::<RestartContainerOptions>).await.unwrap();
    assert_eq!(mark(&sandbox, &id).await, NOTHING);
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &NOTHING).await.unwrap(), Outcome::Already);

    sandbox.docker.set(&sandbox.tag(1), &id, &set(&network)).await.unwrap();
    let at_once = StopContainerOptionsBuilder::new().t(0).build();
    sandbox.api.stop_container(&id.0, Some(at_once)).await.unwrap();
    assert_eq!(mark(&sandbox, &id).await, NOTHING);
    assert_eq!(sandbox.docker.set(&sandbox.tag(1), &id, &NOTHING).await.unwrap(), Outcome::Already);
    let refused = sandbox.docker.set(&sandbox.tag(1), &id, &set(&network)).await.unwrap_err();
    assert!(matches!(&refused, EngineError::Refused { why, .. } if why.contains("not running")), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_nothing_of_it_stays() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("target", Spec::default()).await;
    let before = namespace(&sandbox, &id).await;
    let elsewhere = Traffic { network: Some("nowhere".to_owned()), ..Traffic::all(Direction::Both) };
    let first = Flow { traffic: Traffic::all(Direction::Both), treatment: Treatment::Drop };
    let second = Flow { traffic: elsewhere, treatment: Treatment::Drop };
    let refused = sandbox.docker.set(&sandbox.tag(0), &id, &set(&network(vec![first, second]))).await.unwrap_err();
    assert!(refused.to_string().contains("nowhere"), "{refused}");
    assert_eq!(namespace(&sandbox, &id).await, before, "the first half is rolled back");
    assert_eq!(mark(&sandbox, &id).await, NOTHING);

    // Somebody else's arrangements stay as they are.
    let pid = sandbox.pid(&id).await.to_string();
    let tc = |words: &[&str]| Command::new("nsenter").args(["-t", &pid, "-n", "tc"]).args(words).status().unwrap();
    assert!(tc(&["qdisc", "add", "dev", "eth0", "clsact"]).success());
    let foreign = namespace(&sandbox, &id).await;
    let slow = Shape { bandwidth: Some(Bandwidth { rate: 1_000_000, burst: 0 }), ..Shape::default() };
    let slow = all(Treatment::Shape(Box::new(slow)));
    let refused = sandbox.docker.set(&sandbox.tag(0), &id, &set(&slow)).await.unwrap_err();
    assert!(refused.to_string().contains("eth0"), "{refused}");
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &NOTHING).await.unwrap(), Outcome::Already);
    assert_eq!(namespace(&sandbox, &id).await, foreign);
}

#[tokio::test]
async fn on_one_of_two_networks_the_other_is_left_alone() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("target", Spec::default()).await;
    let first = address(&sandbox, &id).await;
    let other = sandbox.name("other");
    sandbox.docker.make_network(&other, ("squall.test", &sandbox.prefix)).await.expect("a network");
    let request = bollard::models::NetworkConnectRequest { container: id.0.clone(), endpoint_config: None };
    sandbox.api.connect_network(&other, request).await.expect("it joins");
    let before = namespace(&sandbox, &id).await;
    let addresses = sandbox.look(&id).await.addresses;
    let second = addresses.iter().find(|a| a.network == other).expect("an address there").ip;
    let second = SocketAddr::new(second, 8080);
    connects(second, SILENCE).await.expect("it answers").unwrap();

    let traffic = Traffic { network: Some(other.clone()), ..Traffic::all(Direction::Both) };
    for treatment in [Treatment::Drop, Treatment::Reject] {
        let told = treatment.to_string();
        let network = network(vec![Flow { traffic: traffic.clone(), treatment }]);
        sandbox.docker.set(&sandbox.tag(0), &id, &set(&network)).await.unwrap();
        assert!(!matches!(connects(second, SILENCE).await, Some(Ok(_))), "{told} there");
        connects(first, SILENCE).await.expect("it answers").unwrap();
    }
    sandbox.docker.set(&sandbox.tag(0), &id, &NOTHING).await.unwrap();
    connects(second, SILENCE).await.expect("it answers again").unwrap();
    assert_eq!(namespace(&sandbox, &id).await, before);
}

#[tokio::test]
async fn a_lost_share_is_lost_in_the_kernel_too() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("target", Spec::default()).await;
    let loss = Loss::Random(Chance { probability: 1.0, correlation: 0.0 });
    let network = all(Treatment::Shape(Box::new(Shape { loss: Some(loss), ..Shape::default() })));
    let target = sandbox.docker.look(&id).await.unwrap().expect("it runs");
    assert_eq!(
        sandbox.docker.ability(&target, &set(&network)),
        Ability::As(Box::new(set(&network))),
        "no mechanism is needed"
    );
    let to = address(&sandbox, &id).await;
    sandbox.docker.set(&sandbox.tag(0), &id, &set(&network)).await.unwrap();
    assert!(connects(to, SILENCE).await.is_none());
}

#[tokio::test]
async fn who_shares_a_network_is_known() {
    let sandbox = Sandbox::new().await;
    let host = sandbox.start("host", Spec::default()).await;
    let mode = Some(format!("container:{}", host.0));
    let guest = sandbox
        .start(
            "guest",
            Spec {
                command: ["serve", "store", "--listen", "0.0.0.0:8081"].map(str::to_owned).to_vec(),
                host: HostConfig { network_mode: mode, ..HostConfig::default() },
                ..Spec::default()
            },
        )
        .await;
    let all = sandbox.docker.observe().await.unwrap();
    let with = |id: &InstanceId| {
        let shares = &all.iter().find(|i| i.id == *id).unwrap().shares;
        shares.iter().map(|s| (s.what, s.side, s.name.clone())).collect::<Vec<_>>()
    };
    assert_eq!(with(&guest), [(Resource::Network, Side::Lender, sandbox.name("host"))]);
    assert_eq!(with(&host), [(Resource::Network, Side::Borrower, sandbox.name("guest"))]);
}
