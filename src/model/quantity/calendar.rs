//! Quantities of the calendar, for schedules: time zones, days, times of day, cron expressions, long waits.

use std::time::Duration;

use jiff::Zoned;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

use super::{Deserialize, Deserializer, FromStr, JsonSchema, Schema, SchemaGenerator, Serialize, Serializer};
use super::{fmt, from_scalar, json_schema, quantity};

/// A time zone by its name, such as `Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(pub TimeZone);

/// One day, or all from one to another: `2026-12-24`, `2026-12-24 to 2027-01-02`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first of them.
    pub first: Date,
    /// The last of them.
    pub last: Date,
}

/// A day: `2026-12-15`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub Date);

/// Days of the week: `MON-FRI`, `SAT,SUN`, `daily`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekdays([bool; 7]);

/// A time of day, such as `09:00`; `24:00` is its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay {
    /// Minutes since its begin.
    minutes: i16,
}

/// A span of time that may be longer than a day, such as `3d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Wait(pub Duration);

/// A cron expression of five fields, such as `30 9 * * MON-FRI`.
#[derive(Debug, Clone)]
pub struct Cron {
    text: String,
    cron: Box<croner::Cron>,
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The zone of the machine would make a file mean different things in different places.
        if text.is_empty() || text == "local" {
            return Err("a time zone has a name, such as `Europe/Berlin` or `UTC`".to_owned());
        }
        TimeZone::get(text)
            .map(Self)
            .map_err(|_| format!("there is no time zone `{text}`; write for example `Europe/Berlin` or `UTC`"))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl Days {
    /// Whether a day is one of them.
    #[must_use]
    pub fn contain(self, day: Date) -> bool {
        (self.first..=self.last).contains(&day)
    }
}

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = |word: &str| {
            date(word).ok_or_else(|| {
                format!(
                    "`{text}` is no day; write `2026-12-24`, or `2026-12-24 to 2027-01-02` for all from one to another"
                )
            })
        };
        let (first, last) = match text.split_once(" to ") {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(text)?, day(text)?),
        };
        if last < first {
            return Err(format!("`{text}` ends before it begins"));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{} to {}", self.first, self.last) }
    }
}

/// A date in the one spelling in which people cannot mix up months and days.
fn date(word: &str) -> Option<Date> {
    word.trim().parse::<Date>().ok().filter(|_| word.trim().len() == 10)
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        date(text).map(Self).ok_or_else(|| format!("`{text}` is no day; write for example `2026-12-15`"))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

const WEEK: [&str; 7] = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];

impl Weekdays {
    /// All of them.
    pub const ALL: Self = Self([true; 7]);

    /// Whether a day is one of them.
    #[must_use]
    pub fn contain(self, day: Weekday) -> bool {
        usize::try_from(day.to_monday_zero_offset()).is_ok_and(|i| self.0[i])
    }
}

impl Default for Weekdays {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromStr for Weekdays {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` are no days of the week; write for example `MON-FRI` or `SAT,SUN`");
        let place = |word: &str| {
            let word = word.trim().to_uppercase();
            WEEK.iter().position(|day| *day == word).ok_or_else(wrong)
        };
        if text.trim().eq_ignore_ascii_case("daily") {
            return Ok(Self::ALL);
        }
        let mut days = [false; 7];
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (mut day, last) = (place(first)?, place(last)?);
            days[day] = true;
            while day != last {
                day = (day + 1) % 7;
                days[day] = true;
            }
        }
        Ok(Self(days))
    }
}

impl fmt::Display for Weekdays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = WEEK.into_iter().zip(self.0).filter(|(_, on)| *on).map(|(day, _)| day).collect();
        f.write_str(if days.len() == 7 { "daily".to_owned() } else { days.join(",") }.as_str())
    }
}

impl TimeOfDay {
    /// The begin of a day.
    pub const BEGIN: Self = Self { minutes: 0 };
    /// Its end.
    pub const END: Self = Self { minutes: 24 * 60 };

    /// The moment of that time on a day. Where clocks are set forward over it, the moment after; where they show it
    /// twice, the first.
    #[must_use]
    pub fn on(self, day: Date, zone: &TimeZone) -> Option<Zoned> {
        let day = if self == Self::END { day.tomorrow().ok()? } else { day };
        let (hour, minute) = if self == Self::END { (0, 0) } else { (self.minutes / 60, self.minutes % 60) };
        let time = Time::new(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0).ok()?;
        day.to_datetime(time).to_zoned(zone.clone()).ok()
    }
}

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time of day; write for example `09:00`, in quotes");
        let (hour, minute) = text.trim().split_once(':').ok_or_else(wrong)?;
        let two = |digits: &str| digits.parse::<i16>().ok().filter(|_| (1..=2).contains(&digits.len()));
        let (hour, minute) = (two(hour).ok_or_else(wrong)?, two(minute).ok_or_else(wrong)?);
        let minutes = 60 * hour + minute;
        if hour < 0 || !(0..60).contains(&minute) || minutes > Self::END.minutes {
            return Err(wrong());
        }
        Ok(Self { minutes })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl FromStr for Wait {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains('M') {
            return Err(format!("`{text}` would be months; write `m` for minutes"));
        }
        match humantime::parse_duration(text) {
            Ok(wait) if wait <= Duration::from_hours(24 * 366) => Ok(Self(wait)),
            Ok(_) => Err(format!("`{text}` is longer than a year")),
            Err(e) => Err(format!("`{text}` is not a duration ({e}); write for example `4h` or `3d`")),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

impl Cron {
    /// The first moment after another that it means, in the other's time zone. A time that clocks are set forward over
    /// runs right after that; one that they show twice runs the first time. Expressions for many times a day (`*/10 * * * *`)
    /// run in either pass.
    #[must_use]
    pub fn after(&self, moment: &Zoned) -> Option<Zoned> {
        self.cron.find_next_occurrence(moment, false).ok()
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parser = croner::parser::CronParser::builder()
            .seconds(croner::parser::Seconds::Disallowed)
            .year(croner::parser::Year::Disallowed)
            .build();
        let text = text.trim();
        match parser.parse(text) {
            Ok(cron) => Ok(Self { text: text.to_owned(), cron: Box::new(cron) }),
            Err(e) => Err(format!(
                "`{text}` is no cron expression ({e}); its five fields are minute, hour, day of the month, month and day of \
                 the week, as in `30 9 * * MON-FRI`"
            )),
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

quantity!(Zone, "a time zone, such as `Europe/Berlin`", r"^[A-Za-z0-9_+/-]+$|\$\{", "Europe/Berlin");
quantity!(
    Days,
    "a day or several, such as `2026-12-24` or `2026-12-24 to 2027-01-02`",
    r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}(\s+to\s+[0-9]{4}-[0-9]{2}-[0-9]{2})?\s*$|\$\{",
    "2026-12-24 to 2027-01-02"
);
quantity!(Day, "a day, such as `2026-12-15`", r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}\s*$|\$\{", "2026-12-15");
quantity!(Weekdays, "days of the week, such as `MON-FRI`", r"^[A-Za-z, -]+$|\$\{", "MON-FRI");
quantity!(TimeOfDay, "a time of day, such as `09:00`", r"^\s*[0-9]{1,2}:[0-9]{2}\s*$|\$\{", "09:00");
quantity!(Wait, "a duration with its unit, such as `4h` or `3d`", r"^\s*[0-9].*$|\$\{", "4h");
quantity!(Cron, "a cron expression, such as `30 9 * * MON-FRI`", r"^.*$", "30 9 * * MON-FRI");

#[cfg(test)]
mod tests {
    use super::*;

    fn round<T: FromStr<Err = String> + fmt::Display>(text: &str) -> String {
        match text.parse::<T>() {
            Ok(value) => value.to_string(),
            Err(e) => e,
        }
    }

    #[test]
    fn they_read_and_print_alike() {
        assert_eq!(round::<Zone>("Europe/Berlin"), "Europe/Berlin");
        assert_eq!(round::<Days>("2026-12-24 to 2027-01-02"), "2026-12-24 to 2027-01-02");
        assert_eq!(round::<Days>("2026-12-24"), "2026-12-24");
        assert_eq!(round::<Day>("2026-12-15"), "2026-12-15");
        assert_eq!(round::<Weekdays>("mon-wed,SUN"), "MON,TUE,WED,SUN");
        assert_eq!(round::<Weekdays>("FRI-MON"), "MON,FRI,SAT,SUN");
        assert_eq!(round::<Weekdays>("daily"), "daily");
        assert_eq!(round::<TimeOfDay>("9:05"), "09:05");
        assert_eq!(round::<TimeOfDay>("24:00"), "24:00");
        assert_eq!(round::<Wait>("3d"), "3days");
        assert_eq!(round::<Cron>("30 9 * * MON-FRI"), "30 9 * * MON-FRI");
    }

    #[test]
    fn what_is_none_is_explained() {
        for (said, why) in [
            (round::<Zone>("Europe/Berlinn"), "no time zone `Europe/Berlinn`"),
            (round::<Zone>("local"), "a time zone has a name"),
            (round::<Days>("2026-02-30"), "is no day"),
            (round::<Days>("2027-01-02 to 2026-12-24"), "ends before it begins"),
            (round::<Day>("15.12.2026"), "is no day"),
            (round::<Weekdays>("Monday"), "write for example `MON-FRI`"),
            (round::<TimeOfDay>("24:01"), "is no time of day"),
            (round::<TimeOfDay>("540"), "is no time of day"),
            (round::<Wait>("1M"), "would be months"),
            (round::<Wait>("400d"), "longer than a year"),
            (round::<Cron>("30 9 * *"), "five fields"),
            (round::<Cron>("0 30 9 * * MON"), "five fields"),
            (round::<Cron>("61 * * * *"), "is no cron expression"),
        ] {
            assert!(said.contains(why), "{said}");
        }
    }
}
