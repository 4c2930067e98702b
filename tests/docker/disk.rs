//! Disks of real containers that fill up or let nothing be written: what the container sees of it, that a process inside is
//! refused, and that nothing of it is left, whatever became of the container meanwhile.

mod rollback;
mod runs;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bollard::models::{HostConfig, Mount, MountType};
use squall::engine::docker::{Docker, PROGRAM};
use squall::engine::{Ability, Apply as _, Execute as _, Outcome};
use squall::model::disk::{DiskLocation, Fill, Goal, MountKind, Space};
use squall::model::instance::{Aspect, Instance, InstanceId, Setting};

use crate::harness::{Sandbox, Spec};

/// Where the container has its data: there our binary writes a note when it is told to halt.
pub(crate) const DATA: &str = "/var/lib/squall";

pub(crate) const MIB: u64 = 1 << 20;

/// A file system of its own on this machine, which is gone with this value. It must outlive the containers that have it.
pub(crate) struct Loop {
    pub(crate) dir: tempfile::TempDir,
}

impl Loop {
    pub(crate) fn new(size: u64) -> Self {
        let dir = tempfile::Builder::new().prefix("squall-test-").tempdir().expect("a directory");
        let image = dir.path().join("image");
        std::fs::File::create(&image).and_then(|f| f.set_len(size)).expect("a file");
        std::fs::create_dir(dir.path().join("top")).expect("a directory");
        let made = Self { dir };
        does(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        does(Command::new("mount").args(["-o", "loop"]).args([&image, &made.top()]));
        made
    }

    pub(crate) fn top(&self) -> PathBuf {
        self.dir.path().join("top")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // The loop device goes with the mount.
        let _ = Command::new("umount").arg(self.top()).status();
    }
}

#[track_caller]
fn does(command: &mut Command) {
    let status = command.status().expect("it starts");
    assert!(status.success(), "{command:?}: {status}");
}

pub(crate) fn bound(source: &Path) -> Spec {
    with(HostConfig { binds: Some(vec![format!("{}:{DATA}", source.display())]), ..HostConfig::default() })
}

fn in_memory(options: &str) -> Spec {
    with(HostConfig { tmpfs: Some(HashMap::from([(DATA.to_owned(), options.to_owned())])), ..HostConfig::default() })
}

pub(crate) fn on_volume(name: String, read_only: bool) -> Spec {
    let mount = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name),
        target: Some(DATA.to_owned()),
        read_only: Some(read_only),
        ..Mount::default()
    };
    with(HostConfig { mounts: Some(vec![mount]), ..HostConfig::default() })
}

fn with(host: HostConfig) -> Spec {
    Spec { host: HostConfig { network_mode: Some("none".to_owned()), ..host }, ..Spec::default() }
}

/// Whether a process inside can write to its data; what it says where it cannot.
async fn writes(sandbox: &Sandbox, name: &str) -> Result<(), String> {
    let ran = sandbox
        .docker
        .exec(&sandbox.name(name), &[PROGRAM, "halt", "full"].map(str::to_owned), Duration::from_secs(20))
        .await;
    let ran = ran.expect("it runs");
    let again = sandbox
        .docker
        .exec(&sandbox.name(name), &[PROGRAM, "resume"].map(str::to_owned), Duration::from_secs(20))
        .await;
    if ran.status == 0 {
        assert_eq!(again.expect("it runs").status, 0);
        return Ok(());
    }
    Err(ran.stderr)
}

/// What the container's own `statvfs` says of a path.
async fn space(sandbox: &Sandbox, id: &InstanceId, path: &str) -> Space {
    let found = rustix::fs::statvfs(format!("/proc/{}/root{path}", sandbox.pid(id).await)).expect("a file system");
    Space {
        total: found.f_blocks * found.f_frsize,
        free: found.f_bfree * found.f_frsize,
        available: found.f_bavail * found.f_frsize,
        inodes: found.f_files,
        inodes_free: found.f_favail,
    }
}

/// A filling as an experiment would plan it.
fn fill(i: &Instance, path: &str, goal: Goal) -> Setting {
    let mount = squall::model::disk::holding(&i.mounts, path).expect("a mount").clone();
    Setting::Filled(Box::new(Fill {
        place: DiskLocation { path: path.to_owned(), mount, filesystem: None },
        goal,
        rate: None,
        shared_with: Vec::new(),
    }))
}

/// The same as the engine makes it so.
#[track_caller]
fn able(docker: &Docker, i: &Instance, to: &Setting) -> Setting {
    match docker.ability(i, to) {
        Ability::As(to) => *to,
        other => panic!("{to}: {other:?}"),
    }
}

fn refusal(docker: &Docker, i: &Instance, to: &Setting) -> String {
    match docker.ability(i, to) {
        Ability::No(why) => why,
        other => panic!("{to}: {other:?}"),
    }
}

fn back(to: &Setting) -> Setting {
    let Setting::Filled(fill) = to else { panic!("{to:?}") };
    Setting::Freed(Box::new(fill.place.clone()))
}

/// Whether nothing of Squall's is in a directory of this machine.
fn is_clean(directory: &str) -> bool {
    !Path::new(directory).join(".squall").exists()
}

#[tokio::test]
async fn each_file_system_is_filled_as_declared_and_freed() {
    let own = Loop::new(48 * MIB);
    let sandbox = Sandbox::new().await;
    let size = Goal::Size(32 * MIB);
    for (name, spec, path, kind, goals) in [
        (
            "memory",
            in_memory("size=32m"),
            DATA,
            MountKind::Tmpfs,
            &[Goal::To(0.95), Goal::Leave(MIB), Goal::To(1.0)][..],
        ),
        ("own", bound(&own.top()), DATA, MountKind::Bind, &[Goal::To(0.95), Goal::Leave(5 * MIB), Goal::To(1.0)]),
        ("volume", on_volume(sandbox.name("v"), false), DATA, MountKind::Volume, &[size]),
        ("root", with(HostConfig::default()), "/", MountKind::Root, &[size]),
    ] {
        let id = sandbox.start(name, spec).await;
        let before = sandbox.look(&id).await;
        let was = space(&sandbox, &id, path).await;
        assert_eq!(before.settings[&Aspect::Disk], Setting::Mark(Aspect::Disk, None));
        writes(&sandbox, name).await.expect("it can write");
        for (n, goal) in goals.iter().enumerate() {
            let to = able(&sandbox.docker, &before, &fill(&before, path, *goal));
            let Setting::Filled(filled) = &to else { panic!("{to:?}") };
            assert_eq!(filled.place.mount.kind, kind, "{name}");
            assert_eq!(sandbox.docker.set(&sandbox.tag(n), &id, &to).await.unwrap(), Outcome::Done, "{name}: {to}");
            let (during, now) = (sandbox.look(&id).await, space(&sandbox, &id, path).await);
            assert_eq!(Some(&during.settings[&Aspect::Disk]), to.observed_as().as_ref(), "{name}: {to}");
            assert!(during.sees[&Aspect::Disk].contains('→'), "{name}: {:?}", during.sees);
            match goal {
                Goal::To(share) => assert!((now.used_share() - share).abs() < 0.002, "{name}: {to}: {now:?}"),
                Goal::Leave(left) => assert!(now.available.abs_diff(*left) <= 64 << 10, "{name}: {to}: {now:?}"),
                // Others write to that file system as well.
                _ => assert!(was.available - now.available > 16 * MIB, "{name}: {to}: {was:?} {now:?}"),
            }
            if *goal == Goal::To(1.0) {
                let said = writes(&sandbox, name).await.expect_err("the disk is full");
                assert!(said.contains("No space left"), "{said}");
            }
            assert_eq!(
                sandbox.docker.set(&sandbox.tag(n), &id, &to).await.unwrap(),
                Outcome::Already,
                "{name}: {to} twice"
            );
            assert_eq!(sandbox.look(&id).await.settings, during.settings, "{name}: {to} twice changes nothing");

            assert_eq!(
                sandbox.docker.set(&sandbox.tag(n), &id, &back(&to)).await.unwrap(),
                Outcome::Done,
                "{name}: {to}"
            );
            assert_eq!(
                sandbox.docker.set(&sandbox.tag(n), &id, &back(&to)).await.unwrap(),
                Outcome::Already,
                "{name}: {to}"
            );
            assert_eq!(sandbox.look(&id).await.settings, before.settings, "{name}: {to}");
            writes(&sandbox, name).await.expect("it can write again");
            if let Some(source) = &filled.place.mount.source {
                let beside = Path::new(source).parent().and_then(Path::to_str).expect("a directory");
                assert!(is_clean(if kind == MountKind::Root { beside } else { source }), "{name}");
            }
        }
        if matches!(kind, MountKind::Tmpfs | MountKind::Bind) {
            let now = space(&sandbox, &id, path).await;
            assert!(now.available.abs_diff(was.available) <= 16 << 10, "{name}: {was:?} {now:?}");
        }
    }
}

#[tokio::test]
async fn files_use_up_the_inodes_until_they_are_gone() {
    let own = Loop::new(16 * MIB);
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("files", bound(&own.top())).await;
    let before = sandbox.look(&id).await;
    let was = space(&sandbox, &id, DATA).await;
    let to = able(&sandbox.docker, &before, &fill(&before, DATA, Goal::Inodes(1.0)));
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &to).await.unwrap(), Outcome::Done);
    let now = space(&sandbox, &id, DATA).await;
    assert_eq!(now.inodes_free, 0, "{now:?}");
    assert!(now.available > was.available / 2, "there is room all the same: {now:?}");
    assert!(sandbox.look(&id).await.sees[&Aspect::Disk].contains("→ 100%"));
    let said = writes(&sandbox, "files").await.expect_err("no file can be made");
    assert!(said.contains("No space left"), "{said}");
    assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &back(&to)).await.unwrap(), Outcome::Done);
    assert_eq!(space(&sandbox, &id, DATA).await.inodes_free, was.inodes_free);
    assert_eq!(sandbox.look(&id).await.settings, before.settings);
}

#[tokio::test]
async fn what_must_not_be_filled_is_refused() {
    let sandbox = Sandbox::new().await;
    let id = sandbox.start("memory", in_memory("size=16m")).await;
    let i = sandbox.look(&id).await;
    let inside = PathBuf::from(format!("/proc/{}/root", sandbox.pid(&id).await));
    std::fs::create_dir(inside.join("elsewhere")).unwrap();
    std::fs::write(inside.join("file"), "").unwrap();
    std::os::unix::fs::symlink("/elsewhere", inside.join("var/lib/squall/out")).unwrap();
    std::os::unix::fs::symlink("../../../../../../elsewhere", inside.join("var/lib/squall/up")).unwrap();
    std::os::unix::fs::symlink(DATA, inside.join("in")).unwrap();
    let leave = Goal::Leave(0);
    for (path, goal, want) in [
        ("/", leave, "the host itself needs this file system"),
        ("/", Goal::To(1.0), "must stay (the larger of 5 % and 2 GiB)"),
        ("/var/lib/squall/out", leave, "a symbolic link leads from /var/lib/squall/out out of /var/lib/squall to /"),
        ("/var/lib/squall/up", leave, "a symbolic link leads from"),
        ("/in", leave, "a symbolic link leads from /in out of / to /var/lib/squall"),
        ("/none", leave, "there is no directory /none"),
        ("/file", leave, "/file is not a directory"),
        ("/proc", leave, "/proc lies on /proc (proc)"),
        ("/dev/shm", leave, "which its engine does not tell of"),
        (DATA, Goal::Size(64 * MIB), "64 MiB are to be written, and"),
        (DATA, Goal::Leave(64 * MIB), "are left already"),
        (DATA, Goal::Inodes(1.0), "are the most"),
    ] {
        let why = refusal(&sandbox.docker, &i, &fill(&i, path, goal));
        assert!(why.contains(want), "{path} {goal:?}: {why}");
        let set = sandbox.docker.set(&sandbox.tag(0), &id, &fill(&i, path, goal)).await;
        assert!(set.is_err_and(|e| e.to_string().contains(want)), "{path} {goal:?}: also without having been asked");
    }
    let read_only = sandbox.start("fixed", on_volume(sandbox.name("fixed"), true)).await;
    let i = sandbox.look(&read_only).await;
    assert!(refusal(&sandbox.docker, &i, &fill(&i, DATA, leave)).contains("mounted read-only"));
    for source in ["/etc", "/", "/var/lib", "/home"] {
        let of_the_host = sandbox.start(&format!("host{}", source.len()), bound(Path::new(source))).await;
        let i = sandbox.look(&of_the_host).await;
        let why = refusal(&sandbox.docker, &i, &fill(&i, DATA, Goal::Size(1)));
        assert!(why.contains(&format!("is {source} of the host, which the host itself needs")), "{source}: {why}");
    }
    assert!(is_clean(inside.join("var/lib/squall").to_str().unwrap()));
}

#[tokio::test]
async fn a_mount_lets_nothing_be_written_until_it_is_as_before() {
    let own = Loop::new(16 * MIB);
    let sandbox = Sandbox::new().await;
    for (name, spec) in [("bound", bound(&own.top())), ("memory", in_memory("size=16m,noexec"))] {
        let id = sandbox.start(name, spec).await;
        let before = sandbox.look(&id).await;
        let was = &before.settings[&Aspect::Mounts];
        assert_eq!(*was, Setting::ReadOnly(std::collections::BTreeSet::new()));
        let options = mount_line(&sandbox, &id).await;
        let to = Setting::ReadOnly([DATA.to_owned()].into());
        assert_eq!(sandbox.docker.ability(&before, &to), Ability::Yes);
        assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &to).await.unwrap(), Outcome::Done, "{name}");
        assert_eq!(sandbox.look(&id).await.settings[&Aspect::Mounts], to, "{name}");
        let said = writes(&sandbox, name).await.expect_err("nothing can be written");
        assert!(said.contains("Read-only file system"), "{name}: {said}");
        // The host, and everybody else who has it, is not concerned.
        std::fs::write(own.top().join("note"), "theirs").expect("the host can write");
        assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &to).await.unwrap(), Outcome::Already, "{name}");
        assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, was).await.unwrap(), Outcome::Done, "{name}");
        assert_eq!(mount_line(&sandbox, &id).await, options, "{name}: every other option is as before");
        writes(&sandbox, name).await.expect("it can write again");

        let open = std::fs::File::create(format!("/proc/{}/root{DATA}/open", sandbox.pid(&id).await)).unwrap();
        let busy = sandbox.docker.set(&sandbox.tag(0), &id, &to).await.unwrap_err().to_string();
        assert!(busy.contains("a process has a file open for writing"), "{name}: {busy}");
        assert_eq!(sandbox.look(&id).await.settings, before.settings, "{name}: nothing is changed then");
        drop(open);

        assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &to).await.unwrap(), Outcome::Done, "{name}");
        let restarted = Setting::Restarted { timeout: Duration::from_secs(5) };
        assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, &restarted).await.unwrap(), Outcome::Done);
        assert_eq!(sandbox.look(&id).await.settings, before.settings, "{name}: it ends with the life");
        assert_eq!(sandbox.docker.set(&sandbox.tag(0), &id, was).await.unwrap(), Outcome::Already, "{name}");
        let why = refusal(&sandbox.docker, &before, &Setting::ReadOnly(["/var".to_owned()].into()));
        assert!(why.contains("/var is no mount of its own") && why.contains(DATA), "{why}");
    }
}

/// What the kernel says of the mount with the data.
async fn mount_line(sandbox: &Sandbox, id: &InstanceId) -> Vec<String> {
    let mounts = squall::host::mounts::of(sandbox.pid(id).await).expect("its mounts");
    mounts.into_iter().find(|m| m.path == DATA).expect("the mount").options
}
