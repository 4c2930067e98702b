//! Connections that a real server has room for, used up, and free again at once.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use squall::engine::{Apply as _, Outcome};
use squall::model::effect::Effect;
use squall::model::instance::{Aspect, Setting};
use squall::model::stressor::{HeldConnections, Speaks, StressSpec};

use crate::harness::{Sandbox, Spec};
use crate::load::{loads, none, stressor};
use crate::runs::published;
use crate::scene::{Scene, eventually, lonely};

/// Debian's package redis-server.
const REDIS: &str = "/usr/bin/redis-server";
const PORT: u16 = 6379;

fn holding(count: u32, port: u16) -> Setting {
    stressor(StressSpec::Connections(HeldConnections { count, port, speaks: Speaks::Nothing }))
}

/// What Redis says to one more client.
fn redis_says(at: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"PING\r\n")?;
    let mut said = [0; 128];
    let n = stream.read(&mut said)?;
    Ok(String::from_utf8_lossy(&said[..n]).trim().to_owned())
}

#[tokio::test]
async fn a_server_that_is_full_says_so_and_has_room_again_at_once() {
    let mut sandbox = Sandbox::new().await;
    let image =
        sandbox.docker.image_of(Path::new(REDIS), &sandbox.name("redis")).await.expect("the package redis-server");
    sandbox.extra_images.push(image.clone());
    let command = ["--maxclients", "20", "--save", "", "--protected-mode", "no"].map(str::to_owned).to_vec();
    let id = sandbox.start("redis", Spec { image: Some(image), command, ..Spec::default() }).await;
    let before = sandbox.look(&id).await;
    let at = SocketAddr::new(before.addresses[0].ip, PORT);
    let says = |what: &'static str| async move {
        eventually(what, || async { redis_says(at).is_ok_and(|said| said.contains(what)).then_some(()) }).await;
    };
    says("PONG").await;

    // Some of its room, and all of it.
    for (n, count, held, said) in [(0, 10, 10, "PONG"), (1, 50, 20, "max number of clients reached")] {
        let (tag, to) = (sandbox.tag(n), holding(count, PORT));
        assert_eq!(sandbox.docker.set(&tag, &id, &to).await.unwrap(), Outcome::Done);
        assert_eq!(sandbox.docker.set(&tag, &id, &to).await.unwrap(), Outcome::Already);
        let is_on = |i: &squall::model::instance::Instance| {
            Some(&i.settings[&Aspect::HeldConnections]) == to.observed_as().as_ref()
                && i.counters.as_ref().and_then(|c| c.connections_held).is_some_and(|most| most >= held)
        };
        sandbox.until(&id, "held", is_on).await;
        says(said).await;
        assert_eq!(loads(&tag).len(), 1);
        assert_eq!(sandbox.docker.set(&tag, &id, &none(Aspect::HeldConnections)).await.unwrap(), Outcome::Done);
        assert_eq!(loads(&tag).len(), 0);
        says("PONG").await;
        assert_eq!(sandbox.look(&id).await.settings, before.settings);
    }
    let nowhere = sandbox.docker.set(&sandbox.tag(2), &id, &holding(1, 1)).await.unwrap_err().to_string();
    assert!(nowhere.contains("nothing can be connected to at its port 1"), "{nowhere}");
    assert_eq!(sandbox.look(&id).await.settings, before.settings, "nothing of it stays");
}

#[tokio::test]
async fn a_run_tells_how_many_were_held_and_one_that_is_killed_holds_none() {
    let scene = Scene::of(1, lonely()).await;
    let (spec, port) = published();
    scene.sandbox.start("server", spec).await;
    let before = scene.settings().await;
    let check = format!("stock: {{ http: 'http://127.0.0.1:{port}/stock', rate: 20/s, expect: {{ success: 90% }} }}");
    let fault = "connections: { port: 8080, hold: 50%, max: 60 }";
    let ended = scene.run(&scene.checked(&check, fault, "baseline: 500ms, duration: 1s, recovery: 5s")).await;
    ended.is(0, "hypothesis-held").rolled_back_by("runner");
    let effect = ended.state.changes[0].effect.as_ref().expect("an effect");
    let has = |evidence: &str| evidence == "30 connections held to its port 8080";
    assert!(matches!(effect, Effect::Affected { evidence } if has(evidence)), "{effect:?}");
    scene.is_as(&before).await;

    let endless = scene.checked(&check, fault, "baseline: 500ms, duration: 30s, recovery: 5s");
    let mut run = scene.start_in("another", &endless);
    let state = run.until_on().await;
    let tag = squall::engine::Tag {
        run: state.started.as_ref().expect("a start").run.clone(),
        change: state.changes[0].change.n,
    };
    assert_eq!(loads(&tag).len(), 1);
    run.signal(rustix::process::Signal::KILL);
    eventually("none is held", || async { loads(&tag).is_empty().then_some(()) }).await;
    run.ends().await;
    scene.is_as(&before).await;
}
