//! What no fault may do to an instance, and what people should know of: by what it sets, so that the author of a fault cannot forget it.

use super::{Context, Fault, Heal, disk_fill, dns, traffic};
use crate::model::instance::{Aspect, Instance, Setting, Trait};

impl Fault {
    /// Whether this setting of it may be made so at an instance.
    ///
    /// # Errors
    /// Why it must not, in a sentence.
    pub fn may_set(&self, to: &Setting, i: &Instance, context: &Context<'_>) -> Result<(), String> {
        may_end(self, to, i)?;
        would_limit(to, i)?;
        traffic::may_be_disturbed(self, to, i)?;
        disk_fill::may_be_filled(to, i, context)?;
        has_none(to, i)?;
        dns::differs(to, i, context.fleet)
    }

    /// What people should know before they do it to an instance.
    #[must_use]
    pub fn warnings(&self, i: &Instance) -> Vec<String> {
        let ends = |to: &Setting| to.aspect() == Aspect::Running;
        let settings = self.disturb().settings(i, &Context::default());
        let ports = settings.iter().any(ends) && i.traits.contains(&Trait::RandomPorts);
        let ports = ports.then(|| format!("{} publishes random ports: they will be others afterwards", i.name));
        ports.into_iter().chain(self.disturb().warns(i)).collect()
    }
}

/// Refuses instances that could not be brought back, or that another process brings back.
fn may_end(fault: &Fault, to: &Setting, i: &Instance) -> Result<(), String> {
    if to.aspect() != Aspect::Running || fault.heal() == Heal::Itself {
        return Ok(());
    }
    if i.traits.contains(&Trait::AutoRemove) {
        return Err(format!(
            "{} is deleted when it ends (`--rm`) and could not be started again; run it without `--rm`, or say `heal: self`",
            i.name
        ));
    }
    let by = i.traits.iter().find_map(|t| if let Trait::Orchestrated(by) = t { Some(by) } else { None });
    match by {
        // Its node is given no tasks meanwhile, and what replaces it elsewhere is what the outage is about.
        Some(_) if fault.disturb().targets_nodes() => Ok(()),
        Some(by) => Err(format!(
            "{} is replaced by {by} when it ends, so that there is nothing to roll back; say `heal: self`",
            i.name
        )),
        None => Ok(()),
    }
}

/// Refuses what a process of Squall's does already, left over from another run, or processes that another process has stopped.
fn has_none(to: &Setting, i: &Instance) -> Result<(), String> {
    match (to, i.settings.get(&to.aspect())) {
        (Setting::Stressor(_) | Setting::Signalled(_), Some(Setting::Mark(aspect, Some(_)))) => Err(format!(
            "{} is not as it should be, by its {aspect}: left over from another run, which `squall recover` rolls back, or \
             stopped by another process",
            i.name
        )),
        _ => Ok(()),
    }
}

/// Refuses a limit that would leave as much as there is, or more.
fn would_limit(to: &Setting, i: &Instance) -> Result<(), String> {
    match (to, i.settings.get(&to.aspect())) {
        (Setting::Limit(to), Some(Setting::Limit(now))) if !to.is_below(now) => {
            Err(format!("{} is limited to {now} already: {to} would limit nothing", i.name))
        }
        _ => Ok(()),
    }
}
