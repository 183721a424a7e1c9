//! The machine itself: the only place of this crate that calls Win32, and holds all of its `unsafe`.
//!
//! It makes no decisions: convert, call, check, name the failure.
#![allow(unsafe_code, reason = "this is where the system is called")]

mod accounts;
pub mod conpty;
pub mod console;
mod descriptors;
mod desktop;
mod dpapi;
pub mod elevate;
pub mod error;
mod facts;
mod files;
mod firewall;
pub mod handle;
mod host;
mod job;
mod kinds;
pub mod launch;
mod listing;
pub mod logon;
mod logon_process;
mod logon_station;
mod lsa;
mod machine;
mod machine_files;
pub mod pipe;
pub(crate) mod probe;
mod process;
mod profiles;
pub mod programs;
pub mod running;
mod security;
pub mod security_tree;
pub mod sid;
mod token;
mod token_facts;
mod volumes;
mod wfp;
pub mod wide;

pub use error::Win32Error;
pub use facts::state_folder;
pub use files::FileHandle;
pub use handle::Handle;
pub use host::WindowsHost;
pub use machine::WindowsMachine;
pub(crate) use process::inheritable;
pub use sid::SidBuffer;
pub use wide::WideString;
