//! Programs for Windows made on Windows: the machine's own toolchain does all.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process::{self, target};

/// `clippy` has seen this machine's target, and others may not be installed.
pub const CHECKED: &[&str] = &[];

/// `cargo SUBCOMMAND` for programs that run.
///
/// # Errors
/// None here.
pub fn linking(subcommand: &str) -> Result<Command> {
    let mut command = process::cargo();
    command.args([subcommand, "--locked"]);
    Ok(command)
}

/// `cargo clippy` for the target.
///
/// # Errors
/// None here.
pub fn checking(target: &str) -> Result<Command> {
    let mut command = process::cargo();
    command.args(["clippy", "--locked", "--target", target]);
    Ok(command)
}

/// Where the programs are, in a folder for each profile.
pub fn folder() -> PathBuf {
    target()
}

/// Nothing: whoever runs this has a toolchain.
pub const fn reason_against() -> Option<String> {
    None
}
