//! Asks the real world: every check's probe, prepared once.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;

use super::ask::{Ask, ProbeSetup};
use super::{Answer, Prober, Reply};
use crate::engine::Engine;
use crate::experiment::Check;
use crate::model::quantity::Absent;

/// The checks of an experiment, ready to be asked.
pub struct Live {
    checks: HashMap<String, Box<dyn Ask>>,
}

impl Live {
    /// Prepares every check: variables are filled in, certificates are read. Nothing is asked yet.
    ///
    /// # Errors
    /// Where a variable has no value, or a URL, a header, a pattern or a CA file is unusable.
    #[expect(clippy::needless_pass_by_value, reason = "probes keep the engine")]
    pub fn new<'a>(
        checks: impl IntoIterator<Item = (&'a str, &'a Check)>,
        engine: Arc<dyn Engine>,
        lookup: impl Fn(&str) -> Result<String, Absent>,
    ) -> anyhow::Result<Self> {
        let mut ready = HashMap::new();
        for (name, check) in checks {
            let during = check.during.answers();
            let setup = ProbeSetup {
                engine: Arc::clone(&engine),
                timeout: check.timeout.0,
                lookup: &lookup,
                during: during.as_ref(),
            };
            let ask = check.probe.kind().prepare(&setup);
            ready.insert(name.to_owned(), ask.with_context(|| format!("cannot prepare the check `{name}`"))?);
        }
        Ok(Self { checks: ready })
    }
}

#[async_trait]
impl Prober for Live {
    async fn ask(&self, check: &str) -> Answer {
        match self.checks.get(check) {
            Some(ready) => ready.ask().await,
            None => Answer::NotMeasured(format!("there is no check `{check}`")),
        }
    }

    async fn reply(&self, check: &str) -> Reply {
        match self.checks.get(check) {
            Some(ready) => ready.reply().await,
            None => Answer::NotMeasured(format!("there is no check `{check}`")).into(),
        }
    }

    fn without_evidence(&self, check: &str) -> Option<String> {
        self.checks.get(check)?.without_evidence()
    }
}
