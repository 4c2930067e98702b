//! Instances that an orchestrator replaces by others when they end, instead of starting them again. Pure.

use super::{Instance, Trait};

impl Instance {
    /// Who replaces it when it ends, if anybody does.
    #[must_use]
    pub fn replaced_by(&self) -> Option<&str> {
        self.traits.iter().find_map(|t| if let Trait::Orchestrated(by) = t { Some(by.as_str()) } else { None })
    }

    /// Whether it has ended for good: another one stands in for it, and to start this one again would make both.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.replaced_by().is_some() && !self.is_running()
    }

    /// Whether it is what an orchestrator would start when the other one has ended: of the same service, and not the same.
    #[must_use]
    pub fn could_replace(&self, other: &Self) -> bool {
        let service = |i: &Self| (i.service.clone(), i.project.clone());
        self.id != other.id && self.replaced_by().is_some() && service(self) == service(other)
    }
}
