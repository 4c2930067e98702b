//! `squall run`: experiments one after the other, each a run of its own, and what they come to together.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};

use super::connect::kind;
use super::one_run::RunOptions;
use super::suite::{self, Suite, cannot_begin};
use super::{load, run_stack};
use crate::command::cli::{self, Format};
use crate::experiment::Experiment;
use crate::host::store::StateDir;
use crate::model::exit::{INVALID, Verdict};
use crate::occasions::compare::{Comparison, Side, compare};
use crate::occasions::gate::{self, Attempt, Entry, Repeat};
use crate::report::follow;
use crate::report::{self, series};
use crate::text::glob::glob;

/// The newest earlier run.
const LAST: &str = "last";

/// An experiment that was read.
struct Item {
    file: PathBuf,
    x: Experiment,
}

pub(super) async fn run(mut args: cli::Run, state: StateDir) -> anyhow::Result<ExitCode> {
    let repeat = repeat(&args.gate)?;
    writable(&args.gate)?;
    let Some(items) = read(&args)? else { return Ok(ExitCode::from(INVALID)) };
    let mut items = chosen(items, &args.gate)?;
    run_stack::named(&mut args.engine, items.iter_mut().map(|item| &mut item.x))?;
    let alone = items.len() == 1 && repeat == Repeat::ONCE;
    let baselines = baselines(&args, &items, &state)?;
    let file = |item: &Item| item.file.display().to_string();
    let mut entries: Vec<Entry> = items.iter().map(|item| Entry::of(&item.x, file(item), repeat)).collect();

    let options = RunOptions {
        format: args.format,
        quiet: args.quiet,
        guard: args.guard.guard,
        grace: args.guard.grace,
        ..RunOptions::default()
    };
    let suite = match Suite::begin(&args.engine, Some(&items[0].x), &state, options).await {
        Ok(suite) => suite,
        Err(attempt) => {
            for entry in &mut entries {
                entry.attempts.push(attempt.clone());
            }
            tell(&args, &entries, alone);
            return Ok(ExitCode::from(gate::verdict(&entries).code()));
        }
    };
    if let (Some(project), false) = (suite.project(), args.quiet) {
        complain!("the stack is up as the project {project}");
    }
    let done = run_all(&args, &suite, &state, &items, &baselines, &mut entries, alone).await;
    let left = suite.end(done).await?.err();
    let alone = alone && left.is_none();
    // Whoever reads only the files is to see it, too.
    entries.extend(left.map(|why| Entry {
        name: "stack".to_owned(),
        file: args.engine.stack.as_ref().map_or_else(String::new, |file| file.display().to_string()),
        known_weakness: None,
        repeat: Repeat::ONCE,
        attempts: vec![Attempt { verdict: Verdict::LeftBehind, why, run: None }],
        comparison: None,
        cut_short: None,
    }));
    tell(&args, &entries, alone);
    Ok(ExitCode::from(gate::verdict(&entries).code()))
}

/// Whether its results can be written, asked before anything is run: an older file would be taken for what this one came to.
fn writable(gate: &cli::Gate) -> anyhow::Result<()> {
    for path in gate.junit.iter().chain(&gate.summary) {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_dir() {
            bail!("cannot write {}: it is a directory", path.display());
        }
        tempfile::tempfile_in(dir).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn repeat(gate: &cli::Gate) -> anyhow::Result<Repeat> {
    let (times, require) = (gate.repeat, gate.require.unwrap_or(gate.repeat));
    if require > times {
        bail!("--require {require} is more than --repeat {times}: it cannot hold more often than it is run");
    }
    Ok(Repeat { times: times as usize, require: require as usize })
}

/// Reads all files; nothing where one of them is wrong, and everybody has been told.
fn read(args: &cli::Run) -> anyhow::Result<Option<Vec<Item>>> {
    let mut items: Vec<Item> = Vec::new();
    let mut wrong = false;
    for file in &args.files {
        if items.iter().any(|item| same_file(&item.file, file)) {
            continue;
        }
        match load::experiment(file) {
            Ok(reading) => {
                if !args.quiet && args.format == Format::Text && !reading.warnings.is_empty() {
                    follow::complain_styled(&format!("{}\n", reading.warnings.render(load::styled())));
                }
                let mut x = reading.value;
                x.blast_radius.protect.extend(args.protect.iter().cloned());
                items.push(Item { file: file.clone(), x });
            }
            Err(trouble) => {
                follow::complain_styled(&trouble.to_string());
                wrong = true;
            }
        }
    }
    if wrong {
        return Ok(None);
    }
    for (i, item) in items.iter().enumerate() {
        if let Some(twin) = items[..i].iter().find(|other| other.x.name == item.x.name) {
            let (name, one, two) = (&item.x.name, twin.file.display(), item.file.display());
            bail!(
                "{one} and {two} are both called `{name}`; reports tell experiments by their names, so give each its own"
            );
        }
    }
    Ok(Some(items))
}

/// Whether two names mean one file: overlapping patterns name it twice.
fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Those that are meant.
fn chosen(mut items: Vec<Item>, gate: &cli::Gate) -> anyhow::Result<Vec<Item>> {
    let named = |x: &Experiment| gate.only.is_empty() || gate.only.iter().any(|only| glob(only, &x.name));
    let tagged = |x: &Experiment| gate.tag.is_empty() || x.tags.iter().any(|tag| gate.tag.contains(tag));
    let all: Vec<String> = items.iter().map(|item| format!("{} [{}]", item.x.name, item.x.tags.join(", "))).collect();
    items.retain(|item| named(&item.x) && tagged(&item.x));
    if items.is_empty() {
        bail!("--only and --tag leave no experiment to run; there are: {}", all.join("; "));
    }
    Ok(items)
}

/// What each experiment is held against. Looked up before anything is run: a name that means nothing is a mistake of the
/// command line, and `last` is not one of the runs that are about to be made.
fn baselines(args: &cli::Run, items: &[Item], state: &StateDir) -> anyhow::Result<Vec<Option<Side>>> {
    let mut named = Vec::new();
    for word in args.gate.baseline.iter().filter(|word| *word != LAST) {
        named.push(super::compare::side(word, state)?.map_err(|unfit| anyhow!("--baseline {word}: {unfit}"))?);
    }
    if let Some(stray) = named.iter().find(|side| items.iter().all(|item| item.x.name != side.experiment.name)) {
        bail!(
            "--baseline {}: it is a run of `{}`, which is not run here",
            stray.runs.join(", "),
            stray.experiment.name
        );
    }
    let kind = kind(&args.engine);
    let mut baselines = Vec::new();
    for item in items {
        let mut sides: Vec<Side> = named.iter().filter(|side| side.experiment.name == item.x.name).cloned().collect();
        if args.gate.baseline.iter().any(|word| word == LAST) {
            sides.extend(super::compare::last(&item.x.name, kind, state)?);
        }
        if sides.is_empty() && !args.gate.baseline.is_empty() {
            let name = &item.x.name;
            if kind.is_simulated() {
                complain!("warning: {name} is rehearsed: a rehearsal is compared with no earlier run");
            } else {
                complain!("warning: {name} has no earlier run that held, on this kind of engine, to compare with");
            }
        }
        baselines.push(Side::together(sides));
    }
    Ok(baselines)
}

/// How an experiment that held stands to what it was before; all its runs that held are taken together.
fn compared(entry: &Entry, base: &Side, x: &Experiment) -> Option<Comparison> {
    let held = entry.attempts.iter().filter(|a| a.verdict == Verdict::Held);
    let sides = held.filter_map(|a| Side::of_run(a.run.as_deref()?).ok()).collect();
    Some(compare(base, &Side::together(sides)?, x.no_worse_than.unwrap_or_default()))
}

/// Runs all of them. A signal and `squall halt` end the run that goes on, and no further one is started. Neither is one
/// after a rollback was incomplete: on ground that is not as it was, nothing can be proven.
async fn run_all(
    args: &cli::Run,
    suite: &Suite,
    state: &StateDir,
    items: &[Item],
    baselines: &[Option<Side>],
    entries: &mut [Entry],
    alone: bool,
) -> anyhow::Result<()> {
    let mut ended: Option<String> = None;
    for (n, item) in items.iter().enumerate() {
        let entry = &mut entries[n];
        while entry.attempts.len() < entry.repeat.times {
            if let Some(why) = &ended {
                entry.cut_short = Some(why.clone());
                break;
            }
            if args.gate.fail_fast && !entry.is_open() {
                entry.cut_short = Some("--fail-fast: it cannot hold often enough any more".to_owned());
                break;
            }
            if !alone && !args.quiet && args.format == Format::Text {
                let turn = entry.attempts.len() + 1;
                let times =
                    if entry.repeat.times > 1 { format!(", {turn} of {}", entry.repeat.times) } else { String::new() };
                follow::say(&format!("\n{} of {}  {}{times}\n", n + 1, items.len(), item.x.name));
            }
            let attempt = match suite.attempt(&item.x, &entry.file, args.seed, None).await {
                Ok(attempt) => attempt,
                Err(e) if alone => return Err(e),
                // Others have run or will.
                Err(e) => cannot_begin(&e),
            };
            ended = suite.ended_in(&attempt).or_else(|| {
                let left = attempt.verdict == Verdict::LeftBehind;
                left.then(|| "not run after an incomplete rollback".to_owned())
            });
            entry.attempts.push(attempt);
        }
        if let Some(base) = &baselines[n] {
            entry.comparison = compared(entry, base, &item.x);
            entry.comparison.iter().for_each(|c| super::compare::keep(c, state));
        }
        if ended.is_none() && args.gate.fail_fast && entry.verdict() != Verdict::Held {
            ended = Some(format!("--fail-fast: {} is no pass", item.x.name));
        }
    }
    Ok(())
}

/// Shows and writes what all of them came to. What cannot be written is a warning: the exit code says the rest.
fn tell(args: &cli::Run, entries: &[Entry], alone: bool) {
    let simple = alone && entries.iter().all(|e| e.known_weakness.is_none() && e.comparison.is_none());
    if !simple && args.format == Format::Text {
        suite::show(entries);
    }
    let write = |path: &Path, text: &str| {
        if let Err(e) = report::write(path, text) {
            complain!("warning: cannot write {}: {e:#}", path.display());
        }
    };
    if let Some(path) = &args.gate.junit {
        write(path, &series::junit(entries));
    }
    if let Some(path) = &args.gate.summary {
        write(path, &series::markdown(entries));
    }
    github(entries);
}

/// What GitHub Actions shows: a summary on the job's page, and remarks beside the lines of the files.
fn github(entries: &[Entry]) {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    if let Some(page) = set("GITHUB_STEP_SUMMARY") {
        let appended = std::fs::File::options().create(true).append(true).open(&page);
        if let Err(e) = appended.and_then(|mut file| file.write_all(series::markdown(entries).as_bytes())) {
            complain!("warning: cannot add to the summary {}: {e}", Path::new(&page).display());
        }
    }
    if set("GITHUB_ACTIONS").is_some_and(|v| v == "true") {
        let root = set("GITHUB_WORKSPACE").map(PathBuf::from);
        // The repository's own name of a file, wherever this process stands in it.
        let path = |file: &str| {
            let whole = Path::new(file).canonicalize().ok();
            let inside = whole.as_ref().zip(root.as_ref()).and_then(|(whole, root)| whole.strip_prefix(root).ok());
            inside.map_or_else(|| file.to_owned(), |inside| inside.display().to_string())
        };
        // On standard error, which Actions reads, too: standard output may be events for a program.
        for line in series::annotations(entries, &|file| std::fs::read_to_string(file).ok(), &path) {
            follow::command(&line);
        }
    }
}
