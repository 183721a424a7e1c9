//! Programs for Windows made elsewhere: linked by mingw, for Microsoft's targets only checked.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::debian;
use super::standard::{self, Standard};
use crate::process::{self, target};

/// The target whose programs can be linked here.
const GNU: &str = "x86_64-pc-windows-gnu";

/// The targets of the programs that are shipped.
pub const CHECKED: &[&str] = &["x86_64-pc-windows-msvc", "aarch64-pc-windows-msvc"];

/// `cargo SUBCOMMAND` for programs that run.
///
/// # Errors
/// The standard library or the linker cannot be had.
pub fn linking(subcommand: &str) -> Result<Command> {
    debian::linker()?;
    cargo(GNU, subcommand)
}

/// `cargo clippy` for the target.
///
/// # Errors
/// The standard library cannot be had.
pub fn checking(target: &str) -> Result<Command> {
    let mut command = cargo(target, "clippy")?;
    // No compiler for C makes code for these targets here. What is only checked is not linked, so that the crate with
    // SQLite's source may believe the library to lie somewhere.
    command.env("LIBSQLITE3_SYS_USE_PKG_CONFIG", "1").env("SQLITE3_LIB_DIR", target_folder());
    Ok(command)
}

/// Where the programs are, in a folder for each profile.
pub fn folder() -> PathBuf {
    target_folder().join(GNU)
}

/// Why this machine can do neither, if so.
pub fn reason_against() -> Option<String> {
    let ready = || {
        standard::of(GNU)?;
        debian::linker()
    };
    ready().err().map(|error| format!("{error:#}"))
}

fn cargo(target: &str, subcommand: &str) -> Result<Command> {
    let standard = standard::of(target)?;
    let mut command = process::cargo();
    // Build scripts look at what is set here, so that ordinary builds must not share their results.
    command.env("CARGO_TARGET_DIR", target_folder()).args([subcommand, "--locked", "--target", target]);
    if let Standard::Source(sysroot) = standard {
        // Both ways to panic: the profile says which is linked.
        command.args(["-Z", "build-std=std,panic_abort,panic_unwind"]).env("RUSTC_BOOTSTRAP", "1");
        if let Some(sysroot) = sysroot {
            // clippy's driver does not ask the compiler where its libraries are.
            command.env("RUSTC", sysroot.join(standard::WRAPPER)).env("SYSROOT", sysroot);
        }
    }
    Ok(command)
}

fn target_folder() -> PathBuf {
    target().join("windows")
}
