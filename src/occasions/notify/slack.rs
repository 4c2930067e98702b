//! Slack: blocks for what shows them, and one text for what does not (Mattermost, a telephone's banner).
//! The limits are those of Slack's block kit.

use serde_json::{Value, json};

use super::post::{Lookup, Post, filled, short};
use super::{Message, Severity, Subject};
use crate::experiment::Text;
use crate::model::exit::Verdict;

const MOST_HEADER: usize = 150;
const MOST_TEXT: usize = 3000;
const MOST_FIELD: usize = 2000;

pub(super) fn post(url: &Text, message: &Message, lookup: Lookup<'_>) -> Result<Post, String> {
    Ok(Post { url: filled(url, lookup)?, headers: Vec::new(), body: body(message).to_string() })
}

fn body(message: &Message) -> Value {
    let title = format!("{} {}", sign(message), message.title);
    let mut blocks = vec![json!({
        "type": "header",
        "text": { "type": "plain_text", "text": short(&title, MOST_HEADER), "emoji": true },
    })];
    if !message.text.is_empty() {
        let text = short(&escaped(&message.text.join("\n")), MOST_TEXT);
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
    }
    let fields: Vec<Value> = facts(message)
        .into_iter()
        .map(|(name, value)| json!({ "type": "mrkdwn", "text": short(&format!("*{name}*\n{value}"), MOST_FIELD) }))
        .collect();
    blocks.push(json!({ "type": "section", "fields": fields }));
    let lines: Vec<&str> =
        std::iter::once(message.title.as_str()).chain(message.text.iter().map(String::as_str)).collect();
    json!({ "text": short(&escaped(&lines.join("\n")), MOST_TEXT), "blocks": blocks })
}

fn facts(message: &Message) -> Vec<(&'static str, String)> {
    let kind = match message.subject {
        Subject::Experiment(_) => "Experiment",
        Subject::Gameday(_) => "Game day",
    };
    let mut facts = vec![(kind, escaped(message.subject.name()))];
    facts.extend(message.verdict.map(|verdict| ("Verdict", verdict.words().to_owned())));
    facts.extend(message.run.iter().map(|run| ("Run", escaped(run))));
    facts.extend(message.report.iter().map(|report| ("Report", link(report))));
    facts.push(("Time", message.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()));
    facts
}

/// A URL can be followed; a file on another machine can be read by its name.
fn link(report: &str) -> String {
    if report.starts_with("https://") || report.starts_with("http://") {
        format!("<{}>", escaped(report))
    } else {
        format!("`{}`", escaped(report))
    }
}

/// Slack reads `<`, `>` and `&` as its own.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn sign(message: &Message) -> &'static str {
    match (message.verdict, message.severity) {
        (Some(Verdict::Held), _) => ":white_check_mark:",
        (_, Severity::Info) => ":information_source:",
        (_, Severity::Warning) => ":warning:",
        (_, Severity::Error) => ":x:",
        (_, Severity::Critical) => ":rotating_light:",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::occasions::notify::example;

    #[test]
    fn blocks_and_a_text() {
        insta::assert_snapshot!(format!("{:#}", body(&example())), @r#"
        {
          "blocks": [
            {
              "text": {
                "emoji": true,
                "text": ":x: Black Friday rehearsal: one replica dies: broken",
                "type": "plain_text"
              },
              "type": "header"
            },
            {
              "text": {
                "text": "More than 2 of 200 &lt;checkout&gt; requests failed.\nScenario 2 of 4 &amp; counting",
                "type": "mrkdwn"
              },
              "type": "section"
            },
            {
              "fields": [
                {
                  "text": "*Game day*\nblack-friday",
                  "type": "mrkdwn"
                },
                {
                  "text": "*Verdict*\nbroken",
                  "type": "mrkdwn"
                },
                {
                  "text": "*Run*\n20261121-101500-kill-one",
                  "type": "mrkdwn"
                },
                {
                  "text": "*Report*\n`/var/lib/squall/gamedays/20261121-100000-black-friday/report.html`",
                  "type": "mrkdwn"
                },
                {
                  "text": "*Time*\n2026-11-21 10:00:00 UTC",
                  "type": "mrkdwn"
                }
              ],
              "type": "section"
            }
          ],
          "text": "Black Friday rehearsal: one replica dies: broken\nMore than 2 of 200 &lt;checkout&gt; requests failed.\nScenario 2 of 4 &amp; counting"
        }
        "#);
    }

    #[test]
    fn nothing_is_longer_than_slack_takes() {
        let long = "&".repeat(5000);
        let message = Message { title: long.clone(), text: vec![long.clone()], report: Some(long), ..example() };
        let body = body(&message);
        let longest = |at: &str| body.pointer(at).and_then(Value::as_str).unwrap().chars().count();
        assert_eq!(longest("/blocks/0/text/text"), MOST_HEADER);
        assert_eq!(longest("/blocks/1/text/text"), MOST_TEXT);
        assert_eq!(longest("/text"), MOST_TEXT);
        assert!(longest("/blocks/2/fields/3/text") <= MOST_FIELD);
    }

    #[test]
    fn a_report_on_the_web_is_a_link() {
        assert_eq!(link("https://ci.example/r?a=1&b=2"), "<https://ci.example/r?a=1&amp;b=2>");
        assert_eq!(link("/tmp/report.html"), "`/tmp/report.html`");
    }
}
