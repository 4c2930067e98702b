//! The end of what the daemon has started: what it came to, who is told, and how it is stopped.

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;

use super::{ChildTask, Daemon, Going, say, tell};
use crate::command::connect::kind;
use crate::model::exit::Verdict;
use crate::occasions::history::{Filter, History, Row};
use crate::report::Format;

impl Daemon {
    pub(super) fn ended(&mut self, ended: std::io::Result<std::process::ExitStatus>) {
        self.learned = None;
        let going = match self.child.take() {
            Some((_, ChildTask::Run(going))) => going,
            Some((_, ChildTask::Recover)) => {
                self.trouble = match ended {
                    Ok(status) if status.success() => None,
                    Ok(status) => Some(format!("`squall recover` ended with {status}: its rollback may be incomplete")),
                    Err(e) => Some(format!("the end of `squall recover` cannot be seen: {e}")),
                };
                if let Some(trouble) = &self.trouble {
                    say(trouble);
                }
                return;
            }
            None => return,
        };
        let key = &going.listeners.key;
        let code = ended.as_ref().ok().and_then(std::process::ExitStatus::code);
        let verdict = Verdict::ALL.into_iter().find(|verdict| Some(i32::from(verdict.code())) == code);
        let simulated = kind(&self.args.engine).is_simulated();
        let verdict = verdict.map(|verdict| if simulated { verdict.rehearsed() } else { verdict });
        if going.dry_run {
            let came = match code {
                Some(0) => "dry run: it could be run; nothing was touched".to_owned(),
                Some(_) => "dry run: it could not be run, as said above; nothing was touched".to_owned(),
                None => "dry run: stopped; nothing was touched".to_owned(),
            };
            say(&format!("{key}: ended: {came}"));
            return;
        }
        match ended {
            Ok(status) => {
                let came = verdict.map_or_else(|| status.to_string(), |verdict| verdict.words().to_owned());
                say(&format!("{key}: ended: {came}"));
                if !matches!(status.code(), Some(0..=3)) {
                    self.trouble = Some(format!("a run of {key} ended with {status}: its rollback may be incomplete"));
                }
            }
            Err(e) => say(&format!("{key}: its end cannot be seen: {e}")),
        }
        // One that had not even begun to heed signals ends by them, and has touched nothing.
        if !(going.stopped && matches!(verdict, None | Some(Verdict::NoVerdict))) {
            self.tell(&going, verdict);
        }
    }

    /// Tells who wants to know what a run came to.
    fn tell(&mut self, going: &Going, verdict: Option<Verdict>) {
        let (listeners, now) = (&going.listeners, Timestamp::now());
        let rows = History::open(&self.state).and_then(|history| history.rows(&Filter::default())).unwrap_or_default();
        let its_own = |row: &&Row| {
            row.experiment.as_ref() == Some(&going.experiment) && row.began.is_some_and(|began| began >= going.began)
        };
        let row = rows.iter().filter(its_own).max_by_key(|row| row.began);
        let row = row.map(|row| (row, self.state.run_dir(&row.run).join(Format::Html.file())));
        let row = row.as_ref().map(|(row, report)| (*row, report.as_path()));
        // A rehearsal neither begins trouble nor ends it.
        let rehearsal = verdict.is_some_and(Verdict::is_rehearsal);
        let troubled = !rehearsal && self.memory.set_troubled(&listeners.key, verdict != Some(Verdict::Held));
        if let Some(message) = tell::ends(listeners, &going.experiment, now, verdict, troubled, row) {
            self.messages.send(&listeners.recipients, &message);
        }
        if let Err(e) = self.memory.save() {
            say(&format!("{e:#}"));
        }
    }

    /// Passes the wish to stop on to the run, which rolls everything back.
    pub(super) fn stop_run(&mut self) {
        // What rolls back is not stopped; it is waited for.
        let run = self.child.as_ref().filter(|(_, work)| matches!(work, ChildTask::Run(_)));
        let pid = run.and_then(|(child, _)| child.id()).and_then(|pid| i32::try_from(pid).ok());
        if let Some((_, ChildTask::Run(going))) = &mut self.child {
            going.stopped = true;
        }
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            say("the run that goes on rolls everything back first");
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// The end of the run that goes on; never, where none does.
pub(super) async fn end(child: &mut Option<(Child, ChildTask)>) -> std::io::Result<std::process::ExitStatus> {
    match child {
        Some((child, _)) => child.wait().await,
        None => std::future::pending().await,
    }
}
