//! Where packets wait: flows to rules of nf_tables, and to what is done with the packets of each queue. Pure.
//!
//! A packet of TCP that waits where it leaves still belongs to its sender's socket, which then sends no more than a few
//! at a time. So a delay on TCP's way out is put on the answers' way in: the round trip is the same, and the sender sees
//! no difference. Everything else about it (losses, copies, rates) happens where it leaves. Other protocols wait where
//! they leave or arrive.
//!
//! Packets are met before connections are tracked and addresses translated, so that they are what is on the wire.

use crate::host::net::nft::rule::never_meant;
use crate::host::net::nft::{self, Chain, Hook, Match, Rule, Verdict};
use crate::host::net::queue::Copied;
use crate::network::{By, Direction, Dns, Flow, Network, Ports, Protocol, Shape, Traffic, Treatment};

/// What our own packets carry, so that they are not shaped again ("sq").
pub(super) const OWN: u32 = 0x7371;

/// The first queue's number, for questions about names; four for each flow follow.
const NAMES: u16 = 0x7371;

/// Everything that has to be laid on a namespace, and done with the packets of its queues.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    /// The rules.
    pub chains: Vec<Chain>,
    /// What packets meet.
    pub models: Vec<Shape>,
    /// The queues.
    pub lanes: Vec<Lane>,
}

/// A queue, and what its packets go through.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// Its number.
    pub queue: u16,
    /// What is done with its packets.
    pub work: Work,
}

/// What is done with the packets of a queue.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// They meet these models, one after the other.
    Shape(Vec<usize>),
    /// They are questions about names; the first that fits decides.
    Names(Vec<(Traffic, Dns)>),
}

impl Layout {
    /// How much of a lane's packets is needed.
    #[must_use]
    pub fn copied(&self, lane: &Lane) -> Copied {
        let alters = |shape: &Shape| shape.corrupt.is_some() || shape.duplicate.is_some();
        match &lane.work {
            Work::Shape(models) if !models.iter().filter_map(|m| self.models.get(*m)).any(alters) => Copied::First,
            Work::Shape(_) | Work::Names(_) => Copied::Whole,
        }
    }
}

/// What rules begin with, in their comments, whose packets are lost.
const LOST: &str = "lost, ";

/// The flow, by its place, whose packets a rule counts, and whether it loses them; `None`: it counts for none.
#[must_use]
pub fn counts_for(comment: &str) -> Option<(usize, bool)> {
    let (flow, lost) = comment.strip_prefix(LOST).map_or((comment, false), |flow| (flow, true));
    Some((flow.strip_prefix("flow ")?.parse().ok()?, lost))
}

/// What has to be laid. `interface` tells the number of an engine's network's interface; what is bound to one
/// that is not there is nobody's.
#[must_use]
pub fn layout(network: &Network, interface: &dyn Fn(&str) -> Option<u32>) -> Layout {
    let mut layout = Layout::default();
    let mut chains = Chains::default();
    for (number, flow) in network.flows.iter().enumerate() {
        let index = flow.traffic.network.as_deref().map(interface);
        if index == Some(None) {
            continue;
        }
        let meant = |traffic: &Traffic, arriving| nft::select(traffic, arriving, index.flatten());
        let (out, arriving) = (meant(&flow.traffic, false), meant(&flow.traffic, true));
        let comment = format!("flow {number}");
        // Where a packet is not treated, it passes, so that no later flow takes it; and is counted elsewhere.
        let passes = |meant: &[Vec<Match>]| rules(meant, Verdict::Accept, &format!("passes, {comment}"));
        let answers = mirrored(&flow.traffic).map(|t| meant(&t, true)).unwrap_or_default();
        match (network.by(flow), &flow.treatment) {
            (By::Queues, _) => {
                chains.answers.extend(passes(&answers));
                chains.leave.extend(passes(&out));
                chains.vanish.extend(passes(&out));
                chains.arrive.extend(passes(&arriving));
                chains.refuse.extend(passes(&arriving));
            }
            (By::Rules, Treatment::Reject) => {
                chains.answers.extend(passes(&answers));
                chains.leave.extend(refusals(&out));
                chains.leave.extend(nft::refuse(&out, &comment));
                chains.vanish.extend(passes(&out));
                chains.arrive.extend(passes(&arriving));
                chains.refuse.extend(refusals(&arriving));
                chains.refuse.extend(nft::refuse(&arriving, &comment));
            }
            (By::Rules, treatment) => {
                chains.answers.extend(passes(&answers));
                chains.leave.extend(passes(&out));
                chains.refuse.extend(passes(&arriving));
                let probability = if let Treatment::Shape(shape) = treatment { shape.only_loses() } else { None };
                for (meant, verdict, chain) in
                    [(&out, Verdict::Vanish, &mut chains.vanish), (&arriving, Verdict::Drop, &mut chains.arrive)]
                {
                    chain.extend(rules(&lost(meant, probability), verdict, &format!("{LOST}{comment}")));
                    chain.extend(rules(meant, Verdict::Accept, &comment));
                }
            }
            (By::Process, Treatment::Shape(shape)) => {
                let base = NAMES + 1 + 4 * u16::try_from(number).unwrap_or(0);
                let (delayed, rest) = split(shape);
                let paced = shape.bandwidth.map(|b| Shape { bandwidth: Some(b), ..Shape::default() });
                let unpaced = |shape: &Shape| Shape { bandwidth: None, ..shape.clone() };
                // All that leaves shares one rate.
                let pace = (!out.is_empty()).then(|| layout.model(paced)).flatten();
                let mut lane = |at: u16, shape: Shape, pace: Option<usize>| {
                    let models: Vec<usize> = layout.model(Some(shape)).into_iter().chain(pace).collect();
                    if models.is_empty() {
                        return Verdict::Accept;
                    }
                    layout.lanes.push(Lane { queue: base + at, work: Work::Shape(models) });
                    Verdict::Queue(base + at)
                };
                if let Some(mirror) = mirrored(&flow.traffic) {
                    let leaving = Traffic { direction: Direction::Egress, ..mirror.clone() };
                    let verdict = lane(0, unpaced(&rest), pace);
                    chains.leave.extend(rules(&meant(&leaving, false), verdict, &comment));
                    let verdict = lane(1, delayed, None);
                    chains.answers.extend(rules(&meant(&mirror, true), verdict, &format!("answers, {comment}")));
                }
                if !out.is_empty() && flow.traffic.protocol != Some(Protocol::Tcp) {
                    let verdict = lane(2, unpaced(shape), pace);
                    chains.leave.extend(rules(&out, verdict, &comment));
                }
                chains.vanish.extend(passes(&out));
                if !arriving.is_empty() {
                    let verdict = lane(3, (**shape).clone(), None);
                    chains.arrive.extend(rules(&arriving, verdict, &comment));
                    chains.refuse.extend(passes(&arriving));
                }
            }
            // Questions about names, which follow.
            (By::Process, _) => {}
        }
    }
    layout.chains = chains.done();
    layout.names(&network.flows);
    layout
}

impl Layout {
    /// The number of a new model; none where it would do nothing.
    fn model(&mut self, shape: Option<Shape>) -> Option<usize> {
        let shape = shape.filter(|s| *s != Shape::default())?;
        self.models.push(shape);
        Some(self.models.len() - 1)
    }

    /// Questions about names: a chain and a queue for all of them.
    fn names(&mut self, flows: &[Flow]) {
        let mut questions = Vec::new();
        let mut found = Vec::new();
        for (number, flow) in flows.iter().enumerate() {
            let Treatment::Dns(dns) = &flow.treatment else { continue };
            let over = |protocol| Traffic {
                direction: Direction::Egress,
                protocol: Some(protocol),
                remote_ports: vec![Ports { first: 53, last: 53 }],
                network: None,
                ..flow.traffic.clone()
            };
            let udp = over(Protocol::Udp);
            let comment = format!("flow {number}");
            questions.extend(rules(&nft::select(&udp, false, None), Verdict::Queue(NAMES), &comment));
            if dns.names.is_empty() {
                // Who asks again over TCP is to learn no more. For some names alone TCP would have to be read: it passes.
                questions.extend(rules(&nft::select(&over(Protocol::Tcp), false, None), Verdict::Drop, &comment));
            }
            found.push((udp, dns.clone()));
        }
        if !found.is_empty() {
            self.lanes.push(Lane { queue: NAMES, work: Work::Names(found) });
            // Before the engine's own name server is put in the place of the one that was asked, and on the loopback, too.
            self.chains.push(Chain {
                name: "names".to_owned(),
                hook: Hook::Output,
                priority: -320,
                rules: [own(), questions].concat(),
            });
        }
    }
}

/// The rules being gathered, one list for each chain.
#[derive(Default)]
struct Chains {
    leave: Vec<Rule>,
    /// Where a sender is not told; and what is forwarded comes by, too.
    vanish: Vec<Rule>,
    answers: Vec<Rule>,
    arrive: Vec<Rule>,
    /// Where older kernels can refuse as well.
    refuse: Vec<Rule>,
}

impl Chains {
    /// The chains that do something. What leaves late is counted even if it is its answers that wait.
    fn done(self) -> Vec<Chain> {
        let all = [
            ("leave", Hook::Output, -300, self.leave),
            ("vanish", Hook::Postrouting, 300, self.vanish),
            ("answers", Hook::Prerouting, -310, self.answers),
            ("arrive", Hook::Prerouting, -300, self.arrive),
            ("refuse", Hook::Input, 0, self.refuse),
        ];
        all.into_iter()
            .filter(|(_, _, _, rules)| {
                rules.iter().any(|rule| rule.verdict != Verdict::Accept || counts_for(&rule.comment).is_some())
            })
            .map(|(name, hook, priority, rules)| {
                let name = name.to_owned();
                Chain { name, hook, priority, rules: [own(), never_meant(hook), rules].concat() }
            })
            .collect()
    }
}

fn own() -> Vec<Rule> {
    vec![Rule { matches: vec![Match::Mark(OWN)], verdict: Verdict::Accept, comment: "own".to_owned() }]
}

fn rules(meant: &[Vec<Match>], verdict: Verdict, comment: &str) -> Vec<Rule> {
    meant.iter().map(|matches| Rule { matches: matches.clone(), verdict, comment: comment.to_owned() }).collect()
}

/// What a packet fits that is meant and lost, each with this probability; nothing: all are.
fn lost(meant: &[Vec<Match>], probability: Option<f64>) -> Vec<Vec<Match>> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped, and rounding is meant")]
    let share = |probability: f64| (probability.clamp(0.0, 1.0) * 4_294_967_296.0).round() as u64;
    // Every number of 32 bits is below 2^32: nothing needs to be drawn.
    let drawn = probability.and_then(|p| u32::try_from(share(p)).ok()).map(Match::Random);
    meant.iter().map(|all| all.iter().copied().chain(drawn).collect()).collect()
}

/// Refusals pass where everything is refused: resets, and what ICMP says of unreachable ports.
fn refusals(meant: &[Vec<Match>]) -> Vec<Rule> {
    let reset = vec![Match::Protocol(6), Match::Byte { at: 13, mask: 4, first: 4, last: 4 }];
    let kind = |v6, protocol, kind| {
        vec![Match::V6(v6), Match::Protocol(protocol), Match::Byte { at: 0, mask: 0xff, first: kind, last: kind }]
    };
    let pass = [reset, kind(false, 1, 3), kind(true, 58, 1)];
    let meant: Vec<_> = meant.iter().flat_map(|all| pass.iter().map(|more| [all.as_slice(), more].concat())).collect();
    rules(&meant, Verdict::Accept, "refusals")
}

/// The way in of what answers TCP that leaves, where such TCP is meant.
fn mirrored(traffic: &Traffic) -> Option<Traffic> {
    let tcp = traffic.protocol.is_none_or(|p| p == Protocol::Tcp);
    (traffic.has(false) && tcp).then(|| Traffic {
        direction: Direction::Ingress,
        protocol: Some(Protocol::Tcp),
        ..traffic.clone()
    })
}

/// What of a shape is about being late, and the rest. Overtaking means nothing without being late.
fn split(shape: &Shape) -> (Shape, Shape) {
    let late = Shape {
        delay: shape.delay,
        jitter: shape.jitter,
        correlation: shape.correlation,
        distribution: shape.distribution,
        reorder: shape.reorder,
        ..Shape::default()
    };
    let none = Shape::default();
    let rest = Shape {
        delay: none.delay,
        jitter: none.jitter,
        correlation: none.correlation,
        distribution: none.distribution,
        reorder: None,
        ..shape.clone()
    };
    (late, rest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::network::{Bandwidth, Chance, Loss, Mechanism};

    fn flow(traffic: Traffic, treatment: Treatment) -> Flow {
        Flow { traffic, treatment }
    }

    fn laid(flows: &[Flow]) -> Layout {
        laid_by(Some(Mechanism::Userspace), flows)
    }

    fn laid_by(mechanism: Option<Mechanism>, flows: &[Flow]) -> Layout {
        let network = Network { flows: flows.to_vec(), mechanism, seed: 0 };
        layout(&network, &|name| (name == "here").then_some(5))
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
        let Work::Shape(models) = &lane.work else { return None };
        Some(models.iter().map(|m| layout.models[*m].clone()).collect())
    }

    #[test]
    fn tcp_waits_where_it_arrives_and_everything_else_where_it_is() {
        let all = laid(&[shaped(Direction::Both, None, shape())]);
        assert_eq!(names(&all), ["leave", "answers", "arrive"]);
        let late = Shape { delay: shape().delay, ..Shape::default() };
        let lost = Shape { loss: shape().loss, ..Shape::default() };
        let pace = Shape { bandwidth: shape().bandwidth, ..Shape::default() };
        let slow = Shape { bandwidth: None, ..shape() };
        assert_eq!(met(&all, 0), Some(vec![lost, pace.clone()]), "TCP where it leaves");
        assert_eq!(met(&all, 1), Some(vec![late]), "its answers");
        assert_eq!(met(&all, 2), Some(vec![slow, pace]), "what else leaves");
        assert_eq!(met(&all, 3), Some(vec![shape()]), "what arrives");
        let [Work::Shape(tcp), Work::Shape(other)] = [&all.lanes[0].work, &all.lanes[2].work] else { panic!() };
        assert_eq!(tcp.last(), other.last(), "one rate for all that leaves");
    }

    #[test]
    fn nothing_is_queued_that_nothing_happens_to() {
        let late = Shape { loss: None, bandwidth: None, ..shape() };
        let tcp = laid(&[shaped(Direction::Egress, Some(Protocol::Tcp), late.clone())]);
        assert_eq!((names(&tcp), tcp.lanes.len()), (vec!["leave", "answers"], 1), "what leaves is counted");
        let udp = laid(&[shaped(Direction::Egress, Some(Protocol::Udp), late)]);
        assert_eq!((names(&udp), udp.lanes.len()), (vec!["leave"], 1));
        let lost = Shape { delay: Duration::ZERO, bandwidth: None, ..shape() };
        let tcp = laid(&[shaped(Direction::Egress, Some(Protocol::Tcp), lost)]);
        assert_eq!((names(&tcp), tcp.lanes.len()), (vec!["leave"], 1));
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
                            assert_eq!((chain.name.as_str(), has("flow 1")), ("refuse", None), "{first:?}, {then:?}");
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
}
