//! Whom this process belongs to, by name.

use std::path::{Path, PathBuf};

/// The user's name: what the environment says, else what the users' file says, else the number. A container often has neither
/// variable.
#[must_use]
pub fn name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let said =
        ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    said.or_else(|| in_file(Path::new("/etc/passwd"), uid)).unwrap_or_else(|| format!("uid {uid}"))
}

/// The user's home, as the users' file says.
#[must_use]
pub fn home() -> Option<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    field(Path::new("/etc/passwd"), uid, 5).map(PathBuf::from)
}

/// Who this is for others, who may sit elsewhere: user and host.
#[must_use]
pub fn at_host() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{}@{host}", name())
}

/// The name of a user in a file as passwd(5) describes it. What cannot be read names none.
fn in_file(file: &Path, uid: u32) -> Option<String> {
    field(file, uid, 0)
}

/// A field of a user's line there, the first line with this number and something in the field.
fn field(file: &Path, uid: u32, at: usize) -> Option<String> {
    let text = String::from_utf8_lossy(&std::fs::read(file).ok()?).into_owned();
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let is_it = fields.get(2)?.parse() == Ok(uid);
        fields.get(at).filter(|field| is_it && !field.is_empty()).map(|field| (*field).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_first_name_that_the_file_gives_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("passwd");
        assert_eq!(in_file(&file, 0), None, "there is no such file");
        std::fs::write(
            &file,
            b"# users\n\nroot:x:0:0:\xff:/root:/bin/sh\ntoor:x:0:0::/:\nana:x:1000:1000::/:\n:x:7:7::/:\nshort:x\n",
        )
        .unwrap();
        assert_eq!(
            [0, 1000, 7, 5].map(|uid| in_file(&file, uid)),
            [Some("root".into()), Some("ana".into()), None, None]
        );
    }
}
