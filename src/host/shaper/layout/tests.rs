use std::time::Duration;

use super::*;
use crate::host::net::nft::rule::OWN;
use crate::model::network::{Bandwidth, Chance, Loss, Mechanism};

fn flow(traffic: Traffic, treatment: Treatment) -> Flow {
    Flow { traffic, treatment }
}

fn laid(flows: &[Flow]) -> Layout {
    laid_by(Some(Mechanism::Userspace), flows)
}

fn laid_by(mechanism: Option<Mechanism>, flows: &[Flow]) -> Layout {
    let network = Network { flows: flows.to_vec(), mechanism, seed: 0 };
    layout(&network, Surroundings { interface: &|name| (name == "here").then_some(5), tracked: false })
}

fn names(layout: &Layout) -> Vec<&str> {
    layout.chains.iter().map(|chain| chain.name.as_str()).collect()
}

fn shape() -> Shape {
    Shape {
        delay: Duration::from_millis(5),
        loss: Some(Loss::Random(Chance { probability: 0.1, correlation: 0.0 })),
        bandwidth: Some(Bandwidth { rate: 1000, burst: 0 }),
        ..Shape::default()
    }
}

fn shaped(direction: Direction, protocol: Option<Protocol>, shape: Shape) -> Flow {
    flow(Traffic { protocol, ..Traffic::all(direction) }, Treatment::Shape(Box::new(shape)))
}

/// The models that a lane's packets meet.
fn met(layout: &Layout, at: u16) -> Option<Vec<Shape>> {
    let lane = layout.lanes.iter().find(|lane| lane.queue == NAMES + 1 + at)?;
    let LaneWork::Shape(models) = &lane.work else { return None };
    Some(models.iter().map(|m| layout.models[*m].clone()).collect())
}

#[test]
fn what_is_late_gives_up_its_socket_first_and_waits_for_its_rate_before() {
    let all = laid(&[shaped(Direction::Both, None, shape())]);
    assert_eq!(names(&all), ["pace", "copy", "copy", "leave", "proceed", "arrive"]);
    let pace = Shape { bandwidth: shape().bandwidth, ..Shape::default() };
    assert_eq!(met(&all, 0), Some(vec![pace]), "with its socket");
    assert_eq!(met(&all, 1), Some(vec![Shape { bandwidth: None, ..shape() }]), "without");
    assert_eq!(met(&all, 2), Some(vec![shape()]), "what arrives");
    let order: Vec<_> = all.chains.iter().filter(|c| c.hook == Hook::Output).map(|c| c.priority).collect();
    assert!(order.is_sorted() && order.iter().all(|p| *p < -200), "before connections are tracked: {order:?}");
}

#[test]
fn nothing_is_queued_that_nothing_happens_to() {
    let late = Shape { loss: None, bandwidth: None, ..shape() };
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmp] {
        let late = laid(&[shaped(Direction::Egress, Some(protocol), late.clone())]);
        assert_eq!((names(&late), late.lanes.len()), (vec!["pace", "copy", "copy", "leave", "proceed"], 1));
        let lost = Shape { delay: Duration::ZERO, bandwidth: None, ..shape() };
        let lost = laid(&[shaped(Direction::Egress, Some(protocol), lost)]);
        assert_eq!((names(&lost), lost.lanes.len()), (vec!["leave"], 1), "keeps its socket");
    }
    let arrives = laid(&[shaped(Direction::Ingress, None, late)]);
    assert_eq!((names(&arrives), arrives.lanes.len()), (vec!["arrive"], 1));
}

/// What a chain decides about a packet.
fn decided(chain: &Chain, fits: impl Fn(&Match) -> bool) -> Verdict {
    let rule = chain.rules.iter().find(|rule| rule.matches.iter().all(&fits));
    rule.map_or(Verdict::Accept, |rule| rule.verdict)
}

const TCP: [u8; 20] = [0x45, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const UDP: [u8; 20] = [0x45, 0, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn a_copy_is_made_once_and_is_in_the_end_what_it_is_a_copy_of() {
    let late = Shape { delay: Duration::from_millis(5), ..Shape::default() };
    let laid = laid(&[shaped(Direction::Egress, None, late)]);
    let chain = |name: &str| laid.chains.iter().find(|c| c.name == name).unwrap();
    for (mark, pieces) in [(0, false), (0, true), (0x539, false), (OWN, false), (0x1_0000, false), (u32::MAX, true)] {
        let meets = |mark: u32| {
            move |m: &Match| match m {
                Match::Mark(value) => mark == *value,
                Match::MarkBits { mask, value, equal } => (mark & mask == *value) == *equal,
                Match::MayFragment => pieces,
                Match::Out(_) | Match::Encrypted | Match::V6(_) | Match::Lapsed => false,
                other => panic!("{other:?}"),
            }
        };
        let Verdict::Copy { mark: turned, .. } = decided(chain("copy"), meets(mark)) else {
            assert!(mark == OWN || mark & UPPER != 0, "{mark:x} is not copied");
            assert_eq!(again(mark, &UDP), None, "{mark:x}");
            continue;
        };
        let copy = mark ^ turned;
        assert_eq!(decided(chain("copy"), meets(copy)), Verdict::Queue(NAMES + 2), "{mark:x} waits");
        assert_eq!(again(copy, &TCP), None);
        let waited = again(copy, &UDP).unwrap();
        let Verdict::Copy { mark: turned, .. } = decided(chain("copy"), meets(waited)) else {
            panic!("{waited:x} is replaced")
        };
        for last in [waited ^ turned, copy] {
            // The same of TCP, and where it could not wait, since no process holds packets any more.
            let passes = [chain("leave")].into_iter().chain((last != copy).then(|| chain("copy")));
            for chain in passes {
                assert_eq!(decided(chain, meets(last)), Verdict::Accept, "{last:x}");
            }
            let met: Vec<_> = chain("proceed")
                .rules
                .iter()
                .filter(|r| r.matches.iter().all(meets(last)))
                .map(|r| r.verdict)
                .collect();
            assert_eq!(met.contains(&Verdict::AllowFragments), pieces);
            assert_eq!((met.last(), last & !UPPER), (Some(&Verdict::KeepMark(!UPPER)), mark));
        }
    }
}

#[test]
fn connections_are_tracked_only_where_they_are_anyway() {
    let flows = vec![shaped(Direction::Egress, None, shape())];
    let network = Network { flows, mechanism: Some(Mechanism::Userspace), seed: 0 };
    for tracked in [false, true] {
        let layout = layout(&network, Surroundings { interface: &|_| None, tracked });
        let mut rules = layout.chains.iter().flat_map(|chain| &chain.rules);
        assert_eq!(rules.any(|rule| rule.verdict == Verdict::Track), tracked);
    }
}

#[test]
fn what_an_earlier_flow_has_is_not_met_by_a_later_one() {
    let tcp = Traffic { protocol: Some(Protocol::Tcp), ..Traffic::all(Direction::Both) };
    let tcp = |treatment| flow(tcp.clone(), treatment);
    let shaped = shaped(Direction::Both, None, shape());
    for mechanism in [None, Some(Mechanism::Userspace)] {
        for first in [Treatment::Drop, Treatment::Reject, shaped.treatment.clone()] {
            for then in [Treatment::Drop, Treatment::Reject, shaped.treatment.clone()] {
                let both = laid_by(mechanism, &[tcp(first.clone()), flow(shaped.traffic.clone(), then.clone())]);
                for chain in &both.chains {
                    let has = |flow: &str| chain.rules.iter().position(|r| r.comment.ends_with(flow));
                    let (Some(earlier), Some(later)) = (has("flow 0"), has("flow 1")) else {
                        let of_no_flow = ["refuse", "proceed", "queue"].contains(&chain.name.as_str());
                        let copies_one = ["pace", "copy"].contains(&chain.name.as_str());
                        assert!(copies_one || of_no_flow && has("flow 1").is_none(), "{first:?}, {then:?}: {chain:?}");
                        continue;
                    };
                    assert!(earlier < later, "{first:?}, then {then:?}: {chain:?}");
                }
                for comment in ["flow 0", "flow 1"] {
                    let counting = both.chains.iter().filter(|c| c.rules.iter().any(|r| r.comment == comment));
                    let arriving = counting.filter(|c| c.hook.arriving()).count();
                    assert!(arriving <= 1, "counted twice: {both:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_lost_at_random_is_told_from_what_passes() {
    let lossy = Shape { delay: Duration::ZERO, bandwidth: None, ..shape() };
    let laid = laid_by(None, &[shaped(Direction::Egress, None, lossy)]);
    assert_eq!((names(&laid), laid.lanes.len()), (vec!["vanish"], 0));
    let [.., lost, passed] = laid.chains[0].rules.as_slice() else { panic!("{laid:?}") };
    let tenth = Match::Random(429_496_730);
    assert_eq!((lost.matches.as_slice(), lost.verdict), ([tenth].as_slice(), Verdict::Vanish));
    assert_eq!((passed.matches.as_slice(), passed.verdict), ([].as_slice(), Verdict::Accept));
    assert_eq!([lost, passed].map(|rule| counts_for(&rule.comment)), [Some((0, true)), Some((0, false))]);
    let certain = lost_all(&laid_by(None, &[flow(Traffic::all(Direction::Egress), Treatment::Drop)]));
    assert_eq!(certain, [Vec::<Match>::new()]);
}

fn lost_all(layout: &Layout) -> Vec<Vec<Match>> {
    let rules = layout.chains.iter().flat_map(|chain| &chain.rules);
    rules.filter(|r| r.verdict == Verdict::Vanish).map(|r| r.matches.clone()).collect()
}

#[test]
fn an_interface_that_is_not_there_has_no_packets() {
    let on = |network: &str| Flow {
        traffic: Traffic { network: Some(network.to_owned()), ..Traffic::all(Direction::Ingress) },
        treatment: Treatment::Shape(Box::new(shape())),
    };
    assert_eq!(laid(&[on("gone")]), Layout::default());
    assert!(laid(&[on("here")]).chains[0].rules.iter().any(|rule| rule.matches == [Match::In(5)]));
}
