//! Where it is measured: containers of an engine, disturbed through it; or namespaces on a bridge, disturbed directly, where
//! there is no engine (or so slow a machine that none is wanted).

use std::io;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use squall::engine::net::userspace::{self, ShaperSetup};
use squall::engine::net::{Laid, kernel, lay_here};
use squall::engine::{Apply as _, Engine as _, Observe as _, Outcome, Tag};
use squall::host::net::leases::Leases;
use squall::host::net::namespace::Namespace;
use squall::model::instance::{Aspect, InstanceId, Setting};
use squall::model::network::{Mechanism, Network, Treatment};

use super::cases::{CONTAINERS, Expected, Fault, PEER, TARGET};
use super::containers::Containers;
use super::row::End;

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) ends: Vec<End>,
    containers: Option<Containers>,
    /// Whom the target talks with beside containers: the host of the bridge, and one behind it.
    hosts: Vec<End>,
    /// Of what is disturbed without an engine.
    leases: Leases,
}

/// Whom the target exchanges streams with.
#[derive(Debug)]
pub(crate) struct Peer<'a> {
    pub(crate) name: &'static str,
    pub(crate) namespace: &'a Namespace,
    pub(crate) address: IpAddr,
}

impl Stage {
    pub(crate) async fn containers() -> anyhow::Result<Self> {
        let containers = Containers::start("table", CONTAINERS).await?;
        let end = |m: &super::containers::Member| {
            io::Result::Ok(End { namespace: Namespace::of(m.pid)?, address: m.address })
        };
        match containers.members.iter().map(end).collect() {
            Ok(ends) => {
                // The engine's host has the first address of the network, as its gateway.
                let gateway = match containers.members[TARGET].address {
                    IpAddr::V4(address) => {
                        IpAddr::from([address.octets()[0], address.octets()[1], address.octets()[2], 1])
                    }
                    address @ IpAddr::V6(_) => address,
                };
                let hosts = vec![End { namespace: Namespace::own()?, address: gateway }];
                Ok(Self { ends, containers: Some(containers), hosts, leases: Leases::default() })
            }
            Err(e) => containers.clear().await.and(Err(e.into())),
        }
    }

    pub(crate) fn plain() -> anyhow::Result<Self> {
        let bridge = empty()?;
        ip(&bridge, "link add bridge type bridge")?;
        ip(&bridge, "link set bridge up")?;
        ip(&bridge, "address add 10.78.0.254/24 dev bridge")?;
        bridge.run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))?;
        let outside = empty()?;
        ip(&bridge, &format!("link add uplink type veth peer name eth0 netns {}", outside.path().display()))?;
        for (at, what) in [
            (&bridge, "address add 10.79.0.1/24 dev uplink"),
            (&bridge, "link set uplink up"),
            (&outside, "address add 10.79.0.2/24 dev eth0"),
            (&outside, "link set eth0 up"),
            (&outside, "route add default via 10.79.0.1"),
        ] {
            ip(at, what)?;
        }
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
                "route add default via 10.78.0.254".to_owned(),
            ] {
                ip(&namespace, &what)?;
            }
            ends.push(End { namespace, address: address.parse()? });
        }
        let hosts = vec![
            End { namespace: bridge, address: IpAddr::from([10, 78, 0, 254]) },
            End { namespace: outside, address: IpAddr::from([10, 79, 0, 2]) },
        ];
        Ok(Self { ends, containers: None, hosts, leases: Leases::default() })
    }

    /// Whose traffic is disturbed.
    pub(crate) fn target_end(&self) -> &End {
        &self.ends[TARGET]
    }

    /// Another one on the bridge, the bridge's host, and where there is one a host behind that.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Peer<'_>> {
        let names = ["on the bridge", "the host", "an outside host"];
        let ends = std::iter::once(&self.ends[PEER]).chain(&self.hosts);
        names.into_iter().zip(ends).map(|(name, end)| Peer { name, namespace: &end.namespace, address: end.address })
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
        match (&fault.treatment, fault.expected) {
            (Some(Treatment::Reject), _) => self.containers.is_some() || mechanism == Some(Mechanism::Userspace),
            (_, Expected::Rate(rate)) => !emulated() || rate <= 10_000_000,
            _ => true,
        }
    }

    /// Disturbs the target's traffic; it is in place when this returns.
    pub(crate) async fn disturb(&self, network: Network) -> anyhow::Result<()> {
        let Some((containers, target)) = self.target() else {
            let namespace = &self.ends[TARGET].namespace;
            let mark = network.mark();
            let holder = std::process::id();
            let lease = match namespace.run(|| lay_here(&mark, &network, |_, _| false))? {
                Laid::Done(lease) => lease,
                Laid::Lacks(rules) => {
                    let (program, shaper) = (std::env::current_exe()?, shaper());
                    let (program, tag, change, mark) = (&program, &shaper, &shaper, &mark);
                    let setup = ShaperSetup { program, namespace, tag, change, holder, mark };
                    userspace::lay(&setup, &network, rules).await?
                }
            };
            self.leases.keep(lease, holder);
            return Ok(());
        };
        let mark = network.mark();
        let outcome = containers.docker.set(&tag(), target, &Setting::Network(Box::new(network))).await?;
        ensure!(outcome == Outcome::Done, "the engine says {outcome:?}");
        self.observe(Some(mark)).await
    }

    /// Rolls back whatever there is; nothing of it is in place when this returns.
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

/// What the machine itself may add to a delay, beyond what it adds to other traffic; and an emulated one, whose clock
/// stands still for a while at times.
const SLACK: Duration = Duration::from_millis(5);
const SLACK_EMULATED: Duration = Duration::from_millis(20);

/// What this machine itself may add to a delay.
pub(crate) fn slack() -> Duration {
    if emulated() { SLACK_EMULATED } else { SLACK }
}

/// Whether this is the lab's machine.
pub(crate) fn emulated() -> bool {
    std::env::var_os("SQUALL_LAB").is_some()
}

/// What a shaper is found by, where no engine names it.
fn shaper() -> String {
    format!("table-{}", std::process::id())
}

fn tag() -> Tag {
    Tag { run: "table".to_owned(), change: 0 }
}

/// A namespace of its own.
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
