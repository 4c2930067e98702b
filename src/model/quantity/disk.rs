//! How fast bytes are written.

use super::traffic::Size;
use super::{Deserialize, Deserializer, FromStr, JsonSchema, Schema, SchemaGenerator, Serialize, Serializer};
use super::{fmt, from_scalar, json_schema, quantity};

/// Bytes per second, written as `50MiB/s`, above 0; binary, as [`Size`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRate(pub u64);

impl FromStr for ByteRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(size) = text.trim().strip_suffix("/s") else {
            return Err(match text.parse::<Size>() {
                Ok(size) => format!("`{text}` does not say in which time; write `{size}/s`"),
                Err(_) => format!("`{text}` is not a rate of bytes; write for example `50MiB/s`"),
            });
        };
        match size.parse::<Size>() {
            Ok(Size(0)) => Err(format!("`{text}` writes nothing")),
            Ok(Size(bytes)) => Ok(Self(bytes)),
            Err(_) => Err(format!("`{text}` is not a rate of bytes; write for example `50MiB/s`")),
        }
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Size(self.0))
    }
}

quantity!(
    ByteRate,
    "a rate of bytes, such as `50MiB/s`",
    r"^\s*[0-9.]+\s*([kKmMgG]i?[bB]?|[bB])\s*/\s*s$|\$\{",
    "50MiB/s"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_bytes_says_how_many_in_a_second() {
        assert_eq!("50MiB/s".parse(), Ok(ByteRate(50 << 20)));
        assert_eq!(ByteRate(50 << 20).to_string(), "50MiB/s");
        for (text, want) in [("50MiB", "`50MiB/s`"), ("0B/s", "nothing"), ("fast/s", "`50MiB/s`"), ("5", "`50MiB/s`")] {
            let error = text.parse::<ByteRate>().unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
