//! Tables of Squall's, against a real kernel and what `nft` says of it.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use squall::host::net::nft::rule::never_meant;
use squall::host::net::nft::{self, Chain, Hook, Match, Rule, Verdict, Version};
use squall::model::network::{Direction, Peer, Peers, Ports, Protocol, Traffic};

use super::pair::{FAR, FAR6, NEAR, Pair, empty, ping, told};

const MARK: &str = "0123456789abcdef";

fn chain(hook: Hook, rules: Vec<Rule>) -> Chain {
    Chain {
        version: Version::Both,
        name: "here".to_owned(),
        hook,
        priority: 0,
        rules: [never_meant(hook), rules].concat(),
    }
}

fn to_port(port: u16, protocol: Option<Protocol>) -> Traffic {
    Traffic { protocol, remote_ports: vec![Ports { first: port, last: port }], ..Traffic::all(Direction::Both) }
}

#[test]
fn a_table_is_made_filled_found_and_removed() {
    let at = empty();
    let before = told(&at, "nft list ruleset");
    at.run(|| {
        nft::create(MARK)?;
        nft::create(MARK)?;
        nft::create("other")?;
        assert_eq!(nft::marks()?, [MARK, "other"]);
        let rules = vec![Rule {
            matches: vec![
                Match::V6(false),
                Match::Protocol(6),
                Match::Source("10.0.0.0/9".parse().unwrap()),
                Match::SourcePort(Ports { first: 80, last: 89 }),
                Match::Byte { at: 13, mask: 4, first: 4, last: 4 },
            ],
            verdict: Verdict::Drop,
            comment: "flow 1".to_owned(),
        }];
        nft::fill(MARK, &[chain(Hook::Prerouting, rules.clone())]).map(drop)?;
        nft::fill(MARK, &[chain(Hook::Prerouting, rules)]).map(drop)
    })
    .unwrap();
    let table = told(&at, "nft list table inet squall_0123456789abcdef");
    for line in [
        "type filter hook prerouting priority filter; policy accept;",
        "iif \"lo\" counter packets 0 bytes 0 accept comment \"loopback\"",
        "ip saddr 10.0.0.0/9 tcp sport 80-89 tcp flags & rst == rst counter packets 0 bytes 0 drop comment \"flow 1\"",
    ] {
        assert!(table.matches(line).count() == 1, "no `{line}` in\n{table}");
    }
    at.run(|| {
        nft::delete("none")?;
        nft::delete(MARK)?;
        nft::delete(MARK)?;
        nft::delete_all()?;
        assert_eq!(nft::counters(MARK)?, []);
        Ok(())
    })
    .unwrap();
    assert_eq!(told(&at, "nft list ruleset"), before);
}

#[test]
fn many_rules_go_in_at_once() {
    let at = empty();
    let one = |n: u16| Rule {
        matches: vec![Match::Protocol(6), Match::SourcePort(Ports { first: n, last: n })],
        verdict: Verdict::Queue(7),
        comment: "many".to_owned(),
    };
    at.run(|| nft::fill(MARK, &[chain(Hook::Output, (1..3000).map(one).collect())]).map(drop)).unwrap();
    assert_eq!(at.run(|| nft::counters(MARK)).unwrap().len(), 2999 + 4);
}

/// When TCP tries again to connect where nobody has answered, and refused nothing.
const RETRY: Duration = Duration::from_secs(1);

#[test]
fn what_is_refused_is_refused_at_once_and_nothing_else_is() {
    let pair = Pair::new();
    let both = |traffic: &Traffic, hook: Hook| {
        chain(hook, nft::refuse(&nft::select(traffic, hook.arriving(), None), "refused"))
    };
    pair.far
        .run(|| {
            let listeners = [format!("{FAR}:81"), format!("{FAR}:82"), format!("[{FAR6}]:81")].map(TcpListener::bind);
            let echo = UdpSocket::bind(format!("{FAR}:81"))?;
            pair.near.run(|| {
                nft::fill(MARK, &[both(&to_port(81, None), Hook::Output)]).map(drop)?;
                let start = Instant::now();
                for address in [format!("{FAR}:81"), format!("[{FAR6}]:81")] {
                    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
                }
                let udp = UdpSocket::bind(format!("{NEAR}:0"))?;
                udp.connect(format!("{FAR}:81"))?;
                udp.set_read_timeout(Some(Duration::from_secs(5)))?;
                // The sender is told at once that the packet does not go, and a moment later why.
                assert_eq!(udp.send(b"?").unwrap_err().kind(), ErrorKind::PermissionDenied);
                assert_eq!(udp.recv(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
                assert!(start.elapsed() < RETRY, "{:?}", start.elapsed());
                TcpStream::connect(format!("{FAR}:82"))?;
                let refused: u64 =
                    nft::counters(MARK)?.iter().filter(|c| c.comment == "refused").map(|c| c.packets).sum();
                assert_eq!(refused, 3);
                Ok(())
            })?;
            drop((listeners, echo));
            Ok(())
        })
        .unwrap();
}

#[test]
fn everybody_but_some_is_refused_in_both_families() {
    let pair = Pair::new();
    let addresses = [format!("{FAR}:81"), format!("[{FAR6}]:81")];
    let reaches = |but: &[&str]| {
        let but = but.iter().map(|range| Peer::Addresses(range.parse().unwrap())).collect();
        let traffic = Traffic { peers: Peers::AllBut(but), ..Traffic::all(Direction::Egress) };
        let refused = nft::refuse(&nft::select(&traffic, false, None), "refused");
        pair.near.run(nft::delete_all).unwrap();
        pair.near.run(|| nft::fill(MARK, &[chain(Hook::Output, refused)]).map(drop)).unwrap();
        addresses.clone().map(|address| pair.near.run(|| TcpStream::connect(address)).is_ok())
    };
    let _listeners = pair.far.run(|| Ok(addresses.clone().map(|a| TcpListener::bind(a).unwrap()))).unwrap();
    assert_eq!(reaches(&[]), [false, false]);
    assert_eq!(reaches(&["10.9.0.0/16", FAR, "192.168.0.1", "fd99::/64"]), [true, false], "FAR among others");
    assert_eq!(reaches(&["10.77.0.0/30", "fd99::1", "fd77::/64"]), [true, true]);
    // As many as fit, none beside another; one more is told beforehand.
    let many = |n: u8| (0..n).map(|i| format!("10.77.0.{}", 3 + 2 * i)).chain([FAR.to_owned()]).collect::<Vec<_>>();
    let most = many(100);
    assert_eq!(reaches(&most.iter().map(String::as_str).collect::<Vec<_>>()), [true, false]);
    let more = many(101).iter().map(|a| Peer::Addresses(a.parse().unwrap())).collect();
    let more = Traffic { peers: Peers::AllBut(more), ..Traffic::all(Direction::Egress) };
    assert!(nft::too_many(&more).is_some());
}

#[test]
fn without_a_listener_a_queue_lets_everything_pass() {
    let pair = Pair::new();
    let queue = vec![Rule { matches: Vec::new(), verdict: Verdict::Queue(9), comment: "queue".to_owned() }];
    pair.near.run(|| nft::fill(MARK, &[chain(Hook::Output, queue)]).map(drop)).unwrap();
    pair.near.run(|| [FAR, FAR6].into_iter().try_for_each(|peer| ping(peer).map(drop))).unwrap();
    let counters = pair.near.run(|| nft::counters(MARK)).unwrap();
    assert!(counters.iter().any(|c| c.comment == "queue" && c.packets >= 2), "{counters:?}");
}
