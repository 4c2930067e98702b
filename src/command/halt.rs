//! `squall halt` and `squall resume`.

use std::process::ExitCode;

use crate::store::StateDir;

pub(super) fn halt(_reason: &str, _state: &StateDir) -> anyhow::Result<ExitCode> {
    anyhow::bail!("in work")
}

pub(super) fn resume(_state: &StateDir) -> anyhow::Result<ExitCode> {
    anyhow::bail!("in work")
}
