//! The kernel of a machine: its processes and what they are known by, and the [`Host`] on which instances run.
//!
//! Knows no engine, no instance and no run. The only place where `unsafe` may stand.

pub mod board;
pub mod cgroup;
pub mod clock;
pub mod command;
pub mod descriptors;
pub mod disk;
pub mod disks;
pub mod facts;
pub mod file;
pub mod forward;
pub mod http;
pub mod kernel;
pub mod load;
pub mod mapped;
pub mod memory;
pub mod mounts;
pub mod namespaces;
pub mod net;
pub mod orders;
pub mod process;
pub mod proxy;
pub mod realtime;
pub mod resolver;
pub mod shaper;
pub mod signals;
pub mod store;
pub mod systemd;
pub mod tls;
pub mod trials;
pub mod user;
pub mod worker;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use self::cgroup::Hierarchies;
use self::facts::{CAPABILITIES, Facts};
use self::mounts::MachineRoot;
use self::net::leases::Leases;
use self::trials::Trials;

/// The machine on which instances run: what is learnt of it once, and what of Squall's stands on it.
///
/// An engine holds the one of its instances, and nothing of it is kept for the whole process, so that a process can know several. Today
/// it is always the machine that this process runs on. It could be another one, reached through a process of Squall's there: what an
/// engine asks of that machine's kernel belongs behind this type.
#[derive(Debug)]
pub struct Host {
    program: PathBuf,
    may_enter: OnceLock<bool>,
    hierarchies: OnceLock<Hierarchies>,
    root: OnceLock<MachineRoot>,
    trials: Trials,
    held: Mutex<BTreeMap<String, OwnedFd>>,
    leases: Leases,
}

impl Default for Host {
    fn default() -> Self {
        Self::new(std::env::current_exe().unwrap_or_else(|_| PathBuf::from("squall")))
    }
}

impl Host {
    /// This machine, with Squall's own file there.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            may_enter: OnceLock::new(),
            hierarchies: OnceLock::new(),
            root: OnceLock::new(),
            trials: Trials::default(),
            held: Mutex::default(),
            leases: Leases::default(),
        }
    }

    /// Squall's own file there, for processes of Squall's.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Whether Squall may enter the network namespaces of others there and change what is in them.
    #[must_use]
    pub fn may_enter(&self) -> bool {
        // Asked for each instance each time that it is looked at, and never another answer.
        *self.may_enter.get_or_init(|| {
            let facts = Facts::here();
            CAPABILITIES.iter().filter(|c| c.name != "KILL").all(|c| facts.has(*c) == Some(true))
        })
    }

    /// Its control groups.
    #[must_use]
    pub fn cgroups(&self) -> &Hierarchies {
        self.hierarchies.get_or_init(Hierarchies::find)
    }

    /// Where its file systems are seen as it sees them itself.
    #[must_use]
    pub fn root(&self) -> MachineRoot {
        *self.root.get_or_init(MachineRoot::find)
    }

    /// What was found of its kernel by trying.
    #[must_use]
    pub fn trials(&self) -> &Trials {
        &self.trials
    }

    /// The leases of what this process has laid on traffic there.
    #[must_use]
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Keeps the other end of the standard input of a process of Squall's there, by the tag of its change: with this value, or this
    /// process, that one ends.
    pub fn hold(&self, tag: String, input: OwnedFd) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(tag, input);
    }

    /// Closes the end that [`Host::hold`] has kept for a change.
    pub fn let_go(&self, tag: &str) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(tag);
    }
}
