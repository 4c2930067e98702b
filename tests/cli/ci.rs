//! The ready-made gates in `examples/ci`: their commands, as they stand in the files, on processes of their own.
#![expect(clippy::unwrap_used, reason = "a test stops where the world is not as it should be")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_yaml::Value;

use crate::harness::repository;
use crate::junit_schema::suites;

/// A directory with two experiments and this program on its path.
struct Job {
    dir: tempfile::TempDir,
}

const ARGUMENTS: &str = "--stack stack.yaml";

impl Job {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        std::fs::create_dir_all(dir.path().join("chaos")).unwrap();
        std::fs::create_dir_all(dir.path().join("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_squall"), dir.path().join("bin/squall")).unwrap();
        write("stack.yaml", super::gate::STACK.to_owned());
        write("chaos/fine.yaml", super::gate::held("fine"));
        write("chaos/weak.yaml", super::gate::broken("weak"));
        Self { dir }
    }

    /// Runs a script as a pipeline's shell does.
    fn run(&self, script: &str, variables: &[(&str, String)]) -> Output {
        let path = format!("{}:{}", self.dir.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["-e", "-o", "pipefail", "-c", script]).current_dir(self.dir.path()).env("PATH", path);
        for name in ["GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "DOCKER_HOST", "SQUALL_STATE"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().map(|(name, value)| (name, value))).output().unwrap()
    }

    /// The gate is closed, because of the experiment that breaks, and there is a file that says so.
    #[track_caller]
    fn closed(&self, output: &Output) {
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}\n{}", String::from_utf8_lossy(&output.stdout));
        let suites = suites(&std::fs::read_to_string(self.dir.path().join("squall/junit.xml")).unwrap());
        assert!(suites["weak"].iter().any(|(_, came)| came == "failure"), "{suites:?}");
        assert!(suites["fine"].iter().all(|(_, came)| came == "passed"), "{suites:?}");
    }
}

fn yaml(path: &Path) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ci(name: &str) -> PathBuf {
    repository("examples/ci").join(name)
}

/// A text in which `${{ inputs.NAME }}` stands for an input.
fn filled(text: &str, inputs: &[(&str, &str)]) -> String {
    let filled = inputs
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{{ inputs.{name} }}}}"), value));
    assert!(!filled.contains("${{"), "{filled}");
    filled
}

#[test]
fn the_action_for_github_closes_the_gate() {
    let job = Job::new();
    let action = yaml(&ci("github/action.yml"));
    let state = action["inputs"]["state"]["default"].as_str().unwrap();
    let inputs = [("files", "chaos/*.yaml"), ("arguments", ARGUMENTS), ("state", state)];
    let steps = action["runs"]["steps"].as_sequence().unwrap();
    let outputs: Vec<Output> = steps
        .iter()
        .filter_map(|step| {
            let script = step["run"].as_str()?;
            assert!(!script.contains("${{"), "nothing is interpolated into a script: {script}");
            let env = step["env"].as_mapping().unwrap().iter();
            let env: Vec<_> =
                env.map(|(name, value)| (name.as_str().unwrap(), filled(value.as_str().unwrap(), &inputs))).collect();
            Some(job.run(script, &env))
        })
        .collect();
    let [run, recover] = &outputs[..] else { panic!("two steps have commands") };
    job.closed(run);
    assert_eq!(recover.status.code(), Some(0));
}

#[test]
fn the_template_for_gitlab_closes_the_gate() {
    let job = Job::new();
    let template = &yaml(&ci("gitlab-ci.yml"))[".squall"];
    let root = job.dir.path().display().to_string();
    let variables =
        |name: &'static str| (name, template["variables"][name].as_str().unwrap().replace("$CI_PROJECT_DIR", &root));
    let variables = [variables("SQUALL_STATE"), variables("SQUALL_FILES"), ("SQUALL_ARGUMENTS", ARGUMENTS.to_owned())];
    let script = |key: &str| {
        let lines = template[key].as_sequence().unwrap().iter();
        lines.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
    };
    job.closed(&job.run(&script("script"), &variables));
    assert_eq!(job.run(&script("after_script"), &variables).status.code(), Some(0));
    assert!(job.dir.path().join(template["artifacts"]["reports"]["junit"].as_str().unwrap()).exists());
}

#[test]
fn the_shell_script_closes_the_gate_and_opens_it() {
    let job = Job::new();
    let script = ci("gate.sh").display().to_string();
    job.closed(&job.run(&format!("'{script}' chaos/*.yaml {ARGUMENTS}"), &[]));
    let fine = job.run(&format!("'{script}' chaos/fine.yaml {ARGUMENTS}"), &[]);
    assert_eq!(fine.status.code(), Some(0), "{}", String::from_utf8_lossy(&fine.stderr));
}

#[test]
fn the_workflow_names_what_is_in_the_repository() {
    let workflow = yaml(&ci("github/workflow.yml"));
    let steps = workflow["jobs"]["chaos"]["steps"].as_sequence().unwrap();
    let action = steps.iter().find(|step| step["uses"].as_str().is_some_and(|uses| uses.starts_with("./"))).unwrap();
    assert!(repository(action["uses"].as_str().unwrap()).join("action.yml").exists());
    for file in action["with"]["files"].as_str().unwrap().split(' ') {
        assert!(repository(file).exists(), "{file}");
    }
    let arguments = action["with"]["arguments"].as_str().unwrap();
    let stack = arguments.split("--stack ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(repository(stack).exists(), "{stack}");
}
