//! The machine of instances, cut off from everything outside: a table of nf_tables for each instance, in the machine's own network
//! namespace, which is that of this process. Its name tells whose it is and what it does, so that any process finds it there, whatever
//! has become of the instance.

use std::io;

use super::mechanism::has_queue;
use super::{Outcome, blocking};
use crate::host::Host;
use crate::host::net::link::{self, Link};
use crate::host::net::namespace::Namespace;
use crate::host::net::netlink::{Family, Socket};
use crate::host::net::{nft, outside};
use crate::model::instance::{Aspect, Instance, InstanceId, LAPSED, Setting};
use crate::model::node::Isolation;

/// What the names of these tables begin with: not as those on an instance's own traffic, which may be in the same namespace.
const PREFIX: &str = "squallnode";

/// Links of an instance's own that pass the machine's rules by.
const PAST_THE_RULES: [&str; 4] = ["macvlan", "macvtap", "ipvlan", "ipvtap"];

/// Why the machine cannot be cut off as a whole, as far as an instance in this namespace goes.
///
/// # Errors
/// Where something of it would go on reaching others, or that cannot be told.
pub fn can(instance: Option<&Namespace>) -> Result<(), String> {
    let told = |why: io::Error| format!("its links cannot be looked at: {why}");
    outside::links(&here().map_err(told)?)?;
    let Some(instance) = instance else { return Ok(()) };
    let own = Namespace::own().and_then(|own| Ok(own.identity()? == instance.identity()?)).map_err(told)?;
    if own {
        return Ok(());
    }
    let links = instance.run(here).map_err(told)?;
    let past = links.iter().find(|link| match &link.kind {
        Some(kind) => PAST_THE_RULES.contains(&kind.as_str()),
        // A card of the machine's that was given to it.
        None => !link.loopback,
    });
    past.map_or(Ok(()), |link| {
        let kind = link.kind.as_deref().unwrap_or("card");
        Err(format!(
            "it has a {kind} of its own ({}), whose packets pass by the rules that cut off its node; take the instance off that network, \
             or use `mode: power`",
            link.name
        ))
    })
}

/// Every link of this process's own namespace.
fn here() -> io::Result<Vec<Link>> {
    link::links(&mut Socket::open(Family::Route)?)
}

/// Looks at what cuts off the node on behalf of this instance.
pub async fn observe(id: &InstanceId, instance: &mut Instance) {
    let id = id.clone();
    match blocking(move || seen(&id)).await {
        Ok((mark, sees)) => {
            instance.settings.insert(Aspect::NodeNetwork, Setting::Mark(Aspect::NodeNetwork, mark));
            instance.sees.extend(sees.map(|sees| (Aspect::NodeNetwork, sees)));
        }
        Err(why) => tracing::warn!(instance = instance.name, %why, "the network of its node cannot be looked at"),
    }
}

fn seen(id: &InstanceId) -> io::Result<(Option<String>, Option<String>)> {
    let Some(name) = nft::named(&prefix(id))?.pop() else { return Ok((None, None)) };
    let cut: u64 = nft::counters_of(&name)?.iter().filter(|c| c.comment == "cut").map(|c| c.packets).sum();
    let mark = if nft::has_lapsed(&name)? { Some(LAPSED) } else { name.strip_prefix(&prefix(id)) };
    Ok((mark.map(str::to_owned), Some(format!("{cut} packets that did not pass"))))
}

/// Cuts off the node on behalf of this instance.
///
/// # Errors
/// Where no link leads out, or the kernel refuses.
pub async fn cut(host: &Host, id: &InstanceId, isolation: Isolation) -> io::Result<Outcome> {
    // As on a real way, a sender is not told, where the kernel can do that.
    let leaves = if has_queue(host).is_ok() { nft::Verdict::Vanish } else { nft::Verdict::Drop };
    let name = format!("{}{}", prefix(id), isolation.mark());
    let id = id.clone();
    let laid = blocking(move || {
        let there = nft::named(&prefix(&id))?;
        if there.contains(&name) && !nft::has_lapsed(&name)? {
            return Ok((Outcome::Already, None));
        }
        let all = here()?;
        let links = outside::links(&all).map_err(io::Error::other)?;
        if links.is_empty() {
            return Err(io::Error::other("no link leads out of its node"));
        }
        let lease = nft::put(&name, &outside::cut(&links, isolation.let_through, leaves))?;
        there.iter().filter(|other| **other != name).try_for_each(|other| nft::remove(other).map(drop))?;
        Ok((Outcome::Done, Some(lease)))
    });
    let (outcome, lease) = laid.await?;
    if let Some(lease) = lease {
        host.leases().keep(lease, std::process::id());
    }
    Ok(outcome)
}

/// Keeps what another process of the run's has cut off, and does not any more. What has lapsed by then stays so.
///
/// # Errors
/// What the kernel refuses.
pub async fn keep(host: &Host, id: &InstanceId, isolation: Isolation) -> io::Result<()> {
    let name = format!("{}{}", prefix(id), isolation.mark());
    if let Some(lease) = blocking(move || nft::take_over(&name)).await? {
        host.leases().keep(lease, std::process::id());
    }
    Ok(())
}

/// Takes away what cuts off the node on behalf of this instance, whether that exists or not.
///
/// # Errors
/// What the kernel refuses.
pub async fn mend(id: &InstanceId) -> io::Result<Outcome> {
    let id = id.clone();
    blocking(move || {
        let mut was = Outcome::Already;
        for name in nft::named(&prefix(&id))? {
            if nft::remove(&name)? {
                was = Outcome::Done;
            }
        }
        Ok(was)
    })
    .await
}

fn prefix(id: &InstanceId) -> String {
    let plain: String = id.0.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{PREFIX}_{plain}_")
}

/// What a person types on the node to have it reachable again.
#[must_use]
pub fn by_hand() -> String {
    format!("nft list tables | grep {PREFIX} | sed \"s/^/delete /\" | nft -f -")
}
