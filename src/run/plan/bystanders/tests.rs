use std::time::Duration;

use super::*;
use crate::model::instance::sharing::{Borrowed, Sharer, link};
use crate::model::instance::{Command, Kill, Signal, Via};
use crate::model::machine::Limit;
use crate::model::network::Traffic;
use crate::model::stressor::{StressSpec, Stressor};

/// `app`, and `side` that borrows this of it.
fn fleet(what: Resource) -> Vec<Instance> {
    let mut fleet = ["app", "side", "other"].map(|name| Instance::new(name, name, name)).to_vec();
    let all: Vec<Sharer> =
        fleet.iter().map(|i| Sharer { id: i.id.clone(), name: i.name.clone(), runs: true }).collect();
    let mut shares = link(&all, &[Borrowed { by: InstanceId("side".to_owned()), what, from: "app".to_owned() }]);
    for i in &mut fleet {
        i.shares = shares.remove(&i.id).unwrap_or_default();
    }
    fleet
}

fn change(n: usize, fault: usize, instance: &str, to: &Setting) -> Change {
    Change {
        n,
        fault,
        instance: InstanceId(instance.to_owned()),
        name: instance.to_owned(),
        epoch: crate::model::instance::Epoch::default(),
        before: None,
        to: to.clone(),
        back: crate::model::instance::Rollback::Nothing,
    }
}

/// What becomes of a setting of these instances, by one fault.
fn judged(to: &Setting, instances: &[&str], fleet: &[Instance]) -> Result<(), String> {
    let changes: Vec<Change> = instances.iter().enumerate().map(|(n, name)| change(n, 0, name, to)).collect();
    none_is_targeted(&changes, &changes, fleet).map_err(|r| r.text)
}

fn killed() -> Setting {
    Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Engine })
}

fn ends() -> Vec<Setting> {
    let timeout = Duration::from_secs(1);
    let crash = Setting::Killed(Kill { signal: Signal::SigKill, via: Via::Host });
    vec![killed(), crash, Setting::Stopped { timeout }, Setting::Restarted { timeout }]
}

const NAMESPACES: [Resource; 3] = [Resource::Network, Resource::Processes, Resource::Ipc];

#[test]
fn who_lends_a_namespace_does_not_end_alone() {
    for what in NAMESPACES.into_iter().chain([Resource::Cgroup]) {
        let fleet = fleet(what);
        for to in ends() {
            let why = judged(&to, &["app"], &fleet).unwrap_err();
            assert!(why.contains(&format!("side would lose the {what} of app")), "{why}");
            judged(&to, &["side"], &fleet).expect("the lender keeps what it lends");
            judged(&to, &["other"], &fleet).expect("it shares nothing");
        }
    }
}

#[test]
fn all_of_them_are_targets_of_one_fault_or_none_is() {
    let fleet = fleet(Resource::Network);
    for to in ends() {
        let both = judged(&to, &["app", "side"], &fleet);
        if matches!(to, Setting::Restarted { .. }) {
            assert!(both.unwrap_err().contains("use `stop` or `kill` with all of them"));
        } else {
            both.expect("both are counted, and both are rolled back");
        }
    }
    let apart = [change(0, 0, "app", &killed()), change(1, 1, "side", &killed())];
    none_is_targeted(&apart, &apart, &fleet).expect_err("another fault has another time");
}

#[test]
fn traffic_of_a_shared_network_is_everyones() {
    let fleet = fleet(Resource::Network);
    let ports = Setting::Limit(Limit::Ports { first: 40_000, last: 40_010 });
    for target in [&["app"][..], &["side"], &["app", "side"]] {
        let why = judged(&ports, target, &fleet).unwrap_err();
        assert!(why.contains(&format!("{} shares its network with", target[0])), "{why}");
    }
    judged(&Setting::Paused(true), &["app"], &fleet).expect("a frozen lender keeps its network");
}

#[test]
fn what_is_below_a_control_group_is_targeted_with_it() {
    let fleet = fleet(Resource::Cgroup);
    for to in [Setting::Paused(true), Setting::Limit(Limit::Processes(Some(9)))] {
        let why = judged(&to, &["app"], &fleet).unwrap_err();
        assert!(why.contains("side would be affected, too, in the control group of app"), "{why}");
        judged(&to, &["side"], &fleet).expect("it is about what is below");
        judged(&to, &["app", "side"], &fleet).expect("both are counted");
    }
    let work = StressSpec::Cpu { cores: 1.0 };
    let load = Setting::Stressor(Box::new(Stressor { work, at_most: Duration::from_secs(9) }));
    let why = judged(&load, &["side"], &fleet).unwrap_err();
    assert!(why.contains("app would be affected, too, whose control group side is in"), "{why}");
    judged(&load, &["app"], &fleet).unwrap_err();
}

#[test]
fn who_does_not_run_has_nothing_to_lose() {
    let mut fleet = fleet(Resource::Network);
    let shares = fleet[0].shares.iter().cloned().map(|s| Share { runs: false, ..s }).collect();
    fleet[0].shares = shares;
    judged(&killed(), &["app"], &fleet).unwrap();
}

#[test]
fn what_a_command_can_reach_is_said() {
    let fleet = fleet(Resource::Processes);
    let command = |place| {
        Setting::Ran(Command {
            run: vec!["pkill".to_owned()],
            place,
            timeout: Duration::from_secs(1),
            variables: std::collections::BTreeMap::default(),
            directory: None,
        })
    };
    let said = of_a_command(&command(CommandLocation::Target), &fleet[0]).unwrap();
    assert_eq!(said, "app shares its PID namespace with side, which its command can reach");
    assert_eq!(of_a_command(&command(CommandLocation::Here), &fleet[0]), None);
    assert_eq!(of_a_command(&command(CommandLocation::Target), &fleet[2]), None);
}

#[test]
fn who_is_not_known_is_no_peer_and_shares_nothing_for_certain() {
    let mut fleet = fleet(Resource::Network);
    fleet[2].traits.insert(Trait::Unanswered("no answer within 2s".to_owned()));
    let changes = [change(0, 0, "app", &killed())];
    all_are_known(&changes, &fleet).expect("the kernel tells what it shares");
    fleet[2].traits.insert(Trait::SharesUnknown);
    let why = all_are_known(&changes, &fleet).unwrap_err().text;
    assert!(why.contains("does not tell how other is (no answer within 2s), and it may share something"), "{why}");
    let traffic = Traffic {
        direction: crate::model::network::Direction::Egress,
        peers: Peers::These(vec![Peer::Instance { name: "other".to_owned(), address: [10, 0, 0, 1].into() }]),
        protocol: None,
        remote_ports: Vec::new(),
        local_ports: Vec::new(),
        network: None,
    };
    let why = all_are_known(&[change(0, 0, "app", &Setting::ConnectionsReset(Box::new(traffic)))], &fleet);
    assert!(why.unwrap_err().text.contains("it is a peer of app"));
}

#[test]
fn many_names_are_cut_short() {
    assert_eq!(list(&["a", "b"].into()), "a, b");
    assert_eq!(list(&["a", "b", "c", "d", "e", "f"].into()), "a, b, c, d and 2 more");
}
