//! Runs of which every text is hostile, through every renderer: nothing comes out that does not belong to the renderer, and
//! nothing panics.

use std::io::{Read as _, Seek as _, Write};
use std::sync::{Arc, Mutex};

use ::console::Term;
use serde_json::Value;

use super::{inert, is_hidden};
use crate::occasions::gate::{Attempt, Entry, Repeat};
use crate::record::event::{Event, Stamped};
use crate::record::state::RunState;
use crate::report::follow::{self, Output, Style, fixture};
use crate::report::{self, Format, series};

/// Colours, a screen that is cleared, a title, a line of its own, a command to a pipeline, directions, and what ends a cell.
const EVIL: &str = "\x1b[31m\u{9b}2J\x1b]0;t\x07\r\n::error::x\u{202e}\u{2066}\0\x7f\t|`<b>\u{200b}\u{2028}\x08\x1b";

/// Every text of a run made hostile, one after the other, where the event can still be read then.
fn hostile(run: &[Stamped]) -> Vec<Stamped> {
    let evil = |event: &Stamped| {
        let mut value = serde_json::to_value(event).unwrap();
        let mut at = 0;
        // One text after the other: those that are read into something else stay.
        while let Some(tried) = with_evil_at(&value, at) {
            if serde_json::from_value::<Stamped>(tried.clone()).is_ok_and(|read| same_kind(&read.event, &event.event)) {
                value = tried;
            }
            at += 1;
        }
        serde_json::from_value(value).unwrap()
    };
    run.iter().map(evil).collect()
}

fn same_kind(a: &Event, b: &Event) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// With the text of this number, keys too, made hostile; nothing where there are not so many.
fn with_evil_at(value: &Value, at: usize) -> Option<Value> {
    let (mut left, mut done) = (at, false);
    let value = evil_at(value, &mut left, &mut done);
    done.then_some(value)
}

fn evil_at(value: &Value, left: &mut usize, done: &mut bool) -> Value {
    let mut text = |raw: &str| {
        let this = !*done && *left == 0;
        *left = left.saturating_sub(usize::from(!*done));
        *done |= this;
        if this { format!("{raw}{EVIL}") } else { raw.to_owned() }
    };
    match value {
        Value::String(raw) => Value::String(text(raw)),
        Value::Array(all) => Value::Array(all.iter().map(|one| evil_at(one, left, done)).collect()),
        Value::Object(all) => {
            let keys: Vec<String> = all.keys().map(|key| text(key)).collect();
            Value::Object(keys.into_iter().zip(all.values().map(|one| evil_at(one, left, done))).collect())
        }
        other => other.clone(),
    }
}

#[track_caller]
fn is_fit(what: &str, text: &str) {
    let hidden: Vec<_> = text.char_indices().filter(|(_, c)| is_hidden(*c)).take(3).collect();
    let around = hidden.first().map(|(at, _)| text[..*at].lines().last().unwrap_or_default());
    assert!(hidden.is_empty(), "{what}: {hidden:?} after {around:?}");
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn shown(run: &[Stamped], out: Output, style: Style) {
    let (send, events) = tokio::sync::mpsc::unbounded_channel();
    for event in run {
        send.send(Arc::new(event.clone())).unwrap();
    }
    drop(send);
    follow::console(events, out, style).await;
}

#[tokio::test]
async fn a_hostile_run_is_shown_on_every_console_as_what_it_is() {
    for run in [fixture::held(), fixture::broken(), fixture::left_behind()] {
        let run = hostile(&run);
        for quiet in [false, true] {
            let buffer = Buffer::default();
            shown(&run, Output::Lines(Box::new(buffer.clone())), Style { quiet, colour: false }).await;
            let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
            is_fit("a pipe", &text);
            assert_eq!(inert(&text), text, "a command to a pipeline");
            // It came to its end, and shows what was there.
            assert!(text.contains("\\x1b[31m"), "{text}");

            let mut file = tempfile::tempfile().unwrap();
            let term = Term::read_write_pair(file.try_clone().unwrap(), file.try_clone().unwrap());
            shown(&run, Output::Terminal(term), Style { quiet, colour: true }).await;
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            let text = ::console::strip_ansi_codes(&text).replace('\r', "");
            is_fit("a terminal", &text);
            assert!(text.contains("\\x1b[31m"), "{text}");
        }
    }
}

#[test]
fn a_hostile_run_is_what_it_is_in_every_report() {
    let states: Vec<RunState> = [fixture::held(), fixture::broken(), fixture::left_behind()]
        .iter()
        .map(|run| fixture::fold(&hostile(run)))
        .collect();
    for state in &states {
        for format in [Format::Html, Format::Markdown, Format::Junit] {
            let text = report::render(state, format);
            is_fit(format.file(), &text);
            assert!(text.contains("\\x1b[31m"), "{}: {text}", format.file());
            // Nothing is left out without a word. YAML has an escape of its own, and Markdown one for the bracket.
            let shown = |at: usize| {
                let before = text[..at].trim_end_matches('\\');
                before.ends_with("\\x1b") || before.ends_with("\\e")
            };
            let lost = text.match_indices("[31m").find(|(at, _)| !shown(*at));
            assert!(lost.is_none(), "{}: {lost:?}", format.file());
        }
        let json: Value = serde_json::from_str(&report::render(state, Format::Json)).unwrap();
        assert!(json.to_string().contains("\\u001b[31m"), "programs get it as it was: {json}");
    }

    let entries: Vec<Entry> = states
        .into_iter()
        .map(|state| Entry {
            name: EVIL.to_owned(),
            file: EVIL.to_owned(),
            known_weakness: Some(EVIL.to_owned()),
            repeat: Repeat::ONCE,
            attempts: vec![Attempt {
                verdict: state.finished.as_ref().unwrap().verdict,
                why: EVIL.to_owned(),
                run: Some(Box::new(state)),
            }],
            comparison: None,
            cut_short: Some(EVIL.to_owned()),
        })
        .collect();
    is_fit("table", &series::table(&entries, 80));
    is_fit("markdown", &series::markdown(&entries));
    let junit = series::junit(&entries);
    is_fit("junit", &junit);
    assert_eq!(junit.matches("[31m").count(), junit.matches("\\x1b[31m").count(), "{junit}");
    for line in series::annotations(&entries, &|_| None, &str::to_owned) {
        is_fit("annotation", &line);
        assert!(line.starts_with("::") && line.lines().count() == 1, "{line}");
    }
}
