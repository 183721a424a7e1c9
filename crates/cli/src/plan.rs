//! `codex-sandbox plan`: what would be done, with no effect.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use codex_sandbox::linux::plan::{Backend, Limit, LinuxPlan, Means, Mount};
use codex_sandbox::{Plan, Resolved};
use codex_sandbox_policy::shown;

use crate::args::PlanArgs;
use crate::config;
use crate::failure::Failure;

/// Prints the plan.
pub fn run(args: &PlanArgs) -> Result<ExitCode, Failure> {
    if crate::windows::is_asked(&args.host)? {
        return crate::windows::plan(args);
    }
    if args.prove {
        return Err(Failure::Argument(
            "--prove: only the Windows plan can be proved so far: add --os windows".to_owned(),
        ));
    }
    let intent = config::read(&args.policy)?;
    let sandbox = intent.builder().probe()?;
    intent.check_files(&sandbox)?;
    let text = match (sandbox.plan(), args.json) {
        (Plan::Linux(plan), true) => pretty(&serde_json::json!({ "os": "linux", "plan": plan })),
        (Plan::Unsandboxed, true) => {
            pretty(&serde_json::json!({ "os": "linux", "plan": null, "sandboxed": false }))
        }
        (Plan::Linux(plan), false) => describe(plan),
        (Plan::Unsandboxed, false) => {
            "sandbox_mode is danger-full-access: the command would run without any sandbox\n".to_owned()
        }
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

fn describe(plan: &LinuxPlan) -> String {
    let mut text = String::new();
    let policy = &plan.policy;
    let _ = writeln!(text, "mode        {}", policy.mode.name());
    let _ = writeln!(text, "backend     {}", backend(plan));
    for gap in &plan.gaps {
        let _ = writeln!(text, "  weaker    {}\n  remedy    {}", gap.what, gap.remedy);
    }
    let _ = writeln!(text, "workspace   {}", shown::path(&policy.cwd));
    list(&mut text, "writable", policy.roots.iter().map(|root| root.path.display().to_string()));
    list(
        &mut text,
        "temporary",
        policy.temp.private.iter().map(|path| format!("{} (private)", path.display())),
    );
    list(&mut text, "protected", protected(policy));
    list(&mut text, "not read", policy.deny_read.iter().map(|path| path.display().to_string()));
    let network = match (policy.network_access, plan.backend) {
        (true, _) => "allowed",
        (false, Backend::Native) => "none (loopback inside the sandbox only)",
        (false, Backend::Landlock) => "none",
    };
    let _ = writeln!(text, "network     {network}");
    limits(&mut text, plan);
    list(
        &mut text,
        "namespaces",
        std::iter::once(plan.namespaces.join(", ")).filter(|names| !names.is_empty()),
    );
    list(&mut text, "mounts", plan.mounts.iter().map(mount));
    let _ = writeln!(text, "landlock    ABI {}", plan.landlock_abi);
    let calls = codex_sandbox::linux::seccomp::refused_names();
    let _ = writeln!(
        text,
        "seccomp     {} kinds of system calls refused; names and writes go to the broker",
        calls.len()
    );
    list(
        &mut text,
        "environment",
        plan.environment.iter().map(|(name, value)| format!("{name}={}", value.display())),
    );
    list(&mut text, "notice", plan.notices.iter().cloned());
    text
}

fn backend(plan: &LinuxPlan) -> String {
    use codex_sandbox::linux::plan::Strength;
    let name = match plan.backend {
        Backend::Native => "native (namespaces, mounts, Landlock, seccomp, broker)",
        Backend::Landlock => "landlock (Landlock, seccomp, broker; no namespaces)",
    };
    let strength = match plan.strength {
        Strength::Full => "full enforcement",
        Strength::Partial => "partial enforcement",
    };
    format!("{name}: {strength}")
}

fn protected(policy: &Resolved) -> impl Iterator<Item = String> {
    let names = policy.protected.join(", ");
    let git_dirs: Vec<String> = policy
        .git_dirs
        .iter()
        .map(|dir| format!("{} (where {} points)", dir.path.display(), dir.pointer.display()))
        .collect();
    std::iter::once(format!("{names}, at any depth, any letter case, existing or not"))
        .filter(move |_| !names.is_empty())
        .chain(git_dirs)
}

fn limits(text: &mut String, plan: &LinuxPlan) {
    let mut show = |name: &str, limit: &Option<Limit>, unit: &str| {
        if let Some(limit) = limit {
            let means = match &limit.means {
                Means::Cgroup { dir } => format!("cgroup below {}", dir.display()),
                Means::Rlimit => "setrlimit".to_owned(),
            };
            let _ = writeln!(text, "limit       {name}: {} {unit}, by {means}", limit.value);
        }
    };
    show("memory", &plan.limits.memory, "bytes");
    show("processes", &plan.limits.processes, "processes and threads");
    if let Some(time) = plan.limits.wall_clock {
        let _ = writeln!(text, "limit       wall clock: {} s, the whole tree is killed", time.as_secs_f64());
    }
}

fn mount(mount: &Mount) -> String {
    match mount {
        Mount::Overlay { at, upper, .. } => {
            format!("overlay on {}, writes land in {}", at.display(), upper.display())
        }
        Mount::Replace { at, with } => format!("{} replaced by {}", at.display(), with.display()),
        Mount::ReadOnlyTree => "everything read-only, without setuid and devices".to_owned(),
        Mount::Devices { .. } => "a /dev of its own".to_owned(),
        Mount::Proc => "a /proc of its own, read-only".to_owned(),
        Mount::Writable { path } => format!("{} writable", path.display()),
        Mount::Protect { path } => format!("{} read-only", path.display()),
        Mount::Hide { path, .. } => format!("{} hidden", path.display()),
    }
}

/// `title` once, then each item in a line of its own.
fn list(text: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let mut title = title;
    for item in items {
        let _ = writeln!(text, "{title:<11} {}", shown::line(&item));
        title = "";
    }
}
