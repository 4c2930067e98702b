//! Faults of single HTTP/1 requests. A connection's requests are looked at one after the other: the next when the one before has its
//! answer. What is not meant passes byte for byte.

mod answer;
mod http2;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep_until, timeout};

use self::answer::{Download, Skipped, give, skip};
use self::http2::PREFACE;
use super::between::Between;
use super::choose::Chooser;
use super::counters::{Counters, count};
use super::head::{self, Parsed, RequestHead};
use super::io::{drain, finish, pump, read, send};
use super::later::Pace;
use crate::model::network::{HttpAnswer, HttpFault, When};

/// How long a head may be that is read along.
const MOST: usize = 64 * 1024;

/// A fault at work.
#[derive(Debug)]
pub(super) struct Http {
    fault: HttpFault,
    chooser: Chooser,
    seed: u64,
}

/// What a client begins.
enum Asked {
    /// A request of HTTP/1.
    One(RequestHead),
    /// HTTP/2, for the rest of the connection.
    Http2,
    /// Nothing that can be read.
    Nothing,
}

/// How it goes on after an exchange.
enum Next {
    /// With the next request.
    Again,
    /// It is over.
    Close,
    /// It is over when the client has heard its last answer.
    Linger,
    /// What follows cannot be read for sure.
    Unreadable,
    /// What follows is no HTTP/1 any more, or nothing.
    Tunnel,
    /// With nothing: there is to be no answer.
    Hold,
}

impl Http {
    pub(super) fn new(fault: HttpFault, seed: u64) -> Self {
        Self { chooser: Chooser::new(fault.chosen, seed), fault, seed }
    }

    pub(super) fn fault(&self) -> &HttpFault {
        &self.fault
    }

    /// A number for what is drawn for a request.
    pub(super) fn seed_of(&self, affected: &Affected<'_>) -> u64 {
        self.seed.wrapping_add(affected.number)
    }

    /// Has a connection pass, up to its end.
    pub(super) async fn pass(&self, between: &mut Between<'_>) -> io::Result<()> {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        loop {
            let next = match self.request(between, &mut up, &mut down).await? {
                // Apart: a connection that is idle has no room for it.
                Asked::One(request) => Box::pin(self.exchange(between, request, &mut up, &mut down)).await?,
                Asked::Http2 => return Box::pin(self.pass_http2(between, up, down)).await,
                Asked::Nothing if *between.ended.borrow() && up.is_empty() && down.is_empty() => Next::Close,
                Asked::Nothing => Next::Tunnel,
            };
            match next {
                Next::Again => {}
                Next::Close => return Ok(()),
                Next::Linger => return between.linger().await,
                Next::Unreadable => {
                    count(between.counters.opaque());
                    return Box::pin(between.tunnel(&mut up, &mut down)).await;
                }
                Next::Tunnel => return Box::pin(between.tunnel(&mut up, &mut down)).await,
                Next::Hold => return between.hold().await,
            }
        }
    }

    /// The next request; nothing where none can be read.
    async fn request(&self, between: &mut Between<'_>, up: &mut Vec<u8>, down: &mut Vec<u8>) -> io::Result<Asked> {
        if !down.is_empty() {
            // More than an answer came: what it is cannot be known.
            count(between.counters.opaque());
            return Ok(Asked::Nothing);
        }
        let mut looked = 0;
        loop {
            if up.starts_with(PREFACE) {
                return Ok(Asked::Http2);
            }
            // A head ends with a line.
            if PREFACE.starts_with(up) {
                // Another request may begin like it.
            } else if !down.is_empty() {
                count(between.counters.opaque());
                return Ok(Asked::Nothing);
            } else if up[looked..].contains(&b'\n') || looked == 0 && !up.is_empty() {
                match head::request(up, &self.fault.matching) {
                    Parsed::Whole(head) => return Ok(Asked::One(head)),
                    Parsed::Partial if up.len() < MOST => {}
                    Parsed::Partial | Parsed::Foreign => {
                        const HANDSHAKE: &[u8] = &[22, 3];
                        let encrypted = up.starts_with(HANDSHAKE);
                        count(if encrypted { between.counters.encrypted() } else { between.counters.opaque() });
                        return Ok(Asked::Nothing);
                    }
                }
            } else if up.len() >= MOST {
                count(between.counters.opaque());
                return Ok(Asked::Nothing);
            }
            looked = up.len();
            tokio::select! {
                biased;
                n = read(between.client, up) => if n? == 0 { return Ok(Asked::Nothing) },
                // It speaks unasked, or closes.
                n = read(between.server, down) => {
                    let n = n?;
                    if n > 0 && PREFACE.starts_with(up) && down.len() < MOST && http2::may_begin(down) {
                        continue;
                    }
                    if n > 0 {
                        count(between.counters.opaque());
                    }
                    return Ok(Asked::Nothing);
                }
                _ = between.ended.wait_for(|ended| *ended), if up.is_empty() => return Ok(Asked::Nothing),
            }
        }
    }

    /// A request, with its answer.
    async fn exchange(
        &self,
        between: &mut Between<'_>,
        request: RequestHead,
        up: &mut Vec<u8>,
        down: &mut Vec<u8>,
    ) -> io::Result<Next> {
        count(between.counters.requests());
        let by_status = !self.fault.matching.statuses.is_empty();
        let mut affected = if request.is_meant && !by_status { self.choose(between) } else { None };
        if let Some(affected) = &mut affected
            && self.fault.when == When::Before
        {
            self.wait(affected, &mut between.ended).await;
            if self.fault.stall {
                affected.happens();
                return Ok(Next::Hold);
            }
            if let Some(answer) = &self.fault.answer {
                affected.happens();
                return between.answer_instead(&request, answer, up).await;
            }
        }
        let sent = Sent::default();
        let upload = upload(between.client, between.server, &request, up, &sent);
        let download = Download { http: self, between, request: &request, down, affected }.run();
        let (mut upload, mut download) = (std::pin::pin!(upload), std::pin::pin!(download));
        let mut failed = None;
        let next = loop {
            tokio::select! {
                biased;
                // The client has gone, or the server hears no more: then its answer is still to come.
                result = &mut upload, if failed.is_none() => failed = result.err(),
                next = &mut download => break next?,
            }
        };
        match (failed, next) {
            (Some(_), Next::Again) => Ok(Next::Linger),
            (_, Next::Again) if sent.is_raw.load(Ordering::Relaxed) => Ok(Next::Unreadable),
            // It was answered before it was all there.
            (None, Next::Again) if !sent.is_all.load(Ordering::Relaxed) => {
                tokio::select! {
                    _ = &mut upload => Ok(Next::Linger),
                    () = sent.all() => Ok(Next::Again),
                }
            }
            (_, next) => Ok(next),
        }
    }

    /// A request that is meant, if it is to be affected.
    pub(super) fn choose<'a>(&self, between: &Between<'a>) -> Option<Affected<'a>> {
        let counters = between.counters;
        if *between.ended.borrow() {
            return None;
        }
        count(counters.meant());
        self.chooser.next().map(|number| Affected { number, counters, is_counted: false })
    }

    /// Waits as long as the fault says, or until it is over.
    pub(super) async fn wait(&self, affected: &mut Affected<'_>, ended: &mut watch::Receiver<bool>) {
        if self.fault.delay.is_none() {
            return;
        }
        let due = Pace::new(self.fault.delay, None, None, self.seed.wrapping_add(affected.number)).due(0);
        affected.happens();
        tokio::select! {
            () = sleep_until(due) => {}
            _ = ended.wait_for(|ended| *ended) => {}
        }
    }
}

/// A request that is to be affected. It is counted when it is.
pub(super) struct Affected<'a> {
    number: u64,
    counters: &'a Counters,
    is_counted: bool,
}

impl Affected<'_> {
    pub(super) fn happens(&mut self) {
        if !std::mem::replace(&mut self.is_counted, true) {
            count(self.counters.affected());
        }
    }
}

impl Between<'_> {
    /// Says nothing until the client goes, or the fault is over.
    async fn hold(&mut self) -> io::Result<()> {
        let mut unheard = Vec::new();
        loop {
            tokio::select! {
                n = read(self.client, &mut unheard) => if n? == 0 { return Ok(()) },
                _ = self.ended.wait_for(|ended| *ended) => return Ok(()),
            }
            unheard.clear();
        }
    }

    /// Closes it, once the client has had time to hear the last answer: what it still sends would have it reset before.
    async fn linger(&mut self) -> io::Result<()> {
        const LONGEST: Duration = Duration::from_secs(1);
        finish(self.client)?;
        // The client need not close by itself.
        let _ = timeout(LONGEST, self.hold()).await;
        Ok(())
    }

    /// Answers a request that the server never sees.
    async fn answer_instead(&self, request: &RequestHead, answer: &HttpAnswer, up: &mut Vec<u8>) -> io::Result<Next> {
        drain(up, request.length);
        // A sender that waits for a word may never send the body.
        let skipped = if request.expects { Skipped::Ended } else { skip(self.client, up, request.body).await? };
        give(self.client, answer, request, request.closes || skipped != Skipped::All).await
    }
}

/// How far a request is on its way.
#[derive(Default)]
struct Sent {
    /// All of it has gone on.
    is_all: AtomicBool,
    /// It cannot be read to its end.
    is_raw: AtomicBool,
    told: Notify,
}

impl Sent {
    fn is_sent(&self) {
        self.is_all.store(true, Ordering::Relaxed);
        self.told.notify_one();
    }

    async fn all(&self) {
        self.told.notified().await;
    }
}

/// The request's way to the server. It comes to an end only where the client has gone, or the server hears no more: meanwhile it waits for what the
/// client does next, and keeps it.
async fn upload(
    client: &TcpStream,
    server: &TcpStream,
    request: &RequestHead,
    up: &mut Vec<u8>,
    sent: &Sent,
) -> io::Result<()> {
    let mut body = request.body;
    let mut ready = request.length;
    let mut taken = body.take(&mut up[ready..], |_| {});
    while let Ok(n) = taken {
        send(server, up, ready + n).await?;
        ready = 0;
        if body.is_done() {
            sent.is_sent();
            while up.len() < MOST {
                if read(client, up).await? == 0 {
                    // It may have said all, and wait for the answer.
                    finish(server)?;
                    break;
                }
            }
            return std::future::pending().await;
        }
        if up.is_empty() && read(client, up).await? == 0 {
            finish(server)?;
            return std::future::pending().await;
        }
        taken = body.take(up, |_| {});
    }
    // What it is, is for the server to say.
    sent.is_raw.store(true, Ordering::Relaxed);
    pump(client, server, up).await?;
    std::future::pending().await
}
