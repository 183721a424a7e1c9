//! Run any command in the sandbox, in the manner of [`std::process::Command`].
//!
//! The command reads what you can read, writes only in the workspace and the writable roots, cannot touch `.git`, `.codex`
//! and `.agents`, and has no network unless the policy allows it. The operating system enforces it on the whole process
//! tree; when it cannot, [`Sandbox::builder`]`(…).build()` or the spawn fails, and nothing runs.
//!
//! ```no_run
//! use codex_sandbox::{Policy, Sandbox};
//!
//! let sandbox = Sandbox::new(Policy::default())?;
//! let outcome = sandbox.command("cargo").arg("test").spawn()?.wait()?;
//! println!("{:?}, enforced: {:?}", outcome.exit, outcome.enforcement.strength);
//! # Ok::<(), codex_sandbox::Error>(())
//! ```
//!
//! One [`Sandbox`] starts many commands, from any thread. On Linux its commands, from the second on, share what is costly to
//! build: a loopback interface of their own, System V and POSIX IPC, `/dev/shm` and pseudo terminals, so that a server started
//! by one answers another. They do not see each other's processes, and each tree ends with its command. What a command may do is asked with [`Sandbox::rules`], what a
//! run would do with [`Sandbox::plan`].
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod command;
mod enforcement;
mod error;
#[cfg(not(any(target_os = "linux", windows)))]
mod none;
mod outcome;
#[cfg(target_os = "linux")]
mod sandbox;
mod state;
#[cfg(windows)]
pub mod windows;

#[cfg(target_os = "linux")]
pub use child::Child;
pub use codex_sandbox_policy as policy;
pub use codex_sandbox_policy::{Access, GitMode, Limits, Mode, PathRules, Policy, Resolved, Rule, Verdict};
#[cfg(target_os = "linux")]
pub use command::{Command, Stdio};
pub use enforcement::{Backend, Enforcement, Gap, Require, Strength};
pub use error::Error;
#[cfg(not(any(target_os = "linux", windows)))]
pub use none::{Builder, Sandbox};
pub use outcome::{Exit, Outcome, Output};
#[cfg(target_os = "linux")]
pub use sandbox::{Builder, Plan, Sandbox};
pub use state::{config_file, private_folders, remove_private_folder, state_dir};
#[cfg(windows)]
pub use windows::{Builder, Child, Command, Plan, Sandbox, Stdio};

#[cfg(target_os = "linux")]
pub use codex_sandbox_linux::run::HeldSignals;

/// The Linux plan and the machine's facts, for programs that show them.
pub use codex_sandbox_linux as linux;
