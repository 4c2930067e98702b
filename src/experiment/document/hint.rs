//! Mistakes that many people make, recognised from the text around them.

use super::diagnostic::{Mistake, short};

/// A mistake in the YAML itself, in the parser's words, with the hint that fits the line.
#[must_use]
pub(super) fn syntax(source: &str, at: usize, reason: &str) -> Mistake {
    // The parser often notices one line late: at the start of the line after.
    let start = source[..at].rfind('\n').map_or(0, |n| n + 1);
    let line = line_at(source, start);
    let before = if start == 0 { None } else { Some(source[..start - 1].rfind('\n').map_or(0, |n| n + 1)) };
    for from in [Some(start), before].into_iter().flatten() {
        if let Some((offset, length, title, help)) = trap(line_at(source, from), reason) {
            return Mistake::error(&(from + offset..from + offset + length), title).help(help);
        }
    }
    // A tab may be noticed one line early.
    let next = start + line.len() + 1;
    if let Some(after) = source.get(next..)
        && let Some((0, length, title, help)) = trap(after.lines().next().unwrap_or_default(), reason)
        && after.starts_with('\t')
    {
        return Mistake::error(&(next..next + length), title).help(help);
    }
    let end = if at < start + line.len() { at + source[at..].chars().next().map_or(0, char::len_utf8) } else { at };
    Mistake::error(&(at..end), "this is not YAML").label(reason)
}

fn line_at(source: &str, start: usize) -> &str {
    source[start..].lines().next().unwrap_or_default()
}

/// What is wrong with a line, if it is one of the usual things: offset, length, title, help.
fn trap(line: &str, reason: &str) -> Option<(usize, usize, &'static str, String)> {
    if line.trim_start().starts_with('#') {
        return None;
    }
    let indent = line.len() - line.trim_start().len();
    if let Some(tab) = line[..indent].find('\t') {
        return Some((tab, 1, "a tab indents this line", "YAML is indented with spaces only".to_owned()));
    }
    if let Some((at, rest)) = value_that_begins_with(line, '>')
        && let bound = rest.trim_start_matches(['>', '=', ' '])
        && bound.starts_with(|c: char| c.is_ascii_digit())
    {
        let bound = first_word(bound);
        return Some((
            at,
            rest.find(|c: char| c.is_ascii_digit()).unwrap_or(1) + bound.len(),
            "an unquoted `>` begins a folded text in YAML",
            format!("each key has its direction built in (`success` is at least, `p95` at most): write only `{bound}`"),
        ));
    }
    for (first, name) in [('%', "a percent sign"), ('@', "an at sign"), ('`', "a backtick"), ('*', "a star")] {
        if let Some((at, rest)) = value_that_begins_with(line, first)
            && (first != '*' || reason.contains("anchor"))
        {
            let word = first_word(rest);
            return Some((
                at,
                word.len(),
                "this text needs quotes",
                format!("YAML gives {name} at the start a meaning of its own: write `\"{word}\"`"),
            ));
        }
    }
    let trimmed = line.trim_start();
    let key: String =
        trimmed.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    let after = &trimmed[key.len()..];
    if !key.is_empty() && after.starts_with(':') && after[1..].starts_with(|c: char| !c.is_whitespace() && c != '/') {
        return Some((
            indent,
            key.len() + 1,
            "a colon needs a space behind it",
            format!("write `{key}: {}`", short(&after[1..])),
        ));
    }
    None
}

/// Where a value on this line begins with a character, and the rest of the line from there.
fn value_that_begins_with(line: &str, first: char) -> Option<(usize, &str)> {
    line.match_indices(first).map(|(at, _)| (at, &line[at..])).find(|(at, _)| {
        let before = line[..*at].trim_end();
        before.len() < *at && (before.ends_with([':', ',']) || before.ends_with('-') && before.trim() == "-")
            || before.ends_with('[')
    })
}

fn first_word(text: &str) -> &str {
    text.split([' ', ',', '}', ']', '#']).next().unwrap_or_default()
}

/// A hint for a value that could be read but does not fit, such as `>= 99%` in quotes.
#[must_use]
pub(super) fn value(text: &str) -> Option<String> {
    let bound = text.trim_start_matches(['>', '<', '=', '≥', '≤', ' ']);
    if bound.len() < text.len() && bound.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(format!(
            "each key has its direction built in (`success` is at least, `p95` at most): write only `{}`",
            short(bound)
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_traps_are_recognised() {
        for (line, want) in [
            ("    expect: { success: >= 99% }", "write only `99%`"),
            ("      success: >99%", "write only `99%`"),
            ("\tname: a", "spaces only"),
            ("  success: %99", "write `\"%99\"`"),
            ("name: *shop*", "write `\"*shop*\"`"),
            ("  rate:50/s", "write `rate: 50/s`"),
        ] {
            let help = trap(line, "unknown anchor").map(|t| t.3).unwrap_or_default();
            assert!(help.contains(want), "{line}: {help}");
        }
        for fine in ["name: a", "url: http://x/", "text: >", "text: >-", "a: b > 3", "when: 12:30"] {
            assert!(trap(fine, "").is_none(), "{fine}");
        }
    }
}
