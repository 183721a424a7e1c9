//! The programs for Windows: that they can be built, that the shipped targets have no warning, and what each file says of itself.

use anyhow::Result;

use super::tally::Tally;
use crate::windows;

/// Builds, checks and reads back.
///
/// # Errors
/// None so far: each step that fails counts by itself.
pub fn run(tally: &mut Tally) -> Result<()> {
    if let Some(reason) = windows::reason_against() {
        for what in ["build", "check"] {
            tally.skip(format!("windows: {what}: {reason}"));
        }
        return Ok(());
    }
    for target in windows::checked_targets() {
        match windows::check(target) {
            Ok(()) => tally.pass(),
            Err(error) => tally.fail(format!("windows: check {target}: {error:#}")),
        }
    }
    let programs = match windows::build() {
        Ok(programs) => programs,
        Err(error) => {
            tally.fail(format!("windows: build: {error:#}"));
            return Ok(());
        }
    };
    tally.pass();
    for program in programs {
        let name = program.file_name().map(|name| name.display().to_string()).unwrap_or_default();
        match windows::check_resources(&program) {
            Ok(()) => tally.pass(),
            Err(error) => tally.fail(format!("windows: manifest and version of {name}: {error:#}")),
        }
    }
    Ok(())
}
