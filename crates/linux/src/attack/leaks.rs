//! What the sandbox' own processes tell.

use std::os::unix::process::parent_id;

use super::attempt::{Attempt, Group};
use super::scene::Scene;
use super::verdict::{Step, Stop, Tried};

const fn leak(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_inside(Group::Leaks, name, what, run)
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    leak("environment-of-pid-1", "read the environment that pid 1 started with", |s| {
        read(&format!("/proc/{}/environ", s.init))
    }),
    leak("arguments-of-pid-1", "read the arguments that pid 1 started with", |s| {
        read(&format!("/proc/{}/cmdline", s.init))
    }),
    leak("environment-of-the-parent", "read the parent's environment", |_| {
        read(&format!("/proc/{}/environ", parent_id()))
    }),
    leak("arguments-of-anybody", "find a process with arguments other than this attempt's own", |_| {
        let own = std::process::id().to_string();
        let processes = std::fs::read_dir("/proc").ready("/proc")?.flatten();
        let others = processes
            .filter(|entry| entry.file_name().to_str().is_some_and(|name| is_number(name) && name != own));
        let mut told = others.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        match told.find(|arguments| has_content(arguments)) {
            Some(arguments) => Ok(String::from_utf8_lossy(&arguments).replace('\0', " ")),
            None => Err(Stop::denied("nobody tells any")),
        }
    })
    .open_without_namespaces(),
];

fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Overwritten text is zeros or empty.
fn has_content(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte != 0)
}

fn read(path: &str) -> Tried {
    let content = std::fs::read(path).attack(path)?;
    if has_content(&content) {
        Ok(format!("{path} has {} bytes", content.len()))
    } else {
        Err(Stop::denied("it is empty"))
    }
}
