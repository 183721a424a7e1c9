//! `codex-sandbox doctor`: what this machine offers, and what to do about each gap.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use codex_sandbox::linux::facts::{Cgroups, Facts, UserNamespaces};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::attack;
use crate::failure::Failure;

/// One line of the examination.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    /// Good as it is.
    good: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

/// Examines the machine.
pub fn run(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let facts = Facts::gather().with_cgroups().test_user_namespaces();
    let findings = examine(&facts);
    let strength = strength(&facts);
    if !args.json {
        std::io::stdout().write_all(describe(&findings, &strength).as_bytes())?;
    }
    let attempts = args.attack.then(|| attempts(args, &facts)).transpose()?;
    if args.json {
        let mut report = serde_json::json!({ "findings": findings, "result": strength, "facts": facts });
        if let Some(attempts) = &attempts {
            report["attempts"] = serde_json::json!(attempts);
        }
        writeln!(std::io::stdout(), "{report:#}")?;
    }
    // Limits by cgroup are a comfort; everything else is protection.
    let well = findings.iter().all(|finding| finding.good || finding.what == "cgroups");
    let held = attempts.is_none_or(|attempts| attack::held(&attempts));
    Ok(if well && held { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Runs the escape attempts, where anything can be run.
fn attempts(args: &DoctorArgs, facts: &Facts) -> Result<Vec<attack::Row>, Failure> {
    let namespaces = !matches!(facts.user_namespaces, UserNamespaces::Refused(_));
    if !args.json {
        writeln!(std::io::stdout())?;
    }
    let rows = attack::table(!args.json, namespaces)?;
    if !args.json {
        writeln!(std::io::stdout(), "\n{}", attack::summary(&rows))?;
    }
    Ok(rows)
}

fn examine(facts: &Facts) -> Vec<Finding> {
    vec![
        Finding { what: "kernel", good: true, found: facts.kernel.clone(), remedy: None },
        namespaces(facts),
        landlock(facts),
        Finding {
            what: "seccomp",
            good: facts.seccomp_notify,
            found: if facts.seccomp_notify { "filter and user notification" } else { "no user notification" }
                .to_owned(),
            remedy: (!facts.seccomp_notify).then_some("Linux 5.14 or later with CONFIG_SECCOMP_FILTER"),
        },
        Finding {
            what: "nesting",
            good: !facts.nested,
            found: if facts.nested {
                "already inside a sandbox of this kind"
            } else {
                "not inside another sandbox"
            }
            .to_owned(),
            remedy: facts
                .nested
                .then_some("run codex-sandbox outside; the outer sandbox holds everything already"),
        },
        cgroups(facts),
    ]
}

fn namespaces(facts: &Facts) -> Finding {
    let (good, found) = match &facts.user_namespaces {
        UserNamespaces::Available => (true, "allowed (tried)".to_owned()),
        UserNamespaces::Untested => (true, "not tried".to_owned()),
        UserNamespaces::Refused(why) => (false, format!("refused: {why}{}", limits_on_namespaces())),
    };
    let remedy = "sysctl user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1 (Debian), \
                  kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile with `userns,` (Ubuntu)";
    Finding { what: "user namespaces", good, found, remedy: (!good).then_some(remedy) }
}

/// The settings that are known to refuse them, with their values.
fn limits_on_namespaces() -> String {
    let settings = [
        "user/max_user_namespaces",
        "kernel/unprivileged_userns_clone",
        "kernel/apparmor_restrict_unprivileged_userns",
    ];
    let mut text = String::new();
    for setting in settings {
        if let Ok(value) = std::fs::read_to_string(format!("/proc/sys/{setting}")) {
            let _ = write!(text, "; {} = {}", setting.replace('/', "."), value.trim());
        }
    }
    text
}

fn landlock(facts: &Facts) -> Finding {
    let abi = facts.landlock_abi;
    let remedy = match abi {
        0 => Some(
            "a kernel with CONFIG_SECURITY_LANDLOCK, and `landlock` among the modules of lsm= on its command line",
        ),
        1..=5 => {
            Some("Linux 6.12 or later keeps signals and abstract sockets inside by Landlock too (ABI 6)")
        }
        _ => None,
    };
    let found = if abi == 0 { "missing or switched off".to_owned() } else { format!("ABI {abi}") };
    Finding { what: "landlock", good: abi > 0, found, remedy }
}

fn cgroups(facts: &Facts) -> Finding {
    match &facts.cgroups {
        Cgroups::V2 { dir, memory, pids } => Finding {
            what: "cgroups",
            good: true,
            found: format!("v2 at {}: memory {}, pids {}", dir.display(), yes(*memory), yes(*pids)),
            remedy: None,
        },
        Cgroups::None { why } => Finding {
            what: "cgroups",
            good: false,
            found: format!("not delegated ({why}): limits are rlimits"),
            remedy: Some(
                "systemd-run --user --scope -p Delegate=yes …, or a login session with delegated controllers",
            ),
        },
    }
}

fn yes(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn strength(facts: &Facts) -> String {
    if facts.nested || !facts.seccomp_notify {
        return "nothing can be enforced: commands are refused".to_owned();
    }
    match (&facts.user_namespaces, facts.landlock_abi) {
        (UserNamespaces::Refused(_), 0) => "nothing can be enforced: commands are refused".to_owned(),
        (UserNamespaces::Refused(_), _) => "backend landlock, partial enforcement".to_owned(),
        (_, 0) => "backend native, partial enforcement (no second wall)".to_owned(),
        _ => "backend native, full enforcement".to_owned(),
    }
}

fn describe(findings: &[Finding], strength: &str) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = if finding.good { "ok " } else { "-- " };
        let _ = writeln!(text, "{mark} {:<16} {}", finding.what, finding.found);
        if let Some(remedy) = finding.remedy {
            let _ = writeln!(text, "                     remedy: {remedy}");
        }
    }
    let _ = writeln!(text, "\nresult: {strength}");
    text
}
