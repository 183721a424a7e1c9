//! `codex-sandbox run` on Windows.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;
use std::sync::Arc;

use codex_sandbox::windows::{HeldInterrupts, has_console};
use codex_sandbox::{Backend, Command, Enforcement, Exit, Outcome, Strength};

use super::progress::Bar;
use super::terminal::Terminal;
use crate::args::RunArgs;
use crate::config;
use crate::failure::Failure;

/// Runs the command; the exit code is the command's own, all 32 bits of it.
pub fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let env = args.env.iter().map(|text| variable(text)).collect::<Result<Vec<_>, _>>()?;
    let intent = config::read(&args.policy)?;
    let loud = !args.quiet && !args.json;
    let bar = Arc::new(Bar::new(loud));
    let sandbox = intent.builder().require(args.requirement()).progress(bar.clone()).build()?;
    intent.check_files(&sandbox)?;
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Failure::Argument("no command after `--`".to_owned()));
    };
    let mut command = sandbox.command(program.clone());
    command.args(rest.iter().cloned());
    set_environment(&mut command, args.clear_env, env);
    command.leave_the_rest(args.detach);
    // Without a sandbox there is nothing that keeps a command from the caller's own console.
    let wants_terminal = args.tty && *sandbox.plan() != codex_sandbox::Plan::Unsandboxed;
    let terminal = wants_terminal.then(Terminal::new).transpose()?;
    if let Some(terminal) = &terminal {
        command.terminal(terminal.console());
    }
    let child = command.spawn();
    bar.end();
    let mut child = child?;
    // From now on Ctrl-C is the command's, which has the same console, or one whose keys we type. Before, it ended us, and the next run
    // goes on where the grants stopped. A command without a console, or with its account's own, never hears of it: then it still
    // ends us, and the job with us.
    let shares = has_console() && child.enforcement().backend != Backend::WindowsElevated;
    let _held = (terminal.is_some() || shares).then(HeldInterrupts::hold);
    if loud {
        say(intent.notices.iter().map(String::as_str));
        say(sandbox.notices().iter().map(String::as_str));
        say(child.notices().iter().map(String::as_str));
        say(network(child.enforcement(), sandbox.notices()).into_iter());
        say(weaker(child.enforcement()).iter().map(String::as_str));
    }
    let connected = terminal.map(Terminal::connect).transpose()?;
    let outcome = child.wait();
    if let Some(connected) = connected {
        connected.end();
    }
    let outcome = outcome?;
    tell(&outcome, args.json, loud);
    let code = outcome.exit.code();
    drop(child);
    drop(sandbox);
    // ExitCode has eight bits.
    std::process::exit(code)
}

fn tell(outcome: &Outcome, json: bool, loud: bool) {
    if json {
        let line = serde_json::json!({ "outcome": outcome, "exit_code": outcome.exit.code() });
        let _unprintable = writeln!(std::io::stderr(), "{line}");
        return;
    }
    // What the exit code alone does not tell is said even when notices are not wanted.
    if outcome.exit == Exit::TimedOut {
        say(["the time limit is over: the command and all that it started were killed"].into_iter());
    }
    if loud {
        say(outcome.reports.iter().map(String::as_str));
    }
}

/// `NAME=VALUE` and `NAME`. A name may begin with `=`, as those of the drives' current folders do.
type Variable = (OsString, Option<OsString>);

fn variable(text: &OsStr) -> Result<Variable, Failure> {
    let units: Vec<u16> = text.encode_wide().collect();
    let equals = units.iter().skip(1).position(|unit| *unit == u16::from(b'=')).map(|at| at + 1);
    if units.is_empty() || units == [u16::from(b'=')] || (units[0] == u16::from(b'=') && equals.is_none()) {
        return Err(Failure::Argument(format!(
            "--env {}: a variable needs a name: write --env NAME=VALUE, or --env NAME to pass one on",
            text.to_string_lossy()
        )));
    }
    Ok(match equals {
        Some(at) => (OsString::from_wide(&units[..at]), Some(OsString::from_wide(&units[at + 1..]))),
        None => (text.to_owned(), None),
    })
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

/// The line about the network, unless the plan's notice about the tier says it.
fn network<'a>(enforcement: &'a Enforcement, said: &[String]) -> Option<&'a str> {
    let gap = enforcement.gaps.iter().find(|gap| gap.code == "network")?;
    (!said.iter().any(|notice| notice.contains("the network is only discouraged")))
        .then_some(gap.what.as_str())
}

/// Gaps that every run of this tier has, and that `doctor` explains; the network has a line of its own.
const ALWAYS: [&str; 3] = ["network", "same-user", "missing-name"];

/// One line on what is weaker here than it need be.
fn weaker(enforcement: &Enforcement) -> Option<String> {
    let gaps = enforcement.gaps.iter().filter(|gap| !ALWAYS.contains(&gap.code.as_str()));
    let whats: Vec<&str> = gaps.map(|gap| gap.what.as_str()).collect();
    (enforcement.strength == Strength::Partial && !whats.is_empty())
        .then(|| format!("weaker here: {}", whats.join("; ")))
}

fn say<'a>(lines: impl Iterator<Item = &'a str>) {
    let text: String = lines.map(|line| format!("codex-sandbox: {line}\n")).collect();
    if !text.is_empty() {
        let _unprintable = std::io::stderr().write_all(text.as_bytes());
    }
}
