//! What may stand at a place of a file, read from a JSON Schema; and the short forms of such places.

use serde_json::{Map, Value as Json};

use super::tree::{Entry, Kind, Node};

/// In a schema: the key that a value stands for where it is not a mapping (`http: URL` is `http: { url: URL }`).
pub(super) const SHORT: &str = "x-short";
/// In the schema of a list: one item may stand for a list of one.
pub(super) const ONE: &str = "x-one";

/// In the schema of a mapping: the keys of which it has exactly one.
pub(super) const EXACTLY_ONE: &str = "x-exactly-one";

/// In the schema of a mapping: a key, and the required keys that it stands instead of.
pub(super) const INSTEAD: &str = "x-instead";

/// One alternative of what may stand at a place.
#[derive(Clone, Copy)]
pub(super) struct Shape<'a> {
    /// The type's name, where it has one.
    pub name: &'a str,
    pub schema: &'a Json,
}

impl<'a> Shape<'a> {
    pub(super) fn is(self, kind: &str) -> bool {
        match &self.schema["type"] {
            Json::String(one) => one == kind,
            Json::Array(many) => many.iter().any(|k| k == kind),
            _ => false,
        }
    }

    pub(super) fn properties(self) -> Option<&'a Map<String, Json>> {
        self.schema["properties"].as_object()
    }

    pub(super) fn required(self) -> impl Iterator<Item = &'a str> {
        self.schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str)
    }

    /// A key with the required keys that it stands instead of, where there is one.
    pub(super) fn instead(self) -> Option<(&'a str, Vec<&'a str>)> {
        let (key, of) = self.schema[INSTEAD].as_object()?.iter().next()?;
        Some((key, of.as_array()?.iter().filter_map(Json::as_str).collect()))
    }

    /// The words it allows, where it allows only certain words.
    pub(super) fn words(self) -> Option<Vec<&'a str>> {
        if let Some(word) = self.schema["const"].as_str() {
            return Some(vec![word]);
        }
        self.schema["enum"].as_array().map(|words| words.iter().filter_map(Json::as_str).collect())
    }
}

/// The alternatives of a schema, references followed, without the empty value.
pub(super) fn shapes<'a>(root: &'a Json, schema: &'a Json) -> Vec<Shape<'a>> {
    let mut shape = Shape { name: "", schema };
    while let Some(reference) = shape.schema["$ref"].as_str() {
        let Some(target) = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) else { break };
        shape = Shape { name: reference.rsplit('/').next().unwrap_or_default(), schema: target };
    }
    for several in ["anyOf", "oneOf"] {
        if let Some(alternatives) = shape.schema[several].as_array() {
            return alternatives
                .iter()
                .flat_map(|a| shapes(root, a))
                .filter(|s| s.schema["type"] != "null")
                .map(|s| if s.name.is_empty() { Shape { name: shape.name, ..s } } else { s })
                .collect();
        }
    }
    vec![shape]
}

/// What may stand at a place, in words.
pub(super) fn in_words(shapes: &[Shape<'_>]) -> String {
    let mut words: Vec<&str> = Vec::new();
    for shape in shapes {
        let kinds: Vec<&str> = match &shape.schema["type"] {
            Json::String(kind) => vec![kind],
            Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).filter(|k| *k != "null").collect(),
            _ => Vec::new(),
        };
        if shape.schema["examples"].is_array() {
            words.extend(shape.schema["description"].as_str());
        } else if shape.words().is_some() {
            words.push("a name");
        } else {
            for kind in kinds {
                words.push(kind_in_words(kind));
            }
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    for word in words {
        if !seen.contains(&word) {
            seen.push(word);
        }
    }
    seen.join(" or ")
}

fn kind_in_words(kind: &str) -> &'static str {
    match kind {
        "object" => "a mapping (`key: value`)",
        "array" => "a list",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        _ => "a text",
    }
}

/// Brings the short forms of a place into the long form.
pub(super) fn lengthen(node: &mut Node, shapes: &[Shape<'_>]) {
    if matches!(node.kind, Kind::Map(_) | Kind::Value(_)) {
        return;
    }
    let maps: Vec<Shape<'_>> = shapes.iter().copied().filter(|s| s.is("object")).collect();
    let wrap = |node: &mut Node, key: &str| {
        let at = node.at.clone();
        let value = std::mem::replace(node, Node::new(at.clone(), Kind::Map(Vec::new())));
        node.kind = Kind::Map(vec![Entry { key: key.to_owned(), key_at: at, value }]);
    };
    let null = node.is_null();
    if null {
        // An empty mapping: what it lacks, if anything, is found in it.
        if !maps.is_empty() && maps.len() == shapes.len() {
            node.kind = Kind::Map(Vec::new());
        }
        return;
    }
    if let [one] = maps.as_slice()
        && let Some(key) = one.schema[SHORT].as_str()
    {
        return wrap(node, key);
    }
    let Kind::Scalar { text, .. } = &node.kind else { return };
    if maps.len() > 1 {
        let key = text.clone();
        let at = node.at.clone();
        let value = Node::new(at.start..at.start, Kind::Scalar { text: String::new(), plain: true });
        node.kind = Kind::Map(vec![Entry { key, key_at: at, value }]);
        return;
    }
    if shapes.iter().any(|s| s.schema[ONE] == true) {
        let item = node.clone();
        node.kind = Kind::List(vec![item]);
    }
}
