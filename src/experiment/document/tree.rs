//! YAML as a tree in which every value and every key knows where it stands.
//!
//! Finds what is wrong with YAML itself: syntax, keys given twice, aliases that explode, nesting without end. What the
//! values mean is decided later; here a scalar is its text and whether it was quoted.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::diagnostic::{Mistake, short};
use super::hint;

/// Values in one file, counted after aliases are replaced by what they stand for.
const MOST_VALUES: usize = 20_000;
/// Levels of lists and mappings inside each other.
const DEEPEST: usize = 64;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands, in bytes.
    pub at: Range<usize>,
    /// What it is.
    pub kind: Kind,
    /// A mistake in it was reported; what it lacks is a consequence.
    pub flawed: bool,
    /// It is left out of what is read further.
    pub dropped: bool,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A text as it stands in the file.
    Scalar {
        /// Without its quotes.
        text: String,
        /// It had no quotes.
        plain: bool,
    },
    /// A scalar whose place decided what it is.
    Value(serde_yaml::Value),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in order.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_at: Range<usize>,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// A new value.
    #[must_use]
    pub fn new(at: Range<usize>, kind: Kind) -> Self {
        Self { at, kind, flawed: false, dropped: false }
    }

    /// Whether it is an empty value (`key:` with nothing behind it, or `null`).
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The entries of a mapping; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry under these keys; an item of a list is named by its number, from 0.
    #[must_use]
    pub fn entry(&self, path: &[&str]) -> Option<&Entry> {
        let (first, rest) = path.split_first()?;
        if let Kind::List(items) = &self.kind {
            return items.get(first.parse::<usize>().ok()?)?.entry(rest);
        }
        let entry = self.entries().iter().find(|e| e.key == *first)?;
        if rest.is_empty() { Some(entry) } else { entry.value.entry(rest) }
    }

    /// Whether a mistake was reported in it or below it.
    #[must_use]
    pub fn has_mistakes(&self) -> bool {
        self.flawed
            || self.dropped
            || match &self.kind {
                Kind::List(items) => items.iter().any(Self::has_mistakes),
                Kind::Map(entries) => entries.iter().any(|e| e.value.has_mistakes()),
                Kind::Scalar { .. } | Kind::Value(_) => false,
            }
    }

    /// What is left of it when everything dropped is left out. A list with a dropped item is left out whole, so that
    /// the others keep their place.
    #[must_use]
    pub fn value(&self) -> Option<serde_yaml::Value> {
        use serde_yaml::Value;
        if self.dropped {
            return None;
        }
        Some(match &self.kind {
            Kind::Scalar { text, .. } => Value::String(text.clone()),
            Kind::Value(value) => value.clone(),
            Kind::List(items) => Value::Sequence(items.iter().map(Self::value).collect::<Option<_>>()?),
            Kind::Map(entries) => Value::Mapping(
                entries
                    .iter()
                    .filter_map(|e| e.value.value().map(|value| (Value::String(e.key.clone()), value)))
                    .collect(),
            ),
        })
    }

    fn size(&self) -> usize {
        1 + match &self.kind {
            Kind::List(items) => items.iter().map(Self::size).sum(),
            Kind::Map(entries) => entries.iter().map(|e| 1 + e.value.size()).sum(),
            Kind::Scalar { .. } | Kind::Value(_) => 0,
        }
    }
}

/// The tree of a text, or the mistake that ends reading. Mistakes that do not end it are added to `mistakes`.
///
/// # Errors
/// What is wrong with the YAML itself.
pub fn parse(source: &str, mistakes: &mut Vec<Mistake>) -> Result<Node, Mistake> {
    let mut builder = Builder::new(source, mistakes);
    let mut parser = Parser::new_from_str(source);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| {
            let at = builder.offsets.byte(*e.marker());
            hint::syntax(source, at, e.info())
        })?;
        let at = builder.offsets.byte(span.start)..builder.offsets.byte(span.end);
        builder.take(event, at)?;
    }
    match builder.root {
        Some(root) if !root.is_null() => Ok(root),
        _ => Err(Mistake::error(&(0..0), "the file is empty")
            .help("`docs/experiment-format.md` begins with an example to copy")),
    }
}

/// The parser counts characters; everybody else counts bytes.
struct Offsets(Vec<usize>);

impl Offsets {
    fn new(source: &str) -> Self {
        Self(source.char_indices().map(|(at, _)| at).chain([source.len()]).collect())
    }

    fn byte(&self, marker: Marker) -> usize {
        self.0.get(marker.index()).or(self.0.last()).copied().unwrap_or(0)
    }
}

/// A list or mapping that is not closed yet.
struct Open {
    at: Range<usize>,
    anchor: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, known: HashMap<String, Range<usize>>, key: Option<(String, Range<usize>)> },
}

struct Builder<'a> {
    source: &'a str,
    offsets: Offsets,
    mistakes: &'a mut Vec<Mistake>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    values: usize,
    root: Option<Node>,
}

impl<'a> Builder<'a> {
    fn new(source: &'a str, mistakes: &'a mut Vec<Mistake>) -> Self {
        Self {
            source,
            offsets: Offsets::new(source),
            mistakes,
            open: Vec::new(),
            anchors: HashMap::new(),
            values: 0,
            root: None,
        }
    }

    /// Takes the next event in.
    fn take(&mut self, event: Event<'_>, at: Range<usize>) -> Result<(), Mistake> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                if self.root.is_some() {
                    return Err(Mistake::error(&at, "a second document begins here")
                        .help("write one file for each; `---` is not needed"));
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Mistake::error(&at, "this alias is used inside of what it stands for"));
                };
                self.count(node.size(), &at)?;
                self.place(node)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, &at)?;
                self.refuse_tag(tag.is_some(), &at);
                let plain = style == ScalarStyle::Plain;
                // The parser counts the space behind a closing quote in.
                let at = at.start..at.start + self.source[at.clone()].trim_end().len();
                self.close(Node::new(at, Kind::Scalar { text: text.into_owned(), plain }), anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), &at);
                self.descend(at, anchor, Inside::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), &at);
                let inside = Inside::Map { entries: Vec::new(), known: HashMap::new(), key: None };
                self.descend(at, anchor, inside)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let kind = match open.inside {
                    Inside::List(items) => Kind::List(items),
                    Inside::Map { entries, .. } => Kind::Map(entries),
                };
                let end = at.end.max(open.at.end);
                self.close(Node::new(open.at.start..end, kind), open.anchor)?;
            }
        }
        Ok(())
    }

    fn descend(&mut self, at: Range<usize>, anchor: usize, inside: Inside) -> Result<(), Mistake> {
        self.count(1, &at)?;
        if self.open.len() >= DEEPEST {
            return Err(Mistake::error(&at, format!("more than {DEEPEST} levels inside each other")));
        }
        self.open.push(Open { at, anchor, inside });
        Ok(())
    }

    fn count(&mut self, more: usize, at: &Range<usize>) -> Result<(), Mistake> {
        self.values += more;
        if self.values <= MOST_VALUES {
            return Ok(());
        }
        Err(Mistake::error(at, format!("the file grows beyond {MOST_VALUES} values here"))
            .help("aliases (`*name`) are counted as often as they are used"))
    }

    fn refuse_tag(&mut self, tagged: bool, at: &Range<usize>) {
        if tagged {
            self.mistakes.push(
                Mistake::error(at, "a YAML tag (`!name`) has no meaning here")
                    .help("remove it; for a text with `!` use quotes"),
            );
        }
    }

    /// A value is complete.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Mistake> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node)
    }

    fn place(&mut self, node: Node) -> Result<(), Mistake> {
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.root = Some(node),
            Some(Inside::List(items)) => items.push(node),
            Some(Inside::Map { entries, known, key }) => match key.take() {
                None => {
                    let Kind::Scalar { text, .. } = node.kind else {
                        return Err(Mistake::error(&node.at, "a key must be a word")
                            .help("quote a text that begins with `{` or `[`"));
                    };
                    *key = Some((text, node.at));
                }
                Some((key, key_at)) => {
                    if let Some(first) = known.get(&key) {
                        self.mistakes.push(
                            Mistake::error(&key_at, format!("`{}` is given twice", short(&key)))
                                .label("again here")
                                .also(first, "first given here"),
                        );
                    } else {
                        known.insert(key.clone(), key_at.clone());
                        entries.push(Entry { key, key_at, value: node });
                    }
                }
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> (Option<Node>, Vec<String>) {
        let mut mistakes = Vec::new();
        let root = match parse(source, &mut mistakes) {
            Ok(root) => Some(root),
            Err(mistake) => {
                mistakes.push(mistake);
                None
            }
        };
        (root, mistakes.into_iter().map(|m| format!("{}: {}", &source[m.at], m.title)).collect())
    }

    #[test]
    fn keys_and_values_know_where_they_stand_in_bytes() {
        let source = "# größer\nköy: { a: 'ü b' }\n";
        let (root, mistakes) = read(source);
        assert_eq!(mistakes, [""; 0]);
        let root = root.unwrap();
        let entry = root.entry(&["köy", "a"]).unwrap();
        assert_eq!(&source[entry.key_at.clone()], "a");
        assert_eq!(&source[entry.value.at.clone()], "'ü b'");
        assert_eq!(entry.value.kind, Kind::Scalar { text: "ü b".into(), plain: false });
    }

    #[test]
    fn lines_may_end_as_on_windows() {
        let source = "a: 1\r\nb: { c: 2 }\r\n";
        let entry = read(source).0.unwrap().entry(&["b", "c"]).cloned().unwrap();
        assert_eq!(&source[entry.value.at], "2");
    }

    #[test]
    fn a_key_given_twice_is_found_at_every_level() {
        let (_, mistakes) = read("a: { b: 1, b: 2 }\nc:\n  - { d: 1, d: 2 }\na: 3\n");
        assert_eq!(mistakes, ["b: `b` is given twice", "d: `d` is given twice", "a: `a` is given twice"]);
    }

    #[test]
    fn aliases_stand_for_their_value_until_they_explode() {
        let (root, mistakes) = read("a: &x { b: 1 }\nc: *x\n");
        assert_eq!(mistakes, [""; 0]);
        assert!(root.unwrap().entry(&["c", "b"]).is_some());

        let level = |n: usize| match n {
            0 => "l0: &l0 [x, x, x, x, x, x, x, x, x]\n".to_owned(),
            n => format!("l{n}: &l{n} [{}]\n", vec![format!("*l{}", n - 1); 9].join(", ")),
        };
        let bomb: String = (0..9).map(level).collect();
        let (root, mistakes) = read(&bomb);
        assert!(root.is_none());
        assert!(mistakes[0].contains("grows beyond"), "{mistakes:?}");
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (source, want) in [
            ("", "the file is empty"),
            ("# only a comment\n", "the file is empty"),
            ("a: 1\n---\nb: 2\n", "second document"),
            ("a: !!str 1\n", "tag"),
            ("[a]: 1\n", "a key must be a word"),
            ("a: &x [*x]\n", "inside of what it stands for"),
        ] {
            let (_, mistakes) = read(source);
            assert!(mistakes.iter().any(|m| m.contains(want)), "{source:?}: {mistakes:?}");
        }
        let (_, mistakes) = read(&"[".repeat(100));
        assert!(mistakes[0].contains("levels inside each other"), "{mistakes:?}");
        assert!(read(&"[".repeat(20_000)).0.is_none());
        assert!(read(&"- ".repeat(20_000)).0.is_none());
    }
}
