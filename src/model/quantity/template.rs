//! Texts in which variables stand: taken apart, and filled in by the module that knows the variables.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::from_scalar;

/// Text in which `${NAME}` stands for a variable, and `${NAME:-default}` for the default if it is not set. The template
/// is what is stored and shown; the value exists only where it is used, so that no journal, report or message can hold a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        from_scalar::<D, TextValue>(d, "a text").map(|t| Self(t.0)).map_err(D::Error::custom)
    }
}

struct TextValue(String);
impl FromStr for TextValue {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Ok(Self(s.to_owned()))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One piece of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Taken as it stands.
    Literal(&'a str),
    /// Filled in.
    Variable(Variable<'a>),
}

/// A variable as a template names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable<'a> {
    /// `NAME`, or `file:PATH` for the content of a file.
    pub name: &'a str,
    /// What stands after `:-`: its value if it is not set, or empty. It stands in the file, so it is no secret.
    pub default: Option<&'a str>,
}

/// Why a variable has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// It is not set; the file is not there.
    Unset,
    /// The file may not be read by this user.
    Denied,
    /// It is there and of no use, and why.
    Unusable(String),
    /// It has no value here and needs none: nothing will be asked.
    Later,
    /// It has no value here; unless there is a default, this one does as well.
    Instead(String),
}

/// Knows the value of every variable.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Result<String, Absent>;

/// Knows no variable.
///
/// # Errors
/// Always.
pub fn unset(_: &str) -> Result<String, Absent> {
    Err(Absent::Unset)
}

/// A variable that has no value, and why; `Display` is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// As in [`Variable`].
    pub name: String,
    /// Why.
    pub why: Absent,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, why } = self;
        match why {
            Absent::Unusable(why) => write!(f, "${{{name}}} cannot be used: {why}"),
            Absent::Denied => write!(f, "${{{name}}} cannot be read: permission denied"),
            _ if name.starts_with(FILE) => write!(f, "${{{name}}}: there is no such file"),
            _ => write!(f, "${{{name}}} is not set in this environment"),
        }
    }
}

const FILE: &str = "file:";

impl<'a> Variable<'a> {
    fn new(inside: &'a str) -> Self {
        match inside.split_once(":-") {
            Some((name, default)) => Self { name, default: Some(default) },
            None => Self { name: inside, default: None },
        }
    }

    /// The file whose content it stands for, if it stands for one.
    #[must_use]
    pub fn file(&self) -> Option<&'a str> {
        self.name.strip_prefix(FILE)
    }

    /// Its value, or its default.
    ///
    /// # Errors
    /// Why it has none.
    pub fn value(&self, lookup: impl Fn(&str) -> Result<String, Absent>) -> Result<String, Missing> {
        let missing = |why| Missing { name: self.name.to_owned(), why };
        let unusable = |why: &str| Err(missing(Absent::Unusable(why.to_owned())));
        if !self.is_named() {
            return unusable("write `${NAME}`, `${NAME:-default}` or `${file:/path}`");
        }
        if self.default.is_some_and(|default| default.contains("${")) {
            return unusable("a default is taken as it stands: there can be no variable in it");
        }
        match (lookup(self.name), self.default) {
            (Ok(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
            (Ok(value), _) | (Err(Absent::Instead(value)), None) => Ok(value),
            (Err(Absent::Unset | Absent::Later | Absent::Instead(_)), Some(default)) => Ok(default.to_owned()),
            (Err(why), _) => Err(missing(why)),
        }
    }

    /// A slip such as `${NAME-default}` must not be taken for a variable that is set elsewhere.
    fn is_named(&self) -> bool {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match self.file() {
            Some(path) => !path.is_empty(),
            None => {
                !self.name.is_empty()
                    && !self.name.starts_with(|c: char| c.is_ascii_digit())
                    && self.name.chars().all(is_word)
            }
        }
    }
}

/// Takes a template apart. `$${` stands for `${` itself; a `${` that is never closed is literal.
#[must_use]
pub fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find("${") {
        if at > 0 && rest.as_bytes()[at - 1] == b'$' {
            out.push(Piece::Literal(&rest[..at - 1]));
            out.push(Piece::Literal("${"));
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = rest[at..].find('}') else { break };
        out.push(Piece::Literal(&rest[..at]));
        out.push(Piece::Variable(Variable::new(&rest[at + 2..at + end])));
        rest = &rest[at + end + 1..];
    }
    out.push(Piece::Literal(rest));
    out.retain(|p| *p != Piece::Literal(""));
    out
}

/// The value of a template, where `lookup` knows every variable.
///
/// # Errors
/// The first variable that has no value, and why.
pub fn fill(template: &str, lookup: impl Fn(&str) -> Result<String, Absent>) -> Result<String, Missing> {
    pieces(template)
        .into_iter()
        .map(|piece| match piece {
            Piece::Literal(text) => Ok(text.to_owned()),
            Piece::Variable(variable) => variable.value(&lookup),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Result<String, Absent> {
        match name {
            "A" => Ok("x".to_owned()),
            "EMPTY" => Ok(String::new()),
            "LATER" => Err(Absent::Later),
            "INSTEAD" => Err(Absent::Instead("1".to_owned())),
            "file:/dev/zero" => Err(Absent::Unusable("it is no regular file".to_owned())),
            _ => Err(Absent::Unset),
        }
    }

    #[test]
    fn templates_name_the_variable_that_is_missing() {
        assert_eq!(fill("${A}/$${B}/${", lookup), Ok("x/${B}/${".to_owned()));
        let says = |template: &str| fill(template, lookup).unwrap_err().to_string();
        assert_eq!(says("${A}${B}"), "${B} is not set in this environment");
        assert_eq!(says("${file:/nope}"), "${file:/nope}: there is no such file");
        assert_eq!(says("${file:/dev/zero}"), "${file:/dev/zero} cannot be used: it is no regular file");
    }

    #[test]
    fn a_default_stands_for_what_is_not_set_or_empty() {
        for (template, value) in [
            ("${A:-y}", "x"),
            ("${B:-y}", "y"),
            ("${B:-}", ""),
            ("${B:-http://h:1/-:-}", "http://h:1/-:-"),
            ("${EMPTY:-y}", "y"),
            ("${EMPTY}", ""),
            ("${LATER:-y}", "y"),
            ("${INSTEAD:-y}", "y"),
            ("${INSTEAD}", "1"),
            ("${file:/nope:-y}", "y"),
        ] {
            assert_eq!(fill(template, lookup), Ok(value.to_owned()), "{template}");
        }
        let of = |template: &str| fill(template, lookup).unwrap_err().why;
        assert!(matches!(of("${file:/dev/zero:-y}"), Absent::Unusable(_)), "what is there and wrong has no default");
        assert!(matches!(of("${B:-${A}}"), Absent::Unusable(_)), "no default within a default");
        for slip in ["${B-y}", "${B:=y}", "${B:?y}", "${}", "${:-y}", "${1}", "${file:}", "${a b}"] {
            assert!(matches!(of(slip), Absent::Unusable(_)), "{slip}");
        }
    }
}
