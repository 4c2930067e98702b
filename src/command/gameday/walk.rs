//! `squall gameday run`: one process that walks through a game day, step by step. Every scenario is an ordinary run with a
//! journal of its own; what happens around the runs is in the timeline.

use std::io::IsTerminal as _;
use std::ops::ControlFlow::{self, Break, Continue};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use tokio::time::sleep;

use super::super::connect::{kind, reach};
use super::super::one_run::{RunOptions, new_id, no_verdict};
use super::super::suite::{self, Suite, cannot_begin};
use super::super::{halt, load, run_stack};
use super::ask::{Word, ask};
use super::tell::Tell;
use super::{place, reports, say};
use crate::command::cli::gameday as cli;
use crate::host::store::{StateDir, private_dir};
use crate::model::exit::{INVALID, Verdict};
use crate::occasions::gameday::event::{Event, FORMAT, List, NOT_BEGUN};
use crate::occasions::gameday::state::GamedayState;
use crate::occasions::gameday::{Agenda, Checklist, StopOn, timeline};
use crate::occasions::gate::{self, Attempt, Entry, Repeat};
use crate::report::follow;
use crate::report::follow::words::wrap;
use crate::text::units::{count, times};

pub(super) async fn run(mut args: cli::Run, state: StateDir) -> anyhow::Result<ExitCode> {
    let mut agenda = match load::gameday(&args.file) {
        Ok(reading) => reading.value,
        Err(trouble) => {
            follow::complain_styled(&trouble.to_string());
            return Ok(ExitCode::from(INVALID));
        }
    };
    if !args.unattended && !std::io::stdin().is_terminal() {
        bail!(
            "there is no terminal on which the commander could be asked; --unattended asks nothing, and with --yes the \
             checklist before the game day counts as done"
        );
    }
    if let Some(why) = halt::refusal(&state) {
        return Ok(no_verdict(&why));
    }
    for x in &mut agenda.experiments {
        x.blast_radius.protect.extend(args.protect.iter().cloned());
    }
    run_stack::named(&mut args.engine, &mut agenda.experiments)?;
    let id = new_id(&agenda.gameday.name);
    let lock = place::take(&state, &id)?;
    // Before anybody has ticked a list in vain.
    if let Err(e) = reach(&args.engine, agenda.experiments.first(), &state).await {
        return Ok(no_verdict(&format!("{e:#}")));
    }
    let options =
        RunOptions { quiet: args.quiet, guard: args.guard.guard, grace: args.guard.grace, ..RunOptions::default() };
    let suite = match Suite::begin(&args.engine, agenda.experiments.first(), &state, options).await {
        Ok(suite) => suite,
        Err(attempt) => return Ok(ExitCode::from(attempt.verdict.code())),
    };
    let walk = Walk { path: state.timeline(&id), args: &args, state: &state, agenda: &agenda, id: &id, suite: &suite };
    let verdict = walk.through().await;
    let verdict = suite.end(verdict).await;
    drop(lock);
    Ok(ExitCode::from(verdict?.unwrap_or(Verdict::LeftBehind).code()))
}

/// A game day that goes on.
struct Walk<'a> {
    args: &'a cli::Run,
    state: &'a StateDir,
    agenda: &'a Agenda,
    id: &'a str,
    /// Its timeline.
    path: PathBuf,
    suite: &'a Suite,
}

/// No further scenario begins.
struct Stopped {
    why: String,
    /// Whether nobody is asked anything any more.
    at_once: bool,
}

impl Stopped {
    fn at_once(why: impl Into<String>) -> Self {
        Self { why: why.into(), at_once: true }
    }
}

type Step<T = ()> = ControlFlow<Stopped, T>;

impl Walk<'_> {
    /// From its begin to its end: what it came to.
    ///
    /// # Errors
    /// Where its timeline cannot be begun; nothing has been touched then.
    async fn through(&self) -> anyhow::Result<Verdict> {
        private_dir(&self.state.gameday_dir(self.id))?;
        timeline::add(&self.path, self.started())?;
        let tell = Tell::begin(&self.agenda.gameday, self.id, &self.path, self.state);
        tell.begins();
        self.greet();
        let mut entries: Vec<Entry> = (0..self.agenda.experiments.len()).map(|n| self.entry(n)).collect();
        if let Break(stopped) = self.scenarios(&mut entries, &tell).await {
            follow::say(&format!("\nno further scenario: {}", stopped.why));
            for entry in entries.iter_mut().filter(|e| e.attempts.is_empty() && e.cut_short.is_none()) {
                entry.cut_short = Some(stopped.why.clone());
            }
            self.note(Event::Stopped { why: stopped.why });
            if !stopped.at_once && entries.iter().any(|e| !e.attempts.is_empty()) {
                let _ = self.checklist(List::After, None).await;
            }
        } else {
            let _ = self.checklist(List::After, None).await;
        }
        self.suggest(&entries);
        let verdict = gate::verdict(&entries);
        self.note(Event::Ended { verdict: Some(verdict) });
        tell.ends(verdict, &entries).await;
        self.show_the_end(&entries);
        Ok(verdict)
    }

    fn started(&self) -> Event {
        Event::Started {
            format: FORMAT,
            id: self.id.to_owned(),
            file: self.args.file.display().to_string(),
            gameday: Box::new(self.agenda.gameday.clone()),
            experiments: self.agenda.experiments.iter().map(|x| x.name.clone()).collect(),
            unattended: self.args.unattended,
            rehearsal: kind(&self.args.engine).is_simulated(),
        }
    }

    fn title(&self, n: usize) -> &str {
        let title = self.agenda.gameday.scenarios[n].title.as_deref();
        title.unwrap_or(&self.agenda.experiments[n].name)
    }

    fn entry(&self, n: usize) -> Entry {
        let file = self.agenda.gameday.scenarios[n].experiment.clone();
        let entry = Entry::of(&self.agenda.experiments[n], file, Repeat::ONCE);
        Entry { name: self.title(n).to_owned(), ..entry }
    }

    /// What has happened goes on the timeline. Where that fails, it has happened all the same.
    fn note(&self, event: Event) {
        if let Err(e) = timeline::add(&self.path, event) {
            complain!("warning: {e:#}");
        }
    }

    async fn scenarios(&self, entries: &mut [Entry], tell: &Tell) -> Step {
        self.checklist(List::Before, None).await?;
        for (n, entry) in entries.iter_mut().enumerate() {
            self.pause(n).await?;
            follow::say(&format!("\nscenario {} of {}  {}\n", n + 1, self.agenda.experiments.len(), entry.name));
            if !self.go().await? {
                let why = "the commander left it out";
                self.note(Event::ScenarioSkipped { scenario: n, why: why.to_owned() });
                entry.cut_short = Some(why.to_owned());
                continue;
            }
            let attempt = self.scenario(n).await?;
            tell.scenario(&entry.name, &attempt);
            let stopped = self.why_no_further(&attempt);
            entry.attempts.push(attempt);
            if let Some(stopped) = &stopped
                && stopped.at_once
            {
                return Break(Stopped::at_once(stopped.why.clone()));
            }
            self.checklist(List::During, Some(n)).await?;
            if let Some(stopped) = stopped {
                return Break(stopped);
            }
        }
        Continue(())
    }

    /// Waits for what the file says. Before the first scenario, too.
    async fn pause(&self, n: usize) -> Step {
        let pause = self.agenda.gameday.scenarios[n].pause;
        if !pause.0.is_zero() {
            follow::say(&format!("\nscenario {} follows in {pause}", n + 1));
        }
        tokio::select! {
            biased;
            stopped = self.called_off() => Break(stopped),
            () = sleep(pause.0) => Continue(()),
        }
    }

    /// The commander's go.
    async fn go(&self) -> Step<bool> {
        if self.args.unattended {
            return Continue(true);
        }
        match self.answer("go? [y]es, [n]o: leave it out, [q]uit:").await? {
            Word::Yes => Continue(true),
            _ => Continue(false),
        }
    }

    /// One scenario, from its name to what it came to.
    async fn scenario(&self, n: usize) -> Step<Attempt> {
        let (scenario, x) = (&self.agenda.gameday.scenarios[n], &self.agenda.experiments[n]);
        let run = new_id(&x.name);
        // Nothing is touched that the timeline does not know of.
        if let Err(e) = timeline::add(&self.path, Event::ScenarioBegan { scenario: n, run: run.clone() }) {
            return Break(Stopped::at_once(format!("{e:#}")));
        }
        let file = self.args.file.parent().map_or_else(PathBuf::new, PathBuf::from).join(&scenario.experiment);
        let file = file.display().to_string();
        let came = self.suite.attempt(x, &file, scenario.overrides.seed, Some(run)).await;
        let attempt = came.unwrap_or_else(|e| cannot_begin(&e));
        let reason = match attempt.run.as_ref().map(|run| &run.finished) {
            Some(Some(finished)) => finished.reason.word().to_owned(),
            // Left by a third signal: it has happened all the same.
            Some(None) => "unfinished".to_owned(),
            None => NOT_BEGUN.to_owned(),
        };
        let (verdict, text) = (attempt.verdict, attempt.why.clone());
        self.note(Event::ScenarioEnded { scenario: n, verdict, reason, text });
        if let Some(day) = self.day() {
            say::on_weakness(&day, n, self.state);
        }
        Continue(attempt)
    }

    /// Why nothing is begun after this scenario, if nothing is.
    fn why_no_further(&self, attempt: &Attempt) -> Option<Stopped> {
        if let Some(why) = self.suite.ended_in(attempt) {
            return Some(Stopped::at_once(why));
        }
        let stop_on = self.agenda.gameday.stop_on;
        let stopped = |why: &str| Some(Stopped { why: why.to_owned(), at_once: false });
        match attempt.verdict.would_be() {
            _ if stop_on == StopOn::Never => None,
            Verdict::LeftBehind => stopped("a rollback was incomplete"),
            Verdict::Broken if stop_on == StopOn::Breach => stopped("a hypothesis broke (`stop-on: breach`)"),
            _ => None,
        }
    }

    /// Asks for the items of a list, one by one.
    async fn checklist(&self, list: List, scenario: Option<usize>) -> Step {
        let Checklist { before, during, after } = &self.agenda.gameday.checklist;
        let (items, head) = match list {
            List::Before => (before, "before the first scenario"),
            List::During => (during, "after this scenario"),
            List::After => (after, "at the end"),
        };
        if items.is_empty() {
            return Continue(());
        }
        follow::say(&format!("\n{head}"));
        for (n, item) in items.iter().enumerate() {
            let by_itself = match list {
                List::Before if self.args.yes => " (done: --yes)",
                // Nobody is there to see to it, and the report says so.
                _ if self.args.unattended => " (open: unattended)",
                _ => "",
            };
            let text = format!("[{} of {}] {item}{by_itself}", n + 1, items.len());
            let lines: Vec<String> = wrap(&text, 76).iter().map(|line| format!("  {line}")).collect();
            follow::say(&lines.join("\n"));
            let done = if list == List::Before && self.args.yes {
                true
            } else if self.args.unattended {
                continue;
            } else {
                self.answer("  done? [y]es, [n]o, [q]uit:").await? == Word::Yes
            };
            self.note(Event::Ticked { list, item: n, scenario, done });
        }
        Continue(())
    }

    async fn answer(&self, question: &str) -> Step<Word> {
        let word = tokio::select! {
            biased;
            stopped = self.called_off() => {
                follow::say("");
                return Break(stopped);
            }
            word = ask(question) => word,
        };
        match word {
            Word::Quit => Break(Stopped { why: "the commander ended the game day".to_owned(), at_once: false }),
            Word::Gone => Break(Stopped::at_once("the terminal is gone")),
            word => Continue(word),
        }
    }

    /// Comes back when a signal or `squall halt` ends the game day.
    async fn called_off(&self) -> Stopped {
        Stopped::at_once(self.suite.ended().await)
    }

    /// The timeline as it is now, with what others have added.
    fn day(&self) -> Option<GamedayState> {
        timeline::read(&self.path).ok().map(|events| GamedayState::of(&events))
    }

    /// One action for every broken hypothesis that nobody has said anything about.
    fn suggest(&self, entries: &[Entry]) {
        let said = self.day().map(|day| day.actions).unwrap_or_default();
        for (n, entry) in entries.iter().enumerate() {
            let Some(attempt) = entry.attempts.iter().find(|a| a.verdict == Verdict::Broken) else { continue };
            if said.iter().all(|action| action.scenario != Some(n)) {
                let text = format!("Find out why \"{}\" broke, and mend it: {}", entry.name, attempt.why);
                self.note(Event::Action { text, owner: None, due: None, scenario: Some(n), suggested: true });
            }
        }
    }

    fn greet(&self) {
        let gameday = &self.agenda.gameday;
        let mut lines = vec![String::new(), gameday.title.clone()];
        lines.push(format!("  {}, {}", count(gameday.scenarios.len(), "scenario"), self.id));
        lines.push(format!("  objective: {}", gameday.objective));
        lines.push(format!("  owner: {}", gameday.owner));
        for (role, names) in &gameday.participants {
            lines.push(format!("  {role}: {}", names.0.join(", ")));
        }
        lines.push("  from any other terminal: squall gameday note, mark, action, status".to_owned());
        for line in lines {
            let indent = if line.starts_with("  ") { "  " } else { "" };
            let wrapped = wrap(line.trim_start(), 78);
            follow::say(&wrapped.iter().map(|l| format!("{indent}{l}")).collect::<Vec<_>>().join("\n"));
        }
    }

    fn show_the_end(&self, entries: &[Entry]) {
        suite::show(entries);
        let day = self.day().unwrap_or_default();
        for (recipient, why, messages) in day.undelivered() {
            let often = if messages == 1 { String::new() } else { format!(" {}", times(messages)) };
            complain!("{}", wrap(&format!("warning: {recipient} was not told{often}: {why}"), 78).join("\n  "));
        }
        if !day.actions.is_empty() {
            follow::say(&format!("{}: `squall gameday status` shows them", count(day.actions.len(), "action")));
        }
        match reports::write(self.state, self.id) {
            Ok(page) => follow::say(&format!("report of the game day: {}", page.display())),
            Err(e) => complain!("warning: the reports could not be written: {e:#}"),
        }
    }
}
