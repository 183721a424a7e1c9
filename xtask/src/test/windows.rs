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
    match windows::build() {
        Ok(_) => tally.pass(),
        Err(error) => tally.fail(format!("windows: build: {error:#}")),
    }
    Ok(())
}
