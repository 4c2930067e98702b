//! What the kernel's own queues do to real packets, and that nothing is left of them.

mod rollback;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use squall::engine::net::kernel::{Counted, clear, counted};
use squall::engine::net::{Laid, lay_here, userspace};
use squall::host::net::link::{Link, links};
use squall::host::net::netlink::{Family, Socket};
use squall::host::net::{nft, sockets};
use squall::model::network::{
    Bandwidth, Chance, Cidr, Direction, Flow, Loss, Network, Peer, Peers, Ports, Protocol, Shape, Traffic, Treatment,
};

use super::pair::{FAR, FAR6, LEASES, NEAR, NEAR6, Pair, told};

/// What the table of these tests stands for.
const MARK: &str = "0123456789abcdef";

pub(crate) fn wires(pair: &Pair) -> Vec<Link> {
    pair.near.run(|| links(&mut Socket::open(Family::Route)?)).unwrap()
}

pub(crate) fn lay_all(pair: &Pair, flows: &[Flow]) {
    laid(pair, flows).unwrap();
}

fn laid(pair: &Pair, flows: &[Flow]) -> std::io::Result<()> {
    let network = Network { flows: flows.to_vec(), mechanism: None, seed: 1 };
    match pair.near.run(|| lay_here(MARK, &network, |_, _| false))? {
        Laid::Done(lease) => LEASES.keep(lease, std::process::id()),
        Laid::Lacks(rules) => panic!("no process: {rules:?}"),
    }
    Ok(())
}

pub(crate) fn cleared(pair: &Pair) -> bool {
    let tables = pair.near.run(|| nft::tables().and_then(|tables| nft::delete_all().map(|()| tables))).unwrap();
    pair.near.run(clear).unwrap() | !tables.is_empty()
}

/// What queues and rules have counted.
fn count(pair: &Pair) -> Counted {
    let Counted { meant, dropped, waited } = pair.near.run(counted).unwrap();
    let told = userspace::counted(&pair.near, "no shaper", MARK).unwrap();
    Counted { meant: meant + told.flows.values().sum::<u64>(), dropped: dropped + told.lost, waited }
}

pub(crate) fn port(port: u16) -> Traffic {
    Traffic { remote_ports: vec![Ports { first: port, last: port }], ..Traffic::all(Direction::Both) }
}

pub(crate) fn dropped(traffic: Traffic) -> Flow {
    Flow { traffic, treatment: Treatment::Drop }
}

pub(crate) fn shaped(traffic: Traffic, shape: Shape) -> Flow {
    Flow { traffic, treatment: Treatment::Shape(Box::new(shape)) }
}

/// For what takes a queue of the kernel's.
fn slow(traffic: Traffic) -> Flow {
    shaped(traffic, Shape { bandwidth: Some(Bandwidth { rate: 1000, burst: 0 }), ..Shape::default() })
}

fn lossy(probability: f64) -> Shape {
    Shape { loss: Some(Loss::Random(Chance { probability, correlation: 0.0 })), ..Shape::default() }
}

/// A socket in each namespace, that know each other: near's, and far's.
pub(crate) fn sockets(pair: &Pair, near: &str, far: &str, port: u16) -> (UdpSocket, UdpSocket) {
    let bind = |at: &str, port| UdpSocket::bind(SocketAddr::new(at.parse::<IpAddr>().unwrap(), port));
    let near = pair.near.run(|| bind(near, 0)).unwrap();
    let far = pair.far.run(|| bind(far, port)).unwrap();
    // What comes while nobody looks must not be lost for that.
    set_socket_recv_buffer_size_force(&near, 32 << 20).unwrap();
    set_socket_recv_buffer_size_force(&far, 32 << 20).unwrap();
    near.connect(far.local_addr().unwrap()).unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    (near, far)
}

/// Two namespaces whose neighbours are found already.
pub(crate) fn ready() -> Pair {
    let pair = Pair::new();
    for (near, far) in [(NEAR, FAR), (NEAR6, FAR6)] {
        let start = Instant::now();
        let (near, far) = sockets(&pair, near, far, 9);
        while arrive(&near, &far, 1, SOON) == 0 || arrive(&far, &near, 1, SOON) == 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "the wire is not ready");
        }
        // What was sent first may still come.
        while far.recv(&mut [0; 8]).is_ok() || near.recv(&mut [0; 8]).is_ok() {}
    }
    pair
}

/// How many of `n` packets arrive. After each the last is waited for; where packets may be lost, for `patience`.
pub(crate) fn arrive(from: &UdpSocket, to: &UdpSocket, n: u32, patience: Duration) -> u32 {
    let mut arrived = 0;
    to.set_read_timeout(Some(patience)).unwrap();
    for number in 0..n {
        from.send(&number.to_be_bytes()).unwrap();
        // A wire between namespaces hands packets on at once: what has not come by the end is lost.
        if number % 64 == 63 || number + 1 == n {
            to.set_nonblocking(number + 1 != n).unwrap();
            while to.recv(&mut [0; 8]).is_ok() {
                arrived += 1;
            }
        }
    }
    arrived
}

const SOON: Duration = Duration::from_millis(100);

#[test]
fn what_is_meant_is_cut_off_both_ways_and_nothing_else_is() {
    for (near, far) in [(NEAR, FAR), (NEAR6, FAR6)] {
        let pair = ready();
        let (meant, meant_far) = sockets(&pair, near, far, 81);
        let (other, other_far) = sockets(&pair, near, far, 82);
        let both_ways = |near: &UdpSocket, far: &UdpSocket| (arrive(near, far, 20, SOON), arrive(far, near, 20, SOON));
        assert_eq!(both_ways(&meant, &meant_far), (20, 20));
        for (direction, left) in
            [(Direction::Egress, (0, 20)), (Direction::Ingress, (20, 0)), (Direction::Both, (0, 0))]
        {
            lay_all(&pair, &[dropped(Traffic { direction, ..port(81) })]);
            assert_eq!(both_ways(&meant, &meant_far), left, "{far}, {direction:?}");
            assert_eq!(both_ways(&other, &other_far), (20, 20), "{far}, {direction:?}");
            let lost = 40 - u64::from(left.0 + left.1);
            let Counted { meant, dropped, .. } = count(&pair);
            assert_eq!((meant, dropped), (lost, lost), "{far}, {direction:?}");
        }
        assert!(cleared(&pair));
        assert_eq!(both_ways(&meant, &meant_far), (20, 20));
    }
}

#[test]
fn packets_are_told_apart_by_peer_protocol_and_own_port() {
    let pair = ready();
    let peers = |peer: &str| Peers::These(vec![Peer::Addresses(peer.parse::<Cidr>().unwrap())]);
    let but = |peer: &str| Peers::AllBut(vec![Peer::Addresses(peer.parse::<Cidr>().unwrap())]);
    let udp4 = sockets(&pair, NEAR, FAR, 81);
    let udp6 = sockets(&pair, NEAR6, FAR6, 81);
    let own = udp4.0.local_addr().unwrap().port();
    let all = || Traffic::all(Direction::Egress);
    let tcp = || pair.far.run(|| TcpListener::bind((FAR, 81))).unwrap();
    let listener = tcp();
    let connects =
        || pair.near.run(|| TcpStream::connect_timeout(&listener.local_addr()?, Duration::from_millis(300))).is_ok();
    for (traffic, left) in [
        (Traffic { peers: peers("10.77.0.0/30"), ..all() }, (false, true, false)),
        (Traffic { peers: peers(FAR6), ..all() }, (true, false, true)),
        (Traffic { peers: peers("10.78.0.0/16"), ..all() }, (true, true, true)),
        (Traffic { peers: Peers::These(Vec::new()), ..all() }, (true, true, true)),
        (Traffic { peers: but("10.77.0.0/30"), ..all() }, (true, false, true)),
        (Traffic { peers: but(FAR6), ..all() }, (false, true, false)),
        (Traffic { peers: Peers::AllBut(Vec::new()), ..all() }, (false, false, false)),
        (Traffic { protocol: Some(Protocol::Udp), ..all() }, (false, false, true)),
        (Traffic { protocol: Some(Protocol::Tcp), ..all() }, (true, true, false)),
        (Traffic { protocol: Some(Protocol::Icmp), ..all() }, (true, true, true)),
        (Traffic { local_ports: vec![Ports { first: own, last: own }], ..all() }, (false, true, true)),
        (Traffic { protocol: Some(Protocol::Tcp), ..port(81) }, (true, true, false)),
    ] {
        lay_all(&pair, &[dropped(traffic.clone())]);
        let passes = |(near, far): &(UdpSocket, UdpSocket)| arrive(near, far, 5, SOON) == 5;
        assert_eq!((passes(&udp4), passes(&udp6), connects()), left, "{traffic}");
    }
    cleared(&pair);
}

#[test]
fn neighbours_are_found_though_everything_is_cut_off() {
    let pair = Pair::new();
    lay_all(&pair, &[dropped(Traffic::all(Direction::Both))]);
    for (near, far) in [(NEAR, FAR), (NEAR6, FAR6)] {
        let (near, far_socket) = sockets(&pair, near, far, 81);
        let start = Instant::now();
        while !told(&pair.near, &format!("ip neighbour show {far}")).contains("lladdr") {
            assert_eq!(arrive(&near, &far_socket, 5, SOON), 0);
            assert!(start.elapsed() < Duration::from_secs(10), "{far} is not found");
        }
        assert_eq!(arrive(&near, &far_socket, 5, SOON), 0);
    }
    cleared(&pair);
}

#[test]
fn as_many_are_lost_as_were_asked_for() {
    const SENT: u32 = 20_000;
    let pair = ready();
    for (number, probability) in (81..).zip([0.3, 0.01]) {
        let (near, far) = sockets(&pair, NEAR, FAR, number);
        lay_all(&pair, &[shaped(port(number), lossy(probability))]);
        for (from, to, others) in [(&near, &far, 0), (&far, &near, 1)] {
            let before = count(&pair).dropped;
            let lost = SENT - arrive(from, to, SENT, SOON);
            assert_eq!(u64::from(lost), count(&pair).dropped - before, "what is lost is counted");
            let expected = f64::from(SENT) * probability;
            // 99.99 % of a binomial distribution.
            let interval = 3.9 * (expected * (1.0 - probability)).sqrt();
            assert!((f64::from(lost) - expected).abs() < interval, "{lost} of {expected} ± {interval}, way {others}");
        }
    }
    cleared(&pair);
}

#[test]
fn the_first_flow_that_means_a_packet_has_it() {
    let pair = ready();
    let (near, far) = sockets(&pair, NEAR, FAR, 81);
    let (other, other_far) = sockets(&pair, NEAR, FAR, 82);
    let (spared, spared_far) = sockets(&pair, NEAR, FAR, 83);
    let nothing = shaped(port(83), Shape::default());
    lay_all(&pair, &[shaped(port(81), lossy(0.5)), nothing, dropped(Traffic::all(Direction::Egress))]);
    let arrived = arrive(&near, &far, 1000, SOON);
    assert!((400..600).contains(&arrived), "{arrived}");
    assert_eq!(arrive(&other, &other_far, 20, SOON), 0);
    assert_eq!(arrive(&spared, &spared_far, 20, SOON), 20);
    cleared(&pair);
}

#[test]
fn traffic_is_held_to_a_rate() {
    const RATE: u64 = 8_000_000;
    const BURST: u64 = 10_000;
    // Ethernet, IPv4 and UDP headers, and 958 bytes.
    const PACKET: u64 = 1000;
    for direction in [Direction::Egress, Direction::Ingress] {
        let pair = ready();
        let (near, far) = sockets(&pair, NEAR, FAR, 81);
        let shape = Shape { bandwidth: Some(Bandwidth { rate: RATE, burst: BURST }), ..Shape::default() };
        lay_all(&pair, &[shaped(Traffic { direction, ..port(81) }, shape)]);
        let (from, to) = if direction == Direction::Egress { (&near, &far) } else { (&far, &near) };
        to.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let done = AtomicBool::new(false);
        let rate = thread::scope(|scope| {
            scope.spawn(|| {
                // Four times the rate.
                let (start, mut sent) = (Instant::now(), 0_u32);
                while !done.load(Ordering::Relaxed) {
                    let due = start.elapsed().as_secs_f64() * 4.0 * RATE as f64 / 8.0 / PACKET as f64;
                    while f64::from(sent) < due {
                        let _ = from.send(&[0; 958]);
                        sent += 1;
                    }
                    thread::yield_now();
                }
            });
            let mut times = Vec::new();
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(1500) {
                to.recv(&mut [0; 2000]).unwrap();
                times.push(Instant::now());
            }
            done.store(true, Ordering::Relaxed);
            // Without the burst at the beginning.
            let times = &times[usize::try_from(2 * BURST / PACKET).unwrap()..];
            let took = times[times.len() - 1] - times[0];
            (times.len() - 1) as f64 * PACKET as f64 * 8.0 / took.as_secs_f64()
        });
        // A machine that is late with its timers is below the rate, and never above.
        assert!((0.85..1.02).contains(&(rate / RATE as f64)), "{rate} bit/s, {direction:?}");
        let counted = count(&pair);
        assert!(counted.dropped < counted.meant, "{counted:?}");
        // What arrives still belongs to its sender's socket, as that is on this machine, and makes it wait.
        assert!(counted.dropped > 0 || direction == Direction::Ingress, "{counted:?}");
        cleared(&pair);
    }
}

#[test]
fn connections_are_ended_at_both_ends_and_others_live() {
    let pair = ready();
    let connect = |listen: &str, to: &str, port: u16| {
        let listener = pair.far.run(|| TcpListener::bind((listen, port))).unwrap();
        let client = pair.near.run(|| TcpStream::connect((to, port))).unwrap();
        let server = listener.accept().unwrap().0;
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        }
        (client, server)
    };
    let meant = [connect(FAR, FAR, 81), connect(FAR6, FAR6, 81), connect("::", FAR, 84)];
    let mut other = connect(FAR, FAR, 82);
    let traffic = Traffic { remote_ports: vec![Ports { first: 81, last: 81 }], ..port(84) };
    let both = Traffic { remote_ports: [port(84).remote_ports, traffic.remote_ports].concat(), ..port(84) };
    assert_eq!(pair.near.run(|| sockets::reset(&both)).unwrap(), 3);
    for (mut client, mut server) in meant {
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    other.0.write_all(b"?").unwrap();
    other.1.read_exact(&mut [0]).unwrap();
    // From the side whose socket is for both families, too.
    let both_families = connect("::", FAR, 85);
    let own = Traffic { local_ports: port(85).remote_ports, ..Traffic::all(Direction::Ingress) };
    let own = Traffic { peers: Peers::These(vec![Peer::Addresses(NEAR.parse().unwrap())]), ..own };
    assert_eq!(pair.far.run(|| sockets::reset(&own)).unwrap(), 1);
    drop(both_families);
    assert_eq!(pair.near.run(|| sockets::reset(&port(1))).unwrap(), 0);
}

/// Making and removing a `clsact`, the kernel stops what leaves by the link for a moment, and drops it (`dev_deactivate` in
/// `qdisc_graft`); what arrives is not touched. Rules stop nothing. Prints what it measures:
/// `cargo test --test net not_meant -- --nocapture`.
#[test]
#[expect(clippy::print_stderr, reason = "a measurement for people")]
fn packets_that_are_not_meant_lose_a_moment_at_most() {
    const ROUNDS: u32 = 20;
    /// Packets a second.
    const RATE: u32 = 1000;
    for (flow, queue, leaves) in [
        (slow(port(81)), true, true),
        (slow(port(81)), true, false),
        (dropped(port(81)), false, true),
        (dropped(port(81)), false, false),
    ] {
        let pair = ready();
        let (near, far) = sockets(&pair, NEAR, FAR, 82);
        let (from, to) = if leaves { (near, far) } else { (far, near) };
        let done = AtomicBool::new(false);
        let start = Instant::now();
        let now = || u64::try_from(start.elapsed().as_nanos()).unwrap();
        to.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let (sent, mut late, rounds) = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut sent = 0_u32;
                while !done.load(Ordering::Relaxed) {
                    if start.elapsed() < Duration::from_secs(1) * sent / RATE {
                        thread::yield_now();
                        continue;
                    }
                    from.send(&now().to_be_bytes()).unwrap();
                    sent += 1;
                }
                u64::from(sent)
            });
            let receiver = scope.spawn(|| {
                let (mut late, mut buffer) = (Vec::new(), [0; 8]);
                while to.recv(&mut buffer).is_ok() {
                    late.push((now() - u64::from_be_bytes(buffer)) / 1000);
                }
                late
            });
            let rounds: Vec<_> = (0..ROUNDS)
                .map(|_| {
                    let start = Instant::now();
                    lay_all(&pair, std::slice::from_ref(&flow));
                    let laid = start.elapsed();
                    cleared(&pair);
                    (laid, start.elapsed().saturating_sub(laid))
                })
                .collect();
            done.store(true, Ordering::Relaxed);
            (sender.join().unwrap(), receiver.join().unwrap(), rounds)
        });
        late.sort_unstable();
        let lost = sent - late.len() as u64;
        eprintln!(
            "{} {}: {ROUNDS} rounds in and out: of {sent} packets {lost} lost; late: median {} us, 99 % {} us, most {} us; \
             in within {:?}, out within {:?}",
            if queue { "queue," } else { "rules," },
            if leaves { "leaving" } else { "arriving" },
            late[late.len() / 2],
            late[late.len() * 99 / 100],
            late[late.len() - 1],
            rounds.iter().map(|r| r.0).max().unwrap(),
            rounds.iter().map(|r| r.1).max().unwrap(),
        );
        // 20 ms each time, on a machine that has other things to do.
        let most = if queue && leaves { ROUNDS * 2 * 20 * RATE / 1000 } else { 0 };
        assert!(lost <= u64::from(most), "{lost} of {sent} lost, by a queue: {queue}, leaving: {leaves}");
    }
}
