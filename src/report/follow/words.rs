//! Small texts: spans of time, numbers with their noun, lists, and lines that fit.

use std::collections::BTreeMap;
use std::time::Duration;

use ::console::measure_text_width;

use crate::model::instance::Instance;
use crate::record::event::Standing;
use crate::text::units;

pub(crate) use crate::text::units::count;
pub(super) use crate::text::units::{exact as planned, few, span};

/// A span of time that is looked at while it grows: `2.3 s`, `2 min 3 s`.
pub(super) fn running(d: Duration) -> String {
    if d < Duration::from_mins(1) {
        format!("{:.1} s", d.as_secs_f64())
    } else {
        span(Duration::from_secs(d.as_secs()))
    }
}

/// `connection refused 3, timeout 1`: the most frequent first, at most three.
pub(super) fn kinds(by_kind: &BTreeMap<String, u64>) -> String {
    units::top(by_kind, 3)
}

/// `6/10`: how many samples have missed the bound, of how many that may.
pub(super) fn budget(s: &Standing) -> Option<String> {
    s.budget.map(|budget| format!("{}/{budget}", s.spent.unwrap_or(0)))
}

/// `shop-2 (zone b)`.
pub(super) fn instance(i: &Instance) -> String {
    i.zone.as_ref().map_or_else(|| i.name.clone(), |zone| format!("{} (zone {zone})", i.name))
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
    fn wrapped_lines_fit_and_lose_no_word() {
        let text = "checkout: success 91.2% ≥ 95% and one-word-that-is-longer-than-the-whole-line here";
        for width in 8..40 {
            let lines = wrap(text, width);
            assert!(lines.iter().all(|l| measure_text_width(l) <= width), "{width}: {lines:?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }
    }
}
