//! `codex-sandbox run`.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use codex_sandbox::{Command, Enforcement, Exit, HeldSignals, Outcome, Strength};

use crate::args::RunArgs;
use crate::config;
use crate::failure::Failure;

/// Runs the command; the exit code is the command's own.
pub fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let env = environment(&args.env)?;
    let intent = config::read(&args.policy)?;
    let sandbox = intent.builder().require(args.requirement()).build()?;
    intent.check_files(&sandbox)?;
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Failure::Argument("no command after `--`".to_owned()));
    };
    let mut command = sandbox.command(program.clone());
    command.args(rest.iter().cloned());
    set_environment(&mut command, args.clear_env, env);
    // A signal from now on is the command's, not ours.
    let _held = HeldSignals::hold();
    let mut child = command.spawn()?;
    let loud = !args.quiet && !args.json;
    if loud {
        say(intent.notices.iter().map(String::as_str));
        say(sandbox.notices().iter().map(String::as_str));
        say(weaker(child.enforcement()).iter().map(String::as_str));
    }
    let outcome = child.wait_forwarding_signals()?;
    if args.json {
        print_json(&outcome);
    } else {
        // What the exit code alone does not tell is said even when notices are not wanted.
        if outcome.exit == Exit::TimedOut {
            say(["the time limit is over: the command and all that it started were killed"].into_iter());
        }
        if loud {
            say(outcome.reports.iter().map(String::as_str));
        }
    }
    let code = outcome.exit.code();
    // Exit codes of Unix processes have eight bits; codes that were passed through have no more.
    Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(125)))
}

/// `NAME=VALUE` and `NAME`.
type Variable = (OsString, Option<OsString>);

fn environment(written: &[OsString]) -> Result<Vec<Variable>, Failure> {
    written.iter().map(|text| variable(text)).collect()
}

fn variable(text: &OsStr) -> Result<Variable, Failure> {
    let bytes = text.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned())),
        None => (bytes, None),
    };
    if name.is_empty() {
        let shown = text.to_string_lossy();
        return Err(Failure::Argument(format!(
            "--env {shown}: a variable needs a name: write --env NAME=VALUE, or --env NAME to pass one on"
        )));
    }
    Ok((OsStr::from_bytes(name).to_owned(), value))
}

fn set_environment(command: &mut Command<'_>, clear: bool, variables: Vec<Variable>) {
    if clear {
        command.env_clear();
    }
    for (name, value) in variables {
        if let Some(value) = value.or_else(|| std::env::var_os(&name)) {
            command.env(name, value);
        }
    }
}

/// One line on what is weaker than the policy asks.
fn weaker(enforcement: &Enforcement) -> Option<String> {
    let whats: Vec<&str> = enforcement.gaps.iter().map(|gap| gap.what.as_str()).collect();
    (enforcement.strength == Strength::Partial).then(|| format!("weaker here: {}", whats.join("; ")))
}

fn say<'a>(lines: impl Iterator<Item = &'a str>) {
    let mut text = String::new();
    for line in lines {
        text.push_str("codex-sandbox: ");
        text.push_str(&codex_sandbox_policy::shown::line(line));
        text.push('\n');
    }
    if !text.is_empty() {
        let _unprintable = std::io::stderr().write_all(text.as_bytes());
    }
}

fn print_json(outcome: &Outcome) {
    let line = serde_json::json!({ "outcome": outcome, "exit_code": outcome.exit.code() });
    let _unprintable = writeln!(std::io::stderr(), "{line}");
}
