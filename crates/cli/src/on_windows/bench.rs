//! `bench`: how long grants and runs take on this machine, as a table to attach to a report.
//!
//! Everything happens in a folder of its own in the user's profile, with a state of its own there, and is taken back at the end. Each
//! size is measured in a process of its own, so that its peak of memory is its own.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use codex_sandbox_windows::win32::state_folder;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

mod start;
mod tree;

/// The sizes that are measured unless others are asked for.
const SIZES: [u32; 2] = [1_000, 20_000];

/// `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// How many files the workspace has [1000 and 20000] (repeatable)
    #[arg(long, value_name = "N")]
    pub files: Vec<u32>,
    /// How often a start is measured
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub runs: u32,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Measure one thing in this process, and print it as JSON: a tree of so many files, or (0) starts
    #[arg(long, value_name = "N", hide = true)]
    pub one: Option<u32>,
}

/// All figures.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    windows_build: u32,
    processors: usize,
    trees: Vec<tree::Figures>,
    start: start::Figures,
}

/// A number of times, sorted; milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times.get(part).copied().unwrap_or_default();
        Self { least: at(0), median: at(times.len() / 2), most: at(times.len().saturating_sub(1)) }
    }
}

/// Measures.
pub fn run(args: &BenchArgs) -> Result<ExitCode, Failure> {
    let runs = args.runs.max(1);
    if let Some(files) = args.one {
        let figures = match files {
            0 => serde_json::json!(start::measure(runs)?),
            files => serde_json::json!(tree::measure(files)?),
        };
        writeln!(std::io::stdout(), "{figures}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let sizes = if args.files.is_empty() { SIZES.to_vec() } else { args.files.clone() };
    let trees = sizes.into_iter().filter(|files| *files > 0).map(|files| in_own_process(files, runs));
    let trees = trees.collect::<Result<_, _>>()?;
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        windows_build: start::windows_build()?,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        trees,
        start: in_own_process(0, runs)?,
    };
    let text = if args.json { format!("{:#}\n", serde_json::json!(report)) } else { as_table(&report) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// In the process, the user's folder for local data is one of the benchmark's own, and with it the state.
fn in_own_process<T: serde::de::DeserializeOwned>(files: u32, runs: u32) -> Result<T, Failure> {
    let failed = |why: String| Failure::Argument(format!("bench of {files} files: {why}"));
    let folder = Folder::new(files)?;
    let mut child = std::process::Command::new(std::env::current_exe()?);
    child.args(["bench", "--one", &files.to_string(), "--runs", &runs.to_string()]);
    child.env("LOCALAPPDATA", &folder.0).stderr(std::process::Stdio::inherit());
    let output = child.output()?;
    if !output.status.success() {
        return Err(failed(format!("it ended with {}", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

/// Where everything happens: gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(files: u32) -> Result<Self, Failure> {
        let path = local_data()?.join(format!("codex-sandbox-bench-{}-{files}", std::process::id()));
        std::fs::create_dir_all(path.join("work"))?;
        Ok(Self(path))
    }
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::Argument(format!("bench: {error}"))
}

/// The folder for local data: the user's, or in the process that measures the benchmark's.
fn local_data() -> Result<PathBuf, Failure> {
    let state = state_folder().map_err(|error| failed(&error))?;
    let above = state.parent().ok_or_else(|| failed(&"the profile has no folder for local data"))?;
    Ok(above.to_path_buf())
}

/// What is granted.
fn work() -> Result<PathBuf, Failure> {
    Ok(local_data()?.join("work"))
}

/// Times in milliseconds.
fn since(begun: std::time::Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _kept_and_seen = std::fs::remove_dir_all(&self.0);
    }
}

fn as_table(report: &Report) -> String {
    let mut text = format!(
        "codex-sandbox {}, Windows build {}, {} processors; times in ms\n\n",
        report.version, report.windows_build, report.processors
    );
    text.push_str(
        "| files | objects | first grant | objects/s | writes | peak memory | second run | writes | teardown | SetNamedSecurityInfoW | first grant against it |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for tree in &report.trees {
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.0} | {} | {:.1} MiB | {:.1} ({:.1} to {:.1}) | {} | {:.0} | {:.0} | {:.2} × |",
            tree.files,
            tree.objects,
            tree.first,
            f64::from(tree.objects) / tree.first * 1e3,
            tree.first_writes,
            tree.peak as f64 / f64::from(1 << 20),
            tree.second.median,
            tree.second.least,
            tree.second.most,
            tree.second_writes,
            tree.teardown,
            tree.system,
            tree.first / tree.system,
        );
    }
    let start = &report.start;
    let _ = writeln!(
        text,
        "\n| start of a command that ends at once | median | least | most |\n|---|---|---|---|\n\
         | CreateProcess | {0:.1} | {1:.1} | {2:.1} |\n| in the sandbox, granted | {3:.1} | {4:.1} | {5:.1} |\n\
         | added | {6:.1} | | |",
        start.plain.median,
        start.plain.least,
        start.plain.most,
        start.sandboxed.median,
        start.sandboxed.least,
        start.sandboxed.most,
        start.sandboxed.median - start.plain.median,
    );
    let _ = writeln!(text, "\n| of which | median |\n|---|---|");
    let second = report.trees.iter().flat_map(|tree| &tree.parts);
    for (what, spread) in start.parts.iter().chain(second) {
        let _ = writeln!(text, "| {what} | {:.2} |", spread.median);
    }
    text
}
