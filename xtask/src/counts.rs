//! What starting costs in counts rather than seconds: they are the same on a busy machine, so they can gate a change.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::place::Place;
use crate::process::{self, find, top};

/// The counts of one build of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Instructions of `codex-sandbox plan` under valgrind: arguments, configuration, resolution against the file system,
    /// the machine's facts. It may end there with an error, and a run cannot be counted so at all, since valgrind does
    /// not know the system calls that the enforcement consists of.
    pub plan_instructions: u64,
    /// System calls of `codex-sandbox run -- true`, launcher, pid 1 and command together.
    pub run_system_calls: u64,
}

impl Counts {
    /// Counts with valgrind and strace.
    ///
    /// # Errors
    /// One of them is missing, or failed.
    pub fn measure(place: &Place, program: &Path) -> Result<Self> {
        let workspace = place.workspace("counts")?;
        Ok(Self {
            plan_instructions: instructions(place, &workspace, program)?,
            run_system_calls: system_calls(place, &workspace, program)?,
        })
    }

    /// The counts that are kept in the repository.
    ///
    /// # Errors
    /// The file cannot be read, or is not what [`Self::record`] writes.
    pub fn recorded() -> Result<Self> {
        let path = file();
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let value: serde_json::Value = serde_json::from_str(&text)?;
        let number = |key: &str| value[key].as_u64().with_context(|| format!("{}: no {key}", path.display()));
        Ok(Self {
            plan_instructions: number("plan_instructions")?,
            run_system_calls: number("run_system_calls")?,
        })
    }

    /// Keeps the counts in the repository.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record(self) -> Result<()> {
        let value = serde_json::json!({
            "plan_instructions": self.plan_instructions,
            "run_system_calls": self.run_system_calls,
        });
        let path = file();
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        std::fs::write(&path, format!("{value:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

fn file() -> PathBuf {
    top().join("benches/start.json")
}

fn instructions(place: &Place, workspace: &Path, program: &Path) -> Result<u64> {
    let valgrind = find("valgrind").context("valgrind is not installed")?;
    let mut command = place.command(workspace, valgrind);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program).arg("plan");
    let output = command.output().context("cannot start valgrind")?;
    let report = String::from_utf8_lossy(&output.stderr);
    // 125: the plan says that this "kernel" cannot enforce anything.
    if !matches!(output.status.code(), Some(0 | 125)) {
        bail!("valgrind: {}: {}", output.status, report.trim());
    }
    collected(&report).with_context(|| format!("valgrind printed no count: {report}"))
}

/// The number in callgrind's line `==PID== Collected : N`.
fn collected(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.contains("Collected"))?;
    line.split_whitespace().last()?.parse().ok()
}

fn system_calls(place: &Place, workspace: &Path, program: &Path) -> Result<u64> {
    let strace = find("strace").context("strace is not installed")?;
    let trace = place.path("trace");
    let mut command = place.command(workspace, strace);
    command.arg("-f").arg("-o").arg(&trace).arg(program).args(["run", "--", "true"]);
    process::output(&mut command)?;
    let trace = std::fs::read_to_string(&trace).context("cannot read what strace wrote")?;
    Ok(trace.lines().filter(|line| is_call(line)).count() as u64)
}

/// Whether a line of strace's is a call, not the end of one that was shown before, a signal or an exit.
fn is_call(line: &str) -> bool {
    let call = line.split_once(' ').map_or("", |(_pid, call)| call.trim_start());
    call.starts_with(|first: char| first.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrind_s_count_is_read() {
        assert_eq!(collected("==1== Events    : Ir\n==1== Collected : 599062\n"), Some(599_062));
        assert_eq!(collected("==1== killed\n"), None);
    }

    #[test]
    fn only_calls_count() {
        assert!(is_call("2665  openat(AT_FDCWD, \"/\", O_RDONLY) = 3"));
        assert!(is_call("2665  wait4(-1,  <unfinished ...>"));
        for line in
            ["2665  <... wait4 resumed>) = 3", "2665  +++ exited with 0 +++", "2665  --- SIGCHLD {} ---"]
        {
            assert!(!is_call(line), "{line}");
        }
    }
}
