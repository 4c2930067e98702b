//! Real replicas whose data is late: a primary pushes and asks nothing. Takes Debian's packages `redis-server` and
//! `postgresql`; without them these tests fail, they are not skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::pair::empty;

const SQUALL: &str = env!("CARGO_BIN_EXE_squall");
const DELAY_MS: u32 = 500;
/// What is younger is not delayed, however busy the machine.
const FRESH_MS: u32 = 400;

/// What runs, and how the age of the replica's data is asked for, in milliseconds.
struct Replicas {
    stack: String,
    age: Vec<String>,
}

/// Brings the stack up on a machine of its own, and runs two experiments on it: data that may be 10 % later than declared,
/// and no sooner, holds; data that must be younger than the delay is found broken.
fn data_is_as_late_as_declared(dir: &Path, replicas: &Replicas) {
    empty()
        .run(|| {
            let up = |command: &str| {
                let words: Vec<&str> = command.split(' ').collect();
                assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{command}");
            };
            up("ip link set lo up");
            let stack = Stack::up(dir, &replicas.stack);
            until_fresh(&replicas.age);
            let (least, most) = (DELAY_MS, DELAY_MS + DELAY_MS / 10);
            // The age grows as the line fills. A sender whose answers are suddenly late sends again, and begins slowly: until it knows
            // the new line, what it writes waits for an answer as well.
            let told = stack.run(&replicas.age, &format!("{{ at-least: {least}, at-most: {most}, for: 3s }}"));
            assert_eq!(told.0, Some(0), "{}", told.1);
            let told = stack.run(&replicas.age, &format!("{{ at-most: {FRESH_MS} }}"));
            assert_eq!(told.0, Some(1), "{}", told.1);
            Ok(())
        })
        .unwrap();
}

/// Until the replica has been fresh for a while: one that has just loaded a copy of the data is so for a moment, and is sent
/// what comes after it only when its primary has noticed.
fn until_fresh(age: &[String]) {
    let begun = Instant::now();
    let mut fresh_since = None;
    loop {
        let output = Command::new(&age[0]).args(&age[1..]).output().expect("a package is missing");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if told.trim().parse::<f64>().is_ok_and(|age| age < f64::from(FRESH_MS)) {
            if fresh_since.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(2) {
                return;
            }
        } else {
            fresh_since = None;
        }
        let waited = begun.elapsed();
        assert!(
            waited < Duration::from_mins(1),
            "no data at the replica: {told}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        std::thread::yield_now();
    }
}

struct Stack {
    dir: PathBuf,
}

impl Stack {
    fn up(dir: &Path, text: &str) -> Self {
        std::fs::write(dir.join("stack.yaml"), text).unwrap();
        let stack = Self { dir: dir.to_owned() };
        let output = stack.squall(&["stack", "up", "stack.yaml"]);
        assert!(output.status.success(), "{output:?}");
        stack
    }

    fn squall(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(SQUALL);
        command
            .current_dir(&self.dir)
            .env("SQUALL_STATE", self.dir.join("state"))
            .env("DOCKER_HOST", "unix:///nowhere");
        command.args(arguments).output().unwrap()
    }

    /// The exit code and what was said of a run in which the age of the data must be so.
    fn run(&self, age: &[String], value: &str) -> (Option<i32>, String) {
        let experiment = serde_json::json!({
            "version": 1,
            "name": "late",
            "hypothesis": "The replica's data is as old as the line is long.",
            "steady-state": { "age": {
                "exec": age,
                "rate": "10/s",
                "expect": { "success": "95%", "value": { "at-most": FRESH_MS } },
                "during": { "value": serde_yaml::from_str::<serde_json::Value>(value).unwrap() },
            } },
            "target": { "service": "primary" },
            "fault": { "latency": { "delay": format!("{DELAY_MS}ms"), "to": { "service": "replica" } } },
            "blast-radius": { "max-instances": 1 },
            "timing": { "baseline": "2s", "duration": "8s", "recovery": "10s" },
        });
        std::fs::write(self.dir.join("x.yaml"), experiment.to_string()).unwrap();
        let output = self.squall(&["run", "x.yaml", "--stack", "stack.yaml"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let down = self.squall(&["stack", "down", "stack.yaml"]);
        assert!(down.status.success() || std::thread::panicking(), "{down:?}");
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

#[test]
fn a_redis_replica_is_behind_by_the_delay() {
    let dir = tempfile::tempdir().unwrap();
    let write = "local t = redis.call('TIME') return redis.call('SET', 't', t[1] * 1000 + math.floor(t[2] / 1000))";
    let age = "local t = redis.call('TIME') return t[1] * 1000 + math.floor(t[2] / 1000) - redis.call('GET', 't')";
    let place = dir.path().display();
    let server = "redis-server, --protected-mode, 'no', --save, '', --bind, '{address}', --port, '{port}', --dir";
    let stack = format!(
        "version: 1\nname: redis\nnetwork: 10.213.8.0/24\nservices:\n  \
         primary: {{ port: 6379, command: [{server}, {place}] }}\n  \
         replica: {{ port: 6380, command: [{server}, {place}, --replicaof, '{{primary-1}}', '6379'] }}\n  \
         writer: {{ command: [redis-cli, -h, '{{primary-1}}', -r, '-1', -i, '0.01', eval, \"{write}\", '0'] }}\n"
    );
    let age = words(["redis-cli", "-h", "10.213.8.3", "-p", "6380", "eval", age, "0"]);
    data_is_as_late_as_declared(dir.path(), &Replicas { stack, age });
}

/// A cluster of no data, and a copy of it that follows it. The server refuses to run as root.
fn clusters(dir: &Path, programs: &Path) {
    let user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
    let run = |command: &mut Command| {
        let output = command.output().expect("util-linux and coreutils");
        assert!(output.status.success(), "{command:?}: {output:?}");
    };
    run(Command::new("chown").arg("postgres").arg(dir));
    let primary = dir.join("primary");
    let mut initdb = Command::new("setpriv");
    initdb.args(user).arg(programs.join("initdb")).args(["--auth=trust", "--no-sync", "-U", "postgres", "-D"]);
    run(initdb.arg(&primary).current_dir(dir));
    let access = "host all all 10.213.9.0/24 trust\nhost replication all 10.213.9.0/24 trust\n";
    std::fs::write(primary.join("pg_hba.conf"), access).unwrap();
    run(Command::new("cp").arg("-a").arg(&primary).arg(dir.join("replica")));
    std::fs::write(dir.join("replica/standby.signal"), "").unwrap();
    let write = "CREATE TABLE age (at timestamptz);\nINSERT INTO age VALUES (clock_timestamp());\n\
                 UPDATE age SET at = clock_timestamp() \\watch 0.02\n";
    std::fs::write(dir.join("write.sql"), write).unwrap();
}

#[test]
fn a_postgresql_standby_is_behind_by_the_delay() {
    let dir = tempfile::tempdir().unwrap();
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("Debian's package postgresql is missing");
    let programs = versions.map(|version| version.unwrap().path().join("bin")).max().expect("a version");
    clusters(dir.path(), &programs);
    let (place, postgres) = (dir.path().display(), programs.join("postgres"));
    let server = format!(
        "setpriv, --reuid=postgres, --regid=postgres, --clear-groups, {}, -p, '{{port}}', -c, 'listen_addresses={{address}}', \
         -c, fsync=off, -c, shared_buffers=16MB, -c, 'unix_socket_directories=', -D",
        postgres.display()
    );
    let write = format!("until psql -q -o /dev/null -h $0 -U postgres -f {place}/write.sql; do sleep 0.1; done");
    let stack = format!(
        "version: 1\nname: postgresql\nnetwork: 10.213.9.0/24\nservices:\n  \
         primary: {{ port: 5432, command: [{server}, {place}/primary] }}\n  \
         replica: {{ port: 5433, command: [{server}, {place}/replica, -c, \
         'primary_conninfo=host={{primary-1}} user=postgres'] }}\n  \
         writer: {{ command: [sh, -c, '{write}', '{{primary-1}}'] }}\n"
    );
    let age = "SELECT round(extract(epoch FROM clock_timestamp() - at) * 1000) FROM age";
    let age = words(["psql", "-h", "10.213.9.3", "-p", "5433", "-U", "postgres", "-Atc", age]);
    data_is_as_late_as_declared(dir.path(), &Replicas { stack, age });
}
