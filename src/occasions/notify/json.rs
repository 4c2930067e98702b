//! A message as JSON, for webhooks, commands and files. `docs/notifications.md` lists its fields.

use serde::Serialize;

use super::Message;

/// The format, in every message. Fields are added, never renamed.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Body<'a> {
    format: u32,
    #[serde(flatten)]
    message: &'a Message,
}

/// One line, without its end.
pub(super) fn line(message: &Message) -> String {
    serde_json::to_string(&Body { format: FORMAT, message }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::occasions::notify::{Subject, example};

    #[test]
    fn a_message_is_one_line() {
        insta::assert_snapshot!(line(&example()), @r#"{"format":1,"at":"2026-11-21T10:00:00Z","key":"squall/gameday/20261121-100000-black-friday","stage":"update","severity":"error","title":"Black Friday rehearsal: one replica dies: broken","text":["More than 2 of 200 <checkout> requests failed.","Scenario 2 of 4 & counting"],"gameday":"black-friday","verdict":"broken","run":"20261121-101500-kill-one","report":"/var/lib/squall/gamedays/20261121-100000-black-friday/report.html"}"#);
        let bare = Message {
            text: Vec::new(),
            subject: Subject::Experiment("kill-one".to_owned()),
            verdict: None,
            run: None,
            report: None,
            ..example()
        };
        insta::assert_snapshot!(line(&bare), @r#"{"format":1,"at":"2026-11-21T10:00:00Z","key":"squall/gameday/20261121-100000-black-friday","stage":"update","severity":"error","title":"Black Friday rehearsal: one replica dies: broken","experiment":"kill-one"}"#);
    }
}
