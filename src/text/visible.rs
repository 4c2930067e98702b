//! Texts from outside (labels, names, answers, errors, values) made fit for people: nothing in them may steer a terminal, hide,
//! or turn the direction in which they are read. What would is shown as what it is: `\x1b`, `\u{202e}`.
//!
//! Everything that people read passes here, in one of four ways: a whole page or message ([`text`]), a part of a line
//! ([`line()`]), a few words of a sentence ([`brief`]), or all texts of a value before it is put into words and colours
//! ([`value`]). What programs read does not: JSON has its own way to say such characters.
//!
//! What is printed is read by a pipeline, too, and some of them take lines for commands: [`inert`] is the last thing that
//! happens to a text, after it was broken into lines.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A text of several lines: its line breaks and tabs stay.
#[must_use]
pub fn text(raw: &str) -> Cow<'_, str> {
    if !raw.chars().any(is_hidden) {
        return Cow::Borrowed(raw);
    }
    let mut shown = String::with_capacity(raw.len() + 16);
    for c in raw.replace("\r\n", "\n").chars() {
        match c {
            c if !is_hidden(c) => shown.push(c),
            // Writing to a string cannot fail.
            c if u32::from(c) < 0x100 => drop(write!(shown, "\\x{:02x}", u32::from(c))),
            c => drop(write!(shown, "\\u{{{:x}}}", u32::from(c))),
        }
    }
    Cow::Owned(shown)
}

/// The same on one line.
#[must_use]
pub fn line(raw: &str) -> Cow<'_, str> {
    if raw.contains(['\n', '\t', '\r']) {
        let flat = raw.replace("\r\n", " ").replace(['\n', '\t', '\r'], " ");
        return Cow::Owned(text(&flat).into_owned());
    }
    text(raw)
}

/// The same in a few words, to stand in a sentence: at most 80 characters, of which the last is `…` where some are missing.
#[must_use]
pub fn brief(raw: &str) -> String {
    const MOST: usize = 80;
    let one: Vec<&str> = raw.split_whitespace().collect();
    let shown = text(&one.join(" ")).into_owned();
    if shown.chars().count() <= MOST { shown } else { shown.chars().take(MOST - 1).chain(['…']).collect() }
}

/// A text as it is printed: no line of it is a command to the pipeline that reads it. GitHub's runner obeys a line that begins with
/// `::name::`, after spaces too, and `##[name]` anywhere in it; that of Azure `##vso[`, and `TeamCity` `##teamcity[`.
#[must_use]
pub fn inert(text: &str) -> Cow<'_, str> {
    if !text.contains("::") && !text.contains("##") {
        return Cow::Borrowed(text);
    }
    let lines = text.split('\n').map(|line| {
        let begin = line.trim_start();
        let indent = &line[..line.len() - begin.len()];
        // An address such as `::1` is none.
        let is_command = begin
            .strip_prefix("::")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()) && rest.contains("::"));
        let line = if is_command { format!("{indent}\\x3a{}", &begin[1..]) } else { line.to_owned() };
        ["##[", "##vso[", "##teamcity["]
            .iter()
            .fold(line, |line, begin| line.replace(begin, &format!("\\x23{}", &begin[1..])))
    });
    Cow::Owned(lines.collect::<Vec<_>>().join("\n"))
}

/// The same for all texts of a value. One without anything to be shown stays what it is.
#[must_use]
pub fn value<T: Serialize + DeserializeOwned + Clone>(raw: &T) -> Cow<'_, T> {
    let Ok(mut all) = serde_json::to_value(raw) else { return Cow::Borrowed(raw) };
    if !mend(&mut all) {
        return Cow::Borrowed(raw);
    }
    // A text that is read into something else than text (a duration, a share) has nothing to be shown.
    serde_json::from_value(all).map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// Whether there was something to be shown.
fn mend(value: &mut Value) -> bool {
    match value {
        Value::String(raw) => match text(raw) {
            Cow::Borrowed(_) => false,
            Cow::Owned(shown) => {
                *raw = shown;
                true
            }
        },
        Value::Array(all) => all.iter_mut().fold(false, |some, one| mend(one) | some),
        Value::Object(all) => {
            let keys = all.keys().any(|key| key.chars().any(is_hidden));
            if keys {
                *all = std::mem::take(all).into_iter().map(|(key, one)| (text(&key).into_owned(), one)).collect();
            }
            all.values_mut().fold(keys, |some, one| mend(one) | some)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a character does something else than to be seen. Line breaks and tabs are ours, too.
fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c,
            // Marks, embeddings, overrides and isolates of direction; breaks of lines and paragraphs.
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Nothing at all, where something is read.
            | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown_as_what_it_is() {
        assert_eq!(
            text("\x1b[31mred\u{7}\r\n\tü\u{9b}2J \u{202e}cba\0\r"),
            "\\x1b[31mred\\x07\n\tü\\x9b2J \\u{202e}cba\\x00\\x0d"
        );
        assert_eq!(line("a\r\nb\tc\u{2028}\x1b"), "a b c\\u{2028}\\x1b");
        for plain in ["", "shop-1 — 95 % ≥ 99 %", "two\nlines\tand a tab", "👩‍💻"] {
            assert!(matches!(text(plain), Cow::Borrowed(same) if same == plain));
        }
    }

    #[test]
    fn in_a_sentence_it_is_short() {
        assert_eq!(brief(" a\n\n b\u{1b}[2J\tc "), "a b\\x1b[2J c");
        assert_eq!(brief(&"x".repeat(500)), format!("{}…", "x".repeat(79)));
    }

    #[test]
    fn no_line_commands_a_pipeline() {
        for (raw, shown) in [
            ("::error file=a::b", "\\x3a:error file=a::b"),
            ("x\n  \u{a0}::stop-commands::t\ny", "x\n  \u{a0}\\x3a:stop-commands::t\ny"),
            ("a ##[add-mask]b ##[c", "a \\x23#[add-mask]b \\x23#[c"),
            ("##vso[task.x]1\n##teamcity[m]", "\\x23#vso[task.x]1\n\\x23#teamcity[m]"),
        ] {
            assert_eq!(inert(raw), shown);
        }
        for plain in ["::1:80 refused", "a ::error::b", "std::io::Error", "## Verdict\n::ffff:1.2.3.4"] {
            assert_eq!(inert(plain), plain);
        }
    }

    #[test]
    fn a_value_is_mended_in_every_text_of_it() {
        let plain = BTreeMap::from([("key".to_owned(), vec![Some("text".to_owned()), None])]);
        assert!(matches!(value(&plain), Cow::Borrowed(_)));
        let evil = BTreeMap::from([("k\x1b".to_owned(), vec![Some("t\u{202e}".to_owned()), None])]);
        let shown = BTreeMap::from([("k\\x1b".to_owned(), vec![Some("t\\u{202e}".to_owned()), None])]);
        assert_eq!(value(&evil).into_owned(), shown);
    }
}
