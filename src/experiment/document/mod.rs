//! From the bytes of a file to a typed value, or to every mistake in it at once. It knows nothing of experiments.

pub mod diagnostic;
pub mod found;
mod hint;
pub mod pattern;
pub mod schema;
mod shape;
pub mod structure;
pub mod tree;

use std::ops::Range;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use serde_yaml::with::singleton_map_recursive;

use self::diagnostic::{Mistake, Mistakes, Severity};
use self::tree::{Entry, Kind, Node};
use crate::model::quantity::Lookup;

/// A file that was taken apart, with the mistakes found so far.
#[derive(Debug)]
pub struct Document {
    /// How the file is called in messages.
    pub name: String,
    /// Its text.
    pub source: String,
    /// Its values, in the long form.
    pub root: Node,
    /// What is wrong with it.
    pub mistakes: Vec<Mistake>,
}

/// A value that was read, and what is doubtful about it.
#[derive(Debug)]
pub struct Reading<T> {
    /// The value.
    pub value: T,
    /// Warnings only; often empty.
    pub warnings: Mistakes,
}

/// Takes a file apart: the document, and the value where its parts are all there.
///
/// # Errors
/// Where the file is not even a tree: not UTF-8, empty, not YAML.
pub fn parse<T: DeserializeOwned + JsonSchema>(
    name: &str,
    bytes: &[u8],
    lookup: Lookup<'_>,
) -> Result<(Document, Option<T>), Mistakes> {
    let source = text(name, bytes)?;
    let mut mistakes = Vec::new();
    let root = match tree::parse(source, &mut mistakes) {
        Ok(root) => root,
        Err(last) => {
            mistakes.push(last);
            return Err(Mistakes::new(name, source, mistakes));
        }
    };
    let mut document = Document { name: name.to_owned(), source: source.to_owned(), root, mistakes };
    structure::check(&mut document.root, &schema::strict::<T>(), lookup, &mut document.mistakes);
    let value = document.typed();
    Ok((document, value))
}

/// The text of a file, without the mark that some editors put at its start.
fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Mistakes> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(e) => {
            let at = e.valid_up_to();
            let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
            let mistake = Mistake::error(&(at..at + 1), "the file is not UTF-8 text")
                .label(format!("the byte {:#04x} has no meaning here", bytes.get(at).copied().unwrap_or_default()))
                .help(if utf16 { "it looks like UTF-16: save it as UTF-8" } else { "save it as UTF-8" });
            Err(Mistakes::new(name, &String::from_utf8_lossy(bytes), vec![mistake]))
        }
    }
}

impl Document {
    /// The value; every part that does not fit its type is reported and left out, until what is left fits.
    fn typed<T: DeserializeOwned>(&mut self) -> Option<T> {
        // Each round leaves one node out, so the size of the file bounds the rounds; nobody reads more than these.
        for _ in 0..100 {
            let (path, message) = match read::<T>(&self.root) {
                Ok(value) => return Some(value),
                Err(None) => return None,
                Err(Some(found)) => found,
            };
            let (keys, node, key_at) = descend(&mut self.root, &path);
            if !node.has_mistakes() {
                let at =
                    if node.at.is_empty() || !matches!(node.kind, Kind::Value(_)) { key_at } else { node.at.clone() };
                let written = self.source.get(at.clone()).unwrap_or_default().trim_matches(['"', '\'']);
                let message = unfilled(&message, node, written);
                let mistake = Mistake::error(&at, format!("`{keys}` does not fit")).label(message);
                self.mistakes.push(match hint::value(written) {
                    Some(help) => mistake.help(help),
                    None => mistake,
                });
            }
            node.dropped = true;
        }
        None
    }

    /// The entry under these keys.
    #[must_use]
    pub fn entry(&self, path: &[&str]) -> Option<&Entry> {
        self.root.entry(path)
    }

    /// The part under these keys, where it is there and no mistake was found in it.
    #[must_use]
    pub fn part<T: DeserializeOwned>(&self, path: &[&str]) -> Option<T> {
        let node = &self.root.entry(path)?.value;
        if node.has_mistakes() { None } else { read(node).ok() }
    }

    /// Where the key under this path stands; where it is missing, the nearest key around it.
    #[must_use]
    pub fn key_at(&self, path: &[&str]) -> Range<usize> {
        (1..=path.len())
            .rev()
            .find_map(|n| self.entry(&path[..n]))
            .or_else(|| self.root.entries().first())
            .map_or(0..0, |e| e.key_at.clone())
    }

    /// Where the value under this path stands, if it is a scalar; else its key.
    #[must_use]
    pub fn value_at(&self, path: &[&str]) -> Range<usize> {
        match self.entry(path) {
            Some(e) if matches!(e.value.kind, Kind::Value(_) | Kind::Scalar { .. }) && !e.value.at.is_empty() => {
                e.value.at.clone()
            }
            _ => self.key_at(path),
        }
    }

    /// The value with its warnings, or every mistake.
    ///
    /// # Errors
    /// All mistakes, where one of them is an error.
    pub fn finish<T>(self, value: Option<T>) -> Result<Reading<T>, Mistakes> {
        let wrong = self.mistakes.iter().any(|m| m.severity == Severity::Error);
        let mut mistakes = self.mistakes;
        if value.is_none() && !wrong {
            mistakes.push(Mistake::error(&(0..0), "the file does not fit its format"));
        }
        let mistakes = Mistakes::new(&self.name, &self.source, mistakes);
        match value {
            Some(value) if !wrong => Ok(Reading { value, warnings: mistakes }),
            _ => Err(mistakes),
        }
    }
}

/// A message about a value, without what its variables hold.
fn unfilled(message: &str, node: &Node, written: &str) -> String {
    match &node.kind {
        Kind::Value(serde_yaml::Value::String(filled)) if written.contains("${") && !filled.is_empty() => {
            message.replace(filled.trim(), written)
        }
        Kind::Value(_) if written.contains("${") => "not with what its variables hold".to_owned(),
        _ => message.to_owned(),
    }
}

/// One step down into a tree.
enum Step {
    Key(String),
    Item(usize),
}

type Misfit = Option<(Vec<Step>, String)>;

/// A node as a value; else the way down to what does not fit, and why.
fn read<T: DeserializeOwned>(node: &Node) -> Result<T, Misfit> {
    let value = node.value().ok_or(None)?;
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    singleton_map_recursive::deserialize(tracked).map_err(|e| {
        let keys = track
            .path()
            .iter()
            .filter_map(|segment| match segment {
                Segment::Map { key } => Some(Step::Key(key.clone())),
                Segment::Seq { index } => Some(Step::Item(*index)),
                Segment::Enum { .. } | Segment::Unknown => None,
            })
            .collect();
        Some((keys, e.to_string()))
    })
}

/// The deepest node on a path, with the path's keys as text and the place of the last one.
fn descend<'a>(root: &'a mut Node, path: &[Step]) -> (String, &'a mut Node, Range<usize>) {
    let mut key_at = root.entries().first().map_or(0..0, |e| e.key_at.clone());
    let mut keys: Vec<&str> = Vec::new();
    let mut node = root;
    for step in path {
        let index = match (&node.kind, step) {
            (Kind::Map(entries), Step::Key(key)) => entries.iter().position(|e| e.key == *key && !e.value.dropped),
            (Kind::List(items), Step::Item(index)) => items.get(*index).filter(|i| !i.dropped).map(|_| *index),
            _ => None,
        };
        let Some(index) = index else { break };
        node = match &mut node.kind {
            Kind::Map(entries) => {
                let entry = &mut entries[index];
                key_at = entry.key_at.clone();
                keys.extend(if let Step::Key(key) = step { Some(key.as_str()) } else { None });
                &mut entry.value
            }
            Kind::List(items) => &mut items[index],
            Kind::Scalar { .. } | Kind::Value(_) => unreachable!("nothing is inside of a scalar"),
        };
    }
    (keys.join("."), node, key_at)
}
