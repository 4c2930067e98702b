//! One-way streams, measured at the receiver: what the declared side sends arrives later by the declared time, and what the
//! other side sends does not. A sender that only pushes, as a replica's primary does, meets the delay like one that answers.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread::scope;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use squall::engine::net::userspace::{self, VARIABLE};
use squall::host::net::namespace::Namespace;
use squall::host::process::with_variable;
use squall::model::network::{Direction, Traffic};

use super::pair::{FAR, FAR6, NEAR, Pair, told};
use super::shaper::{Tag, delay, lay, network, shape};

const DELAY_MS: u64 = 60;
const COUNT: usize = 40;

/// The third of the times, from the fastest on: a busy machine makes packets late, and none early.
fn typical(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 3]
}

#[expect(clippy::disallowed_methods, reason = "a sender with a thread of its own")]
fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

fn stamp(origin: Instant) -> [u8; 8] {
    u64::try_from(origin.elapsed().as_micros()).expect("no test lasts that long").to_be_bytes()
}

fn since(origin: Instant, stamp: [u8; 8]) -> Duration {
    origin.elapsed().saturating_sub(Duration::from_micros(u64::from_be_bytes(stamp)))
}

/// How long messages of this size take from one namespace to the other over TCP, when nothing is ever answered.
fn pushed(from: &Namespace, to: (&Namespace, &str), size: usize, nodelay: bool) -> Duration {
    let listener = to.0.run(|| TcpListener::bind((to.1, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sender = from.run(|| TcpStream::connect(address)).unwrap();
    sender.set_nodelay(nodelay).unwrap();
    let (mut receiver, _) = listener.accept().unwrap();
    let origin = Instant::now();
    scope(|scope| {
        scope.spawn(move || {
            for _ in 0..COUNT {
                let mut message = vec![0; size];
                message[..8].copy_from_slice(&stamp(origin));
                sender.write_all(&message).unwrap();
                pause(20);
            }
        });
        let times = (0..COUNT).map(|_| {
            let mut message = vec![0; size];
            receiver.read_exact(&mut message).unwrap();
            since(origin, *message.first_chunk().unwrap())
        });
        typical(times.collect())
    })
}

/// The same over UDP, by a socket that does not wait: how long, and how many sends were refused. Much more is under way at a
/// time than a socket has room for.
fn sent(from: &Namespace, to: (&Namespace, &str), size: usize) -> (Duration, usize) {
    const SENDS: usize = 500;
    let receiver = to.0.run(|| UdpSocket::bind((to.1, 0))).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let address = receiver.local_addr().unwrap();
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let sender = from.run(|| UdpSocket::bind(any)).unwrap();
    sender.set_nonblocking(true).unwrap();
    let origin = Instant::now();
    scope(|scope| {
        let refused = scope.spawn(move || {
            let send = |_: &usize| {
                let mut message = vec![0; size];
                message[..8].copy_from_slice(&stamp(origin));
                let refused = sender.send_to(&message, address).is_err();
                pause(1);
                refused
            };
            (0..SENDS).filter(send).count()
        });
        let mut times = Vec::new();
        let mut message = vec![0; size];
        while times.len() < SENDS && receiver.recv(&mut message).is_ok() {
            times.push(since(origin, *message.first_chunk().unwrap()));
        }
        (typical(times), refused.join().unwrap())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_declared_side_sends_is_late_and_nothing_else() {
    let pair = Pair::new();
    for direction in [Direction::Egress, Direction::Ingress, Direction::Both] {
        let tag = Tag::new();
        lay(&pair.near, &tag, &network([(Traffic::all(direction), shape(delay(DELAY_MS)))])).await;
        for outward in [true, false] {
            let (from, to) = if outward { (&pair.near, (&pair.far, FAR)) } else { (&pair.far, (&pair.near, NEAR)) };
            let late = direction == Direction::Both || outward == (direction == Direction::Egress);
            let expected = Duration::from_millis(if late { DELAY_MS } else { 0 });
            let about = |what: &str, time: Duration| {
                // Less than another delay, and room for a busy machine.
                let most = expected + Duration::from_millis(DELAY_MS / 2);
                assert!(time >= expected && time < most, "{what}, {direction:?}, outward: {outward}: {time:?}");
            };
            for (size, nodelay) in [(100, true), (100, false), (8_000, true), (8_000, false)] {
                let what = format!("TCP, {size} bytes, nodelay: {nodelay}");
                let time = pushed(from, to, size, nodelay);
                if nodelay {
                    about(&what, time);
                } else {
                    // The end of a write waits for the acknowledgement of what was sent before: later, never earlier.
                    assert!(time >= expected, "{what}, {direction:?}, outward: {outward}: {time:?}");
                }
            }
            for size in [1_250, 8_000] {
                let (time, refused) = sent(from, to, size);
                about(&format!("UDP, {size} bytes"), time);
                assert_eq!(refused, 0, "a slow line refuses no sender: {size}, {direction:?}, outward: {outward}");
            }
        }
        userspace::clear(&pair.near, &tag.0).await.unwrap();
    }
}

/// How many of some datagrams of a size arrive as they were sent.
fn whole(from: &Namespace, bind: &str, to: (&Namespace, &str), size: usize) -> usize {
    const SENDS: usize = 5;
    let receiver = to.0.run(|| UdpSocket::bind((to.1, 0))).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let address = receiver.local_addr().unwrap();
    let sender = from.run(|| UdpSocket::bind((bind, 0))).unwrap();
    let content: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut message = vec![0; 65_536];
    let mut arrives = || {
        sender.send_to(&content, address).unwrap();
        receiver.recv(&mut message).is_ok_and(|length| message[..length] == content)
    };
    (0..SENDS).filter(|_| arrives()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_of_every_size_arrive_whole_over_both_versions_of_ip() {
    let pair = Pair::new();
    for tracked in [false, true] {
        if tracked {
            for at in [&pair.near, &pair.far] {
                told(at, "nft add table inet track");
                told(at, "nft add chain inet track c { type filter hook input priority 0 ; }");
                told(at, "nft add rule inet track c ct state invalid drop");
            }
        }
        let tag = Tag::new();
        lay(&pair.near, &tag, &network([(Traffic::all(Direction::Egress), shape(delay(20)))])).await;
        for (near, far) in [("0.0.0.0", FAR), ("::", FAR6)] {
            for size in [10, 1_200, 1_300, 1_500, 8_000, 30_000, 60_000] {
                let arrived = whole(&pair.near, near, (&pair.far, far), size);
                assert_eq!(arrived, 5, "{size} bytes to {far}, tracked: {tracked}");
            }
        }
        for far in [FAR, FAR6] {
            let (time, refused) = sent(&pair.near, (&pair.far, far), 8_000);
            assert_eq!(refused, 0, "{far}, tracked: {tracked}");
            let times = [pushed(&pair.near, (&pair.far, far), 8_000, true), time];
            assert!(times.iter().all(|t| *t >= Duration::from_millis(20)), "{far}, tracked: {tracked}: {times:?}");
        }
        userspace::clear(&pair.near, &tag.0).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_arrive_whole_over_a_narrow_route_and_when_nobody_holds_them_any_more() {
    let pair = Pair::new();
    // Less than what the interface takes: what is cut to pieces cannot be told by its length.
    told(&pair.near, "ip route replace 10.77.0.0/24 dev wire mtu 1280");
    told(&pair.near, "ip -6 route replace fd77::/64 dev wire mtu 1280");
    let tag = Tag::new();
    lay(&pair.near, &tag, &network([(Traffic::all(Direction::Egress), shape(delay(20)))])).await;
    let all_arrive = |when: &str| {
        for (near, far) in [("0.0.0.0", FAR), ("::", FAR6)] {
            for size in [1_200, 1_400, 8_000, 60_000] {
                let arrived = whole(&pair.near, near, (&pair.far, far), size);
                assert_eq!(arrived, 5, "{size} bytes to {far}, {when}");
            }
        }
    };
    all_arrive("late");
    for shaper in with_variable(VARIABLE, &tag.0) {
        shaper.signal(Signal::KILL).unwrap();
        assert!(shaper.ended_within(Duration::from_secs(5)).await.unwrap());
    }
    all_arrive("the shaper is killed");
    userspace::clear(&pair.near, &tag.0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_keep_their_socket_are_late_and_told() {
    let pair = Pair::new();
    let tag = Tag::new();
    let network = network([(Traffic::all(Direction::Egress), shape(delay(DELAY_MS)))]);
    lay(&pair.near, &tag, &network).await;
    let told_kept = || {
        let counted = userspace::counted(&pair.near, &tag.0, &network.mark()).unwrap();
        (counted.flows[&0], counted.kept)
    };
    let least = Duration::from_millis(DELAY_MS);
    assert!(pushed(&pair.near, (&pair.far, FAR), 100, true) >= least);
    let (met, kept) = told_kept();
    assert!(met > 0 && kept == 0, "{met}, {kept}");
    // Somebody else's mark, where copies have theirs.
    told(&pair.near, "nft add table ip marks");
    told(&pair.near, "nft add chain ip marks c { type filter hook output priority -400 ; }");
    told(&pair.near, "nft add rule ip marks c meta mark set 0x10000");
    assert!(pushed(&pair.near, (&pair.far, FAR), 100, true) >= least);
    let (now, kept) = told_kept();
    assert!(kept > 0 && now - met == kept, "{met}, {now}, {kept}");
    userspace::clear(&pair.near, &tag.0).await.unwrap();
}
