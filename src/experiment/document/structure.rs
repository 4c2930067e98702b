//! Holds a tree against the JSON Schema of the type it shall become: unknown and missing keys, misspelt names, values of
//! the wrong kind, all in one pass.
//!
//! The schema comes from the Rust types, so there is one description of the format, and a new fault or probe needs
//! nothing here. A place also decides what a scalar is (a quoted `"3"` is a number where only a number can be), whether
//! `${NAME}` is filled in or kept, and which short forms it has. What was probably meant is repaired in the tree, so that
//! the mistakes behind it are found too.

use std::ops::Range;

use serde_json::{Map, Value as Json};
use serde_yaml::Value;

use super::diagnostic::{self, Mistake, meant, short};
use super::shape::{EXACTLY_ONE, ONE, Shape, in_words, lengthen, shapes};
use super::tree::{Entry, Kind, Node};
use crate::model::quantity::{Absent, Lookup, Missing, Piece, fill, pieces};

/// Adds what is wrong to `mistakes` and brings `root` into the long form.
pub fn check(root: &mut Node, schema: &Json, lookup: Lookup<'_>, mistakes: &mut Vec<Mistake>) {
    let mut walk = Walk { schema, lookup, mistakes, path: Vec::new() };
    let shapes = shapes(schema, schema);
    walk.place(root, &ValueLocation { key_at: 0..0, shapes, above: None });
}

struct Walk<'a> {
    schema: &'a Json,
    lookup: Lookup<'a>,
    mistakes: &'a mut Vec<Mistake>,
    path: Vec<String>,
}

/// Where a value stands, and what may stand there.
struct ValueLocation<'a> {
    key_at: Range<usize>,
    shapes: Vec<Shape<'a>>,
    /// The keys of the mapping around it.
    above: Option<&'a Map<String, Json>>,
}

impl<'a> Walk<'a> {
    fn here(&self) -> String {
        self.path.join(".")
    }

    fn report(&mut self, node: &mut Node, mistake: Mistake) {
        node.flawed = true;
        self.mistakes.push(mistake);
    }

    fn drop(&mut self, node: &mut Node, mistake: Mistake) {
        node.dropped = true;
        self.report(node, mistake);
    }

    fn place(&mut self, node: &mut Node, place: &ValueLocation<'a>) {
        let maps: Vec<Shape<'a>> = place.shapes.iter().copied().filter(|s| s.is("object")).collect();
        lengthen(node, &place.shapes);
        if maps.is_empty() && matches!(node.kind, Kind::Map(_)) && self.is_list_of_mappings(place) {
            node.kind = Kind::List(vec![node.clone()]);
        }
        match &mut node.kind {
            Kind::Map(_) => match maps.as_slice() {
                [] => self.wrong_kind(node, place),
                [one] => self.mapping(node, *one, place),
                several => self.tagged(node, several, place),
            },
            Kind::List(items) => match place.shapes.iter().find(|s| s.is("array")) {
                None => self.wrong_kind(node, place),
                Some(list) => {
                    let shapes = shapes(self.schema, &list.schema["items"]);
                    for item in items {
                        self.place(
                            item,
                            &ValueLocation { key_at: item.at.clone(), shapes: shapes.clone(), above: None },
                        );
                    }
                }
            },
            Kind::Scalar { .. } => self.scalar(node, place),
            Kind::Value(_) => {}
        }
    }

    /// Whether a mapping stands there for a list of one.
    fn is_list_of_mappings(&self, place: &ValueLocation<'a>) -> bool {
        let lists = place.shapes.iter().filter(|s| s.schema[ONE] == true);
        lists.flat_map(|list| shapes(self.schema, &list.schema["items"])).any(|item| item.is("object"))
    }

    /// A mapping with keys of its own, or with any keys.
    fn mapping(&mut self, node: &mut Node, shape: Shape<'a>, place: &ValueLocation<'a>) {
        let whole = node.at.clone();
        let Kind::Map(entries) = &mut node.kind else { return };
        let known = shape.properties();
        let free = shape.schema.get("additionalProperties").filter(|s| s.is_object());
        let mut flawed = false;
        for index in 0..entries.len() {
            let written = entries[index].key.clone();
            let mut child = known.and_then(|k| k.get(&written)).or(free);
            if child.is_none() {
                flawed = true;
                let vacant = known.into_iter().flat_map(Map::keys).map(String::as_str);
                let vacant: Vec<&str> = vacant.filter(|k| !entries.iter().any(|e| e.key == *k)).collect();
                let guess = meant(&written, vacant.iter().copied());
                let mistake = self.unknown(&entries[index], guess, known, place.above);
                self.mistakes.push(mistake);
                if let Some(guess) = guess {
                    guess.clone_into(&mut entries[index].key);
                    child = known.and_then(|k| k.get(guess));
                }
            }
            let Entry { key, key_at, value } = &mut entries[index];
            match child {
                Some(schema) => {
                    self.path.push(key.clone());
                    let place =
                        ValueLocation { key_at: key_at.clone(), shapes: shapes(self.schema, schema), above: known };
                    self.place(value, &place);
                    self.path.pop();
                }
                None => value.dropped = true,
            }
        }
        let given = |key: &str| entries.iter().find(|e| e.key == key);
        let instead = shape.instead().filter(|(key, _)| given(key).is_some());
        let replaced = |key: &str| instead.as_ref().is_some_and(|(_, of)| of.contains(&key));
        let missing: Vec<&str> = shape.required().filter(|r| given(r).is_none() && !replaced(r)).collect();
        let choice = self.exactly_one(entries, shape, place).or_else(|| both_forms(entries, instead));
        flawed |= choice.is_some();
        self.mistakes.extend(choice);
        node.flawed |= flawed;
        if missing.is_empty() {
            return;
        }
        let (at, what) = if self.path.is_empty() {
            (entries.first().map_or(whole, |e| e.key_at.clone()), "the file".to_owned())
        } else {
            (place.key_at.clone(), format!("`{}`", self.here()))
        };
        let mut mistake = Mistake::error(&at, format!("{what} lacks {}", diagnostic::and(missing.iter().copied())));
        for key in missing {
            if let Some(text) = known.and_then(|k| k.get(key)).and_then(|s| self.description(s)) {
                mistake = mistake.help(format!("`{key}`: {text}"));
            }
        }
        self.report(node, mistake);
    }

    /// What is wrong where a mapping must have exactly one of some keys.
    fn exactly_one(&self, entries: &[Entry], shape: Shape<'a>, place: &ValueLocation<'a>) -> Option<Mistake> {
        let names: Vec<&str> = shape.schema[EXACTLY_ONE].as_array()?.iter().filter_map(Json::as_str).collect();
        let mut given = entries.iter().filter(|e| names.contains(&e.key.as_str()));
        let title = format!("`{}` needs exactly one of {}", self.here(), diagnostic::or(names.iter().copied()));
        match (given.next(), given.next()) {
            (None, _) => Some(Mistake::error(&place.key_at, title).label("found none")),
            (Some(_), None) => None,
            (Some(first), Some(second)) => {
                Some(Mistake::error(&second.key_at, title).label("a second one").also(&first.key_at, "the first one"))
            }
        }
    }

    fn unknown(
        &self,
        entry: &Entry,
        guess: Option<&str>,
        known: Option<&'a Map<String, Json>>,
        above: Option<&'a Map<String, Json>>,
    ) -> Mistake {
        let key = short(&entry.key);
        let place = if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.here()) };
        let mistake = Mistake::error(&entry.key_at, format!("unknown key `{key}`{place}"));
        if let Some(guess) = guess {
            return mistake.label(format!("did you mean `{guess}`?"));
        }
        if entry.key == "<<" {
            return mistake.help("merge keys are not read; an alias (`key: *name`) stands for a whole value");
        }
        let has_it = |schema| {
            shapes(self.schema, schema).iter().any(|s| s.properties().is_some_and(|p| p.contains_key(&entry.key)))
        };
        let below: Vec<&str> = known
            .into_iter()
            .flatten()
            .filter(|(_, schema)| has_it(schema))
            .map(|(parent, _)| parent.as_str())
            .collect();
        if !below.is_empty() {
            return mistake.label(format!("it belongs under {}", diagnostic::or(below)));
        }
        if above.is_some_and(|a| a.contains_key(&entry.key)) {
            return mistake.label("it belongs one level up");
        }
        match known {
            Some(known) if !known.is_empty() => {
                mistake.help(format!("known here: {}", known.keys().map(String::as_str).collect::<Vec<_>>().join(", ")))
            }
            _ => mistake.help("no key is known here"),
        }
    }

    /// A mapping whose one key names its kind, such as a fault.
    fn tagged(&mut self, node: &mut Node, kinds: &[Shape<'a>], place: &ValueLocation<'a>) {
        let names: Vec<&str> =
            kinds.iter().filter_map(|k| k.properties()).flat_map(Map::keys).map(String::as_str).collect();
        let Kind::Map(entries) = &mut node.kind else { return };
        let here = self.path.join(".");
        if entries.len() != 1 {
            let found = match entries.len() {
                0 => "nothing".to_owned(),
                _ => diagnostic::and(entries.iter().map(|e| e.key.as_str())),
            };
            let at = entries.get(1).map_or(&place.key_at, |e| &e.key_at).clone();
            let mistake = Mistake::error(&at, format!("`{here}` needs exactly one of {}", diagnostic::or(names)))
                .label(format!("found {}", short(&found)));
            return self.drop(node, mistake);
        }
        let entry = &mut entries[0];
        let mut guessed = false;
        if !names.contains(&entry.key.as_str()) {
            let guess = meant(&entry.key, names.iter().copied());
            let mistake = unknown_word(&here, &entry.key, &entry.key_at, guess, &names);
            let Some(guess) = guess else { return self.drop(node, mistake) };
            self.mistakes.push(mistake);
            guess.clone_into(&mut entry.key);
            guessed = true;
        }
        if let Some(schema) = kinds.iter().filter_map(|k| k.properties()).find_map(|p| p.get(&entry.key)) {
            self.path.push(entry.key.clone());
            let place =
                ValueLocation { key_at: entry.key_at.clone(), shapes: shapes(self.schema, schema), above: None };
            self.place(&mut entry.value, &place);
            self.path.pop();
        }
        node.flawed |= guessed;
    }

    fn scalar(&mut self, node: &mut Node, place: &ValueLocation<'a>) {
        let empty = node.is_null();
        let at = if node.at.is_empty() { place.key_at.clone() } else { node.at.clone() };
        let Kind::Scalar { text, plain } = &mut node.kind else { return };
        // Messages show what is written, never what a variable holds.
        let written = text.clone();
        if empty {
            let mistake = Mistake::error(&place.key_at, format!("`{}` has no value", self.here()))
                .help(format!("give {}; a key that is not needed is left out", in_words(&place.shapes)));
            return self.drop(node, mistake);
        }
        if text.contains("${") {
            let kept = place.shapes.iter().any(|s| s.name == "Text");
            let mut missing = missing(text, self.lookup);
            // What is kept as it stands is filled in where it is used.
            missing.retain(|m| !(kept && m.why == Absent::Later));
            if let Some(mistake) = without_value(&at, &missing) {
                return self.drop(node, mistake);
            }
            if !kept {
                *text = fill(text, self.lookup).unwrap_or_default();
            }
        }
        let words: Option<Vec<Vec<&str>>> = place.shapes.iter().map(|s| s.words()).collect();
        if let Some(words) = words {
            let words = words.concat();
            if !words.contains(&text.as_str()) {
                let guess = meant(text, words.iter().copied());
                let mistake = unknown_word(&self.path.join("."), &written, &at, guess, &words);
                let Some(guess) = guess else { return self.drop(node, mistake) };
                node.kind = Kind::Value(Value::String(guess.to_owned()));
                self.report(node, mistake);
            }
            return;
        }
        let may = |kind| place.shapes.iter().any(|s| s.is(kind));
        let number = || {
            text.parse::<u64>()
                .map(Value::from)
                .or_else(|_| text.parse::<i64>().map(Value::from))
                .or_else(|_| {
                    text.parse::<f64>().map_err(|_| ()).and_then(|f| if f.is_finite() { Ok(f.into()) } else { Err(()) })
                })
                .ok()
        };
        let read = match (may("string"), may("integer"), may("number"), may("boolean")) {
            (true, false, false, _) => Some(Value::String(text.clone())),
            (true, ..) if !*plain => Some(Value::String(text.clone())),
            (true, ..) => Some(number().unwrap_or_else(|| Value::String(text.clone()))),
            (false, true, false, _) => number().filter(|n| !n.is_f64()),
            (false, _, true, _) => number(),
            (false, false, false, true) => text.parse::<bool>().ok().map(Value::Bool),
            (false, false, false, false) => None,
        };
        let Some(value) = read else {
            *text = written;
            return self.wrong_kind(node, place);
        };
        let least = place.shapes.iter().find_map(|s| s.schema["minimum"].as_f64());
        let most = place.shapes.iter().find_map(|s| s.schema["maximum"].as_f64());
        if !may("string") && value.as_f64().is_some_and(|n| least.is_some_and(|l| n < l) || most.is_some_and(|m| n > m))
        {
            let range = match (least, most) {
                (Some(l), Some(m)) if l.total_cmp(&m).is_eq() => format!("{l}"),
                (Some(l), Some(m)) => format!("from {l} to {m}"),
                (Some(l), None) => format!("{l} or more"),
                (None, Some(m)) => format!("{m} or less"),
                (None, None) => String::new(),
            };
            let mistake = Mistake::error(&at, format!("`{}` must be {range}", self.here()));
            return self.drop(node, mistake);
        }
        node.kind = Kind::Value(value);
    }

    fn wrong_kind(&mut self, node: &mut Node, place: &ValueLocation<'a>) {
        let found = match &node.kind {
            Kind::Map(_) => "a mapping (`key: value`)".to_owned(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Scalar { text, .. } => format!("`{}`", short(text)),
            Kind::Value(_) => "a value".to_owned(),
        };
        let what = if self.path.is_empty() { "the file".to_owned() } else { format!("`{}`", self.here()) };
        let scalar = matches!(node.kind, Kind::Scalar { .. });
        let at = if scalar && !node.at.is_empty() { node.at.clone() } else { place.key_at.clone() };
        let mut mistake =
            Mistake::error(&at, format!("{what} must be {}", in_words(&place.shapes))).label(format!("found {found}"));
        if scalar && place.shapes.iter().any(|s| s.is("array")) {
            mistake = mistake.help("a list is written `[one, two]`");
        }
        self.drop(node, mistake);
    }

    fn description(&self, schema: &'a Json) -> Option<&'a str> {
        schema["description"].as_str().or_else(|| shapes(self.schema, schema).first()?.schema["description"].as_str())
    }
}

/// What is wrong where a key stands beside those that it stands instead of.
fn both_forms(entries: &[Entry], instead: Option<(&str, Vec<&str>)>) -> Option<Mistake> {
    let (key, of) = instead?;
    let long = entries.iter().find(|e| e.key == key)?;
    let short = entries.iter().find(|e| of.contains(&e.key.as_str()))?;
    let (first, second) = if long.key_at.start < short.key_at.start { (long, short) } else { (short, long) };
    Some(
        Mistake::error(&second.key_at, format!("`{key}` stands instead of {}", diagnostic::and(of)))
            .also(&first.key_at, "the other form")
            .help(format!("move them into the list, or leave out `{key}`")),
    )
}

fn unknown_word(place: &str, written: &str, at: &Range<usize>, guess: Option<&str>, words: &[&str]) -> Mistake {
    let mistake = Mistake::error(at, format!("`{place}`: `{}` is not known", short(written)));
    match guess {
        Some(guess) => mistake.label(format!("did you mean `{guess}`?")),
        None => mistake.help(format!("known here: {}", words.join(", "))),
    }
}

/// The variables in a text that have no value.
fn missing(text: &str, lookup: Lookup<'_>) -> Vec<Missing> {
    pieces(text)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Variable(variable) => variable.value(lookup).err(),
            Piece::Literal(_) => None,
        })
        .collect()
}

fn without_value(at: &Range<usize>, missing: &[Missing]) -> Option<Mistake> {
    const HELP: &str = "`${NAME}` is taken from the environment, `${NAME:-default}` has a default, `${file:/path}` is taken from a file; \
                        `$${` stands for `${` itself";
    if let Some((name, why)) = missing.iter().find_map(|m| match &m.why {
        Absent::Unusable(why) => Some((&m.name, why.as_str())),
        Absent::Denied => Some((&m.name, "permission denied")),
        _ => None,
    }) {
        return Some(Mistake::error(at, format!("`${{{}}}` cannot be used", short(name))).label(why));
    }
    let names: Vec<String> = missing.iter().map(|m| format!("${{{}}}", m.name)).collect();
    let names = diagnostic::and(names.iter().map(String::as_str));
    (!missing.is_empty()).then(|| Mistake::error(at, format!("{names}: no such variable")).help(HELP))
}
