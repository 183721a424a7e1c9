//! `cargo xtask windows build` and `cargo xtask windows check`: the programs for Windows, made and checked on any machine.

#[cfg(unix)]
mod cross;
#[cfg(unix)]
mod debian;
#[cfg(windows)]
mod native;
mod resources;
#[cfg(unix)]
mod standard;

use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::process::Command;

use anyhow::Result;

use crate::args::WindowsArgs;
use crate::process::{self, top};
#[cfg(unix)]
use cross as tools;
#[cfg(windows)]
use native as tools;

/// The packages with a program for Windows: package, folder in `crates/`, name of the program.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("codex-sandbox-cli", "cli", "codex-sandbox.exe"),
    ("codex-sandbox-windows-setup", "windows-setup", "codex-windows-sandbox-setup.exe"),
    ("codex-sandbox-windows-runner", "windows-runner", "codex-command-runner.exe"),
];

/// What the programs are made of.
const LIBRARIES: [&str; 4] =
    ["nt-security", "codex-sandbox-policy", "codex-sandbox-windows", "codex-sandbox"];

/// Whose unit tests ask Windows itself.
#[cfg(unix)]
const ON_WINDOWS: [&str; 2] = ["codex-sandbox-windows", "codex-sandbox"];

/// Carries out `windows …`; whether it went well.
///
/// # Errors
/// As [`build`] and [`check`].
pub fn run(wanted: &WindowsArgs) -> Result<bool> {
    match wanted {
        WindowsArgs::Build => build()?.iter().for_each(|program| println!("{}", program.display())),
        WindowsArgs::Check => checked_targets().iter().copied().try_for_each(check)?,
    }
    Ok(true)
}

/// The targets that [`check`] is for: those of the programs that are shipped, as far as `clippy` has not seen them.
pub const fn checked_targets() -> &'static [&'static str] {
    tools::CHECKED
}

/// Builds the programs, optimized, and gives their paths.
///
/// # Errors
/// The standard library or the linker cannot be had ([`reason_against`] tells before), or the build failed.
pub fn build() -> Result<Vec<PathBuf>> {
    let mut command = tools::linking("build")?;
    command.args(["--release", "--bins"]);
    let programs: Vec<_> = PROGRAMS.into_iter().filter(|(_, folder, _)| has_crate(folder)).collect();
    for (package, ..) in &programs {
        command.args(["--package", package]);
    }
    process::run(&mut command)?;
    let folder = tools::folder().join("release");
    Ok(programs.into_iter().map(|(_, _, name)| folder.join(name)).collect())
}

/// Type-checks and lints what the programs are made of.
///
/// # Errors
/// The standard library cannot be had, or there is an error or a warning.
pub fn check(target: &str) -> Result<()> {
    let mut command = tools::checking(target)?;
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

/// The unit tests that ask Windows itself, to be run with `runner` in front (see cargo's `target.….runner`).
///
/// # Errors
/// As [`build`].
#[cfg(unix)]
pub fn unit_tests(runner: &str) -> Result<Command> {
    let mut command = tools::linking("test")?;
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", runner).args(["--no-fail-fast", "--lib"]);
    for package in ON_WINDOWS {
        command.args(["--package", package]);
    }
    command.args(["--", "--show-output"]);
    Ok(command)
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
    tools::reason_against()
}

fn has_crate(folder: &str) -> bool {
    top().join("crates").join(folder).join("Cargo.toml").is_file()
}
