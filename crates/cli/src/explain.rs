//! `codex-sandbox explain`: allowed or denied, and by which rule.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use codex_sandbox::policy::policy::{AllowedHost, Mode};
use codex_sandbox::{Access, Rule, Sandbox};
use codex_sandbox_policy::shown;
use serde::Serialize;

use crate::args::ExplainArgs;
use crate::config;
use crate::failure::Failure;

/// What a path is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Read,
    /// Writing, creating, removing or renaming.
    Write,
}

/// One answer.
#[derive(Debug, Serialize)]
struct Answer {
    subject: String,
    kind: &'static str,
    allowed: bool,
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Rule>,
}

/// Answers; exit code 1 when something is denied.
pub fn run(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    if crate::windows::is_asked(&args.host)? {
        return crate::windows::explain(args);
    }
    let op = match args.op.as_str() {
        "read" => Operation::Read,
        "write" => Operation::Write,
        other => return Err(Failure::Argument(format!("--op {other}: it takes read or write"))),
    };
    let intent = config::read(&args.policy)?;
    let sandbox = intent.builder().probe()?;
    intent.check_files(&sandbox)?;
    let answers: Vec<Answer> = args.subjects.iter().map(|subject| answer(&sandbox, op, subject)).collect();
    let text = if args.json { format!("{:#}\n", serde_json::json!(answers)) } else { describe(&answers) };
    std::io::stdout().write_all(text.as_bytes())?;
    let all = answers.iter().all(|answer| answer.allowed);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn answer(sandbox: &Sandbox, op: Operation, subject: &OsString) -> Answer {
    match host(subject) {
        Some(host) => network(sandbox, &host),
        None => path(sandbox, op, Path::new(subject)),
    }
}

/// `HOST:PORT`, unless a file of that name exists. A path has a slash, or no port.
fn host(subject: &OsStr) -> Option<AllowedHost> {
    let text = subject.to_str()?;
    if text.contains('/') || Path::new(subject).exists() {
        return None;
    }
    AllowedHost::parse(text).filter(|host| host.port.is_some())
}

fn network(sandbox: &Sandbox, host: &AllowedHost) -> Answer {
    let resolved = sandbox.resolved();
    let own_loopback = sandbox.enforcement().backend == codex_sandbox::Backend::LinuxNative;
    let name = host.host.to_ascii_lowercase();
    let loopback = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let (allowed, rule) = if resolved.network_access {
        (true, "network_access = true: outbound network is open".to_owned())
    } else if loopback && own_loopback {
        (true, "loopback of the sandbox itself: servers that the command starts, never the host's".to_owned())
    } else {
        (false, "network_access = false: the command has no network".to_owned())
    };
    Answer { subject: host.to_string(), kind: "host", allowed, rule, detail: None }
}

fn path(sandbox: &Sandbox, op: Operation, path: &Path) -> Answer {
    let canonical = canonical(&sandbox.resolved().cwd.join(path));
    if sandbox.resolved().mode == Mode::DangerFullAccess {
        let rule = "sandbox_mode = danger-full-access: nothing is enforced".to_owned();
        return Answer {
            subject: canonical.display().to_string(),
            kind: "path",
            allowed: true,
            rule,
            detail: None,
        };
    }
    if harmless_device(&canonical) {
        let rule = "one of the harmless devices, which every command may use".to_owned();
        return Answer {
            subject: canonical.display().to_string(),
            kind: "path",
            allowed: true,
            rule,
            detail: None,
        };
    }
    let verdict = sandbox.rules().decide(&canonical);
    let needed = match op {
        Operation::Read => Access::Read,
        Operation::Write => Access::Write,
    };
    Answer {
        subject: canonical.display().to_string(),
        kind: "path",
        allowed: verdict.access >= needed,
        rule: in_words(&verdict.rule),
        detail: Some(verdict.rule),
    }
}

fn harmless_device(path: &Path) -> bool {
    let name = path.strip_prefix("/dev").ok().and_then(Path::to_str);
    name.is_some_and(|name| codex_sandbox::linux::plan::DEVICES.contains(&name))
}

/// realpath(3) of the longest part that exists, the rest as written.
fn canonical(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut at = path;
    loop {
        if let Ok(real) = std::fs::canonicalize(at) {
            return rest.iter().rev().fold(real, |path, part| apply(path, *part));
        }
        let Some(part) = at.components().next_back() else { return path.to_path_buf() };
        rest.push(part);
        match at.parent() {
            Some(parent) => at = parent,
            None => return path.to_path_buf(),
        }
    }
}

fn apply(mut path: PathBuf, part: Component<'_>) -> PathBuf {
    match part {
        Component::ParentDir => {
            path.pop();
        }
        Component::CurDir => {}
        other => path.push(other),
    }
    path
}

fn in_words(rule: &Rule) -> String {
    match rule {
        Rule::Default => "no rule names it: readable as you may read it, not writable".to_owned(),
        Rule::Root { root } => format!("inside the writable folder {}", root.display()),
        Rule::Private { root } => format!("inside {}, which is private to the sandbox", root.display()),
        Rule::Protected { path, name } => {
            format!("{name} is a protected name: {} stays read-only", path.display())
        }
        Rule::GitDir { path } => {
            format!("{} is a git directory that a .git file or link leads to", path.display())
        }
        Rule::GitData { path } => format!("git's own data in {} (sandbox.git = commit)", path.display()),
        Rule::GitCode { path, why } => format!("in the git directory {}: {why}", path.display()),
        Rule::DenyRead { path } => format!("deny_read names {}", path.display()),
    }
}

fn describe(answers: &[Answer]) -> String {
    let mut text = String::new();
    for answer in answers {
        let verdict = if answer.allowed { "allowed" } else { "denied " };
        let _ = writeln!(
            text,
            "{verdict}  {}\n         {}",
            shown::line(&answer.subject),
            shown::line(&answer.rule)
        );
    }
    text
}
