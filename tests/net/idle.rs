//! What kernels send by themselves meets no fault: it flows where nothing else does, and would stand for an effect.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use squall::engine::net::{kernel, userspace};
use squall::model::network::{Bandwidth, Direction, Flow, Mechanism, Network, Shape, Traffic, Treatment};

use super::pair::{FAR, FAR6, NEAR, NEAR6, Pair, told};
use super::shaper::{Tag, delay, lay, shape};

/// What a far end counts of what kernels send by themselves.
const SEEN: [&str; 3] =
    ["ip protocol igmp", "icmpv6 type nd-neighbor-advert", "icmpv6 type { mld2-listener-report, mld-listener-report }"];

/// Neighbours are found and groups joined until the far end has seen each of them. Nothing else is sent from the near end.
fn kernels_talk(pair: &Pair) {
    told(&pair.far, "nft add table inet seen");
    told(&pair.far, "nft add chain inet seen c { type filter hook prerouting priority -400 ; }");
    for what in SEEN {
        told(&pair.far, &format!("nft add rule inet seen c {what} counter"));
    }
    let index = told(&pair.near, "ip -o link show wire").split(':').next().unwrap().parse().unwrap();
    let hears = pair.near.run(|| UdpSocket::bind((NEAR6, 9))).unwrap();
    let says = pair.far.run(|| UdpSocket::bind((FAR6, 0))).unwrap();
    let (four, six) = pair.near.run(|| Ok((UdpSocket::bind("0.0.0.0:0")?, UdpSocket::bind("[::]:0")?))).unwrap();
    let start = Instant::now();
    for n in (1..=200).cycle() {
        let seen = told(&pair.far, "nft list table inet seen");
        if !seen.contains("counter packets 0 ") {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{seen}");
        let groups = (Ipv4Addr::new(239, 1, 1, n), Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 1, u16::from(n)));
        four.join_multicast_v4(&groups.0, &NEAR.parse().unwrap()).unwrap();
        six.join_multicast_v6(&groups.1, index).unwrap();
        told(&pair.far, "ip -6 neighbour flush dev wire");
        says.send_to(b"?", (NEAR6, 9)).unwrap();
        hears.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        // What tells of groups waits for a moment, and anew when another one is joined.
        while hears.recv(&mut [0]).is_ok() {}
        four.leave_multicast_v4(&groups.0, &NEAR.parse().unwrap()).unwrap();
        six.leave_multicast_v6(&groups.1, index).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kernels_send_by_themselves_meets_no_fault() {
    let rate = Shape { bandwidth: Some(Bandwidth { rate: 8_000_000, burst: 10_000 }), ..Shape::default() };
    for (what, mechanism, treatment) in [
        ("lost by rules", None, Treatment::Drop),
        ("refused by rules", None, Treatment::Reject),
        ("held to a rate by queues", None, shape(rate)),
        ("late in user space", Some(Mechanism::Userspace), shape(delay(20))),
    ] {
        let pair = Pair::new();
        let flows = vec![Flow { traffic: Traffic::all(Direction::Egress), treatment }];
        let network = Network { flows, mechanism, seed: 7 };
        let tag = Tag::new();
        lay(&pair.near, &tag, &network).await;
        let met = || {
            let told = userspace::counted(&pair.near, &tag.0, &network.mark()).unwrap();
            told.flows.values().sum::<u64>() + pair.near.run(kernel::counted).unwrap().meant
        };
        kernels_talk(&pair);
        assert_eq!(met(), 0, "{what}");
        let says = pair.near.run(|| UdpSocket::bind((NEAR6, 0))).unwrap();
        let _ = says.send_to(b"!", (FAR6, 9));
        assert_eq!(met(), 1, "{what}: and what a program sends does");
        userspace::clear(&pair.near, &tag.0).await.unwrap();
        pair.near.run(kernel::clear).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_above_what_flows_makes_nothing_wait_and_one_below_does() {
    let limited = |rate, burst| Shape { bandwidth: Some(Bandwidth { rate, burst }), ..Shape::default() };
    for mechanism in [None, Some(Mechanism::Userspace)] {
        // However quickly ten packets are sent, the first burst holds all of them, and the second does not.
        for (rate, burst, waits) in [(1_000_000_000, 40_000, false), (80_000, 4_000, true)] {
            let pair = Pair::new();
            let flows = vec![Flow { traffic: Traffic::all(Direction::Egress), treatment: shape(limited(rate, burst)) }];
            let network = Network { flows, mechanism, seed: 7 };
            let tag = Tag::new();
            lay(&pair.near, &tag, &network).await;
            let says = pair.near.run(|| UdpSocket::bind((NEAR, 0))).unwrap();
            for _ in 0..10 {
                says.send_to(&[0; 1000], (FAR, 9)).unwrap();
            }
            // The shaper tells every half second.
            let start = Instant::now();
            let shaper = || userspace::counted(&pair.near, &tag.0, &network.mark()).unwrap().shaper;
            while mechanism.is_some() && shaper().is_none_or(|s| s.packets < 10) {
                assert!(start.elapsed() < Duration::from_secs(20), "{:?}", shaper());
                std::thread::yield_now();
            }
            let waited = shaper().map(|s| s.paced).or(pair.near.run(kernel::counted).unwrap().waited);
            assert_eq!(waited.map(|n| n > 0), Some(waits), "{mechanism:?}, {rate} bit/s");
            userspace::clear(&pair.near, &tag.0).await.unwrap();
            pair.near.run(kernel::clear).unwrap();
        }
    }
}
