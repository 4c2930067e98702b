//! One-way streams under a delay, measured at the receiver: what each side sends arrives later by what was declared for that
//! side, whether it is pushed or asked for, over TCP and UDP. A round trip alone cannot tell one way from the other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use squall::model::network::{Direction, Flow, Mechanism, Network, Shape, Traffic, Treatment};

use super::measure::{Line, Stream, Talk, conversation, datagrams, pushed};
use super::stage::{self, Peer, Stage};
use super::{AT_MOST, SEED};

/// How many megabits a second of datagrams an emulated machine carries both ways.
const MOST_EMULATED: u32 = 10;
/// How long anybody waits beyond what is declared.
const PATIENCE: Duration = Duration::from_millis(600);
/// Between two messages that are pushed.
const EVERY: Duration = Duration::from_millis(20);
const MESSAGES: usize = 100;
/// Those from here on count: before, TCP finds out how much the line takes.
const SETTLED: usize = 60;
/// Where they are received: one port for each way.
const OUT: u16 = 7003;
const BACK: u16 = 7004;
/// Bytes of a datagram: one that fits a packet, and one that is cut to pieces.
const WHOLE: usize = 1_250;
const IN_PIECES: usize = 8_000;

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Written to a connection and never answered.
    Pushed { bytes: usize, nodelay: bool },
    /// Datagrams of a sender that does not wait.
    Sent { megabits: u32, bytes: usize },
    /// a request and its response.
    Pulled,
}

const KINDS: [Kind; 9] = [
    Kind::Pushed { bytes: 100, nodelay: true },
    Kind::Pushed { bytes: 100, nodelay: false },
    Kind::Pushed { bytes: 8_000, nodelay: true },
    Kind::Pushed { bytes: 8_000, nodelay: false },
    Kind::Sent { megabits: 5, bytes: WHOLE },
    Kind::Sent { megabits: 10, bytes: WHOLE },
    Kind::Sent { megabits: 20, bytes: WHOLE },
    Kind::Sent { megabits: 10, bytes: IN_PIECES },
    Kind::Pulled,
];

/// Median, 5th and 95th percentile of how long what was sent took, and how much of it the sender was refused.
#[derive(Debug)]
struct Took {
    median: Duration,
    low: Duration,
    high: Duration,
    refused: usize,
    missing: usize,
}

/// A stream in both directions, to be measured under one delay.
#[derive(Debug, Clone, Copy)]
struct Row<'a> {
    stage: &'a Stage,
    peer: &'a Peer<'a>,
    direction: Direction,
    kind: Kind,
    delay: Duration,
}

/// Prints the table, of the peers whose name has this in it; whether everything was as declared.
pub(crate) async fn table(
    stage: &Stage,
    mechanism: Option<Mechanism>,
    delay: Duration,
    peers: &str,
) -> anyhow::Result<bool> {
    println!("{}\n", stage.describe());
    println!("| peer | delayed | stream | the target sends | the peer sends | as declared |");
    println!("|---|---|---|---|---|---|");
    let (mut rows, mut good) = (0, 0);
    for peer in stage.peers().filter(|peer| peer.name.contains(peers)) {
        for direction in [Direction::Egress, Direction::Ingress, Direction::Both] {
            let shape = Shape { delay, ..Shape::default() };
            let treatment = Treatment::Shape(Box::new(shape));
            let flows = vec![Flow { traffic: Traffic::all(direction), treatment }];
            stage.disturb(Network { flows, mechanism, seed: SEED }).await?;
            let carried = |kind: &Kind| !matches!(kind, Kind::Sent { megabits, .. } if *megabits > MOST_EMULATED);
            for kind in KINDS.into_iter().filter(|kind| !stage::emulated() || carried(kind)) {
                let (cells, complaints) = {
                    let row = Row { stage, peer: &peer, direction, kind, delay };
                    tokio::task::block_in_place(|| row.measured())?
                };
                rows += 1;
                good += usize::from(complaints.is_empty());
                let verdict =
                    if complaints.is_empty() { "yes".to_owned() } else { format!("**no**: {}", complaints.join("; ")) };
                println!("| {} | {} | {} | {cells} | {verdict} |", peer.name, way(direction), name(kind));
            }
            stage.leave_alone().await?;
        }
    }
    println!("\n{good} of {rows} as declared.");
    Ok(good == rows)
}

impl Row<'_> {
    /// Its cells and complaints, taken again where the machine may have been held up.
    fn measured(self) -> anyhow::Result<(String, Vec<String>)> {
        let mut last = None;
        for _ in 0..AT_MOST {
            let (cells, complaints) = self.once()?;
            if complaints.is_empty() {
                return Ok((cells, complaints));
            }
            last = Some((cells, complaints));
        }
        last.context("it was measured")
    }

    fn once(self) -> anyhow::Result<(String, Vec<String>)> {
        let Self { stage, peer, direction, kind, delay } = self;
        let target = stage.target_end();
        let out = Line { from: &target.namespace, to: peer.namespace, at: SocketAddr::new(peer.address, OUT) };
        let back = Line { from: peer.namespace, to: &target.namespace, at: SocketAddr::new(target.address, BACK) };
        let patience = delay * 2 + PATIENCE;
        // What each side sends is late where its own way is delayed; what is asked for meets both ways.
        let ways = [(out, direction != Direction::Ingress), (back, direction != Direction::Egress)];
        let times = u32::from(ways[0].1) + u32::from(ways[1].1);
        let measured = std::thread::scope(|scope| {
            ways.map(|(line, _)| scope.spawn(move || measure(line, kind, patience)))
                .map(|taken| taken.join().expect("measuring does not panic"))
        });
        let mut complaints = Vec::new();
        let mut cells = Vec::new();
        for ((side, (_, late)), took) in
            ["what the target sends", "what the peer sends"].into_iter().zip(ways).zip(measured)
        {
            let took = took?;
            let declared = match kind {
                Kind::Pulled => delay * times,
                _ => delay * u32::from(late),
            };
            let slack = stage::slack();
            // Without TCP_NODELAY a write's end waits for the acknowledgement of what was sent before: a round trip at most.
            let waits = matches!(kind, Kind::Pushed { nodelay: false, .. });
            let most = declared + slack + if waits { delay * times } else { Duration::ZERO };
            if took.median + Duration::from_millis(1) < declared || took.median > most {
                complaints.push(format!("{side}: the median is off"));
            }
            if took.refused + took.missing > 0 {
                complaints.push(format!("{side}: {} refused, {} missing", took.refused, took.missing));
            }
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            let (median, low, high) = (ms(took.median), ms(took.low), ms(took.high));
            let refused =
                if matches!(kind, Kind::Sent { .. }) { format!(", {} refused", took.refused) } else { String::new() };
            cells.push(format!("{median:.1} ms [{low:.1}–{high:.1}]{refused}"));
        }
        Ok((cells.join(" | "), complaints))
    }
}

fn measure(line: Line<'_>, kind: Kind, patience: Duration) -> anyhow::Result<Took> {
    match kind {
        Kind::Pushed { bytes, nodelay } => {
            let mut times = pushed(line, bytes, nodelay, (MESSAGES, EVERY), patience)?;
            let mut times = times.split_off(SETTLED);
            times.sort();
            Ok(of_sorted(&times, 0, 0))
        }
        Kind::Sent { megabits, bytes } => {
            let every = Duration::from_nanos(bytes as u64 * 8 * 1_000 / u64::from(megabits));
            let stream = Stream { packets: 500, every, size: bytes, waits: false };
            let arrivals = datagrams(line, stream, patience)?;
            let mut times: Vec<Duration> = arrivals.intact.iter().map(|a| a.took).collect();
            times.sort();
            Ok(of_sorted(&times, arrivals.refused, arrivals.missing() - arrivals.refused))
        }
        Kind::Pulled => match conversation(line, patience)? {
            Talk::RoundTrip(time) => Ok(of_sorted(&[time], 0, 0)),
            other => anyhow::bail!("no conversation: {other:?}"),
        },
    }
}

fn of_sorted(times: &[Duration], refused: usize, missing: usize) -> Took {
    let at =
        |hundredths: usize| times.get(times.len().saturating_sub(1) * hundredths / 100).copied().unwrap_or_default();
    Took { median: at(50), low: at(5), high: at(95), refused, missing }
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "what the target sends",
        Direction::Ingress => "what it receives",
        Direction::Both => "both",
    }
}

fn name(kind: Kind) -> String {
    match kind {
        Kind::Pushed { bytes, nodelay: true } => format!("TCP, pushed, {bytes} bytes, TCP_NODELAY"),
        Kind::Pushed { bytes, nodelay: false } => format!("TCP, pushed, {bytes} bytes"),
        Kind::Sent { megabits, bytes } => format!("UDP, {bytes} bytes, {megabits} Mbit/s"),
        Kind::Pulled => "TCP, asked for (there and back)".to_owned(),
    }
}
