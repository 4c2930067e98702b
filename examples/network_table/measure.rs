//! Measuring what becomes of packets between two network namespaces: datagrams one way, and conversations over TCP.
//!
//! Both ends are sockets of this process, made inside the namespaces, so they share a clock. Knows nothing of faults.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use squall::host::net::namespace::Namespace;

/// What a datagram begins with: a hash of the rest, its number, and when it was sent.
const HEADER: usize = 8 + 4 + 8;

/// What Ethernet, IP and UDP add to a datagram.
const AROUND_UDP: usize = 14 + 20 + 8;
/// What goes over the wire for each byte of a TCP stream: 1448 in a full frame of 1514.
const AROUND_TCP: f64 = 1514.0 / 1448.0;

/// What a rate lets pass at once is not looked at, nor how TCP finds it.
const WARM_UP: Duration = Duration::from_secs(1);

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// From where to where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) from: &'a Namespace,
    pub(crate) to: &'a Namespace,
    /// Where the receiver listens.
    pub(crate) at: SocketAddr,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    pub(crate) packets: usize,
    pub(crate) every: Duration,
    /// Bytes of each, above UDP.
    pub(crate) size: usize,
    /// Whether the sender waits where its socket is full; one that does not is refused.
    pub(crate) waits: bool,
}

/// What arrived.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    pub(crate) sent: usize,
    /// What the sender was told is refused.
    pub(crate) refused: usize,
    /// Arrived as it was sent, in the order of arrival, without second copies.
    pub(crate) intact: Vec<Arrival>,
    pub(crate) copies: usize,
    pub(crate) altered: usize,
}

/// A datagram that arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) number: u32,
    pub(crate) took: Duration,
    pub(crate) at: Duration,
}

impl Arrivals {
    /// How many did not arrive as they were sent.
    pub(crate) fn missing(&self) -> usize {
        self.sent - self.intact.len()
    }

    /// The delays that these shares of the packets stayed below.
    pub(crate) fn delays<const N: usize>(&self, shares: [f64; N]) -> Option<[Duration; N]> {
        let mut all: Vec<Duration> = self.intact.iter().map(|a| a.took).collect();
        all.sort();
        let last = all.len().checked_sub(1)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        Some(shares.map(|share| all[(share * last as f64).round() as usize]))
    }

    /// How many arrived after one that was sent later.
    pub(crate) fn overtaken(&self) -> usize {
        let mut newest = 0;
        let late = self.intact.iter().filter(|a| {
            newest = newest.max(a.number);
            a.number < newest
        });
        late.count()
    }

    /// How many bits a second arrived, frames counted whole.
    pub(crate) fn rate(&self, size: usize) -> Option<f64> {
        let from = self.intact.first()?.at + WARM_UP;
        let steady: Vec<Duration> = self.intact.iter().map(|a| a.at).filter(|at| *at >= from).collect();
        let span = steady.last()?.checked_sub(*steady.first()?)?.as_secs_f64();
        Some((steady.len() - 1) as f64 * 8.0 * (size + AROUND_UDP) as f64 / span)
    }
}

/// Sends datagrams at an even pace and tells what became of them, having waited for the last one for `patience`.
pub(crate) fn datagrams(line: Line<'_>, stream: Stream, patience: Duration) -> io::Result<Arrivals> {
    let receiver = line.to.run(|| UdpSocket::bind(line.at))?;
    let sender = line.from.run(|| UdpSocket::bind("0.0.0.0:0"))?;
    sender.connect(line.at)?;
    sender.set_nonblocking(!stream.waits)?;
    let begin = EPOCH.elapsed() + Duration::from_millis(5);
    let span = stream.every * u32::try_from(stream.packets).unwrap_or(u32::MAX);
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| receive(&receiver, stream, begin + span + patience));
        let sending = scope.spawn(|| send(&sender, stream, begin));
        let refused = sending.join().expect("the sender does not panic")?;
        let arrivals = receiving.join().expect("the receiver does not panic")?;
        Ok(Arrivals { sent: stream.packets, refused, ..arrivals })
    })
}

/// Tells how many sendings failed.
fn send(socket: &UdpSocket, stream: Stream, begin: Duration) -> io::Result<usize> {
    let mut packet = vec![0x5a; stream.size.max(HEADER)];
    let mut refused = 0;
    for number in 0..u32::try_from(stream.packets).unwrap_or(u32::MAX) {
        let due = begin + stream.every * number;
        while let Some(wait) = due.checked_sub(EPOCH.elapsed()) {
            std::thread::park_timeout(wait);
        }
        packet[8..12].copy_from_slice(&number.to_le_bytes());
        packet[12..20].copy_from_slice(&nanoseconds(EPOCH.elapsed()).to_le_bytes());
        let hash = hash(&packet[8..]);
        packet[..8].copy_from_slice(&hash.to_le_bytes());
        match socket.send(&packet) {
            Ok(_) => {}
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::ConnectionRefused | io::ErrorKind::PermissionDenied | io::ErrorKind::WouldBlock
                ) =>
            {
                refused += 1;
            }
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {} // a queue is full: lost
            Err(e) => return Err(e),
        }
    }
    Ok(refused)
}

fn receive(socket: &UdpSocket, stream: Stream, until: Duration) -> io::Result<Arrivals> {
    let mut arrivals = Arrivals::default();
    let mut known = BTreeSet::new();
    let mut packet = vec![0; 1 << 16];
    while let Some(wait) = until.checked_sub(EPOCH.elapsed()).filter(|wait| !wait.is_zero()) {
        socket.set_read_timeout(Some(wait))?;
        let length = match socket.recv(&mut packet) {
            Ok(length) => length,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => continue,
            Err(e) => return Err(e),
        };
        let at = EPOCH.elapsed();
        let packet = &packet[..length];
        if length != stream.size.max(HEADER) || number(&packet[..8]) != hash(&packet[8..]) {
            arrivals.altered += 1;
            continue;
        }
        let took = at.saturating_sub(Duration::from_nanos(number(&packet[12..20])));
        let number = u32::try_from(number(&packet[8..12])).unwrap_or(u32::MAX);
        if known.insert(number) {
            arrivals.intact.push(Arrival { number, took, at });
        } else {
            arrivals.copies += 1;
        }
    }
    Ok(arrivals)
}

/// Writes messages of a size to a connection at an even pace, which are never answered; how long each took.
pub(crate) fn pushed(
    line: Line<'_>,
    bytes: usize,
    nodelay: bool,
    (messages, every): (usize, Duration),
    patience: Duration,
) -> io::Result<Vec<Duration>> {
    let receive = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(patience + every))?;
        let mut message = vec![0; bytes];
        let one = |_| {
            stream.read_exact(&mut message)?;
            Ok(EPOCH.elapsed().saturating_sub(Duration::from_nanos(number(&message[..8]))))
        };
        (0..messages).map(one).collect::<io::Result<Vec<_>>>()
    };
    let ((), took) = with_server(line, receive, || {
        let mut stream = TcpStream::connect_timeout(&line.at, patience)?;
        stream.set_nodelay(nodelay)?;
        let mut message = vec![0; bytes];
        let begin = EPOCH.elapsed();
        for n in 0..u32::try_from(messages).unwrap_or(u32::MAX) {
            while let Some(wait) = (begin + every * n).checked_sub(EPOCH.elapsed()) {
                std::thread::park_timeout(wait);
            }
            message[..8].copy_from_slice(&nanoseconds(EPOCH.elapsed()).to_le_bytes());
            stream.write_all(&message)?;
        }
        // Until the receiver has everything and closes.
        stream.set_read_timeout(Some(patience * 2))?;
        let _ = stream.read(&mut [0]);
        Ok(())
    })?;
    took.ok_or_else(|| io::Error::other("nothing arrived"))
}

/// How a conversation over TCP went.
#[derive(Debug, Clone)]
pub(crate) enum Talk {
    /// How long a request and its response took, in the middle of several; connecting counts as one.
    RoundTrip(Duration),
    /// Nobody answered in time.
    Silence,
    /// It was refused, so soon.
    Refused(Duration),
}

/// Connects, and asks and is answered a few times, each within `patience`.
pub(crate) fn conversation(line: Line<'_>, patience: Duration) -> io::Result<Talk> {
    const REQUESTS: usize = 4;
    with_server(line, echo, || {
        let begin = Instant::now();
        let mut stream = match TcpStream::connect_timeout(&line.at, patience) {
            Ok(stream) => stream,
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => return Ok(Talk::Refused(begin.elapsed())),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => return Ok(Talk::Silence),
            Err(e) => return Err(e),
        };
        let mut took = vec![begin.elapsed()];
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        for _ in 0..REQUESTS {
            let begin = Instant::now();
            stream.write_all(b"?")?;
            match stream.read_exact(&mut [0]) {
                Ok(()) => took.push(begin.elapsed()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Talk::Silence),
                Err(e) => return Err(e),
            }
        }
        took.sort();
        Ok(Talk::RoundTrip(took[took.len() / 2]))
    })
    .map(|(talk, _)| talk)
}

/// Sends as much as gets through for so long; how many bits a second arrived, frames counted whole.
pub(crate) fn throughput(line: Line<'_>, span: Duration) -> io::Result<f64> {
    let ((), arrived) = with_server(line, count, || {
        let mut stream = TcpStream::connect_timeout(&line.at, Duration::from_secs(5))?;
        stream.set_write_timeout(Some(span))?;
        let (begin, bytes) = (Instant::now(), [0; 16 * 1024]);
        while begin.elapsed() < WARM_UP + span {
            stream.write_all(&bytes)?;
        }
        stream.shutdown(Shutdown::Both)
    })?;
    arrived.ok_or_else(|| io::Error::other("nothing arrived"))
}

/// Serves one connection at the line's end while `client` works at its beginning. What the server has to say is nothing
/// where no client connected.
fn with_server<C, S: Send>(
    line: Line<'_>,
    server: impl FnOnce(TcpStream) -> io::Result<S> + Send,
    client: impl FnOnce() -> io::Result<C> + Send,
) -> io::Result<(C, Option<S>)>
where
    C: Send,
{
    let listener = line.to.run(|| TcpListener::bind(line.at))?;
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| match listener.accept() {
            Ok((stream, _)) => server(stream).map(Some),
            Err(_) => Ok(None), // told below that no client will come
        });
        let talked = line.from.run(client);
        let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
        let said = serving.join().expect("the server does not panic");
        Ok((talked?, said?))
    })
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = [0; 64];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return Ok(()),
            Ok(n) => stream.write_all(&bytes[..n])?,
        }
    }
}

fn count(mut stream: TcpStream) -> io::Result<f64> {
    let (begin, mut bytes) = (Instant::now(), vec![0; 1 << 16]);
    let mut steady: Option<(Instant, Instant, usize)> = None;
    loop {
        let n = match stream.read(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(n) => n,
        };
        let now = Instant::now();
        if now >= begin + WARM_UP {
            let (from, _, so_far) = steady.map_or((now, now, 0), |(from, _, bytes)| (from, now, bytes + n));
            steady = Some((from, now, so_far));
        }
    }
    let (from, to, bytes) = steady.ok_or_else(|| io::Error::other("too little arrived"))?;
    Ok(bytes as f64 * 8.0 * AROUND_TCP / (to - from).as_secs_f64())
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A little-endian number.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// 64-bit FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
