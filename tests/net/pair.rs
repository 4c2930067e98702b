//! Two namespaces with a wire between them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket, sockopt};
use squall::host::net::leases::Leases;
use squall::host::net::namespace::Namespace;

/// The addresses of the near end and of the far one.
pub(crate) const NEAR: &str = "10.77.0.1";
pub(crate) const FAR: &str = "10.77.0.2";
pub(crate) const NEAR6: &str = "fd77::1";
pub(crate) const FAR6: &str = "fd77::2";

/// What tests lay lasts as long as they do, or their own table.
pub(crate) static LEASES: LazyLock<Leases> = LazyLock::new(Leases::default);

/// Two namespaces, gone with the value: `near` stands for the target, `far` for its peers.
pub(crate) struct Pair {
    pub near: Namespace,
    pub far: Namespace,
}

/// A namespace that nobody else is in.
pub(crate) fn empty() -> Namespace {
    Namespace::new().expect("these tests need root")
}

/// What a command says in a namespace.
pub(crate) fn told(at: &Namespace, command: &str) -> String {
    let output = at.run(|| output(command)).unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command in the namespace of this thread.
pub(crate) fn output(command: &str) -> io::Result<std::process::Output> {
    let mut words = command.split_whitespace();
    Command::new(words.next().unwrap()).args(words).output()
}

/// The processes in whose environment something begins like this.
pub(crate) fn with_environment(beginning: &str) -> Vec<i32> {
    let has = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|v| v.starts_with(beginning.as_bytes()))
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    all.filter(has).collect()
}

/// The processes of the stacks in a state directory.
pub(crate) fn processes_of(state: &Path) -> Vec<i32> {
    with_environment(&format!("SQUALL_PROCESS={}", state.display()))
}

impl Pair {
    pub(crate) fn new() -> Self {
        let pair = Self { near: empty(), far: empty() };
        let far = pair.far.path();
        told(&pair.near, &format!("ip link add wire type veth peer name wire netns {}", far.display()));
        for (at, address, address6) in [(&pair.near, NEAR, NEAR6), (&pair.far, FAR, FAR6)] {
            told(at, "ip link set lo up");
            told(at, &format!("ip address add {address}/24 dev wire"));
            told(at, &format!("ip address add {address6}/64 dev wire nodad"));
            // No address that comes and settles by itself, in the middle of a comparison.
            told(at, "ip link set wire addrgenmode none");
            told(at, "ip link set wire up");
        }
        // Neighbours have to be found first, and what looks for them on a new wire may be lost.
        for far in [FAR, FAR6] {
            let found = (0..10).any(|_| pair.near.run(|| ping(far)).is_ok());
            assert!(found, "{far} does not answer on a new wire");
        }
        pair
    }
}

/// An ICMP echo, and how long the answer took; an error where none comes within 2 s.
pub(crate) fn ping(peer: &str) -> io::Result<Duration> {
    let peer: IpAddr = peer.parse().unwrap();
    let (family, protocol, ask, answer, skip) = match peer {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8, 0, 20),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128, 129, 0),
    };
    let fd = socket(family, SocketType::RAW, Some(protocol))?;
    sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(Duration::from_secs(2)))?;
    // Type, code, checksum (the kernel's own for IPv6), identifier, sequence.
    let number: [u8; 2] = rand::random();
    let mut packet = vec![ask, 0, 0, 0, number[0], number[1], 0, 1];
    let sum: u32 = packet.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    let start = Instant::now();
    sendto(&fd, &packet, SendFlags::empty(), &SocketAddr::new(peer, 0))?;
    let mut buffer = [0_u8; 256];
    loop {
        let (_, length) = recv(&fd, &mut buffer[..], RecvFlags::empty())?;
        let told = buffer.get(skip..length).unwrap_or_default();
        if told.first() == Some(&answer) && told.get(4..6) == Some(&number) {
            return Ok(start.elapsed());
        }
    }
}

/// How long what is to become so may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that is to become so.
#[expect(clippy::disallowed_methods, reason = "it is its own thread")]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "it never happens: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
