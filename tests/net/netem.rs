//! What sch_netem makes of the options it is given. These need a kernel that has it, fail on one that has not, and run when
//! asked for: `cargo test --test net netem -- --ignored`. In the lab, make a `clsact` on its loopback first (see there).

use std::time::{Duration, Instant};

use squall::engine::net::kernel::{Counted, counted};
use squall::model::network::{Bandwidth, Chance, Direction, Distribution, Loss, Protocol, Reorder, Shape, Traffic};

use super::kernel::{arrive, cleared, lay_all, port, ready, shaped, sockets};
use super::pair::{FAR, FAR6, NEAR, NEAR6, ping, told};

/// Longer than any delay here.
const PATIENCE: Duration = Duration::from_secs(1);

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn late(delay: u64) -> Shape {
    Shape { delay: millis(delay), ..Shape::default() }
}

fn often(probability: f64) -> Chance {
    Chance { probability, correlation: 0.0 }
}

#[test]
#[ignore = "needs a kernel with sch_netem"]
fn with_netem_a_round_trip_is_late_by_what_is_asked_each_way() {
    let pair = ready();
    for (direction, least) in [(Direction::Egress, 100), (Direction::Ingress, 100), (Direction::Both, 200)] {
        let traffic = Traffic { protocol: Some(Protocol::Icmp), ..Traffic::all(direction) };
        lay_all(&pair, &[shaped(traffic, late(100))]);
        for peer in [FAR, FAR6] {
            // The quickest of some: a machine may have other things to do.
            let took = pair.near.run(|| Ok((0..8).map(|_| ping(peer).unwrap()).min())).unwrap().unwrap();
            assert!(took >= millis(least) && took < millis(least + 30), "{took:?} to {peer}, {direction:?}");
        }
        let (near, far) = sockets(&pair, NEAR, FAR, 81);
        let soon = millis(60);
        assert_eq!(arrive(&near, &far, 1, soon) + arrive(&far, &near, 1, soon), 2, "others are not late");
    }
    cleared(&pair);
}

#[test]
#[ignore = "needs a kernel with sch_netem"]
fn with_netem_every_option_arrives_as_it_was_meant() {
    let pair = ready();
    let jitter = |distribution| Shape { jitter: millis(10), correlation: 0.25, distribution, ..late(100) };
    let lost = |loss| Shape { loss: Some(loss), ..late(10) };
    let correlated = Chance { probability: 0.02, correlation: 0.5 };
    for (shape, words) in [
        (late(100), "delay 100ms"),
        (Shape { delay: Duration::from_micros(1500), ..late(0) }, "delay 1.5ms"),
        (jitter(Distribution::Uniform), "delay 100ms  10ms 25%"),
        (jitter(Distribution::Normal), "delay 100ms  10ms 25%"),
        (jitter(Distribution::Pareto), "delay 100ms  10ms 25%"),
        (jitter(Distribution::ParetoNormal), "delay 100ms  10ms 25%"),
        (lost(Loss::Random(correlated)), "loss 2% 50%"),
        (
            lost(Loss::GilbertElliott { p: 0.1, r: 0.2, bad: 0.7, good: 0.05 }),
            "loss gemodel p 10% r 20% 1-h 70% 1-k 5%",
        ),
        (
            lost(Loss::Markov { p13: 0.1, p31: 0.2, p32: 0.3, p23: 0.4, p14: 0.05 }),
            "loss state p13 10% p31 20% p32 30% p23 40% p14 5%",
        ),
        (Shape { duplicate: Some(correlated), ..late(10) }, "duplicate 2% 50%"),
        (Shape { corrupt: Some(correlated), ..late(10) }, "corrupt 2% 50%"),
        (Shape { reorder: Some(Reorder { chance: correlated, gap: 5 }), ..late(10) }, "reorder 2% 50% gap 5"),
        (Shape { bandwidth: Some(Bandwidth { rate: 1_000_000, burst: 0 }), ..late(10) }, "rate 1Mbit"),
        (Shape { bandwidth: Some(Bandwidth { rate: 80_000_000_000, burst: 0 }), ..late(10) }, "rate 80Gbit"),
    ] {
        lay_all(&pair, &[shaped(Traffic { direction: Direction::Egress, ..port(81) }, shape.clone())]);
        let told = told(&pair.near, "tc qdisc show");
        let line = told.lines().find(|l| l.starts_with("qdisc netem")).unwrap();
        assert!(line.contains(words), "{shape}: {line}");
    }
    cleared(&pair);
}

#[test]
#[ignore = "needs a kernel with sch_netem"]
fn with_netem_delays_vary_as_their_distribution_says() {
    // In jitters from the delay, by the inverse distribution functions: where a tenth, half and nine tenths are.
    for (distribution, asked) in [
        (Distribution::Uniform, [-0.8, 0.0, 0.8]),
        (Distribution::Normal, [-1.28, 0.0, 1.28]),
        (Distribution::Pareto, [-0.76, -0.36, 1.22]),
        (Distribution::ParetoNormal, [-0.95, -0.25, 1.24]),
    ] {
        let asked = asked.map(|jitters| 100.0 + 20.0 * jitters);
        let near = |have: [f64; 3]| have.iter().zip(asked).all(|(h, a)| (-8.0..12.0).contains(&(h - a)));
        // An emulated machine is late by itself at times, but not always.
        let tried: Vec<_> = (0..6).map(|_| quantiles(distribution)).take_while(|have| !near(*have)).collect();
        assert!(tried.len() < 6, "{distribution:?}: {tried:?}, not {asked:?} ms");
    }
}

/// Where a tenth, half and nine tenths of the delays are, in milliseconds, of 100 ms with a jitter of 20.
#[expect(clippy::disallowed_methods, reason = "packets are sent at a pace, on a thread of their own")]
fn quantiles(distribution: Distribution) -> [f64; 3] {
    const SENT: u32 = 800;
    let pair = ready();
    let (near, far) = sockets(&pair, NEAR, FAR, 81);
    let shape = Shape { jitter: millis(20), distribution, ..late(100) };
    lay_all(&pair, &[shaped(Traffic { direction: Direction::Egress, ..port(81) }, shape)]);
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let start = Instant::now();
    let now = || u64::try_from(start.elapsed().as_nanos()).unwrap();
    let mut delays: Vec<f64> = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..SENT {
                near.send(&now().to_be_bytes()).unwrap();
                std::thread::sleep((millis(4) * number).saturating_sub(start.elapsed()));
            }
        });
        let mut stamp = [0; 8];
        let mut delay = || {
            far.recv(&mut stamp).unwrap();
            (now() - u64::from_be_bytes(stamp)) as f64 / 1e6
        };
        (0..SENT).map(|_| delay()).collect()
    });
    cleared(&pair);
    delays.sort_by(f64::total_cmp);
    [SENT / 10, SENT / 2, SENT * 9 / 10].map(|at| delays[at as usize])
}

#[test]
#[ignore = "needs a kernel with sch_netem"]
fn with_netem_as_many_are_lost_and_doubled_as_were_asked_for() {
    const SENT: u32 = 10_000;
    let bursts = Loss::GilbertElliott { p: 0.1, r: 0.3, bad: 1.0, good: 0.0 };
    // The bad state holds p / (p + r) of the time; its correlation of 1 - p - r doubles the deviation.
    for (loss, share, wider) in [(Loss::Random(often(0.1)), 0.1, 1.0), (bursts, 0.25, 2.0)] {
        let pair = ready();
        let (near, far) = sockets(&pair, NEAR, FAR, 81);
        let shape = Shape { loss: Some(loss), ..late(5) };
        lay_all(&pair, &[shaped(Traffic { direction: Direction::Egress, ..port(81) }, shape)]);
        let lost = SENT - arrive(&near, &far, SENT, PATIENCE);
        let expected = f64::from(SENT) * share;
        let interval = 3.9 * wider * (expected * (1.0 - share)).sqrt();
        assert!((f64::from(lost) - expected).abs() < interval, "{lost} of {expected} ± {interval}");
        let Counted { meant, dropped, .. } = pair.near.run(counted).unwrap();
        assert_eq!((meant, dropped), (u64::from(SENT), u64::from(lost)));
        cleared(&pair);
    }
    let pair = ready();
    let (near, far) = sockets(&pair, NEAR, FAR, 81);
    let shape = Shape { duplicate: Some(often(0.2)), ..Shape::default() };
    lay_all(&pair, &[shaped(Traffic { direction: Direction::Egress, ..port(81) }, shape)]);
    let more = f64::from(arrive(&near, &far, SENT, PATIENCE) - SENT);
    let expected = f64::from(SENT) * 0.2;
    assert!((more - expected).abs() < 3.9 * (expected * 0.8).sqrt(), "{more} of {expected}");
    cleared(&pair);
}

#[test]
#[ignore = "needs a kernel with sch_netem"]
fn with_netem_packets_that_wait_when_it_is_rolled_back_still_arrive() {
    for (near, far) in [(NEAR, FAR), (NEAR6, FAR6)] {
        for direction in [Direction::Egress, Direction::Ingress] {
            let pair = ready();
            let (near, far) = sockets(&pair, near, far, 81);
            lay_all(&pair, &[shaped(Traffic { direction, ..port(81) }, late(150))]);
            let (from, to) = if direction == Direction::Egress { (&near, &far) } else { (&far, &near) };
            assert_eq!(arrive(from, to, 50, millis(1)), 0, "they wait");
            cleared(&pair);
            to.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!((0..50).filter(|_| to.recv(&mut [0; 8]).is_ok()).count(), 50, "{direction:?}");
        }
    }
}
