//! Probes: whether they can be asked.

use indexmap::IndexMap;

use super::pattern::{regex, telling};
use super::{Found, Mistake, command, positive};
use crate::experiment::probe::{self, Probe};
use crate::experiment::{Rate, Span, Text};
use crate::model::quantity::{Piece, fill, pieces};

/// More questions than these are never waiting for their answers.
const MOST_IN_FLIGHT: f64 = 10_000.0;

/// What is asked, wherever the check stands.
pub(super) fn check(found: &mut Found<'_>, path: &[&str]) {
    let Some(entry) = found.document.entry(path) else { return };
    if path.last().is_none_or(|name| name.trim().is_empty()) {
        found.add(Mistake::error(&entry.key_at, "a probe needs a name"));
    }
    let under = |keys: &[&'static str]| [path, keys].concat();
    if let Some(http) = found.document.part::<probe::Http>(&under(&["http"])) {
        self::http(found, &under(&["http"]), &http);
    }
    if let Some(tcp) = found.document.part::<probe::Tcp>(&under(&["tcp"]))
        && let Some(text) = &tcp.address
    {
        address(found, &under(&["tcp", "address"]), text);
    }
    if let Some(exec) = found.document.part::<probe::Exec>(&under(&["exec"])) {
        command(found, &under(&["exec", "run"]), &exec.run);
        if let Some(at) = &exec.value {
            pointer(found, &under(&["exec", "value", "json"]), &at.json);
        }
    }
    if let Some(promql) = found.document.part::<probe::Promql>(&under(&["promql"])) {
        self::promql(found, &under(&["promql"]), &promql);
    }
    if let Some(alert) = found.document.part::<probe::Alert>(&under(&["alert"])) {
        self::alert(found, &under(&["alert"]), &alert);
        if let Some(caveat) = Probe::Alert(alert).caveat() {
            let at = found.document.key_at(&under(&["alert", "alertmanager"]));
            found.add(Mistake::warning(&at, caveat));
        }
    }
    if let Some(timeout) = found.document.part::<Span>(&under(&["timeout"])) {
        positive(found, &under(&["timeout"]), timeout);
    }
}

/// How often a check asks and how long it waits, with the defaults of its probe. `None` where that is not known.
pub(super) fn pace(found: &Found<'_>, path: [&str; 2]) -> Option<(Rate, Span)> {
    let [section, name] = path;
    let document = found.document;
    let http = || document.part(&[section, name, "http"]).map(Probe::Http);
    let tcp = || document.part(&[section, name, "tcp"]).map(Probe::Tcp);
    let exec = || document.part(&[section, name, "exec"]).map(Probe::Exec);
    let engine = || document.part(&[section, name, "engine"]).map(Probe::Engine);
    let promql = || document.part(&[section, name, "promql"]).map(Probe::Promql);
    let alert = || document.part(&[section, name, "alert"]).map(Probe::Alert);
    let probe = http().or_else(tcp).or_else(exec).or_else(engine).or_else(promql).or_else(alert)?;
    let rate = match document.entry(&[section, name, "rate"]) {
        Some(_) => document.part(&[section, name, "rate"])?,
        None => probe.default_rate(),
    };
    let timeout = match document.entry(&[section, name, "timeout"]) {
        Some(_) => document.part(&[section, name, "timeout"])?,
        None => probe.default_timeout(),
    };
    Some((rate, timeout))
}

/// How many questions may be open at once.
pub(super) fn in_flight(found: &mut Found<'_>, path: [&str; 2]) {
    let Some((rate, timeout)) = pace(found, path) else { return };
    let waiting = rate.0 * timeout.0.as_secs_f64();
    if waiting > MOST_IN_FLIGHT {
        let [section, name] = path;
        let at = found.document.value_at(&[section, name, "rate"]);
        found.add(
            Mistake::error(&at, format!("{rate} for {timeout} is up to {waiting:.0} open questions at once"))
                .label(format!("at most {MOST_IN_FLIGHT} may be open"))
                .help("lower `rate` or `timeout`"),
        );
    }
}

/// A template's value, and whether it may be shown: not where a variable went into it.
fn filled(found: &Found<'_>, text: &Text) -> Option<(String, bool)> {
    let shown = pieces(&text.0).iter().all(|p| matches!(p, Piece::Literal(_)));
    fill(&text.0, found.lookup).ok().map(|value| (value, shown))
}

/// A URL that can be asked.
fn url(found: &mut Found<'_>, path: &[&str], text: &Text) {
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
            format!("`{}` is not a URL to ask", super::super::diagnostic::short(&url))
        } else {
            format!("`{text}` is not a URL once its variables are filled in")
        };
        found.add(Mistake::error(&at, title).label(why));
    }
}

fn headers(found: &mut Found<'_>, path: &[&str], headers: &IndexMap<String, Text>) {
    for header in headers.keys() {
        if reqwest::header::HeaderName::from_bytes(header.as_bytes()).is_err() {
            let at = found.document.key_at(&[path, &["headers", header]].concat());
            found.add(Mistake::error(&at, "this cannot be the name of a header"));
        }
    }
}

fn promql(found: &mut Found<'_>, path: &[&str], promql: &probe::Promql) {
    url(found, &[path, &["url"]].concat(), &promql.url);
    headers(found, path, &promql.headers);
    if promql.query.0.trim().is_empty() {
        let at = found.document.value_at(&[path, &["query"]].concat());
        found.add(Mistake::error(&at, "the query is empty").label("write for example `sum(up{job=\"shop\"})`"));
    }
}

/// An alert, wherever it stands.
pub(super) fn alert(found: &mut Found<'_>, path: &[&str], alert: &probe::Alert) {
    for (key, text) in [("alertmanager", &alert.alertmanager), ("prometheus", &alert.prometheus)] {
        if let Some(text) = text {
            url(found, &[path, &[key]].concat(), text);
        }
    }
    headers(found, path, &alert.headers);
    if alert.labels.is_empty() {
        let at = found.document.key_at(&[path, &["labels"]].concat());
        found.add(
            Mistake::error(&at, "without a label any alert is meant")
                .help("name the alert: `labels: { alertname: ShopDown }`; `alertname: \"*\"` is any"),
        );
    }
}

fn http(found: &mut Found<'_>, path: &[&str], http: &probe::Http) {
    let key = |key: &'static str| [path, &[key]].concat();
    let answered_by = |key: &'static str| [path, &["answered-by", key]].concat();
    url(found, &key("url"), &http.url);
    if http.method.as_ref().is_some_and(|m| reqwest::Method::from_bytes(m.as_bytes()).is_err()) {
        let at = found.document.value_at(&key("method"));
        found.add(Mistake::error(&at, "this is not an HTTP method"));
    }
    headers(found, path, &http.headers);
    if http.status.is_some_and(|s| !(100..600).contains(&s)) {
        let at = found.document.value_at(&key("status"));
        found.add(Mistake::error(&at, "this is not an HTTP status").label("100 to 599"));
    }
    if let Some(pattern) = &http.matches {
        regex(found, &key("matches"), pattern);
    }
    if http.contains.as_ref().is_some_and(|text| text.0.is_empty()) {
        let at = found.document.value_at(&key("contains"));
        found
            .add(Mistake::error(&at, "every body contains the empty text").label("a text that only a good answer has"));
    }
    match &http.answered_by {
        Some(probe::AnsweredBy::Matches(pattern)) => {
            let help = r"it tells no instances apart: name who answers in a group, such as `from (\S+)`";
            telling(found, &answered_by("matches"), pattern, help);
        }
        Some(probe::AnsweredBy::Header(header))
            if reqwest::header::HeaderName::from_bytes(header.as_bytes()).is_err() =>
        {
            let at = found.document.value_at(&answered_by("header"));
            found.add(Mistake::error(&at, "this cannot be the name of a header"));
        }
        Some(probe::AnsweredBy::Json(place)) => pointer(found, &answered_by("json"), place),
        _ => {}
    }
    if let Some(at) = &http.value {
        pointer(found, &[path, &["value", "json"]].concat(), &at.json);
    }
    for (given, lacks, other) in [("cert", "key", (&http.cert, &http.key)), ("key", "cert", (&http.key, &http.cert))] {
        if let (Some(_), None) = other {
            let at = found.document.key_at(&key(given));
            found.add(Mistake::error(&at, format!("`{given}` says nothing without `{lacks}`")));
        }
    }
    if http.insecure {
        let at = found.document.key_at(&key("insecure"));
        let help = "give the server's certificate, or its CA's, as `ca`; if it is to stay so, every report says it";
        let mistake = Mistake::warning(&at, "any certificate is accepted: an impostor's answers count as the system's");
        found.add(mistake.help(help));
    }
}

/// A place of a JSON text.
fn pointer(found: &mut Found<'_>, path: &[&str], pointer: &str) {
    if !probe::is_pointer(pointer) {
        let at = found.document.value_at(path);
        found.add(Mistake::error(&at, "this is no place of a JSON text").label("write for example `/shop/name`"));
    }
}

fn address(found: &mut Found<'_>, path: &[&str], text: &Text) {
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
