//! Each fuzz target for a short time: a regression run over the seeds, and a little of what they lead to.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::tally::Tally;
use crate::machine;
use crate::process::{self, target, top};

/// The version of cargo-fuzz that is built where there is none.
const CARGO_FUZZ: &str = "0.13.2";

/// Workspaces that build SQLite and all of `crates/windows` with a sanitizer, which takes minutes.
const LONG: [&str; 2] = ["runner", "windows"];

/// Runs every target of every workspace in `fuzz/`; those that take long to build only if `all` is wanted.
///
/// # Errors
/// `fuzz/` cannot be listed. A target that cannot be built or crashes counts as failed.
pub fn run(seconds: u32, all: bool, tally: &mut Tally) -> Result<()> {
    let fuzzer = match machine::cargo_tool("cargo-fuzz", CARGO_FUZZ, &[]) {
        Ok(program) => Fuzzer { program, nightly: has_nightly() },
        Err(error) => {
            tally.skip(format!("fuzz: {error:#}"));
            return Ok(());
        }
    };
    for workspace in workspaces()? {
        if LONG.contains(&workspace.as_str()) && !all {
            tally.skip(format!(
                "fuzz: {workspace}: it takes minutes to build; `cargo xtask test --only fuzz` runs it"
            ));
            continue;
        }
        let dir = top().join("fuzz").join(&workspace);
        let targets = match process::output(fuzzer.command(&dir, "list").arg("--fuzz-dir").arg(&dir)) {
            Ok(names) => names,
            Err(error) => {
                tally.fail(format!("fuzz: {workspace}: {error:#}"));
                continue;
            }
        };
        for name in targets.lines() {
            match one(&fuzzer, &workspace, &dir, name, seconds) {
                Ok(()) => tally.pass(),
                Err(error) => tally.fail(format!("fuzz: {workspace}/{name}: {error:#}")),
            }
        }
    }
    Ok(())
}

struct Fuzzer {
    program: PathBuf,
    nightly: bool,
}

impl Fuzzer {
    fn command(&self, dir: &Path, subcommand: &str) -> Command {
        let mut command = Command::new(&self.program);
        // This program runs under the toolchain of the repository; the fuzzer must be free to choose another.
        for name in ["CARGO", "RUSTC", "RUSTDOC", "CARGO_MANIFEST_DIR"] {
            command.env_remove(name);
        }
        if self.nightly {
            command.env("RUSTUP_TOOLCHAIN", "nightly");
        } else {
            // The sanitizers are in the stable compiler too, behind this switch.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command.current_dir(dir).env("CARGO_TARGET_DIR", target().join("fuzz")).arg(subcommand);
        command
    }
}

fn has_nightly() -> bool {
    // By rustup's stand-in on PATH, which must not go and fetch one.
    let mut cargo = Command::new("cargo");
    cargo.env("RUSTUP_TOOLCHAIN", "nightly").env("RUSTUP_AUTO_INSTALL", "0").arg("--version");
    process::output(&mut cargo).is_ok_and(|version| version.contains("nightly"))
}

fn workspaces() -> Result<Vec<String>> {
    let mut names: Vec<String> = std::fs::read_dir(top().join("fuzz"))
        .context("cannot list fuzz/")?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| top().join("fuzz").join(name).join("Cargo.toml").is_file())
        .collect();
    names.sort();
    Ok(names)
}

fn one(fuzzer: &Fuzzer, workspace: &str, dir: &Path, name: &str, seconds: u32) -> Result<()> {
    // New inputs go to the target folder: a test run leaves the source tree as it was.
    let kept = target().join("fuzz-corpus").join(workspace).join(name);
    let artifacts = target().join("fuzz-artifacts").join(workspace).join(name);
    for made in [&kept, &artifacts] {
        std::fs::create_dir_all(made).with_context(|| format!("cannot create {}", made.display()))?;
    }
    let mut command = fuzzer.command(dir, "run");
    command.arg("--fuzz-dir").arg(dir).arg(name).arg(&kept);
    command.args(
        [dir.join("seeds").join(name), dir.join("corpus").join(name)].iter().filter(|dir| dir.is_dir()),
    );
    command.arg("--").arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1");
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    println!("$ {}", process::shown(&command));
    let output = command.output().context("cannot start cargo-fuzz")?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        // All of it: the input that crashed, the trace and the message are spread over it.
        println!("{log}");
        bail!("{}", output.status);
    }
    log.lines().filter(|line| line.starts_with("stat::number_of")).for_each(|line| println!("{line}"));
    Ok(())
}
