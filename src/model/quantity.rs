//! Quantities as people write them in an experiment: spans of time, percentages, rates, and those of traffic.
//!
//! Each reads exactly one spelling, prints the same spelling, and explains itself where it is misspelt.

mod budget;
mod calendar;
mod disk;
mod due;
mod many;
mod portion;
mod ports;
mod template;
mod traffic;
mod word;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use budget::{allowed, samples};
pub use calendar::{Cron, Day, Days, TimeOfDay, Wait, Weekdays, Zone};
pub use disk::ByteRate;
pub use due::Due;
pub use many::Many;
pub use portion::Portion;
pub use ports::{AllBut, PortChoice};
pub use template::{Absent, Lookup, Missing, Piece, Text, Variable, fill, pieces, unset};
pub use traffic::{Addresses, BitRate, Port, Size};
pub use word::Word;

/// A span of time with its unit: `200ms`, `1.5s`, `2m`. Units above an hour are refused: humantime reads `1M`
/// as a month, and nobody means that here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

/// A share of a whole, written as `99.5%`, kept as a ratio from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Percent(pub f64);

/// How often, written as `50/s` (or `30/m`), kept as a number per second, above 0.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if unit.is_empty() {
            return Err(format!("`{text}` has no unit; write `{text}s` or `{text}ms`"));
        }
        if unit.contains('M') {
            return Err(format!("`{text}` would be months; write `m` for minutes or `ms` for milliseconds"));
        }
        let d = humantime::parse_duration(text)
            .map_err(|e| format!("`{text}` is not a duration ({e}); write for example `200ms`, `1.5s` or `2m`"))?;
        if d > Duration::from_hours(24) {
            return Err(format!("`{text}` is longer than a day"));
        }
        Ok(Self(d))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", humantime::format_duration(self.0))
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text
            .trim()
            .strip_suffix('%')
            .ok_or_else(|| format!("`{text}` is not a percentage; write for example `99%` or `99.5%`"))?;
        let value: f64 =
            number.trim().parse().map_err(|_| format!("`{text}` is not a percentage; write for example `99.5%`"))?;
        if !(0.0..=100.0).contains(&value) {
            return Err(format!("`{text}` is outside 0% to 100%"));
        }
        Ok(Self(value / 100.0))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded to nine digits, so that 0.07 (7 %) does not print as 7.000000000000001%.
        write!(f, "{}%", (self.0 * 100.0 * 1e9).round() / 1e9)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a rate; write for example `50/s` or `30/m`");
        let (number, unit) = text.trim().split_once('/').ok_or_else(wrong)?;
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let per_second = match unit.trim() {
            "s" => number,
            "m" => number / 60.0,
            _ => return Err(wrong()),
        };
        if per_second.is_nan() || per_second <= 0.0 || per_second > 100_000.0 {
            return Err(format!("`{text}` is outside what can be asked (above 0, up to 100000/s)"));
        }
        Ok(Self(per_second))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1.0 || self.0 * 60.0 < 1e-9 {
            write!(f, "{}/s", self.0)
        } else {
            write!(f, "{}/m", (self.0 * 60.0 * 1e9).round() / 1e9)
        }
    }
}

/// Reads a scalar, whatever YAML took it for, and parses its text.
fn from_scalar<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(d: D, what: &'static str) -> Result<T, D::Error> {
    struct Scalar<T>(&'static str, std::marker::PhantomData<T>);
    impl<T: FromStr<Err = String>> Visitor<'_> for Scalar<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<T, E> {
            v.parse().map_err(E::custom)
        }
        fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<T, E> {
            v.to_string().parse().map_err(E::custom)
        }
        fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<T, E> {
            v.to_string().parse().map_err(E::custom)
        }
        fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<T, E> {
            v.to_string().parse().map_err(E::custom)
        }
    }
    d.deserialize_any(Scalar(what, std::marker::PhantomData))
}

macro_rules! quantity {
    ($t:ident, $what:literal, $pattern:literal, $example:literal $(, $or:ident)?) => {
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                from_scalar(d, $what)
            }
        }
        impl JsonSchema for $t {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($t).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": ["string" $(, stringify!($or))?],
                    "pattern": $pattern,
                    "description": $what,
                    "examples": [$example],
                })
            }
        }
    };
}
use quantity;

quantity!(
    Span,
    "a duration with its unit, such as `200ms` or `1.5s`",
    r"^\s*([0-9.]+\s*(ns|us|ms|s|sec|secs|seconds?|m|min|mins|minutes?|h|hr|hrs|hours?)\s*)+$|^0$|\$\{",
    "200ms"
);
quantity!(Percent, "a percentage, such as `99.5%`", r"^\s*[0-9.]+\s*%$|\$\{", "99%");
quantity!(Rate, "a rate, such as `50/s`", r"^\s*[0-9.]+\s*/\s*(s|m)$|\$\{", "50/s");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_needs_a_unit_and_refuses_months() {
        assert_eq!("1.5s".parse(), Ok(Span(Duration::from_millis(1500))));
        assert!("30".parse::<Span>().unwrap_err().contains("no unit"));
        assert!("1M".parse::<Span>().unwrap_err().contains("months"));
        assert!("5 foo".parse::<Span>().is_err());
    }

    #[test]
    fn percentages_keep_their_precision() {
        assert_eq!("0.4%".parse::<Percent>().unwrap().to_string(), "0.4%");
        assert_eq!("7%".parse::<Percent>().unwrap().to_string(), "7%");
        assert!("101%".parse::<Percent>().is_err());
        assert!("99".parse::<Percent>().is_err());
    }

    #[test]
    fn rates_read_and_print_alike() {
        for text in ["50/s", "0.5/s", "30/m", "5000/s"] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate, "{text}");
        }
        assert!("0/s".parse::<Rate>().is_err());
        assert!("50".parse::<Rate>().is_err());
    }
}
