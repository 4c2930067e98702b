use super::*;

const MIB: u64 = 1 << 20;

/// 1000 MiB, of which 50 are for root alone.
fn half_full() -> Space {
    Space { total: 1000 * MIB, free: 550 * MIB, available: 500 * MIB, inodes: 1000, inodes_free: 900 }
}

fn mount(path: &str) -> Mount {
    Mount::new(path, MountKind::Volume, None, false)
}

#[test]
fn the_mount_that_holds_a_path_is_the_deepest() {
    let mounts = ["/", "/data", "/data/deep"].map(mount);
    for (path, want) in
        [("/", "/"), ("/database", "/"), ("/data", "/data"), ("/data/x", "/data"), ("/data/deep/", "/data/deep")]
    {
        assert_eq!(holding(&mounts, path).unwrap().path, want, "{path}");
    }
    assert_eq!(holding(&mounts[1..], "/"), None);
}

#[test]
fn shares_are_counted_as_df_counts_them() {
    let space = half_full();
    // 450 of 950 MiB are used: what is for root alone is no part of the whole.
    assert_eq!(Goal::To(0.95).missing(&space, 0), (950 * MIB * 95).div_ceil(100) - 450 * MIB);
    assert_eq!(Goal::To(1.0).missing(&space, 0), 550 * MIB, "to the last byte, that of root included");
    assert_eq!(Goal::Leave(0).missing(&space, 0), 550 * MIB);
    assert_eq!(Goal::To(0.4).missing(&space, 0), 0);
    assert_eq!(Goal::Leave(10 * MIB).missing(&space, 0), 490 * MIB);
    assert_eq!(Goal::Size(100 * MIB).missing(&space, 30 * MIB), 70 * MIB);
    assert_eq!(Goal::Inodes(1.0).missing(&space, 0), 900);
    assert_eq!(Goal::Inodes(0.5).missing(&space, 0), 400);
}

#[test]
fn what_the_host_needs_stays() {
    const GIB: u64 = 1 << 30;
    assert_eq!((reserve(10 * GIB), reserve(100 * GIB)), (2 * GIB, 5 * GIB));
    assert_eq!((memory_reserve(GIB), memory_reserve(20 * GIB)), (GIB / 2, GIB));
    let space = Space { total: 100 * GIB, free: 20 * GIB, available: 20 * GIB, inodes: 1000, inodes_free: 100 };
    for (goal, ok) in [
        (Goal::Size(15 * GIB), true),
        (Goal::Size(15 * GIB + 1), false),
        (Goal::Leave(5 * GIB), true),
        (Goal::Leave(5 * GIB - 1), false),
        (Goal::To(0.95), true),
        (Goal::To(0.96), false),
        (Goal::Inodes(0.95), true),
        (Goal::Inodes(0.96), false),
    ] {
        let refusal = goal.refusal(&space, SpaceOwner::Hosts);
        assert_eq!(refusal.is_none(), ok, "{goal:?}: {refusal:?}");
        assert!(refusal.is_none_or(|why| why.contains("the host itself needs")), "{goal:?}");
        assert_eq!(goal.refusal(&space, SpaceOwner::Apart), None, "{goal:?}");
    }
    let memory = SpaceOwner::Memory { total: 10 * GIB, available: 2 * GIB };
    assert_eq!(Goal::Size(GIB).refusal(&space, memory), None);
    let refusal = Goal::Size(2 * GIB).refusal(&space, memory).unwrap();
    assert!(refusal.contains("of 2 GiB available, 512 MiB must stay"), "{refusal}");
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let space = half_full();
    for (goal, want) in [
        (Goal::To(0.3), "47.4% are used already"),
        (Goal::Leave(600 * MIB), "500 MiB are left already"),
        (Goal::Size(600 * MIB), "600 MiB are to be written, and 500 MiB are free"),
        (Goal::Inodes(0.05), "10% of its inodes"),
    ] {
        let why = goal.refusal(&space, SpaceOwner::Apart).unwrap();
        assert!(why.contains(want), "{goal:?}: {why}");
    }
    let many = Space { inodes: 5_000_000, inodes_free: 5_000_000, ..space };
    assert!(Goal::Inodes(1.0).refusal(&many, SpaceOwner::Apart).unwrap().contains("1000000 are the most"));
    let none = Space { inodes: 0, inodes_free: 0, ..space };
    assert!(Goal::Inodes(1.0).refusal(&none, SpaceOwner::Apart).unwrap().contains("no bound"));
}

#[test]
fn the_proof_tells_before_and_now() {
    let space = Space { total: 1000 * MIB, free: 100 * MIB, available: 50 * MIB, inodes: 1000, inodes_free: 0 };
    let filled = Filled { path: "/data".to_owned(), space, ours: 450 * MIB, files: 1 };
    assert_eq!(filled.to_string(), "/data used 47.4% → 94.7% (450 MiB of it ours), 50 MiB available");
    let none = Filled { ours: 0, files: 0, ..filled };
    assert_eq!(none.to_string(), "/data used 94.7%, 50 MiB available");
    let filled = Filled { path: "/data".to_owned(), space, ours: 0, files: 900 };
    assert_eq!(filled.to_string(), "inodes of /data used 10% → 100%, 0 free");
}

#[test]
fn a_mark_is_the_same_for_the_same_and_another_for_another() {
    let place = DiskLocation { path: "/data".to_owned(), mount: mount("/data"), filesystem: None };
    let fill = Fill { place, goal: Goal::To(0.95), rate: None, shared_with: Vec::new() };
    assert_eq!(fill.mark(), fill.clone().mark());
    assert_ne!(fill.mark(), Fill { goal: Goal::To(0.94), ..fill.clone() }.mark());
    assert_eq!(fill.to_string(), "filled at /data to 95%");
    let slow = Fill { rate: Some(50 * MIB), goal: Goal::Leave(MIB), ..fill };
    assert_eq!(slow.to_string(), "filled at /data until 1 MiB are left, 50 MiB in a second");
}
