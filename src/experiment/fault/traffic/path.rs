//! Faults in the path of connections: what their keys have in common.

use crate::experiment::document::diagnostic::Mistake;
use crate::experiment::document::found::{Found, dotted};
use crate::model::quantity::Percent;

/// What no probe of the target itself sees.
pub(in crate::experiment::fault) const UNSEEN: &str = "a `tcp` probe of the target itself sees none of the connections that it begins: only an answer that needs one does";

/// `share`, which must affect something.
pub(in crate::experiment::fault) fn share(found: &mut Found<'_>, own: &[&str]) {
    let key = [own, &["share"]].concat();
    if found.document.part::<Percent>(&key).is_some_and(|share| share.0 <= 0.0) {
        let at = found.document.value_at(&key);
        found.add(Mistake::error(&at, format!("`{}` affects nothing", dotted(&key))));
    }
}

/// A key that says something by being there.
pub(in crate::experiment::fault) fn is_true(found: &mut Found<'_>, key: &[&str]) {
    if found.document.part::<bool>(key) == Some(false) {
        let at = found.document.value_at(key);
        found.add(Mistake::error(&at, format!("`{}: false` does nothing", dotted(key))).help("leave it out"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::{read_fault, set};

    #[test]
    fn what_is_written_is_what_is_set() {
        for (fault, want) in [
            (
                "{ http: { to: { service: store }, match: { method: get, path: '/a*', status: 200-299 }, status: 503, when: after } }",
                "HTTP requests GET /a* that are answered 200-299: answered 503, after the server has answered, to store-1, tcp",
            ),
            (
                "{ http: { port: 80, delay: 1s, jitter: 100ms, share: 10%, first: 6, every: 3 } }",
                "10 % of each 3rd of the first 6 HTTP requests: 1s ± 100ms later, to everybody, tcp, port 80",
            ),
            ("{ http: { stall: true, every: 5 } }", "each 5th of the HTTP requests: never answered, to everybody, tcp"),
            (
                "{ http: { cut-after: 16KiB, corrupt-body: true, bandwidth: 1mbit } }",
                "HTTP requests: reset after 16,384 bytes of the body, the body is altered, the body at most 1mbit, to everybody, tcp",
            ),
            ("{ tcp: { refuse: true, to: { service: store } } }", "refused, to and from store-1, tcp"),
            (
                "{ tcp: { accept-then-hang: true, close-after: 2s, share: 25% } }",
                "25 % of the connections: nothing passes, closed after 2s, to everybody, tcp",
            ),
            (
                "{ tcp: { delay: 5ms, slice: { size: 1b, every: 1ms }, limit: 1kb, slow-close: 1s, direction: ingress } }",
                "connections: 5ms later, in pieces of 1 byte, one each 1ms, closed after 1,024 bytes, its end 1s later (what is received), to everybody, tcp",
            ),
        ] {
            assert_eq!(set(fault).replace("traffic: ", ""), want, "{fault}");
        }
    }

    #[test]
    fn what_does_nothing_or_cannot_be_is_refused() {
        for (fault, told) in [
            ("{ http: {} }", "does nothing"),
            ("{ http: { match: { path: / } } }", "does nothing"),
            ("{ http: { status: 101 } }", "is no status of an answer"),
            ("{ http: { status: 503, share: 0% } }", "affects nothing"),
            ("{ http: { status: 503, first: 0 } }", "must be above 0"),
            ("{ http: { status: 503, first: 2, every: 3 } }", "affects nothing"),
            ("{ http: { stall: false } }", "does nothing"),
            ("{ http: { status: 503, stall: true } }", "`stall` does not go with `status`"),
            ("{ http: { delay: 1s, body: x } }", "needs `status`"),
            ("{ http: { status: 204, body: x } }", "has no body"),
            ("{ http: { status: 503, headers: { Content-Length: '5' } } }", "cannot be sent"),
            ("{ http: { status: 503, headers: { x: \"a\\r\\nb: c\" } } }", "cannot be sent"),
            ("{ http: { status: 503, match: { status: 200 } } }", "needs `when: after`"),
            ("{ http: { jitter: 1s, status: 503 } }", "needs"),
            ("{ tcp: {} }", "does nothing"),
            ("{ tcp: { refuse: true, share: 5% } }", "`share` does not go with `refuse`"),
            ("{ tcp: { reset-after: 0s, close-after: 1s } }", "do not go together"),
            ("{ tcp: { accept-then-hang: true, delay: 1s } }", "`delay` does not go with `accept-then-hang`"),
            ("{ tcp: { limit: 0b } }", "must be above 0"),
            ("{ tcp: { slice: { size: 0b } } }", "must be above 0"),
        ] {
            let mistakes = read_fault(fault).err().unwrap_or_else(|| panic!("{fault} is accepted")).to_string();
            assert!(mistakes.contains(told), "{fault}\n{mistakes}");
        }
    }
}
