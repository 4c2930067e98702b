//! Asks the real world: every check's probe, prepared once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use async_trait::async_trait;

use super::{Answer, Probe, Senses};
use crate::engine::Engine;
use crate::experiment::quantity::fill;
use crate::experiment::{Check, Text};

/// The checks of an experiment, ready to be asked.
pub struct Live {
    checks: HashMap<String, Box<dyn Ask>>,
}

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

impl Live {
    /// Prepares every check: variables are filled in, certificates are read. Nothing is asked yet.
    ///
    /// # Errors
    /// Where a variable is unknown to `lookup`, or a URL, a header, a pattern or a CA file is unusable.
    #[expect(clippy::needless_pass_by_value, reason = "probes keep the engine")]
    pub fn new<'a>(
        checks: impl IntoIterator<Item = (&'a str, &'a Check)>,
        engine: Arc<dyn Engine>,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let mut ready = HashMap::new();
        for (name, check) in checks {
            let ground = Ground { engine: Arc::clone(&engine), timeout: check.timeout.0, lookup: &lookup };
            let ask = match &check.probe {
                Probe::Http(probe) => probe.prepare(&ground),
                Probe::Tcp(probe) => probe.prepare(&ground),
                Probe::Exec(probe) => probe.prepare(&ground),
                Probe::Engine(probe) => Ok(probe.prepare(&ground)),
            };
            ready.insert(name.to_owned(), ask.with_context(|| format!("cannot prepare the check `{name}`"))?);
        }
        Ok(Self { checks: ready })
    }
}

#[async_trait]
impl Senses for Live {
    async fn ask(&self, check: &str) -> Answer {
        match self.checks.get(check) {
            Some(ready) => ready.ask().await,
            None => Answer::CouldNotAsk(format!("there is no check `{check}`")),
        }
    }
}
