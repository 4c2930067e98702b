//! What a probe needs to get ready, and what it is then. It knows no experiment: that belongs to `live`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;

use super::Answer;
use crate::engine::Engine;
use crate::experiment::quantity::{Text, fill};

/// A probe that is ready to ask.
#[async_trait]
pub(super) trait Ask: Send + Sync {
    /// The answer, at the latest when the timeout is over.
    async fn ask(&self) -> Answer;
}

/// What a probe needs to get ready.
pub(super) struct Ground<'a> {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) timeout: Duration,
    pub(super) lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Ground<'_> {
    /// The text with its variables filled in.
    pub(super) fn text(&self, text: &Text) -> anyhow::Result<String> {
        fill(&text.0, self.lookup)
            .map_err(|name| anyhow!("`{text}` needs ${{{name}}}, which is not set in this environment"))
    }
}
