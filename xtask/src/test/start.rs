//! The gate on the program's start: its counts against the recorded ones.

use anyhow::Result;

use super::tally::Tally;
use crate::counts::Counts;
use crate::place::Place;
use crate::process::{self, cargo, find, target};

/// By how much a count may exceed the recorded one, in percent: compilers and C libraries differ between machines.
const SLACK: u64 = 15;

/// Compares with `benches/start.json`.
///
/// # Errors
/// The program cannot be built, or a count cannot be taken although the tools are there.
pub fn run(tally: &mut Tally) -> Result<()> {
    for tool in ["valgrind", "strace"] {
        if find(tool).is_none() {
            tally.skip(format!("start: {tool} is not installed"));
            return Ok(());
        }
    }
    process::run(cargo().args(["build", "--release", "--locked", "--package", "codex-sandbox-cli"]))?;
    let place = Place::new("start")?;
    let program = place.program(&target().join("release/codex-sandbox"))?;
    let (now, then) = (Counts::measure(&place, &program)?, Counts::recorded()?);
    compare("instructions of `plan`", now.plan_instructions, then.plan_instructions, tally);
    compare("system calls of `run -- true`", now.run_system_calls, then.run_system_calls, tally);
    Ok(())
}

fn compare(what: &str, now: u64, then: u64, tally: &mut Tally) {
    println!("{what}: {now}, recorded {then}");
    if within(now, then) {
        tally.pass();
    } else {
        tally.fail(format!(
            "start: {what}: {now} is over {SLACK} % more than the recorded {then}; \
             if that is meant, record it with `cargo xtask bench --only counts`"
        ));
    }
}

fn within(now: u64, then: u64) -> bool {
    now * 100 <= then * (100 + SLACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_and_a_little_more_are_within() {
        assert!(within(1, 100) && within(115, 100));
        assert!(!within(116, 100));
    }
}
