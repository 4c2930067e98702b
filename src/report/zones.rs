//! What zones went through: who is where, what became of them, and in which zone answers were given before, meanwhile and
//! afterwards. Pure; every format shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{facts, words};
use crate::experiment::fault::{Fault, OutageClients, OutageMode};
use crate::experiment::{Experiment, Injection};
use crate::model::instance::{Instance, Setting, aliases};
use crate::model::network::Treatment;
use crate::record::event::{Failover, Phase};
use crate::record::state::{ChangeState, CheckState, RunState};

/// The phases whose answers are told apart.
pub(super) const PHASES: [Phase; 4] = [Phase::Baseline, Phase::During, Phase::Rollback, Phase::Recovery];

/// Everybody, by zone.
#[derive(Debug)]
pub(super) struct Zones<'a> {
    /// By name; those who are in none last.
    pub(super) all: Vec<Zone<'a>>,
    /// In which of them one is who is called so in answers.
    called: BTreeMap<String, usize>,
}

/// A zone, or those who are in none.
#[derive(Debug)]
pub(super) struct Zone<'a> {
    pub(super) name: Option<&'a str>,
    /// How it went out, where it did.
    pub(super) outage: Option<OutageMode>,
    /// Those who are targeted first, then by name.
    pub(super) members: Vec<Member<'a>>,
}

/// An instance.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member<'a> {
    pub(super) fate: InstanceOutcome,
    pub(super) name: &'a str,
    pub(super) service: &'a str,
}

/// What became of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum InstanceOutcome {
    Killed,
    CutOff,
    Frozen,
    Degraded,
    /// By a fault that is not one of whole zones.
    Targeted,
    /// It was to be targeted, and the run ended before.
    Chosen,
    Spared,
    /// It did not run before anything was touched.
    Down,
}

/// In which zones a check was answered.
#[derive(Debug)]
pub(super) struct Answers<'a> {
    pub(super) check: &'a str,
    pub(super) clock: Option<&'a Failover>,
    /// Places of zones, or nobody knows which, each with the answers given there by phase, as in [`PHASES`]. Empty where
    /// answers do not tell.
    pub(super) given: Vec<(Option<usize>, [u64; 4])>,
}

impl InstanceOutcome {
    /// In a word or two.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::CutOff => "cut off",
            Self::Frozen => "frozen",
            Self::Degraded => "bad lines",
            Self::Targeted => "targeted",
            Self::Chosen => "chosen",
            Self::Spared => "spared",
            Self::Down => "was down",
        }
    }

    /// Whether a fault was on it.
    pub(super) fn is_targeted(self) -> bool {
        !matches!(self, Self::Chosen | Self::Spared | Self::Down)
    }

    fn of(mode: OutageMode) -> Self {
        match mode {
            OutageMode::Power => Self::Killed,
            OutageMode::Isolate => Self::CutOff,
            OutageMode::Freeze => Self::Frozen,
            OutageMode::Degrade => Self::Degraded,
        }
    }

    fn outage(self) -> Option<OutageMode> {
        Some(match self {
            Self::Killed => OutageMode::Power,
            Self::CutOff => OutageMode::Isolate,
            Self::Frozen => OutageMode::Freeze,
            Self::Degraded => OutageMode::Degrade,
            Self::Targeted | Self::Chosen | Self::Spared | Self::Down => return None,
        })
    }
}

impl Zone<'_> {
    /// As people call it.
    pub(super) fn title(&self) -> String {
        self.name.map_or_else(|| "in no zone".to_owned(), |name| format!("zone {name}"))
    }

    /// How many of it were targeted.
    pub(super) fn targeted(&self) -> usize {
        self.members.iter().filter(|m| m.fate.is_targeted()).count()
    }

    /// What happened to it, in a word or two.
    pub(super) fn words(&self) -> Option<String> {
        let what = match self.outage? {
            OutageMode::Power => "no power",
            OutageMode::Isolate => "cut off",
            OutageMode::Freeze => "frozen",
            OutageMode::Degrade => "bad lines",
        };
        let (targeted, all) = (self.targeted(), self.members.len());
        Some(if targeted < all { format!("{what} ({targeted} of {all})") } else { what.to_owned() })
    }
}

impl<'a> Zones<'a> {
    /// Nothing where no instance is in a zone.
    pub(super) fn of(state: &'a RunState) -> Option<Self> {
        let targeted = state.targeted.iter().map(|i| (i.zone.as_deref(), member(state, i)));
        let spared = state.spared.iter().map(|s| {
            let fate = if s.why == "not running" { InstanceOutcome::Down } else { InstanceOutcome::Spared };
            (s.zone.as_deref(), Member { fate, name: &s.name, service: &s.service })
        });
        let mut by_zone: BTreeMap<Option<&str>, Vec<Member<'_>>> = BTreeMap::new();
        for (zone, member) in targeted.chain(spared) {
            by_zone.entry(zone).or_default().push(member);
        }
        let nowhere = by_zone.remove(&None).map(|members| (None, members));
        if by_zone.is_empty() {
            return None;
        }
        let all: Vec<Zone<'_>> = by_zone
            .into_iter()
            .chain(nowhere)
            .map(|(name, mut members)| {
                members.sort_unstable();
                let outage = members.first().and_then(|m| m.fate.outage()).filter(|_| name.is_some());
                Zone { name, outage, members }
            })
            .collect();
        let called = called(state, &all);
        Some(Self { all, called })
    }

    /// Whether one of them went out as a whole.
    pub(super) fn any_out(&self) -> bool {
        self.all.iter().any(|zone| zone.outage.is_some())
    }

    /// In which one somebody is who is called so in answers.
    pub(super) fn place(&self, called: &str) -> Option<usize> {
        self.called.get(called).copied()
    }

    /// What each check has to say of zones: who answered, or how long that took.
    pub(super) fn answers(&self, state: &'a RunState) -> Vec<Answers<'a>> {
        let of = |(name, check): (&'a String, &'a CheckState)| {
            let mut given: BTreeMap<Option<usize>, [u64; 4]> = BTreeMap::new();
            for window in &check.windows {
                let Some(phase) = PHASES.iter().position(|p| *p == window.phase) else { continue };
                for (by, n) in &window.by {
                    given.entry(self.place(by)).or_default()[phase] += n;
                }
            }
            let clock = state.failover.get(name);
            if given.is_empty() && clock.is_none() {
                return None;
            }
            let mut given: Vec<_> = if given.is_empty() {
                Vec::new()
            } else {
                // A zone that went out is there even where no instance in it ever answered.
                for (place, _) in self.all.iter().enumerate().filter(|(_, zone)| zone.outage.is_some()) {
                    given.entry(Some(place)).or_default();
                }
                given.into_iter().collect()
            };
            given.sort_by_key(|(place, _)| place.unwrap_or(usize::MAX));
            Some(Answers { check: name, clock, given })
        };
        state.checks.iter().filter_map(of).collect()
    }

    /// A place's name; those whom nobody knows have none.
    pub(super) fn title(&self, place: Option<usize>) -> String {
        place.and_then(|at| self.all.get(at)).map_or_else(|| "unknown".to_owned(), Zone::title)
    }
}

/// An instance that was chosen, and what became of it.
fn member<'a>(state: &RunState, instance: &'a Instance) -> Member<'a> {
    let faults = facts::experiment(state).map(Experiment::faults).unwrap_or_default();
    // An abort may come before the end of an injection is known; its effect shows that it was made.
    let made = |c: &&ChangeState| c.injected.is_some() || c.is_verified();
    let changes = state.changes.iter().filter(|c| c.change.instance == instance.id).filter(made);
    let fates = changes.map(|c| match faults.get(c.change.fault).map(|f| &f.fault) {
        Some(Fault::ZoneOutage(outage)) => InstanceOutcome::of(outage.mode),
        _ => InstanceOutcome::Targeted,
    });
    Member { fate: fates.min().unwrap_or(InstanceOutcome::Chosen), name: &instance.name, service: &instance.service }
}

/// In which zone one is who is called so in answers: by a whole name first, then by a part of one, of those who are targeted
/// before others, at last by a service. What several zones have tells nothing.
fn called(state: &RunState, all: &[Zone<'_>]) -> BTreeMap<String, usize> {
    let place = |zone: Option<&str>| all.iter().position(|z| z.name == zone);
    let mut ranks: [Vec<(String, usize)>; 5] = Default::default();
    for (at, zone) in all.iter().enumerate() {
        ranks[0].extend(zone.name.map(|name| (name.to_owned(), at)));
    }
    let targeted = state.targeted.iter().map(|i| (2, &i.name, &i.id.0, i.zone.as_deref(), &i.service, i.also_called()));
    let spared = state.spared.iter().map(|s| (3, &s.name, &s.id, s.zone.as_deref(), &s.service, s.called.clone()));
    for (rank, name, id, zone, service, also) in targeted.chain(spared) {
        let Some(at) = place(zone) else { continue };
        ranks[1].extend([(name.clone(), at), (id.clone(), at)]);
        ranks[rank].extend(aliases(name, id).into_iter().chain(also).map(|alias| (alias, at)));
        ranks[4].push((service.clone(), at));
    }
    let mut out = BTreeMap::new();
    for rank in ranks {
        let mut places: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (name, at) in rank {
            places.entry(name).or_default().insert(at);
        }
        for (name, mut places) in places {
            if let Some(only) = places.pop_first().filter(|_| places.is_empty()) {
                out.entry(name).or_insert(only);
            }
        }
    }
    out
}

/// What an outage of zones does, in a sentence; one for each such fault.
pub(super) fn sentences(state: &RunState) -> Vec<String> {
    let faults = facts::experiment(state).map(Experiment::faults).unwrap_or_default();
    let of = |(n, injection): (usize, &Injection)| {
        let Fault::ZoneOutage(outage) = &injection.fault else { return None };
        let what = match outage.mode {
            OutageMode::Power => "every instance is killed at once, and not restarted".to_owned(),
            OutageMode::Isolate => match outage.clients.unwrap_or_default() {
                OutageClients::Cut => "cut off from everybody who is not in the zone".to_owned(),
                OutageClients::Keep => "cut off from the other zones, and reached by those who are in none".to_owned(),
            },
            OutageMode::Freeze => "every process is frozen; connections stay, and nothing is answered".to_owned(),
            OutageMode::Degrade => format!("what goes to other zones is {}", line(state, n)?),
        };
        let back = outage
            .staged
            .map(|back| format!("; when its time is over, it comes back one by one, every {}", back.every));
        Some(format!("`{}`: {what}{}", outage.mode, back.unwrap_or_default()))
    };
    faults.iter().enumerate().filter_map(of).collect()
}

/// How bad the lines of a fault are: `30ms later, 1 % lost`.
fn line(state: &RunState, fault: usize) -> Option<String> {
    let mut changes = state.changes.iter().map(|c| &c.change).filter(|c| c.fault == fault);
    changes.find_map(|change| match &change.to {
        Setting::Network(network) => network.flows.iter().find_map(|flow| match &flow.treatment {
            Treatment::Shape(shape) => Some(shape.to_string()),
            _ => None,
        }),
        _ => None,
    })
}

/// Until the others served: a figure, and what it means.
pub(super) fn served(clock: &Failover) -> (String, String) {
    let stayed = words::span(Duration::from_millis(clock.stretch_ms));
    let failed = words::thousands(clock.failed);
    match (clock.served_ms, clock.failed) {
        (Some(_), 0) => ("at once".to_owned(), "no sample failed".to_owned()),
        (Some(ms), _) => {
            (words::span(Duration::from_millis(ms)), format!("{failed} failed until then, none for {stayed} after it"))
        }
        (None, _) => ("never".to_owned(), format!("{failed} failed, and it was never good for {stayed}")),
    }
}

/// Until a zone that was out served again: a figure, and what it means.
pub(super) fn returned(clock: &Failover) -> (String, String) {
    match clock.returned_ms {
        Some(ms) => (words::span(Duration::from_millis(ms)), "after its rollback began".to_owned()),
        None if clock.told => ("not seen".to_owned(), "no answer of it until the run ended".to_owned()),
        None => ("not known".to_owned(), "answers do not tell who gave them".to_owned()),
    }
}

/// The check that the others served last, if zones went out.
pub(super) fn slowest(state: &RunState) -> Option<(&String, &Failover)> {
    state.failover.iter().max_by_key(|(_, clock)| (clock.served_ms.is_none(), clock.served_ms, clock.failed))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn everybody_is_in_a_zone_or_in_none_and_has_a_fate() {
        let state = fixture::zone();
        let zones = Zones::of(&state).unwrap();
        let told: Vec<String> = zones
            .all
            .iter()
            .map(|z| {
                let members: Vec<String> = z.members.iter().map(|m| format!("{} {}", m.name, m.fate.words())).collect();
                format!(
                    "{}{}: {}",
                    z.title(),
                    z.words().map(|w| format!(", {w}")).unwrap_or_default(),
                    members.join(", ")
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "zone a: shop-1 spared, store-1 spared",
                "zone b, no power (2 of 3): shop-2 killed, store-2 killed, shop-4 was down",
                "zone c: shop-3 spared",
                "in no zone: gateway-1 spared",
            ]
        );
        assert!(zones.any_out() && !Zones::of(&fixture::held()).unwrap().any_out());
        assert!(Zones::of(&RunState::default()).is_none());
    }

    #[test]
    fn answers_are_counted_in_the_zone_of_who_gave_them() {
        let state = fixture::zone();
        let zones = Zones::of(&state).unwrap();
        let answers = zones.answers(&state);
        let given: Vec<(String, [u64; 4])> = answers[0].given.iter().map(|(p, n)| (zones.title(*p), *n)).collect();
        let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["zone a", "zone b", "zone c"]);
        let [before, meanwhile, _, afterwards] = given[1].1;
        assert!(before > 0 && meanwhile == 0 && afterwards > 0, "{given:?}");
        assert!(given[0].1.iter().chain(&given[2].1).all(|n| *n > 0), "{given:?}");
        assert_eq!((answers.len(), answers[0].check), (1, "checkout"));
    }

    #[test]
    fn a_part_of_a_name_that_two_zones_have_tells_nothing_unless_one_is_targeted() {
        let mut state = fixture::zone();
        for (project, zone) in [("x", "a"), ("y", "c")] {
            let mut other = state.spared[0].clone();
            other.name = format!("{project}-till");
            other.zone = Some(zone.to_owned());
            state.spared.push(other.clone());
            other.name = format!("{project}-shop-2");
            state.spared.push(other);
        }
        let zones = Zones::of(&state).unwrap();
        assert_eq!(zones.place("till"), None);
        assert_eq!((zones.place("x-till"), zones.place("y-till")), (Some(0), Some(2)));
        assert_eq!((zones.place("shop-2"), zones.place("b")), (Some(1), Some(1)), "the one that is targeted is meant");
    }

    #[test]
    fn those_that_are_spared_are_known_by_all_their_names() {
        let mut state = fixture::zone();
        let shop = state.spared.iter_mut().find(|s| s.name == "shop-3").expect("it is spared");
        (shop.called, shop.service) = (vec!["shop-c".to_owned(), "front".to_owned()], "till".to_owned());
        let zones = Zones::of(&state).unwrap();
        for name in ["shop-3", "shop-c", "front", "till"] {
            assert_eq!(zones.place(name).map(|at| zones.all[at].title()).as_deref(), Some("zone c"), "{name}");
        }
        assert_eq!(zones.place("shop"), None, "it is in several zones");
    }
}
