//! Two shops as local processes, for the time of one test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::ports::free_port;

/// A stack file and where its shops answer.
pub(crate) struct Shop {
    dir: tempfile::TempDir,
    pub(crate) ports: [u16; 2],
}

impl Shop {
    pub(crate) fn open() -> Self {
        let shop = Self { dir: tempfile::tempdir().expect("a directory"), ports: [free_port(), free_port()] };
        let service = |name: &str, port: u16| {
            format!("  {name}: {{ command: [squall, serve, store, --listen, '127.0.0.1:{{port}}'], port: {port} }}\n")
        };
        let [first, second] = shop.ports;
        let text = format!("version: 1\nname: shop\nservices:\n{}{}", service("one", first), service("two", second));
        std::fs::write(shop.stack(), text).expect("a stack file");
        assert!(shop.squall(["stack", "up", "shop.yaml"]).status.success(), "the stack is up");
        shop
    }

    fn stack(&self) -> PathBuf {
        self.dir.path().join("shop.yaml")
    }

    /// Runs the binary to its end.
    pub(crate) fn squall<const N: usize>(&self, arguments: [&str; N]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_squall"))
            .args(arguments)
            .current_dir(self.dir.path())
            .env("SQUALL_STATE", self.dir.path().join("state"))
            .env("TOKEN", "s3cret")
            .output()
            .expect("the binary starts")
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).expect("a file");
    }

    /// Runs an experiment on the stack: exit code, the console, and its report.
    pub(crate) fn run(&self, text: &str) -> (Option<i32>, String, serde_json::Value) {
        self.file("x.yaml", text);
        let output = self.squall(["run", "x.yaml", "--stack", "shop.yaml"]);
        let console = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let report = self.squall(["report", "last", "--format", "json"]);
        (output.status.code(), console, serde_json::from_slice(&report.stdout).unwrap_or_default())
    }

    /// The newest run's report in a format.
    pub(crate) fn report(&self, format: &str) -> String {
        String::from_utf8_lossy(&self.squall(["report", "last", "--format", format]).stdout).into_owned()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let down = self.squall(["stack", "down", "shop.yaml"]);
        assert!(down.status.success() || std::thread::panicking(), "{}", self.dir().display());
    }
}
