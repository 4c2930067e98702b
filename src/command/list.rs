//! `squall list`.

use std::process::ExitCode;

use crate::store::StateDir;

pub(super) fn run(_json: bool, _state: &StateDir) -> anyhow::Result<ExitCode> {
    anyhow::bail!("in work")
}
