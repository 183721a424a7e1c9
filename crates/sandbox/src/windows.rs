//! The library on Windows: the same types as elsewhere, on the Windows plan.

mod child;
mod command;
mod elevated;
mod error;
mod sandbox;
mod session;
mod work;

pub use child::Child;
pub use codex_sandbox_windows::grants::{Counts, Progress, Quiet};
pub use codex_sandbox_windows::win32::conpty::{PseudoConsole, Size};
pub use codex_sandbox_windows::win32::console::{HeldInterrupts, Keys, RawConsole, has_console, size};
pub use command::{Command, Stdio};
pub use error::WindowsError;
pub use sandbox::{Builder, Plan, Sandbox};
pub use session::Session;
