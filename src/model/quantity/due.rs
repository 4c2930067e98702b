//! How often something is to be done: `every quarter`, `every 2 weeks`.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::{Deserialize, Deserializer, FromStr, JsonSchema, Schema, SchemaGenerator, Serialize, Serializer};
use super::{fmt, from_scalar, json_schema, quantity};

/// How often something is to be done, in units of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Due {
    every: u16,
    unit: Unit,
}

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Unit {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

const UNITS: [(&str, Unit); 5] = [
    ("day", Unit::Day),
    ("week", Unit::Week),
    ("month", Unit::Month),
    ("quarter", Unit::Quarter),
    ("year", Unit::Year),
];

impl Due {
    /// Every month: what is taken for granted where nobody says otherwise.
    pub const MONTHLY: Self = Self { every: 1, unit: Unit::Month };

    /// When it is due again after it was done, by the calendar in UTC.
    #[must_use]
    pub fn after(self, done: Timestamp) -> Timestamp {
        let n = i64::from(self.every);
        let span = match self.unit {
            Unit::Day => Span::new().days(n),
            // A span has limits for each of its units; all that can be written here is far within.
            Unit::Week => Span::new().weeks(n),
            Unit::Month => Span::new().months(n),
            Unit::Quarter => Span::new().months(3 * n),
            Unit::Year => Span::new().years(n),
        };
        done.to_zoned(TimeZone::UTC).checked_add(span).map_or(Timestamp::MAX, |at| at.timestamp())
    }
}

impl FromStr for Due {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not how often; write for example `every quarter` or `every 2 weeks`");
        let words: Vec<&str> = text.split_whitespace().collect();
        let (every, unit) = match words[..] {
            ["every", unit] => (1, unit),
            ["every", n, unit] => (n.parse::<u16>().map_err(|_| wrong())?, unit),
            _ => return Err(wrong()),
        };
        if !(1..=1000).contains(&every) {
            return Err(format!("`{text}`: from 1 to 1000"));
        }
        let unit = unit.strip_suffix('s').unwrap_or(unit);
        let (_, unit) = UNITS
            .into_iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| format!("`{text}`: the units are day, week, month, quarter and year"))?;
        Ok(Self { every, unit })
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, unit)| *unit == self.unit).map_or("", |(name, _)| name);
        match self.every {
            1 => write!(f, "every {unit}"),
            n => write!(f, "every {n} {unit}s"),
        }
    }
}

quantity!(
    Due,
    "how often, such as `every quarter` or `every 2 weeks`",
    r"^\s*every\s+([0-9]+\s+)?(day|week|month|quarter|year)s?\s*$|\$\{",
    "every quarter"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_by_the_calendar() {
        for (due, done, next) in [
            ("every day", "2026-03-28T23:30:00Z", "2026-03-29T23:30:00Z"),
            ("every 2 weeks", "2026-12-25T08:00:00Z", "2027-01-08T08:00:00Z"),
            ("every month", "2026-01-31T08:00:00Z", "2026-02-28T08:00:00Z"),
            ("every quarter", "2026-11-30T08:00:00Z", "2027-02-28T08:00:00Z"),
            ("every year", "2028-02-29T08:00:00Z", "2029-02-28T08:00:00Z"),
        ] {
            let read: Due = due.parse().unwrap();
            assert_eq!(read.to_string(), due);
            assert_eq!(read.after(done.parse().unwrap()), next.parse().unwrap(), "{due}");
        }
    }

    #[test]
    fn what_is_no_interval_is_explained() {
        for (text, why) in [
            ("quarterly", "write for example `every quarter`"),
            ("every 0 days", "from 1 to 1000"),
            ("every 2 fortnights", "the units are day"),
            ("every two weeks", "write for example"),
        ] {
            assert!(text.parse::<Due>().unwrap_err().contains(why), "{text}");
        }
    }
}
