//! `codex-command-runner`: started by `codex-sandbox` as a sandbox account, it starts that launcher's commands and ends with it.
//!
//! It has no console of its own, so that no window ever flashes: CreateProcessWithLogonW would make one for a console program.
#![forbid(unsafe_code)]
#![cfg_attr(windows, windows_subsystem = "windows")]

use std::process::ExitCode;

#[cfg(windows)]
fn main() -> ExitCode {
    codex_sandbox_windows::win32::logon::run(std::env::args_os())
}

#[cfg(not(windows))]
fn main() -> ExitCode {
    // Built elsewhere only along with the rest of the workspace.
    ExitCode::FAILURE
}
