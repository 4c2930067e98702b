//! Whether an address that a check asks belongs to a stranger by now: an instance of another service that took it while the target was
//! down. What answers there says nothing about the service.

use std::net::IpAddr;

use super::RunContext;
use super::ended::Ended;
use crate::experiment::Experiment;
use crate::experiment::probe::Probe;
use crate::model::instance::Instance;
use crate::record::event::{Event, Reason};
use crate::record::journal::Recorder;

/// The end of the run, where a check asks a stranger. The engine is asked only where a check asks a target's own address; where it
/// does not answer, nothing is known.
pub(super) async fn answers(
    x: &Experiment,
    context: &RunContext,
    rec: &Recorder,
    targeted: &[Instance],
) -> Option<Ended> {
    let asked = asked(x);
    let has = |i: &Instance| i.addresses.iter().any(|a| asked.iter().any(|(_, ip)| *ip == a.ip));
    if !targeted.iter().any(has) {
        return None;
    }
    let fleet = context.engine.glance().await.ok()?;
    let (check, ip, before, stranger) = first(&asked, targeted, &fleet)?;
    let (name, service) = (&before.name, &before.service);
    let what = format!("its address {ip} was taken by {} while it was down", stranger.name);
    let text = format!(
        "`{check}` asks {ip}, the address of {name}, which {} took while {name} was down: what answers there says nothing about \
         `{service}`; ask by a name, or by a published port",
        stranger.name
    );
    rec.note(Event::Noticed { instance: name.clone(), what });
    Some(Ended { why: Reason::NoEvidence, text })
}

/// The checks that ask an address, and which.
fn asked(x: &Experiment) -> Vec<(String, IpAddr)> {
    x.all_checks().into_iter().filter_map(|(name, check)| Some((name, address(&check.probe)?))).collect()
}

fn address(probe: &Probe) -> Option<IpAddr> {
    let text = probe.kind().address()?;
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let v6 = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let host = v6.map_or_else(|| text.rsplit_once(':').map_or(text, |(host, _)| host), |(host, _)| host);
    host.parse().ok()
}

/// The first check that asks a stranger: the address, whose it was, and whose it is.
fn first<'a>(
    asked: &'a [(String, IpAddr)],
    targeted: &'a [Instance],
    fleet: &'a [Instance],
) -> Option<(&'a str, IpAddr, &'a Instance, &'a Instance)> {
    asked.iter().find_map(|(check, ip)| {
        let (before, address) = targeted.iter().find_map(|i| Some((i, i.addresses.iter().find(|a| a.ip == *ip)?)))?;
        let is_down = fleet.iter().find(|i| i.id == before.id).is_none_or(|i| !i.is_running());
        let has_it =
            |i: &&Instance| is_down && i.is_running() && !i.is_replica_of(before) && i.addresses.contains(address);
        Some((check.as_str(), *ip, before, fleet.iter().find(has_it)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::{Address, Setting};

    fn instance(name: &str, service: &str, ip: &str, runs: bool) -> Instance {
        let mut i = Instance::new(name, name, service);
        let running = Setting::Running(runs);
        i.settings.insert(running.aspect(), running);
        i.addresses = vec![Address { network: "net".to_owned(), network_id: None, ip: ip.parse().unwrap() }];
        i
    }

    #[test]
    fn the_address_in_a_question_is_found() {
        for (probe, want) in [
            ("http: { url: 'http://10.0.0.5:8080/x' }", Some("10.0.0.5")),
            ("http: { url: 'http://user:word@10.0.0.5/x:y' }", Some("10.0.0.5")),
            ("http: { url: 'http://[fd00::5]:80/' }", Some("fd00::5")),
            ("http: { url: 'http://shop:8080/' }", None),
            ("tcp: { address: '10.0.0.5:5432' }", Some("10.0.0.5")),
            ("tcp: { address: '[fd00::5]:5432' }", Some("fd00::5")),
            ("exec: { run: [ping, 10.0.0.5] }", None),
        ] {
            let check: crate::experiment::Check = serde_yaml::from_str(probe).unwrap();
            assert_eq!(address(&check.probe), want.map(|ip| ip.parse().unwrap()), "{probe}");
        }
    }

    #[test]
    fn a_stranger_is_of_another_service_and_runs_there() {
        let asked = [("checkout".to_owned(), "10.0.0.5".parse().unwrap())];
        let targeted = [instance("shop-1", "shop", "10.0.0.5", true)];
        let down = instance("shop-1", "shop", "10.0.0.5", false);
        for (other, stranger) in [
            (instance("thief", "other", "10.0.0.5", true), true),
            (instance("thief", "other", "10.0.0.5", false), false),
            (instance("thief", "other", "10.0.0.6", true), false),
            (instance("shop-2", "shop", "10.0.0.5", true), false),
        ] {
            let fleet = [down.clone(), other.clone()];
            let found =
                first(&asked, &targeted, &fleet).map(|(check, _, of, by)| (check, of.name.as_str(), by.name.as_str()));
            assert_eq!(found, stranger.then_some(("checkout", "shop-1", "thief")), "{other:?}");
        }
    }
}
