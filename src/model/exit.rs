//! The exit codes, all of them. Scripts and pipelines depend on these five numbers.

use serde::{Deserialize, Serialize};

/// What a run came to, worst last; the exit code is [`Verdict::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Verdict {
    /// The hypothesis held, steady state was back in time, everything was rolled back.
    Held,
    /// A weakness: the hypothesis broke, or recovery took too long. Everything was rolled back.
    Broken,
    /// The run says nothing about the hypothesis. Everything was rolled back.
    NoVerdict,
    /// Something could not be rolled back.
    LeftBehind,
    /// A rehearsal: in the simulated world the hypothesis would hold. It is no pass.
    Rehearsed,
    /// A rehearsal: in the simulated world the hypothesis would break. It is no weakness of the real system.
    RehearsedBroken,
}

/// What goes with every rehearsal, wherever its verdict stands.
pub const REHEARSAL: &str = "A rehearsal is no pass: its world is simulated, and it cannot prove that a target exists.";

/// The file or the command line is wrong; nothing was touched.
pub const INVALID: u8 = 2;

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Held, Self::Broken, Self::NoVerdict, Self::LeftBehind, Self::Rehearsed, Self::RehearsedBroken];

    /// What it is if the world was simulated: `held` and `broken` say nothing of a real one.
    #[must_use]
    pub fn rehearsed(self) -> Self {
        match self {
            Self::Held => Self::Rehearsed,
            Self::Broken => Self::RehearsedBroken,
            other => other,
        }
    }

    /// What it would be if the world were real.
    #[must_use]
    pub fn would_be(self) -> Self {
        match self {
            Self::Rehearsed => Self::Held,
            Self::RehearsedBroken => Self::Broken,
            other => other,
        }
    }

    /// Whether it is that of a rehearsal that went to its end.
    #[must_use]
    pub fn is_rehearsal(self) -> bool {
        matches!(self, Self::Rehearsed | Self::RehearsedBroken)
    }

    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Held | Self::Rehearsed => 0,
            Self::Broken | Self::RehearsedBroken => 1,
            Self::NoVerdict => 3,
            Self::LeftBehind => 4,
        }
    }

    /// Of two, the one that decides an exit code: 4, then 1, then 3, then 0.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |v: Self| match v {
            Self::Held => 0,
            Self::Rehearsed => 1,
            Self::NoVerdict => 2,
            Self::RehearsedBroken => 3,
            Self::Broken => 4,
            Self::LeftBehind => 5,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// In a word, for programs: as it is stored.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.into()
    }

    /// As people read it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "broken",
            Self::NoVerdict => "no verdict",
            Self::LeftBehind => "rollback incomplete",
            Self::Rehearsed => "rehearsed: would hold",
            Self::RehearsedBroken => "rehearsed: would break",
        }
    }
}
