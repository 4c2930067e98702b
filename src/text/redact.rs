//! Keeps the values of variables (`${TOKEN}`) out of what is stored, sent and shown, although others repeat them: a command that fails, an
//! engine's error, an answer. What is asked for by a template is remembered when it is filled in; a text from outside is shown with the
//! template in the place of the value. Knows nothing else of the program.
//!
//! What a file's own words are made of when it is read (a service, a sentence) is no secret and not remembered.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// What is shorter stands for itself: a number, a yes.
const SHORTEST: usize = 6;

/// Values with what they are called, the longest first.
static FILLED: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

/// From now on this value of `${NAME}` is not shown.
pub fn remember(name: &str, value: &str) {
    let mut filled = FILLED.lock().unwrap_or_else(PoisonError::into_inner);
    // Of a text of several lines, one may be repeated.
    for part in [value].into_iter().chain(value.lines()).filter(|part| part.len() >= SHORTEST) {
        if !filled.iter().any(|(known, _)| known == part) {
            filled.push((part.to_owned(), format!("${{{name}}}")));
        }
    }
    filled.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
}

/// Whether any value is to be kept out of texts.
#[must_use]
pub fn knows_any() -> bool {
    !FILLED.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
}

/// A text without values.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    let filled = FILLED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut shown = Cow::Borrowed(text);
    for (value, name) in filled.iter() {
        if shown.contains(value.as_str()) {
            shown = Cow::Owned(shown.replace(value, name));
        }
    }
    shown
}

/// Takes values out of every text in it, but of those under these keys; whether there was any.
pub fn clean(value: &mut Value, but: &[&str]) -> bool {
    match value {
        Value::String(said) => {
            let shown = text(said).into_owned();
            let differs = shown != *said;
            *said = shown;
            differs
        }
        Value::Array(all) => {
            let mut any = false;
            for one in all {
                any |= clean(one, but);
            }
            any
        }
        Value::Object(all) => {
            let mut any = false;
            // The kinds of failures are keys.
            for key in all.keys().cloned().collect::<Vec<_>>() {
                let shown = text(&key).into_owned();
                if shown != key
                    && let Some(value) = all.remove(&key)
                {
                    all.insert(shown, value);
                    any = true;
                }
            }
            for (_, one) in all.iter_mut().filter(|(key, _)| !but.contains(&key.as_str())) {
                any |= clean(one, but);
            }
            any
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_by_its_template_wherever_it_is_repeated() {
        remember("REDACT_TOKEN", "hunter2-of-the-redaction-test");
        remember("REDACT_KEY", "first line of a key\nsecond line of a key\nend");
        remember("REDACT_SHORT", "yes");
        assert_eq!(text("it said yes"), "it said yes");
        assert_eq!(text("hunter2-of-the-redaction-test!"), "${REDACT_TOKEN}!");
        assert_eq!(text("bad: second line of a key"), "bad: ${REDACT_KEY}");
        let mut said = serde_json::json!({
            "name": "hunter2-of-the-redaction-test",
            "errors": ["no hunter2-of-the-redaction-test"],
            "counts": { "hunter2-of-the-redaction-test": 1 },
        });
        assert!(clean(&mut said, &["name"]));
        assert_eq!(said["errors"][0], "no ${REDACT_TOKEN}");
        assert_eq!(said["counts"]["${REDACT_TOKEN}"], 1);
        assert_eq!(said["name"], "hunter2-of-the-redaction-test", "by its name it is known");
        assert!(!clean(&mut said, &["name"]));
    }
}
