//! A comparison of two runs on a terminal.

use std::fmt::Write as _;

use tabled::builder::Builder;
use tabled::settings::{Style, Width, peaker::Priority};

use super::super::page;
use super::super::words::{span_ms, thousands};
use crate::occasions::compare::{Comparison, Figure, Finding, Of};
use crate::text::visible;

/// The figures in a table at most `width` columns wide, what they mean, and what else should be known.
#[must_use]
pub fn comparison(c: &Comparison, width: usize) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{} against {}", c.new.join(", "), c.base.join(", "));
    if !c.figures.is_empty() {
        let mut rows = Builder::default();
        rows.push_record(["", "figure", "before", "now", "change", "allowed"]);
        for f in &c.figures {
            let finding = match f.finding {
                Finding::NotWorse => "✓",
                Finding::Undecided => "?",
                Finding::Worse => "✗",
            };
            rows.push_record([
                finding.to_owned(),
                visible::line(&format!("{} {}", f.check, f.of)).into_owned(),
                shown(f, f.base),
                shown(f, f.new),
                f.change_told(),
                f.allowed_told(),
            ]);
        }
        let mut table = rows.build();
        table.with(Style::rounded()).with(Width::wrap(width).priority(Priority::max(true)).keep_words(true));
        let _ = writeln!(out, "{table}");
    }
    for f in &c.figures {
        if let (Some(slower), Some(p)) = (f.slower, f.p) {
            let (before, now) = (thousands(f.samples.0), thousands(f.samples.1));
            let _ = writeln!(
                out,
                "{}: of two answers, one of before and one of now, the later is the slower in {:.0} % of all pairs \
                 (p = {p:.2}, {before} and {now} answers)",
                f.check,
                slower * 100.0
            );
        }
    }
    for f in c.baseline.iter().filter(|f| f.finding == Finding::Worse) {
        let _ = writeln!(out, "before the fault, too: {} {} {}", f.check, f.of, f.change_told());
    }
    for note in &c.notes {
        let _ = writeln!(out, "{note}");
    }
    let _ = writeln!(out, "{}", c.why());
    page(&out)
}

/// A figure's value on one side.
pub(super) fn shown(f: &Figure, value: Option<f64>) -> String {
    match (&f.of, value) {
        (Of::Failures, Some(share)) => format!("{:.2} %", share * 100.0),
        (Of::Percentile(_), Some(ms)) => span_ms(ms),
        (Of::Percentile(_), None) => "never".to_owned(),
        _ => String::new(),
    }
}
