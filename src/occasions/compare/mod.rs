//! Is the service under this fault worse than before? Two sides, each one or more runs of an experiment, to a finding for each
//! figure: by how much it changed, between which bounds that is known, and whether that is more than is allowed.
//!
//! The bounds decide, not a p-value: with samples enough the smallest change is significant, and with too few nothing is. A
//! figure is *worse* where the whole interval of its change lies beyond what is allowed, *not worse* where none of it does, and
//! *undecided* in between; that is what too few samples lead to. Computation alone.

#[cfg(test)]
mod fixture;
mod normal;
mod proportion;
mod quantile;
mod rank;
mod side;

use std::time::Duration;

use serde::Serialize;

pub use side::{ProbeSummary, Side, Unfit};

use crate::experiment::NoWorseThan;
use crate::model::exit::Verdict;
use crate::record::event::Phase;
use crate::record::state::Comeback;
use crate::text::units::span;
use normal::two_sided;
use proportion::Share;
use rank::{Shift, Values};

/// With fewer answers than these nothing is said about them: what is computed here holds for many.
pub const FEWEST: u64 = 30;

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// The runs that were before.
    pub base: Vec<String>,
    /// The runs that are held against them.
    pub new: Vec<String>,
    /// What was allowed.
    pub no_worse_than: NoWorseThan,
    /// Why the two cannot be compared; empty where they can.
    pub unlike: Vec<String>,
    /// The figures while the fault was on: these decide.
    pub figures: Vec<Figure>,
    /// The same before the fault: they tell whether it is the fault that makes the difference, and decide nothing.
    pub baseline: Vec<Figure>,
    /// What else people should know, each in a sentence.
    pub notes: Vec<String>,
}

/// One figure of one check on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figure {
    /// Which check.
    pub check: String,
    /// Which figure of it.
    pub of: Of,
    /// How many samples there were on each side.
    pub samples: (u64, u64),
    /// Before and now: ms of a percentile, the share of failures; nothing for latency as a whole, and where a percentile lies
    /// among what was never answered.
    pub base: Option<f64>,
    /// See `base`.
    pub new: Option<f64>,
    /// By how much it changed: latency as a share of what it was (0.1 is 10 % longer), failures in shares of all (0.01 is one
    /// percentage point more). Nothing where that is without end.
    pub change: Option<f64>,
    /// The change is at least so much, as sure as was asked for; nothing where that is without end.
    pub low: Option<f64>,
    /// The change is at most so much; nothing where that is without end.
    pub high: Option<f64>,
    /// How much it may be.
    pub allowed: f64,
    /// How likely it is to see so much difference, or more, where there is none; latency as a whole and failures have it.
    pub p: Option<f64>,
    /// Of all pairs of one answer before and one now, in how many the later is the slower one; latency as a whole has it.
    pub slower: Option<f64>,
    /// What follows.
    pub finding: Finding,
}

/// A figure of a check.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Of {
    /// The share of failures.
    Failures,
    /// Latency as a whole: by which factor all of it moved.
    Latency,
    /// A percentile of latency, as the experiment file calls it.
    Percentile(String),
}

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Failures => "failures",
            Self::Latency => "latency",
            Self::Percentile(name) => name,
        })
    }
}

/// What follows from a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It is not worse by more than is allowed.
    NotWorse,
    /// Both may be: with more samples it would be known.
    Undecided,
    /// It is worse by more than is allowed.
    Worse,
}

impl Comparison {
    /// Worse in anything is a regression; what cannot be decided is no verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let is = |finding| self.figures.iter().any(|f| f.finding == finding);
        if !self.unlike.is_empty() || self.figures.is_empty() {
            Verdict::NoVerdict
        } else if is(Finding::Worse) {
            Verdict::Broken
        } else if is(Finding::Undecided) {
            Verdict::NoVerdict
        } else {
            Verdict::Held
        }
    }

    /// The verdict in a sentence.
    #[must_use]
    pub fn why(&self) -> String {
        let told = |finding| {
            let figures = self.figures.iter().filter(|f| f.finding == finding);
            figures.map(Figure::told).collect::<Vec<_>>().join("; ")
        };
        match self.verdict() {
            Verdict::Broken => format!("worse than {}: {}", self.base.join(", "), told(Finding::Worse)),
            Verdict::Held => format!("no worse than {}", self.base.join(", ")),
            _ if !self.unlike.is_empty() => format!("cannot be compared: {}", self.unlike.join("; ")),
            _ if self.figures.is_empty() => "cannot be compared: no check has figures on both sides".to_owned(),
            _ => format!("too few samples to tell whether it is worse: {}", told(Finding::Undecided)),
        }
    }
}

impl Figure {
    /// The figure in words: `checkout p95 +43.0 % (+31.0 to +52.0 %), +10.0 % allowed`.
    #[must_use]
    pub fn told(&self) -> String {
        format!("{} {} {}, {} allowed", self.check, self.of, self.change_told(), self.allowed_told())
    }

    /// What is allowed: `+10.0 %`.
    #[must_use]
    pub fn allowed_told(&self) -> String {
        self.shown(Some(self.allowed))
    }

    /// The change with its bounds: `+43.0 % (+31.0 to +52.0 %)`; `pt` are percentage points.
    #[must_use]
    pub fn change_told(&self) -> String {
        if self.samples.0.min(self.samples.1) < FEWEST {
            return format!("unknown ({} and {} answers; {FEWEST} are needed)", self.samples.0, self.samples.1);
        }
        let (by, unit) = (self.shown(self.change), self.unit());
        let number = |v: f64| format!("{:+.1}", v * 100.0);
        match (self.low, self.high) {
            (Some(low), Some(high)) => format!("{by} ({} to {} {unit})", number(low), number(high)),
            (Some(low), None) => format!("{by} (at least {} {unit})", number(low)),
            (None, Some(high)) => format!("{by} (at most {} {unit})", number(high)),
            (None, None) => format!("{by} (without bounds)"),
        }
    }

    fn unit(&self) -> &'static str {
        if self.of == Of::Failures { "pt" } else { "%" }
    }

    fn shown(&self, change: Option<f64>) -> String {
        change.map_or_else(|| "unknown".to_owned(), |v| format!("{:+.1} {}", v * 100.0, self.unit()))
    }
}

/// Holds one side against the other.
#[must_use]
pub fn compare(base: &Side, new: &Side, no_worse_than: NoWorseThan) -> Comparison {
    let x = &new.experiment;
    let mut figures = Vec::new();
    let mut baseline = Vec::new();
    let mut notes = Vec::new();
    // What an engine says is read, not served: neither its failures nor how long it took are figures of the service.
    for (name, check) in x.steady_state.iter().filter(|(_, check)| check.probe.name() != "engine") {
        let Some(before) = base.experiment.steady_state.get(name) else {
            notes.push(format!("`{name}` is new: there is nothing to hold it against"));
            continue;
        };
        if before.probe != check.probe {
            notes.push(format!("`{name}` asks something else than before: it is left out"));
            continue;
        }
        if before.rate != check.rate || before.timeout != check.timeout {
            notes.push(format!("`{name}` asks at another rate, or waits for another time, than before"));
        }
        let mut percentiles: Vec<(f64, String)> =
            check.expect_during().latencies().into_iter().map(|(q, key, _)| (q, key.to_owned())).collect();
        percentiles.retain(|(q, _)| *q < 1.0);
        if percentiles.is_empty() {
            percentiles.push((0.95, "p95".to_owned()));
        }
        for (phase, out) in [(Phase::During, &mut figures), (Phase::Baseline, &mut baseline)] {
            let key = (name.clone(), phase);
            if let (Some(base), Some(new)) = (base.seen.get(&key), new.seen.get(&key)) {
                out.push(failures(name, base, new, no_worse_than));
                out.extend(latencies(name, base, new, no_worse_than, &percentiles));
            }
        }
    }
    let gone = base.experiment.steady_state.keys().filter(|name| !x.steady_state.contains_key(*name));
    notes.extend(gone.map(|name| format!("`{name}` is gone: it was looked at before and is not now")));
    notes.extend(recovery(base, new));
    let unlike = unlike(base, new);
    if !unlike.is_empty() {
        // Figures of what is not alike would be read all the same.
        (figures, baseline) = (Vec::new(), Vec::new());
        notes.clear();
    }
    Comparison { base: base.runs.clone(), new: new.runs.clone(), no_worse_than, unlike, figures, baseline, notes }
}

/// Why two runs are not about the same thing.
fn unlike(base: &Side, new: &Side) -> Vec<String> {
    let mut why = Vec::new();
    let (before, now) = (&base.experiment, &new.experiment);
    if (before.faults(), &before.zone_label) != (now.faults(), &now.zone_label) {
        why.push("what goes wrong, or with whom, is not the same".to_owned());
    }
    if base.engine.is_some() && base.engine != new.engine {
        why.push("they ran on different kinds of engine".to_owned());
    }
    let (shorter, longer) = (base.fault_on.min(new.fault_on), base.fault_on.max(new.fault_on));
    if shorter.as_secs_f64() < 0.8 * longer.as_secs_f64() {
        why.push(format!(
            "the fault was on for {} before and {} now: the begin of a fault is not like the whole of it",
            span(base.fault_on),
            span(new.fault_on)
        ));
    }
    why
}

/// The recovery is one number a run: it is told, and no test is made of it.
fn recovery(base: &Side, new: &Side) -> Option<String> {
    let (before, now) = (comeback(base)?, comeback(new)?);
    let told = match (before, now) {
        (Comeback::NeverLost, Comeback::NeverLost) => {
            return Some("steady state was never lost, before and now".to_owned());
        }
        (Comeback::NeverLost, now) => format!("steady state was never lost before, and recovery took {now} now"),
        (before, Comeback::NeverLost) => format!("recovery took {before} before, and steady state was never lost now"),
        (before, now) => format!("recovery took {before} before and {now} now"),
    };
    Some(format!("{told}: one number a run, so that no test is made of it"))
}

/// What became of steady state in the runs of a side, in their mean.
fn comeback(side: &Side) -> Option<Comeback> {
    if !side.recovery.is_empty() && side.recovery.iter().all(|came| *came == Comeback::NeverLost) {
        return Some(Comeback::NeverLost);
    }
    let sum: Duration = side.recovery.iter().filter_map(|came| came.took()).sum();
    let runs = u32::try_from(side.recovery.len()).ok()?;
    sum.checked_div(runs).map(Comeback::After)
}

fn failures(check: &str, base: &ProbeSummary, new: &ProbeSummary, no_worse_than: NoWorseThan) -> Figure {
    let share = |seen: &ProbeSummary| Share { count: seen.failed as f64, of: seen.asked as f64 };
    let (b, n) = (share(base), share(new));
    let samples = (base.asked, new.asked);
    let allowed = no_worse_than.failures.0;
    let mut figure = Figure {
        check: check.to_owned(),
        of: Of::Failures,
        samples,
        base: (base.asked > 0).then(|| b.ratio()),
        new: (new.asked > 0).then(|| n.ratio()),
        change: None,
        low: None,
        high: None,
        allowed,
        p: None,
        slower: None,
        finding: Finding::Undecided,
    };
    if samples.0.min(samples.1) < FEWEST {
        return figure;
    }
    let (low, high) = proportion::difference(b, n, two_sided(no_worse_than.confidence.0));
    figure.change = Some(n.ratio() - b.ratio());
    (figure.low, figure.high) = (Some(low), Some(high));
    figure.p = Some(proportion::test(b, n));
    figure.finding = finding(low, high, allowed);
    figure
}

/// Latency as a whole, and its percentiles. A failure counts as an answer that never came: fast refusals improve nothing.
fn latencies(
    check: &str,
    base: &ProbeSummary,
    new: &ProbeSummary,
    no_worse_than: NoWorseThan,
    percentiles: &[(f64, String)],
) -> Vec<Figure> {
    let values = |seen: &ProbeSummary| {
        let good = seen.distribution.iter().map(|(us, count)| ((*us).max(1) as f64 / 1000.0, *count));
        Values::new(good.chain([(f64::INFINITY, seen.failed)]).collect())
    };
    let logs = |seen: &ProbeSummary| {
        let good = seen.distribution.iter().map(|(us, count)| (((*us).max(1) as f64).ln(), *count));
        Values::new(good.chain([(f64::INFINITY, seen.failed)]).collect())
    };
    let (b, n) = (values(base), values(new));
    let samples = (b.count(), n.count());
    let confidence = no_worse_than.confidence.0;
    let empty = |of: Of| Figure {
        check: check.to_owned(),
        of,
        samples,
        base: None,
        new: None,
        change: None,
        low: None,
        high: None,
        allowed: no_worse_than.latency.0,
        p: None,
        slower: None,
        finding: Finding::Undecided,
    };
    let mut whole = empty(Of::Latency);
    if samples.0.min(samples.1) < FEWEST {
        return vec![whole];
    }
    let (lb, ln) = (logs(base), logs(new));
    if let (Some(ranks), Some(shift)) = (rank::mann_whitney(&lb, &ln), rank::shift(&lb, &ln, confidence)) {
        (whole.p, whole.slower) = (Some(ranks.p), Some(ranks.superiority));
        decide(&mut whole, shift);
    }
    let of = |(q, name): &(f64, String)| {
        let mut figure = empty(Of::Percentile(name.clone()));
        let (before, now) = (quantile::quantile(&b, *q, confidence)?, quantile::quantile(&n, *q, confidence)?);
        (figure.base, figure.new) = (finite(before.value), finite(now.value));
        // Where neither came there is nothing to compare but failures, and those have a figure of their own.
        decide(&mut figure, quantile::log_ratio(before, now)?);
        Some(figure)
    };
    [whole].into_iter().chain(percentiles.iter().filter_map(of)).collect()
}

/// From a shift of logarithms to shares.
fn decide(figure: &mut Figure, shift: Shift) {
    let share = |log: f64| log.exp_m1();
    figure.change = finite(share(shift.by));
    figure.high = finite(share(shift.high));
    figure.low = shift.low.is_finite().then(|| share(shift.low));
    figure.finding = finding(share(shift.low), share(shift.high), figure.allowed);
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn finding(low: f64, high: f64, allowed: f64) -> Finding {
    if low > allowed {
        Finding::Worse
    } else if high <= allowed {
        Finding::NotWorse
    } else {
        Finding::Undecided
    }
}

#[cfg(test)]
mod tests;
