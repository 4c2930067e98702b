//! What `squall schema` prints fits what `squall validate` accepts and refuses, and so do the examples and the reference.

use std::collections::BTreeMap;

use serde_json::Value;

use super::slips::{SHAPE, SLIPS};
use super::{GOOD, slipped};
use crate::harness::{Squall, repository};

fn schema(of: &str) -> Value {
    let printed = Squall::new(["schema", "--of", of]).run().exits(0).stdout;
    serde_json::from_str(&printed).expect("JSON")
}

/// A YAML text as JSON, the way editors see it.
fn json(text: &str) -> Option<Value> {
    serde_yaml::from_str(text).ok()
}

/// Every example, by its name.
fn examples() -> BTreeMap<String, String> {
    std::fs::read_dir(repository("experiments"))
        .expect("the examples")
        .map(|entry| entry.expect("an example").path())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).expect("a text")))
        .collect()
}

#[test]
fn every_example_is_good_and_without_doubts() {
    let examples = examples();
    assert!(examples.len() >= 6);
    Squall::new(["validate"].into_iter().chain(examples.keys().map(String::as_str))).run().exits(0).without_complaint();
}

#[test]
fn the_schema_accepts_what_squall_accepts() {
    let schema = schema("experiment");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["title"], "Squall experiment");
    assert!(schema["$id"].is_string());
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for (name, text) in examples() {
        let found: Vec<String> = validator.iter_errors(&json(&text).expect("YAML")).map(|e| e.to_string()).collect();
        assert!(found.is_empty(), "{name}: {found:?}");
    }
    for (from, to) in [
        ("http: http://127.0.0.1:8080/checkout", "http: { url: http://x/ }"),
        ("http: http://127.0.0.1:8080/checkout", "tcp: x:80"),
        ("http: http://127.0.0.1:8080/checkout", "exec: [a, b]"),
        ("fault:\n  kill: { signal: SIGKILL }", "fault: pause"),
        ("kill: { signal: SIGKILL }", "pause:"),
        ("fault:\n  kill: { signal: SIGKILL }", "fault: partition"),
        ("kill: { signal: SIGKILL }", "latency: { delay: 1s, port: 5432 }"),
        ("kill: { signal: SIGKILL }", "latency: { delay: 1s, to: { cidr: 'fd00::/64' }, port: [80, 8000-8099] }"),
        ("kill: { signal: SIGKILL }", "loss: { gilbert-elliott: { p: 1%, r: 10% } }"),
        ("kill: { signal: SIGKILL }", "shape: { loss: { percent: 0.4% }, bandwidth: { rate: 1.5mbit, burst: 64k } }"),
        ("kill: { signal: SIGKILL }", "dns: { names: '*.store', address: 10.0.0.9 }"),
        ("kill: { signal: SIGKILL }", "dns: { names: [a, b], answer: timeout }"),
        ("pick: 1", "labels: a=b"),
        ("pick: 1", "labels: [a=b], pick: 30%"),
        ("pick: 1", "pick: { zones: 1 }"),
        ("pick: 1", "pick: { nodes: 1 }"),
        ("pick: 1", "project: shop"),
        ("pick: 1", "project: [shop, billing]"),
        ("rate: 50/s", "rate: '${RATE}'"),
        ("{ baseline: 3s, duration: 8s, recovery: 10s }", ""),
        ("p95: 300ms", "value: 3"),
    ] {
        let text = GOOD.replacen(from, to, 1).replace("{ success: 95%, max-outage: 2s }", "{ max-outage: 2s }");
        let found: Vec<String> = validator.iter_errors(&json(&text).expect("YAML")).map(|e| e.to_string()).collect();
        assert!(found.is_empty(), "{to}: {found:?}");
        if !to.starts_with("value") {
            Squall::new(["validate", "a.yaml"]).file("a.yaml", &text).env("RATE", "5/s").run().exits(0);
        }
    }
}

#[test]
fn the_schema_refuses_what_has_the_wrong_shape() {
    let validator = jsonschema::validator_for(&schema("experiment")).expect("a schema");
    for slip in SLIPS.iter().filter(|s| s.2 == SHAPE) {
        let value = json(&slipped(slip)).unwrap_or_else(|| panic!("{} is not YAML", slip.0));
        assert!(!validator.is_valid(&value), "{} is valid", slip.0);
    }
}

#[test]
fn a_stack_has_a_schema_too() {
    let validator = jsonschema::validator_for(&schema("stack")).expect("a schema");
    let good = json("version: 1\nname: a\nservices: { b: { command: [c] } }").expect("YAML");
    assert!(validator.is_valid(&good));
    assert!(!validator.is_valid(&json("version: 1\nname: a\nservices: { b: { comand: [c] } }").expect("YAML")));
}

#[test]
fn a_project_file_holds_for_the_experiments_below_it() {
    let validator = jsonschema::validator_for(&schema("project")).expect("a schema");
    assert!(validator.is_valid(&json("version: 1\nproject: shop").expect("YAML")));
    assert!(!validator.is_valid(&json("version: 1\nprojekt: shop").expect("YAML")));
    let squall = |args: &[&str], text: &str| {
        Squall::new(args)
            .file("x/y/a.yaml", GOOD)
            .file("x/squall.yaml", text)
            .file("squall.yaml", "version: 1\nnonsense: 1")
    };
    let good = "version: 1\nproject: shop";
    squall(&["validate", "x/y/a.yaml", "x/squall.yaml"], good).run().exits(0).without_complaint();
    for args in
        [["validate", "x/y/a.yaml"], ["validate", "x/squall.yaml"], ["plan", "x/y/a.yaml"], ["run", "x/y/a.yaml"]]
    {
        let wrong = squall(&args, "version: 1\nprojekt: shop").run().exits(2);
        wrong.complains("did you mean `project`?").complains("squall.yaml");
    }
    // A simulated world has no projects.
    squall(&["plan", "x/y/a.yaml", "--engine", "sim"], good).run().exits(0);
}

/// The keys of every mapping in a schema.
fn keys(schema: &Value, found: &mut std::collections::BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                found.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| keys(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn the_reference_names_every_key_and_its_example_is_good() {
    let text = std::fs::read_to_string(repository("docs/experiment-format.md")).expect("the reference");
    let mut known = std::collections::BTreeSet::new();
    keys(&schema("experiment"), &mut known);
    assert!(known.len() > 50);
    let written = |key: &str| [format!("`{key}`"), format!("`{key}: "), format!("{{ {key}: "), format!("### {key}\n")];
    let missing: Vec<&String> = known.iter().filter(|k| !written(k).iter().any(|w| text.contains(w))).collect();
    assert!(missing.is_empty(), "not in the reference: {missing:?}");
    let example = text.split("```yaml\n").nth(1).and_then(|t| t.split("```").next()).expect("an example");
    Squall::new(["validate", "a.yaml"]).file("a.yaml", example).run().exits(0).without_complaint();
}
