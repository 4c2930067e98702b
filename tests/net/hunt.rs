//! A hunt for false greens: situations in which every answer is good and nothing was shown. None of them may be a pass.
//! `cargo test --test net hunt -- --nocapture` prints the table of docs/false-greens.md.

mod situations;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use situations::{cut_short, it_is_gone_midway, no_evidence, nobody_to_targeted, nothing_meets_it};

use super::pair::{empty, processes_of};

const SQUALL: &str = env!("CARGO_BIN_EXE_squall");

/// How many are tried at once: they wait for their phases, most of the time.
const AT_ONCE: usize = 4;

/// What somebody else does while the fault is on.
type Deed = fn(&Ground, &mut Child);

/// A way in which a run could pass without having shown anything.
struct Situation {
    what: &'static str,
    /// Keys that stand in the experiment instead of the usual ones.
    keys: serde_json::Value,
    deed: Option<Deed>,
    /// The exact reasons that are right; `invalid` is a file that `validate` refuses.
    right: &'static [&'static str],
}

/// A stack of its own on a machine of its own: a customer is served by the gateway and the shop; `aside` is called by nobody
/// and `slow` takes three seconds to stop.
struct Ground {
    dir: tempfile::TempDir,
}

const STACK: &str = "version: 1
name: hunt
network: 10.213.10.0/24
services:
  store: { port: 8080, zones: [a], command: [squall, serve, store, --name, '{name}', --listen, '{address}:{port}'] }
  shop:
    port: 8080
    zones: [b]
    command: [squall, serve, shop, --name, '{name}', --listen, '{address}:{port}', --upstream, '{store-1}:8080']
  gateway:
    port: 8080
    command: [squall, serve, gateway, --name, '{name}', --listen, '{address}:{port}', --upstream, '{shop-1}:8080']
  aside: { port: 8080, command: [squall, serve, store, --name, '{name}', --listen, '{address}:{port}'] }
  slow:
    port: 8080
    command:
      - sh
      - -c
      - 'trap \"\" TERM; $1 serve store --listen $0:8080 & wait'
      - '{address}'
      - '{squall}'
";
const STORE: &str = "http://10.213.10.2:8080/health";
const GATEWAY: &str = "http://10.213.10.4:8080";
const SLOW: &str = "http://10.213.10.6:8080/health";

impl Ground {
    fn squall(&self) -> Command {
        let mut command = Command::new(SQUALL);
        command.current_dir(self.dir.path()).env("SQUALL_STATE", self.state()).env("DOCKER_HOST", "unix:///nowhere");
        command
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn say(&self, arguments: &[&str]) -> Output {
        self.squall().args(arguments).output().unwrap()
    }

    /// The main process of an instance.
    fn pid(&self, name: &str) -> i32 {
        let state = std::fs::read(self.state().join("stacks/hunt/state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        let pid = state["processes"][name]["life"]["pid"].as_i64().expect("it runs");
        pid.try_into().unwrap()
    }
}

impl Ground {
    /// Makes the stack anew where something of it is missing.
    fn up(&self) {
        let output = self.say(&["stack", "up", "stack.yaml"]);
        assert!(output.status.success(), "{output:?}");
    }

    /// What became of it: the exit code and the exact reason.
    fn outcome(&self, situation: &Situation) -> (Option<i32>, String) {
        let mut experiment = json!({
            "version": 1,
            "name": "hunt",
            "hypothesis": "Customers are served.",
            "steady-state": { "customer": { "http": format!("{GATEWAY}/health"), "rate": "20/s" } },
            "target": { "service": "gateway" },
            "blast-radius": { "max-instances": 1 },
            "timing": { "baseline": "1s", "duration": "2s", "recovery": "4s" },
        });
        for (key, value) in situation.keys.as_object().unwrap() {
            experiment[key] = value.clone();
        }
        std::fs::write(self.dir.path().join("x.yaml"), experiment.to_string()).unwrap();
        if !self.say(&["validate", "x.yaml"]).status.success() {
            return (Some(2), "invalid".to_owned());
        }
        let mut command = self.squall();
        command.args(["run", "x.yaml", "--stack", "stack.yaml", "--format", "json"]);
        let mut runner = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let events = std::io::BufRead::lines(std::io::BufReader::new(runner.stdout.take().unwrap()));
        let mut deed = situation.deed;
        for event in events.map_while(Result::ok) {
            if is_verified(&event)
                && let Some(deed) = deed.take()
            {
                deed(self, &mut runner);
            }
        }
        let code = runner.wait().unwrap().code();
        // Whoever finishes what a dead runner left says why it ended.
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let report = self.say(&["report", "last", "--format", "json"]);
            let told: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap_or_default();
            match told["reason"].as_str() {
                Some(reason) => return (code, reason.to_owned()),
                None if Instant::now() < end => std::thread::yield_now(),
                None => panic!("no reason: {report:?}"),
            }
        }
    }
}

fn is_verified(event: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(event).is_ok_and(|event| event["event"] == "verified")
}

/// A stack whose state was taken away knows its processes no more; their environment does.
impl Drop for Ground {
    fn drop(&mut self) {
        let _ = self.say(&["stack", "down", "stack.yaml"]);
        for pid in processes_of(&self.state()) {
            // One may have ended by itself meanwhile.
            let _ = rustix::process::Pid::from_raw(pid)
                .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
    }
}

/// Whether everything is answered, and what Squall says.
fn tried(situation: &Situation) -> (Option<i32>, String) {
    empty()
        .run(|| {
            let status = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
            assert!(status.success());
            let ground = Ground { dir: tempfile::tempdir()? };
            std::fs::write(ground.dir.path().join("stack.yaml"), STACK.replace("{squall}", SQUALL))?;
            ground.up();
            Ok(ground.outcome(situation))
        })
        .unwrap()
}

#[test]
#[expect(clippy::print_stdout, reason = "the table of docs/false-greens.md")]
fn nothing_passes_that_has_shown_nothing() {
    let situations: Vec<Situation> =
        [nothing_meets_it(), it_is_gone_midway(), nobody_to_targeted(), no_evidence(), cut_short()]
            .into_iter()
            .flatten()
            .collect();
    let only = std::env::var("HUNT").unwrap_or_default();
    let situations: Vec<Situation> = situations.into_iter().filter(|s| s.what.contains(&only)).collect();
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<(usize, Option<i32>, String)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((n, situation)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, situations.get(n)?)))
                {
                    let (code, reason) = tried(situation);
                    outcomes.lock().unwrap().push((n, code, reason));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort();
    println!("| situation | exit | reason |\n|---|---|---|");
    let mut wrong = Vec::new();
    for (n, code, reason) in outcomes {
        let situation = &situations[n];
        let exit = code.map_or("–".to_owned(), |code| code.to_string());
        println!("| {} | {exit} | `{reason}` |", situation.what);
        if code == Some(0) || !situation.right.contains(&reason.as_str()) {
            wrong.push(format!("{}: exit {exit}, {reason}; right: {:?}", situation.what, situation.right));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
