//! The machine itself: the only place of this crate that calls Win32, and holds all of its `unsafe`.
//!
//! It makes no decisions: convert, call, check, name the failure.
#![allow(unsafe_code, reason = "this is where the system is called")]

pub mod console;
mod desktop;
pub mod error;
pub mod handle;
mod job;
pub mod launch;
mod process;
pub mod programs;
pub mod running;
mod security;
pub mod sid;
mod token;
pub mod wide;

pub use error::Win32Error;
pub use handle::Handle;
pub use sid::SidBuffer;
pub use wide::WideString;
