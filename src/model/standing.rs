//! How one expectation stands, now or at the end of a phase; the one judgement that every report renders, and its words.
//!
//! Words never claim an inequality that is not so: what was not judged to its end says how far it had come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::text::units::{count, thousands, top};

/// How one expectation stands, now or at the end of a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// `success`, `p95`, `max-outage`, `rate`, `value` …
    pub expectation: String,
    /// The bound as people read it: `≥ 99%`, `≤ 300 ms`.
    pub bound: String,
    /// What was measured as people read it; `–` where there is nothing yet.
    pub measured: String,
    /// The same as a number: ratio from 0 to 1, ms, answers per second, or the value itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<f64>,
    /// The value itself, where it is one; `measured` has no more of it than fits a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Excerpt>,
    /// How many samples may miss the bound in this phase, where it is a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// How many have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<u64>,
    /// How many samples the whole phase has, where it is a budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// Whether it holds so far.
    pub held: bool,
    /// Where it does not hold because answers failed: the failures of the phase by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, u64>,
    /// Why that is no judgement, where the phase is over and it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unjudged: Option<Unjudged>,
}

/// A text from outside as records keep it: its begin, and how much of it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Excerpt {
    /// At most 4,096 characters.
    pub text: String,
    /// How many characters follow.
    pub left_out: usize,
}

impl Excerpt {
    /// Of a text.
    #[must_use]
    pub fn of(whole: &str) -> Self {
        const MOST: usize = 4096;
        let end = whole.char_indices().nth(MOST).map_or(whole.len(), |(at, _)| at);
        Self { text: whole[..end].to_owned(), left_out: whole[end..].chars().count() }
    }
}

/// What an expectation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::Display)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// It was judged to its end, and held.
    #[strum(to_string = "held")]
    Held,
    /// It exceeded its budget.
    #[strum(to_string = "broken")]
    Broken,
    /// Neither.
    #[strum(to_string = "not judged")]
    NotJudged,
}

impl From<bool> for Judgement {
    fn from(held: bool) -> Self {
        if held { Self::Held } else { Self::Broken }
    }
}

impl Judgement {
    /// A sign for it.
    #[must_use]
    pub fn mark(self) -> &'static str {
        match self {
            Self::Held => "✓",
            Self::Broken => "✗",
            Self::NotJudged => "–",
        }
    }
}

/// Why an expectation was not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unjudged {
    /// The phase ended before its time.
    CutShort,
    /// Nothing that was answered could have broken it.
    NoEvidence,
}

impl Standing {
    /// What it came to.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        match (self.held, self.unjudged) {
            (false, _) => Judgement::Broken,
            (true, Some(_)) => Judgement::NotJudged,
            (true, None) => Judgement::Held,
        }
    }

    /// As the phase ends before its time: what did not break by then is not judged.
    #[must_use]
    pub fn cut_short(self) -> Self {
        let unjudged = self.held.then_some(self.unjudged.unwrap_or(Unjudged::CutShort));
        Self { unjudged, ..self }
    }

    /// `success 97% ≥ 95% (6/10)`, `success 50%, not ≥ 95% (30/25)`, or `success: 6 of 7 failures spent when stopped; not judged`.
    #[must_use]
    pub fn words(&self) -> String {
        let budget = self.budget.map(|budget| format!(" ({}/{budget})", self.spent.unwrap_or(0))).unwrap_or_default();
        match self.judgement() {
            Judgement::Held => format!("{} {} {}{budget}", self.expectation, self.measured, self.bound),
            Judgement::Broken => format!("{} {}, not {}{budget}", self.expectation, self.measured, self.bound),
            Judgement::NotJudged => format!("{}: {}", self.expectation, self.why_not().unwrap_or_default()),
        }
    }

    /// Why it was not judged, and how far it had come: `6 of 7 failures spent when stopped; not judged`.
    #[must_use]
    pub fn why_not(&self) -> Option<String> {
        let why = self.unjudged.filter(|_| self.held)?;
        Some(match (why, self.budget) {
            (Unjudged::NoEvidence, _) => format!("no answer could have broken {}; not judged", self.bound),
            (Unjudged::CutShort, Some(budget)) => {
                let what = match self.expectation.as_str() {
                    "success" => "failures",
                    key if is_contract(key) => "samples",
                    _ => "slow or failed answers",
                };
                format!("{} of {} {what} spent when stopped; not judged", self.spent.unwrap_or(0), thousands(budget))
            }
            (Unjudged::CutShort, None) => format!("{} when stopped; not judged", self.measured),
        })
    }

    /// How it exceeded its budget, in a sentence's second half: `3 of 20 samples failed, budget 2 (success ≥ 90%): timeout 3`.
    #[must_use]
    pub fn exceeded(&self) -> String {
        let Self { expectation, bound, measured, .. } = self;
        let what = match (self.spent, self.budget, self.of) {
            (Some(spent), Some(budget), Some(of)) => {
                let missed = match expectation.as_str() {
                    "success" => "failed".to_owned(),
                    "must-fail" => "did not fail".to_owned(),
                    key if is_contract(key) && bound.starts_with('≤') => format!("were {key}"),
                    key if is_contract(key) => format!("were not {key}"),
                    _ => format!("failed or took longer than {}", bound.trim_start_matches("≤ ")),
                };
                let of = if of == 0 {
                    count(spent, "sample")
                } else {
                    format!("{} of {}", thousands(spent), count(of, "sample"))
                };
                format!("{of} {missed}, budget {} ({expectation} {bound})", thousands(budget))
            }
            (Some(spent), Some(budget), None) => {
                format!("{} missed {expectation} {bound}, budget {}", count(spent, "sample"), thousands(budget))
            }
            _ => format!("{expectation} was {measured}, expected {bound}"),
        };
        let causes = top(&self.failures, 3);
        if causes.is_empty() { what } else { format!("{what}: {causes}") }
    }
}

/// Whether this is what a contract of degradation expects: not how fast, but what is answered.
fn is_contract(expectation: &str) -> bool {
    matches!(expectation, "must-fail" | "2xx" | "3xx" | "4xx" | "5xx" | "no-answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn success(spent: u64, held: bool, unjudged: Option<Unjudged>) -> Standing {
        Standing {
            expectation: "success".into(),
            bound: "≥ 99%".into(),
            measured: "83.8%".into(),
            number: Some(0.838),
            value: None,
            budget: Some(7),
            spent: Some(spent),
            of: Some(740),
            held,
            failures: BTreeMap::new(),
            unjudged,
        }
    }

    #[test]
    fn what_was_cut_short_claims_nothing() {
        let cut = success(6, true, None).cut_short();
        assert_eq!(cut.judgement(), Judgement::NotJudged);
        assert_eq!(cut.words(), "success: 6 of 7 failures spent when stopped; not judged");
        let broken = success(8, false, None).cut_short();
        assert_eq!(broken.judgement(), Judgement::Broken);
        assert_eq!(broken.words(), "success 83.8%, not ≥ 99% (8/7)");
    }

    #[test]
    fn what_an_excerpt_leaves_out_is_counted() {
        assert_eq!(Excerpt::of("ü"), Excerpt { text: "ü".into(), left_out: 0 });
        let long = Excerpt::of(&"ü".repeat(5000));
        assert_eq!((long.text.chars().count(), long.left_out), (4096, 904));
    }

    #[test]
    fn a_break_names_its_causes_and_no_second_share() {
        let failures = [("connection refused", 6), ("timeout", 2)].map(|(kind, n)| (kind.to_owned(), n)).into();
        let said = Standing { failures, ..success(8, false, None) }.exceeded();
        assert_eq!(said, "8 of 740 samples failed, budget 7 (success ≥ 99%): connection refused 6, timeout 2");
    }

    #[test]
    fn a_standing_of_an_older_journal_reads_as_before() {
        let old = r#"{"expectation":"success","bound":"≥ 99%","measured":"100%","budget":2,"spent":0,"held":true}"#;
        let standing: Standing = serde_json::from_str(old).unwrap();
        assert_eq!(standing.judgement(), Judgement::Held);
    }

    #[test]
    fn a_broken_contract_reads_as_what_it_is() {
        let standing = |expectation: &str, bound: &str| Standing {
            of: Some(20),
            ..serde_json::from_value(serde_json::json!({
                "expectation": expectation, "bound": bound, "measured": "x", "budget": 0, "spent": 1, "held": false,
            }))
            .unwrap()
        };
        let exceeded = |expectation, bound| standing(expectation, bound).exceeded();
        assert!(exceeded("must-fail", "≥ 100%").starts_with("1 of 20 samples did not fail, budget 0"));
        assert!(exceeded("5xx", "≤ 0%").starts_with("1 of 20 samples were 5xx, budget 0"));
        assert!(exceeded("2xx", "≥ 90%").starts_with("1 of 20 samples were not 2xx, budget 0"));
    }
}
