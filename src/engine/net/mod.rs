//! What is laid on the traffic of a network namespace, put together from the kernel's parts. Every function acts in the
//! namespace of the thread that calls it, but for those of [`userspace`], which are told which one.

pub mod kernel;
pub mod userspace;
