//! Counters that a worker and every process that may look at it see at the same time: they stand in a file without a name that the
//! worker has open, and are gone with it. What is counted may be read at once, so that no effect is missed because it was not told yet.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::FileExt as _;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::board;

/// `N` counters, all 0 at first.
#[derive(Debug)]
pub struct Mapped<const N: usize> {
    at: NonNull<[AtomicU64; N]>,
    /// By which others find them.
    _file: File,
}

// SAFETY: they are atomic, and stay where they are until it is dropped.
#[expect(unsafe_code, reason = "a pointer does not tell what it may be used for")]
unsafe impl<const N: usize> Send for Mapped<N> {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a pointer does not tell what it may be used for")]
unsafe impl<const N: usize> Sync for Mapped<N> {}

impl<const N: usize> Mapped<N> {
    /// Counters, by a name that no other kind of worker has.
    ///
    /// # Errors
    /// Where there is no descriptor or no memory left.
    #[expect(unsafe_code, reason = "mmap(2) has no safe wrapper")]
    pub fn new(name: &str) -> io::Result<Self> {
        let file: File = memfd_create(name, MemfdFlags::CLOEXEC)?.into();
        let length = size_of::<[AtomicU64; N]>();
        ftruncate(&file, length as u64)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: it is a new mapping, where the kernel wants it, of a file that is as long and that no one shortens.
        let at = unsafe { mmap(std::ptr::null_mut(), length, access, MapFlags::SHARED, &file, 0) }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { at, _file: file })
    }
}

impl<const N: usize> Deref for Mapped<N> {
    type Target = [AtomicU64; N];

    #[expect(unsafe_code, reason = "it is the kernel that made room for it")]
    fn deref(&self) -> &Self::Target {
        // SAFETY: a page begins where any counter may, is full of zeros, which are counters, and is there until it is dropped.
        unsafe { self.at.as_ref() }
    }
}

impl<const N: usize> Drop for Mapped<N> {
    #[expect(unsafe_code, reason = "munmap(2) has no safe wrapper")]
    fn drop(&mut self) {
        // SAFETY: it was mapped like this, and no reference outlives it.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), size_of::<[AtomicU64; N]>()) };
    }
}

/// The counters of the worker that is this process; `None` where it has none of this name, or has ended.
#[must_use]
pub fn read<const N: usize>(pid: u32, name: &str) -> Option<[u64; N]> {
    let file = File::open(board::file_of(pid, name)?).ok()?;
    let mut counters = [0; N];
    for (n, counter) in counters.iter_mut().enumerate() {
        let mut bytes = [0; size_of::<u64>()];
        file.read_exact_at(&mut bytes, (n * size_of::<u64>()) as u64).ok()?;
        *counter = u64::from_ne_bytes(bytes);
    }
    Some(counters)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_is_counted_is_read_at_once_and_gone_with_its_process() {
        const NAME: &str = "squall-mapped-test";
        let counters = Mapped::<3>::new(NAME).unwrap();
        counters[1].fetch_add(7, Ordering::Relaxed);
        assert_eq!(read(std::process::id(), NAME), Some([0, 7, 0]));
        counters[2].fetch_add(1, Ordering::Relaxed);
        assert_eq!(read(std::process::id(), NAME), Some([0, 7, 1]));
        drop(counters);
        assert_eq!(read::<3>(std::process::id(), NAME), None);
    }
}
