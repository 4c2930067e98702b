//! What several probes look for in their keys.

use std::ops::Range;

use indexmap::IndexMap;

use super::value::is_pointer;
use crate::experiment::document::diagnostic::{Mistake, short};
use crate::experiment::document::found::Found;
use crate::model::quantity::{Piece, Text, fill, pieces};

/// A template's value, and whether it may be shown: not where a variable went into it.
fn filled(found: &Found<'_>, text: &Text) -> Option<(String, bool)> {
    let shown = pieces(&text.0).iter().all(|p| matches!(p, Piece::Literal(_)));
    fill(&text.0, found.lookup).ok().map(|value| (value, shown))
}

/// A URL that can be asked.
pub(super) fn url(found: &mut Found<'_>, path: &[&str], text: &Text) {
    let Some((url, shown)) = filled(found, text) else { return };
    let wrong = match reqwest::Url::parse(&url) {
        Ok(url) if !["http", "https"].contains(&url.scheme()) => {
            Some("only `http://` and `https://` can be asked".to_owned())
        }
        Ok(_) => None,
        Err(_) if !url.contains("://") => Some("it must begin with `http://` or `https://`".to_owned()),
        Err(e) => Some(e.to_string()),
    };
    if let Some(why) = wrong {
        let at = found.document.value_at(path);
        let title = if shown {
            format!("`{}` is not a URL to ask", short(&url))
        } else {
            format!("`{text}` is not a URL once its variables are filled in")
        };
        found.add(Mistake::error(&at, title).label(why));
    }
}

/// Names of headers.
pub(super) fn headers(found: &mut Found<'_>, path: &[&str], headers: &IndexMap<String, Text>) {
    for header in headers.keys() {
        if reqwest::header::HeaderName::from_bytes(header.as_bytes()).is_err() {
            let at = found.document.key_at(&[path, &["headers", header]].concat());
            found.add(Mistake::error(&at, "this cannot be the name of a header"));
        }
    }
}

/// A place of a JSON text.
pub(super) fn pointer(found: &mut Found<'_>, path: &[&str], pointer: &str) {
    let at = found.document.value_at(path);
    place_at(found, &at, pointer);
}

/// The same, where it is a key.
pub(super) fn place(found: &mut Found<'_>, path: &[&str], pointer: &str) {
    let at = found.document.key_at(path);
    place_at(found, &at, pointer);
}

fn place_at(found: &mut Found<'_>, at: &Range<usize>, pointer: &str) {
    if !is_pointer(pointer) {
        found.add(Mistake::error(at, "this is no place of a JSON text").label("write for example `/shop/name`"));
    }
}

/// A host and a port.
pub(super) fn address(found: &mut Found<'_>, path: &[&str], text: &Text) {
    let Some((address, _)) = filled(found, text) else { return };
    let good = address.rsplit_once(':').is_some_and(|(host, port)| {
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .map_or(!host.is_empty() && !host.contains([':', '/', ' ']), |v6| v6.parse::<std::net::Ipv6Addr>().is_ok());
        host && port.parse::<u16>().is_ok_and(|p| p > 0)
    });
    if !good {
        let at = found.document.value_at(path);
        found.add(
            Mistake::error(&at, format!("`{text}` is not an address to connect to"))
                .label("write `host:port`, or `[::1]:port`"),
        );
    }
}
