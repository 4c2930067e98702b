//! Any URL. A signature tells the receiver that the message is ours and when it was made, so that an old one that somebody
//! sends again can be told from a new one.

use ring::hmac;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::post::{Lookup, Post, filled};
use super::{Message, json};
use crate::experiment::Text;

/// A URL that gets messages as JSON. The short form is the URL alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-short" = "url"))]
pub struct Webhook {
    /// Where to.
    pub url: Text,
    /// Signs it: the header `Squall-Signature` is then `sha256=` and the HMAC-SHA256 under this secret, in hex, of the
    /// header `Squall-Timestamp`, a full stop, and the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Text>,
}

pub(super) fn post(webhook: &Webhook, message: &Message, lookup: Lookup<'_>) -> Result<Post, String> {
    let (url, body) = (filled(&webhook.url, lookup)?, json::line(message));
    let timestamp = message.at.as_second().to_string();
    let mut headers = Vec::new();
    if let Some(secret) = &webhook.secret {
        headers.push(("squall-signature", signature(&filled(secret, lookup)?, &timestamp, &body)));
    }
    headers.push(("squall-timestamp", timestamp));
    Ok(Post { url, headers, body })
}

fn signature(secret: &str, timestamp: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
    tag.as_ref().iter().fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::quantity::Absent;
    use crate::occasions::notify::example;

    #[test]
    fn a_secret_signs_the_time_and_the_body() {
        // printf '1.{}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature("secret", "1", "{}"),
            "sha256=1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908"
        );
        let signed = Webhook { url: Text("https://a.example/${HOOK}".into()), secret: Some(Text("${SECRET}".into())) };
        let lookup = |name: &str| (name != "NOBODY").then(|| name.to_lowercase()).ok_or(Absent::Unset);
        let post = super::post(&signed, &example(), &lookup).unwrap();
        assert_eq!(post.url, "https://a.example/hook");
        assert_eq!(post.headers[0], ("squall-signature", signature("secret", "1795255200", &post.body)));
        assert_eq!(post.headers[1], ("squall-timestamp", "1795255200".to_owned()));
        let unsigned = Webhook { secret: None, ..signed.clone() };
        assert_eq!(super::post(&unsigned, &example(), &lookup).unwrap().headers.len(), 1);
        let unknown = Webhook { secret: Some(Text("${NOBODY}".into())), ..signed };
        assert!(super::post(&unknown, &example(), &lookup).err().unwrap().contains("${NOBODY} is not set"));
    }
}
