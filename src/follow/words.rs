//! Small texts: spans of time, numbers with their noun, lists, and lines that fit.

use std::collections::BTreeMap;
use std::time::Duration;

use ::console::measure_text_width;

use crate::event::Standing;
use crate::instance::Instance;

/// A span of time in at most seven columns: `0.31ms`, `14.2ms`, `212ms`, `1.23s`, `12.3s`, `2m03s`.
pub(super) fn span(d: Duration) -> String {
    let ms = d.as_secs_f64() * 1000.0;
    match ms {
        _ if ms < 0.005 => "0ms".to_owned(),
        _ if ms < 1.0 => format!("{ms:.2}ms"),
        _ if ms < 100.0 => format!("{ms:.1}ms"),
        _ if ms < 999.5 => format!("{ms:.0}ms"),
        _ if ms < 10_000.0 => format!("{:.2}s", ms / 1000.0),
        _ if ms < 60_000.0 => format!("{:.1}s", ms / 1000.0),
        _ => format!("{}m{:02}s", d.as_secs() / 60, d.as_secs() % 60),
    }
}

/// A span of time as somebody planned it: `5s`, `1m 30s`.
pub(super) fn planned(d: Duration) -> String {
    humantime::format_duration(d).to_string()
}

/// A span of time that is looked at while it grows: `2.3s`, `2m03s`.
pub(super) fn running(d: Duration) -> String {
    if d < Duration::from_mins(1) { format!("{:.1}s", d.as_secs_f64()) } else { span(d) }
}

/// `1 change`, `3 changes`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// `connection refused 3, timeout 1`: the most frequent first.
pub(super) fn kinds(by_kind: &BTreeMap<String, u64>) -> String {
    let mut kinds: Vec<_> = by_kind.iter().filter(|(_, n)| **n > 0).collect();
    kinds.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    kinds.iter().map(|(kind, n)| format!("{kind} {n}")).collect::<Vec<_>>().join(", ")
}

/// `success 97% ≥ 95% (6/10)`: measured, bound, budget spent. `success 50%, not ≥ 95% (30/25)`, where it does not hold.
pub(super) fn standing(s: &Standing) -> String {
    let budget = budget(s).map(|b| format!(" ({b})")).unwrap_or_default();
    let not = if s.held { "" } else { ", not" };
    format!("{} {}{not} {}{budget}", s.expectation, s.measured, s.bound)
}

/// `6/10`: how many samples have missed the bound, of how many that may.
pub(super) fn budget(s: &Standing) -> Option<String> {
    s.budget.map(|budget| format!("{}/{budget}", s.spent.unwrap_or(0)))
}

/// `shop-2 (zone b)`.
pub(super) fn instance(i: &Instance) -> String {
    i.zone.as_ref().map_or_else(|| i.name.clone(), |zone| format!("{} (zone {zone})", i.name))
}

/// The first few of a list: `a, b, c and 4 more`.
pub(super) fn few(names: &[String], most: usize) -> String {
    if names.len() <= most {
        return names.join(", ");
    }
    format!("{} and {} more", names[..most].join(", "), names.len() - most)
}

/// A text in lines of at most `width` columns, broken between words where there are any.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word.to_owned();
        loop {
            let line = lines.last_mut().expect("there is always a line");
            let used = measure_text_width(line);
            let gap = usize::from(used > 0);
            if used + gap + measure_text_width(&word) <= width {
                line.push_str(&" "[..gap]);
                line.push_str(&word);
                break;
            }
            if used > 0 {
                lines.push(String::new());
                continue;
            }
            // A word longer than a line is broken where the line ends.
            let fits: String = ::console::truncate_str(&word, width, "").into_owned();
            word = word.split_off(fits.len());
            line.push_str(&fits);
            lines.push(String::new());
        }
    }
    lines
}

/// A text cut to `width` columns, with `…` where something is missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    ::console::truncate_str(text, width, "…").into_owned()
}

/// A text cut or filled up to exactly `width` columns.
pub(super) fn column(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let fill = width.saturating_sub(measure_text_width(&text));
    text + &" ".repeat(fill)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_fits_seven_columns() {
        for (us, text) in [
            (310, "0.31ms"),
            (14_240, "14.2ms"),
            (212_000, "212ms"),
            (999_900, "1.00s"),
            (12_340_000, "12.3s"),
            (123_000_000, "2m03s"),
        ] {
            assert_eq!(span(Duration::from_micros(us)), text);
            assert!(text.len() <= 7);
        }
    }

    #[test]
    fn wrapped_lines_fit_and_lose_no_word() {
        let text = "checkout: success 91.2% ≥ 95% and one-word-that-is-longer-than-the-whole-line here";
        for width in 8..40 {
            let lines = wrap(text, width);
            assert!(lines.iter().all(|l| measure_text_width(l) <= width), "{width}: {lines:?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }
    }
}
