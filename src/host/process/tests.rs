use super::*;

fn sleeper(mark: &str) -> std::process::Child {
    std::process::Command::new("sleep").arg("60").env("SQUALL_TEST_MARK", mark).spawn().unwrap()
}

#[tokio::test]
async fn a_held_process_is_never_mistaken_for_another() {
    let mut child = sleeper("held");
    let process = Process::open(child.id()).unwrap().unwrap();
    assert!(process.is_alive());
    process.signal(Signal::KILL).unwrap();
    assert!(process.ended_within(Duration::from_secs(5)).await.unwrap());
    assert!(!process.is_alive(), "ended, though its parent has not asked yet");
    child.wait().unwrap();
    assert!(!process.is_of_container(""), "what has the number now is another process");
    process.signal(Signal::KILL).expect("what is gone is no error");
}

#[tokio::test]
async fn a_leader_is_killed_with_its_group_and_another_alone() {
    const LONG: Duration = Duration::from_secs(20);
    for leads in [true, false] {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", "sleep 60 & echo $!; wait"]).stdout(std::process::Stdio::piped()).kill_on_drop(true);
        let mut shell = if leads { shell.process_group(0) } else { &mut shell }.spawn().unwrap();
        let mut line = String::new();
        let mut out = tokio::io::BufReader::new(shell.stdout.take().unwrap());
        tokio::io::AsyncBufReadExt::read_line(&mut out, &mut line).await.unwrap();
        let held = [shell.id().unwrap(), line.trim().parse().unwrap()].map(|pid| Process::open(pid).unwrap().unwrap());
        held[0].kill_group().unwrap();
        shell.wait().await.unwrap();
        assert!(held[0].ended_within(LONG).await.unwrap());
        if leads {
            assert!(held[1].ended_within(LONG).await.unwrap(), "it is of the group");
        } else {
            assert!(held[1].is_alive(), "its group is another's");
            held[1].signal(Signal::KILL).unwrap();
        }
    }
}

#[tokio::test]
async fn marked_processes_are_found_and_killed_and_no_others() {
    let mark = format!("{}.7", std::process::id());
    let (mut ours, mut theirs) = (sleeper(&mark), sleeper(&format!("{mark}1")));
    let killed = kill_with_variable("SQUALL_TEST_MARK", &mark, Duration::from_secs(5)).await.unwrap();
    let spared = Process::open(theirs.id()).unwrap().is_some_and(|p| p.is_alive());
    theirs.kill().unwrap();
    theirs.wait().unwrap();
    assert!(!ours.wait().unwrap().success());
    assert_eq!(killed, 1);
    assert!(spared);
}

#[test]
fn a_process_is_called_what_it_was_started_as() {
    use std::os::unix::process::CommandExt as _;
    let mut child = std::process::Command::new("sleep").arg0("/opt/secret: 3").arg("60").spawn().unwrap();
    // The kernel lets the parent go on before the arguments are in their place; the environment comes after them.
    let end = std::time::Instant::now() + Duration::from_secs(5);
    while variable(child.id(), "PATH").is_none() && std::time::Instant::now() < end {}
    let told = (names(child.id()), pid_namespace(child.id()), variable(child.id(), "PATH"));
    child.kill().unwrap();
    child.wait().unwrap();
    let (names, space, path) = told;
    let names = names.unwrap();
    assert_eq!((names.own.as_str(), names.title), ("sleep", None), "arguments are no title");
    assert_eq!((space, path), (pid_namespace(std::process::id()), std::env::var("PATH").ok()));
}

#[test]
fn a_title_is_told_whole_and_apart_from_arguments() {
    for (line, want) in [
        (
            &b"postgres: walsender repl 10.0.0.5(4711) streaming 0/3136F98\0\0\0"[..],
            Some("postgres: walsender repl 10.0.0.5(4711) streaming 0/3136F98"),
        ),
        (b"nginx: worker process", Some("nginx: worker process")),
        (b"/usr/bin/psql\0--password\0x y\0", None),
        (b"sleep\0", None),
        (b"", None),
    ] {
        assert_eq!(title(line).as_deref(), want);
    }
}

#[test]
fn what_a_process_uses_is_told() {
    let before = stat(std::process::id()).unwrap();
    while stat(std::process::id()).unwrap().used <= before.used {}
    assert!(before.resident > 1 << 20, "{before:?}");
    assert!(age(before.start_ticks) >= before.used / 64, "{before:?}");
}

#[test]
fn a_life_is_told_by_its_start() {
    let mut child = sleeper("start");
    let ticks = start_ticks(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ticks > start_ticks(std::process::id()), "{ticks:?}");
    assert_eq!(start_ticks(child.id()), None);
}
