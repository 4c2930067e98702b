//! Signals that a process takes as messages instead of being ended by them.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use rustix::process::Signal;

/// From now on this thread, and so a process that has no other, passes over polite requests to end (SIGINT, SIGTERM,
/// SIGHUP); one signal is told by a descriptor that can be read when it has come.
///
/// # Errors
/// Where there are no descriptors left.
#[expect(unsafe_code, reason = "signal masks and signalfd(2) have no safe wrapper")]
pub fn deaf_but_for(signal: Signal) -> io::Result<OwnedFd> {
    // SAFETY: a set of signals is numbers, which zeros are as good for as any; the kernel and libc read it, and it lives
    // longer than the calls. The descriptor is new and not shared.
    unsafe {
        let mut told: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut told);
        libc::sigaddset(&raw mut told, signal.as_raw());
        let mut passed_over = told;
        for polite in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut passed_over, polite);
        }
        match libc::pthread_sigmask(libc::SIG_BLOCK, &raw const passed_over, std::ptr::null_mut()) {
            0 => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
        match libc::signalfd(-1, &raw const told, libc::SFD_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}
