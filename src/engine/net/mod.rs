//! What is laid on the traffic of a network namespace, put together from the kernel's parts. Every function acts in the
//! namespace of the thread that calls it.

pub mod kernel;
