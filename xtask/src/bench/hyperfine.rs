//! Timing whole commands with hyperfine.

use std::path::Path;

use anyhow::{Context, Result};

use crate::place::Place;
use crate::process;

/// What one command took, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Of the wall-clock time.
    pub median: f64,
    /// Of the wall-clock time.
    pub mean: f64,
    /// Of the wall-clock time.
    pub stddev: f64,
}

/// How often.
#[derive(Debug, Clone, Copy)]
pub struct Effort<'a> {
    /// Runs that are not counted.
    pub warmup: u32,
    /// Runs that are.
    pub runs: u32,
    /// A command before each run, whose time does not count.
    pub prepare: Option<&'a str>,
}

/// Times the commands in one run of hyperfine without a shell, as the ordinary user, in `cwd`. Results in their order.
///
/// # Errors
/// hyperfine is not installed, or a command failed.
pub fn time<const N: usize>(
    place: &Place,
    cwd: &Path,
    effort: Effort<'_>,
    commands: [&str; N],
) -> Result<[Timing; N]> {
    let export = place.path("hyperfine.json");
    let mut command = place.command(cwd, "hyperfine");
    command.args(["-N", "--style", "none", "--export-json"]).arg(&export);
    command.arg("--warmup").arg(effort.warmup.to_string()).arg("--runs").arg(effort.runs.to_string());
    if let Some(prepare) = effort.prepare {
        command.args(["--prepare", prepare]);
    }
    command.args(commands);
    process::output(&mut command)?;
    let text = std::fs::read_to_string(&export).context("cannot read what hyperfine wrote")?;
    let results: serde_json::Value = serde_json::from_str(&text)?;
    let mut timings = Vec::new();
    for at in 0..N {
        let result = &results["results"][at];
        let field = |name: &str| result[name].as_f64().with_context(|| format!("hyperfine gave no {name}"));
        timings.push(Timing { median: field("median")?, mean: field("mean")?, stddev: field("stddev")? });
    }
    Ok(timings.try_into().expect("one for each of the N commands"))
}

/// A path as a word of a hyperfine command line.
pub fn word(path: &Path) -> String {
    format!("'{}'", path.display())
}
