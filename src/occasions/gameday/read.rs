//! Reads game-day files, as strictly as experiments: every mistake at once, each with its place.
//!
//! Pure: the caller brings the experiments that the file names.

use super::{Agenda, Gameday, Overrides};
use crate::experiment::Experiment;
use crate::experiment::diagnostic::{Mistake, Mistakes, Severity};
use crate::experiment::document::{self, Document, Reading};
use crate::experiment::read;
use crate::experiment::tree::Kind;
use crate::model::quantity::Lookup;
use crate::occasions::notify::check;
use crate::text::units::count;

/// Brings an experiment by its name in the file, with the warnings of its own; else why it cannot be used, in words for people.
pub type Bring<'a> = &'a dyn Fn(&str) -> Result<Reading<Experiment>, String>;

/// Reads a game-day file; `name` is how messages call the file.
///
/// # Errors
/// Every mistake in it, and in what it does to its experiments.
pub fn gameday(name: &str, bytes: &[u8], lookup: Lookup<'_>, bring: Bring<'_>) -> Result<Reading<Agenda>, Mistakes> {
    let (mut document, value) = document::parse::<Gameday>(name, bytes, lookup)?;
    let mut found = read::head(&document);
    meaning(&document, &mut found);
    let experiments = experiments(&document, lookup, bring, &mut found);
    document.mistakes.extend(found);
    let Reading { value, warnings } = document.finish(value)?;
    Ok(Reading { value: Agenda { gameday: value, experiments }, warnings })
}

/// How many items a list of the file has.
fn items(document: &Document, path: &[&str]) -> usize {
    match document.entry(path).map(|e| &e.value.kind) {
        Some(Kind::List(items)) => items.len(),
        _ => 0,
    }
}

/// What no single value shows.
fn meaning(document: &Document, found: &mut Vec<Mistake>) {
    if items(document, &["scenarios"]) == 0 && document.entry(&["scenarios"]).is_some_and(|e| !e.value.has_mistakes()) {
        let mistake = Mistake::error(&document.key_at(&["scenarios"]), "the game day has no scenarios");
        found.push(mistake.help("each names an experiment: `- experiment: kill-one-shop.yaml`"));
    }
    if let Some(budget) = document.part::<super::ErrorBudget>(&["budget"])
        && budget.objective.0 >= 1.0
    {
        let at = document.key_at(&["budget", "objective"]);
        found.push(Mistake::error(&at, "an objective of 100% leaves no budget").label("write for example `99.9%`"));
    }
    if let Some(goals) = document.part::<super::Goals>(&["goals"]) {
        let steps = [("detected", goals.detected), ("mitigated", goals.mitigated), ("recovered", goals.recovered)];
        let said: Vec<_> = steps.into_iter().filter_map(|(step, span)| Some((step, span?))).collect();
        for pair in said.windows(2) {
            let [(before, early), (after, late)] = pair else { continue };
            if late < early {
                let title = format!("`{after}` ({late}) is to come before `{before}` ({early})");
                let mistake = Mistake::error(&document.value_at(&["goals", after]), title);
                found.push(mistake.help("all of them count from the injection"));
            }
        }
    }
    found.extend(check::recipients(document, "notify"));
}

/// The experiments of all scenarios, each as it is on the game day.
fn experiments(document: &Document, lookup: Lookup<'_>, bring: Bring<'_>, found: &mut Vec<Mistake>) -> Vec<Experiment> {
    let mut all = Vec::new();
    for n in (0..items(document, &["scenarios"])).map(|n| n.to_string()) {
        let at = |key: &'static str| ["scenarios", &n, key];
        let Some(name) = document.part::<String>(&at("experiment")) else { continue };
        let overrides = document.part::<Overrides>(&at("overrides")).unwrap_or_default();
        match bring(&name) {
            Ok(Reading { value, warnings }) => {
                let warned = warnings.count(Severity::Warning);
                if warned > 0 {
                    let title = format!("{name} has {}", count(warned, "warning"));
                    let mistake = Mistake::warning(&document.value_at(&at("experiment")), title);
                    found.push(mistake.help("`squall validate` of that file tells more"));
                }
                match overridden(value, &overrides, lookup) {
                    Ok((x, warnings)) => {
                        all.push(x);
                        let overrides = document.key_at(&["scenarios", &n, "overrides"]);
                        found.extend(warnings.iter().map(|title| {
                            Mistake::warning(&overrides, format!("{name}: with these overrides, {title}"))
                        }));
                    }
                    Err((key, title)) => {
                        let path = ["scenarios", &n, "overrides", key];
                        let at = if key.is_empty() { document.key_at(&path[..3]) } else { document.value_at(&path) };
                        found.push(Mistake::error(&at, format!("{name}: {title}")));
                    }
                }
            }
            Err(why) => {
                found.push(Mistake::error(
                    &document.value_at(&at("experiment")),
                    format!("the experiment cannot be used: {why}"),
                ));
            }
        }
    }
    all
}

/// An experiment as it is on the game day, and of what the overrides warn; else the key that is wrong, where it is one alone,
/// and why.
fn overridden(
    mut x: Experiment,
    overrides: &Overrides,
    lookup: Lookup<'_>,
) -> Result<(Experiment, Vec<String>), (&'static str, String)> {
    if *overrides == Overrides::default() {
        return Ok((x, Vec::new()));
    }
    let as_it_is = x.clone();
    if !overrides.apply(&mut x) {
        let n = x.faults().len();
        return Err(("pick", format!("it has {n} faults, each with its own target: `pick` says nothing of them")));
    }
    // What the experiment's own file may not say, it may not be made to say here.
    let said = mistakes(&as_it_is, lookup);
    let new = |severity| -> Vec<String> {
        let new = mistakes(&x, lookup).into_iter().filter(|one| one.0 == severity && !said.contains(one));
        new.map(|(_, title)| title).collect()
    };
    let errors = new(Severity::Error);
    if !errors.is_empty() {
        return Err(("", format!("with these overrides, {}", errors.join("; "))));
    }
    let warnings = new(Severity::Warning);
    Ok((x, warnings))
}

/// What reading an experiment from a file would find in it. A stored one says more than a file would, such as
/// defaults beside which they mean nothing: that may be found, too.
fn mistakes(x: &Experiment, lookup: Lookup<'_>) -> Vec<(Severity, String)> {
    let text = serde_json::to_string(x).unwrap_or_default();
    let known = |name: &str| Ok(lookup(name).unwrap_or_default());
    let found = read::experiment("", text.as_bytes(), &known).map_or_else(|mistakes| mistakes, |read| read.warnings);
    found.list().iter().map(|m| (m.severity, m.title.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Pick;
    use crate::model::quantity;

    fn bring(name: &str) -> Result<Reading<Experiment>, String> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments").join(name);
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        read::experiment(name, &bytes, &quantity::unset).map_err(|m| m.to_string())
    }

    fn agenda(scenarios: &str) -> Result<Agenda, String> {
        let text = format!(
            "version: 1\nname: day\ntitle: A day\nobjective: Learn.\nowner: ana\nparticipants: {{ commander: ben, observer: [cleo, dan] }}\nscenarios:\n{scenarios}"
        );
        gameday("day.yaml", text.as_bytes(), &quantity::unset, &bring).map(|r| r.value).map_err(|m| m.to_string())
    }

    #[test]
    fn overrides_are_in_the_experiments_and_nothing_else_is_changed() {
        let read = agenda(
            "  - experiment: kill-one-shop.yaml\n  - { experiment: kill-one-shop.yaml, overrides: { duration: 4s, on-breach: observe, pick: 1 } }\n",
        )
        .unwrap_or_else(|m| panic!("{m}"));
        let [as_it_is, other] = &read.experiments[..] else { panic!("{read:?}") };
        assert_eq!(*as_it_is, bring("kill-one-shop.yaml").unwrap().value);
        assert_eq!(other.timing.duration.to_string(), "4s");
        assert_eq!(other.timing.baseline, as_it_is.timing.baseline);
        assert_eq!(other.faults()[0].target.pick, Some(Pick::Count(1)));
        assert_eq!(read.gameday.participants["observer"].0, ["cleo", "dan"]);
        assert_eq!(read.gameday.participants["commander"].0, ["ben"]);
    }

    #[test]
    fn every_experiment_of_ours_can_be_overridden() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
        for entry in std::fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let read =
                agenda(&format!("  - {{ experiment: {name}, overrides: {{ on-breach: observe, recovery: 60s }} }}\n"));
            assert!(read.is_ok(), "{name}: {}", read.unwrap_err());
        }
    }
}
