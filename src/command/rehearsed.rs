//! The world of a compose file, for rehearsals: its services, and nothing that only Compose itself could tell.

use std::path::Path;

use anyhow::{Context as _, bail};
use indexmap::IndexMap;
use serde_yaml::Value;

use crate::experiment::Text;
use crate::experiment::stack::{Service, Stack};
use crate::model::zones::LABEL;

/// The stack that the sim makes of a compose file.
///
/// # Errors
/// If the file cannot be read, or has no services.
pub(super) fn stack(file: &Path) -> anyhow::Result<Stack> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the stack {}", file.display()))?;
    of_compose(&text, &file.display().to_string()).with_context(|| format!("cannot rehearse on {}", file.display()))
}

fn of_compose(text: &str, name: &str) -> anyhow::Result<Stack> {
    let file: Value = serde_yaml::from_str(text)?;
    let Some(services) = file.get("services").and_then(Value::as_mapping).filter(|all| !all.is_empty()) else {
        bail!("it has no services");
    };
    let named = services.iter().filter_map(|(name, service)| Some((name.as_str()?.to_owned(), one(service))));
    Ok(Stack { version: 1, name: name.to_owned(), network: None, services: named.collect() })
}

fn one(service: &Value) -> Service {
    let count = service.get("scale").or_else(|| service.get("deploy")?.get("replicas")).and_then(Value::as_u64);
    let labels = service.get("labels").map(labels).unwrap_or_default();
    Service {
        command: vec![Text("simulated".to_owned())],
        replicas: count.and_then(|n| usize::try_from(n).ok()).unwrap_or(1),
        zones: labels.get(LABEL).cloned().into_iter().collect(),
        nodes: Vec::new(),
        port: None,
        environment: IndexMap::new(),
        labels,
        project: None,
        orchestrator: None,
        needs: Vec::new(),
        failover: None,
        restart: false,
    }
}

/// A mapping, or a list of `key=value`.
fn labels(value: &Value) -> IndexMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
    };
    match value {
        Value::Mapping(map) => map.iter().map(|(key, value)| (text(key), text(value))).collect(),
        Value::Sequence(list) => list
            .iter()
            .map(text)
            .map(|line| {
                line.split_once('=').map_or((line.clone(), String::new()), |(k, v)| (k.to_owned(), v.to_owned()))
            })
            .collect(),
        _ => IndexMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compose_file_tells_its_services_and_no_more() {
        let text = "services:\n  web: { image: x, labels: { squall.zone: a } }\n  db: { image: y, labels: [tier=data], deploy: { replicas: 2 } }\n";
        let stack = of_compose(text, "compose.yaml").unwrap();
        let told: Vec<_> = stack.services.iter().map(|(name, s)| (name.as_str(), s.replicas, s.zones.len())).collect();
        assert_eq!(told, [("web", 1, 1), ("db", 2, 0)]);
        assert_eq!(stack.services["db"].labels["tier"], "data");
        assert!(of_compose("services: {}", "x").is_err());
    }
}
