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

impl Timing {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / count;
        Self { median: times[times.len() / 2], mean, stddev: variance.sqrt() }
    }
}

/// How often.
#[derive(Debug, Clone, Copy)]
pub struct Effort<'a> {
    /// Rounds in which the commands take turns: a busy time of the machine then hits all of them.
    pub rounds: u32,
    /// Runs in each round that are not counted.
    pub warmup: u32,
    /// Runs in each round that are.
    pub runs: u32,
    /// A command before each run, whose time does not count.
    pub prepare: Option<&'a str>,
}

/// Times the commands with hyperfine without a shell, as the ordinary user, in `cwd`. Results in their order.
///
/// # Errors
/// hyperfine is not installed, or a command failed.
pub fn time<const N: usize>(
    place: &Place,
    cwd: &Path,
    effort: Effort<'_>,
    commands: [&str; N],
) -> Result<[Timing; N]> {
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..effort.rounds {
        for (all, new) in times.iter_mut().zip(round(place, cwd, effort, &commands)?) {
            all.extend(new);
        }
    }
    Ok(times.map(Timing::of))
}

/// One round: the seconds of each run of each command.
fn round(place: &Place, cwd: &Path, effort: Effort<'_>, commands: &[&str]) -> Result<Vec<Vec<f64>>> {
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
    let times = |at: usize| -> Option<Vec<f64>> {
        let times: Vec<f64> = results["results"][at]["times"]
            .as_array()?
            .iter()
            .filter_map(serde_json::Value::as_f64)
            .collect();
        (!times.is_empty()).then_some(times)
    };
    (0..commands.len()).map(|at| times(at).context("hyperfine gave no times")).collect()
}

/// A path as a word of a hyperfine command line.
pub fn word(path: &Path) -> String {
    format!("'{}'", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outlier_moves_the_mean_and_not_the_median() {
        let timing = Timing::of(vec![3.0, 1.0, 2.0, 2.0, 12.0]);
        assert_eq!((timing.median, timing.mean), (2.0, 4.0));
        assert!((timing.stddev - 4.05).abs() < 0.01, "{timing:?}");
    }
}
