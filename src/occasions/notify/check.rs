//! What is wrong with recipients in a file, beyond what each value shows by itself.

use super::{PagerDuty, Webhook};
use crate::experiment::Text;
use crate::experiment::diagnostic::Mistake;
use crate::experiment::document::Document;
use crate::experiment::tree::Kind;
use crate::model::quantity::{Piece, pieces};

/// The mistakes in a list of recipients, which stands under this key.
#[must_use]
pub fn recipients(document: &Document, key: &str) -> Vec<Mistake> {
    let Some(Kind::List(items)) = document.entry(&[key]).map(|entry| &entry.value.kind) else { return Vec::new() };
    let mut found = Vec::new();
    for i in 0..items.len() {
        let i = i.to_string();
        one(document, &[key, &i], &mut found);
    }
    found
}

fn one(document: &Document, path: &[&str; 2], found: &mut Vec<Mistake>) {
    let [key, i] = *path;
    let at = |keys: &[&'static str]| [&[key, i], keys].concat();
    if let Some(value) = document.part::<Text>(&at(&["slack"])) {
        url(document, &at(&["slack"]), &value, found);
        secret(document, &at(&["slack"]), &value, "SLACK_URL", found);
    }
    if let Some(pager) = document.part::<PagerDuty>(&at(&["pagerduty"])) {
        secret(document, &at(&["pagerduty", "key"]), &pager.key, "PAGERDUTY_KEY", found);
        pager.url.iter().for_each(|value| url(document, &at(&["pagerduty", "url"]), value, found));
    }
    if let Some(webhook) = document.part::<Webhook>(&at(&["webhook"])) {
        url(document, &at(&["webhook", "url"]), &webhook.url, found);
        webhook.secret.iter().for_each(|s| secret(document, &at(&["webhook", "secret"]), s, "WEBHOOK_SECRET", found));
    }
    if let Some(command) = document.part::<Vec<Text>>(&at(&["command"]))
        && command.first().is_none_or(|program| program.0.trim().is_empty())
    {
        let at = document.key_at(&at(&["command"]));
        found.push(Mistake::error(&at, "`command` names no program").label("write `[program, argument]`"));
    }
}

fn is_literal(text: &Text) -> bool {
    pieces(&text.0).iter().all(|piece| matches!(piece, Piece::Literal(_)))
}

/// Whether it can be read off the file: a default stands in it as much as a literal.
fn is_told(text: &Text) -> bool {
    is_literal(text)
        || pieces(&text.0).iter().any(|piece| match piece {
            Piece::Variable(variable) => variable.default.is_some_and(|default| !default.is_empty()),
            Piece::Literal(_) => false,
        })
}

fn url(document: &Document, path: &[&str], text: &Text, found: &mut Vec<Mistake>) {
    let begins = |scheme: &str| text.0.starts_with(scheme);
    if is_literal(text) && !begins("https://") && !begins("http://") {
        let mistake = Mistake::error(&document.value_at(path), "this is not a URL to tell");
        found.push(mistake.label("it must begin with `https://` or `http://`"));
    }
}

/// Files are read, stored and shown to others.
fn secret(document: &Document, path: &[&str], text: &Text, name: &str, found: &mut Vec<Mistake>) {
    if is_told(text) {
        let mistake = Mistake::warning(&document.value_at(path), "this is a secret, and it stands in the file");
        found.push(mistake.help(format!("write `${{{name}}}`, and set {name} in the environment")));
    }
}
