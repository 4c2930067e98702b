//! `PagerDuty`, over its Events API v2: an incident is triggered and resolved under one key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::post::{Lookup, Post, filled, short};
use super::{Message, Stage, Subject};
use crate::experiment::Text;
use crate::model::exit::Verdict;

/// Where events go unless told otherwise.
const URL: &str = "https://events.pagerduty.com/v2/enqueue";

const MOST_SUMMARY: usize = 1024;
const MOST_KEY: usize = 255;

/// An integration of `PagerDuty`. The short form is its key alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-short" = "key"))]
pub struct PagerDuty {
    /// The integration's key (of an integration with the Events API v2), a secret.
    pub key: Text,
    /// Where events go (default `https://events.pagerduty.com/v2/enqueue`; in Europe
    /// `https://events.eu.pagerduty.com/v2/enqueue`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Text>,
}

pub(super) fn post(to: &PagerDuty, message: &Message, lookup: Lookup<'_>) -> Result<Post, String> {
    let key = filled(&to.key, lookup)?;
    let url = to.url.as_ref().map_or_else(|| Ok(URL.to_owned()), |url| filled(url, lookup))?;
    Ok(Post { url, headers: Vec::new(), body: body(&key, message).to_string() })
}

fn body(key: &str, message: &Message) -> Value {
    let mut body = json!({
        "routing_key": key,
        "dedup_key": short(&message.key, MOST_KEY),
        "event_action": if is_over(message) { "resolve" } else { "trigger" },
    });
    if is_over(message) {
        return body;
    }
    let mut details = json!({ "stage": message.stage });
    let class = match &message.subject {
        Subject::Experiment(_) => "experiment",
        Subject::Gameday(_) => "game day",
    };
    for (name, value) in [
        ("text", (!message.text.is_empty()).then(|| message.text.join("\n"))),
        ("verdict", message.verdict.map(|verdict| verdict.words().to_owned())),
        ("run", message.run.clone()),
        ("report", message.report.clone()),
    ] {
        if let Some(value) = value {
            details[name] = value.into();
        }
    }
    body["client"] = "Squall".into();
    body["payload"] = json!({
        "summary": short(&message.title, MOST_SUMMARY),
        "source": "squall",
        "severity": message.severity,
        "timestamp": message.at,
        "component": message.subject.name(),
        "class": class,
        "custom_details": details,
    });
    if let Some(url) = message.report.as_ref().filter(|r| r.starts_with("https://") || r.starts_with("http://")) {
        body["links"] = json!([{ "href": url, "text": "Report" }]);
    }
    body
}

/// Not while something is left behind: then somebody has to see to it, whatever else is over.
fn is_over(message: &Message) -> bool {
    message.stage == Stage::Resolution && message.verdict != Some(Verdict::LeftBehind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::occasions::notify::{Severity, example};

    #[test]
    fn what_happens_triggers() {
        insta::assert_snapshot!(format!("{:#}", body("k", &example())), @r#"
        {
          "client": "Squall",
          "dedup_key": "squall/gameday/20261121-100000-black-friday",
          "event_action": "trigger",
          "payload": {
            "class": "game day",
            "component": "black-friday",
            "custom_details": {
              "report": "/var/lib/squall/gamedays/20261121-100000-black-friday/report.html",
              "run": "20261121-101500-kill-one",
              "stage": "update",
              "text": "More than 2 of 200 <checkout> requests failed.\nScenario 2 of 4 & counting",
              "verdict": "broken"
            },
            "severity": "error",
            "source": "squall",
            "summary": "Black Friday rehearsal: one replica dies: broken",
            "timestamp": "2026-11-21T10:00:00Z"
          },
          "routing_key": "k"
        }
        "#);
    }

    #[test]
    fn what_is_over_is_resolved_unless_something_is_left_behind() {
        let over = Message { stage: Stage::Resolution, ..example() };
        insta::assert_snapshot!(body("k", &over), @r#"{"dedup_key":"squall/gameday/20261121-100000-black-friday","event_action":"resolve","routing_key":"k"}"#);
        let left = Message { verdict: Some(Verdict::LeftBehind), severity: Severity::Critical, ..over };
        let body = body("k", &left);
        assert_eq!((&body["event_action"], &body["payload"]["severity"]), (&json!("trigger"), &json!("critical")));
    }

    #[test]
    fn keys_are_no_longer_than_pagerduty_takes_and_reports_on_the_web_are_links() {
        let long = "k".repeat(300);
        let body = body("k", &Message { key: long, report: Some("https://ci.example/r".into()), ..example() });
        assert_eq!(body["dedup_key"].as_str().unwrap().chars().count(), MOST_KEY);
        assert_eq!(body["links"][0]["href"], "https://ci.example/r");
    }
}
