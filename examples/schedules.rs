//! What it costs to have many schedules loaded: CPU and memory of a `squall schedule` that waits.
//!
//! `cargo build --release --bins --examples && ./target/release/examples/schedules --entries 1000 --seconds 120`
#![expect(clippy::print_stdout, reason = "what it measured is its output")]
#![expect(clippy::disallowed_methods, reason = "no runtime here: it waits for the process it measures")]

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use squall::host::process;

#[derive(Debug, Parser)]
struct Arguments {
    /// How many entries, half of them at random times.
    #[arg(long, default_value_t = 1000)]
    entries: u32,
    /// In how many files.
    #[arg(long, default_value_t = 10)]
    files: u32,
    /// For how long it is watched.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
}

const EXPERIMENT: &str = "version: 1\nname: x\nhypothesis: It holds.\nsteady-state: { up: { tcp: '127.0.0.1:80' } }\n\
                          target: { service: shop }\nfault: pause\nblast-radius: { max-instances: 1 }\n";

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let here = std::env::current_exe()?;
    let squall = here.parent().context("this program is in no directory")?.with_file_name("squall");
    ensure!(squall.exists(), "{} is missing: cargo build --release --bins --examples", squall.display());
    let dir = tempfile::Builder::new().prefix("squall-schedules-").tempdir()?;
    std::fs::write(dir.path().join("x.yaml"), EXPERIMENT)?;
    let mut command = Command::new(&squall);
    command.arg("schedule").current_dir(dir.path()).env("SQUALL_STATE", dir.path().join("state"));
    for file in 0..arguments.files {
        let mut text = format!("version: 1\nname: s{file}\ntime-zone: Europe/Berlin\nentries:\n");
        for n in (0..arguments.entries).filter(|n| n % arguments.files == file) {
            // None of them is due while it is watched.
            let when = if n % 2 == 0 {
                format!("cron: '{} {} 29 2 *'", n % 60, n % 24)
            } else {
                "random: { mean: 300d, at-least: 200d }, hours: { days: MON-FRI, from: '9:00', to: '15:00' }".to_owned()
            };
            writeln!(text, "  e{n}: {{ experiments: x.yaml, {when} }}")?;
        }
        let name = format!("s{file}.yaml");
        std::fs::write(dir.path().join(&name), text)?;
        command.arg(name);
    }
    command.args(["--engine", "sim", "--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn()?;
    let measured = measure(child.id(), &arguments);
    child.kill()?;
    child.wait()?;
    println!("{}", measured?);
    Ok(())
}

fn measure(pid: u32, arguments: &Arguments) -> anyhow::Result<String> {
    // Until the work of the start is done: a second without any.
    let mut before = ticks(pid)?;
    loop {
        std::thread::sleep(Duration::from_secs(6));
        let now = ticks(pid)?;
        if now - before <= 1 {
            break;
        }
        before = now;
    }
    let from = ticks(pid)?;
    std::thread::sleep(Duration::from_secs(arguments.seconds));
    let spent = (ticks(pid)? - from) as f64 / 100.0;
    Ok(format!(
        "| {} entries in {} files, {} s | {:.3} % of a core | {:.1} MiB |",
        arguments.entries,
        arguments.files,
        arguments.seconds,
        100.0 * spent / arguments.seconds as f64,
        resident(pid)? as f64 / 1024.0
    ))
}

/// The CPU time of a process, in hundredths of a second.
fn ticks(pid: u32) -> anyhow::Result<u64> {
    ensure!(process::stat(pid).is_some(), "the daemon has ended");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name in parentheses, user time is the 12th field and system time the 13th.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).context("/proc has another form");
    Ok(field(11)? + field(12)?)
}

/// Memory that it holds, in KiB.
fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc has another form")?;
    Ok(line.split_whitespace().next().context("/proc has another form")?.parse()?)
}
