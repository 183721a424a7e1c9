//! The parts of the tests that are one run of cargo.

use anyhow::{Result, bail};

use super::tally::{Reader, Tally};
use crate::machine;
use crate::process::{self, cargo, target, top};

/// The package of the whole-program tests.
const PROGRAM_TESTS: &str = "codex-sandbox-tests";

/// The version of cargo-deny that is built where there is none.
const CARGO_DENY: &str = "0.20.2";

/// The source is formatted.
pub fn fmt(tally: &mut Tally) -> Result<()> {
    process::run(cargo().args(["fmt", "--all", "--check"]))?;
    tally.pass();
    Ok(())
}

/// No warning in any target.
pub fn clippy(tally: &mut Tally) -> Result<()> {
    process::run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--keep-going",
        "--",
        "-D",
        "warnings",
    ]))?;
    tally.pass();
    Ok(())
}

/// The cases that property tests take, so that a change is judged by the same ones each time; `PROPTEST_RNG_SEED=random` (or
/// a number) looks for others.
const SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "20261124");

/// Unit and property tests of every crate.
pub fn unit(tally: &mut Tally) -> Result<()> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins", "--tests"]);
    if has_program_tests()? {
        command.args(["--exclude", PROGRAM_TESTS]);
    }
    command.args(["--", "--show-output"]);
    if std::env::var_os(SEED.0).is_none() {
        command.env(SEED.0, SEED.1);
    }
    read("unit", &mut command, tally)
}

/// The examples in the documentation.
pub fn doc(tally: &mut Tally) -> Result<()> {
    read("doc", cargo().args(["test", "--workspace", "--locked", "--no-fail-fast", "--doc"]), tally)
}

/// Whole-program tests, with the release binary just built.
pub fn program(tally: &mut Tally) -> Result<()> {
    if !has_program_tests()? {
        tally.skip(format!("program: there is no package {PROGRAM_TESTS} in the workspace"));
        return Ok(());
    }
    process::run(cargo().args(["build", "--release", "--locked", "--package", "codex-sandbox-cli"]))?;
    let mut command = cargo();
    command.args(["test", "--package", PROGRAM_TESTS, "--locked", "--no-fail-fast", "--", "--show-output"]);
    command.env("CODEX_SANDBOX_BIN", target().join("release/codex-sandbox"));
    read("program", &mut command, tally)
}

/// Dependencies: bans, licenses, sources. Advisories need a database from the network.
pub fn deny(tally: &mut Tally) -> Result<()> {
    // Without its default features it needs no TLS library, and leaves out what only fetching needs.
    let deny = match machine::cargo_tool("cargo-deny", CARGO_DENY, &["--no-default-features"]) {
        Ok(program) => program,
        Err(error) => {
            tally.skip(format!("deny: {error:#}"));
            return Ok(());
        }
    };
    for check in ["bans", "licenses", "sources"] {
        let mut command = std::process::Command::new(&deny);
        command.current_dir(top()).args(["--workspace", "--locked", "check", check]);
        match process::run(&mut command) {
            Ok(()) => tally.pass(),
            Err(error) => tally.fail(format!("deny: {check}: {error:#}")),
        }
    }
    Ok(())
}

/// Runs tests and adds their results to the tally.
///
/// # Errors
/// They cannot be started, or their output not be read.
pub fn read(part: &'static str, command: &mut std::process::Command, tally: &mut Tally) -> Result<()> {
    let mut reader = Reader::new(part, tally);
    let succeeded = process::watch(command, |line| reader.line(line))?;
    reader.end(succeeded);
    Ok(())
}

fn has_program_tests() -> Result<bool> {
    let metadata = process::output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let Some(packages) = metadata["packages"].as_array() else { bail!("cargo metadata lists no packages") };
    Ok(packages.iter().any(|package| package["name"] == PROGRAM_TESTS))
}
