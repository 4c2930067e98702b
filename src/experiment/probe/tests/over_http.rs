//! What is asked over HTTP and HTTPS.

use super::*;

#[tokio::test]
async fn http_any_2xx_is_good_unless_a_status_is_expected() {
    let ok = Server::status("204 No Content", "").await;
    let url = format!("http://127.0.0.1:{}/", ok.port);
    assert_eq!(ask(Probe::Http(http(&url))).await, GOOD);
    let exact = Http { status: vec![200].into(), ..http(&url) };
    assert_eq!(ask(Probe::Http(exact)).await, failure::failed("status 204"));
    let down = Server::status("503 Service Unavailable", "").await;
    let url = format!("http://localhost:{}/", down.port);
    assert_eq!(ask(Probe::Http(http(&url))).await, failure::failed("status 503"));
    assert_eq!(ask(Probe::Http(Http { status: vec![200, 503].into(), ..http(&url) })).await, GOOD);
}

#[tokio::test]
async fn http_reads_the_body() {
    let server = Server::status("200 OK", "orders: 42 open, s3cret").await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let contains = |text: &str| Probe::Http(Http { contains: Some(Text(text.into())), ..http(&url) });
    assert_eq!(ask(contains("${TOKEN}")).await, GOOD);
    assert_eq!(ask(contains("x${TOKEN}")).await, failure::failed("body lacks \"x${TOKEN}\""), "as the file says it");
    let matches = |pattern: &str| Probe::Http(Http { matches: Some(pattern.into()), ..http(&url) });
    assert_eq!(ask(matches(r"orders: (\d+)")).await, good("42"));
    assert_eq!(ask(matches("open")).await, good("open"));
    assert_eq!(ask(matches("shut")).await, failure::failed("body does not match"));
}

#[tokio::test]
async fn http_is_told_who_has_answered() {
    let body = r#"{ "shop": { "name": "shop-2" }, "stock": 42 }"#;
    let server = Server::status("200 OK\r\nx-served-by: shop-1 ", body).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    for (told, by) in [
        (AnsweredBy::Header("X-Served-By".into()), Some("shop-1")),
        (AnsweredBy::Header("via".into()), None),
        (AnsweredBy::Json("/shop/name".into()), Some("shop-2")),
        (AnsweredBy::Json("/stock".into()), Some("42")),
        (AnsweredBy::Json("/store".into()), None),
        (AnsweredBy::Matches("shop-[0-9]".into()), Some("shop-2")),
        (AnsweredBy::Matches("stock\": ([0-9])".into()), Some("4")),
        (AnsweredBy::Matches("gateway".into()), None),
    ] {
        let answer = ask(Probe::Http(Http { answered_by: Some(told.clone()), ..http(&url) })).await;
        assert_eq!(answer, Answer::Good { value: None, by: by.map(str::to_owned) }, "{told:?}");
    }
    for wrong in [AnsweredBy::Header("served by".into()), AnsweredBy::Matches("(".into())] {
        assert!(live(Probe::Http(Http { answered_by: Some(wrong), ..http(&url) }), 100).is_err());
    }
}

#[tokio::test]
async fn http_says_how_the_system_failed() {
    let (port, _closed) = closed_port();
    let refused = format!("http://user:hunter2@127.0.0.1:{port}/?key=hunter2");
    assert_eq!(ask(Probe::Http(http(&refused))).await, failure::failed("connection refused"));
    for bytes in ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfew", "HTTP/1.1 200"] {
        let server = Server::answering(bytes, true).await;
        let url = format!("http://127.0.0.1:{}/", server.port);
        assert_eq!(ask(Probe::Http(http(&url))).await, failure::failed("closed early"), "{bytes:?}");
    }
    let server = Server::answering("SSH-2.0-OpenSSH\r\n\r\n", true).await;
    let url = format!("http://user:hunter2@127.0.0.1:{}/?key=hunter2", server.port);
    let Answer::Failed(Failure(words)) = ask(Probe::Http(http(&url))).await else { panic!("it is no HTTP") };
    assert!(words.contains("HTTP") && !words.contains("hunter2"), "{words}");
}

#[tokio::test]
async fn http_gives_up_at_the_timeout_even_within_the_body() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nfew", false).await;
    let began = Instant::now();
    let live = live(Probe::Http(http(&format!("http://127.0.0.1:{}/", server.port))), 200).unwrap();
    assert_eq!(live.ask("it").await, failure::timeout());
    assert!((200..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn http_follows_redirects_and_keeps_connections_only_when_told() {
    let server = Server::status("302 Found\r\nlocation: /", "").await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    assert_eq!(ask(Probe::Http(http(&url))).await, failure::failed("status 302"));
    assert_eq!(ask(Probe::Http(Http { follow: true, ..http(&url) })).await, failure::failed("too many redirects"));

    let server = Server::status("200 OK", "hello").await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    for (keep_alive, connections) in [(false, 3), (true, 4)] {
        let live = live(Probe::Http(Http { keep_alive, ..http(&url) }), 5000).unwrap();
        for _ in 0..3 {
            assert_eq!(live.ask("it").await, GOOD);
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), connections, "keep-alive: {keep_alive}");
    }
}

/// Serves one TLS connection after the other on a thread that ends with the tests, with this certificate of `tests/data/tls`.
/// A client without a certificate of its own is refused where `clients` are to have one of this CA.
fn tls_server(certificate: &str, clients: Option<&str>) -> u16 {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_file_iter(format!("tests/data/tls/{certificate}.pem"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_file(format!("tests/data/tls/{certificate}.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(ca) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(format!("tests/data/tls/{ca}.pem")).unwrap()).unwrap();
            let builder = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(builder.build().unwrap())
        }
    };
    let config = Arc::new(config.with_single_cert(chain, key).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(session, stream.unwrap());
            let mut request = [0; 4096];
            // A client that trusts nobody hangs up within the handshake.
            if tls.read(&mut request).is_ok() {
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        }
    });
    port
}

#[tokio::test]
async fn https_trusts_its_own_ca_and_nobody_else() {
    let port = tls_server("server", None);
    let url = format!("https://localhost:{port}/");
    let ca = || Some("tests/data/tls/ca.pem".to_owned());
    assert_eq!(ask(Probe::Http(Http { ca: ca(), ..http(&url) })).await, GOOD);
    assert_eq!(ask(Probe::Http(http(&url))).await, failure::failed("tls: unknown issuer"));
    let other = format!("https://127.0.0.1:{port}/");
    assert_eq!(
        ask(Probe::Http(Http { ca: ca(), ..http(&other) })).await,
        failure::failed("tls: certificate for another name")
    );
    let plain = Server::status("200 OK", "").await;
    let url = format!("https://localhost:{}/", plain.port);
    assert_eq!(ask(Probe::Http(http(&url))).await, failure::failed("tls: not TLS"));
}

#[tokio::test]
async fn https_trusts_a_self_signed_certificate_that_is_given() {
    let port = tls_server("self-signed", None);
    let own = || Some("tests/data/tls/self-signed.pem".to_owned());
    let url = format!("https://localhost:{port}/");
    assert_eq!(ask(Probe::Http(Http { ca: own(), ..http(&url) })).await, GOOD);
    let other = Some("tests/data/tls/ca.pem".to_owned());
    assert_eq!(
        ask(Probe::Http(Http { ca: other, ..http(&url) })).await,
        failure::failed("tls: a CA's certificate as the server's own")
    );
    let elsewhere = format!("https://127.0.0.1:{port}/");
    assert_eq!(
        ask(Probe::Http(Http { ca: own(), ..http(&elsewhere) })).await,
        failure::failed("tls: certificate for another name")
    );
}

#[tokio::test]
async fn https_shows_who_it_is_where_a_server_asks() {
    let file = |name: &str| Some(format!("tests/data/tls/{name}"));
    let url = format!("https://localhost:{}/", tls_server("server", Some("client-ca")));
    let known = Http { ca: file("ca.pem"), ..http(&url) };
    let client = Http { cert: file("client.pem"), key: file("client.key"), ..known.clone() };
    assert_eq!(ask(Probe::Http(client)).await, GOOD);
    let Answer::Failed(Failure(words)) = ask(Probe::Http(known.clone())).await else { panic!("it has shown nothing") };
    assert!(words.contains("CertificateRequired"), "{words}");
    let stranger = Http { cert: file("server.pem"), key: file("server.key"), ..known.clone() };
    assert!(matches!(ask(Probe::Http(stranger)).await, Answer::Failed(_)));
    assert!(live(Probe::Http(Http { cert: file("server.pem"), ..known }), 1000).is_err(), "a key belongs to it");
}

#[tokio::test]
async fn https_takes_any_certificate_when_told() {
    for certificate in ["server", "self-signed"] {
        let url = format!("https://127.0.0.1:{}/", tls_server(certificate, None));
        assert_eq!(ask(Probe::Http(Http { insecure: true, ..http(&url) })).await, GOOD);
        assert_ne!(ask(Probe::Http(http(&url))).await, GOOD);
    }
    assert!(
        Probe::Http(Http { insecure: true, ..http("https://x/") }).kind().caveat().unwrap().contains("any certificate")
    );
}

#[tokio::test]
async fn a_unix_socket_is_asked_instead_of_a_port() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.sock");
    let text = || Some(Text(path.display().to_string()));
    let http = || Probe::Http(Http { socket: text(), ..http("http://shop/stock") });
    let tcp = || Probe::Tcp(Tcp { address: None, socket: text() });
    for probe in [http(), tcp()] {
        assert_eq!(ask(probe).await, failure::failed("no such socket"));
    }
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            if let Ok(1..) = stream.read(&mut request).await {
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        }
    });
    for probe in [http(), tcp()] {
        assert_eq!(ask(probe).await, GOOD);
    }
    serving.shutdown().await;
    for probe in [http(), tcp()] {
        assert_eq!(ask(probe).await, failure::failed("connection refused"), "the file outlives who made it");
    }
    let long = Tcp { address: None, socket: Some(Text("/x".repeat(100))) };
    assert!(live(Probe::Tcp(long), 1000).is_err());
}

#[tokio::test]
async fn a_value_is_read_at_its_place_of_a_json_text() {
    let body = r#"{ "shops": [{ "stock": 42 }], "note": "x" }"#;
    let server = Server::status("200 OK", body).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let at = |json: &str| Some(ValueAt { json: json.to_owned() });
    let http = |json: &str| Probe::Http(Http { value: at(json), ..http(&url) });
    assert_eq!(ask(http("/shops/0/stock")).await, good("42"));
    assert_eq!(ask(http("/note")).await, good("x"));
    assert_eq!(ask(http("/shops/1")).await, failure::failed("body has no /shops/1"));
    let exec = |said: &str| Probe::Exec(Exec { value: at("/shops/0/stock"), ..exec(&["echo", said]) });
    assert_eq!(ask(exec(body)).await, good("42"));
    assert_eq!(ask(exec("42")).await, failure::failed("output has no /shops/0/stock"));
    assert_eq!(ask(exec("{")).await, failure::failed("output is not JSON"));
}

/// What has no end is read as far as anything is looked at, and no further.
#[tokio::test]
async fn a_body_without_end_is_read_up_to_its_bound() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let piece = "x".repeat(64 * 1024);
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(piece.as_bytes()).await.is_ok() {
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
        }
    });
    let by = Some(AnsweredBy::Json("/shop".into()));
    let seeks = Some(Text("shop".into()));
    assert_eq!(ask(Probe::Http(http(&url))).await, GOOD);
    assert_eq!(ask(Probe::Http(Http { answered_by: by, ..http(&url) })).await, GOOD);
    assert!(matches!(ask(Probe::Http(Http { contains: seeks, ..http(&url) })).await, Answer::Failed(_)));
    // What the kernel holds on its way comes on top.
    assert!(sent.load(Ordering::SeqCst) < 100 * 1024 * 1024, "{} bytes were taken", sent.load(Ordering::SeqCst));
    let promql = serde_json::from_value(serde_json::json!({ "url": url, "query": "1" })).unwrap();
    assert_eq!(ask(Probe::Promql(promql)).await, Answer::NotMeasured("the answer is larger than 8 MiB".into()));
}

#[tokio::test]
async fn what_cannot_be_prepared_is_said_before_anything_is_asked() {
    let says = |probe: Probe, words: &[&str]| {
        let error = format!("{:#}", live(probe, 1000).err().expect("it cannot be prepared"));
        for word in words.iter().chain(&["`it`"]) {
            assert!(error.contains(word), "{error}");
        }
        assert!(!error.contains("s3cret"), "{error}");
    };
    says(Probe::Http(http("http://shop/${NOT_SET}")), &["${NOT_SET}", "not set"]);
    says(Probe::Http(http("http://[${TOKEN}/")), &["http://[${TOKEN}/", "not a URL"]);
    says(Probe::Http(http("ftp://shop/")), &["ftp://shop/", "http://"]);
    says(Probe::Http(Http { ca: Some("/no/such.pem".into()), ..http("https://shop/") }), &["/no/such.pem"]);
    says(Probe::Http(Http { method: Some("GE T".into()), ..http("http://shop/") }), &["GE T"]);
    let headers = [("x-token".to_owned(), Text("${TOKEN}\n".into()))].into();
    says(Probe::Http(Http { headers, ..http("http://shop/") }), &["x-token"]);
    says(Probe::Tcp(tcp("shop")), &["shop", "host:port"]);
}

#[tokio::test]
async fn http_holds_each_named_assertion_against_the_answer() {
    let body = r#"{ "shop": { "open": true }, "stock": 42 }"#;
    let server = Server::status("200 OK\r\nx-mode: normal", body).await;
    let url = format!("http://127.0.0.1:{}/", server.port);
    let with = |more: serde_json::Value| -> Probe {
        let mut keys = serde_json::json!({ "url": url });
        keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Probe::Http(serde_json::from_value(keys).unwrap())
    };
    let json = |place: &str, text: &str| with(serde_json::json!({ "json": { place: text } }));
    assert_eq!(ask(json("/shop/open", "true")).await, GOOD);
    assert_eq!(ask(json("/stock", "42.0")).await, GOOD, "numbers are compared as numbers");
    assert_eq!(ask(json("/shop/open", "false")).await, failure::failed("/shop/open is another"));
    assert_eq!(ask(json("/shop/till", "exists")).await, failure::failed("/shop/till is absent"));
    let named = |mode: &str| {
        with(serde_json::json!({ "assert": {
            "open": { "json": { "/shop/open": "true" } },
            "mode": { "header": { "X-Mode": mode } },
        } }))
    };
    assert_eq!(ask(named("normal")).await, GOOD);
    assert_eq!(ask(named("calm")).await, failure::failed("mode: header X-Mode is another"), "it says which");
}

/// The same with what `during` says.
async fn reply(url: &str, during: serde_json::Value) -> Reply {
    let check = Check { during: serde_json::from_value(during).unwrap(), ..check(Probe::Http(http(url)), 2000) };
    let live = Live::new([("it", &check)], world(2), |_: &str| Err(Absent::Unset)).unwrap();
    live.reply("it").await
}

#[tokio::test]
async fn http_tells_how_an_answer_stands_in_health_and_in_degradation() {
    let down = Server::status("503 Service Unavailable\r\nretry-after: 30", "closed for now").await;
    let up = Server::status("200 OK", "closed for now").await;
    let [down, up] = [&down, &up].map(|server| format!("http://127.0.0.1:{}/", server.port));
    let shed = || {
        let body = serde_json::json!({ "contains": "closed" });
        serde_json::json!({ "status": 503, "header": { "Retry-After": "exists" }, "body": body })
    };
    let met = reply(&down, shed()).await;
    assert_eq!((met.answer, met.status), (failure::failed("status 503"), Some(503)));
    assert_eq!(met.degraded, Some(GOOD));
    let unmet = reply(&up, shed()).await;
    assert_eq!((unmet.answer, unmet.degraded), (GOOD, Some(failure::failed("status 200"))));
    let either = serde_json::json!({ "status": [200, 503] });
    assert_eq!(reply(&down, either.clone()).await.degraded, Some(GOOD));
    assert_eq!(reply(&up, either).await.degraded, Some(GOOD));
    let body = || serde_json::json!({ "body": { "contains": "closed" } });
    assert_eq!(reply(&down, body()).await.degraded, Some(failure::failed("status 503")), "the status stays as it was");
    assert_eq!(reply(&up, body()).await.degraded, Some(GOOD));

    let (port, _closed) = closed_port();
    let refused = reply(&format!("http://127.0.0.1:{port}/"), shed()).await;
    assert_eq!((refused.degraded, refused.status), (Some(failure::failed("connection refused")), None));
}
