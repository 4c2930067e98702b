//! What an engine is, and how another process finds the same one. Plain data.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What an engine is, and how another process finds the same one. Stored in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// `docker`, `local` or `sim`.
    pub kind: Kind,
    /// Where it is: a socket, or a stack's state file.
    pub address: String,
    /// How both sides know each other, where they speak over TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// What the engine calls itself, whatever its address is; `None` where it does not, or is one of this machine alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What its machine calls itself: machines that were made of one image have engines with one id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What it is in a Swarm, if it is part of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swarm: Option<SwarmNode>,
    /// The helper on its host, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<Helper>,
    /// Its version, for the report.
    pub version: String,
    /// The machines, where it is several with an engine each; its own address is for people then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

/// One of several machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What it is called: ids and names of its instances begin with it.
    pub name: String,
    /// Its engine.
    pub engine: Description,
}

/// What an engine is in a Swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwarmNode {
    /// What the Swarm calls it.
    pub id: String,
    /// Whether it is a manager: one knows what runs on the other nodes, and tells them what to do.
    pub manages: bool,
    /// The managers that it knows, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<String>,
}

impl SwarmNode {
    /// Whether that one manages it: two Swarms have nothing to say of each other.
    #[must_use]
    pub fn is_managed_by(&self, other: &Self) -> bool {
        other.manages && (other.id == self.id || self.managers.contains(&other.id))
    }
}

/// What the helpers of a run on an engine's host have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Helper {
    /// Their session: the volume in which they keep what they hold.
    pub session: String,
    /// Their image.
    pub image: String,
}

/// Where the files are by which both sides of a TLS connection know each other, in PEM: `ca.pem`, `cert.pem` and `key.pem`, those of
/// them that are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Their directory.
    pub directory: PathBuf,
    /// Whether the engine's certificate must lead to a CA that is trusted: that of `ca.pem` alone, else one of the system's.
    pub verify: bool,
}

/// Where a Docker Engine is unless something says otherwise.
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// The address of a simulated world that was made from the experiment alone.
pub const FROM_EXPERIMENT: &str = "invented from the experiment";

/// What has to be known of such a world.
pub const INVENTED: &str = "no stack is named, so that the targets were invented from the experiment: a mistyped service \
                            would not be noticed; name the stack with `stack:` in the file or --stack";

impl Description {
    /// One of which nothing more is known.
    #[must_use]
    pub fn of(kind: Kind, address: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            kind,
            address: address.into(),
            tls: None,
            id: None,
            host: None,
            swarm: None,
            helper: None,
            version: version.into(),
            members: Vec::new(),
        }
    }

    /// Whether both can be one engine, or have one in common: by its address, if neither calls itself otherwise.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        if !self.members.is_empty() {
            return self.members.iter().any(|member| member.engine.may_be(other));
        }
        if !other.members.is_empty() {
            return other.may_be(self);
        }
        let called = |it: &Self| it.id.clone();
        let same = called(self).zip(called(other)).map(|(one, other)| one == other);
        self.kind == other.kind && same.unwrap_or(self.address == other.address)
    }

    /// Whether nothing real is touched on it.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.kind.is_simulated()
    }

    /// Whether there is a network between here and the engine, in which a call may be lost and sent again.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        match self.kind {
            _ if !self.members.is_empty() => self.members.iter().any(|member| member.engine.is_remote()),
            Kind::Docker => !self.address.starts_with("unix://") && !self.address.starts_with('/'),
            Kind::Local | Kind::Sim => false,
        }
    }

    /// Whether it lets in who has a key: over TLS, or by ssh.
    #[must_use]
    pub fn is_by_keys(&self) -> bool {
        self.members.iter().any(|member| member.engine.is_by_keys())
            || self.tls.is_some()
            || self.address.starts_with("ssh://")
    }

    /// Whether its instances were invented from the experiment that is run on them.
    #[must_use]
    pub fn is_invented(&self) -> bool {
        self.is_simulated() && self.address == FROM_EXPERIMENT
    }
}

/// The kinds of engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, strum::Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// A Docker Engine.
    Docker,
    /// Plain processes on this machine, started from a stack file.
    Local,
    /// A world in a map, for rehearsals and tests.
    Sim,
}

impl Kind {
    /// Whether nothing real is touched on it.
    #[must_use]
    pub fn is_simulated(self) -> bool {
        match self {
            Self::Docker | Self::Local => false,
            Self::Sim => true,
        }
    }
}
