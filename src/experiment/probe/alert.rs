//! Whether an alert fires, from Alertmanager or from Prometheus itself.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ask::{Ask, ProbeSetup};
use super::monitor::{Api, ApiAddress};
use super::{Answer, Pace, ProbeKind, Simulated, failure, keys};
use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::Found;
use crate::model::quantity::Text;
use crate::text::glob::glob;

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

/// What is not known of an alert that shall not fire, where Alertmanager is asked.
const NOT_KNOWN: &str = "Alertmanager knows the alerts that fire, and no rules: one that no rule defines counts as \
                                    quiet (`prometheus` is asked for its rules, too)";

impl Alert {
    /// What is wrong with its keys, wherever it stands.
    pub(crate) fn check_keys(&self, found: &mut Found<'_>, own: &[&str]) {
        for (key, text) in [("alertmanager", &self.alertmanager), ("prometheus", &self.prometheus)] {
            if let Some(text) = text {
                keys::url(found, &[own, &[key]].concat(), text);
            }
        }
        keys::headers(found, own, &self.headers);
        if self.labels.is_empty() {
            let at = found.document.key_at(&[own, &["labels"]].concat());
            found.add(
                Mistake::error(&at, "without a label any alert is meant")
                    .help("name the alert: `labels: { alertname: ShopDown }`; `alertname: \"*\"` is any"),
            );
        }
    }
}

impl ProbeKind for Alert {
    fn prepare(&self, setup: &ProbeSetup<'_>) -> anyhow::Result<Box<dyn Ask>> {
        let (url, path, read): (_, [&str; 3], Read) = match (&self.alertmanager, &self.prometheus) {
            (Some(url), None) => (url, ["api", "v2", "alerts"], of_alertmanager),
            (None, Some(url)) => (url, ["api", "v1", "alerts"], of_prometheus),
            _ => bail!("an alert needs exactly one of `alertmanager` and `prometheus`"),
        };
        let place = ApiAddress { url, headers: &self.headers, ca: self.ca.as_deref() };
        let api = Api::new(&place, &path, &[], setup).context("cannot ask for alerts")?;
        let rules = self.prometheus.as_ref().map(|_| Api::new(&place, &["api", "v1", "rules"], &[], setup));
        let rules = rules.transpose().context("cannot ask for rules")?;
        let labels = self
            .labels
            .iter()
            .map(|(name, text)| Ok((name.clone(), setup.text(text)?)))
            .collect::<anyhow::Result<_>>()?;
        Ok(Box::new(PreparedAlert { api, rules, read, labels, firing: self.firing, defined: AtomicBool::new(false) }))
    }

    fn check(&self, found: &mut Found<'_>, own: &[&str]) {
        self.check_keys(found, own);
        if let Some(caveat) = self.caveat() {
            let at = found.document.key_at(&[own, &["alertmanager"]].concat());
            found.add(Mistake::warning(&at, caveat));
        }
    }

    fn pace(&self) -> Pace {
        Pace::ONE_A_SECOND
    }

    fn silence_is_failure(&self) -> bool {
        false
    }

    fn caveat(&self) -> Option<&'static str> {
        (self.alertmanager.is_some() && !self.firing).then_some(NOT_KNOWN)
    }

    fn address(&self) -> Option<&str> {
        None
    }

    fn words(&self) -> String {
        self.to_string()
    }

    fn simulated(&self) -> Simulated<'_> {
        Simulated::Alert(self.firing)
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
#[strum(serialize_all = "kebab-case")]
enum State {
    Firing,
    Silenced,
    Inhibited,
    /// Its condition is true, and not for long enough.
    Pending,
}

struct PreparedAlert {
    api: Api,
    /// Where it can be asked which alerts there are.
    rules: Option<Api>,
    read: Read,
    labels: Vec<(String, String)>,
    firing: bool,
    /// Whether it is known by now that there is such an alert.
    defined: AtomicBool,
}

#[async_trait]
impl Ask for PreparedAlert {
    async fn ask(&self) -> Answer {
        // Both at once, so that together they take no longer than the timeout.
        let (answer, defined) = tokio::join!(self.api.ask(), self.is_defined());
        let answer = match answer {
            Ok(answer) => answer,
            Err(why) => return Answer::NotMeasured(why),
        };
        let Some(alerts) = (self.read)(&answer) else {
            return Answer::NotMeasured("the answer is no list of alerts".to_owned());
        };
        let found = states(&alerts, &self.labels);
        if !found.is_empty() {
            self.defined.store(true, Ordering::Relaxed);
        }
        match defined {
            Ok(false) if found.is_empty() && self.firing => failure::failed("no rule defines such an alert"),
            Ok(false) if found.is_empty() => Answer::NotMeasured("no rule defines such an alert".to_owned()),
            Err(why) if found.is_empty() && !self.firing => {
                Answer::NotMeasured(format!("whether a rule defines it is not known: {why}"))
            }
            _ => judge(&found, self.firing),
        }
    }
}

impl PreparedAlert {
    /// Whether there may be such an alert: `true` where that cannot be asked.
    ///
    /// # Errors
    /// Why it could not be measured, in a few words.
    async fn is_defined(&self) -> Result<bool, String> {
        let Some(rules) = self.rules.as_ref().filter(|_| !self.defined.load(Ordering::Relaxed)) else {
            return Ok(true);
        };
        let defined = is_defined(&rules.ask().await?, &self.labels).ok_or("the answer is no list of rules")?;
        self.defined.store(defined, Ordering::Relaxed);
        Ok(defined)
    }
}

/// What each alert does that has these labels.
fn states(alerts: &[(&Value, State)], labels: &[(String, String)]) -> Vec<State> {
    let meant = |of: &Value| labels.iter().all(|(name, value)| of[name].as_str().is_some_and(|v| glob(value, v)));
    alerts.iter().filter(|(of, _)| meant(of)).map(|(_, state)| *state).collect()
}

fn judge(found: &[State], wanted: bool) -> Answer {
    let firing = found.iter().filter(|state| **state == State::Firing).count();
    match (wanted, firing, found.iter().min()) {
        (true, 1.., _) | (false, 0, _) => Answer::Good { value: None, by: None },
        (false, 1, _) => failure::failed("an alert fires"),
        (false, n, _) => failure::failed(format!("{n} alerts fire")),
        (true, 0, None) => failure::failed("no such alert"),
        (true, 0, Some(state)) => failure::failed(format!("the alert is {state}")),
    }
}

/// Whether a rule in an answer of Prometheus may come to an alert with these labels. A label that a rule does not set may come
/// from what it measures; one with a template may be anything.
fn is_defined(answer: &Value, labels: &[(String, String)]) -> Option<bool> {
    let may_have = |rule: &Value, (name, wanted): &(String, String)| match name.as_str() {
        "alertname" => rule["name"].as_str().is_some_and(|has| glob(wanted, has)),
        name => rule["labels"][name].as_str().is_none_or(|has| has.contains("{{") || glob(wanted, has)),
    };
    let groups = answer["data"]["groups"].as_array()?;
    let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
    let mut alerting = rules.filter(|rule| rule["type"] == "alerting");
    Some(alerting.any(|rule| labels.iter().all(|label| may_have(rule, label))))
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
            let found = states(&alerts, &labels(&[("alertname", name)]));
            assert_eq!((judge(&found, true), judge(&found, false)), (fires, quiet), "{name}");
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
        let fires = |of: &[(&str, &str)]| judge(&states(&alerts, &labels(of)), true);
        assert_eq!(fires(&[("alertname", "ShopDown"), ("zone", "a")]), GOOD);
        assert_eq!(fires(&[("alertname", "ShopDown"), ("zone", "c")]), failure::failed("no such alert"));
        assert_eq!(fires(&[("alertname", "Store*")]), failure::failed("the alert is pending"));
        assert_eq!(
            judge(&states(&alerts, &labels(&[("alertname", "Shop*")])), false),
            failure::failed("2 alerts fire")
        );
        assert_eq!(of_prometheus(&json!([])), None);
    }

    #[test]
    fn a_rule_defines_what_may_come_of_it() {
        let rule = |name: &str, labels: Value| json!({ "type": "alerting", "name": name, "labels": labels });
        let recording = json!({ "type": "recording", "name": "shop:rate", "labels": {} });
        let rules = json!([rule("ShopDown", json!({ "severity": "page", "team": "{{ $labels.team }}" })), recording]);
        let answer = json!({ "data": { "groups": [{ "rules": [] }, { "rules": rules }] } });
        for (of, want) in [
            (&[("alertname", "ShopDown")][..], true),
            (&[("alertname", "Shop*"), ("severity", "page"), ("zone", "a"), ("team", "a")], true),
            (&[("severity", "page")], true),
            (&[("alertname", "ShopIsDown")], false),
            (&[("alertname", "ShopDown"), ("severity", "ticket")], false),
            (&[("alertname", "shop:rate")], false),
        ] {
            assert_eq!(is_defined(&answer, &labels(of)), Some(want), "{of:?}");
        }
        assert_eq!(is_defined(&json!({ "data": {} }), &[]), None);
    }
}
