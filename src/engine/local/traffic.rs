//! The traffic of processes that have a network namespace of their own. What is laid on it, and how, is the business of
//! `engine::net`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Local;
use super::records::{Record, Records};
use crate::engine::net::{self, NetworkAccess};
use crate::engine::{Ability, EngineError, Outcome, Tag};
use crate::host::net::namespace::Namespace;
use crate::model::instance::{Aspect, Instance, Setting};

const SHARED: &str = "the processes of this stack share the network of this machine, where everything would be affected: give the \
                      stack a network of its own, by `network: 10.213.7.0/24` in its file, which takes root";

const NOT_ROOT: &str = "traffic is disturbed in the process's network namespace, from this machine: run as root";

/// How long the kernel may take.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(10);

impl Local {
    /// Whether traffic can be disturbed, and how where that leaves a choice.
    pub(super) fn can_disturb(&self, instance: &Instance, to: &Setting) -> Ability {
        if !self.is_private() {
            return Ability::No(SHARED.to_owned());
        }
        if !self.host.may_enter() {
            return Ability::No(NOT_ROOT.to_owned());
        }
        net::can(&self.host, instance, to)
    }

    /// Where an instance's traffic is, if it runs and has a namespace of its own.
    pub(super) fn site(&self, records: &Records, name: &str, record: &Record) -> io::Result<Option<NetworkAccess>> {
        if record.spec.slot.is_none() {
            return Ok(None);
        }
        let Some((main, _)) = self.identity(records, name).main(record) else { return Ok(None) };
        let namespace = Namespace::of(main.pid())?;
        let addresses = record.spec.address(&records.stack).into_iter().collect();
        let site = NetworkAccess { namespace, pid: main.pid(), host: Arc::clone(&self.host), addresses };
        // Asked last: only then was the namespace that process's, and not a successor's.
        Ok(main.is_alive().then_some(site))
    }

    /// The instance with what lies on its traffic, where that can be seen.
    pub(super) async fn with_traffic(&self, records: &Records, name: &str, record: &Record) -> Instance {
        let mut instance = self.observe_one(records, name, record).instance;
        if record.spec.slot.is_some() && self.host.may_enter() {
            net::observe(self.site(records, name, record), &mut instance).await;
        }
        instance
    }

    /// Disturbs its traffic, leaves it alone again, or resets its connections.
    pub(super) async fn set_traffic(
        &self,
        tag: &Tag,
        records: &Records,
        (name, record): (&str, &Record),
        to: &Setting,
    ) -> Result<Outcome, EngineError> {
        let attempt = || format!("make the traffic of {name}: {to}");
        let refused = |why: &dyn std::fmt::Display| EngineError::Refused { attempt: attempt(), why: why.to_string() };
        match self.site(records, name, record).map_err(|e| refused(&e))? {
            Some(site) => match tokio::time::timeout(KERNEL_TIMEOUT, net::set(site, tag, to)).await {
                Ok(set) => set.map_err(|e| refused(&e)),
                Err(_) => Err(EngineError::TimedOut { attempt: attempt(), after: KERNEL_TIMEOUT }),
            },
            // With the last process of a namespace goes everything that lay on it.
            None if matches!(to, Setting::Mark(Aspect::Network, None)) => {
                net::forget(tag).await.map(|()| Outcome::Already).map_err(|e| refused(&e))
            }
            None if record.spec.slot.is_none() => Err(refused(&SHARED)),
            None => Err(refused(&"it is not running")),
        }
    }
}
