//! A journal that others damage while the fault is on: it is rolled back all the same, and what cannot be read is told.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use squall::record::journal;

use super::{Scene, eventually, is_there, output, with_fault_on};

fn journal_of(scene: &Scene) -> PathBuf {
    let run = std::fs::read_dir(scene.path("state/runs")).unwrap().next().unwrap().unwrap().path();
    run.join("journal.ndjson")
}

/// Where the last line of an event tells which it is.
fn position(bytes: &[u8], event: &str) -> usize {
    bytes.windows(event.len()).rposition(|part| part == event.as_bytes()).unwrap()
}

type Damage = fn(&Scene, &Path);

/// What others do to a run's files.
const DAMAGE: [(&str, Damage); 6] = [
    ("the run's directory is removed", |_, journal| std::fs::remove_dir_all(journal.parent().unwrap()).unwrap()),
    ("the state directory is moved", |scene, _| std::fs::rename(scene.path("state"), scene.path("moved")).unwrap()),
    ("the journal is cut off", |_, journal| File::options().write(true).open(journal).unwrap().set_len(0).unwrap()),
    ("half of the journal is cut off", |_, journal| {
        let length = journal.metadata().unwrap().len();
        File::options().write(true).open(journal).unwrap().set_len(length / 2).unwrap();
    }),
    ("every line up to the plan has a wrong byte", |_, journal| {
        let mut bytes = std::fs::read(journal).unwrap();
        let plan = position(&bytes, "\"event\":\"planned\"");
        let begins: Vec<usize> = (1..plan).filter(|at| bytes[at - 1] == b'\n').collect();
        begins.into_iter().chain([0]).for_each(|at| bytes[at + 20] ^= 0x55);
        File::options().write(true).open(journal).unwrap().write_all_at(&bytes, 0).unwrap();
    }),
    ("the journal is another file", |_, journal| {
        std::fs::remove_file(journal).unwrap();
        std::fs::write(journal, "").unwrap();
    }),
];

#[test]
fn a_guard_rolls_back_whatever_has_become_of_the_journal() {
    for (what, damage) in DAMAGE {
        let (scene, mut run) = with_fault_on();
        let journal = journal_of(&scene);
        damage(&scene, &journal);
        run.kill().unwrap();
        run.wait().unwrap();
        eventually(what, || (!is_there(&scene.path("fault"))).then_some(()));
        if is_there(&scene.path("moved")) {
            std::fs::rename(scene.path("moved"), scene.path("state")).unwrap();
        }
        // It has written down what it did.
        let end = scene.until("the end is written", |s| s.finished.is_some());
        assert!(end.is_settled(), "{what}: {:?}", end.finished);
        let (code, said) = output(scene.squall(&["recover"]));
        assert_eq!(code, Some(0), "{what}: {said}");
    }
}

#[test]
fn a_runner_writes_its_journal_again_where_it_was_damaged() {
    for (what, damage) in [DAMAGE[0], DAMAGE[2], DAMAGE[4]] {
        let (scene, run) = with_fault_on();
        damage(&scene, &journal_of(&scene).clone());
        let pid = rustix::process::Pid::from_child(&run);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let ended = run.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(3), "{what}");
        assert!(!is_there(&scene.path("fault")), "{what}");
        assert!(journal::replay(&journal_of(&scene)).unwrap().is_settled(), "{what}");
    }
}

/// Runner and guard are dead, so nobody has read the journal in time.
#[test]
fn recover_rolls_back_what_can_be_read_and_is_not_content_where_a_line_cannot() {
    let (scene, mut run) = with_fault_on();
    let guard = scene.until("a guard", |s| !s.guards.is_empty()).guards.last().unwrap().id.clone();
    // A runner that is held still posts no other one.
    for (signal, pid) in [("-STOP", &run.id().to_string()), ("-KILL", &guard)] {
        assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let journal = journal_of(&scene);
    let mut bytes = std::fs::read(&journal).unwrap();
    let at = position(&bytes, "\"event\":\"guarded\"");
    bytes[at] ^= 0x55;
    std::fs::write(&journal, bytes).unwrap();

    let (code, said) = output(scene.squall(&["recover"]));
    assert!(!is_there(&scene.path("fault")), "{said}");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("is damaged") && said.contains("--settle"), "{said}");
    let (code, said) = output(scene.squall(&["recover"]));
    assert_eq!(code, Some(4), "it stays so: {said}");
    let run = journal.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(output(scene.squall(&["recover", "--settle", &run, "looked at it"])).0, Some(0));
    assert_eq!(output(scene.squall(&["recover"])).0, Some(0));
}
