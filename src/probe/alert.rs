//! Whether an alert fires, from Alertmanager or from Prometheus itself.

use std::fmt;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::{Ask, Ground};
use super::monitor::{Api, Place};
use super::{Answer, failure};
use crate::experiment::quantity::Text;
use crate::glob::glob;

/// Ask whether an alert fires. One that is pending, silenced or inhibited does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-exactly-one" = ["alertmanager", "prometheus"]))]
pub struct Alert {
    /// Alertmanager's URL: it knows what is silenced and inhibited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<Text>,
    /// Prometheus' URL, where there is no Alertmanager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Text>,
    /// The labels by which it is known, such as `alertname`; in a value, `*` stands for any text.
    pub labels: IndexMap<String, Text>,
    /// Which answer is good (default `false`: no such alert fires).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub firing: bool,
    /// Request headers, such as `Authorization`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, Text>,
    /// A file of CA certificates (PEM) to trust beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl Alert {
    pub(super) fn prepare(&self, ground: &Ground) -> anyhow::Result<Box<dyn Ask>> {
        let (url, path, read): (_, [&str; 3], Read) = match (&self.alertmanager, &self.prometheus) {
            (Some(url), None) => (url, ["api", "v2", "alerts"], of_alertmanager),
            (None, Some(url)) => (url, ["api", "v1", "alerts"], of_prometheus),
            _ => bail!("an alert needs exactly one of `alertmanager` and `prometheus`"),
        };
        let place = Place { url, headers: &self.headers, ca: self.ca.as_deref() };
        let api = Api::new(&place, &path, &[], ground).context("cannot ask for alerts")?;
        let labels = self
            .labels
            .iter()
            .map(|(name, text)| Ok((name.clone(), ground.text(text)?)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Box::new(Ready { api, read, labels, firing: self.firing }))
    }
}

impl fmt::Display for Alert {
    /// Its labels, as Prometheus writes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        write!(f, "{{{}}}", labels.join(", "))
    }
}

/// The alerts in an answer, each with its labels; nothing where it is no such answer.
type Read = for<'a> fn(&'a Value) -> Option<Vec<(&'a Value, State)>>;

/// What an alert does, the loudest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Firing,
    Silenced,
    Inhibited,
    /// Its condition is true, and not for long enough.
    Pending,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Firing => "firing",
            Self::Silenced => "silenced",
            Self::Inhibited => "inhibited",
            Self::Pending => "pending",
        })
    }
}

struct Ready {
    api: Api,
    read: Read,
    labels: Vec<(String, String)>,
    firing: bool,
}

#[async_trait]
impl Ask for Ready {
    async fn ask(&self) -> Answer {
        let answer = match self.api.ask().await {
            Ok(answer) => answer,
            Err(why) => return Answer::CouldNotAsk(why),
        };
        let Some(alerts) = (self.read)(&answer) else {
            return Answer::CouldNotAsk("the answer is no list of alerts".to_owned());
        };
        judge(&alerts, &self.labels, self.firing)
    }
}

fn judge(alerts: &[(&Value, State)], labels: &[(String, String)], wanted: bool) -> Answer {
    let meant = |of: &Value| labels.iter().all(|(name, value)| of[name].as_str().is_some_and(|v| glob(value, v)));
    let found: Vec<State> = alerts.iter().filter(|(of, _)| meant(of)).map(|(_, state)| *state).collect();
    let firing = found.iter().filter(|state| **state == State::Firing).count();
    match (wanted, firing, found.iter().min()) {
        (true, 1.., _) | (false, 0, _) => Answer::Good { value: None, by: None },
        (false, 1, _) => failure::failed("an alert fires"),
        (false, n, _) => failure::failed(format!("{n} alerts fire")),
        (true, 0, None) => failure::failed("no such alert"),
        (true, 0, Some(state)) => failure::failed(format!("the alert is {state}")),
    }
}

/// Alertmanager leaves out what is resolved.
fn of_alertmanager(answer: &Value) -> Option<Vec<(&Value, State)>> {
    let state = |alert: &Value| {
        let status = &alert["status"];
        let has = |key: &str| status[key].as_array().is_some_and(|all| !all.is_empty());
        Some(match status["state"].as_str()? {
            "active" => State::Firing,
            "suppressed" if has("inhibitedBy") && !has("silencedBy") => State::Inhibited,
            "suppressed" => State::Silenced,
            _ => State::Pending,
        })
    };
    answer.as_array()?.iter().map(|alert| Some((&alert["labels"], state(alert)?))).collect()
}

fn of_prometheus(answer: &Value) -> Option<Vec<(&Value, State)>> {
    let state = |alert: &Value| Some(if alert["state"].as_str()? == "firing" { State::Firing } else { State::Pending });
    answer["data"]["alerts"].as_array()?.iter().map(|alert| Some((&alert["labels"], state(alert)?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GOOD: Answer = Answer::Good { value: None, by: None };

    fn labels(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn alertmanager_tells_what_is_silenced_and_inhibited() {
        let alert = |name: &str, status: Value| json!({ "labels": { "alertname": name }, "status": status });
        let answer = json!([
            alert("Down", json!({ "state": "active", "silencedBy": [], "inhibitedBy": [] })),
            alert("Hushed", json!({ "state": "suppressed", "silencedBy": ["x"], "inhibitedBy": [] })),
            alert("Shaded", json!({ "state": "suppressed", "silencedBy": [], "inhibitedBy": ["x"] })),
            alert("New", json!({ "state": "unprocessed", "silencedBy": [], "inhibitedBy": [] })),
        ]);
        let alerts = of_alertmanager(&answer).unwrap();
        for (name, fires, quiet) in [
            ("Down", GOOD, failure::failed("an alert fires")),
            ("Hushed", failure::failed("the alert is silenced"), GOOD),
            ("Shaded", failure::failed("the alert is inhibited"), GOOD),
            ("New", failure::failed("the alert is pending"), GOOD),
            ("Other", failure::failed("no such alert"), GOOD),
        ] {
            assert_eq!(judge(&alerts, &labels(&[("alertname", name)]), true), fires, "{name}");
            assert_eq!(judge(&alerts, &labels(&[("alertname", name)]), false), quiet, "{name}");
        }
        assert_eq!(of_alertmanager(&json!({ "status": "success" })), None);
    }

    #[test]
    fn every_label_counts_and_a_pending_alert_does_not_fire() {
        let alert = |name: &str, zone: &str, state: &str| json!({ "labels": { "alertname": name, "zone": zone }, "state": state });
        let answer = json!({ "data": { "alerts": [
            alert("ShopDown", "a", "firing"), alert("ShopDown", "b", "firing"), alert("StoreDown", "a", "pending"),
        ] } });
        let alerts = of_prometheus(&answer).unwrap();
        let fires = |of: &[(&str, &str)]| judge(&alerts, &labels(of), true);
        assert_eq!(fires(&[("alertname", "ShopDown"), ("zone", "a")]), GOOD);
        assert_eq!(fires(&[("alertname", "ShopDown"), ("zone", "c")]), failure::failed("no such alert"));
        assert_eq!(fires(&[("alertname", "Store*")]), failure::failed("the alert is pending"));
        assert_eq!(judge(&alerts, &labels(&[("alertname", "Shop*")]), false), failure::failed("2 alerts fire"));
        assert_eq!(of_prometheus(&json!([])), None);
    }
}
