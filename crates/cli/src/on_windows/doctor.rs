//! `doctor` on Windows: what this machine offers for the current folder, and what to do about each gap.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use codex_sandbox::{Enforcement, Plan, Policy, Sandbox};
use codex_sandbox_windows::plan::data::RootState;
use codex_sandbox_windows::plan::facts::Facts;
use codex_sandbox_windows::plan::{Tier, WindowsPlan};

use super::{attack, setup};
use crate::args::DoctorArgs;
use crate::failure::Failure;

/// Examines the machine; exit code 1 when something is weaker than it could be, or an attempt escaped.
pub fn run(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let sandbox = Sandbox::new(Policy::default())?;
    let (Plan::Windows(plan), Some(facts)) = (sandbox.plan(), sandbox.facts()) else {
        return Err(Failure::Argument("the default policy has no plan".to_owned()));
    };
    let enforcement = sandbox.enforcement();
    if !args.json {
        std::io::stdout().write_all(describe(plan, facts, &enforcement).as_bytes())?;
    }
    let (machine, about_machine, well) = setup::doctor(args.json)?;
    if !args.json {
        write!(std::io::stdout(), "\n{about_machine}")?;
    }
    let attempts = args.attack.then(|| attempts(args)).transpose()?;
    if args.json {
        let mut report =
            serde_json::json!({ "enforcement": enforcement, "walls": plan.walls, "facts": facts });
        if let Some(attempts) = &attempts {
            report["attempts"] = serde_json::json!(attempts);
        }
        report["machine"] = machine;
        writeln!(std::io::stdout(), "{report:#}")?;
    }
    let refused =
        plan.roots.iter().any(|root| matches!(root.state, RootState::ReadOnly(_) | RootState::Refused(_)));
    let held = attempts.is_none_or(|rows| attack::held(&rows));
    Ok(if enforcement.gaps.is_empty() && !refused && held && well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn attempts(args: &DoctorArgs) -> Result<Vec<attack::Row>, Failure> {
    if !args.json {
        writeln!(std::io::stdout())?;
    }
    let rows = attack::table(!args.json)?;
    if !args.json {
        writeln!(std::io::stdout(), "\n{}", attack::summary(&rows))?;
    }
    Ok(rows)
}

fn describe(plan: &WindowsPlan, facts: &Facts, enforcement: &Enforcement) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "ok  windows          build {}", facts.machine.build);
    let _ = writeln!(text, "ok  user             {} ({})", facts.user.name, facts.user.sid);
    let tier = match plan.tier {
        Tier::Unelevated => "unelevated: you, with a restricted token",
        Tier::Elevated => "elevated: an account of the sandbox, with a restricted token",
    };
    let _ = writeln!(text, "ok  tier             {tier}");
    let labels =
        if plan.walls.labels { "ok  integrity        Medium-Low" } else { "--  integrity        no labels" };
    let _ = writeln!(text, "{labels}");
    for root in &plan.roots {
        match &root.state {
            RootState::Granted | RootState::Covered { .. } => {
                let _ = writeln!(text, "ok  writable         {} ({})", root.typed, root.kind.words());
            }
            RootState::ReadOnly(refusal) | RootState::Refused(refusal) => {
                let _ = writeln!(text, "--  not writable     {}: {}", root.typed, refusal.reason);
                let _ = writeln!(text, "                     remedy: {}", refusal.remedy);
            }
        }
    }
    for gap in &enforcement.gaps {
        let _ = writeln!(text, "--  {:<16} {}", gap.code, gap.what);
        let _ = writeln!(text, "                     remedy: {}", gap.remedy);
    }
    let strength = if enforcement.gaps.is_empty() { "full" } else { "partial" };
    let _ = writeln!(text, "\nresult: {} tier, {strength} enforcement", plan.tier.name());
    text
}
