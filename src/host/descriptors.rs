//! How many descriptors a process may have, and has.

use std::io::{Error, ErrorKind, Result};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::process::Process;

/// A process's limit of descriptors. `u64::MAX` is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nofile {
    /// What holds. The process may set it itself.
    pub soft: u64,
    /// Up to where it may.
    pub hard: u64,
}

/// The limit of a process.
///
/// # Errors
/// Where there is no such process.
pub fn limit(pid: u32) -> Result<Nofile> {
    let path = format!("/proc/{pid}/limits");
    let text = std::fs::read_to_string(&path)?;
    parse(&text).ok_or_else(|| Error::other(format!("{path} says nothing about open files")))
}

/// Reads `Max open files   1024   524288   files`.
fn parse(limits: &str) -> Option<Nofile> {
    let mut values = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace();
    let mut value = || match values.next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    };
    Some(Nofile { soft: value()?, hard: value()? })
}

/// How many descriptors a process has open.
///
/// # Errors
/// Where there is no such process, or this user may not look.
pub fn open(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/fd");
    // Newer kernels tell it as the directory's size.
    match std::fs::metadata(&path)?.len() {
        0 => Ok(std::fs::read_dir(&path)?.count() as u64),
        n => Ok(n),
    }
}

/// Sets what holds for a process, below its hard limit, which stays. One that has ended is no error.
///
/// # Errors
/// Where this user may not: it takes the process's own user, or `CAP_SYS_RESOURCE`.
pub fn set_soft(process: &Process, soft: u64) -> Result<()> {
    let ended = |e: Error| if process.is_alive() { Err(e) } else { Ok(()) };
    let hard = match limit(process.pid()) {
        Ok(now) => now.hard,
        Err(e) => return ended(e),
    };
    if !process.is_alive() {
        return Ok(());
    }
    let value = |n: u64| (n != u64::MAX).then_some(n);
    let pid = i32::try_from(process.pid()).ok().and_then(Pid::from_raw);
    let to = Rlimit { current: value(soft.min(hard)), maximum: value(hard) };
    let set = prlimit(pid, Resource::Nofile, to).map(drop).map_err(Error::from);
    set.or_else(|e| {
        let why = match e.kind() {
            ErrorKind::PermissionDenied => format!(
                "limits of process {} may be set by its own user, or with CAP_SYS_RESOURCE, which this process lacks",
                process.pid()
            ),
            _ => e.to_string(),
        };
        ended(Error::new(e.kind(), why))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_set_and_the_hard_one_stays() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::open(child.id()).unwrap().unwrap();
        let before = limit(child.id()).unwrap();
        set_soft(&process, 17).unwrap();
        let during = limit(child.id()).unwrap();
        set_soft(&process, before.soft).unwrap();
        let after = limit(child.id()).unwrap();
        let has = open(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(during, Nofile { soft: 17, hard: before.hard });
        assert_eq!(after, before);
        assert!(has >= 3, "{has}");
        set_soft(&process, 17).expect("what has ended is no error");
    }

    #[test]
    fn no_limit_is_a_limit_too() {
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 unlimited            files     \n";
        assert_eq!(parse(text), Some(Nofile { soft: 1024, hard: u64::MAX }));
        assert_eq!(parse("Max processes 1 1 processes"), None);
    }
}
