//! Network namespaces of other processes, entered from outside: nothing is needed inside them, and the processes in them
//! notice nothing, even if they are frozen.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// A network namespace. It lives on as long as this does, even when its last process ends.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// The namespace of a process.
    ///
    /// # Errors
    /// Where there is no such process, or this user may not look into it (root may; in a container it takes
    /// `--pid=host` and `CAP_SYS_PTRACE`).
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self { file: File::open(format!("/proc/{pid}/ns/net"))? })
    }

    /// The namespace of this very thread.
    ///
    /// # Errors
    /// Where /proc is not there.
    pub fn own() -> io::Result<Self> {
        Ok(Self { file: File::open("/proc/thread-self/ns/net")? })
    }

    /// The namespace that a file stands for, such as what [`Namespace::path`] says.
    ///
    /// # Errors
    /// Where there is no such file. One of another kind is told when it is entered.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::open(path)? })
    }

    /// The same once more.
    ///
    /// # Errors
    /// Where there are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()? })
    }

    /// A file that stands for it as long as this does, for other processes of this machine.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    /// A new, empty one, which is gone when this is dropped. To try things out in.
    ///
    /// # Errors
    /// Where this user may not (it takes `CAP_SYS_ADMIN`).
    #[expect(unsafe_code, reason = "a thread is about to leave what it shares with others")]
    pub fn new() -> io::Result<Self> {
        std::thread::scope(|scope| {
            let inside = std::thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, || {
                // SAFETY: a network namespace is not memory or descriptors; only this thread leaves the old one, and it
                // ends at once.
                unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
                Self::own()
            })?;
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// What tells it from every other namespace that exists now. Another one may have it later.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let about = self.file.metadata()?;
        Ok((about.dev(), about.ino()))
    }

    /// Does something in the namespace, on a thread of its own: the caller stays where it is.
    ///
    /// # Errors
    /// Where the namespace cannot be entered (it takes `CAP_SYS_ADMIN`), or what `work` says.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let inside = std::thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, || {
                self.enter()?;
                work()
            })?;
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into the namespace, for good. Only for threads that do nothing else.
    ///
    /// # Errors
    /// As for [`Namespace::run`].
    pub fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}
