//! Which instances are meant: service, zone, name, image and labels, AND-ed.

use serde::{Deserialize, Serialize};

use crate::glob::glob;
use crate::instance::Instance;

/// Which instances are meant. Every part that is given must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Selector {
    /// The service.
    pub service: Option<String>,
    /// The failure domain.
    pub zone: Option<String>,
    /// Name, with `*` for any text.
    pub name: Option<String>,
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
        is(&self.service, Some(&i.service))
            && is(&self.zone, i.zone.as_deref())
            && like(&self.name, Some(&i.name))
            && like(&self.image, i.image.as_deref())
            && self.labels.iter().all(|l| has_label(i, l))
    }
}

/// Whether an instance carries a label, given as `key` or `key=value`.
#[must_use]
pub fn has_label(i: &Instance, label: &str) -> bool {
    match label.split_once('=') {
        Some((key, value)) => i.labels.get(key).is_some_and(|v| v == value),
        None => i.labels.contains_key(label),
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        for (key, value) in
            [("service", &self.service), ("zone", &self.zone), ("name", &self.name), ("image", &self.image)]
        {
            if let Some(v) = value {
                parts.push(format!("{key} {v}"));
            }
        }
        parts.extend(self.labels.iter().map(|l| format!("label {l}")));
        f.write_str(&parts.join(", "))
    }
}
