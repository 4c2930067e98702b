//! Where packets wait: flows to rules of nf_tables, and to what is done with the packets of each queue. Pure.
//!
//! A packet that waits where it leaves still belongs to its sender's socket, which then sends no more than a few at a time
//! (TCP small queues), or none when its buffer is full (UDP). So what is to be late is first replaced by a copy that belongs
//! to no socket: a rule makes it (`dup`; the bytes are shared), and the packet itself vanishes. The copy meets the same hook
//! from its beginning, is known there by its mark, and waits. What a rate holds back waits before that, while its socket
//! still has it: a sender is to notice a rate.
//!
//! When it has waited, the copy is replaced in its turn, and vanishes when the last copy has left; but for one of TCP. A
//! datagram that is cut to pieces on its way out is a list of them already, which a copy borrows. Only while another process has
//! that list, too, does the kernel make new pieces; else it takes those apart, by sizes that are those of the packet and not
//! of its copy.
//!
//! Packets are met before connections are tracked and addresses translated, so that they are what is on the wire.

use crate::host::net::nft::rule::{LEASED, lapsed, never_meant, own};
use crate::host::net::nft::{self, Chain, Hook, Match, Rule, Verdict, Version};
use crate::host::net::queue::Copied;
use crate::model::network::{By, Direction, Dns, Flow, Network, Ports, Protocol, Shape, Traffic, Treatment};

/// The upper half of a mark. Copies are known by it, so it must be zero before: it is zero again when they go on.
const UPPER: u32 = 0xffff_0000;
/// What of it says that a packet is a copy, and what a copy has there ("sp").
const COPIED: u32 = 0xfff8_0000;
const COPY: u32 = 0x7370_0000;
/// What a copy's mark has besides: routers may cut to pieces what it is a copy of; it has waited; it is the last copy.
const IN_PIECES: u32 = 0x1_0000;
const WAITED: u32 = 0x2_0000;
const LAST: u32 = 0x4_0000;

/// The mark with which a copy that has waited meets its rules once more; `None`: it is no copy, or one of TCP, whose packets
/// are no lists, and goes on. `data` begins with the IP header.
pub(super) fn again(mark: u32, data: &[u8]) -> Option<u32> {
    const TCP: u8 = 6;
    let protocol = data.get(if data.first().is_some_and(|first| first >> 4 == 6) { 6 } else { 9 });
    (mark & COPIED == COPY && protocol != Some(&TCP)).then_some(mark | WAITED)
}

/// The first queue's number, for DNS queries; three for each flow follow.
const NAMES: u16 = 0x7371;

/// What of a namespace decides what has to be laid on it.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The number of an engine's network's interface.
    pub interface: &'a dyn Fn(&str) -> Option<u32>,
    /// Whether connections are tracked there.
    pub tracked: bool,
}

/// Whether packets of a flow are replaced by copies where they leave.
#[must_use]
pub fn copies(network: &Network, flow: &Flow) -> bool {
    let late = |shape: &Shape| !(shape.delay.is_zero() && shape.jitter.is_zero());
    let shaped = matches!(&flow.treatment, Treatment::Shape(shape) if late(shape));
    shaped && network.by(flow) == By::Process && flow.traffic.has(false)
}

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
    pub work: LaneWork,
}

/// What is done with the packets of a queue.
#[derive(Debug, Clone, PartialEq)]
pub enum LaneWork {
    /// They meet these models, one after the other.
    Shape(Vec<usize>),
    /// They are DNS queries; the first that fits decides.
    Names(Vec<(Traffic, Dns)>),
}

impl Layout {
    /// How much of a lane's packets is needed.
    #[must_use]
    pub fn copied(&self, lane: &Lane) -> Copied {
        let alters = |shape: &Shape| shape.corrupt.is_some() || shape.duplicate.is_some();
        match &lane.work {
            LaneWork::Shape(models) if !models.iter().filter_map(|m| self.models.get(*m)).any(alters) => Copied::First,
            LaneWork::Shape(_) | LaneWork::Names(_) => Copied::Whole,
        }
    }
}

/// What rules begin with, in their comments, whose packets are lost.
const LOST: &str = "lost, ";

/// What rules begin with whose packets wait with their socket.
const KEPT: &str = "kept, ";

/// Whether a rule counts packets that wait with their socket, and so limit how fast it sends.
#[must_use]
pub fn keeps_socket(comment: &str) -> bool {
    comment.starts_with(KEPT)
}

/// What rules begin with that count connections for a proxy.
const PROXIED: &str = "proxied, ";

/// Whether a rule counts connections that a proxy must be there for.
#[must_use]
pub fn wants_proxy(comment: &str) -> bool {
    comment.starts_with(PROXIED)
}

/// The flow, by its place, whose packets a rule counts, and whether it loses them; `None`: it counts for none.
#[must_use]
pub fn counts_for(comment: &str) -> Option<(usize, bool)> {
    let comment = comment.strip_prefix(PROXIED).unwrap_or(comment);
    let (flow, lost) = comment.strip_prefix(LOST).map_or((comment, false), |flow| (flow, true));
    Some((flow.strip_prefix("flow ")?.parse().ok()?, lost))
}

/// What has to be laid. What is bound to an interface that is not there is left out.
#[must_use]
pub fn layout(network: &Network, surroundings: Surroundings<'_>) -> Layout {
    let mut layout = Layout::default();
    let mut chains = Chains::default();
    for (number, flow) in network.flows.iter().enumerate() {
        let index = flow.traffic.network.as_deref().map(surroundings.interface);
        if index == Some(None) {
            continue;
        }
        let meant = |arriving| nft::select(&flow.traffic, arriving, index.flatten());
        let (out, arriving) = (meant(false), meant(true));
        let comment = format!("flow {number}");
        // Where a packet is not treated, it passes, so that no later flow takes it; and is counted elsewhere.
        let passes = |meant: &[Vec<Match>]| rules(meant, Verdict::Accept, &format!("passes, {comment}"));
        if !copies(network, flow) {
            chains.pace.extend(passes(&out));
            chains.copy.extend(passes(&out));
        }
        match (network.by(flow), &flow.treatment) {
            (By::Queues, _) => {
                chains.queued |= !out.is_empty();
                chains.leave.extend(passes(&out));
                chains.vanish.extend(passes(&out));
                chains.arrive.extend(passes(&arriving));
                chains.refuse.extend(passes(&arriving));
            }
            (By::Rules, Treatment::Reject) => {
                chains.leave.extend(refusals(&out));
                chains.leave.extend(nft::refuse(&out, &comment));
                chains.vanish.extend(passes(&out));
                chains.arrive.extend(passes(&arriving));
                chains.refuse.extend(refusals(&arriving));
                chains.refuse.extend(nft::refuse(&arriving, &comment));
            }
            (By::Rules, Treatment::Refuse(_)) => {
                let begun = nft::beginnings(&flow.traffic, index.flatten());
                let chain = if flow.traffic.comes() { &mut chains.refuse } else { &mut chains.leave };
                chain.extend(rules(&begun, Verdict::Reset, &format!("{LOST}{comment}")));
                chains.leave.extend(passes(&out));
                chains.vanish.extend(passes(&out));
                chains.arrive.extend(passes(&arriving));
                chains.refuse.extend(passes(&arriving));
            }
            (By::Rules, treatment) => {
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
                let base = NAMES + 1 + 3 * u16::try_from(number).unwrap_or(0);
                let mut lane = |at: u16, shapes: &[Option<Shape>]| {
                    let models: Vec<usize> = shapes.iter().filter_map(|s| layout.model(s.clone())).collect();
                    if models.is_empty() {
                        return Verdict::Accept;
                    }
                    layout.lanes.push(Lane { queue: base + at, work: LaneWork::Shape(models) });
                    Verdict::Queue(base + at)
                };
                if !out.is_empty() {
                    let pace = shape.bandwidth.map(|b| Shape { bandwidth: Some(b), ..Shape::default() });
                    let unpaced = Some(Shape { bandwidth: None, ..(**shape).clone() });
                    if copies(network, flow) {
                        chains.pace.extend(rules(&out, lane(0, &[pace]), &comment));
                        let held = lane(1, &[unpaced]);
                        for matches in &out {
                            let copies = [matches.as_slice(), &[IS_COPY]].concat();
                            chains.copy.push(rule(copies, held, &format!("late, {comment}")));
                            let copy = Verdict::Copy { v6: false, mark: COPY };
                            chains.copy.push(rule(matches.clone(), copy, &format!("copied, {comment}")));
                        }
                        chains.leave.extend(rules(&out, held, &format!("{KEPT}{comment}")));
                    } else {
                        chains.leave.extend(rules(&out, lane(1, &[unpaced, pace]), &comment));
                    }
                }
                chains.vanish.extend(passes(&out));
                if !arriving.is_empty() {
                    let verdict = lane(2, &[Some((**shape).clone())]);
                    chains.arrive.extend(rules(&arriving, verdict, &comment));
                    chains.refuse.extend(passes(&arriving));
                }
            }
            // DNS queries, which follow.
            (By::Process, _) => {}
            (By::Proxy, _) => {
                // Its own rules lead connections there; here they are counted, whether it stands or not.
                let begun = nft::beginnings(&flow.traffic, index.flatten());
                let chain = if flow.traffic.comes() { &mut chains.arrive } else { &mut chains.leave };
                chain.extend(rules(&begun, Verdict::Accept, &format!("{PROXIED}{comment}")));
                chains.leave.extend(passes(&out));
                chains.vanish.extend(passes(&out));
                chains.arrive.extend(passes(&arriving));
                chains.refuse.extend(passes(&arriving));
            }
        }
    }
    layout.chains = chains.done(surroundings);
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

    /// DNS queries: a chain and a queue for all of them.
    fn names(&mut self, flows: &[Flow]) {
        let mut queries = Vec::new();
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
            queries.extend(rules(&nft::select(&udp, false, None), Verdict::Queue(NAMES), &comment));
            if dns.names.is_empty() {
                // Who asks again over TCP is to learn no more. For some names alone TCP would have to be read: it passes.
                queries.extend(rules(&nft::select(&over(Protocol::Tcp), false, None), Verdict::Drop, &comment));
            }
            found.push((udp, dns.clone()));
        }
        if !found.is_empty() {
            self.lanes.push(Lane { queue: NAMES, work: LaneWork::Names(found) });
            // Before the engine's own name server is put in the place of the one that was asked, and on the loopback, too.
            self.chains.push(Chain {
                version: Version::Both,
                name: "names".to_owned(),
                hook: Hook::Output,
                priority: -320,
                rules: [vec![lapsed(), own()], copied(), queries].concat(),
            });
        }
    }
}

/// The rules being gathered, one list for each chain.
#[derive(Default)]
struct Chains {
    /// Held to a rate, while it belongs to its socket.
    pace: Vec<Rule>,
    /// Replaced by copies.
    copy: Vec<Rule>,
    leave: Vec<Rule>,
    /// Where a sender is not told; and what is forwarded comes by, too.
    vanish: Vec<Rule>,
    arrive: Vec<Rule>,
    /// Where older kernels can refuse as well.
    refuse: Vec<Rule>,
    /// Whether packets that leave are for the kernel's queues, whose filters know them by a mark.
    queued: bool,
}

impl Chains {
    /// The chains that do something.
    fn done(self, surroundings: Surroundings<'_>) -> Vec<Chain> {
        let chain = |name: &str, hook, priority, rules| {
            let name = name.to_owned();
            Chain { version: Version::Both, name, hook, priority, rules }
        };
        let begun = |hook, rules| [vec![lapsed(), own()], never_meant(hook), rules].concat();
        let at = |name, hook, priority, rules: Vec<Rule>| {
            let works = |r: &Rule| r.verdict != Verdict::Accept || counts_for(&r.comment).is_some();
            rules.iter().any(works).then(|| chain(name, hook, priority, begun(hook, rules)))
        };
        let once = |rules| [copied(), rules].concat();
        let copies = self.copy.iter().any(|rule| matches!(rule.verdict, Verdict::Copy { .. }));
        let mut chains = Vec::new();
        if let Some(pace) = at("pace", Hook::Output, -315, self.pace) {
            chains.push(Chain { rules: once(pace.rules), ..pace });
        }
        if copies {
            for version in [Version::V4, Version::V6] {
                let rules = begun(Hook::Output, copying(&self.copy, version));
                chains.push(Chain { version, ..chain("copy", Hook::Output, -310, rules) });
            }
        }
        if let Some(leave) = at("leave", Hook::Output, -300, self.leave) {
            chains.push(Chain { rules: once(leave.rules), ..leave });
        }
        if copies {
            chains.push(chain("proceed", Hook::Output, -290, proceeding(surroundings.tracked)));
        }
        chains.extend(at("vanish", Hook::Postrouting, 300, self.vanish));
        chains.extend(at("arrive", Hook::Prerouting, -300, self.arrive));
        chains.extend(at("refuse", Hook::Input, 0, self.refuse));
        if self.queued {
            let leased = rule(Vec::new(), Verdict::AddMark(LEASED), "leased");
            chains.push(chain("queue", Hook::Postrouting, 320, vec![lapsed(), leased]));
        }
        chains
    }
}

fn rule(matches: Vec<Match>, verdict: Verdict, comment: &str) -> Rule {
    Rule { matches, verdict, comment: comment.to_owned() }
}

const IS_COPY: Match = Match::MarkBits { mask: COPIED, value: COPY, equal: true };

/// Copies pass: they have met this chain as what they are copies of.
fn copied() -> Vec<Rule> {
    vec![rule(vec![IS_COPY], Verdict::Accept, "copies")]
}

/// The rules for one version of IP by which packets are replaced.
fn copying(rules: &[Rule], version: Version) -> Vec<Rule> {
    let v6 = version == Version::V6;
    let is = |state| vec![Match::MarkBits { mask: COPIED | state, value: COPY | state, equal: true }];
    let marked = Match::MarkBits { mask: UPPER, value: 0, equal: false };
    let no_copy = Match::MarkBits { mask: COPIED, value: COPY, equal: false };
    let mut all = vec![
        rule(is(WAITED), Verdict::Copy { v6, mark: WAITED | LAST }, "copies that have waited"),
        rule(is(LAST), Verdict::Accept, "last copies"),
        // What keeps its socket, and waits with it: its copy could not be told from others, or would take another route.
        rule(vec![no_copy, marked], Verdict::Accept, "keeps its socket: marked"),
        rule(vec![Match::Encrypted], Verdict::Accept, "keeps its socket: IPsec"),
    ];
    for rule in rules.iter().filter(|rule| !rule.matches.contains(&Match::V6(!v6))) {
        let Verdict::Copy { mark, .. } = rule.verdict else {
            all.push(rule.clone());
            continue;
        };
        if !v6 {
            let matches = [rule.matches.as_slice(), &[Match::MayFragment]].concat();
            all.push(Rule { matches, verdict: Verdict::Copy { v6, mark: mark | IN_PIECES }, ..rule.clone() });
        }
        all.push(Rule { verdict: Verdict::Copy { v6, mark }, ..rule.clone() });
    }
    all
}

/// What makes copies the same as what they are copies of, when they have waited.
fn proceeding(tracked: bool) -> Vec<Rule> {
    let pieces = Match::MarkBits { mask: COPIED | IN_PIECES, value: COPY | IN_PIECES, equal: true };
    let track = tracked.then(|| rule(vec![IS_COPY], Verdict::Track, "copies are tracked"));
    [rule(vec![pieces], Verdict::AllowFragments, "copies may be cut to pieces")]
        .into_iter()
        .chain(track)
        .chain([rule(vec![IS_COPY], Verdict::KeepMark(!UPPER), "copies go on")])
        .collect()
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

#[cfg(test)]
mod tests;
