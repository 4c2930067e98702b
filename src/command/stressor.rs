//! `squall load`: begins before anything else of the program does, so that it is light. Nobody types it.

use std::process::ExitCode;

use crate::host::load;
use crate::model::exit;

/// Does what such a process does, if this is one.
#[must_use]
pub fn if_asked_to() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != load::ARGUMENT || std::env::var_os(load::VARIABLE).is_none() {
        return None;
    }
    Some(load::run().map_or_else(|_| ExitCode::from(exit::INVALID), |()| ExitCode::SUCCESS))
}
