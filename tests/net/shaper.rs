//! The shaper as a process of its own: what packets meet on a wire between two namespaces.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use squall::engine::net::userspace::{self, ShaperSetup, VARIABLE};
use squall::engine::net::{Laid, lay_here};
use squall::host::net::namespace::Namespace;
use squall::host::net::nft::Lease;
use squall::host::process::with_variable;
use squall::model::network::{
    Chance, Direction, Flow, Loss, Mechanism, Network, Ports, Protocol, Shape, Traffic, Treatment,
};

use super::pair::{FAR, FAR6, LEASES, NEAR, Pair, ping, told};

/// A shaper's tag, gone with the value, whatever became of the test.
pub(crate) struct Tag(pub String);

impl Tag {
    pub(crate) fn new() -> Self {
        Self(format!("test-{:016x}", rand::random::<u64>()))
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        for process in with_variable(VARIABLE, &self.0) {
            let _ = process.signal(Signal::KILL);
        }
    }
}

pub(crate) fn network(flows: impl IntoIterator<Item = (Traffic, Treatment)>) -> Network {
    let flows = flows.into_iter().map(|(traffic, treatment)| Flow { traffic, treatment }).collect();
    Network { flows, mechanism: Some(Mechanism::Userspace), seed: 7 }
}

pub(crate) fn shape(shape: Shape) -> Treatment {
    Treatment::Shape(Box::new(shape))
}

pub(crate) fn delay(milliseconds: u64) -> Shape {
    Shape { delay: Duration::from_millis(milliseconds), ..Shape::default() }
}

pub(crate) async fn lay(namespace: &Namespace, tag: &Tag, network: &Network) {
    lay_by(Path::new(env!("CARGO_BIN_EXE_squall")), namespace, tag, network).await;
}

/// The same with a program of its own.
pub(crate) async fn lay_by(program: &Path, namespace: &Namespace, tag: &Tag, network: &Network) {
    LEASES.keep(laid_by(program, namespace, tag, network).await, std::process::id());
}

/// Lays it, and leaves what becomes of its lease to the test.
pub(crate) async fn laid_by(program: &Path, namespace: &Namespace, tag: &Tag, network: &Network) -> Lease {
    let mark = network.mark();
    let setup =
        ShaperSetup { program, namespace, tag: &tag.0, change: &tag.0, holder: std::process::id(), mark: &mark };
    match namespace.run(|| lay_here(&mark, network, |_, _| false)).unwrap() {
        Laid::Done(lease) => lease,
        Laid::Lacks(rules) => userspace::lay(&setup, network, rules).await.unwrap(),
    }
}

/// The third fastest of eleven: a machine that is busy with something else makes packets late, and none early.
fn typical(mut round_trip: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<_> = (0..11).map(|_| round_trip()).collect();
    times.sort();
    times[2]
}

/// Round trips over a conversation with somebody who says everything back: UDP, then TCP.
fn round_trips(pair: &Pair) -> (Duration, Duration) {
    let (listener, echo) =
        pair.far.run(|| Ok((TcpListener::bind(format!("{FAR}:7"))?, UdpSocket::bind(format!("{FAR}:7"))?))).unwrap();
    let (stream, udp) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).unwrap();
            }
        });
        scope.spawn(|| {
            let mut buffer = [0; 100];
            while let Ok((length, from)) = echo.recv_from(&mut buffer) {
                echo.send_to(&buffer[..length], from).unwrap();
                if length == 2 {
                    break;
                }
            }
        });
        pair.near
            .run(|| {
                let mut stream = TcpStream::connect(format!("{FAR}:7"))?;
                stream.set_nodelay(true)?;
                let udp = UdpSocket::bind(format!("{NEAR}:0"))?;
                udp.connect(format!("{FAR}:7"))?;
                udp.set_read_timeout(Some(Duration::from_secs(3)))?;
                let over_udp = typical(|| {
                    let start = Instant::now();
                    udp.send(b"?").unwrap();
                    udp.recv(&mut [0; 2]).unwrap();
                    start.elapsed()
                });
                udp.send(b"!!")?;
                let over_tcp = typical(|| {
                    let start = Instant::now();
                    stream.write_all(b"?").unwrap();
                    stream.read_exact(&mut [0]).unwrap();
                    start.elapsed()
                });
                Ok((over_tcp, over_udp))
            })
            .unwrap()
    });
    (udp, stream)
}

fn assert_about(what: &str, time: Duration, expected: u64) {
    let expected = Duration::from_millis(expected);
    assert!(time >= expected && time < expected + Duration::from_millis(5), "{what}: {time:?} for {expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_is_what_was_asked_for_and_all_of_it_is_rolled_back() {
    let pair = Pair::new();
    let before = told(&pair.near, "nft list ruleset");
    for (direction, milliseconds, expected) in
        [(Direction::Egress, 10, 10), (Direction::Ingress, 100, 100), (Direction::Both, 10, 20)]
    {
        let tag = Tag::new();
        let network = network([(Traffic::all(direction), shape(delay(milliseconds)))]);
        lay(&pair.near, &tag, &network).await;
        let icmp = pair.near.run(|| Ok(typical(|| ping(FAR).unwrap()))).unwrap();
        let icmp6 = pair.near.run(|| Ok(typical(|| ping(FAR6).unwrap()))).unwrap();
        let (udp, tcp) = round_trips(&pair);
        for (what, time) in [("icmp", icmp), ("icmp6", icmp6), ("udp", udp), ("tcp", tcp)] {
            assert_about(&format!("{what}, {direction:?}"), time, expected);
        }
        let own = pair.near.run(|| Ok(typical(|| ping("127.0.0.1").unwrap()))).unwrap();
        assert!(own < Duration::from_millis(9), "{own:?}");
        let counted = userspace::counted(&pair.near, &tag.0, &network.mark()).unwrap();
        let flows = counted.flows;
        assert!(flows[&0] > 20, "{flows:?}");
        userspace::clear(&pair.near, &tag.0).await.unwrap();
        assert_eq!(with_variable(VARIABLE, &tag.0).len(), 0);
        assert_eq!(told(&pair.near, "nft list ruleset"), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_meant_is_not_touched_and_the_first_flow_decides() {
    let pair = Pair::new();
    let tag = Tag::new();
    let to =
        |port| Traffic { remote_ports: vec![Ports { first: port, last: port }], ..Traffic::all(Direction::Egress) };
    let icmp = Traffic { protocol: Some(Protocol::Icmp), ..Traffic::all(Direction::Egress) };
    let network = network([
        (to(7), shape(delay(1))),
        (Traffic { protocol: Some(Protocol::Tcp), ..to(81) }, Treatment::Reject),
        (icmp, shape(delay(50))),
        (to(7), shape(delay(500))),
    ]);
    lay(&pair.near, &tag, &network).await;
    let (udp, tcp) = round_trips(&pair);
    assert_about("udp", udp, 1);
    assert_about("tcp", tcp, 1);
    assert_about("icmp", pair.near.run(|| Ok(typical(|| ping(FAR).unwrap()))).unwrap(), 50);
    let listeners = pair.far.run(|| Ok([81, 82].map(|port| TcpListener::bind((FAR, port)).unwrap()))).unwrap();
    pair.near
        .run(|| {
            let took = typical(|| {
                let start = Instant::now();
                assert_eq!(TcpStream::connect((FAR, 81)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
                TcpStream::connect((FAR, 82)).unwrap();
                start.elapsed()
            });
            assert!(took < Duration::from_millis(50), "another flow's delay: {took:?}");
            Ok(())
        })
        .unwrap();
    drop(listeners);
    userspace::clear(&pair.near, &tag.0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_shaper_is_killed_traffic_flows_at_once() {
    let pair = Pair::new();
    let tag = Tag::new();
    let network = network([(Traffic::all(Direction::Both), shape(delay(700)))]);
    lay(&pair.near, &tag, &network).await;
    let shapers = with_variable(VARIABLE, &tag.0);
    assert_eq!(shapers.len(), 1);
    for polite in [Signal::INT, Signal::TERM, Signal::HUP] {
        shapers[0].signal(polite).unwrap();
    }
    assert!(pair.near.run(|| ping(FAR)).unwrap() >= Duration::from_millis(1400));
    shapers[0].signal(Signal::KILL).unwrap();
    assert!(shapers[0].ended_within(Duration::from_secs(5)).await.unwrap());
    assert!(pair.near.run(|| ping(FAR)).unwrap() < Duration::from_millis(700), "nothing is late");
    userspace::clear(&pair.near, &tag.0).await.unwrap();
}

/// While the process is there, the kernel gives it packets, and it gives none back.
#[tokio::test(flavor = "multi_thread")]
async fn a_shaper_that_is_held_still_is_ended_by_who_looks() {
    let pair = Pair::new();
    let tag = Tag::new();
    let network = network([(Traffic::all(Direction::Both), shape(delay(1)))]);
    lay(&pair.near, &tag, &network).await;
    let look = || userspace::counted(&pair.near, &tag.0, &network.mark()).unwrap();
    assert!(!look().lacks_shaper);
    let shapers = with_variable(VARIABLE, &tag.0);
    shapers[0].signal(Signal::STOP).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while !look().lacks_shaper {
        assert!(Instant::now() < end, "nobody notices");
    }
    assert!(shapers[0].ended_within(Duration::from_secs(5)).await.unwrap());
    assert!(pair.near.run(|| ping(FAR)).unwrap() < Duration::from_secs(1), "traffic flows");
    userspace::clear(&pair.near, &tag.0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_goes_on_when_all_is_rolled_back() {
    let pair = Pair::new();
    let tag = Tag::new();
    let network = network([(Traffic::all(Direction::Egress), shape(delay(60_000)))]);
    lay(&pair.near, &tag, &network).await;
    let hear = pair.far.run(|| UdpSocket::bind((FAR, 9))).unwrap();
    let say = pair.near.run(|| UdpSocket::bind((NEAR, 0))).unwrap();
    for number in 0..100_u8 {
        say.send_to(&[number], (FAR, 9)).unwrap();
    }
    hear.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(hear.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    userspace::clear(&pair.near, &tag.0).await.unwrap();
    let mut byte = [0];
    for number in 0..100 {
        hear.recv(&mut byte).unwrap();
        assert_eq!(byte[0], number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shaper_ends_with_its_table() {
    let pair = Pair::new();
    let tag = Tag::new();
    lay(&pair.near, &tag, &network([(Traffic::all(Direction::Both), shape(delay(1)))])).await;
    pair.near.run(squall::host::net::nft::delete_all).unwrap();
    for shaper in with_variable(VARIABLE, &tag.0) {
        assert!(shaper.ended_within(Duration::from_secs(5)).await.unwrap());
    }
}

/// How many of a number of datagrams arrive, how many of them a second time, and how many not as they were.
fn arriving(pair: &Pair, count: u32, outward: bool) -> (u32, u32, u32) {
    let (from, to, at) = if outward { (&pair.near, &pair.far, FAR) } else { (&pair.far, &pair.near, NEAR) };
    let hear = to.run(|| UdpSocket::bind((at, 9))).unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&hear, 32 << 20).unwrap();
    hear.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let say = from.run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    let (mut seen, mut arrived, mut twice, mut altered) = (vec![0_u8; count as usize], 0, 0, 0);
    let mut hear_all = |hear: &UdpSocket| {
        let mut buffer = [0; 64];
        while let Ok(length) = hear.recv(&mut buffer) {
            let number = u32::from_be_bytes(buffer[..4].try_into().unwrap());
            if length != 64 || buffer[4..] != [0x55; 60] || number >= count {
                altered += 1;
                continue;
            }
            seen[number as usize] += 1;
            if seen[number as usize] == 1 { arrived += 1 } else { twice += 1 }
        }
    };
    for number in 0..count {
        let mut packet = [0x55; 64];
        packet[..4].copy_from_slice(&number.to_be_bytes());
        say.send_to(&packet, (at, 9)).unwrap();
        if number % 100 == 99 {
            // No more under way than a socket has room for.
            hear.set_read_timeout(Some(Duration::from_millis(3))).unwrap();
            hear_all(&hear);
        }
    }
    hear.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    hear_all(&hear);
    (arrived, twice, altered)
}

#[tokio::test(flavor = "multi_thread")]
async fn losses_and_copies_are_as_many_as_asked_for() {
    let chance = |probability| Chance { probability, correlation: 0.0 };
    let pair = Pair::new();
    for outward in [true, false] {
        let direction = if outward { Direction::Egress } else { Direction::Ingress };
        let tag = Tag::new();
        let loss = Shape { loss: Some(Loss::Random(chance(0.2))), ..delay(1) };
        lay(&pair.near, &tag, &network([(Traffic::all(direction), shape(loss))])).await;
        let (arrived, twice, altered) = arriving(&pair, 4000, outward);
        // 3.89 standard deviations of the binomial distribution, 25.3.
        assert!((3200 - 99..3200 + 99).contains(&arrived), "{direction:?}: {arrived}");
        assert_eq!((twice, altered), (0, 0));
        userspace::clear(&pair.near, &tag.0).await.unwrap();

        let tag = Tag::new();
        let copies = Shape { duplicate: Some(chance(0.5)), ..delay(1) };
        lay(&pair.near, &tag, &network([(Traffic::all(direction), shape(copies))])).await;
        let (arrived, twice, altered) = arriving(&pair, 2000, outward);
        assert_eq!((arrived, altered), (2000, 0), "{direction:?}");
        assert!((1000 - 87..1000 + 87).contains(&twice), "{direction:?}: {twice}");
        userspace::clear(&pair.near, &tag.0).await.unwrap();

        let tag = Tag::new();
        let corrupt = Shape { corrupt: Some(chance(0.5)), ..Shape::default() };
        lay(&pair.near, &tag, &network([(Traffic::all(direction), shape(corrupt))])).await;
        let (arrived, twice, altered) = arriving(&pair, 2000, outward);
        // The checksum tells of every single bit.
        assert_eq!((twice, altered), (0, 0), "{direction:?}");
        assert!((1000 - 87..1000 + 87).contains(&arrived), "{direction:?}: {arrived}");
        userspace::clear(&pair.near, &tag.0).await.unwrap();
    }
}
