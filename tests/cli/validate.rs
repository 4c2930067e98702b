//! `squall validate`: every mistake at once, each where it stands.

use crate::harness::Squall;

#[test]
fn a_command_line_without_files_is_invalid() {
    Squall::new(["validate"]).run().exits(2).complains("Usage");
}
