//! The exit codes, all of them. Scripts and pipelines depend on these five numbers.

use serde::{Deserialize, Serialize};

/// What a run came to, worst last; the exit code is [`Verdict::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The hypothesis held, steady state was back in time, everything was taken back.
    Held,
    /// A weakness: the hypothesis broke, or recovery took too long. Everything was taken back.
    Broken,
    /// The run says nothing about the hypothesis. Everything was taken back.
    NoVerdict,
    /// Something could not be taken back.
    LeftBehind,
}

/// The file or the command line is wrong; nothing was touched.
pub const INVALID: u8 = 2;

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Held, Self::Broken, Self::NoVerdict, Self::LeftBehind];

    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Broken => 1,
            Self::NoVerdict => 3,
            Self::LeftBehind => 4,
        }
    }

    /// Of two, the one that decides an exit code: 4, then 1, then 3, then 0.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let rank = |v: Self| match v {
            Self::Held => 0,
            Self::NoVerdict => 1,
            Self::Broken => 2,
            Self::LeftBehind => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }

    /// In a word, for programs: as it is stored.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "broken",
            Self::NoVerdict => "no-verdict",
            Self::LeftBehind => "left-behind",
        }
    }

    /// As people read it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Broken => "broken",
            Self::NoVerdict => "no verdict",
            Self::LeftBehind => "left behind",
        }
    }
}
