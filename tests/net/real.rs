//! Real servers and clients on both sides of a proxy: nginx and curl, also with TLS, and those of the package grpcio.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use squall::host::net::namespace::Namespace;
use squall::model::network::{
    Chosen, Delay, Direction, Existing, GrpcFault, GrpcStatus, HttpFault, Network, ProxyFault, RequestMatch, TlsAlert,
    TlsEnd, TlsFault, When,
};

use super::pair::{FAR, NEAR, Pair, until};
use super::proxy::{InThePath, MEANT, OTHER, answer, nothing, through};

/// A real server, for as long as the test goes on.
struct Real {
    process: Child,
    _files: tempfile::TempDir,
}

impl Real {
    /// At the far end, on its port.
    fn start(pair: &Pair, files: tempfile::TempDir, command: &mut Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = pair.far.run(|| command.spawn()).unwrap_or_else(|e| panic!("{command:?}: {e}"));
        until("it listens", || pair.far.run(|| TcpStream::connect((FAR, MEANT))).is_ok());
        Self { process, _files: files }
    }

    /// nginx with TLS, for whichever name, with a certificate that nobody has signed.
    fn tls(pair: &Pair) -> Self {
        let files = tempfile::tempdir().unwrap();
        let at = files.path().display();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"])
            .args(["-subj", "/CN=far", "-keyout", &format!("{at}/key"), "-out", &format!("{at}/certificate")])
            .output();
        assert!(made.expect("the package openssl is missing").status.success());
        let own = format!("ssl_certificate {at}/certificate; ssl_certificate_key {at}/key;");
        Self::nginx_with(pair, files, &format!("server {{ listen {FAR}:{MEANT} ssl; {own} return 200 whole; }}"))
    }

    /// nginx, with a page of 5 MB on two ports, that tells who asks in a header.
    fn nginx(pair: &Pair) -> Self {
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("page"), page()).unwrap();
        let at = files.path().display();
        let servers = format!(
            "server {{ listen {FAR}:{MEANT}; listen {FAR}:{OTHER} http2; root {at}; add_header x-client $remote_addr; }}"
        );
        Self::nginx_with(pair, files, &servers)
    }

    fn nginx_with(pair: &Pair, files: tempfile::TempDir, servers: &str) -> Self {
        let at = files.path().display();
        let text = format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr;\n\
             events {{}}\n\
             http {{ access_log off;\n\
               client_body_temp_path {at}/1; proxy_temp_path {at}/2; fastcgi_temp_path {at}/3;\n\
               uwsgi_temp_path {at}/4; scgi_temp_path {at}/5;\n\
               {servers} }}\n",
        );
        std::fs::write(files.path().join("nginx.conf"), text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(files.path().join("nginx.conf"));
        Self::start(pair, files, &mut command)
    }

    fn grpc(pair: &Pair) -> Self {
        let mut command = python();
        Self::start(pair, tempfile::tempdir().unwrap(), command.args(["serve", &format!("{FAR}:{MEANT}")]))
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the page is.
fn page() -> Vec<u8> {
    (0..5_000_000_u32).flat_map(|n| [u8::try_from(n % 251).unwrap()]).collect()
}

/// That of the system, for which its packages are.
fn python() -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/net/real/grpc_peer.py"));
    command
}

/// What curl is answered: status, version of HTTP, whose address the server sees, and how many bytes of the page are as they should be.
fn curl(at: &Namespace, version: &str, port: u16, path: &str) -> String {
    let output = at
        .run(|| {
            Command::new("curl")
                .args(["--silent", "--max-time", "20", version, "--write-out"])
                .arg("%{stderr}%{http_code} %{http_version} %header{x-client}")
                .arg(format!("http://{FAR}:{port}{path}"))
                .output()
        })
        .expect("the package curl is missing");
    let same = output.stdout.iter().zip(page()).take_while(|(have, want)| **have == *want).count();
    let whole = output.stdout.len() == same;
    format!("{} {same}{}", String::from_utf8_lossy(&output.stderr), if whole { "" } else { " and others" })
}

/// Before the ports of nginx, on either side.
fn before(fault: HttpFault, side: Direction) -> Network {
    let mut network = through(ProxyFault::Http(Box::new(fault)), Existing::Reset);
    let traffic = &mut network.flows[0].traffic;
    let mut ports = std::mem::take(&mut traffic.remote_ports);
    ports[0].last = OTHER;
    traffic.direction = side;
    match side {
        Direction::Ingress => traffic.local_ports = ports,
        _ => traffic.remote_ports = ports,
    }
    network
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_nginx_meet_what_is_meant_and_nothing_else_on_either_side() {
    for side in [Direction::Egress, Direction::Ingress] {
        let (wire, chosen) = (Pair::new(), Chosen { first: Some(2), ..Chosen::default() });
        let nginx = Real::nginx(&wire);
        let matching = RequestMatch { paths: vec!["/page".to_owned()], ..RequestMatch::default() };
        let (near, far) = (wire.near.try_clone().unwrap(), wire.far.try_clone().unwrap());
        let client = near.try_clone().unwrap();
        let pair = if side == Direction::Egress { Pair { near, far } } else { Pair { near: far, far: near } };
        let fault = HttpFault { matching, chosen, answer: Some(answer(503)), ..nothing() };
        let path = InThePath::on(pair, &before(fault, side)).await;
        for (version, port, told) in [("--http1.1", MEANT, "1.1"), ("--http2-prior-knowledge", OTHER, "2")] {
            assert_eq!(curl(&client, version, port, "/page"), format!("503 {told}  0 and others"), "{side:?}");
            assert!(curl(&client, version, port, "/missing").starts_with(&format!("404 {told}")), "{side:?}");
        }
        for (version, port, told) in [("--http1.1", MEANT, "1.1"), ("--http2-prior-knowledge", OTHER, "2")] {
            let whole = format!("200 {told} {NEAR} 5000000");
            assert_eq!(curl(&client, version, port, "/page"), whole, "{side:?}: the first two alone are affected");
        }
        path.tells("what was met", |told| (told.requests, told.meant, told.affected) == (6, 4, 2));
        path.clear().await;
        drop(nginx);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_grpc_is_refused_held_or_cut_and_a_stream_passes() {
    let of = |method: &str| GrpcFault {
        services: vec!["shop.v1.*".to_owned()],
        methods: vec![method.to_owned()],
        chosen: Chosen::default(),
        when: When::Before,
        status: None,
        message: String::new(),
        delay: Delay::default(),
        stall: false,
        cut_after: None,
    };
    let unavailable =
        GrpcFault { status: Some(GrpcStatus::Unavailable), message: "squall: 100%".to_owned(), ..of("Place") };
    for (fault, placed, watched) in [
        (unavailable, "UNAVAILABLE squall: 100%", "seen one\nseen two"),
        (GrpcFault { stall: true, ..of("Place") }, "DEADLINE_EXCEEDED", "seen one\nseen two"),
        (GrpcFault { cut_after: Some(15), ..of("Watch") }, "done it", "INTERNAL"),
    ] {
        let path = InThePath::with(&through(ProxyFault::Grpc(Box::new(fault)), Existing::Reset)).await;
        let server = Real::grpc(&path.pair);
        let call = |words: [&str; 3]| {
            let mut command = python();
            command.args(["call", &format!("{FAR}:{MEANT}")]).args(words);
            let output = path.pair.near.run(|| command.output()).unwrap();
            let text = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&text).trim().to_owned()
        };
        let (have, want) = (call(["Place", "no", "2"]), placed);
        assert!(have.starts_with(want), "{have}");
        let have = call(["Watch", "yes", "10"]);
        // Whether its client still shows the first message is its own affair.
        let told = have.strip_prefix("seen one\n").filter(|_| watched == "INTERNAL").unwrap_or(&have);
        assert!(told.starts_with(watched), "{have}");
        path.tells("one of two", |told| (told.requests, told.affected) == (2, 1));
        path.clear().await;
        drop(server);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_for_a_name_fails_as_it_is_told_and_others_do_not() {
    const STANDS: &str = "connection established";
    let late = Delay { delay: Duration::from_millis(300), ..Delay::default() };
    for (end, delay, told) in [
        (Some(TlsEnd::Alert(TlsAlert::CertificateExpired)), Delay::default(), "alert certificate expired"),
        (Some(TlsEnd::Alert(TlsAlert::UnrecognizedName)), Delay::default(), "unrecognized name"),
        (Some(TlsEnd::Reset), Delay::default(), "errno=104"),
        (Some(TlsEnd::Cut), Delay::default(), "unexpected eof"),
        (Some(TlsEnd::Stall), Delay::default(), ""),
        (None, late, STANDS),
    ] {
        let fault = TlsFault { names: vec!["*.meant.test".to_owned()], share: 1.0, delay, end };
        let path = InThePath::with(&through(ProxyFault::Tls(Box::new(fault)), Existing::Reset)).await;
        let server = Real::tls(&path.pair);
        let ask = |name: &str| {
            let to = format!("{FAR}:{MEANT}");
            let run = || {
                Command::new("timeout")
                    .args(["2", "openssl", "s_client", "-brief", "-connect", &to, "-servername", name])
                    .stdin(Stdio::null())
                    .output()
            };
            let output = path.pair.near.run(run).expect("the package openssl is missing");
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).to_lowercase()
        };
        let begin = Instant::now();
        let have = ask("api.meant.test");
        assert!(if told.is_empty() { have.is_empty() } else { have.contains(told) }, "{end:?}: {have}");
        assert!(delay.is_none() || begin.elapsed() >= delay.delay, "{:?}", begin.elapsed());
        assert!(ask("api.other.test").contains(STANDS), "for another name");
        path.tells("one of two", |told| (told.connections, told.meant, told.affected) == (2, 1, 1));
        path.clear().await;
        assert!(ask("api.meant.test").contains(STANDS), "it is over");
        drop(server);
    }
}
