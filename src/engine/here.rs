//! A command of the user's that disturbs an instance from this machine, and the variables of all such commands.
//!
//! Shared by the engines of real instances.

use std::env::VarError;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal as Native;

use super::{Ability, EngineError, Outcome, Tag, fill_command};
use crate::host::{command, file, process};
use crate::model::instance::{Command, InstanceId, Setting, Signal};
use crate::model::quantity::Absent;
use crate::text::redact;

/// The variable by which the processes of a change are found again: its tag.
pub const MARK: &str = "SQUALL_CHANGE";

/// How long killed processes may take to end.
const KILLED: Duration = Duration::from_secs(5);

/// No file that a variable stands for is longer, in bytes: a secret, a body, a name.
const LONGEST: u64 = 1024 * 1024;

/// The value of `${NAME}`, or of `${file:PATH}` without the line's end.
///
/// # Errors
/// Why it has none.
pub fn variable(name: &str) -> Result<String, Absent> {
    let no_text = || Absent::Unusable("it is not UTF-8 text".to_owned());
    let Some(path) = name.strip_prefix("file:") else {
        return std::env::var(name).map_err(|e| match e {
            VarError::NotPresent => Absent::Unset,
            VarError::NotUnicode(_) => no_text(),
        });
    };
    let content = file::regular(Path::new(path), LONGEST).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Absent::Unset,
        ErrorKind::PermissionDenied => Absent::Denied,
        _ => Absent::Unusable(e.to_string()),
    })?;
    let text = String::from_utf8(content).map_err(|_| no_text())?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The same, of which no text tells the value from now on.
///
/// # Errors
/// Why it has none.
pub fn variable_in_use(name: &str) -> Result<String, Absent> {
    variable(name).inspect(|value| redact::remember(name, value))
}

/// The same for those who only look at a file: what is not here may be where it is run.
///
/// # Errors
/// Why it has no value.
pub fn variable_or_later(name: &str) -> Result<String, Absent> {
    variable(name).map_err(|why| if matches!(why, Absent::Unset | Absent::Denied) { Absent::Later } else { why })
}

/// A signal as the kernel counts it.
#[must_use]
pub fn native(signal: Signal) -> Native {
    match signal {
        Signal::SigKill => Native::KILL,
        Signal::SigTerm => Native::TERM,
        Signal::SigInt => Native::INT,
        Signal::SigQuit => Native::QUIT,
        Signal::SigHup => Native::HUP,
        Signal::SigAbrt => Native::ABORT,
        Signal::SigSegv => Native::SEGV,
        Signal::SigUsr1 => Native::USR1,
        Signal::SigUsr2 => Native::USR2,
    }
}

/// Ends what still runs from an earlier command of the same change, so that nothing goes on under its undo.
///
/// # Errors
/// Where a process cannot be killed.
pub async fn end_earlier(tag: &Tag) -> Result<(), EngineError> {
    match process::kill_with_variable(MARK, &tag.to_string(), KILLED).await {
        Ok(_) => Ok(()),
        Err(e) => Err(EngineError::Refused {
            attempt: format!("end the processes of change {tag}"),
            why: format!("{e}; they carry {MARK}={tag} in their environment"),
        }),
    }
}

/// A command as it can be run here: in this process's directory, wherever the process stands that undoes it.
#[must_use]
pub fn placed(command: &Command) -> Ability {
    match std::env::current_dir() {
        Ok(directory) => Ability::As(Box::new(Setting::Ran(Command { directory: Some(directory), ..command.clone() }))),
        Err(e) => {
            Ability::No(format!("a command runs in the directory that Squall was started in, which is not there: {e}"))
        }
    }
}

/// Runs a command on this machine for an instance, which may be gone: an undo runs all the same. `Done` where its exit status is 0.
///
/// # Errors
/// Where it cannot be started, fails, or takes longer than its timeout; then nothing of it runs any more.
pub async fn run_here(tag: &Tag, id: &InstanceId, command: &Command) -> Result<Outcome, EngineError> {
    end_earlier(tag).await?;
    let argv = fill_command(command, variable_in_use)?;
    let whom = command.variables.iter().map(|(variable, value)| (variable.as_str(), value.clone()));
    let env: Vec<_> = whom.chain([(MARK, tag.to_string())]).collect();
    let name = command.variables.get("SQUALL_NAME").unwrap_or(&id.0);
    let attempt = || format!("run {command} for {name}");
    match command::run_at(command.directory.as_deref(), &argv, &env, command.timeout).await {
        Ok(Some(output)) => judge(attempt(), output.status, &output.stdout, &output.stderr),
        Ok(None) => {
            end_earlier(tag).await?;
            Err(EngineError::TimedOut { attempt: attempt(), after: command.timeout })
        }
        Err(e) => {
            let gone = command.directory.as_ref().filter(|dir| !dir.is_dir());
            let why = gone.map_or_else(
                || e.to_string(),
                |dir| format!("the directory {}, in which it runs, is not there: make it again", dir.display()),
            );
            Err(EngineError::NotBegun { attempt: attempt(), why })
        }
    }
}

/// Why a command could not be started on this machine; `None` where its program is there.
#[must_use]
pub fn cannot_start(command: &Command) -> Option<String> {
    let program = match fill_command(command, variable_in_use) {
        Ok(argv) => argv.into_iter().next().unwrap_or_default(),
        Err(e) => return Some(e.to_string()),
    };
    let can_run = |path: &Path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    if program.contains('/') {
        let path = command.directory.as_deref().unwrap_or(Path::new(".")).join(&program);
        return (!can_run(&path)).then(|| format!("there is no program {} on this machine", path.display()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| can_run(&dir.join(&program)));
    (!found).then(|| format!("there is no program `{program}` in the PATH of this machine"))
}

/// What the exit status of a command means for the change that it makes.
///
/// # Errors
/// Where it is not 0, with the end of what the command complained about.
pub fn judge(attempt: String, status: i32, stdout: &str, stderr: &str) -> Result<Outcome, EngineError> {
    const SHOWN: usize = 400;
    if status == 0 {
        return Ok(Outcome::Done);
    }
    let said =
        [stderr, stdout].into_iter().map(str::trim).find(|text| !text.is_empty()).unwrap_or("it printed nothing");
    let start = said.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
    let cut = if start > 0 { "…" } else { "" };
    Err(EngineError::Refused { attempt, why: format!("exit status {status}: {cut}{}", &said[start..]) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instance::{CommandLocation, Instance};

    fn shop() -> Instance {
        Instance::new("abc", "shop-1", "shop")
    }

    fn sh(script: &str, timeout: Duration) -> Command {
        let run = ["sh", "-c", script].map(str::to_owned).to_vec();
        Command { run, place: CommandLocation::Here, timeout, variables: shop().variables(), directory: None }
    }

    fn tag(change: usize) -> Tag {
        Tag { run: format!("here-{}", std::process::id()), change }
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_command_knows_whom_it_is_for() {
        let told = sh("test \"$SQUALL_NAME/$SQUALL_SERVICE/$SQUALL_INSTANCE/$SQUALL_ZONE\" = shop-1/shop/abc/", LONG);
        assert_eq!(run_here(&tag(0), &shop().id, &told).await.unwrap(), Outcome::Done);
    }

    #[tokio::test]
    async fn an_undo_runs_where_the_command_ran() {
        let dir = tempfile::tempdir().unwrap();
        let at = |script| Command { directory: Some(dir.path().to_owned()), ..sh(script, LONG) };
        run_here(&tag(4), &shop().id, &at("touch on")).await.unwrap();
        assert!(dir.path().join("on").exists());
        run_here(&tag(4), &shop().id, &at("rm on")).await.unwrap();
        let (undo, place) = (at("rm -f on"), dir.path().display().to_string());
        drop(dir);
        let error = run_here(&tag(4), &shop().id, &undo).await.unwrap_err().to_string();
        assert!(error.contains(&place), "what cannot be undone there is not undone: {error}");
    }

    #[tokio::test]
    async fn a_failure_says_what_the_command_said() {
        let failing = sh("echo no such valve >&2; exit 3", LONG);
        let error = run_here(&tag(1), &shop().id, &failing).await.unwrap_err().to_string();
        assert!(error.contains("shop-1") && error.ends_with("exit status 3: no such valve"), "{error}");
    }

    #[tokio::test]
    async fn an_undo_first_ends_what_the_command_left_running() {
        run_here(&tag(2), &shop().id, &sh("sleep 63 >/dev/null 2>&1 &", LONG)).await.unwrap();
        let left = process::with_variable(MARK, &tag(2).to_string());
        assert_eq!(left.len(), 1);
        run_here(&tag(2), &shop().id, &sh("true", LONG)).await.unwrap();
        assert!(!left[0].is_alive());
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_gone_afterwards() {
        let slow = sh("setsid sleep 64 & sleep 65", Duration::from_millis(300));
        let error = run_here(&tag(3), &shop().id, &slow).await.unwrap_err();
        assert!(matches!(error, EngineError::TimedOut { .. }), "{error}");
        assert!(process::with_variable(MARK, &tag(3).to_string()).is_empty());
    }

    /// What the kernel refuses to execute has changed nothing: there is nothing to undo.
    #[tokio::test]
    async fn what_cannot_be_started_never_began() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let run = |program: &str| Command { run: vec![program.to_owned()], ..sh("", LONG) };
        for program in [script.to_str().unwrap(), "no-such-program", "/etc/passwd"] {
            let error = run_here(&tag(5), &shop().id, &run(program)).await.unwrap_err();
            assert!(matches!(error, EngineError::NotBegun { .. }), "{program}: {error}");
        }
        assert_eq!(cannot_start(&run(script.to_str().unwrap())), None, "this only the kernel knows");
        for (program, says) in
            [("no-such-program", "in the PATH"), ("/etc/passwd", "/etc/passwd"), ("${NO_SUCH_VARIABLE}", "NO_SUCH")]
        {
            assert!(cannot_start(&run(program)).is_some_and(|why| why.contains(says)), "{program}");
        }
        let at = Command { directory: Some(dir.path().to_owned()), ..run("./script") };
        assert_eq!((cannot_start(&sh("", LONG)), cannot_start(&at)), (None, None));
    }

    #[test]
    fn long_complaints_are_cut_in_front() {
        let error = judge("x".to_owned(), 1, "", &format!("{}ende", "ä".repeat(9000))).unwrap_err().to_string();
        assert!(error.len() < 1000 && error.ends_with("ende"));
    }
}
