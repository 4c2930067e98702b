//! A Prometheus and an Alertmanager of one test, as plain processes that end with it.

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use std::io::{Read as _, Write as _};

use crate::ports::free_port;

/// Both of them, with short intervals: what takes minutes elsewhere takes a second here.
pub(crate) struct Monitors {
    pub(crate) prometheus: u16,
    pub(crate) alertmanager: u16,
    dir: tempfile::TempDir,
    processes: Vec<Child>,
}

impl Monitors {
    /// Watches these ports on loopback; the alert `ShopDown` fires where one of them does not answer.
    pub(crate) fn of(targets: &[u16]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut monitors = Self { prometheus: free_port(), alertmanager: free_port(), dir, processes: Vec::new() };
        let targets: Vec<String> = targets.iter().map(|port| format!("'127.0.0.1:{port}'")).collect();
        let alertmanager = monitors.alertmanager;
        monitors.file(
            "prometheus.yaml",
            &format!(
                "global: {{ scrape_interval: 250ms, scrape_timeout: 200ms, evaluation_interval: 250ms }}\n\
                 rule_files: [rules.yaml]\n\
                 alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['127.0.0.1:{alertmanager}'] }}] }}] }}\n\
                 scrape_configs:\n  - job_name: shop\n    static_configs: [{{ targets: [{}] }}]\n",
                targets.join(", ")
            ),
        );
        monitors.file(
            "rules.yaml",
            "groups:\n  - name: shop\n    rules:\n      - alert: ShopDown\n        expr: up{job=\"shop\"} == 0\n        \
             labels: { severity: page }\n",
        );
        monitors.file(
            "alertmanager.yaml",
            "route: { receiver: nobody, group_wait: 0s, group_interval: 1s }\nreceivers: [{ name: nobody }]\n",
        );
        let listen = |port: u16| format!("--web.listen-address=127.0.0.1:{port}");
        let path = |name: &str| monitors.dir.path().join(name).display().to_string();
        let alertmanager = [
            format!("--config.file={}", path("alertmanager.yaml")),
            format!("--storage.path={}", path("alertmanager")),
            "--cluster.listen-address=".to_owned(),
            listen(monitors.alertmanager),
        ];
        let prometheus = [
            format!("--config.file={}", path("prometheus.yaml")),
            format!("--storage.tsdb.path={}", path("prometheus")),
            listen(monitors.prometheus),
        ];
        monitors.start("prometheus-alertmanager", &alertmanager);
        monitors.start("prometheus", &prometheus);
        let up = format!("(sum(up) or vector(0)) == {}", targets.len());
        monitors.until("both are ready and have seen every target", |m| {
            get(m.alertmanager, "/-/ready").is_some() && query(m.prometheus, &up).contains("\"value\"")
        });
        monitors
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn start(&mut self, program: &str, arguments: &[String]) {
        let log = File::create(self.dir.path().join(format!("{program}.log"))).expect("a log");
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {program}, which Debian's package of that name has: {e}"));
        self.processes.push(child);
    }

    /// Silences every alert for an hour.
    pub(crate) fn silence(&self) {
        let now = jiff::Timestamp::now();
        let body = format!(
            r#"{{"matchers":[{{"name":"alertname","value":".+","isRegex":true}}],"startsAt":"{now}","endsAt":"{}","createdBy":"test","comment":"test"}}"#,
            now + jiff::SignedDuration::from_hours(1)
        );
        let answer = exchange(
            self.alertmanager,
            &format!(
                "POST /api/v2/silences HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        );
        assert!(answer.is_some_and(|answer| answer.contains("silenceID")), "no silence");
    }

    /// Waits for something; panics with the logs after a minute.
    #[expect(clippy::disallowed_methods, reason = "no runtime here: these tests wait for processes of their own")]
    pub(crate) fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_mins(1);
        while !is(self) {
            assert!(Instant::now() < end, "never: {what}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn logs(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        format!("{}\n{}", read("prometheus.log"), read("prometheus-alertmanager.log"))
    }
}

impl Drop for Monitors {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn query(port: u16, query: &str) -> String {
    get(port, &format!("/api/v1/query?query={}", query.replace('=', "%3D").replace(' ', "%20"))).unwrap_or_default()
}

/// A whole answer; nothing where nobody answers well.
pub(crate) fn get(port: u16, path: &str) -> Option<String> {
    exchange(port, &format!("GET {path} HTTP/1.0\r\n\r\n")).filter(|answer| answer.contains(" 200 OK"))
}

fn exchange(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
