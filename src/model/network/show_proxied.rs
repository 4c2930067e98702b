//! How what a proxy does reads to people.

use std::fmt;
use std::time::Duration;

use humantime::format_duration;

use super::show::{bits, percent};
use super::{
    Chosen, Delay, Direction, GrpcFault, HttpFault, Proxied, ProxyFault, ProxyStatistics, RequestMatch, StreamFault,
    TlsFault, When,
};
use crate::text::units::count;

fn bytes(n: u64) -> String {
    count(n, "byte")
}

impl fmt::Display for Proxied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            ProxyFault::Stream(fault) => fault.fmt(f),
            ProxyFault::Http(fault) => fault.fmt(f),
            ProxyFault::Grpc(fault) => fault.fmt(f),
            ProxyFault::Tls(fault) => fault.fmt(f),
            ProxyFault::Redis { error, share } => write!(f, "{}Redis commands: answered {error}", part(*share)),
            ProxyFault::Postgres { error, share } => {
                write!(f, "{}connections to PostgreSQL: refused with {} ({})", part(*share), error.code, error.message)
            }
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format_duration(self.delay))?;
        if self.jitter > Duration::ZERO {
            write!(f, " ± {}", format_duration(self.jitter))?;
        }
        f.write_str(" later")
    }
}

impl fmt::Display for StreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.hang {
            parts.push("nothing passes".to_owned());
        }
        if !self.delay.is_none() {
            parts.push(self.delay.to_string());
        }
        parts.extend(self.bandwidth.map(|rate| format!("at most {}", bits(rate))));
        parts.extend(self.slice.map(|slice| match slice.every {
            Duration::ZERO => format!("in pieces of {}", bytes(slice.size)),
            every => format!("in pieces of {}, one each {}", bytes(slice.size), format_duration(every)),
        }));
        parts.extend(self.limit.map(|limit| format!("closed after {}", bytes(limit))));
        if !self.slow_close.is_zero() {
            parts.push(format!("its end {} later", format_duration(self.slow_close)));
        }
        parts.extend(self.end.map(|end| {
            let how = if end.reset { "reset" } else { "closed" };
            if end.after.is_zero() {
                format!("{how} at once")
            } else {
                format!("{how} after {}", format_duration(end.after))
            }
        }));
        let way = match self.direction {
            Direction::Egress => " (what is sent)",
            Direction::Ingress => " (what is received)",
            Direction::Both => "",
        };
        write!(f, "{}connections: {}{way}", part(self.share), parts.join(", "))
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.delay.is_none() {
            parts.push(self.delay.to_string());
        }
        parts.extend(self.answer.as_ref().map(|answer| format!("answered {}", answer.status)));
        if self.stall {
            parts.push("never answered".to_owned());
        }
        parts.extend(self.cut_after.map(|after| format!("reset after {} of the body", bytes(after))));
        if self.corrupt_body {
            parts.push("the body is altered".to_owned());
        }
        parts.extend(self.bandwidth.map(|rate| format!("the body at most {}", bits(rate))));
        write!(f, "{}HTTP requests{}: {}", self.chosen, self.matching, parts.join(", "))?;
        if self.when == When::After { f.write_str(", after the server has answered") } else { Ok(()) }
    }
}

impl fmt::Display for GrpcFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.delay.is_none() {
            parts.push(self.delay.to_string());
        }
        parts.extend(self.status.map(|status| format!("answered {status}")));
        if self.stall {
            parts.push("never answered".to_owned());
        }
        parts.extend(self.cut_after.map(|after| format!("reset after {} of the answers", bytes(after))));
        write!(f, "{}gRPC calls", self.chosen)?;
        if !self.services.is_empty() {
            write!(f, " of {}", self.services.join(" or "))?;
        }
        if !self.methods.is_empty() {
            write!(f, ", {}", self.methods.join(" or "))?;
        }
        write!(f, ": {}", parts.join(", "))?;
        if self.when == When::After { f.write_str(", after the server has answered") } else { Ok(()) }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let late = (!self.delay.is_none()).then(|| self.delay.to_string());
        let parts: Vec<String> = late.into_iter().chain(self.end.map(|end| end.to_string())).collect();
        write!(f, "{}TLS handshakes", part(self.share))?;
        if !self.names.is_empty() {
            write!(f, " for {}", self.names.join(" or "))?;
        }
        write!(f, ": {}", parts.join(", "))
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.share < 1.0 {
            write!(f, "{} of ", percent(self.share))?;
        }
        match (self.first, self.every) {
            (Some(first), 1) => write!(f, "the first {first} "),
            (Some(first), every) => write!(f, "each {} of the first {first} ", nth(every)),
            (None, 1) => Ok(()),
            (None, every) => write!(f, "each {} of the ", nth(every)),
        }
    }
}

impl fmt::Display for RequestMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.methods.is_empty() {
            write!(f, " {}", self.methods.join(" or "))?;
        }
        if !self.paths.is_empty() {
            write!(f, " {}", self.paths.join(" or "))?;
        }
        if !self.hosts.is_empty() {
            write!(f, " for {}", self.hosts.join(" or "))?;
        }
        for (name, value) in &self.headers {
            write!(f, " with {name}: {value}")?;
        }
        let status =
            |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
        if !self.statuses.is_empty() {
            let statuses: Vec<String> = self.statuses.iter().map(status).collect();
            write!(f, " that are answered {}", statuses.join(" or "))?;
        }
        Ok(())
    }
}

impl fmt::Display for ProxyStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} went through the proxy", count(self.connections, "connection"))?;
        if self.requests > 0 {
            write!(f, " with {}, of which {} were meant", count(self.requests, "request"), self.meant)?;
        }
        write!(f, ", {} affected", self.affected)?;
        if self.reset > 0 {
            write!(f, ", {} reset at its beginning", count(self.reset, "open connection"))?;
        }
        for (n, what) in [
            (self.encrypted, "encrypted, so that no request could be read"),
            (self.opaque, "in another protocol than HTTP"),
            (self.unreachable, "whose server could not be reached"),
        ] {
            if n > 0 {
                write!(f, "; {} {what}", count(n, "connection"))?;
            }
        }
        Ok(())
    }
}

/// `2nd`, `5th`.
fn nth(n: u64) -> String {
    let ending = match (n % 10, n % 100) {
        (1, 1..=10 | 21..) => "st",
        (2, 1..=10 | 21..) => "nd",
        (3, 1..=10 | 21..) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

/// `25 % of the `.
fn part(share: f64) -> String {
    if share < 1.0 { format!("{} of the ", percent(share)) } else { String::new() }
}
