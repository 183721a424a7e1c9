//! `plan` and `explain` for a Windows host: one that a file describes, or on Windows this machine.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use codex_sandbox_windows::explain::{Question, explain as explain_path};
use codex_sandbox_windows::plan::facts::Facts;
use codex_sandbox_windows::plan::{self as windows_plan, WindowsPlan};
use codex_sandbox_windows::prove::prove;

use crate::args::{ExplainArgs, HostArgs, Os, PlanArgs, PolicyArgs};
use crate::config;
use crate::failure::Failure;

/// The largest description that is read, in bytes.
const MAX_FACTS: u64 = 64 * 1024 * 1024;

/// Whether the question is about Windows. The two flags go together.
pub fn is_asked(host: &HostArgs) -> Result<bool, Failure> {
    match (host.os, &host.facts) {
        (Some(Os::Windows), Some(_)) => Ok(true),
        (Some(Os::Windows), None) if cfg!(windows) => Ok(false),
        (Some(Os::Windows), None) => Err(Failure::Argument(
            "--os windows: describe the host with --facts FILE (docs/examples has some)".to_owned(),
        )),
        (_, Some(path)) => Err(Failure::Argument(format!("--facts {}: add --os windows", path.display()))),
        _ => Ok(false),
    }
}

/// `plan --os windows`; with `--prove`, exit code 1 when the plan and the policy differ.
pub fn plan(args: &PlanArgs) -> Result<ExitCode, Failure> {
    let (facts, plan) = prepare(&args.host, &args.policy)?;
    let mut out = std::io::stdout();
    if !args.prove {
        if args.json {
            writeln!(out, "{:#}", serde_json::json!({ "os": "windows", "plan": plan }))?;
        } else {
            write!(out, "{plan}")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let proof = prove(&plan, &facts).map_err(|error| Failure::Argument(error.to_string()))?;
    if args.json {
        writeln!(
            out,
            "{:#}",
            serde_json::json!({ "os": "windows", "holds": proof.holds(), "proof": proof })
        )?;
    } else {
        write!(out, "{proof}")?;
    }
    Ok(if proof.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// `explain --os windows`; exit code 1 when something is denied.
pub fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let (facts, plan) = prepare(&args.host, &args.policy)?;
    let question = Question::from_name(&args.op).ok_or_else(|| {
        Failure::Argument(format!(
            "--op {}: it takes read, write, or an operation such as delete or rename",
            args.op
        ))
    })?;
    let mut answers = Vec::new();
    for subject in &args.subjects {
        let path = subject.to_str().ok_or_else(|| Failure::Argument("a Windows path is text".to_owned()))?;
        let answer = explain_path(&plan, &facts, path, question);
        answers.push(answer.map_err(|error| Failure::Argument(error.to_string()))?);
    }
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{:#}", serde_json::json!(answers))?;
    } else {
        for answer in &answers {
            write!(out, "{answer}")?;
        }
    }
    let all = answers.iter().all(codex_sandbox_windows::explain::Explanation::is_allowed);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn prepare(host: &HostArgs, policy: &PolicyArgs) -> Result<(Facts, WindowsPlan), Failure> {
    #[cfg(windows)]
    if !is_asked(host)? {
        return crate::on_windows::plan::of_this_machine(policy);
    }
    let path = host.facts.as_deref().unwrap_or(Path::new(""));
    let facts = read_facts(path)?;
    let intent = config::read(policy)?;
    let plan = windows_plan::plan(intent.policy(), &facts)
        .map_err(|error| Failure::Argument(format!("{}: {error}", path.display())))?;
    Ok((facts, plan))
}

fn read_facts(path: &Path) -> Result<Facts, Failure> {
    let fail =
        |error: &dyn std::fmt::Display| Failure::Argument(format!("--facts {}: {error}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| fail(&error))?.len();
    if size > MAX_FACTS {
        return Err(fail(&"the description is larger than 64 MiB"));
    }
    let text = std::fs::read(path).map_err(|error| fail(&error))?;
    serde_json::from_slice(&text).map_err(|error| fail(&error))
}
