//! Quantities of traffic: bit rates, amounts of bytes, ports and ranges of addresses.

use super::{Deserialize, Deserializer, FromStr, JsonSchema, Schema, SchemaGenerator, Serialize, Serializer};
use super::{fmt, from_scalar, json_schema, quantity};
use crate::model::network::{Cidr, Ports};

/// Bits per second, written as `1mbit`, above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BitRate(pub u64);

/// An amount of bytes, written as `32KiB` or `64m`; always binary, as Docker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A port or a range of ports, written as `5432` or `8000-8099`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port(pub Ports);

/// A range of addresses, written as `10.0.0.0/8` or `fd00::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses(pub Cidr);

/// Units of bit rates. As everywhere in networks, they are decimal.
const BITS: [(&str, u64); 4] = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
/// Units of bytes.
const BYTES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A number and its unit.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

/// A number of units as a whole number, where it is one.
fn whole(number: &str, unit: u64) -> Option<u64> {
    let (before, after) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if before.is_empty() && !after.is_empty() { 0 } else { before.parse().ok()? };
    let digits = u32::try_from(after.len()).ok()?;
    let share = if after.is_empty() { 0 } else { after.parse::<u64>().ok()? };
    let tens = 10_u64.checked_pow(digits)?;
    let scaled = share.checked_mul(unit)?;
    (scaled % tens == 0).then_some(())?;
    whole.checked_mul(unit)?.checked_add(scaled / tens)
}

impl FromStr for BitRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let wrong = || format!("`{text}` is not a bit rate; write for example `1mbit` or `500kbit`");
        if unit.is_empty() && number.parse::<f64>().is_ok() {
            return Err(format!("`{text}` has no unit; write `{number}kbit` or `{number}mbit`"));
        }
        let Some((_, size)) = BITS.iter().find(|(name, _)| *name == unit) else {
            let known = BITS.iter().find(|(name, _)| unit.to_lowercase().starts_with(&name[..1]));
            let meant = known.map_or("mbit", |(name, _)| name);
            return Err(match (number.parse::<f64>(), unit.to_lowercase().as_str()) {
                (Ok(n), "kb" | "mb" | "gb" | "kib" | "mib" | "gib" | "b" | "kb/s" | "mb/s" | "gb/s") => {
                    format!("`{text}` is an amount of bytes, and a rate counts bits: write `{}{meant}`", n * 8.0)
                }
                (Ok(_), "kbps" | "mbps" | "gbps" | "bps") => {
                    format!("`{text}` is bits to some and bytes to others: write `{number}{meant}`")
                }
                (Ok(_), lower) if lower.starts_with(['k', 'm', 'g', 'b']) => {
                    format!("`{text}` is not a bit rate; did you mean `{number}{meant}`?")
                }
                _ => wrong(),
            });
        };
        match whole(number, *size) {
            Some(0) => Err(format!("`{text}` lets nothing pass; that is what `blackhole` is for")),
            Some(bits) => Ok(Self(bits)),
            None => Err(wrong()),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let wrong = || format!("`{text}` is not an amount of bytes; write for example `32KiB` or `64m`");
        let size = match unit.to_lowercase().as_str() {
            "b" => 1,
            "k" | "kb" | "kib" => 1 << 10,
            "m" | "mb" | "mib" => 1 << 20,
            "g" | "gb" | "gib" => 1 << 30,
            "" if number.parse::<f64>().is_ok() => {
                return Err(format!("`{text}` has no unit; write `{number}KiB`, or `{number}B` for bytes"));
            }
            _ => return Err(wrong()),
        };
        whole(number, size).map(Self).ok_or_else(wrong)
    }
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// In the largest unit that leaves a whole number.
fn in_units(f: &mut fmt::Formatter<'_>, amount: u64, units: [(&str, u64); 4]) -> fmt::Result {
    let (name, size) = units.into_iter().find(|(_, size)| amount.is_multiple_of(*size)).unwrap_or(units[3]);
    if amount == 0 { write!(f, "0{}", units[3].0) } else { write!(f, "{}{name}", amount / size) }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_units(f, self.0, BITS)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        in_units(f, self.0, BYTES)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

quantity!(BitRate, "a bit rate, such as `1mbit`", r"^\s*[0-9.]+\s*[kmg]?bit$|\$\{", "1mbit");
quantity!(Size, "an amount of bytes, such as `32KiB`", r"^\s*[0-9.]+\s*([kKmMgG]i?[bB]?|[bB])$|\$\{", "32KiB");
quantity!(Port, "a port, such as `5432` or `8000-8099`", r"^\s*[0-9]+\s*(-\s*[0-9]+)?\s*$|\$\{", "5432", integer);
quantity!(Addresses, "a range of addresses, such as `10.0.0.0/8`", r"^[0-9a-fA-F.:]+(/[0-9]+)?$|\$\{", "10.0.0.0/8");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bit_rates_insist_on_bits() {
        for (text, bits) in [("1mbit", 1_000_000), ("1.5kbit", 1500), ("2gbit", 2_000_000_000), ("8bit", 8)] {
            assert_eq!(text.parse(), Ok(BitRate(bits)), "{text}");
            assert_eq!(BitRate(bits).to_string().parse(), Ok(BitRate(bits)));
        }
        for (text, want) in [
            ("1000", "`1000kbit`"),
            ("1MB", "`8mbit`"),
            ("100KiB", "`800kbit`"),
            ("10mbps", "`10mbit`"),
            ("1Mbit", "`1mbit`"),
            ("0mbit", "blackhole"),
            ("fast", "`1mbit`"),
            ("1.2.3mbit", "not a bit rate"),
            ("0.0001kbit", "not a bit rate"),
            ("99999999999999999gbit", "not a bit rate"),
        ] {
            let error = text.parse::<BitRate>().unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        for (text, bytes) in [("64m", 64 << 20), ("32KiB", 32 << 10), ("1g", 1 << 30), ("100b", 100), ("0.5k", 512)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
        assert_eq!(Size(32 << 10).to_string(), "32KiB");
        for (text, want) in [("1024", "`1024KiB`"), ("1 lot", "`32KiB`"), ("", "`32KiB`"), ("-1k", "`32KiB`")] {
            let error = text.parse::<Size>().unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
