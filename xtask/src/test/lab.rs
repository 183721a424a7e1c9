//! What runs in the lab: its own tests, and the tests of the programs for Windows.

use anyhow::Result;

use super::parts;
use super::tally::Tally;
use crate::lab::{self, Lab};
use crate::process::{cargo, top};
use crate::windows;

/// The package and the name of the tests that run the programs in the lab.
const TESTS: (&str, &str) = ("codex-sandbox-tests", "lab");

/// Builds the lab if need be, and runs both.
///
/// # Errors
/// The lab or the programs cannot be built.
pub fn run(tally: &mut Tally) -> Result<()> {
    if let Some(reason) = lab::reason_against().or_else(windows::reason_against) {
        tally.skip(format!("lab: all: {reason}"));
        return Ok(());
    }
    let lab = Lab::ready(false)?;
    lab.own_tests(&mut |test, passed| {
        if passed {
            tally.pass();
        } else {
            tally.fail(format!("lab: {test}"));
        }
    })?;
    unit_tests(&lab, tally)?;
    program_tests(&lab, tally)
}

/// The unit tests of what calls Windows, as each kind of user.
#[cfg(unix)]
fn unit_tests(lab: &Lab, tally: &mut Tally) -> Result<()> {
    for (user, options) in lab::USERS {
        println!("as {user}:");
        let runner =
            [&[lab.runner().to_str().expect("the cache's path is UTF-8")], options].concat().join(" ");
        parts::read("lab", &mut windows::unit_tests(&runner)?, tally)?;
    }
    Ok(())
}

/// Nothing: `unit` has run them on this machine's Windows.
#[cfg(not(unix))]
fn unit_tests(_lab: &Lab, _tally: &mut Tally) -> Result<()> {
    Ok(())
}

/// The whole-program tests.
fn program_tests(lab: &Lab, tally: &mut Tally) -> Result<()> {
    if !["tests/tests/lab.rs", "tests/tests/lab/main.rs"].iter().any(|file| top().join(file).is_file()) {
        tally.skip("lab: programs: the workspace has no tests of them".to_owned());
        return Ok(());
    }
    let programs = windows::build()?;
    let (package, test) = TESTS;
    let mut command = cargo();
    command.args([
        "test",
        "--package",
        package,
        "--locked",
        "--no-fail-fast",
        "--test",
        test,
        "--",
        "--show-output",
    ]);
    command.env("CODEX_SANDBOX_LAB", lab.runner()).env("CODEX_SANDBOX_EXE", &programs[0]);
    parts::read("lab", &mut command, tally)
}
