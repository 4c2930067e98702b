//! An amount of bytes, or a share of what there is.

use super::traffic::Size;
use super::{Deserialize, Deserializer, FromStr, JsonSchema, Percent, Schema, SchemaGenerator, Serialize, Serializer};
use super::{fmt, from_scalar, json_schema, quantity};

/// `128MiB`, or `50%` of what there is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Portion {
    /// An amount.
    Size(Size),
    /// A share.
    Share(Percent),
}

impl FromStr for Portion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().ends_with('%') { text.parse().map(Self::Share) } else { text.parse().map(Self::Size) }
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => size.fmt(f),
            Self::Share(share) => share.fmt(f),
        }
    }
}

quantity!(
    Portion,
    "an amount of bytes or a share, such as `128MiB` or `50%`",
    r"^\s*[0-9.]+\s*([kKmMgG]i?[bB]?|[bB]|%)\s*$|\$\{",
    "128MiB"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_or_the_other() {
        assert_eq!("128MiB".parse(), Ok(Portion::Size(Size(128 << 20))));
        assert_eq!("50%".parse::<Portion>().unwrap().to_string(), "50%");
        assert!("101%".parse::<Portion>().is_err() && "50".parse::<Portion>().unwrap_err().contains("unit"));
    }
}
