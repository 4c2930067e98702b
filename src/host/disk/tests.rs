use std::os::unix::fs::{MetadataExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::model::disk::Goal;

const MIB: u64 = 1 << 20;

fn open(path: &Path) -> Directory {
    Directory::open(Path::new("/"), path.to_str().unwrap()).unwrap()
}

fn apart() -> AskGround {
    Box::new(|_| Ok(SpaceOwner::Apart))
}

/// Waits until it is so far.
fn until(filling: &Filling, is: impl Fn(&Progress) -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is(&filling.progress.borrow()) {
        assert!(Instant::now() < end, "{:?}", filling.progress.borrow());
        std::thread::yield_now();
    }
}

#[test]
fn no_link_and_no_parent_leads_out() {
    let root = tempfile::tempdir().unwrap();
    let inner = root.path().join("inner");
    std::fs::create_dir_all(inner.join("etc")).unwrap();
    std::fs::create_dir(root.path().join("outside")).unwrap();
    symlink("/etc", inner.join("absolute")).unwrap();
    symlink("../../outside", inner.join("etc/relative")).unwrap();
    std::fs::write(inner.join("file"), "").unwrap();
    let identity = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino())).unwrap();
    let found = Directory::open(&inner, "/absolute").unwrap().identity().unwrap();
    assert_eq!(found, identity(&inner.join("etc")), "an absolute link is followed as the instance sees it");
    assert_eq!(Directory::open(&inner, "/../..").unwrap().identity().unwrap(), identity(&inner));
    for (path, want) in [
        ("/etc/relative", io::ErrorKind::NotFound),
        ("/none", io::ErrorKind::NotFound),
        ("/file", io::ErrorKind::NotADirectory),
    ] {
        assert_eq!(Directory::open(&inner, path).unwrap_err().kind(), want, "{path}");
    }
}

#[test]
fn what_is_filled_is_found_by_name_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let filling = begin(open(dir.path()), "r.0", "abc", Goal::Size(8 * MIB), None, apart()).unwrap().unwrap();
    until(&filling, |p| *p == Progress::Full);
    assert!(begin(open(dir.path()), "r.0", "abc", Goal::Size(MIB), None, apart()).unwrap().is_none(), "it lies there");
    let top = open(dir.path());
    let laid = find(&top).unwrap();
    assert_eq!(laid, [Laid { tag: "r.0".to_owned(), mark: "abc".to_owned(), bytes: 8 * MIB, files: 1 }]);
    assert!(!clear(&top, |tag| tag == "r.00").unwrap(), "another change");
    filling.end();
    assert!(clear(&top, |tag| tag == "r.0").unwrap());
    assert!(!clear(&top, |tag| tag == "r.0").unwrap(), "what is gone is no error");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn a_link_in_the_place_of_ours_is_not_followed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(other.path().join("r.0-abc"), "theirs").unwrap();
    symlink(other.path(), dir.path().join(PLACE)).unwrap();
    let top = open(dir.path());
    assert_eq!(find(&top).unwrap(), []);
    assert!(!clear(&top, |tag| tag == "r.0").unwrap());
    assert!(begin(top, "r.0", "abc", Goal::Size(MIB), None, apart()).is_err());
    assert!(other.path().join("r.0-abc").exists() && dir.path().join(PLACE).exists());
}

#[test]
fn a_slow_filling_keeps_its_rate_and_stops_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let filling =
        begin(open(dir.path()), "r.1", "abc", Goal::Size(1000 * MIB), Some(20 * MIB), apart()).unwrap().unwrap();
    let bytes = || find(&open(dir.path())).unwrap()[0].bytes;
    until(&filling, |p| *p == Progress::Filling);
    while bytes() < 10 * MIB {
        std::thread::yield_now();
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(350), "10 MiB at 20 MiB/s after {took:?}");
    filling.end();
    let stopped = bytes();
    assert!(stopped < 100 * MIB, "{stopped}");
    assert!(clear(&open(dir.path()), |tag| tag == "r.1").unwrap());
}

#[test]
fn at_the_hosts_reserve_it_ends_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let short = Arc::new(AtomicBool::new(false));
    let asked = short.clone();
    let ground = move |_: &Directory| {
        let available = if asked.swap(true, Ordering::Relaxed) { 512 * MIB } else { 1024 * MIB };
        Ok(SpaceOwner::Memory { total: 1024 * MIB, available })
    };
    let filling =
        begin(open(dir.path()), "r.2", "abc", Goal::Size(200 * MIB), None, Box::new(ground)).unwrap().unwrap();
    until(&filling, |p| matches!(p, Progress::Failed(why) if why.contains("memory has no more to spare")));
    filling.end();
    assert!(short.load(Ordering::Relaxed));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "what was written until then is gone");
}

#[test]
fn files_are_counted_without_looking_at_each() {
    let dir = tempfile::tempdir().unwrap();
    for count in [0, 1, 2, 3, 5, 8, 100] {
        let full = dir.path().join(PLACE).join("r.3-abc");
        std::fs::create_dir_all(&full).unwrap();
        (0..count).for_each(|n| std::fs::write(full.join(n.to_string()), "").unwrap());
        let top = open(dir.path());
        assert_eq!(find(&top).unwrap()[0].files, count);
        assert!(clear(&top, |tag| tag == "r.3").unwrap());
    }
}

#[test]
fn the_kernel_tells_of_memory() {
    let ground = memory_of("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n").unwrap();
    assert_eq!(ground, SpaceOwner::Memory { total: 1_024_000, available: 409_600 });
    assert!(memory_of("MemTotal: 1 kB").is_err());
}
