//! Asks the probes of `only-while`, once each, before a start.

use std::time::Duration;

use futures_util::future::join_all;
use indexmap::IndexMap;
use tokio::time::timeout;

use crate::command::cli::EngineArgs;
use crate::command::connect::reach;
use crate::engine::here;
use crate::experiment::Check;
use crate::experiment::probe::{Answer, Live, Prober as _};
use crate::host::store::StateDir;

/// How long an engine may take to answer.
const ENGINE: Duration = Duration::from_secs(10);

/// Whether each gets a good answer.
///
/// # Errors
/// What did not, in words for people.
pub(super) async fn all(checks: &IndexMap<String, Check>, engine: &EngineArgs, state: &StateDir) -> Result<(), String> {
    if checks.is_empty() {
        return Ok(());
    }
    let named = checks.iter().map(|(name, check)| (name.as_str(), check));
    let reached = match timeout(ENGINE, reach(&engine.without_helper(), None, state)).await {
        Ok(reached) => reached.map_err(|e| format!("{e:#}"))?,
        Err(_) => return Err("the engine does not answer".to_owned()),
    };
    let live = Live::new(named, reached.engine(), here::variable_in_use).map_err(|e| format!("{e:#}"))?;
    let answers = join_all(checks.keys().map(async |name: &String| (name.clone(), live.ask(name).await))).await;
    let bad: Vec<String> = answers
        .into_iter()
        .filter_map(|(name, answer)| match answer {
            Answer::Good { .. } => Some(format!("`{name}` {}", live.without_evidence(&name)?)),
            Answer::Failed(failure) => Some(format!("`{name}`: {}", failure.0)),
            Answer::NotMeasured(why) => Some(format!("`{name}` could not be measured: {why}")),
        })
        .collect();
    if bad.is_empty() { Ok(()) } else { Err(bad.join("; ")) }
}
