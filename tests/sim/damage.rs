//! A journal that another hand has damaged, at any moment of a run: what was changed is rolled back, or it is said that it may not be.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use squall::engine::sim::InjectedFailure;
use squall::model::exit::Verdict;
use squall::record::event::FORMAT;
use squall::record::journal::{self, JournalError};

use crate::harness::{Scenario, experiment};

const FAULTS: [&str; 3] =
    ["{ pause: {} }", "{ latency: { delay: 20ms } }", "{ exec: { run: [touch, x], undo: [rm, x], timeout: 2s } }"];
const TARGET: &str = "{ service: shop, pick: 2 }";

/// A byte that is another one, some that are none, some that are missing.
fn damage(kind: usize, bytes: &mut Vec<u8>, random: &mut StdRng) -> String {
    let at = random.random_range(0..bytes.len());
    let length = random.random_range(1..200).min(bytes.len() - at);
    match kind {
        0 => {
            bytes[at] ^= random.random_range(1..=255_u8);
            format!("byte {at} is another one")
        }
        1 => {
            bytes[at..at + length].fill(0);
            format!("{length} bytes at {at} are zero")
        }
        _ => {
            bytes.drain(at..at + length);
            format!("{length} bytes at {at} are missing")
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_journal_is_rolled_back_or_said_to_be_unknown() {
    let mut random = StdRng::seed_from_u64(7);
    let (mut restored, mut said) = (0, 0);
    for fault in FAULTS {
        let s = Scenario::new(experiment(fault, TARGET));
        s.sim.fail_calls(|_, _| InjectedFailure::None);
        s.run().await;
        let calls = s.sim.calls();
        for round in 0..120 {
            let n = random.random_range(0..calls);
            let s = Scenario::new(experiment(fault, TARGET));
            s.sim
                .fail_calls(move |call, _| if call == n { InjectedFailure::CrashAfter } else { InjectedFailure::None });
            if s.run().await.is_some() {
                continue;
            }
            s.sim.fail_calls(|_, _| InjectedFailure::None);
            let how = damage(round % 3, &mut s.disk.bytes.lock().unwrap(), &mut random);
            let what = format!("{fault}, died at call {n}, {how}");
            assert!(s.recover().await, "{what}");
            if s.is_restored().await {
                restored += 1;
            } else {
                assert_ne!(round % 3, 0, "{what}: one byte never costs the plan");
                let end = s.written().finished.map(|f| f.verdict);
                assert_eq!(end, Some(Verdict::LeftBehind), "{what}: not as before, and nobody says so");
                said += 1;
            }
        }
    }
    assert!(restored > 200 && said < restored / 20, "{restored} restored, {said} said to be unknown");
}

/// What it says may have another meaning there: nothing is rolled back by half.
#[tokio::test(start_paused = true)]
async fn a_journal_of_a_newer_program_is_refused_as_a_whole() {
    let s = Scenario::new(experiment(FAULTS[0], TARGET));
    s.run().await;
    let bytes = s.disk.bytes.lock().unwrap().clone();
    let newer = |line: &str| {
        let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
        if event["event"] == "started" {
            event["format"] = (FORMAT + 1).into();
            event.as_object_mut().unwrap().remove("sum");
        }
        event.to_string() + "\n"
    };
    let journal: String = String::from_utf8(bytes).unwrap().lines().map(newer).collect();
    let refused = journal::fold(journal.as_bytes(), Path::new("journal")).unwrap_err();
    assert!(matches!(refused, JournalError::TooNew { found, .. } if found == FORMAT + 1), "{refused}");
}
