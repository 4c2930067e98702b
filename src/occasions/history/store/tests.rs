use std::fs;

use super::*;

const STARTED: &str = r#"{"seq":0,"at":"2026-11-20T09:30:00Z","event":"started","format":1,"version":"0.1.0","run":"RUN","experiment":{"version":1,"name":"kill-one","hypothesis":"It holds.","tags":["shop"],"due":"every quarter","steady-state":{"checkout":{"http":{"url":"http://x/"},"rate":"50/s","expect":{"success":"99%"}}},"target":{"service":"shop"},"fault":{"kill":{}},"blast-radius":{"max-instances":1}},"file":"a.yaml","seed":7,"engine":{"kind":"docker","address":"unix:///x","version":"1"},"owner":"ana@staging"}
"#;
const DURING: &str = r#"{"seq":1,"at":"2026-11-20T09:30:01Z","event":"sampled","check":"checkout","phase":"during","from":"2026-11-20T09:30:00Z","length-ms":1000,"samples":50,"failed":20,"unmeasured":0}
{"seq":2,"at":"2026-11-20T09:30:02Z","event":"judged","check":"checkout","phase":"during","samples":50,"failed":20,"unmeasured":0,"latency":{"p50":1.0,"p95":2.0,"p99":3.5,"max":4.0},"standings":[]}
{"seq":3,"at":"2026-11-20T09:30:03Z","event":"recovery","rto-ms":1240,"checks":{}}
"#;

fn finished(verdict: &str, reason: &str) -> String {
    format!(
        r#"{{"seq":4,"at":"2026-11-20T09:30:05Z","event":"finished","verdict":"{verdict}","reason":"{reason}","text":"why"}}"#
    ) + "\n"
}

struct Place {
    dir: tempfile::TempDir,
    state: StateDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::find(Some(dir.path().to_owned())).unwrap();
        Self { dir, state }
    }

    fn write(&self, run: &str, text: &str) {
        fs::create_dir_all(self.state.run_dir(run)).unwrap();
        fs::write(self.state.journal(run), text.replace("RUN", run)).unwrap();
    }

    fn rows(&self) -> Vec<Row> {
        History::open(&self.state).unwrap().rows(&Filter::default()).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(FILE)
    }
}

#[test]
fn what_is_stored_is_what_the_journal_says() {
    let place = Place::new();
    let journal = [STARTED, DURING, &finished("broken", "hypothesis-broken")].concat();
    place.write("r1", &journal);
    let rows = place.rows();
    let from_journal = Row::of("r1", &journal::replay(&place.state.journal("r1")).unwrap());
    assert_eq!(rows, [from_journal]);
    let row = &rows[0];
    assert_eq!(row.tags, ["shop"]);
    assert_eq!(row.due, "every quarter".parse().ok());
    assert_eq!((row.verdict, row.reason.as_deref()), (Some(Verdict::Broken), Some("hypothesis-broken")));
    assert_eq!((row.recovery_ms, row.p99_ms, row.text.as_deref()), (Some(1240), Some(3.5), Some("why")));
    assert_eq!(row.bad_ms, 400, "20 of 50 a second failed");
    assert_eq!(place.rows(), rows, "read again");
}

#[test]
fn a_run_that_never_lost_steady_state_is_neither_slow_nor_unknown() {
    let place = Place::new();
    let recovery = r#""rto-ms":1240,"checks":{}"#;
    let never = r#""rto-ms":0,"checks":{"checkout":0},"never-lost":["checkout"]"#;
    place.write("r1", &[STARTED, DURING, &finished("held", "hypothesis-held")].concat());
    place.write("r2", &[STARTED, &DURING.replace(recovery, never), &finished("held", "hypothesis-held")].concat());
    let rows = place.rows();
    assert_eq!(
        rows.iter().map(|row| (row.recovery_ms, row.never_lost)).collect::<Vec<_>>(),
        [(Some(1240), false), (Some(0), true)]
    );
    assert_eq!(rows.iter().map(Row::recovery).collect::<Vec<_>>(), ["1.24 s", "never lost"]);
}

#[test]
fn it_follows_the_journals() {
    let place = Place::new();
    assert_eq!(place.rows(), []);
    place.write("r1", STARTED);
    place.write("r2", "nonsense\n");
    fs::create_dir_all(place.state.run_dir("r3")).unwrap();
    let told = || place.rows().iter().map(|r| (r.run.clone(), r.status, r.verdict)).collect::<Vec<_>>();
    let row = |run: &str, status, verdict| (run.to_owned(), status, verdict);
    assert_eq!(told(), [row("r1", Status::Unfinished, None), row("r2", Status::Unreadable, None)]);

    let lock = fs::File::open(place.state.journal("r1")).unwrap();
    lock.lock().unwrap();
    assert_eq!(told()[0].1, Status::Running);
    drop(lock);

    // Left behind is not the last word: `recover` writes on.
    let left = finished("left-behind", "left-behind");
    place.write("r1", &[STARTED, DURING, &left].concat());
    assert_eq!(told()[0], row("r1", Status::Finished, Some(Verdict::LeftBehind)));
    let back = finished("no-verdict", "runner-died").replace("\"seq\":4", "\"seq\":5");
    place.write("r1", &[STARTED, DURING, &left, &back].concat());
    assert_eq!(told()[0], row("r1", Status::Finished, Some(Verdict::NoVerdict)));

    fs::remove_dir_all(place.state.run_dir("r1")).unwrap();
    assert_eq!(told(), [row("r2", Status::Unreadable, None)]);
}

#[test]
fn it_is_made_again_where_it_is_missing_damaged_or_of_another_version() {
    let place = Place::new();
    place.write("r1", &[STARTED, DURING, &finished("held", "hypothesis-held")].concat());
    let rows = place.rows();
    fs::remove_file(place.file()).unwrap();
    assert_eq!(place.rows(), rows);
    fs::write(place.file(), "no database at all, and long enough to be looked at as one".repeat(100)).unwrap();
    assert_eq!(place.rows(), rows);
    let db = Connection::open(place.file()).unwrap();
    db.execute_batch("DROP TABLE runs; CREATE TABLE runs (x TEXT); PRAGMA user_version = 999").unwrap();
    drop(db);
    assert_eq!(place.rows(), rows);
    assert!(place.file().exists());
}

#[test]
fn a_state_directory_that_cannot_be_written_is_read_all_the_same() {
    let place = Place::new();
    place.write("r1", &[STARTED, DURING, &finished("held", "hypothesis-held")].concat());
    // Root may write anywhere, but nobody can open a directory as a file.
    fs::create_dir(place.file()).unwrap();
    assert_eq!(place.rows().len(), 1);
}

#[test]
fn many_at_once_double_nothing() {
    let place = Place::new();
    for n in 0..600 {
        place.write(&format!("r{n:03}"), &[STARTED, DURING, &finished("held", "hypothesis-held")].concat());
    }
    std::thread::scope(|threads| {
        let all: Vec<_> = (0..4).map(|_| threads.spawn(|| place.rows().len())).collect();
        assert_eq!(all.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>(), [600; 4]);
    });
}

#[test]
fn rows_are_chosen() {
    let place = Place::new();
    let at = |day: u32| STARTED.replace("2026-11-20T09:30:00Z", &format!("2026-11-{day:02}T09:30:00Z"));
    let end = finished("held", "hypothesis-held").replace("\"seq\":4", "\"seq\":1");
    place.write("r1", &(at(1) + &end));
    place.write(
        "r2",
        &(at(10) + &end.replace("held\",\"reason\":\"hypothesis-held", "broken\",\"reason\":\"hypothesis-broken")),
    );
    place.write("r3", &(at(20).replace("kill-one", "dns").replace("shop\"]", "net\"]") + &end));
    let history = History::open(&place.state).unwrap();
    let chosen =
        |filter: Filter| history.rows(&filter).unwrap().iter().map(|r| r.run.clone()).collect::<Vec<_>>().join(" ");
    let day = |text: &str| format!("2026-11-{text}T09:30:00Z").parse().ok();
    assert_eq!(chosen(Filter { experiments: vec!["kill-*".to_owned()], ..Filter::default() }), "r1 r2");
    assert_eq!(chosen(Filter { verdicts: vec![Verdict::Broken], ..Filter::default() }), "r2");
    assert_eq!(chosen(Filter { tags: vec!["net".to_owned(), "x".to_owned()], ..Filter::default() }), "r3");
    assert_eq!(chosen(Filter { since: day("10"), ..Filter::default() }), "r2 r3");
    assert_eq!(chosen(Filter { until: day("10"), ..Filter::default() }), "r1");
}
