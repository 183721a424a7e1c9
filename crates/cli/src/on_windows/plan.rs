//! `plan` and `explain` about this machine.

use codex_sandbox::Plan;
use codex_sandbox_windows::plan::WindowsPlan;
use codex_sandbox_windows::plan::facts::Facts;

use crate::args::PolicyArgs;
use crate::config;
use crate::failure::Failure;

/// What is on this machine, and what a run would do.
pub fn of_this_machine(policy: &PolicyArgs) -> Result<(Facts, WindowsPlan), Failure> {
    let intent = config::read(policy)?;
    let sandbox = intent.builder().build()?;
    intent.check_files(&sandbox)?;
    match (sandbox.plan(), sandbox.facts()) {
        (Plan::Windows(plan), Some(facts)) => Ok((facts.clone(), plan.as_ref().clone())),
        _ => Err(Failure::Argument(
            "sandbox_mode is danger-full-access: the command would run without any sandbox, and there is nothing to plan"
                .to_owned(),
        )),
    }
}
