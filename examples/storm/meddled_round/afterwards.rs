//! What comes after a run: its processes are waited for, `squall recover` is called, the field is compared with what it was
//! before, and it is made good for the next round.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use squall::host::process::{self, Process};
use squall::record::state::RunState;
use tokio::time::{Instant, sleep};

use super::{Round, SETTLED};
use crate::field::Field;
use crate::judge::Meddled;
use crate::look::Look;
use crate::meddling::{His, file_in};

/// The processes of a run that are not gone at this moment; none where all are before.
pub(super) async fn left(dir: &Path, end: Instant) -> Vec<Process> {
    loop {
        let left = process::with_variable("SQUALL_STATE", &dir.to_string_lossy());
        if left.is_empty() || Instant::now() >= end {
            return left;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// How `squall recover` ends, and what it says.
pub(super) async fn recover(dir: &Path) -> anyhow::Result<(Option<i32>, String)> {
    let ended = Field::squall(dir).arg("recover").stdin(Stdio::null()).output().await?;
    let said = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Ok((ended.status.code(), said))
}

/// Closes a run of which something is not known, as a person does who has looked.
pub(super) async fn settle(dir: &Path) -> anyhow::Result<()> {
    let journal = file_in(dir).context("a journal")?;
    let run = journal.parent().and_then(Path::file_name).context("a run")?;
    let settled = Field::squall(dir).args(["recover", "--settle"]).arg(run).arg("looked").output().await?;
    anyhow::ensure!(settled.status.success(), "{}", String::from_utf8_lossy(&settled.stderr));
    Ok(())
}

/// What differs from before that the meddler has not changed himself.
pub(super) async fn compared(
    field: &Field,
    round: &Round,
    before: &Look,
    meddled: Option<&Meddled>,
) -> anyhow::Result<Option<String>> {
    let end = Instant::now() + SETTLED;
    loop {
        let (mut expected, mut now) = (before.clone(), field.look().await?);
        if let Some(meddled) = meddled {
            let is_gone = field.id(&meddled.name).await?.is_none();
            for look in [&mut expected, &mut now] {
                if is_gone && round.meddling.words == "remove" {
                    look.forget(Some(&meddled.name));
                }
                match round.meddling.his {
                    His::Nothing => {}
                    His::Aspects(aspects) => look.forget_aspects(&meddled.name, aspects),
                    His::Networks => look.forget_networks(&meddled.name),
                }
            }
        }
        if now == expected {
            return Ok(None);
        }
        if Instant::now() >= end {
            return Ok(Some(format!("not as before: {}", expected.differences(&now))));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The field as it was, for the next round.
pub(super) async fn make_good(
    field: &Field,
    round: &Round,
    violations: &[String],
    meddled: Option<&Meddled>,
) -> anyhow::Result<()> {
    if violations.is_empty() {
        if let Some(meddled) = meddled.filter(|_| round.meddling.his != His::Nothing) {
            field.replace(&meddled.name).await?;
        }
        return field.refill().await;
    }
    field.remove_locks().await?;
    for name in field.names() {
        field.each(&["docker rm --force {name}-renamed"], &name).await?;
        field.replace(&name).await?;
    }
    Ok(())
}

/// The exit code and the reason in the journal.
pub(super) fn said_code(code: Option<i32>, state: &RunState) -> String {
    let reason = state.finished.as_ref().map_or_else(|| "no end".to_owned(), |f| f.reason.word().to_owned());
    match code {
        Some(code) => format!("{code} {reason}"),
        None => format!("killed {reason}"),
    }
}
