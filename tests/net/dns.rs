//! DNS queries, asked of a name server on the other side and of one on the loopback, as Docker's is.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use squall::engine::net::userspace;
use squall::model::network::{Direction, Dns, DnsAnswer, Traffic, Treatment};

use super::pair::{FAR, FAR6, Pair, told};
use super::shaper::{Tag, lay, network};

/// A query for an IPv4 address.
fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// What a server says about a name: the code, and the address where there is one.
fn ask(server: &str, port: u16, name: &str) -> Result<(u8, Option<Ipv4Addr>), ErrorKind> {
    let server: IpAddr = server.parse().unwrap();
    let socket = UdpSocket::bind((if server.is_ipv4() { "0.0.0.0" } else { "::" }, 0)).unwrap();
    // Resolvers connect, and so hear nobody but the server.
    socket.connect((server, port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let query = query(name);
    socket.send(&query).unwrap();
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).map_err(|e| e.kind())?;
    assert_eq!(buffer[..2], query[..2]);
    let address = (buffer[7] == 1).then(|| <[u8; 4]>::try_from(&buffer[length - 4..length]).unwrap().into());
    Ok((buffer[3] & 15, address))
}

/// A server that says 9.9.9.9 about every name, for as long as the socket is there.
fn serve(socket: UdpSocket) {
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if length == 1 {
                return;
            }
            let mut answer = buffer[..length].to_vec();
            answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 9, 9, 9, 9]);
            socket.send_to(&answer, from).unwrap();
        }
    });
}

const RIGHT: Result<(u8, Option<Ipv4Addr>), ErrorKind> = Ok((0, Some(Ipv4Addr::new(9, 9, 9, 9))));

fn dns(names: &[&str], answer: DnsAnswer) -> (Traffic, Treatment) {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    (Traffic::all(Direction::Egress), Treatment::Dns(Dns { names, answer }))
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_about_some_names_are_answered_wrongly() {
    let pair = Pair::new();
    // As Docker does it: who asks 127.0.0.11:53 is sent to another port there, by address translation.
    for rule in [
        "add table ip nat",
        "add chain ip nat output { type nat hook output priority -100 ; }",
        "add rule ip nat output ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:4053",
    ] {
        told(&pair.near, &format!("nft {rule}"));
    }
    let servers = [(&pair.far, FAR, 53), (&pair.far, FAR6, 53), (&pair.near, "127.0.0.11", 4053)];
    for (at, address, port) in servers {
        serve(at.run(|| UdpSocket::bind((address, port))).unwrap());
    }
    let ask_all = |name| pair.near.run(|| Ok([FAR, FAR6, "127.0.0.11"].map(|server| ask(server, 53, name)))).unwrap();
    assert_eq!(ask_all("db.gone"), [RIGHT; 3]);
    let before = told(&pair.near, "nft list ruleset");
    let tag = Tag::new();
    let wrong: Ipv4Addr = "192.0.2.7".parse().unwrap();
    let network = network([
        dns(&["*.gone"], DnsAnswer::Nxdomain),
        dns(&["broken"], DnsAnswer::Servfail),
        dns(&["silent.*"], DnsAnswer::Timeout),
        dns(&["moved.example"], DnsAnswer::Address(wrong.into())),
    ]);
    lay(&pair.near, &tag, &network).await;
    pair.near
        .run(|| {
            for server in [FAR, FAR6, "127.0.0.11"] {
                assert_eq!(ask(server, 53, "db.GONE"), Ok((3, None)), "{server}");
                assert_eq!(ask(server, 53, "broken"), Ok((2, None)), "{server}");
                assert_eq!(ask(server, 53, "silent.example"), Err(ErrorKind::WouldBlock), "{server}");
                assert_eq!(ask(server, 53, "Moved.Example"), Ok((0, Some(wrong))), "{server}");
                assert_eq!(ask(server, 53, "other.example"), RIGHT, "{server}");
            }
            Ok(())
        })
        .unwrap();
    let statistics = userspace::counted(&pair.near, &tag.0, &network.mark()).unwrap().shaper;
    assert_eq!(statistics.unwrap().names, Some(3 * 4), "those about other names are not among them");
    userspace::clear(&pair.near, &tag.0).await.unwrap();
    assert_eq!(told(&pair.near, "nft list ruleset"), before);
    assert_eq!(ask_all("db.gone"), [RIGHT; 3]);
    for (at, address, port) in servers {
        let end = at.run(|| UdpSocket::bind((if address == FAR6 { "::" } else { "0.0.0.0" }, 0))).unwrap();
        end.send_to(&[0], (address, port)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_nobody_hears_is_answered_for_and_tcp_is_no_way_round() {
    let pair = Pair::new();
    told(&pair.near, &format!("ip route add default via {FAR}"));
    let listener = pair.far.run(|| TcpListener::bind((FAR, 53))).unwrap();
    let tag = Tag::new();
    lay(&pair.near, &tag, &network([dns(&[], DnsAnswer::Nxdomain)])).await;
    pair.near
        .run(|| {
            assert_eq!(ask("8.8.8.8", 53, "any.example"), Ok((3, None)));
            let address = listener.local_addr()?;
            let error = TcpStream::connect_timeout(&address, Duration::from_millis(300)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            Ok(())
        })
        .unwrap();
    userspace::clear(&pair.near, &tag.0).await.unwrap();
    pair.near.run(|| TcpStream::connect((FAR, 53))).unwrap();
}
