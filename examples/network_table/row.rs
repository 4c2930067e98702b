//! A row of the table: what was measured of a fault, and what of that is not as declared.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use squall::host::net::namespace::Namespace;

use super::cases::{Between, Expected, Fault, Selection};
use super::judge::binomial;
use super::measure::{Arrivals, Line, Stream, Talk, conversation, datagrams, throughput};
use super::stage;

/// How far a rate may be off.
const RATE_OFF: f64 = 0.05;
/// How long anybody waits for what is not delayed by plan.
const PATIENCE: Duration = Duration::from_millis(400);
/// How long TCP's rate is measured.
const RATE_SPAN: Duration = Duration::from_secs(3);

/// What was measured.
#[derive(Debug)]
pub(crate) struct Row {
    fault: String,
    selection: &'static str,
    datagrams: String,
    tcp: String,
    beside: String,
    pub(crate) complaints: Vec<String>,
    /// How often it was taken before.
    again: usize,
}

impl Row {
    pub(crate) fn taken(self, again: usize) -> Self {
        Self { again, ..self }
    }

    pub(crate) fn verdict(&self) -> String {
        let again = ["", ", the second time", ", the third time"].get(self.again).copied().unwrap_or_default();
        if self.complaints.is_empty() {
            format!("yes{again}")
        } else {
            format!("**no**: {}", self.complaints.join("; "))
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, selection, datagrams, tcp, beside, .. } = self;
        write!(f, "| {fault} | {selection} | {datagrams} | {tcp} | {beside} | {} |", self.verdict())
    }
}

/// A container, where packets are sent and received.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) namespace: Namespace,
    pub(crate) address: IpAddr,
}

/// Measures what is meant and what is beside it, at the same time.
pub(crate) fn measure(ends: &[End], fault: &Fault, selection: &Selection) -> anyhow::Result<Row> {
    let line = |between: Between| Line {
        from: &ends[between.from].namespace,
        to: &ends[between.to].namespace,
        at: SocketAddr::new(ends[between.to].address, between.port),
    };
    let (meant, beside) = (line(selection.meant), line(selection.beside));
    let delay = match fault.expected {
        Expected::Late { delay, width } => delay + width.unwrap_or_default(),
        Expected::Soon { delay, .. } => delay,
        _ => Duration::ZERO,
    };
    // A rate below what is sent makes a queue.
    let patience = PATIENCE + if matches!(fault.expected, Expected::Rate(_)) { Duration::from_secs(2) } else { delay };
    let quiet = Stream { packets: 500, every: Duration::from_millis(2), size: 64, waits: true };
    let (arrived, arrived_beside) = std::thread::scope(|scope| {
        let meant = scope.spawn(|| datagrams(meant, fault.stream, patience));
        let beside = datagrams(beside, quiet, PATIENCE);
        (meant.join().expect("measuring does not panic"), beside)
    });
    let (arrived, arrived_beside) = (arrived.context("datagrams")?, arrived_beside.context("datagrams beside it")?);

    let machine = arrived_beside.delays([0.5, 0.95]).unwrap_or_default();
    let slack = stage::slack();
    let usually = slack + machine[0];
    let at_most = 2 * slack + machine[1];

    let mut complaints = Vec::new();
    let untouched = Expected::Missing { probability: 0.0, correlation: 0.0 };
    let expected = if selection.udp { fault.expected } else { untouched };
    complaints.extend(complain(&arrived, fault.stream, expected, usually, at_most).map(|c| format!("datagrams: {c}")));
    complaints.extend(complain(&arrived_beside, quiet, untouched, slack, at_most).map(|c| format!("beside it: {c}")));

    let trips = delay * selection.tcp;
    let (talk, talk_beside) = (conversation(meant, PATIENCE + trips), conversation(beside, PATIENCE));
    let (talk, talk_beside) = (talk.context("TCP")?, talk_beside.context("TCP beside it")?);
    if !matches!(talk_beside, Talk::RoundTrip(took) if took <= at_most) {
        complaints.push(format!("TCP beside it: {}", say(&talk_beside)));
    }
    let tcp = match fault.expected {
        Expected::Rate(rate) if selection.tcp > 0 => {
            let got = throughput(meant, RATE_SPAN).context("throughput")?;
            if (got / rate as f64 - 1.0).abs() > RATE_OFF {
                complaints.push(format!("TCP: {:.1} % off", (got / rate as f64 - 1.0) * 100.0));
            }
            megabits(got)
        }
        // A lost packet of a conversation comes again after a time that is TCP's own matter.
        Expected::Missing { .. }
        | Expected::Altered(_)
        | Expected::Twice(_)
        | Expected::Soon { .. }
        | Expected::Rate(_)
            if fault.treatment.is_some() && selection.tcp > 0 =>
        {
            "–".to_owned()
        }
        expected => {
            let good = match (expected, &talk) {
                (Expected::CutOff, Talk::Silence) => selection.tcp > 0,
                (Expected::Refused, Talk::Refused(soon)) => selection.tcp > 0 && *soon <= at_most,
                (Expected::Late { delay, width }, Talk::RoundTrip(took)) => {
                    let width = width.unwrap_or_default();
                    around(
                        *took,
                        delay.saturating_sub(width) * selection.tcp,
                        (delay + width) * selection.tcp + at_most,
                    )
                }
                (_, Talk::RoundTrip(took)) => (fault.treatment.is_none() || selection.tcp == 0) && *took <= at_most,
                _ => false,
            };
            if !good {
                complaints.push(format!("TCP: {}", say(&talk)));
            }
            say(&talk)
        }
    };
    Ok(Row {
        fault: fault.declared.clone(),
        selection: selection.name,
        datagrams: describe(&arrived, fault.stream, fault.expected),
        tcp,
        beside: format!("{}; TCP {}", describe(&arrived_beside, quiet, untouched), say(&talk_beside)),
        complaints,
        again: 0,
    })
}

/// Whether a time is within bounds, but for how finely clocks tick.
fn around(took: Duration, from: Duration, to: Duration) -> bool {
    (from.saturating_sub(Duration::from_millis(1))..=to).contains(&took)
}

/// What is not as expected, where the machine itself may `usually` add so much, and `at_most` so much.
fn complain(
    arrived: &Arrivals,
    stream: Stream,
    expected: Expected,
    usually: Duration,
    at_most: Duration,
) -> Option<String> {
    let sent = arrived.sent;
    let within = |what: &str, count: usize, probability: f64, correlation: f64| {
        // Of packets that depend on each other, so many fewer count as by themselves.
        let worth = (1.0 - correlation) / (1.0 + correlation);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of packets")]
        let (n, got) = ((sent as f64 * worth) as usize, (count as f64 * worth).round() as usize);
        let good = binomial(n, probability);
        (!good.contains(&got)).then(|| format!("{count} of {sent} {what}"))
    };
    let median = arrived.delays([0.5]).map(|[median]| median);
    let soon = |limit: Duration| {
        let late = median.filter(|m| *m > limit);
        late.map(|m| format!("{} late", milliseconds(m)))
    };
    let whole = || within("missing", arrived.missing(), 0.0, 0.0);
    let once = || within("twice", arrived.copies, 0.0, 0.0);
    match expected {
        Expected::Late { delay, width } => {
            let Some([first, median, last]) = arrived.delays([0.05, 0.5, 0.95]) else {
                return Some("none arrived".to_owned());
            };
            let spread = width.unwrap_or_default();
            let good = around(first, delay.saturating_sub(spread), delay + spread + usually)
                && around(median, delay.saturating_sub(spread / 4), delay + spread / 4 + usually)
                && around(last, delay.saturating_sub(spread), delay + spread + at_most);
            let in_order = width.is_some() || arrived.overtaken() == 0;
            let late = (!good).then(|| "late by something else".to_owned());
            late.or_else(|| (!in_order).then(|| "out of order".to_owned())).or_else(whole).or_else(once)
        }
        Expected::Missing { probability: 0.0, .. } => whole().or_else(once).or_else(|| soon(usually)),
        Expected::Missing { probability, correlation } => {
            within("missing", arrived.missing(), probability, correlation).or_else(once)
        }
        Expected::Twice(probability) => within("twice", arrived.copies, probability, 0.0).or_else(whole),
        Expected::Altered(probability) => within("missing", arrived.missing(), probability, 0.0).or_else(once),
        Expected::Soon { probability, delay } => {
            let early = arrived.intact.iter().filter(|a| a.took < delay / 2).count();
            within("soon", early, probability, 0.0).or_else(whole).or_else(once)
        }
        Expected::Rate(rate) => {
            let got = arrived.rate(stream.size).unwrap_or_default();
            let off = got / rate as f64 - 1.0;
            (off.abs() > RATE_OFF).then(|| format!("{:.1} % off", off * 100.0))
        }
        Expected::CutOff => (!arrived.intact.is_empty()).then(|| "something arrived".to_owned()),
        Expected::Refused if arrived.refused == 0 => Some("no sender was told".to_owned()),
        Expected::Refused => (!arrived.intact.is_empty()).then(|| "something arrived".to_owned()),
    }
}

/// What was seen, in the words of what is expected.
fn describe(arrived: &Arrivals, stream: Stream, expected: Expected) -> String {
    let late = arrived.delays([0.5, 0.05, 0.95]).map_or_else(
        || "none arrived".to_owned(),
        |[median, low, high]| format!("{} [{}–{}]", milliseconds(median), figure(low), figure(high)),
    );
    let of = |what: &str, count: usize| {
        format!("{count} of {} {what} ({:.2} %)", arrived.sent, count as f64 * 100.0 / arrived.sent as f64)
    };
    match expected {
        Expected::Late { .. } => late,
        Expected::Missing { probability: 0.0, .. } => {
            format!("{late}, {} of {} missing", arrived.missing(), arrived.sent)
        }
        Expected::Missing { .. } => format!("{}; {late}", of("missing", arrived.missing())),
        Expected::CutOff => of("missing", arrived.missing()),
        Expected::Twice(_) => of("twice", arrived.copies),
        Expected::Altered(_) => format!("{} thrown away as broken", of("missing", arrived.missing())),
        Expected::Soon { delay, .. } => {
            let early = arrived.intact.iter().filter(|a| a.took < delay / 2).count();
            format!("{}; {} were overtaken", of("soon", early), arrived.overtaken())
        }
        Expected::Rate(_) => arrived.rate(stream.size).map_or_else(|| "none arrived".to_owned(), megabits),
        Expected::Refused => {
            format!("{}; the sender was told {} times", of("missing", arrived.missing()), arrived.refused)
        }
    }
}

fn say(talk: &Talk) -> String {
    match talk {
        Talk::RoundTrip(took) => format!("{} there and back", milliseconds(*took)),
        Talk::Silence => "no answer".to_owned(),
        Talk::Refused(soon) => format!("refused within {}", milliseconds(*soon)),
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", figure(time))
}

/// In milliseconds.
fn figure(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

fn megabits(rate: f64) -> String {
    format!("{:.2} Mbit/s", rate / 1e6)
}
