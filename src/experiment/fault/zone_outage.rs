//! All instances of a zone at once: without power, cut off from everybody else, frozen, or behind a bad line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bandwidth::Limit;
use super::loss::Losses;
use super::traffic::{delays, disturbed, keys};
use super::{Context, Disturb, Heal, Takes, Whole, as_before, power};
use crate::experiment::document::diagnostic::{Mistake, or};
use crate::experiment::document::found::{Found, dotted, positive};
use crate::model::effect::Idle;
use crate::model::instance::{Instance, Rollback, Setting};
use crate::model::network::{Direction, Distribution, Peer, Peers, Shape, Traffic, Treatment};
use crate::model::quantity::{Percent, Span};

/// The parts of a bad line.
const IMPAIRMENTS: [&str; 3] = ["delay", "loss", "bandwidth"];

/// The keys that say more about a mode, each with the modes that it belongs to.
const OF_MODES: [(&str, &[Mode]); 8] = [
    ("direction", &[Mode::Isolate, Mode::Degrade]),
    ("clients", &[Mode::Isolate]),
    ("delay", &[Mode::Degrade]),
    ("jitter", &[Mode::Degrade]),
    ("correlation", &[Mode::Degrade]),
    ("distribution", &[Mode::Degrade]),
    ("loss", &[Mode::Degrade]),
    ("bandwidth", &[Mode::Degrade]),
];

/// The outage of whole zones. It targets everything of them that the target means; `pick: { zones: 1 }` is its default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ZoneOutage {
    /// What happens to the zone (default `power`).
    pub mode: Mode,
    /// With `isolate` (default `both`) and `degrade` (default `egress`): which packets of the zone's instances, those that
    /// leave them, those that arrive, or both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// With `isolate`: whether those in no zone, customers among them, are cut off from it, too (default `cut`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<Clients>,
    /// With `degrade`: how much later packets arrive in other zones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// With `degrade`: by how much that varies (default 0s). Needs `delay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Span>,
    /// With `degrade`: how much a packet's delay depends on the one before it (default 0%). Needs `jitter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Percent>,
    /// With `degrade`: how the delay varies (default `uniform`). Needs `jitter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// With `degrade`: packets that vanish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Losses>,
    /// With `degrade`: how much passes in a given time, of each instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Limit>,
    /// How the zone comes back when its time is over (default: as a whole, at once).
    #[serde(rename = "return", skip_serializing_if = "Option::is_none")]
    pub staged: Option<Return>,
    /// `self`: the system must recover without intervention. With `power` restart policies are then left as they are.
    pub heal: Heal,
    /// Which targets may be idle, with nothing that meets the fault: `none`, `some` (default) or `allowed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
}

/// What happens to a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Mode {
    /// Its instances are killed at the same moment, and are not restarted until it comes back.
    #[default]
    Power,
    /// Its instances can talk with each other and with nothing else.
    Isolate,
    /// Its instances are frozen: they keep their connections and answer nothing.
    Freeze,
    /// What its instances send to other zones is late, lost, or held to a rate.
    Degrade,
}

/// What becomes of those who are in no zone while one is isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Clients {
    /// They do not reach it: what is not in the zone is cut off.
    #[default]
    Cut,
    /// They reach it: only the instances of other zones are cut off.
    Keep,
}

/// How a zone comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Return {
    /// One instance after the other, by name, so far apart.
    pub every: Span,
}

impl ZoneOutage {
    /// Everybody else in the same zone, by address.
    fn own(instance: &Instance, peers: &[Instance]) -> Vec<Peer> {
        addresses(peers.iter().filter(|i| i.zone == instance.zone))
    }

    /// Every peer in another zone, by address.
    fn other(instance: &Instance, peers: &[Instance]) -> Vec<Peer> {
        addresses(peers.iter().filter(|i| i.zone.is_some() && i.zone != instance.zone))
    }

    fn shape(&self) -> Shape {
        Shape {
            delay: self.delay.unwrap_or_default().0,
            jitter: self.jitter.unwrap_or_default().0,
            correlation: self.correlation.unwrap_or_default().0,
            distribution: self.distribution.unwrap_or_default(),
            loss: self.loss.as_ref().and_then(Losses::loss),
            bandwidth: self.bandwidth.as_ref().map(Limit::bandwidth),
            ..Shape::default()
        }
    }
}

fn addresses<'a>(instances: impl Iterator<Item = &'a Instance>) -> Vec<Peer> {
    let of = |i: &'a Instance| i.addresses.iter().map(|a| Peer::Instance { name: i.name.clone(), address: a.ip });
    let mut peers: Vec<Peer> = instances.flat_map(of).collect();
    peers.sort();
    peers.dedup();
    peers
}

impl Disturb for ZoneOutage {
    fn settings(&self, instance: &Instance, context: &Context<'_>) -> Vec<Setting> {
        match self.mode {
            Mode::Power => power::cut(instance, self.heal),
            Mode::Isolate => {
                let peers = match self.clients.unwrap_or_default() {
                    Clients::Cut => Peers::AllBut(Self::own(instance, context.peers)),
                    Clients::Keep => Peers::These(Self::other(instance, context.peers)),
                };
                let direction = self.direction.unwrap_or(Direction::Both);
                disturbed(context, Traffic { peers, ..Traffic::all(direction) }, Treatment::Drop, None)
            }
            Mode::Freeze => vec![Setting::Paused(true)],
            Mode::Degrade => {
                let peers = Peers::These(Self::other(instance, context.peers));
                let direction = self.direction.unwrap_or(Direction::Egress);
                let shape = Treatment::Shape(Box::new(self.shape()));
                disturbed(context, Traffic { peers, ..Traffic::all(direction) }, shape, None)
            }
        }
    }

    fn back(&self, to: &Setting, before: Option<&Setting>) -> Rollback {
        match to {
            Setting::Killed(_) => Rollback::To(Setting::Running(true)),
            _ => as_before(to, before),
        }
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        let under = |key: &'static str| [own, &[key]].concat();
        for (key, modes) in OF_MODES {
            let Some(entry) = found.document.entry(&under(key)) else { continue };
            if !modes.contains(&self.mode) {
                let at = entry.key_at.clone();
                let of = modes.iter().map(|mode| format!("`mode: {mode}`")).collect::<Vec<_>>().join(" or ");
                found.add(Mistake::error(&at, format!("`{}` goes with {of}", dotted(&under(key)))));
            }
        }
        if self.mode == Mode::Degrade {
            if IMPAIRMENTS.iter().all(|key| found.document.entry(&under(key)).is_none()) {
                let at = found.document.key_at(own);
                found.add(
                    Mistake::error(&at, format!("`{}` does nothing to the line", dotted(own)))
                        .help(format!("give at least one of {}", or(IMPAIRMENTS))),
                );
            }
            for part in ["loss", "bandwidth"] {
                keys::impairment(found, &under(part));
            }
            keys::delay(found, own);
        }
        if let Some(every) = found.document.part::<Span>(&[own, &["return", "every"]].concat()) {
            positive(found, &[own, &["return", "every"]].concat(), every);
            if self.heal == Heal::Itself {
                let at = found.document.key_at(&under("return"));
                found.add(
                    Mistake::error(&at, "`return` and `heal: self` do not go together")
                        .label("how a zone comes back by itself is its own business"),
                );
            }
        }
    }

    fn takes(&self) -> Vec<Takes> {
        delays(&self.shape())
    }

    fn heal(&self) -> Heal {
        self.heal
    }

    fn idle(&self) -> Idle {
        self.idle.unwrap_or(Idle::Some)
    }

    /// The engine kills one after the other, which is better than nothing where the host's processes cannot be seen.
    fn instead(&self, to: &Setting) -> Option<Setting> {
        power::one_by_one(to)
    }

    fn whole(&self) -> Option<Whole> {
        Some(Whole::Zone)
    }

    fn returns_every(&self) -> Option<Span> {
        self.staged.map(|r| r.every)
    }

    fn unseen(&self) -> Option<&'static str> {
        (self.mode == Mode::Freeze).then_some(
            "the kernel still accepts connections of a frozen process: a `tcp` probe of the target itself sees nothing, only an answer does",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::{Aspect, Kill, RestartPolicy, Signal, Via};

    fn instance(name: &str, byte: u8, zone: Option<&str>) -> Instance {
        let mut i: Instance = serde_json::from_value(serde_json::json!({
            "id": name, "name": name, "service": "shop", "epoch": "1", "settings": {},
            "addresses": [{ "network": "n", "ip": format!("10.0.0.{byte}") }, { "network": "n", "ip": format!("fd00::{byte}") }],
        }))
        .unwrap();
        i.zone = zone.map(str::to_owned);
        i
    }

    /// shop-1 in zone a, and those around it.
    fn around() -> (Instance, Vec<Instance>) {
        let peers = vec![
            instance("gateway", 9, None),
            instance("shop-2", 2, Some("a")),
            instance("shop-3", 3, Some("b")),
            instance("shop-4", 4, Some("c")),
        ];
        (instance("shop-1", 1, Some("a")), peers)
    }

    fn outage(json: serde_json::Value) -> ZoneOutage {
        serde_json::from_value(json).unwrap()
    }

    /// The settings of shop-1, as people read them.
    fn told(json: serde_json::Value) -> Vec<String> {
        let (instance, peers) = around();
        let context = Context { peers: &peers, ..Context::default() };
        outage(json).settings(&instance, &context).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_zone_is_cut_off_from_those_who_are_not_in_it() {
        assert_eq!(
            told(serde_json::json!({ "mode": "isolate" })),
            ["cut off, to and from everybody but shop-2"],
            "customers are everybody, too"
        );
        assert_eq!(
            told(serde_json::json!({ "mode": "isolate", "clients": "keep", "direction": "egress" })),
            ["cut off, to shop-3 and shop-4"]
        );
        assert_eq!(
            told(serde_json::json!({ "mode": "degrade", "delay": "50ms", "loss": { "percent": "5%" } })),
            ["50ms later, 5 % lost, to shop-3 and shop-4"]
        );
        assert_eq!(told(serde_json::json!({ "mode": "freeze" })), ["paused"]);
    }

    #[test]
    fn without_power_nobody_restarts_it_and_it_comes_back_as_it_was() {
        let (mut instance, peers) = around();
        let power = outage(serde_json::json!({}));
        let killed = Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Host });
        let context = Context { peers: &peers, ..Context::default() };
        assert_eq!(power.settings(&instance, &context), std::slice::from_ref(&killed), "there is no policy here");
        for (policy, aside) in [(RestartPolicy::Never, false), (RestartPolicy::OnFailure { most: 3 }, true)] {
            let before = Setting::RestartPolicy(policy);
            instance.settings.insert(Aspect::RestartPolicy, before.clone());
            let settings = power.settings(&instance, &context);
            assert_eq!(settings.len(), 1 + usize::from(aside), "{settings:?}");
            assert_eq!(settings.last(), Some(&killed));
            if aside {
                assert_eq!(power.back(&settings[0], Some(&before)), Rollback::To(before));
            }
            assert_eq!(power.back(&killed, Some(&Setting::Running(true))), Rollback::To(Setting::Running(true)));
            let itself = outage(serde_json::json!({ "heal": "self" }));
            assert_eq!(
                itself.settings(&instance, &context),
                std::slice::from_ref(&killed),
                "the policy is what is to heal it"
            );
        }
        let instead = power.instead(&killed).unwrap();
        assert_eq!(instead, Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Engine }));
        assert_eq!(power.instead(&instead), None);
    }
}
