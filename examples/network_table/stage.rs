//! Where it is measured: containers of an engine, disturbed through it; or namespaces on a bridge, disturbed directly, where
//! there is no engine (or so slow a machine that none is wanted).

use std::io;
use std::process::Command;

use anyhow::{Context as _, ensure};
use squall::engine::net::userspace::{self, Ground};
use squall::engine::net::{kernel, lay_here};
use squall::engine::{Engine as _, Outcome, Tag};
use squall::host::net::namespace::Namespace;
use squall::instance::{Aspect, InstanceId, Setting};
use squall::network::{Mechanism, Network, Treatment};

use super::cases::{CONTAINERS, Expected, Fault, TARGET};
use super::containers::Containers;
use super::row::End;

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) ends: Vec<End>,
    containers: Option<Containers>,
    /// Lives as long as somebody holds it.
    _bridge: Option<Namespace>,
}

impl Stage {
    pub(crate) async fn containers() -> anyhow::Result<Self> {
        let containers = Containers::start("table", CONTAINERS).await?;
        let end = |m: &super::containers::Member| {
            io::Result::Ok(End { namespace: Namespace::of(m.pid)?, address: m.address })
        };
        match containers.members.iter().map(end).collect() {
            Ok(ends) => Ok(Self { ends, containers: Some(containers), _bridge: None }),
            Err(e) => containers.clear().await.and(Err(e.into())),
        }
    }

    pub(crate) fn plain() -> anyhow::Result<Self> {
        let bridge = empty()?;
        ip(&bridge, "link add bridge type bridge")?;
        ip(&bridge, "link set bridge up")?;
        let mut ends = Vec::new();
        for n in 1..=CONTAINERS {
            let (namespace, address) = (empty()?, format!("10.78.0.{n}"));
            let place = namespace.path();
            ip(&bridge, &format!("link add wire{n} type veth peer name eth0 netns {}", place.display()))?;
            ip(&bridge, &format!("link set wire{n} master bridge up"))?;
            for what in [
                "link set lo up".to_owned(),
                format!("address add {address}/24 dev eth0"),
                "link set eth0 up".to_owned(),
            ] {
                ip(&namespace, &what)?;
            }
            ends.push(End { namespace, address: address.parse()? });
        }
        Ok(Self { ends, containers: None, _bridge: Some(bridge) })
    }

    pub(crate) fn describe(&self) -> String {
        let kernel = rustix::system::uname();
        let kernel = kernel.release().to_string_lossy();
        match &self.containers {
            Some(containers) => {
                format!("Between containers of Docker Engine {}, Linux {kernel}.", containers.docker.describe().version)
            }
            None => format!("Between network namespaces on a bridge, Linux {kernel}."),
        }
    }

    /// Whether it can be measured here: what queues of the kernel do not do takes an engine, and an emulated machine sends
    /// no more than a few thousand packets a second.
    pub(crate) fn can(&self, fault: &Fault, mechanism: Option<Mechanism>) -> bool {
        let emulated = std::env::var_os("SQUALL_LAB").is_some();
        match (&fault.treatment, fault.expected) {
            (Some(Treatment::Reject), _) => self.containers.is_some() || mechanism == Some(Mechanism::Userspace),
            (_, Expected::Rate(rate)) => !emulated || rate <= 10_000_000,
            _ => true,
        }
    }

    /// Disturbs the target's traffic; it is in place when this returns.
    pub(crate) async fn disturb(&self, network: Network) -> anyhow::Result<()> {
        let Some((containers, target)) = self.target() else {
            let namespace = &self.ends[TARGET].namespace;
            let mark = network.mark();
            if let Some(rules) = namespace.run(|| lay_here(&mark, &network, |_, _| false))? {
                let (program, shaper) = (std::env::current_exe()?, shaper());
                let ground = Ground {
                    program: &program,
                    namespace,
                    tag: &shaper,
                    change: &shaper,
                    holder: std::process::id(),
                    mark: &mark,
                };
                userspace::lay(&ground, &network, rules).await?;
            }
            return Ok(());
        };
        let mark = network.mark();
        let outcome = containers.docker.set(&tag(), target, &Setting::Network(Box::new(network))).await?;
        ensure!(outcome == Outcome::Done, "the engine says {outcome:?}");
        self.observe(Some(mark)).await
    }

    /// Takes back whatever there is; nothing of it is in place when this returns.
    pub(crate) async fn leave_alone(&self) -> anyhow::Result<()> {
        let Some((containers, target)) = self.target() else {
            let namespace = &self.ends[TARGET].namespace;
            namespace.run(kernel::clear)?;
            return Ok(userspace::clear(namespace, &shaper()).await?);
        };
        containers.docker.set(&tag(), target, &Setting::Mark(Aspect::Network, None)).await?;
        self.observe(None).await
    }

    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        match self.containers {
            Some(containers) => containers.clear().await,
            None => Ok(()),
        }
    }

    fn target(&self) -> Option<(&Containers, &InstanceId)> {
        self.containers.as_ref().map(|c| (c, &c.members[TARGET].id))
    }

    async fn observe(&self, wanted: Option<String>) -> anyhow::Result<()> {
        let (containers, target) = self.target().context("no engine")?;
        let seen = containers.docker.look(target).await?.context("the container is gone")?;
        let seen = seen.settings.get(&Aspect::Network);
        ensure!(seen == Some(&Setting::Mark(Aspect::Network, wanted)), "the engine observes {seen:?}");
        Ok(())
    }
}

/// What a shaper is found by, where no engine names it.
fn shaper() -> String {
    format!("table-{}", std::process::id())
}

fn tag() -> Tag {
    Tag { run: "table".to_owned(), change: 0 }
}

/// A namespace that nobody else is in.
fn empty() -> anyhow::Result<Namespace> {
    let made = std::thread::spawn(|| {
        #[expect(deprecated, reason = "its successor is unsafe, and only for the sharing of descriptors")]
        rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET)?;
        Namespace::own()
    });
    made.join().expect("making a namespace does not panic").context("cannot make a namespace; it takes root")
}

fn ip(at: &Namespace, what: &str) -> anyhow::Result<()> {
    let output = at.run(|| Command::new("ip").args(what.split_whitespace()).output())?;
    ensure!(output.status.success(), "ip {what}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
