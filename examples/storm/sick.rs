//! An engine that is sick for a while: a socket before the real one which delays calls, loses them, answers with lies, or
//! delivers them when they are not waited for any more. It knows HTTP just well enough to take a request and its answer apart.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::ChaCha12Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const ENGINE: &str = "/var/run/docker.sock";

/// What is wrong with the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Illness {
    Slow,
    Deaf,
    Mute,
    Hung,
    Refusing,
    Lying,
    Stammering,
    Forgetful,
    Belated,
    Stalled,
}

impl Illness {
    const ALL: [Self; 10] = [
        Self::Slow,
        Self::Deaf,
        Self::Mute,
        Self::Hung,
        Self::Refusing,
        Self::Lying,
        Self::Stammering,
        Self::Forgetful,
        Self::Belated,
        Self::Stalled,
    ];

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Slow => "calls are late by up to 3 s",
            Self::Deaf => "connections end before the call is heard",
            Self::Mute => "calls are carried out, their answers lost",
            Self::Hung => "no call is answered, nor carried out",
            Self::Refusing => "calls are refused (500)",
            Self::Lying => "calls are carried out and said to be refused (500)",
            Self::Stammering => "answers end in the middle",
            Self::Forgetful => "answers are those of before",
            Self::Belated => "calls are carried out up to 8 s after their caller gave up",
            Self::Stalled => "calls arrive up to 20 s late, whether or not their caller still waits",
        }
    }

    /// Whether it takes a network, which loses packets and sends them again.
    fn is_of_a_network(self) -> bool {
        self == Self::Stalled
    }
}

/// Which calls meet the illness: a share of those that change something, that only look, or of both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sickness {
    pub(crate) illness: Illness,
    pub(crate) looks: bool,
    pub(crate) changes: bool,
    /// One call of so many.
    pub(crate) one_of: u32,
}

impl Sickness {
    /// One whose words have this in them.
    pub(crate) fn random(rng: &mut ChaCha12Rng, only: &str, tcp: bool) -> anyhow::Result<Self> {
        let some = Illness::ALL.into_iter().filter(|illness| tcp || !illness.is_of_a_network());
        let some: Vec<Illness> = some.filter(|illness| illness.words().contains(only)).collect();
        let illness = *some.choose(rng).context("no illness")?;
        let (looks, changes) = *[(true, true), (true, false), (false, true)].choose(rng).context("no calls")?;
        Ok(Self { illness, looks, changes, one_of: rng.random_range(1..=3) })
    }
}

#[derive(Debug)]
struct State {
    sickness: Option<Sickness>,
    rng: ChaCha12Rng,
    /// The last good answer to each call that only looks.
    answers: HashMap<String, Vec<u8>>,
    /// How many calls met the illness.
    met: usize,
    /// How many are on their way still.
    on_their_way: usize,
}

/// The socket; it is closed with this value.
#[derive(Debug)]
pub(crate) struct SickEngine {
    state: Arc<Mutex<State>>,
    host: String,
    _serving: JoinSet<()>,
}

impl SickEngine {
    /// At a socket in this directory, or at a port of the loopback.
    pub(crate) async fn new(dir: &Path, seed: u64, tcp: bool) -> anyhow::Result<Self> {
        let rng = ChaCha12Rng::seed_from_u64(seed);
        let state =
            Arc::new(Mutex::new(State { sickness: None, rng, answers: HashMap::new(), met: 0, on_their_way: 0 }));
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&state);
        let host = if tcp {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let host = format!("tcp://{}", listener.local_addr()?);
            serving.spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    connections.spawn(serve(client, Arc::clone(&shared)));
                }
            });
            host
        } else {
            let socket = dir.join("engine.sock");
            let listener = UnixListener::bind(&socket)?;
            serving.spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((client, _)) = listener.accept().await {
                    connections.spawn(serve(client, Arc::clone(&shared)));
                }
            });
            format!("unix://{}", socket.display())
        };
        Ok(Self { state, host, _serving: serving })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Waits until no call is on its way any more, be it that its caller has given up; whether that came in time.
    pub(crate) async fn delivered(&self, limit: Duration) -> bool {
        let none = async {
            while self.state.lock().expect("no panic").on_their_way > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(limit, none).await.is_ok()
    }

    pub(crate) fn fall_ill(&self, sickness: Sickness) {
        self.state.lock().expect("no panic").sickness = Some(sickness);
    }

    /// How many calls met the illness.
    pub(crate) fn recover(&self) -> usize {
        let mut state = self.state.lock().expect("no panic");
        state.sickness = None;
        std::mem::take(&mut state.met)
    }
}

/// A client's connection; whatever ends it early is what the client is to survive.
async fn serve(mut client: impl AsyncRead + AsyncWrite + Unpin, state: Arc<Mutex<State>>) {
    let count = |by: isize| {
        let mut state = state.lock().expect("no panic");
        state.on_their_way = state.on_their_way.saturating_add_signed(by);
    };
    while let Ok(Some(request)) = message(&mut client).await {
        count(1);
        let goes_on = answer(&mut client, &request, &state).await;
        count(-1);
        if !matches!(goes_on, Ok(true)) {
            return;
        }
    }
}

/// Whether the connection goes on.
async fn answer(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    state: &Arc<Mutex<State>>,
) -> anyhow::Result<bool> {
    let line = String::from_utf8_lossy(request.split(|b| *b == b'\r').next().unwrap_or_default()).into_owned();
    let looks = line.starts_with("GET ") || line.starts_with("HEAD ");
    let illness = {
        let mut state = state.lock().expect("no panic");
        let is_met = |s: &Sickness| if looks { s.looks } else { s.changes };
        let sickness = state.sickness.filter(is_met).filter(|s| state.rng.random_ratio(1, s.one_of));
        state.met += usize::from(sickness.is_some());
        sickness.map(|s| s.illness)
    };
    match illness {
        Some(late @ (Illness::Slow | Illness::Stalled)) => {
            let latest = if late == Illness::Slow { 3000 } else { 20_000 };
            let late = state.lock().expect("no panic").rng.random_range(0..latest);
            sleep(Duration::from_millis(late)).await;
        }
        Some(Illness::Deaf) => return Ok(false),
        Some(Illness::Hung) => {
            // Until the client hangs up.
            let mut rest = [0; 1024];
            while client.read(&mut rest).await? > 0 {}
            return Ok(false);
        }
        Some(Illness::Belated) => {
            let mut rest = [0; 1024];
            while client.read(&mut rest).await? > 0 {}
            let late = state.lock().expect("no panic").rng.random_range(0..8000);
            sleep(Duration::from_millis(late)).await;
            let mut engine = UnixStream::connect(ENGINE).await?;
            engine.write_all(request).await?;
            answered(&mut engine, false).await?;
            return Ok(false);
        }
        Some(Illness::Refusing) => {
            client.write_all(REFUSAL).await?;
            return Ok(true);
        }
        Some(Illness::Forgetful) => {
            let before = state.lock().expect("no panic").answers.get(&line).cloned();
            if let Some(before) = before {
                client.write_all(&before).await?;
                return Ok(true);
            }
        }
        _ => {}
    }
    let mut engine = UnixStream::connect(ENGINE).await?;
    engine.write_all(request).await?;
    // No HTTP any more, or an answer without an end.
    if line.contains("/exec/") && line.contains("/start") || line.contains("/events?") {
        tokio::io::copy_bidirectional(client, &mut engine).await?;
        return Ok(false);
    }
    let Some(answer) = answered(&mut engine, line.starts_with("HEAD ")).await? else { return Ok(false) };
    match illness {
        Some(Illness::Mute) => return Ok(false),
        Some(Illness::Stammering) => {
            client.write_all(&answer[..answer.len() / 2]).await?;
            return Ok(false);
        }
        Some(Illness::Lying) => client.write_all(REFUSAL).await?,
        _ => {
            client.write_all(&answer).await?;
            if looks {
                state.lock().expect("no panic").answers.insert(line, answer);
            }
        }
    }
    Ok(true)
}

const REFUSAL: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n\
                         {\"message\": \"out of order\"}";

/// One request; nothing where the connection is over.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(mut all) = head(from).await? else { return Ok(None) };
    body(from, &mut all).await?;
    Ok(Some(all))
}

/// One answer.
async fn answered(from: &mut (impl AsyncRead + Unpin), head_only: bool) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(mut all) = head(from).await? else { return Ok(None) };
    let status = all.get(9..12).unwrap_or_default();
    if !head_only && status != b"204" && status != b"304" {
        body(from, &mut all).await?;
    }
    Ok(Some(all))
}

async fn head(from: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Option<Vec<u8>>> {
    let mut all = Vec::new();
    while !all.ends_with(b"\r\n\r\n") {
        match from.read_u8().await {
            Ok(byte) => all.push(byte),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(all))
}

async fn body(from: &mut (impl AsyncRead + Unpin), all: &mut Vec<u8>) -> anyhow::Result<()> {
    let head = String::from_utf8_lossy(all).to_ascii_lowercase();
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
    if let Some(length) = value("content-length") {
        let begins = all.len();
        all.resize(begins + length.parse::<usize>()?, 0);
        from.read_exact(&mut all[begins..]).await?;
    } else if value("transfer-encoding") == Some("chunked") {
        loop {
            let begins = all.len();
            while !all[begins..].ends_with(b"\r\n") {
                all.push(from.read_u8().await?);
            }
            let size = usize::from_str_radix(std::str::from_utf8(&all[begins..])?.trim(), 16)?;
            let begins = all.len();
            all.resize(begins + size + 2, 0);
            from.read_exact(&mut all[begins..]).await?;
            if size == 0 {
                break;
            }
        }
    }
    Ok(())
}
