//! Everything that can happen on a game day, besides what happens in its runs, which have journals of their own.
//!
//! A stored event must stay readable: fields may be added (with a default), never renamed or given another meaning.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Gameday;
use crate::model::exit::Verdict;
use crate::model::quantity::Day;
use crate::occasions::notify::Stage;

/// The format of the timeline, in its first event. A newer program reads every older one.
pub const FORMAT: u32 = 1;

/// The reason of a scenario whose run did not even begin, and so touched nothing.
pub const NOT_BEGUN: &str = "not-begun";

/// An event with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Event {
    /// It begins.
    Started {
        /// [`FORMAT`].
        format: u32,
        /// Its id, which begins with its time.
        id: String,
        /// Its file, as it was named.
        file: String,
        /// What the file says.
        gameday: Box<Gameday>,
        /// The names of its experiments, by scenario.
        #[serde(default)]
        experiments: Vec<String>,
        /// Whether nobody is asked anything.
        unattended: bool,
        /// Whether its world is simulated: it says nothing of a real one.
        #[serde(default)]
        rehearsal: bool,
    },
    /// An item of a checklist was seen to, or was not.
    Ticked {
        /// Of which list.
        list: List,
        /// Which item, from 0.
        item: usize,
        /// After which scenario, from 0; for [`List::During`] alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scenario: Option<usize>,
        /// Whether it was done; skipped otherwise.
        done: bool,
    },
    /// Somebody was told, or could not be.
    Told {
        /// Which message.
        stage: Stage,
        /// Whom: no secret.
        recipient: String,
        /// How often it was tried.
        attempts: u32,
        /// Why it has not arrived.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A scenario begins.
    ScenarioBegan {
        /// Which, from 0.
        scenario: usize,
        /// Its run: the name comes first, and where the run does not begin ([`NOT_BEGUN`]), there is none.
        run: String,
    },
    /// The commander did not let it begin.
    ScenarioSkipped {
        /// Which, from 0.
        scenario: usize,
        /// Why.
        why: String,
    },
    /// A scenario is over.
    ScenarioEnded {
        /// Which, from 0.
        scenario: usize,
        /// What it came to.
        verdict: Verdict,
        /// Why, in a word: that of its run, or [`NOT_BEGUN`].
        reason: String,
        /// Why, in a sentence.
        text: String,
    },
    /// Somebody has observed something.
    Noted {
        /// What.
        text: String,
        /// Who.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// People have got this far with the scenario that is going on, or was the last to begin.
    Marked {
        /// How far.
        mark: Mark,
        /// Who says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Something is to be done.
    Action {
        /// What.
        text: String,
        /// Who sees to it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// Until when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Day>,
        /// Because of which scenario, from 0; where it is not said, the one that is going on, or was the last to begin.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scenario: Option<usize>,
        /// Whether Squall proposes it, since nobody else said what becomes of a broken hypothesis.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        suggested: bool,
    },
    /// No further scenario begins.
    Stopped {
        /// Why, in a sentence.
        why: String,
    },
    /// It is over.
    Ended {
        /// What it came to: the worst of its scenarios, as a gate takes them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verdict: Option<Verdict>,
    },
}

/// One of the three checklists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum List {
    Before,
    During,
    After,
}

/// How far people have got with what goes wrong.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum, strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Mark {
    /// The failure is noticed.
    Detected,
    /// The damage is stopped.
    Mitigated,
    /// Everything is as it should be.
    Recovered,
}

impl Mark {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Detected, Self::Mitigated, Self::Recovered];

    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.into()
    }
}
