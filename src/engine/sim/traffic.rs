//! What happens to a request on its way through the sim's world, where traffic is disturbed. One packet each way.

use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

use crate::model::instance::{Counted, Instance, InstanceId};
use crate::model::network::{
    Chance, Chosen, Delay, Dns, DnsAnswer, Flow, GrpcFault, HttpFault, Loss, Network, Packet, Peer, Peers, ProxyFault,
    Shape, TlsEnd, Traffic, Treatment,
};
use crate::text::glob::glob;

/// The port that the client has.
const ASKERS_PORT: u16 = 50_000;
/// How many bits a packet of the sim has.
const PACKET_BITS: u64 = 1500 * 8;
/// How long packets queue before a rate; beyond it they are lost.
const QUEUE: Duration = Duration::from_secs(1);
/// TCP, in the IP header.
const TCP: u8 = 6;

/// The disturbance of one instance's traffic.
pub(super) struct Disturbed {
    network: Network,
    since: Instant,
    dice: ChaCha12Rng,
    /// Until when what has passed keeps the line busy.
    busy_until: Instant,
    in_burst: bool,
}

/// One packet, seen from one of its ends.
pub(super) struct Crossing<'a> {
    /// Whether it arrives at this end.
    pub(super) arrives: bool,
    /// Whether this end is the one that asked.
    pub(super) asks: bool,
    /// The port that was asked.
    pub(super) port: u16,
    /// The other end.
    pub(super) peer: &'a Instance,
}

/// What a request to a service meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Met {
    /// An answer, so much later than in an undisturbed world, and who is said to have given it: the first on the way who is
    /// in a zone.
    Answer(Duration, Option<InstanceId>),
    Refused,
    Silence,
}

/// What becomes of a packet.
pub(super) enum PacketDecision {
    /// It passes, so much later.
    Passes(Duration),
    /// It does not get through, and has not since then.
    Stopped(Met, Instant),
}

impl Disturbed {
    pub(super) fn new(network: Network, now: Instant) -> Self {
        let dice = ChaCha12Rng::seed_from_u64(network.seed);
        Self { network, since: now, dice, busy_until: now, in_burst: false }
    }

    /// What becomes of a packet, counted where it is meant.
    pub(super) fn meets(&mut self, packet: &Crossing<'_>, now: Instant, counted: &mut Counted) -> PacketDecision {
        let flow = self.network.flows.iter().find(|f| !matches!(f.treatment, Treatment::Dns(_)) && meant(f, packet));
        let Some(treatment) = flow.map(|f| f.treatment.clone()) else { return PacketDecision::Passes(Duration::ZERO) };
        counted.packets += 1;
        let fate = match &treatment {
            Treatment::Shape(shape) => self.shaped(shape, now),
            Treatment::Drop => PacketDecision::Stopped(Met::Silence, self.since),
            Treatment::Reject | Treatment::Refuse(_) => PacketDecision::Stopped(Met::Refused, self.since),
            Treatment::Dns(_) => PacketDecision::Passes(Duration::ZERO),
            Treatment::Proxy(proxied) => self.proxied(&proxied.fault, now, counted),
        };
        counted.dropped += u64::from(matches!(fate, PacketDecision::Stopped(..)));
        fate
    }

    /// What becomes of the query for a service's name.
    pub(super) fn asks_for(&self, service: &str, counted: &mut Counted) -> PacketDecision {
        let meant = |dns: &Dns| dns.names.is_empty() || dns.names.iter().any(|name| glob(name, service));
        let answer = self.network.flows.iter().find_map(|f| match &f.treatment {
            Treatment::Dns(dns) if meant(dns) => Some(dns.answer),
            _ => None,
        });
        let Some(answer) = answer else { return PacketDecision::Passes(Duration::ZERO) };
        let names = Some(counted.names.unwrap_or_default() + 1);
        *counted = Counted { packets: counted.packets + 1, dropped: counted.dropped + 1, names, ..*counted };
        match answer {
            // Nobody in this world lives at an address that was made up.
            DnsAnswer::Timeout | DnsAnswer::Address(_) => PacketDecision::Stopped(Met::Silence, self.since),
            DnsAnswer::Nxdomain | DnsAnswer::Servfail => PacketDecision::Stopped(Met::Refused, self.since),
        }
    }

    fn shaped(&mut self, shape: &Shape, now: Instant) -> PacketDecision {
        // Whatever else there is to a shape, this world has to do. What comes twice is an answer all the same, and what varies does so
        // evenly.
        let Shape { delay, jitter, correlation: _, distribution: _, loss, corrupt, duplicate: _, reorder, bandwidth } =
            shape;
        let corrupt = corrupt.is_some_and(|c| self.happens(c));
        if self.is_lost(*loss) || corrupt {
            return PacketDecision::Stopped(Met::Silence, now);
        }
        let mut late = *delay;
        if reorder.is_some_and(|r| self.happens(r.chance)) {
            late = Duration::ZERO;
        } else if !jitter.is_zero() {
            late = (late + jitter.mul_f64(2.0 * self.draw())).saturating_sub(*jitter);
        }
        if let Some(limit) = bandwidth {
            let takes = |bits: u64| Duration::from_secs_f64(bits as f64 / limit.rate as f64);
            self.busy_until = self.busy_until.max(now) + takes(PACKET_BITS);
            let queued = (self.busy_until - now).saturating_sub(takes(limit.burst * 8));
            if queued > QUEUE {
                self.busy_until -= takes(PACKET_BITS);
                return PacketDecision::Stopped(Met::Silence, now);
            }
            late += queued;
        }
        PacketDecision::Passes(late)
    }

    /// What becomes of a request, each of which has a connection of its own here; whatever it asks for is meant.
    fn proxied(&mut self, fault: &ProxyFault, now: Instant, counted: &mut Counted) -> PacketDecision {
        let mut told = counted.proxy.unwrap_or_default();
        told.connections += 1;
        let (is_affected, fate) = match fault {
            ProxyFault::Stream(fault) => {
                let stops = (fault.hang, fault.end.is_some() || fault.limit.is_some());
                (self.draw() < fault.share, self.through_a_proxy(stops, fault.delay, now))
            }
            ProxyFault::Redis { share, .. } | ProxyFault::Postgres { share, .. } => {
                (self.draw() < *share, self.through_a_proxy((false, true), Delay::default(), now))
            }
            ProxyFault::Grpc(fault) => {
                return self.proxied(&ProxyFault::Http(Box::new(as_failing(fault))), now, counted);
            }
            ProxyFault::Tls(fault) => {
                let stops = (fault.end == Some(TlsEnd::Stall), fault.end.is_some());
                (self.draw() < fault.share, self.through_a_proxy(stops, fault.delay, now))
            }
            ProxyFault::Http(fault) => {
                (told.requests, told.meant) = (told.requests + 1, told.meant + 1);
                let Chosen { first, every, share } = fault.chosen;
                let counts = first.is_none_or(|first| told.meant <= first) && told.meant.is_multiple_of(every.max(1));
                let fails = fault.answer.as_ref().is_some_and(|answer| answer.status >= 500)
                    || fault.cut_after.is_some()
                    || fault.corrupt_body;
                (counts && self.draw() < share, self.through_a_proxy((fault.stall, fails), fault.delay, now))
            }
        };
        told.affected += u64::from(is_affected);
        counted.proxy = Some(told);
        if is_affected { fate } else { PacketDecision::Passes(Duration::ZERO) }
    }

    /// With no answer, or a wrong one, or so much later.
    fn through_a_proxy(&mut self, stops: (bool, bool), delay: Delay, now: Instant) -> PacketDecision {
        match stops {
            (true, _) => PacketDecision::Stopped(Met::Silence, now),
            (_, true) => PacketDecision::Stopped(Met::Refused, now),
            _ => {
                let Delay { delay, jitter, .. } = delay;
                PacketDecision::Passes((delay + jitter.mul_f64(2.0 * self.draw())).saturating_sub(jitter))
            }
        }
    }

    fn is_lost(&mut self, loss: Option<Loss>) -> bool {
        let (begins, ends, bad, good) = match loss {
            None => return false,
            Some(Loss::Random(chance)) => return self.happens(chance),
            Some(Loss::GilbertElliott { p, r, bad, good }) => (p, r, bad, good),
            // The states of a burst as one.
            Some(Loss::Markov { p13, p31, p32, p23, p14 }) => {
                (p13, p31, if p32 > 0.0 { p23 / (p23 + p32) } else { 1.0 }, p14)
            }
        };
        let turns = self.draw() < if self.in_burst { ends } else { begins };
        self.in_burst ^= turns;
        self.draw() < if self.in_burst { bad } else { good }
    }

    fn happens(&mut self, chance: Chance) -> bool {
        self.draw() < chance.probability
    }

    /// From 0 to 1.
    fn draw(&mut self) -> f64 {
        self.dice.random::<f64>()
    }
}

/// In this world an error of gRPC is one of HTTP.
fn as_failing(fault: &GrpcFault) -> HttpFault {
    let mut http = fault.as_http();
    if let Some(answer) = &mut http.answer {
        answer.status = 503;
    }
    http
}

fn meant(flow: &Flow, packet: &Crossing<'_>) -> bool {
    let ports = if packet.asks { (packet.port, ASKERS_PORT) } else { (ASKERS_PORT, packet.port) };
    // In this world a host's name is that of an instance or of its service.
    let hosts = match &flow.traffic.peers {
        Peers::These(peers) => peers
            .iter()
            .any(|p| matches!(p, Peer::Host(name) if *name == packet.peer.name || *name == packet.peer.service)),
        Peers::Everybody | Peers::AllBut(_) => false,
    };
    // A connection is met where it begins.
    if matches!(flow.treatment, Treatment::Proxy(_) | Treatment::Refuse(_)) && packet.asks == flow.traffic.comes() {
        return false;
    }
    let named = Traffic { peers: Peers::Everybody, ..flow.traffic.clone() };
    let traffic = if hosts { &named } else { &flow.traffic };
    packet
        .peer
        .addresses
        .iter()
        .any(|a| traffic.matches(&Packet { arrives: packet.arrives, remote: a.ip, protocol: TCP, ports: Some(ports) }))
}
