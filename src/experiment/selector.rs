//! Which instances are meant: project, service, node, zone, name, image and labels, AND-ed.

use serde::{Deserialize, Serialize};

use crate::model::instance::Instance;
use crate::model::quantity::Many;
use crate::text::glob::glob;

/// Which instances are meant. Every part that is given must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Selector {
    /// The projects, each with `*` for any text; none: the one in which there is something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub project: Vec<String>,
    /// The service.
    pub service: Option<String>,
    /// The machine that it runs on.
    pub node: Option<String>,
    /// The failure domain.
    pub zone: Option<String>,
    /// Names, each with `*` for any text, of which one is enough.
    #[serde(default)]
    pub name: Many<String>,
    /// Image, with `*` for any text.
    pub image: Option<String>,
    /// Labels, each `key` or `key=value`.
    pub labels: Vec<String>,
}

impl Selector {
    /// Whether nothing at all is said, which would mean everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it means this instance.
    #[must_use]
    pub fn matches(&self, i: &Instance) -> bool {
        let is = |want: &Option<String>, have: Option<&str>| want.as_deref().is_none_or(|w| have == Some(w));
        let like = |want: &Option<String>, have: Option<&str>| {
            want.as_deref().is_none_or(|w| have.is_some_and(|h| glob(w, h)))
        };
        i.is_of(&self.project)
            && self.service.as_deref().is_none_or(|service| i.is_of_service(service))
            && is(&self.node, i.node.as_deref())
            && is(&self.zone, i.zone.as_deref())
            && (self.name.is_empty() || self.name.iter().any(|name| glob(name, &i.name)))
            && like(&self.image, i.image.as_deref())
            && self.labels.iter().all(|l| i.carries(l))
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        for (key, value) in
            [("service", &self.service), ("node", &self.node), ("zone", &self.zone), ("image", &self.image)]
        {
            if let Some(v) = value {
                parts.push(format!("{key} {v}"));
            }
        }
        if !self.name.is_empty() {
            parts.push(format!("name {}", self.name.join(" or ")));
        }
        parts.extend(self.labels.iter().map(|l| format!("label {l}")));
        parts.extend(self.project.iter().map(|p| format!("project {p}")));
        f.write_str(&parts.join(", "))
    }
}
