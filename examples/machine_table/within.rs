//! What runs inside the container: a program that tries again and again to use what it may, and says what came of it, a line
//! each time: `threads=ok open=EMFILE connect=ok write=1020KiB/s read=… cpu=20% memory=40MiB limit=256MiB used=42MiB`.
//!
//! `BURN=1` lets it use as much processor time as it gets, `HOLD=40` as many MiB of memory; with `WORKER=1` it has a process beside
//! its main one, and asks it. Where there is a directory `/data`, it writes and reads there past the page cache; where there is
//! `/memory`, it makes a file there.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many files, and how many connections, it has at once.
const AT_ONCE: usize = 8;
/// How much it writes and reads at a time.
const BLOCK: usize = 128 << 10;
/// What direct reading and writing is aligned to.
const ALIGNED: usize = 4096;
/// How long its worker may take to answer.
const PATIENCE: Duration = Duration::from_millis(300);
/// What the worker is told by that it is one.
const IS_WORKER: &str = "IS_WORKER";

/// A line of what it said, by key.
pub(crate) type Said = BTreeMap<String, String>;

/// Reads a line of it.
pub(crate) fn parse(line: &str) -> Said {
    line.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// Never ends, but for the worker when there is no process to ask it.
pub(crate) fn run() {
    if std::env::var_os(IS_WORKER).is_some() {
        return work();
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<usize>().ok());
    let held = vec![1_u8; number("HOLD").unwrap_or(0) << 20];
    if number("BURN").is_some() {
        std::thread::spawn(|| while std::hint::black_box(true) {});
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("it does not block");
    let address = listener.local_addr().expect("an address");
    let mut worker = number("WORKER").map(|_| start_worker().expect("a worker"));
    let (mut since, mut used) = (Instant::now(), cpu_time());
    loop {
        pause();
        let mut said = vec![
            ("threads", threads()),
            ("open", open()),
            ("connect", connect(&listener, address)),
            ("memory", format!("{}MiB", std::hint::black_box(&held).len() >> 20)),
        ];
        let counters = [("limit", memory_limit()), ("used", memory_used())];
        said.extend(counters.into_iter().filter_map(|(key, bytes)| Some((key, format!("{}MiB", bytes? >> 20)))));
        if let Some((write, read)) = disk() {
            said.extend([("write", write), ("read", read)]);
        }
        said.extend(note().map(|word| ("note", word)));
        let places = [("root", "/"), ("data", "/data"), ("room", "/memory")];
        said.extend(places.into_iter().filter_map(|(key, path)| Some((key, format!("{}MiB", available(path)? >> 20)))));
        said.extend(worker.as_mut().map(|line| ("worker", ask(line))));
        let now = cpu_time();
        if let (Some(now), Some(used)) = (now, used) {
            let share = now.saturating_sub(used).as_secs_f64() / since.elapsed().as_secs_f64();
            said.push(("cpu", format!("{:.0}%", share * 100.0)));
        }
        (since, used) = (Instant::now(), now);
        let line: Vec<String> = said.iter().map(|(key, value)| format!("{key}={value}")).collect();
        // Whoever listens may have gone.
        let _ = writeln!(std::io::stdout(), "{}", line.join(" "));
    }
}

/// How an attempt went, in the kernel's words.
fn word<T>(result: &std::io::Result<T>) -> String {
    let Err(e) = result else { return "ok".to_owned() };
    match e.raw_os_error() {
        Some(11) => "EAGAIN".to_owned(),
        Some(24) => "EMFILE".to_owned(),
        Some(99) => "EADDRNOTAVAIL".to_owned(),
        Some(30) => "EROFS".to_owned(),
        Some(28) => "ENOSPC".to_owned(),
        Some(n) => format!("errno-{n}"),
        None => "failed".to_owned(),
    }
}

/// The first that is not well, or the last.
fn worst<T>(results: &[std::io::Result<T>]) -> String {
    results.iter().map(word).find(|w| w != "ok").unwrap_or_else(|| "ok".to_owned())
}

fn threads() -> String {
    let started = std::thread::Builder::new().spawn(|| ());
    let said = word(&started);
    let _ = started.map(std::thread::JoinHandle::join);
    said
}

fn open() -> String {
    worst(&(0..AT_ONCE).map(|_| std::fs::File::open("/dev/null")).collect::<Vec<_>>())
}

fn connect(listener: &TcpListener, address: SocketAddr) -> String {
    let made: Vec<_> = (0..AT_ONCE).map(|_| TcpStream::connect(address)).collect();
    // Whatever has come is let go, so that nothing waits here.
    while let Ok((stream, _)) = listener.accept() {
        drop(stream);
    }
    worst(&made)
}

/// How fast a block is written and read; nothing where there is nowhere to.
fn disk() -> Option<(String, String)> {
    std::fs::metadata("/data").ok()?;
    let (direct, file) = (rustix::fs::OFlags::DIRECT.bits().cast_signed(), "/data/block");
    let opened =
        std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).custom_flags(direct).open(file);
    let Ok(mut file) = opened else { return Some((word(&opened), word(&opened))) };
    let mut room = vec![7_u8; BLOCK + ALIGNED];
    let at = room.as_ptr().align_offset(ALIGNED);
    let block = &mut room[at..at + BLOCK];
    let rate = |begin: Instant, result: std::io::Result<()>| match result {
        Ok(()) => format!("{:.0}KiB/s", BLOCK as f64 / 1024.0 / begin.elapsed().as_secs_f64()),
        Err(_) => word(&result),
    };
    let begin = Instant::now();
    let written = file.write_all(block);
    let written = rate(begin, written);
    let begin = Instant::now();
    let read = file.rewind().and_then(|()| file.read_exact(block));
    Some((written, rate(begin, read)))
}

/// Whether a file with something in it can be made; nothing where there is nowhere to.
fn note() -> Option<String> {
    std::fs::metadata("/memory").ok()?;
    let written = std::fs::write("/memory/note", [7_u8; 4096]);
    // A full file system takes no new one, and would take the old one.
    let _ = std::fs::remove_file("/memory/note");
    Some(word(&written))
}

/// How many bytes everybody may still write.
fn available(path: &str) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail * found.f_frsize)
}

/// What its own control group says, of version 2 or 1.
fn memory_limit() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse().ok();
    read("/sys/fs/cgroup/memory.max").or_else(|| read("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
}

/// What its own control group counts, without the pages of files, which the kernel can have back.
fn memory_used() -> Option<u64> {
    let dirs = [("/sys/fs/cgroup", "memory.current"), ("/sys/fs/cgroup/memory", "memory.usage_in_bytes")];
    let (dir, used) = dirs.into_iter().find_map(|(dir, file)| {
        let used = std::fs::read_to_string(format!("{dir}/{file}")).ok()?.trim().parse::<u64>().ok()?;
        Some((dir, used))
    })?;
    let counted = std::fs::read_to_string(format!("{dir}/memory.stat")).ok()?;
    let files = |key: &str| counted.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
    let files = files("active_file ").unwrap_or_default() + files("inactive_file ").unwrap_or_default();
    Some(used.saturating_sub(files))
}

/// Another process of this program, and the line to it.
fn start_worker() -> std::io::Result<UnixStream> {
    let (ours, its) = UnixStream::pair()?;
    ours.set_read_timeout(Some(PATIENCE))?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("worker").args(std::env::args().skip(1)).env(IS_WORKER, "1").stdout(Stdio::null());
    command.stdin(std::os::fd::OwnedFd::from(its)).spawn()?;
    Ok(ours)
}

/// A worker answers whatever it is asked, until no process is there to ask.
fn work() {
    std::fs::write("/proc/self/comm", "worker").expect("a name");
    let mut line = UnixStream::from(rustix::io::dup(std::io::stdin()).expect("its standard input"));
    let mut byte = [0];
    while line.read_exact(&mut byte).and_then(|()| line.write_all(&byte)).is_ok() {}
}

/// Whether the worker answers, and what was asked before is answered, too.
fn ask(line: &mut UnixStream) -> String {
    let begin = Instant::now();
    let mut asked = || -> std::io::Result<()> {
        static COUNT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
        let byte = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        line.write_all(&[byte])?;
        let mut answer = [byte.wrapping_add(1)];
        while answer[0] != byte {
            line.read_exact(&mut answer)?;
        }
        Ok(())
    };
    match asked() {
        Ok(()) => "answers".to_owned(),
        Err(_) if begin.elapsed() >= PATIENCE => "hangs".to_owned(),
        Err(_) => "gone".to_owned(),
    }
}

/// How much processor time it has had: every thread of it.
fn cpu_time() -> Option<Duration> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let ran = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    Some(Duration::from_nanos(tasks.filter_map(ran).sum()))
}

#[expect(clippy::disallowed_methods, reason = "there is no runtime here, whose threads would count as processes")]
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}
