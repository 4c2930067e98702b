//! A moment as people name it: a day, a time stamp, or how long ago.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A moment as it was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// So long before now: `30d`.
    Ago(Duration),
    /// That very moment; a day is its begin in UTC.
    At(Timestamp),
}

impl Moment {
    /// The moment itself.
    #[must_use]
    pub fn on(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => SignedDuration::try_from(span)
                .ok()
                .and_then(|span| now.checked_sub(span).ok())
                .unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(day) = text.parse::<Date>()
            && !text.contains('T')
        {
            return day.to_zoned(TimeZone::UTC).map(|z| Self::At(z.timestamp())).map_err(|e| e.to_string());
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self::At(at));
        }
        humantime::parse_duration(text)
            .map(Self::Ago)
            .map_err(|_| format!("`{text}` is no moment; write `30d` (ago), `2026-11-01` or `2026-11-01T09:30:00Z`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_day_a_time_stamp_or_how_long_ago() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        for (text, at) in [
            ("2d", "2026-11-18T12:00:00Z"),
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T09:30:00+02:00", "2026-11-01T07:30:00Z"),
        ] {
            assert_eq!(text.parse::<Moment>().unwrap().on(now), at.parse().unwrap(), "{text}");
        }
        assert!("yesterday".parse::<Moment>().unwrap_err().contains("write `30d`"));
    }
}
