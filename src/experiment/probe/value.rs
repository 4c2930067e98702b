//! Where a probe's value is in what was answered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where the value is in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ValueAt {
    /// At this place of a JSON text, written as a JSON pointer (RFC 6901) such as `/shops/0/stock`.
    pub json: String,
}

impl ValueAt {
    /// The value in a text: a string as it is, anything else as JSON.
    ///
    /// # Errors
    /// Why there is none, in a few words; `what` is how the text is called.
    pub(super) fn read(&self, what: &str, text: &str) -> Result<String, String> {
        let all: Value = serde_json::from_str(text).map_err(|_| format!("{what} is not JSON"))?;
        match all.pointer(&self.json) {
            Some(value) => Ok(plain(value)),
            None => Err(format!("{what} has no {}", self.json)),
        }
    }
}

/// A JSON value as people read it.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a text is a JSON pointer.
#[must_use]
pub(super) fn is_pointer(text: &str) -> bool {
    let escaped = |step: &str| step.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
    text.is_empty() || text.strip_prefix('/').is_some_and(|steps| steps.split('/').all(escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_finds_every_kind_of_value() {
        let text = r#"{ "a": { "b": [7, "x", true, null, { "c/d": 1.50, "e~f": "" }] } }"#;
        let read = |json: &str| ValueAt { json: json.to_owned() }.read("body", text);
        for (json, value) in [
            ("/a/b/0", "7"),
            ("/a/b/1", "x"),
            ("/a/b/2", "true"),
            ("/a/b/3", "null"),
            ("/a/b/4/c~1d", "1.5"),
            ("/a/b/4/e~0f", ""),
        ] {
            assert_eq!(read(json), Ok(value.to_owned()), "{json}");
        }
        for nowhere in ["/a/b/5", "/a/b/-", "/a/b/00", "/A", "/a/b/0/x"] {
            assert_eq!(read(nowhere), Err(format!("body has no {nowhere}")));
        }
        assert_eq!(ValueAt { json: String::new() }.read("body", "42"), Ok("42".to_owned()), "the whole");
        assert_eq!(ValueAt { json: String::new() }.read("output", "42 4"), Err("output is not JSON".to_owned()));
    }

    #[test]
    fn a_pointer_is_told_from_other_paths() {
        for good in ["", "/", "/a/b/0", "/a~0b/~1"] {
            assert!(is_pointer(good), "{good}");
        }
        for bad in ["a", "a/b", "$.a", "/a~", "/a~2"] {
            assert!(!is_pointer(bad), "{bad}");
        }
    }
}
