use proptest::prelude::*;

use super::*;
use crate::host::proxy::body::Body;

fn request_of(text: &str) -> Parsed<RequestHead> {
    request(text.as_bytes(), &RequestMatch::default())
}

fn body_of(headers: &str) -> Option<Body> {
    match request_of(&format!("POST / HTTP/1.1\r\nhost: a\r\n{headers}\r\n")) {
        Parsed::Whole(head) => Some(head.body),
        _ => None,
    }
}

#[test]
fn how_far_a_request_goes_is_read_where_it_is_clear() {
    assert_eq!(body_of(""), Some(Body::Done));
    assert_eq!(body_of("content-length: 5\r\n"), Some(Body::Length(5)));
    assert_eq!(body_of("content-length: 0\r\n"), Some(Body::Done));
    assert_eq!(body_of("content-length: 5\r\nContent-Length: 5\r\n"), Some(Body::Length(5)));
    assert_eq!(body_of("Transfer-Encoding: Chunked\r\n"), Some(Body::CHUNKED));
}

#[test]
fn what_two_programs_could_read_in_two_ways_is_left_alone() {
    for headers in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: 5, 5\r\n",
        "content-length: 0x5\r\n",
        "content-length: \r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding : chunked\r\n",
        "x: 1\n",
        " folded: 1\r\n",
    ] {
        assert_eq!(body_of(headers), None, "{headers:?}");
    }
    let old = "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(request_of(old), Parsed::Foreign, "HTTP/1.0 has no chunks");
    for other in
        ["\x16\x03\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "*1\r\n$4\r\nPING\r\n", "\0\0\0\x08\x04\u{d2}\x16/"]
    {
        assert_eq!(request_of(other), Parsed::Foreign, "{other:?}");
    }
    assert_eq!(request_of("GET / HTTP/1.1\r\nhost"), Parsed::Partial);
}

#[test]
fn how_far_an_answer_goes_depends_on_what_was_asked() {
    let asked = |method: &str| match request_of(&format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n")) {
        Parsed::Whole(head) => head,
        other => panic!("{other:?}"),
    };
    let body = |method, text: &str| match response(text.as_bytes(), &asked(method)) {
        Parsed::Whole(head) => Some((head.status, head.body)),
        _ => None,
    };
    let long = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(body("GET", long), Some((200, Body::Length(5))));
    assert_eq!(body("HEAD", long), Some((200, Body::Done)));
    assert_eq!(body("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"), Some((304, Body::Done)));
    assert_eq!(body("GET", "HTTP/1.1 204 No Content\r\n\r\n"), Some((204, Body::Done)));
    assert_eq!(body("GET", "HTTP/1.1 100 Continue\r\n\r\n"), Some((100, Body::Done)));
    assert_eq!(body("GET", "HTTP/1.0 200 OK\r\n\r\n"), Some((200, Body::UntilClose)));
    assert_eq!(body("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), Some((200, Body::CHUNKED)));
    assert_eq!(body("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n"), None);
}

#[test]
fn a_request_is_meant_by_all_that_is_given() {
    let words = |all: &[&str]| all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let matching = RequestMatch {
        methods: words(&["GET", "PUT"]),
        paths: words(&["/orders/*", "/"]),
        hosts: words(&["shop.*"]),
        headers: vec![("x-tenant".to_owned(), "gold*".to_owned())],
        statuses: Vec::new(),
    };
    let is_meant = |line: &str, host: &str, tenant: &str| {
        let text = format!("{line} HTTP/1.1\r\nHost: {host}\r\nX-Tenant: {tenant}\r\n\r\n");
        matches!(request(text.as_bytes(), &matching), Parsed::Whole(head) if head.is_meant)
    };
    for (line, host, tenant, want) in [
        ("GET /orders/1?x=/none", "shop.example", "gold-1", true),
        ("GET /?q", "Shop.Example:8080", "gold", true),
        ("GET http://shop.example/orders/7", "shop.example", "gold", true),
        ("GET http://shop.example", "shop.example", "gold", true),
        ("GET /login?next=http://shop.example/orders/7", "shop.example", "gold", false),
        ("POST /orders/1", "shop.example", "gold", false),
        ("GET /orders", "shop.example", "gold", false),
        ("GET /orders/1", "other", "gold", false),
        ("GET /orders/1", "shop.example", "silver", false),
    ] {
        assert_eq!(is_meant(line, host, tenant), want, "{line} {host} {tenant}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]
    #[test]
    fn whatever_comes_is_read_or_left_alone(bytes in prop::collection::vec(prop_oneof![
        Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), prop::num::u8::ANY], 0..200)
    ) {
        let text = [b"GET / HTTP/1.1\r\ncontent-length:".as_slice(), &bytes].concat();
        for text in [text.as_slice(), &bytes] {
            if let Parsed::Whole(head) = request(text, &RequestMatch::default()) {
                prop_assert!(head.length <= text.len());
                let _ = response(text, &head);
            }
        }
    }
}
