//! The command that a person would type to set something by hand.

use crate::engine::net::manual::{end_connections, untouch};
use crate::engine::net::node;
use crate::engine::shell::{quote, typed, typed_here};
use crate::engine::{NOTHING_LIES_THERE, machine};
use crate::model::instance::{Change, CommandLocation, Laid, RestartPolicy, Setting, Via};

/// The command for `to`; `docker` is what means the engine.
pub(super) fn command(docker: &str, change: &Change, to: &Setting) -> String {
    let name = quote(&change.name);
    let pid = format!("\"$({docker} inspect -f '{{{{.State.Pid}}}}' {name})\"");
    match to {
        Setting::Running(true) => format!("{docker} start {name}"),
        Setting::Running(false) => format!("{docker} kill {name}"),
        Setting::Killed(kill) if kill.via == Via::Host => {
            format!("kill -s {} {pid}", &kill.signal.name()[3..])
        }
        Setting::Killed(kill) => format!("{docker} kill --signal {} {name}", kill.signal),
        Setting::Stopped { timeout } => format!("{docker} stop --time {} {name}", timeout.as_secs_f64().ceil()),
        Setting::Restarted { timeout } => format!("{docker} restart --time {} {name}", timeout.as_secs_f64().ceil()),
        Setting::Paused(true) => format!("{docker} pause {name}"),
        Setting::Paused(false) => format!("{docker} unpause {name}"),
        Setting::RestartPolicy(policy) => {
            let policy = match policy {
                RestartPolicy::Never => "no".to_owned(),
                RestartPolicy::OnFailure { most: 0 } => "on-failure".to_owned(),
                RestartPolicy::OnFailure { most } => format!("on-failure:{most}"),
                RestartPolicy::UnlessStopped => "unless-stopped".to_owned(),
                RestartPolicy::Always => "always".to_owned(),
            };
            format!("{docker} update --restart {policy} {name}")
        }
        Setting::Mark(aspect, _) => match aspect.laid() {
            Some(Laid::Traffic) => untouch(&pid),
            Some(Laid::Filling) => machine::manual::unfill(),
            Some(Laid::Isolation) => format!("# on the node of {name}: {}", node::by_hand()),
            Some(Laid::Cpu) => machine::manual::unload("cpu"),
            Some(Laid::Memory) => machine::manual::unload("memory"),
            Some(Laid::Connections) => machine::manual::unload("connections"),
            Some(Laid::Still) => format!(
                "{}; sudo kill -CONT $({docker} top {name} -eo pid | tail -n +2)",
                machine::manual::unload("stop")
            ),
            None => format!("# nothing: {NOTHING_LIES_THERE}"),
        },
        Setting::Limit(limit) => machine::manual::limit(&change.instance.0, &pid, limit),
        Setting::Freed(place) => machine::manual::free(&pid, change, place),
        Setting::ReadOnly(paths) => machine::manual::read_only(&pid, change, paths),
        Setting::ConnectionsReset(_) => end_connections(&pid),
        // Nobody would: what is set back is always that it is left alone.
        Setting::Network(_) | Setting::Filled(_) | Setting::Stressor(_) | Setting::Signalled(_) => {
            "squall run".to_owned()
        }
        Setting::Isolated(_) => "squall run".to_owned(),
        Setting::Availability(to) => {
            let (is, node) = (to.is, quote(&to.node));
            format!("{docker} node update --availability {is} --label-rm squall.run {node}")
        }
        Setting::Ran(command) => match command.place {
            CommandLocation::Target => format!("{docker} exec {name} {}", typed(command)),
            CommandLocation::Here => typed_here(command),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::model::instance::{Aspect, Command, Epoch, InstanceId, Kill, Rollback, Signal};

    fn by_hand(name: &str, to: &Setting) -> String {
        let change = Change {
            n: 0,
            fault: 0,
            instance: InstanceId("abc".to_owned()),
            name: name.to_owned(),
            epoch: Epoch::default(),
            before: None,
            to: to.clone(),
            back: Rollback::Nothing,
        };
        command("docker", &change, to)
    }

    #[test]
    fn every_setting_has_its_command() {
        let host = Setting::Killed(Kill { signal: Signal::SigTerm, via: Via::Host });
        for (to, want) in [
            (Setting::Running(true), "docker start shop-1"),
            (Setting::Paused(false), "docker unpause shop-1"),
            (Setting::RestartPolicy(RestartPolicy::Always), "docker update --restart always shop-1"),
            (
                Setting::RestartPolicy(RestartPolicy::OnFailure { most: 3 }),
                "docker update --restart on-failure:3 shop-1",
            ),
            (Setting::Stopped { timeout: Duration::from_millis(1500) }, "docker stop --time 2 shop-1"),
            (Setting::Mark(Aspect::Disk, None), "remove .squall at the top of the file system that is filled"),
            (host, "kill -s TERM \"$(docker inspect -f '{{.State.Pid}}' shop-1)\""),
        ] {
            assert_eq!(by_hand("shop-1", &to), want);
        }
    }

    #[test]
    fn a_shell_reads_the_words_that_were_meant() {
        let words = ["it's", "${GREETING} you", "$${HOME} $(true) `true`", "", "a*b"];
        let ran = Setting::Ran(Command {
            run: ["printf", "<%s>"].into_iter().chain(words).map(str::to_owned).collect(),
            place: CommandLocation::Here,
            timeout: Duration::from_secs(1),
            variables: BTreeMap::new(),
            directory: None,
        });
        let line = by_hand("a b", &ran);
        assert!(!line.contains('\n'), "{line}");
        let shell = std::process::Command::new("sh").arg("-c").arg(&line).env("GREETING", "hello").output().unwrap();
        let printed = String::from_utf8(shell.stdout).unwrap();
        assert_eq!(printed, "<it's><hello you><${HOME} $(true) `true`><><a*b>", "{line}");
    }
}
