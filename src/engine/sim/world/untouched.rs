//! Instances as their world makes them: what each begins its life with.

use std::collections::BTreeSet;

use crate::model::disk::{Mount, MountKind};
use crate::model::instance::{Address, Aspect, Instance, Setting};
use crate::model::machine::{Allowance, Disk, Limit, Quota};

/// The n-th instance of a service, untouched, with an address of its own.
pub(in crate::engine::sim) fn instance(service: &str, at: usize, n: usize) -> Instance {
    let name = format!("{service}-{}", n + 1);
    let byte = |number: usize| u8::try_from(number % 256).unwrap_or_default();
    let ip = [10, byte(at), byte((n + 1) / 256), byte(n + 1)].into();
    Instance {
        addresses: vec![Address { network: "simulated".to_owned(), network_id: Some("simulated".to_owned()), ip }],
        allowance: Some(allowance()),
        mounts: vec![Mount::new("/", MountKind::Root, None, false)],
        settings: [
            Setting::Running(true),
            Setting::Paused(false),
            Setting::Mark(Aspect::Network, None),
            NOT_FILLED,
            NOT_CUT,
        ]
        .into_iter()
        .chain(configured())
        .map(|s| (s.aspect(), s))
        .collect(),
        ..Instance::new(&name, &name, service)
    }
}

/// What lies on a disk stays, whatever becomes of the life that it was laid in.
const NOT_FILLED: Setting = Setting::Mark(Aspect::Disk, None);

/// What cuts off its node is not the instance's, and stays, too.
const NOT_CUT: Setting = Setting::Mark(Aspect::NodeNetwork, None);

/// What an instance of this world begins its life with: limits, and nothing of Squall's.
pub(super) fn configured() -> Vec<Setting> {
    let disk = Disk {
        device: "8:0".to_owned(),
        paths: vec!["/".to_owned()],
        buffered: true,
        read: None,
        write: None,
        read_ops: None,
        write_ops: None,
    };
    let limits = [
        Limit::Processes(None),
        Limit::Cpu(Quota { us: None, period_us: Quota::PERIOD_US }),
        Limit::Memory(Some(256 << 20)),
        Limit::Io(vec![disk]),
        Limit::Descriptors(1024),
        Limit::Ports { first: 32_768, last: 60_999 },
    ];
    let read_only = Setting::ReadOnly(BTreeSet::new());
    limits.map(Setting::Limit).into_iter().chain([read_only]).chain(unstressed()).collect()
}

/// What is observed where no process of Squall's does anything to an instance.
pub(super) fn unstressed() -> [Setting; 4] {
    [Aspect::CpuLoad, Aspect::MemoryLoad, Aspect::HeldConnections, Aspect::Processes]
        .map(|aspect| Setting::Mark(aspect, None))
}

/// What an instance of this world may use, and uses.
fn allowance() -> Allowance {
    Allowance {
        cores: Some(2.0),
        memory: Some(256 << 20),
        processes: None,
        memory_used: Some(64 << 20),
        memory_held: Some(64 << 20),
        processes_used: Some(8),
        descriptors_used: Some(12),
    }
}
