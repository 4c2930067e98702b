//! The Prometheus and the Alertmanager of `examples/monitoring/`, which watch the shop in its containers, on the engine's own host. Knows
//! of no experiment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use squall::engine::Observe as _;
use squall::engine::docker::Docker;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::engines::Lab;

/// How long both may take until they have seen the whole shop.
const READY: Duration = Duration::from_secs(40);

/// How often it is asked where the containers are.
const LOOK: Duration = Duration::from_millis(300);

/// It ends with this value.
pub(crate) struct Monitoring {
    _programs: [Child; 2],
    _discovery: JoinSet<()>,
}

impl Monitoring {
    /// They are there, and have seen everybody, when this returns.
    pub(crate) async fn of_shop(lab: &Lab, docker: &Docker) -> anyhow::Result<Self> {
        let dir = lab.path("monitoring");
        std::fs::create_dir_all(&dir)?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/monitoring");
        for name in ["alertmanager.yaml", "rules.yaml"] {
            std::fs::copy(source.join(name), dir.join(name))?;
        }
        let text = std::fs::read_to_string(source.join("prometheus.yaml"))?;
        std::fs::write(dir.join("prometheus.yaml"), discovered(&text)?)?;
        let mut seen = BTreeMap::new();
        look(docker, &dir, &mut seen).await?;
        let mut discovery = JoinSet::new();
        let (engine, to) = (lab.engine().await?, dir.clone());
        discovery.spawn(async move {
            loop {
                sleep(LOOK).await;
                // An engine that does not answer now does so the next time.
                let _ = look(&engine, &to, &mut seen).await;
            }
        });
        let path = |name: &str| dir.join(name).display().to_string();
        let alertmanager = lab.program_in_network(
            "prometheus-alertmanager",
            &[
                format!("--config.file={}", path("alertmanager.yaml")),
                format!("--storage.path={}", path("alertmanager")),
                "--cluster.listen-address=".to_owned(),
                "--web.listen-address=127.0.0.1:9093".to_owned(),
            ],
        )?;
        let prometheus = lab.program_in_network(
            "prometheus",
            &[
                format!("--config.file={}", path("prometheus.yaml")),
                format!("--storage.tsdb.path={}", path("prometheus")),
                "--web.listen-address=127.0.0.1:9090".to_owned(),
            ],
        )?;
        let monitoring = Self { _programs: [alertmanager, prometheus], _discovery: discovery };
        let end = Instant::now() + READY;
        while !sees_all(lab).await {
            ensure!(Instant::now() < end, "Prometheus and Alertmanager have not seen the whole shop in {READY:?}");
            sleep(LOOK).await;
        }
        Ok(monitoring)
    }
}

/// The configuration of the example, with files in the place of ports: containers have addresses of their own.
fn discovered(text: &str) -> anyhow::Result<String> {
    let mut made = Vec::new();
    let mut job = "";
    for line in text.lines() {
        if let Some((_, name)) = line.split_once("job_name: ") {
            job = name.trim();
        }
        made.push(match line.split_once("static_configs: [{ targets: [\"127.0.0.1:8") {
            Some((indent, _)) => format!("{indent}file_sd_configs: [{{ files: [{job}.json] }}]"),
            None => line.to_owned(),
        });
    }
    let made = made.join("\n");
    ensure!(
        made.contains("shop.json") && made.contains("store.json"),
        "examples/monitoring/prometheus.yaml is another one"
    );
    Ok(made)
}

/// Writes down where each container is. One that is down is where it was last.
async fn look(docker: &Docker, dir: &Path, seen: &mut BTreeMap<String, String>) -> anyhow::Result<()> {
    for instance in docker.observe().await? {
        if let Some(address) = instance.addresses.first() {
            seen.insert(instance.name, address.ip.to_string());
        }
    }
    for job in ["shop", "store"] {
        let of_job = seen.iter().filter(|(name, _)| name.contains(&format!("-{job}-")));
        let targets: Vec<String> = of_job.map(|(_, address)| format!("{address}:8080")).collect();
        let text = json!([{ "targets": targets }]).to_string();
        let file = dir.join(format!("{job}.json"));
        if std::fs::read_to_string(&file).ok().as_deref() != Some(text.as_str()) {
            let new: PathBuf = dir.join(format!("{job}.new"));
            std::fs::write(&new, text)?;
            std::fs::rename(new, file)?;
        }
    }
    Ok(())
}

/// Whether Prometheus has seen three shops and a store, and Alertmanager is there.
async fn sees_all(lab: &Lab) -> bool {
    let ask = |arguments: &'static [&'static str]| async move {
        let mut curl = lab.in_network("curl").ok()?;
        let output = curl.args(["--silent", "--fail", "--max-time", "1"]).args(arguments).output().await;
        output.ok().filter(|o| o.status.success()).map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
    };
    let all = ask(&["--get", "--data-urlencode", "query=sum(up) == 4", "http://127.0.0.1:9090/api/v1/query"]).await;
    all.is_some_and(|all| all.contains("\"4\"")) && ask(&["http://127.0.0.1:9093/-/ready"]).await.is_some()
}

impl Lab {
    /// A program of this machine in the network of the engine's host.
    fn in_network(&self, program: &str) -> anyhow::Result<Command> {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first_process("n1")?.to_string(), "--net", "--", program]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    fn program_in_network(&self, program: &str, arguments: &[String]) -> anyhow::Result<Child> {
        let log = std::fs::File::create(self.path("monitoring").join(format!("{program}.log")))?;
        let mut command = self.in_network(program)?;
        command.args(arguments).current_dir(self.path("monitoring")).stdout(Stdio::null()).stderr(log);
        command.spawn().with_context(|| format!("cannot start {program}, which Debian's package of that name has"))
    }
}
