//! What the machine must have: packages, an ordinary user, cargo's own helpers.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{self, cargo, find};

/// The ordinary user as whom tests and benchmarks run when this program is root.
pub const USER: &str = "codexsb-test";

/// How to see that a package is there.
enum Sign {
    Program(&'static str),
    /// Debian's package itself: it brings no program of its own.
    Installed,
}
use Sign::{Installed, Program};

/// What tests use, and Debian's package that has it.
const TEST_PACKAGES: &[(Sign, &str)] = &[
    (Program("git"), "git"),
    (Program("gcc"), "gcc"),
    (Program("make"), "make"),
    (Installed, "python3-venv"),
    (Installed, "python3-pytest"),
    (Program("bwrap"), "bubblewrap"),
    (Program("hyperfine"), "hyperfine"),
    (Program("strace"), "strace"),
    (Program("gdb"), "gdb"),
    (Program("vim"), "vim"),
    (Program("tmux"), "tmux"),
    (Program("npm"), "npm"),
    (Program("java"), "default-jdk-headless"),
    (Program("valgrind"), "valgrind"),
    (Program("ps"), "procps"),
    (Program("setfattr"), "attr"),
    (Program("setpriv"), "util-linux"),
    (Program("ip"), "iproute2"),
];

/// Whether this process is root.
#[cfg(unix)]
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;

    std::fs::metadata("/proc/self").is_ok_and(|of_self| of_self.uid() == 0)
}

/// There is no root here.
#[cfg(not(unix))]
pub const fn is_root() -> bool {
    false
}

/// Installs the packages that are missing and makes the ordinary user. What cannot be had is said, and left to the tests
/// that need it, which then count as skipped.
pub fn prepare() {
    let missing: Vec<&str> = TEST_PACKAGES
        .iter()
        .filter(|(sign, package)| !present(sign, package))
        .map(|&(_, name)| name)
        .collect();
    if !missing.is_empty() {
        install(&missing);
    }
    if is_root() && user_home().is_none() {
        let made = process::run(Command::new("useradd").args(["--create-home", "--shell", "/bin/sh", USER]));
        if let Err(error) = made {
            println!("note: no ordinary user: {error:#}");
        }
    }
}

fn present(sign: &Sign, package: &str) -> bool {
    match sign {
        Program(program) => find(program).is_some(),
        // Elsewhere than on Debian nobody but the tests can tell.
        Installed if find("dpkg-query").is_none() => true,
        Installed => process::output(Command::new("dpkg-query").args(["-W", "-f=${Status}", package]))
            .is_ok_and(|status| status.ends_with(" installed")),
    }
}

/// Installs packages, where this program may; what cannot be had is said.
pub fn install(packages: &[&str]) {
    let names = packages.join(" ");
    if !is_root() || find("apt-get").is_none() {
        println!("note: not on this machine: {names} (as root on Debian or Ubuntu: apt-get install {names})");
        return;
    }
    let apt_get = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-qq", "-y"]).args(args);
        println!("$ {}", process::shown(&command));
        process::output(&mut command)
    };
    // An old list may name versions that the mirror has no more; a list that cannot be had may still do.
    if let Err(error) = apt_get(&["update"]) {
        println!("note: {error:#}");
    }
    for package in packages {
        // One at a time: a package that cannot be had must not keep the others out.
        if let Err(error) = apt_get(&["install", "--no-install-recommends", package]) {
            println!("note: {package} is not installed: {error:#}");
        }
    }
}

/// The ordinary user's home folder.
pub fn user_home() -> Option<PathBuf> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let account = accounts.lines().find(|line| line.split(':').next() == Some(USER))?;
    account.split(':').nth(5).map(PathBuf::from)
}

/// A cargo subcommand such as `cargo-deny`, in the pinned version: on PATH, from an earlier run, or built now.
///
/// # Errors
/// It cannot be built.
pub fn cargo_tool(name: &str, version: &str, flags: &[&str]) -> Result<PathBuf> {
    if let Some(path) = find(name) {
        return Ok(path);
    }
    let root = cache()?.join(format!("{name}-{version}"));
    let program = root.join("bin").join(name);
    if !program.is_file() {
        let mut install = cargo();
        install.args(["install", "--quiet", "--locked", "--debug", name, "--version", version]).args(flags);
        install.arg("--root").arg(&root).env("CARGO_PROFILE_DEV_DEBUG", "0");
        install.env_remove("CARGO_TARGET_DIR");
        process::run(&mut install)?;
    }
    Ok(program)
}

/// A folder that outlives a clone of the repository: compiling the helpers takes minutes.
///
/// # Errors
/// There is no home folder.
pub fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor a home folder is known")?;
    Ok(base.join("codex-sandbox-xtask"))
}
