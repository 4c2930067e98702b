//! Whether a disturbance of traffic has an effect: by the packets that met it, and by what became of them. Pure.

use crate::model::effect::Effect;
use crate::model::instance::Counted;
use crate::model::network::{Chance, Flow, Network, Shape, Talk, Treatment};

/// How many packets must be expected to be altered before it is taken for certain that one was: then it is not so once in a
/// thousand times.
const CERTAIN: f64 = 7.0;

/// What has become of traffic so far; `talk` is what flows there instead.
pub(super) fn effect(network: &Network, counted: Counted, talk: Option<&Talk>) -> Effect {
    let selected = || {
        let flows: Vec<String> = network.flows.iter().map(|flow| flow.traffic.to_string()).collect();
        format!("traffic {}", flows.join("; "))
    };
    let none = |seen: String| Effect::Unaffected { selected: selected(), seen };
    let affected = || Effect::Affected { evidence: counted.to_string() };
    let Counted { packets, dropped, altered, waited, names, .. } = counted;
    let about_names = || network.flows.iter().all(|flow| matches!(flow.treatment, Treatment::Dns(_)));
    let by_proxy = network.flows.iter().all(|flow| matches!(flow.treatment, Treatment::Proxy(_)));
    let proxy = counted.proxy.unwrap_or_default();
    // A connection that has begun says nothing yet of what became of it.
    if by_proxy && (packets > 0 || proxy.connections > 0) {
        return if proxy.affected > 0 { affected() } else { none(proxy.to_string()) };
    }
    if packets == 0 && about_names() {
        return none("it asked for no name; what it remembers it does not ask for".to_owned());
    }
    if packets == 0 {
        let instead = talk.map(|talk| format!(": {talk}")).unwrap_or_default();
        return none(format!("no packet met it{instead}"));
    }
    // Of queries, those about other names pass.
    if let (Some(asked), 0) = (some_names(network), names.unwrap_or_default()) {
        let seen =
            format!("{packets} packets met it, and none asked for {asked}; what it remembers it does not ask for");
        return none(seen);
    }
    let chances: Option<Vec<Chances>> = network.flows.iter().map(|flow| Chances::of(&flow.treatment)).collect();
    // Where a flow does the same to every packet, each that met it was changed by it.
    let Some(all) = chances else { return affected() };
    if dropped > 0 || altered.is_some_and(|n| n > 0) || waited.is_some_and(|n| n > 0) {
        return affected();
    }
    let (alters, limits) = (all.iter().any(|c| c.alters > 0.0), all.iter().any(|c| c.limits));
    if (!alters || altered.is_some()) && (!limits || waited.is_some()) {
        let what = match (alters, limits) {
            (false, false) => "lost",
            (true, false) => "lost, altered, sent twice or out of turn",
            (false, true) => "lost or made to wait: the rate is more than what flows",
            (true, true) => "lost, altered, sent twice or out of turn, or made to wait by the rate",
        };
        return none(format!("{packets} packets met it, and none was {what}"));
    }
    let unknown = |why| Effect::Unknown { selected: selected(), why };
    if !alters {
        return unknown(format!("{packets} packets met it, and whether the rate made one wait is not counted"));
    }
    let expected = packets as f64 * all.iter().map(|c| c.alters).fold(f64::INFINITY, f64::min);
    if expected >= CERTAIN {
        return Effect::Affected { evidence: format!("{counted}, of which {expected:.0} are altered by its chance") };
    }
    unknown(format!(
        "{packets} packets met it, of which {expected:.1} are altered by its chance, and the kernel does not count them"
    ))
}

/// The names that are meant, where nothing but queries about these is.
fn some_names(network: &Network) -> Option<String> {
    let names_of = |flow: &Flow| match &flow.treatment {
        Treatment::Dns(dns) if !dns.names.is_empty() => Some(dns.names.join(", ")),
        _ => None,
    };
    network.flows.iter().map(names_of).collect::<Option<Vec<String>>>().map(|all| all.join(", "))
}

/// What happens to some packets alone: by chance, or where more of them come than may pass.
struct Chances {
    /// How likely a packet is altered, sent twice, or sent out of turn.
    alters: f64,
    /// Whether they are held to a rate.
    limits: bool,
}

impl Chances {
    /// `None` where every packet is changed. Where packets are to overtake, that the others are late is but the means.
    fn of(treatment: &Treatment) -> Option<Self> {
        let Treatment::Shape(shape) = treatment else { return None };
        let by_chance = Shape {
            loss: shape.loss,
            corrupt: shape.corrupt,
            duplicate: shape.duplicate,
            bandwidth: shape.bandwidth,
            ..Shape::default()
        };
        let overtaking =
            shape.reorder.map(|reorder| Shape { reorder: Some(reorder), delay: shape.delay, ..by_chance.clone() });
        let only = **shape == by_chance || overtaking.is_some_and(|overtaking| **shape == overtaking);
        // What depends on the packet before comes in runs, and so less surely.
        let of = |chance: Chance| chance.probability * (1.0 - chance.correlation);
        let out_of_turn = shape.reorder.map(|r| of(r.chance) / f64::from(r.gap.max(1)));
        let others = [shape.corrupt, shape.duplicate].into_iter().flatten().map(of);
        let alters = others.chain(out_of_turn).fold(0.0, f64::max);
        // A shape that does nothing is none.
        (only && **shape != Shape::default()).then(|| Self { alters, limits: shape.bandwidth.is_some() })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::network::{
        Bandwidth, Direction, Dns, DnsAnswer, Existing, Loss, Proxied, ProxyFault, ProxyStatistics, RedisError,
        Reorder, Traffic,
    };

    fn network(shape: &Shape) -> Network {
        let treatment = Treatment::Shape(Box::new(shape.clone()));
        Network { flows: vec![Flow { traffic: Traffic::all(Direction::Egress), treatment }], mechanism: None, seed: 0 }
    }

    #[track_caller]
    fn is(shape: &Shape, counted: Counted, want: &str) {
        let effect = effect(&network(shape), counted, None);
        let found = match effect {
            Effect::Affected { .. } => "affected",
            Effect::Unaffected { .. } => "not affected",
            Effect::Unknown { .. } => "unknown",
        };
        assert_eq!(found, want, "{effect}");
    }

    fn met(packets: u64, dropped: u64, altered: Option<u64>) -> Counted {
        Counted { packets, dropped, altered, ..Counted::default() }
    }

    #[test]
    fn a_loss_that_lost_nothing_had_no_effect_and_a_delay_that_was_met_had_one() {
        let loss =
            Shape { loss: Some(Loss::Random(Chance { probability: 0.0001, correlation: 0.0 })), ..Shape::default() };
        let late = Shape { delay: Duration::from_millis(1), ..loss.clone() };
        for (shape, counted, want) in [
            (&loss, met(0, 0, None), "not affected"),
            (&loss, met(900, 0, None), "not affected"),
            (&loss, met(900, 1, None), "affected"),
            (&late, met(0, 0, None), "not affected"),
            (&late, met(900, 0, None), "affected"),
        ] {
            is(shape, counted, want);
        }
    }

    #[test]
    fn what_alters_some_packets_must_have_altered_one() {
        let chance = Chance { probability: 0.01, correlation: 0.0 };
        let delay = Duration::from_millis(5);
        for shape in [
            Shape { corrupt: Some(chance), ..Shape::default() },
            Shape { duplicate: Some(chance), ..Shape::default() },
            Shape { reorder: Some(Reorder { chance, gap: 1 }), delay, ..Shape::default() },
        ] {
            is(&shape, met(0, 0, Some(0)), "not affected");
            is(&shape, met(900, 0, Some(0)), "not affected");
            is(&shape, met(900, 0, Some(1)), "affected");
            // The kernel's own emulator does not count.
            is(&shape, met(20, 0, None), "unknown");
            is(&shape, met(900, 0, None), "affected");
        }
        let jitter = Shape { corrupt: Some(chance), jitter: delay, delay, ..Shape::default() };
        is(&jitter, met(1, 0, Some(0)), "affected");
    }

    #[test]
    fn a_rate_that_made_nothing_wait_had_no_effect() {
        let rate = Shape { bandwidth: Some(Bandwidth { rate: 1_000_000, burst: 0 }), ..Shape::default() };
        let waited = |dropped, waited| Counted { packets: 900, dropped, waited, ..Counted::default() };
        is(&rate, met(0, 0, None), "not affected");
        is(&rate, waited(0, Some(0)), "not affected");
        is(&rate, waited(0, Some(1)), "affected");
        is(&rate, waited(1, Some(0)), "affected");
        // The kernel's own emulator does not count.
        is(&rate, waited(0, None), "unknown");
        let chance = Chance { probability: 0.000_001, correlation: 0.0 };
        let line = Shape { loss: Some(Loss::Random(chance)), corrupt: Some(chance), ..rate.clone() };
        is(&line, waited(0, Some(0)), "unknown");
        is(&line, Counted { altered: Some(0), ..waited(0, Some(0)) }, "not affected");
        let late = Shape { delay: Duration::from_millis(5), ..rate };
        is(&late, waited(0, Some(0)), "affected");
    }

    #[test]
    fn a_connection_that_goes_through_a_proxy_is_no_effect_before_something_is_done_to_it() {
        let treatment = Treatment::Proxy(Proxied {
            existing: Existing::Reset,
            fault: ProxyFault::Redis { error: RedisError::Loading, share: 1.0 },
        });
        let flows = vec![Flow { traffic: Traffic::all(Direction::Egress), treatment }];
        let network = Network { flows, mechanism: None, seed: 0 };
        let told =
            |connections, affected| Some(ProxyStatistics { connections, affected, ..ProxyStatistics::default() });
        for (packets, proxy, want) in [
            (0, None, false),
            // It has begun, and the proxy has not told of it yet.
            (1, None, false),
            (1, told(0, 0), false),
            (5, told(5, 0), false),
            (5, told(5, 1), true),
        ] {
            let effect = effect(&network, Counted { packets, proxy, ..Counted::default() }, None);
            assert_eq!(matches!(effect, Effect::Affected { .. }), want, "{packets} {proxy:?}: {effect}");
        }
    }

    #[test]
    fn questions_about_other_names_are_no_effect() {
        let asked = |names: &[&str], packets, wrong| {
            let names = names.iter().map(ToString::to_string).collect();
            let treatment = Treatment::Dns(Dns { names, answer: DnsAnswer::Nxdomain });
            let flows = vec![Flow { traffic: Traffic::all(Direction::Egress), treatment }];
            let counted = Counted { packets, names: wrong, ..Counted::default() };
            effect(&Network { flows, mechanism: None, seed: 0 }, counted, None)
        };
        let other = asked(&["store", "*.gone"], 16, Some(0));
        assert!(other.is_unaffected() && other.to_string().contains("none asked for store, *.gone"), "{other}");
        assert!(asked(&["store"], 16, Some(1)).is_affected());
        assert!(asked(&[], 16, Some(16)).is_affected());
        assert!(asked(&[], 1, Some(0)).is_affected(), "over TCP no name is read, and no query passes");
        assert!(asked(&[], 0, Some(0)).is_unaffected());
    }
}
