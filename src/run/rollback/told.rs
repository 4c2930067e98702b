//! What tells, when a change is rolled back, that it was made. Pure.

use crate::model::instance::Setting;

/// Whether that this had to be set again tells that the fault had changed it.
pub(super) fn by_rollback(back: &Setting) -> bool {
    match back {
        Setting::Running(_)
        | Setting::Killed(_)
        | Setting::Stopped { .. }
        | Setting::Restarted { .. }
        | Setting::Paused(_)
        | Setting::Network(_)
        | Setting::Limit(_)
        | Setting::Filled(_)
        | Setting::ReadOnly(_)
        | Setting::Stressor(_)
        | Setting::Signalled(_)
        | Setting::ConnectionsReset(_)
        | Setting::RestartPolicy(_)
        | Setting::Availability(_)
        | Setting::Isolated(_) => true,
        // A command is run in any case; what is laid may not have been all of it.
        Setting::Ran(_) | Setting::Mark(..) | Setting::Freed(_) => false,
    }
}

/// Whether a last look at its instance tells that a change was made, and only that does.
pub(super) fn by_a_look(to: &Setting) -> bool {
    match to {
        Setting::Ran(_) | Setting::Restarted { .. } | Setting::Killed(_) => true,
        Setting::Running(_)
        | Setting::Stopped { .. }
        | Setting::Paused(_)
        | Setting::Network(_)
        | Setting::Mark(..)
        | Setting::Limit(_)
        | Setting::Filled(_)
        | Setting::Freed(_)
        | Setting::ReadOnly(_)
        | Setting::Stressor(_)
        | Setting::Signalled(_)
        | Setting::ConnectionsReset(_)
        | Setting::RestartPolicy(_)
        | Setting::Availability(_)
        | Setting::Isolated(_) => false,
    }
}
