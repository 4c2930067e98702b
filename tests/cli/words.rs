//! The words of the field, wherever people read: pages, help, schema, and what the commands say.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use regex::Regex;

use crate::harness::{Squall, repository};

/// Words that were given up, as patterns, each with what to write instead.
const RETIRED: [(&str, &str); 17] = [
    (r"\bt(ake|akes|aken|aking|ook)( (it|them|this|that|everything|an? \w+|the \w+))? back\b", "roll back"),
    (r"\bway back\b", "rollback"),
    (r"\bset(s|ting)?( (it|them|everything))? back\b", "restore, roll back"),
    (r"\bleft behind\b", "rollback incomplete"),
    (r"\bfault out\b", "rolled back"),
    (r"\b(bites?|bitten)\b", "injection verified; had no effect"),
    (r"\bby lot\b", "picked at random"),
    (r"\bhelping hand\b", "without intervention"),
    (r"\bwas believed of\b", "the hypothesis held"),
    (r"\bheld against\b", "compared with"),
    (r"\b(nobody|somebody|whoever)\b", "the thing's name"),
    (r"\bleash(ed)?\b", "dry run"),
    (r"\bfault on\b", "during, in effect"),
    (r"\bvictims?\b", "target"),
    (r"\bhits?\b", "targeted"),
    (r"\bcould not be asked\b", "not sent, could not be measured"),
    (r"\b(unasked|open questions|questions? about names)\b", "could not be measured; in flight; DNS queries"),
];

/// Those of them that are out of comments as well.
const IN_COMMENTS: usize = 2;

/// Every place where one of these words stands, with what to write.
fn retired(words: &[(&str, &str)], what: &str, text: &str) -> Vec<String> {
    // Stable words of files and reports, and names of tests, are code.
    let code = Regex::new("`[^`\n]*`").expect("a pattern");
    let prose = code.replace_all(text, "`…`");
    let find = |(pattern, instead): &(&str, &str)| {
        // Sentences go on in the next line.
        let pattern = Regex::new(&format!("(?i){}", pattern.replace(' ', r"\s+"))).expect("a pattern");
        let of = |at: usize| prose[..at].matches('\n').count();
        let lines = pattern.find_iter(&prose).map(|found| (of(found.start()), found.as_str()));
        let told = lines.map(|(n, found)| (n, found, prose.lines().nth(n).unwrap_or_default().trim()));
        told.map(|(n, found, line)| format!("{what}:{}: `{found}` in: {line} (write: {instead})", n + 1))
            .collect::<Vec<_>>()
    };
    words.iter().flat_map(find).collect()
}

#[track_caller]
fn are_retired(texts: impl IntoIterator<Item = (String, String)>) {
    are_none(&RETIRED, texts);
}

#[track_caller]
fn are_none(words: &[(&str, &str)], texts: impl IntoIterator<Item = (String, String)>) {
    let mut seen = 0;
    let found: Vec<String> =
        texts.into_iter().inspect(|_| seen += 1).flat_map(|(what, text)| retired(words, &what, &text)).collect();
    assert!(seen > 0 && found.is_empty(), "{}", found.join("\n"));
}

fn files(dir: &Path, of: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|e| e.expect("an entry").path());
    let (dirs, here): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let below = dirs.iter().flat_map(|dir| files(dir, of));
    here.into_iter().filter(|path| of(path)).chain(below).collect()
}

fn read(path: &Path) -> (String, String) {
    let text = std::fs::read_to_string(path).expect("a text");
    (path.strip_prefix(repository("")).unwrap_or(path).display().to_string(), text)
}

#[test]
fn pages_use_the_words_of_the_field() {
    // Decisions are what they were when they were made.
    let decisions = repository("docs/decisions");
    let pages = files(&repository("docs"), &|path| {
        path.extension().is_some_and(|e| e == "md") && !path.starts_with(&decisions)
    });
    are_retired(pages.into_iter().chain([repository("README.md")]).map(|page| read(&page)));
}

#[test]
fn help_uses_the_words_of_the_field() {
    fn all(command: &Command, under: &str, texts: &mut Vec<(String, String)>) {
        let name = format!("{under} {}", command.get_name());
        texts.push((format!("{name} --help"), command.clone().render_long_help().to_string()));
        command.get_subcommands().filter(|sub| !sub.is_hide_set()).for_each(|sub| all(sub, &name, texts));
    }
    let mut texts = Vec::new();
    all(&squall::command::cli::Cli::command(), "", &mut texts);
    are_retired(texts);
}

#[test]
fn schemas_use_the_words_of_the_field() {
    let of = ["experiment", "schedule", "gameday", "stack", "project"];
    are_retired(of.map(|of| (format!("schema --of {of}"), Squall::new(["schema", "--of", of]).run().exits(0).stdout)));
}

#[test]
fn what_is_shown_uses_the_words_of_the_field() {
    // A report for programs has keys that stay.
    let snapshots = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        path.extension().is_some_and(|e| e == "snap") && !name.contains("json")
    };
    let all = ["src", "tests"].into_iter().flat_map(|dir| files(&repository(dir), &snapshots));
    are_retired(all.map(|path| read(&path)));
}

#[test]
fn comments_use_the_words_of_the_field() {
    let is_code = |path: &Path| path.extension().is_some_and(|e| e == "rs");
    let all = ["src", "tests", "examples"].into_iter().flat_map(|dir| files(&repository(dir), &is_code));
    let comments = all.map(|path| {
        let (what, text) = read(&path);
        let comment = |line: &str| {
            line.trim_start()
                .strip_prefix("//")
                .map_or("\n".to_owned(), |c| format!("{}\n", c.trim_start_matches(['/', '!'])))
        };
        (what, text.lines().map(comment).collect())
    });
    are_none(&RETIRED[..IN_COMMENTS], comments);
}

#[test]
fn a_retired_word_is_found_and_code_is_none() {
    assert_eq!(retired(&RETIRED, "x", "Everything was taken\nback.\n`left-behind`, `taken back`").len(), 1);
    assert_eq!(retired(&RETIRED, "x", "Nobody takes it back; whoever comes").len(), 3);
}
