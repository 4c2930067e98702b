//! Threads that must not wait for others: what they do is short, and late would be wrong.

/// Asks the kernel to have this thread go before all that share the processor by turns (`SCHED_RR`, sched(7)). Without the right to
/// that it goes before the others of this process.
#[expect(unsafe_code, reason = "this has no safe wrapper")]
pub fn ask() {
    // What this thread starts is nothing of the kind.
    const RESET_ON_FORK: libc::c_int = 0x4000_0000;
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: 0 is this thread, and the pointer is to a value that lives on until it returns.
    let asked = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | RESET_ON_FORK, &raw const lowest) };
    if asked != 0 {
        let _ = rustix::process::setpriority_process(None, -20);
    }
}
