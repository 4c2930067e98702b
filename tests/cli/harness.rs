//! Runs the real binary in a directory of its own and looks at how it ended.
//!
//! ```ignore
//! Squall::new(["validate", "a.yaml"]).file("a.yaml", "version: 1").run().exits(2).complains("missing key");
//! ```

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One call of the binary, being prepared.
pub(crate) struct Squall {
    dir: tempfile::TempDir,
    command: Command,
}

/// How a call ended.
pub(crate) struct Ended {
    /// The directory it ran in; it is removed with this value.
    pub(crate) dir: tempfile::TempDir,
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Squall {
    /// A call with these arguments, in a new empty directory, with a state directory of its own in it (`state/`).
    pub(crate) fn new<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.args(args).current_dir(dir.path()).stdin(Stdio::null());
        let github = ["GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"];
        for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "SQUALL_ENGINE", "RUST_LOG", "CLICOLOR_FORCE", "SUDO_UID"]
            .into_iter()
            .chain(github)
        {
            command.env_remove(name);
        }
        command.env("DOCKER_CONFIG", dir.path().join("docker"));
        command.env("SQUALL_STATE", dir.path().join("state"));
        Self { dir, command }
    }

    /// Puts a file into its directory before it starts.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory in the test's own");
        std::fs::write(path, content).expect("a file in the test's own directory");
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// One more argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Ended {
        let output = self.command.output().expect("the binary starts");
        Ended {
            dir: self.dir,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Takes it apart for tests that start it themselves (to signal it, say).
    pub(crate) fn command(self) -> (Command, tempfile::TempDir) {
        (self.command, self.dir)
    }
}

impl Ended {
    /// It ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Its standard output contains this.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "stdout lacks {text:?}:\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Its standard error contains this.
    #[track_caller]
    pub(crate) fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}:\n{}\n--- stdout\n{}", self.stderr, self.stdout);
        self
    }

    /// Its standard error is empty.
    #[track_caller]
    pub(crate) fn without_complaint(self) -> Self {
        assert_eq!(self.stderr, "", "stderr");
        self
    }

    /// A file that it wrote.
    #[track_caller]
    pub(crate) fn written(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}

/// A file of this repository, by its path from the root.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
