//! What the figures were taken on.

use std::process::Command;

use crate::process::{cargo, output, top};

/// One fact a line.
pub fn lines() -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let said = |command: &mut Command| {
        output(command).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
    };
    vec![
        format!("date: {}", said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))),
        format!(
            "commit: {}",
            said(Command::new("git").current_dir(top()).args(["describe", "--always", "--dirty"]))
        ),
        format!("processor: {}, {cores} cores, virtual machine", value("/proc/cpuinfo", "model name")),
        format!("memory: {}", value("/proc/meminfo", "MemTotal")),
        format!("kernel: {}", said(Command::new("uname").arg("-sr"))),
        format!("system: {}", value("/etc/os-release", "PRETTY_NAME")),
        format!(
            "{}; {}",
            said(Command::new("bwrap").arg("--version")),
            said(Command::new("hyperfine").arg("--version"))
        ),
        format!("{}; profile release", said(cargo().arg("--version"))),
    ]
}

/// What keeps the machine from being idle before a section: more than one process of others that wants to run. The
/// bench itself and what it has just built make up the rest.
pub fn busy() -> Option<String> {
    let load = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = load.split(' ').next()?.parse().ok()?;
    (load > 2.0).then(|| format!("other work was going on (load {load:.1}), which distorts its times"))
}

/// The first value of a key in a file of `key: value` or `key=value` lines.
fn value(path: &str, key: &str) -> String {
    std::fs::read_to_string(path)
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            let (_, value) = line.split_once([':', '='])?;
            Some(value.trim().trim_matches('"').to_owned())
        })
        .unwrap_or_else(|| "unknown".to_owned())
}
