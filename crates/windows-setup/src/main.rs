//! `codex-windows-sandbox-setup`: started, elevated, by `codex-sandbox setup` and `codex-sandbox teardown --all`.
//!
//! It asks for no elevation itself (its manifest says `asInvoker`), and does nothing without. It has no console of its own, so that
//! no window ever flashes; whoever started it hears it through a pipe or a file (see `report`).
#![forbid(unsafe_code)]
#![cfg_attr(windows, windows_subsystem = "windows")]

#[cfg(windows)]
mod args;
#[cfg(windows)]
mod report;
#[cfg(windows)]
mod work;

use std::process::ExitCode;

#[cfg(windows)]
fn main() -> ExitCode {
    use clap::Parser;

    match args::Args::try_parse() {
        Ok(args) => work::carry_out(&args.command),
        Err(error) => {
            let _unprintable = error.print();
            ExitCode::from(if error.use_stderr() { 125 } else { 0 })
        }
    }
}

#[cfg(not(windows))]
fn main() -> ExitCode {
    // Built elsewhere only along with the rest of the workspace.
    ExitCode::FAILURE
}
