//! A real load balancer that looks names up at its start alone: a server that comes back with another address is down for it for ever,
//! and that is told. Takes Debian's package `haproxy`; without it this test fails, it is not skipped. `SQUALL_TEST_ROUNDS=5` makes it
//! 20 runs.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bollard::models::{HostConfig, NetworkCreateRequest};
use bollard::query_parameters::RestartContainerOptionsBuilder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::harness::{Sandbox, Spec};
use crate::scene::Scene;

const HAPROXY: &str = "/usr/sbin/haproxy";
const SERVERS: usize = 5;

/// What takes all servers away at once, and what their target is.
const FAULTS: [(&str, &str); 4] = [
    ("kill: {}", "pick: all"),
    ("stop: { timeout: 1s }", "pick: all"),
    ("restart: { timeout: 1s }", "pick: all"),
    ("zone-outage: { mode: power }", "zone: a"),
];

#[tokio::test]
async fn a_balancer_that_resolves_at_its_start_serves_all_again() {
    let mut sandbox = Sandbox::new().await;
    let network = sandbox.name("net");
    let request = NetworkCreateRequest { name: network.clone(), ..NetworkCreateRequest::default() };
    sandbox.api.create_network(request).await.expect("a network");
    let image =
        sandbox.docker.image_of(Path::new(HAPROXY), &sandbox.name("haproxy")).await.expect("the package haproxy");
    sandbox.extra_images.push(image.clone());
    let host = HostConfig { network_mode: Some(network), ..HostConfig::default() };
    let spec = Spec { host: host.clone(), labels: vec![("squall.zone", "a".to_owned())], ..Spec::default() };
    let scene = Box::pin(Scene::in_sandbox(sandbox, SERVERS, spec)).await;

    let names: Vec<String> = (1..=SERVERS).map(|n| scene.sandbox.name(&format!("targeted-{n}"))).collect();
    let servers: Vec<String> =
        names.iter().map(|name| format!("  server {name} {name}:8080 check inter 100ms\n")).collect();
    let config = format!(
        "defaults\n  mode http\n  timeout connect 1s\n  timeout client 5s\n  timeout server 5s\n\
         listen shop\n  bind :8000\n  http-response set-header X-Server %s\n{}",
        servers.concat()
    );
    std::fs::create_dir(scene.dir.path().join("haproxy")).expect("a directory");
    let file = scene.file("haproxy/haproxy.cfg", &config);
    let bind = format!("{}:/haproxy", file.parent().expect("a directory").display());
    let host = HostConfig { binds: Some(vec![bind]), ..host };
    let command = ["-f", "/haproxy/haproxy.cfg"].map(str::to_owned).to_vec();
    let balancer = scene.sandbox.start("balancer", Spec { image: Some(image), command, host, ..Spec::default() }).await;
    let address = SocketAddr::new(scene.sandbox.look(&balancer).await.addresses[0].ip, 8000);
    let all: BTreeSet<String> = names.into_iter().collect();
    serves(address, &all).await;

    let rounds = std::env::var("SQUALL_TEST_ROUNDS").map_or(1, |rounds| rounds.parse().expect("a number"));
    for (fault, target) in FAULTS.into_iter().cycle().take(FAULTS.len() * rounds) {
        let before = scene.settings().await;
        let experiment = scene
            .experiment(fault, "baseline: 500ms, duration: 4s, recovery: 10s")
            .replace(
                &format!("target: {{ service: {}", scene.service),
                &format!("target: {{ service: {}, {target}", scene.service),
            )
            .replace("max-instances: 1", "max-instances: 9, max-zones: 1");
        let ended = Box::pin(scene.run(&experiment)).await;
        ended.is(0, "hypothesis-held");
        if !ended.state.readdressed.is_empty() {
            // On a busy machine starts can overtake each other. Then it is said, and for whom it matters.
            let text = ended.report["text"].as_str().expect("a text");
            assert!(text.contains("has another address than before") && text.contains("balancer"), "{fault}: {text}");
            let restart = RestartContainerOptionsBuilder::new().t(1).build();
            scene.sandbox.api.restart_container(&balancer.0, Some(restart)).await.expect("it restarts");
        }
        serves(address, &all).await;
        scene.is_as(&before).await;
    }
}

/// Waits until every server has answered through the balancer.
async fn serves(address: SocketAddr, all: &BTreeSet<String>) {
    let end = Instant::now() + Duration::from_secs(30);
    let mut answered = BTreeSet::new();
    while &answered != all {
        assert!(Instant::now() < end, "only {answered:?} answered");
        match answers(address).await {
            Ok(Some(server)) => drop(answered.insert(server)),
            _ => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The server that has answered well.
async fn answers(address: SocketAddr) -> std::io::Result<Option<String>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /stock HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let server = answer.lines().find_map(|line| line.strip_prefix("x-server: "));
    Ok(server.filter(|_| answer.starts_with("HTTP/1.1 2")).map(str::to_owned))
}
