//! The Windows plan: what a policy becomes on a Windows host, proved against a model of Windows' access checks.
#![deny(unsafe_code)]

pub mod explain;
pub mod gather;
pub mod grants;
pub mod host;
pub mod launch;
pub mod memory;
pub mod plan;
pub mod prepare;
pub mod prove;
pub mod state;
pub mod teardown;
#[cfg(windows)]
pub mod win32;
