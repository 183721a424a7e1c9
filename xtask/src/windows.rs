//! `cargo xtask windows build` and `cargo xtask windows check`: the programs for Windows, made and checked on any machine.

mod debian;
mod resources;
mod standard;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::args::WindowsArgs;
use crate::process::{self, find, target, top};
use standard::Standard;

/// The target whose programs can be linked on Linux, with mingw.
pub const GNU: &str = "x86_64-pc-windows-gnu";

/// The targets of the programs that are shipped.
const MSVC: [&str; 2] = ["x86_64-pc-windows-msvc", "aarch64-pc-windows-msvc"];

/// The packages with a program for Windows: package, folder in `crates/`, name of the program.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("codex-sandbox-cli", "cli", "codex-sandbox.exe"),
    ("codex-sandbox-windows-setup", "windows-setup", "codex-windows-sandbox-setup.exe"),
    ("codex-sandbox-windows-runner", "windows-runner", "codex-command-runner.exe"),
];

/// What the packages with programs for Windows are checked with: all that these are made of.
const LIBRARIES: [&str; 4] =
    ["nt-security", "codex-sandbox-policy", "codex-sandbox-windows", "codex-sandbox"];

/// Carries out `windows …`; whether it went well.
///
/// # Errors
/// As [`build`] and [`check`].
pub fn run(wanted: &WindowsArgs) -> Result<bool> {
    match wanted {
        WindowsArgs::Build => {
            for program in build()? {
                println!("{}", program.display());
            }
        }
        WindowsArgs::Check => MSVC.into_iter().try_for_each(check)?,
    }
    Ok(true)
}

/// The targets that [`check`] is for.
pub const fn checked_targets() -> [&'static str; 2] {
    MSVC
}

/// Builds the programs, optimized, and gives their paths.
///
/// # Errors
/// The standard library cannot be had ([`reason_against`] tells before), the linker is missing, or the build failed.
pub fn build() -> Result<Vec<PathBuf>> {
    let mut command = cargo(GNU, "build")?;
    command.args(["--release", "--bins"]);
    let programs: Vec<_> = PROGRAMS.into_iter().filter(|(_, folder, _)| has_crate(folder)).collect();
    for (package, ..) in &programs {
        command.args(["--package", package]);
    }
    process::run(&mut command)?;
    let folder = target_folder().join(GNU).join("release");
    Ok(programs.into_iter().map(|(_, _, name)| folder.join(name)).collect())
}

/// Type-checks and lints what the programs are made of.
///
/// # Errors
/// The standard library cannot be had, or there is an error or a warning.
pub fn check(target: &str) -> Result<()> {
    let mut command = cargo(target, "clippy")?;
    for (package, folder, _) in PROGRAMS {
        if has_crate(folder) {
            command.args(["--package", package]);
        }
    }
    for package in LIBRARIES {
        command.args(["--package", package]);
    }
    process::run(command.args(["--keep-going", "--", "-D", "warnings"]))
}

/// Whether the program's file carries the manifest and the version that it must.
///
/// # Errors
/// It does not, or cannot be read.
pub fn check_resources(program: &Path) -> Result<()> {
    resources::check(program, env!("CARGO_PKG_VERSION"))
}

/// Why this machine cannot build or check, if so: the tests then count as skipped.
pub fn reason_against() -> Option<String> {
    if let Err(error) = standard::of(GNU) {
        return Some(format!("{error:#}"));
    }
    debian::linker().err().map(|error| format!("{error:#}"))
}

/// `cargo SUBCOMMAND` for the target, with a standard library for it.
fn cargo(target: &str, subcommand: &str) -> Result<Command> {
    if target == GNU {
        debian::linker()?;
    }
    let standard = standard::of(target)?;
    let mut command = process::cargo();
    // Build scripts look at what `standard` sets, so that ordinary builds must not share their results.
    command.env("CARGO_TARGET_DIR", target_folder()).args([subcommand, "--locked", "--target", target]);
    match standard {
        Standard::Installed => {}
        Standard::Source(sysroot) => {
            command.args(["-Z", "build-std=std,panic_abort,panic_unwind"]).env("RUSTC_BOOTSTRAP", "1");
            if let Some(sysroot) = sysroot {
                // clippy's driver does not ask the compiler where its libraries are.
                command.env("RUSTC", sysroot.join(standard::WRAPPER)).env("SYSROOT", sysroot);
            }
        }
    }
    Ok(command)
}

fn target_folder() -> PathBuf {
    target().join("windows")
}

fn has_crate(folder: &str) -> bool {
    top().join("crates").join(folder).join("Cargo.toml").is_file()
}

/// The program's path, or why it is missing.
fn need(program: &str, package: &str) -> Result<PathBuf> {
    match find(program) {
        Some(path) => Ok(path),
        None => bail!("{program} is not installed (Debian's package {package})"),
    }
}
