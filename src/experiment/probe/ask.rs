//! What a probe needs to get ready, and what it is then. It knows no experiment: that belongs to `live`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;

use super::{Answer, Reply, Wanted};
use crate::engine::Engine;
use crate::model::quantity::{Lookup, Text, fill};

/// A probe that is ready to ask.
#[async_trait]
pub(crate) trait Ask: Send + Sync {
    /// The answer, at the latest when the timeout is over.
    async fn ask(&self) -> Answer;

    /// The same, with what a contract of degradation is judged by.
    async fn reply(&self) -> Reply {
        self.ask().await.into()
    }

    /// As [`Prober::without_evidence`](super::Prober::without_evidence).
    fn without_evidence(&self) -> Option<String> {
        None
    }
}

/// Whether what a probe asks about was ever seen to exist. A name that is mistyped never is.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    looked: AtomicBool,
    seen: AtomicBool,
}

impl Sightings {
    /// It was looked for, and was there or not.
    pub(super) fn note(&self, exists: bool) {
        self.looked.store(true, Ordering::Relaxed);
        self.seen.fetch_or(exists, Ordering::Relaxed);
    }

    /// Whether it was looked for, and never there.
    pub(super) fn never(&self) -> bool {
        self.looked.load(Ordering::Relaxed) && !self.seen.load(Ordering::Relaxed)
    }
}

/// What a probe needs to get ready.
pub(crate) struct ProbeSetup<'a> {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) timeout: Duration,
    pub(super) lookup: Lookup<'a>,
    /// What `during` says of answers.
    pub(super) during: Option<&'a Wanted>,
}

impl ProbeSetup<'_> {
    /// The text with its variables filled in.
    pub(super) fn text(&self, text: &Text) -> anyhow::Result<String> {
        fill(&text.0, self.lookup).map_err(|missing| anyhow!("in `{text}`, {missing}"))
    }
}
