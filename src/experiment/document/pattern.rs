//! Regular expressions: that they compile, and that there is a text which they do not match.

use regex::Regex;

use super::diagnostic::Mistake;
use super::found::Found;

/// Texts with nothing in common. None has a second line: `.` stops at its end, and yet `.*` says nothing.
const ANYTHING: [&str; 9] = ["", " ", "0", "-1.5", "ok", "ERROR 503: no upstream", "{}", "null", "ü"];

/// A regular expression that compiles.
pub fn regex(found: &mut Found<'_>, path: &[&str], pattern: &str) -> Option<Regex> {
    match Regex::new(pattern) {
        Ok(regex) => Some(regex),
        Err(e) => {
            let at = found.document.value_at(path);
            let text = e.to_string();
            let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            found.add(Mistake::error(&at, format!("`{}` is not a regular expression", path.join("."))).label(why));
            None
        }
    }
}

/// One that is there to tell texts apart, and does: `.*` matches an error page as well.
pub fn telling(found: &mut Found<'_>, path: &[&str], pattern: &str, help: &str) {
    if regex(found, path, pattern).is_some_and(|regex| matches_anything(&regex)) {
        let at = found.document.value_at(path);
        found.add(Mistake::error(&at, format!("`{pattern}` matches every text")).help(help));
    }
}

/// Whether it matches whatever there is.
#[must_use]
pub fn matches_anything(regex: &Regex) -> bool {
    ANYTHING.iter().all(|text| regex.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_everything_is_told_from_what_matches_much() {
        let anything = |pattern| matches_anything(&Regex::new(pattern).unwrap());
        for pattern in ["", ".*", "^.*$", "(.*)", "x?", r"[\s\S]*", "^", "(?s).*", "a|"] {
            assert!(anything(pattern), "{pattern}");
        }
        for pattern in [".", ".+", "ok", "^$", r"\d+", r"\S+", "[^e]"] {
            assert!(!anything(pattern), "{pattern}");
        }
    }
}
