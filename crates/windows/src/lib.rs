//! The Windows plan: what a policy becomes on a Windows host.
#![forbid(unsafe_code)]
