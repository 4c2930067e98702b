//! The names of the Compose projects that runs bring up for themselves, and take away.

/// A name that no other project has.
#[must_use]
pub fn new_name() -> String {
    format!("{PREFIX}{:08x}", rand::random::<u32>())
}

/// Whether a run has brought up the project of this name: it is that run's alone.
pub(super) fn is_of_a_run(name: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    name.strip_prefix(PREFIX).is_some_and(|rest| rest.len() == 8 && rest.bytes().all(hex))
}

const PREFIX: &str = "squall-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_of_runs_are_known_by_their_names() {
        assert!(is_of_a_run(&new_name()));
        for other in ["squall-demo", "squall-0a1b2c3", "shop", "squall-0A1B2C3D", "my-squall-0a1b2c3d"] {
            assert!(!is_of_a_run(other), "{other}");
        }
    }
}
