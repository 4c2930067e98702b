//! The JSON Schema of a file format, from the types: the strict long form that reading holds a file against, and the
//! published one for editors, which allows the short forms too.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value as Json, json};

use super::shape::{EXACTLY_ONE, INSTEAD, ONE, SHORT};

/// The long form of a type's files.
#[must_use]
pub fn strict<T: JsonSchema>() -> Json {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// What editors get: with a title and an address, and with the short forms.
#[must_use]
pub fn published<T: JsonSchema>(id: &str, title: &str) -> Json {
    let mut schema = strict::<T>();
    let long = schema.clone();
    relax(&mut schema, &long);
    if let Some(root) = schema.as_object_mut() {
        root.insert("$id".to_owned(), id.into());
        root.insert("title".to_owned(), title.into());
    }
    schema
}

/// Adds the short forms everywhere below. `root` is the whole schema as it was.
fn relax(schema: &mut Json, root: &Json) {
    match schema {
        Json::Array(items) => items.iter_mut().for_each(|item| relax(item, root)),
        Json::Object(object) => {
            object.values_mut().for_each(|value| relax(value, root));
            forbid_null(object);
            if let Some(kinds) = object.get_mut("oneOf").and_then(Json::as_array_mut) {
                add_bare_names(kinds, root);
            }
            if object.get("default").is_some_and(|d| d.is_null() || d.is_object() || d.is_array()) {
                object.remove("default");
            }
            if let Some(Json::Array(names)) = object.remove(EXACTLY_ONE) {
                let each = names.into_iter().map(|name| json!({ "required": [name] })).collect();
                object.insert("oneOf".to_owned(), Json::Array(each));
            }
            if let Some(Json::Object(instead)) = object.remove(INSTEAD) {
                either(object, &instead);
            }
            let one = object.remove(ONE).is_some();
            let short = object.remove(SHORT).and_then(|key| key.as_str().map(str::to_owned));
            if one && let Some(item) = object.get("items").cloned() {
                alternative(object, &item);
            } else if let Some(key) = short
                && let Some(value) = object.get("properties").and_then(|p| p.get(&key)).cloned()
            {
                alternative(object, &value);
            } else if object.get("type") == Some(&json!("object")) && is_optional(object) {
                object.insert("type".to_owned(), json!(["object", "null"]));
            }
        }
        _ => {}
    }
}

/// One key, or the required ones that it stands instead of.
fn either(object: &mut Map<String, Json>, instead: &Map<String, Json>) {
    for (key, of) in instead {
        let replaced = |name: &Json| of.as_array().is_some_and(|of| of.contains(name));
        if let Some(Json::Array(required)) = object.get_mut("required") {
            required.retain(|name| !replaced(name));
        }
        let forbidden = of.as_array().into_iter().flatten().map(|name| json!({ "required": [name] }));
        let long = json!({ "required": [key], "not": { "anyOf": forbidden.collect::<Vec<_>>() } });
        let short = json!({ "required": of, "not": { "required": [key] } });
        object.insert("oneOf".to_owned(), json!([short, long]));
    }
}

/// An optional key is left out; it has no empty value.
fn forbid_null(object: &mut Map<String, Json>) {
    if let Some(Json::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [one] = kinds.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    if let Some(Json::Array(alternatives)) = object.get_mut("anyOf") {
        alternatives.retain(|alternative| alternative.get("type") != Some(&json!("null")));
        if let [Json::Object(one)] = alternatives.as_slice() {
            let one = one.clone();
            object.remove("anyOf");
            for (key, value) in one {
                object.entry(key).or_insert(value);
            }
        }
    }
}

/// A mapping with keys of its own, of which none is needed, may be left empty.
fn is_optional(object: &Map<String, Json>) -> bool {
    object.contains_key("properties") && !object.contains_key("required") && !object.contains_key("oneOf")
}

/// `what it was`, or something else.
fn alternative(object: &mut Map<String, Json>, other: &Json) {
    let mut long = std::mem::take(object);
    for key in ["title", "description", "$schema", "$defs"] {
        if let Some(value) = long.remove(key) {
            object.insert(key.to_owned(), value);
        }
    }
    object.insert("anyOf".to_owned(), json!([other, long]));
}

/// Kinds that are named by their one key may be given by the bare name, where they need no parameter.
fn add_bare_names(kinds: &mut Vec<Json>, root: &Json) {
    let tagged = |kind: &Json| {
        let (key, value) = kind.get("properties")?.as_object().filter(|p| p.len() == 1)?.iter().next()?;
        kind.get("required")?.as_array().filter(|r| r.len() == 1)?;
        Some((key.clone(), value["$ref"].as_str().and_then(|r| r.strip_prefix('#')).map(str::to_owned)))
    };
    let Some(all) = kinds.iter().map(tagged).collect::<Option<Vec<_>>>() else { return };
    let needs_nothing = |kind: &Json| kind.get("required").is_none() && kind.get(EXACTLY_ONE).is_none();
    let bare = all
        .into_iter()
        .filter(|(_, pointer)| pointer.as_ref().and_then(|pointer| root.pointer(pointer)).is_some_and(needs_nothing));
    let names: Vec<Json> = bare.map(|(name, _)| name.into()).collect();
    if !names.is_empty() {
        kinds.push(json!({ "enum": names, "description": "The bare name, where no parameter is needed." }));
    }
}
