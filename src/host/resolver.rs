//! Name resolution in a static binary. glibc's resolver loads plug-ins named in `/etc/nsswitch.conf` at run time, which a
//! static binary cannot do safely: on a machine with another glibc the process would die. So it is told beforehand to use
//! what is linked in: the hosts file and DNS.

/// Makes name resolution safe; to be called before any thread is started. Nothing to do in a dynamic binary.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
#[expect(unsafe_code, reason = "glibc has no safe interface to this")]
pub fn make_static_safe() {
    use std::ffi::{c_char, c_int};
    unsafe extern "C" {
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }
    // SAFETY: both texts are constant and end with a zero, and no other thread runs yet.
    unsafe {
        __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr());
    }
}

/// Makes name resolution safe; to be called before any thread is started. Nothing to do in a dynamic binary.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
pub fn make_static_safe() {}
