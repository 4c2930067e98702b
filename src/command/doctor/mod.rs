//! `squall doctor`: looks at this machine and says what works, what does not, and what to do about it. Changes nothing.

mod helper;
mod machines;
mod network;
mod ownerless;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tabled::builder::Builder;
use tabled::settings::Style as Frame;

use super::{orphans, unlock};
use crate::command::cli::EngineArgs;
use crate::command::connect;
use crate::engine::docker::{Docker, Membership};
use crate::engine::{Engine as _, EngineError, Kind, Life, Lock as _, Observe as _};
use crate::host::Host;
use crate::host::facts::{Cgroups, Facts, nearest};
use crate::host::kernel::Kernel;
use crate::host::store::StateDir;
use crate::model::exit::Verdict;
use crate::record::journal;
use crate::report::follow::paint::{Paint, Tone};
use crate::report::follow::words::{count, wrap};
use crate::report::follow::{Output, Style};
use crate::run::recover;
use crate::text::visible;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    mark: Mark,
    what: &'static str,
    found: String,
    todo: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// As it should be.
    Good,
    /// Something does not work that not everybody needs.
    Note,
    /// Experiments cannot run, or a rollback was incomplete.
    Bad,
}

fn finding(mark: Mark, what: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Finding {
    let shown = |text: String| visible::text(&text).into_owned();
    Finding { mark, what, found: shown(found.into()), todo: shown(todo.into()) }
}

fn good(what: &'static str, found: impl Into<String>) -> Finding {
    finding(Mark::Good, what, found, "")
}

fn note(what: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Finding {
    finding(Mark::Note, what, found, todo)
}

fn bad(what: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Finding {
    finding(Mark::Bad, what, found, todo)
}

pub(super) async fn run(args: EngineArgs, state: StateDir) -> anyhow::Result<ExitCode> {
    let facts = Facts::here();
    let mut findings = if args.docker.is_one() {
        one(&args, &facts, &state).await
    } else {
        let meant = connect::fleet::meant(&args.docker)?;
        let mut findings = machines::machines(meant, &args.docker, &state).await;
        findings.push(guard(&facts, None));
        findings
    };
    findings.push(state_directory(&facts, state.root()));
    findings.extend(open_to_others(&state));
    findings.push(halted(&state));
    let dead = recover::unfinished(&state);
    let stacks = orphans::names(&state);
    let is_left = dead.as_ref().is_ok_and(|journals| !journals.is_empty()) || !stacks.is_empty();
    findings.push(leftovers(dead));
    if !stacks.is_empty() {
        let found = format!("{}, which dead runs have brought up", stacks.join(", "));
        findings.push(bad("stacks", found, "`squall recover` takes them away"));
    }
    let verdict = match findings.iter().any(|f| f.mark == Mark::Bad) {
        _ if is_left => Verdict::LeftBehind,
        true => Verdict::NoVerdict,
        false => Verdict::Held,
    };
    let out = Output::stdout();
    let text = render(&findings, verdict, out.width().min(120), Style::of(&out, false).colour);
    super::print(&visible::inert(&format!("{text}\n")))?;
    Ok(ExitCode::from(verdict.code()))
}

/// What is found of one engine, and of this machine beside it.
async fn one(args: &EngineArgs, facts: &Facts, state: &StateDir) -> Vec<Finding> {
    let docker = async { Docker::reach(args.docker.endpoint()?).await }.await;
    let mut findings = engines(&docker, args.engine).await;
    findings.push(user(facts));
    findings.push(network::capabilities(facts));
    findings.push(processes(docker.as_ref().ok()));
    findings.push(network::namespaces(facts, docker.as_ref().ok().and_then(Docker::process_here)));
    findings.push(cgroups(facts));
    findings.push(network::mechanism(&Host::default()));
    findings.extend(network::kernel(&Kernel::read(facts.root())));
    findings.push(guard(facts, docker.as_ref().ok()));
    if let Ok(docker) = &docker {
        let helper = helper::helper(docker, &args.docker, &mut findings).await;
        findings.push(helper);
        findings.push(locks(docker, state).await);
        findings.push(ownerless::ownerless(docker).await);
    }
    findings
}

fn render(findings: &[Finding], verdict: Verdict, width: usize, colour: bool) -> String {
    let paint = Paint(colour);
    // What the frame, the mark and the names leave.
    let name = findings.iter().map(|f| f.what.len()).max().unwrap_or(0);
    let room = width.saturating_sub(name + 11);
    let mut table = Builder::new();
    table.push_record(["", "what", "found, and what to do"]);
    for f in findings {
        let mark = match f.mark {
            Mark::Good => paint.on(Tone::Good, "✓"),
            Mark::Note => paint.on(Tone::Warn, "!"),
            Mark::Bad => paint.on(Tone::Bad, "✗"),
        };
        let mut text: Vec<String> = f.found.lines().flat_map(|line| wrap(line, room)).collect();
        if !f.todo.is_empty() {
            let todo = wrap(&f.todo, room.saturating_sub(2));
            text.extend(todo.iter().enumerate().map(|(i, l)| format!("{} {l}", if i == 0 { "→" } else { " " })));
        }
        table.push_record([mark, f.what.to_owned(), text.join("\n")]);
    }
    let mut table = table.build();
    table.with(Frame::rounded());
    let (tone, last) = match verdict {
        Verdict::Held => (Tone::Good, "✓ Experiments can run here."),
        Verdict::LeftBehind => (Tone::Bad, "✗ A rollback is incomplete: `squall recover` tries again."),
        Verdict::Broken | Verdict::NoVerdict | Verdict::Rehearsed | Verdict::RehearsedBroken => {
            (Tone::Bad, "✗ Experiments cannot run here: see the lines with ✗.")
        }
    };
    format!("{table}\n{}", paint.on(tone, last))
}

/// The engines. One that was asked for must work; else it is enough that one does, and the local one always can.
async fn engines(docker: &Result<Docker, EngineError>, asked: Option<Kind>) -> Vec<Finding> {
    let mut findings = Vec::new();
    match docker {
        Ok(docker) => {
            let it = docker.describe();
            let engine = format!("{} at {} ({})", it.version, it.address, docker.chosen_by());
            // Who may ask for its version may not be allowed the rest. What a run needs first is tried.
            findings.push(match docker.observe().await {
                Ok(all) => {
                    let here = all.iter().filter(|i| i.elsewhere().is_none()).count();
                    good("docker engine", format!("yes: {engine}, {} seen", count(here, "container")))
                }
                Err(e) => bad(
                    "docker engine",
                    format!("{engine} answers, but its containers cannot be listed and inspected by this user: {e}"),
                    "let this user ask for them, where it is a Docker Engine; or choose `--engine local` or `--engine sim`",
                ),
            });
            findings.push(match docker.details().await {
                Ok(d) => {
                    let or = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
                    let groups = format!("cgroup v{} by {}", or(d.cgroup_version), or(d.cgroup_driver));
                    let text = format!("{}; storage {}; {groups}", or(d.system), or(d.storage));
                    if d.rootless {
                        note(
                            "its host",
                            format!("{text}; rootless"),
                            "`via: host` and faults of the network need root on its host",
                        )
                    } else {
                        good("its host", text)
                    }
                }
                Err(e) => note("its host", e.to_string(), ""),
            });
            findings.extend(docker.swarm().map(swarm));
        }
        // Which engine is meant is not known, or it was asked for and is not there.
        Err(e) if asked == Some(Kind::Docker) || asked.is_none() && matches!(e, EngineError::NotMeant { .. }) => {
            findings.push(bad("docker engine", e.to_string(), "or choose `--engine local` or `--engine sim`"));
        }
        Err(e) => findings.push(note("docker engine", e.to_string(), "without it: `--stack FILE` or `--engine sim`")),
    }
    findings.push(good("local engine", "yes: plain processes from a stack file, no root needed"));
    findings.push(good("sim engine", "yes: rehearsals, nothing real is touched"));
    findings
}

/// What is seen of a Swarm from one of its engines.
fn swarm(membership: &Membership) -> Finding {
    const WHAT: &str = "Swarm";
    match membership.nodes {
        Some(1) => good(WHAT, "a manager; it is the only node"),
        Some(nodes) => note(
            WHAT,
            format!("a manager of {}; containers of the others are not seen from here", count(nodes, "node")),
            "experiments target what runs on this node; what the manager tells of the others is taken into account",
        ),
        None => note(
            WHAT,
            "a worker: it neither shows nor knows what runs on the other nodes",
            "run on a manager (`docker node ls` works there), so that what runs elsewhere is taken into account",
        ),
    }
}

fn user(facts: &Facts) -> Finding {
    match facts.user() {
        Some(0) => good("user", "root"),
        Some(uid) => note("user", format!("user {uid}, not root"), "`via: host` and faults of the network need root"),
        None => note("user", "unknown: /proc cannot be read", "mount /proc"),
    }
}

/// Whether the engine's processes are processes here, under the same numbers. Only a container's own process tells: who has the
/// other end of a socket may forward it from another machine.
fn processes(docker: Option<&Docker>) -> Finding {
    const WHAT: &str = "PID namespace";
    const TODO: &str =
        "for `via: host` and faults of the network run on the engine's own host, or in a container with `--pid=host`";
    let Some(docker) = docker else {
        return note(WHAT, "unknown: there is no engine to compare with", TODO);
    };
    match (docker.process_here(), docker.sees_processes()) {
        (Some(pid), _) => good(WHAT, format!("the engine's own (a container of it is process {pid} here)")),
        (None, Some(true)) => good(WHAT, "the engine's own"),
        (None, Some(false)) => note(
            WHAT,
            "not the engine's: its containers are not processes here, so it is on another host or in another namespace",
            TODO,
        ),
        (None, None) => note(WHAT, "unknown: no container runs that could be looked for", TODO),
    }
}

fn cgroups(facts: &Facts) -> Finding {
    match facts.cgroups() {
        Some(Cgroups::V1) => good("cgroups", "version 1"),
        Some(Cgroups::V2) => good("cgroups", "version 2"),
        Some(Cgroups::Hybrid) => good("cgroups", "hybrid: version 1 with an empty version 2"),
        None => note("cgroups", "unknown: /sys/fs/cgroup cannot be seen", "nothing now: only faults of load need it"),
    }
}

/// Whether journals can be kept, so that what was left behind is found again after a reboot.
fn state_directory(facts: &Facts, root: &Path) -> Finding {
    const WHAT: &str = "state directory";
    const ENOUGH: u64 = 64 << 20;
    let at = nearest(root);
    let shown = root.display();
    if at.is_file() {
        return bad(WHAT, format!("{} is a file", at.display()), "name another one with `--state DIR`");
    }
    if let Err(e) = rustix::fs::access(&at, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        let what = if at == root { "written to" } else { "made" };
        return bad(WHAT, format!("{shown} cannot be {what}: {e}"), "name another one with `--state DIR`");
    }
    let mount = facts.mount_of(root);
    let kind = mount.as_ref().map_or("unknown", |m| m.kind.as_str());
    if facts.goes_with_container(root) {
        let found = format!("{shown} goes with this container ({kind})");
        return bad(WHAT, found, format!("mount a volume there: `-v squall:{shown}`"));
    }
    let free = rustix::fs::statvfs(&at).ok().map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    let size = free.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
    let exists = if root.is_dir() { "" } else { ", to be made by the first run" };
    let found = format!("{shown} on {kind}, {size} free{exists}");
    if matches!(kind, "tmpfs" | "ramfs") {
        return note(WHAT, found, "it does not survive a reboot: name another one with `--state DIR`");
    }
    match free {
        Some(0) => bad(WHAT, found, "make room: a plan that cannot be written is not carried out"),
        Some(bytes) if bytes < ENOUGH => note(WHAT, found, "make room: journals and reports go there"),
        _ => good(WHAT, found),
    }
}

/// What others may read of this user's runs.
fn open_to_others(state: &StateDir) -> Option<Finding> {
    let open = state.open_to_others();
    let names: Vec<_> = open.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy())).collect();
    let todo = format!("`chmod -R go= {}`, unless others are meant to", state.root().display());
    (!open.is_empty()).then(|| note("its rights", format!("others have rights on {}", names.join(", ")), todo))
}

/// The kind of guard that a run would get.
fn guard(facts: &Facts, docker: Option<&Docker>) -> Finding {
    match (docker.and_then(Docker::own_container), facts.container()) {
        (Some(own), _) => {
            let own: String = own.chars().take(12).collect();
            good("guard", format!("a container: this process lives in container {own}, and a guard must survive that"))
        }
        (None, Some(why)) => note(
            "guard",
            format!("a process, in a container that no engine here knows ({why})"),
            "it dies with the container: mount the engine's socket, or run `squall recover` afterwards",
        ),
        (None, None) => good("guard", "a process in a session of its own"),
    }
}

fn halted(state: &StateDir) -> Finding {
    match super::halt::note(state) {
        Some(text) => bad("halt note", text, "`squall resume` when that is over"),
        None => good("halt note", "none"),
    }
}

/// Runs that died and are not rolled back.
fn leftovers(dead: anyhow::Result<Vec<PathBuf>>) -> Finding {
    const WHAT: &str = "leftovers";
    let journals = match dead {
        Ok(journals) => journals,
        Err(e) => return bad(WHAT, format!("{e:#}"), "make it readable, or name another one with `--state DIR`"),
    };
    if journals.is_empty() {
        return good(WHAT, "none");
    }
    let runs: Vec<String> = journals
        .iter()
        .map(|path| {
            let run = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
            match journal::replay(path) {
                Ok(state) if state.outstanding().is_empty() && !state.still_locked.is_empty() => {
                    format!("{run}: {}", super::recover::locks(&state))
                }
                Ok(state) => format!("{run}: {} not rolled back", count(state.outstanding().len(), "change")),
                Err(e) => format!("{run}: {e}"),
            }
        })
        .collect();
    bad(WHAT, runs.join("\n"), "`squall recover`")
}

/// Locks on the engine: of living runs, of dead ones, of runs of which it cannot be told here.
async fn locks(docker: &Docker, state: &StateDir) -> Finding {
    const WHAT: &str = "locks";
    let claims = match docker.claims().await {
        Ok(claims) => claims,
        Err(e) => return note(WHAT, e.to_string(), ""),
    };
    let (living, others): (Vec<_>, Vec<_>) = claims.iter().partition(|c| unlock::life(c, state) == Life::Alive);
    if others.is_empty() {
        let found = if living.is_empty() { "none".to_owned() } else { format!("{} of living runs", living.len()) };
        return good(WHAT, found);
    }
    let found: Vec<String> = others.iter().map(|c| format!("`{}` by {c}", c.service)).collect();
    note(WHAT, found.join("\n"), "`squall recover --unlock` removes those of dead runs, and tells of the others")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits_and_says_what_to_do() {
        let findings = [
            good(
                "docker engine",
                "yes: 20.10.24+dfsg1 (API 1.41) at unix:///run/user/1000/a/very/long/place/of/a.sock",
            ),
            note("kernel lacks", "sch_netem", "nothing: something takes its place"),
            bad("leftovers", "one\ntwo", "`squall recover`"),
        ];
        for width in [60, 80, 120] {
            let plain = render(&findings, Verdict::LeftBehind, width, false);
            assert!(plain.lines().all(|l| console::measure_text_width(l) <= width), "{plain}");
            assert!(plain.contains("→ `squall recover`") && plain.contains("→ nothing: something"));
            let coloured = render(&findings, Verdict::LeftBehind, width, true);
            assert_eq!(console::strip_ansi_codes(&coloured), plain);
        }
    }

    #[test]
    fn what_engines_and_files_say_does_not_steer_the_terminal() {
        let found = bad("halt note", "\x1b[2Jno\u{202e}", "\u{9b}31m");
        assert_eq!((found.found.as_str(), found.todo.as_str()), ("\\x1b[2Jno\\u{202e}", "\\x9b31m"));
    }

    #[test]
    fn a_directory_that_goes_with_its_container_keeps_no_journal() {
        let dir = tempfile::tempdir().unwrap();
        let facts = Facts::under(dir.path());
        let state = dir.path().join("state");
        assert_ne!(state_directory(&facts, &state).mark, Mark::Bad);
        std::fs::write(dir.path().join(".dockerenv"), "").unwrap();
        let found = state_directory(&facts, &state);
        assert_eq!(found.mark, Mark::Bad);
        assert!(found.todo.contains("mount a volume"), "{found:?}");
    }
}
