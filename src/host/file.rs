//! Small files that people name in theirs, such as a certificate or a secret: read whole, and never waited for.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// The content of a regular file of at most `longest` bytes. A pipe could keep its reader waiting, and a device may have
/// no end.
///
/// # Errors
/// Where it cannot be opened or read, is no regular file, or is longer.
pub fn regular(path: &Path, longest: u64) -> io::Result<Vec<u8>> {
    // Without `NONBLOCK`, opening a pipe waits for its writer.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    // A file of the kernel's has no length beforehand, and others may grow meanwhile.
    let mut content = Vec::new();
    file.take(longest + 1).read_to_end(&mut content)?;
    if content.len() as u64 > longest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {} KiB", longest / 1024)));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        for path in [Path::new("/dev/zero"), &pipe, dir.path()] {
            assert_eq!(regular(path, 1024).unwrap_err().to_string(), "it is not a regular file", "{}", path.display());
        }
        let file = dir.path().join("file");
        std::fs::write(&file, "x".repeat(1024)).unwrap();
        assert_eq!(regular(&file, 1024).unwrap().len(), 1024);
        assert_eq!(regular(&file, 1023).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(!regular(Path::new("/proc/self/status"), 64 * 1024).unwrap().is_empty(), "it says that it is empty");
    }
}
