//! `cargo xtask bench`: what the sandbox costs, against bare commands and against bubblewrap with the same policy.

mod hyperfine;
mod machine;
mod memory;
mod opens;
mod report;
mod scale;
mod spawn;
mod startup;
mod steady;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::args::BenchArgs;
use crate::counts::Counts;
use crate::place::Place;
use crate::process::{self, cargo, target, top};
use report::{Report, Table};

/// One section of the benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// One run of `true`.
    Startup,
    /// Opening, creating and connecting inside.
    Opens,
    /// The library's second and later spawn.
    Spawn,
    /// Many protected names, many roots, many files.
    Scale,
    /// Long commands.
    Steady,
    /// Memory of our processes, and the size of the binary.
    Memory,
    /// Instructions and system calls of the start.
    Counts,
}

impl Section {
    /// All, in the order of the report.
    pub const ALL: [Self; 7] =
        [Self::Startup, Self::Opens, Self::Spawn, Self::Scale, Self::Steady, Self::Memory, Self::Counts];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Opens => "opens",
            Self::Spawn => "spawn",
            Self::Scale => "scale",
            Self::Steady => "steady",
            Self::Memory => "memory",
            Self::Counts => "counts",
        }
    }

    fn measure(self, bench: &Bench) -> Result<Table> {
        match self {
            Self::Startup => startup::measure(bench),
            Self::Opens => opens::measure(bench),
            Self::Spawn => spawn::measure(bench),
            Self::Scale => scale::measure(bench),
            Self::Steady => steady::measure(bench),
            Self::Memory => memory::measure(bench),
            Self::Counts => counts(bench),
        }
    }
}

/// The programs that are measured, copied to where an ordinary user may run them.
#[derive(Debug)]
struct Bench {
    place: Place,
    /// `codex-sandbox`.
    sandbox: PathBuf,
    /// This program, for its loops.
    xtask: PathBuf,
    /// The library's example `spawn_loop`.
    spawn_loop: PathBuf,
}

impl Bench {
    fn build() -> Result<Self> {
        let release = ["build", "--release", "--locked", "--package"];
        process::run(cargo().args(release).args(["codex-sandbox-cli", "--package", "xtask"]))?;
        process::run(cargo().args(release).args(["codex-sandbox", "--example", "spawn_loop"]))?;
        let place = Place::new("bench")?;
        let built = |name: &str| place.program(&target().join("release").join(name));
        let (sandbox, xtask) = (built("codex-sandbox")?, built("xtask")?);
        let spawn_loop = built("examples/spawn_loop")?;
        Ok(Self { place, sandbox, xtask, spawn_loop })
    }
}

/// bubblewrap's command line for our default policy: read all, write the workspace, `.git` read-only, all namespaces
/// unshared, no network. The command itself is still to be added.
fn bubblewrap(workspace: &Path) -> Vec<String> {
    let root = workspace.display().to_string();
    let git = workspace.join(".git").display().to_string();
    let fixed = "bwrap --unshare-all --die-with-parent --ro-bind / / --dev /dev --proc /proc --bind";
    let mut line: Vec<String> = fixed.split(' ').map(str::to_owned).collect();
    line.extend([root.clone(), root, "--ro-bind".to_owned(), git.clone(), git]);
    line
}

/// Measures the sections and writes docs/benchmarks.md when it has all of them. Always true: there is no verdict.
///
/// # Errors
/// Something cannot be built, is not installed, or fails while it is measured.
pub fn run(args: &BenchArgs) -> Result<bool> {
    crate::machine::prepare();
    let bench = Bench::build()?;
    let mut report = Report::default();
    let mut about = machine::lines();
    for &section in &args.sections {
        println!("\n== {}", section.name());
        if let Some(busy) = machine::busy() {
            println!("warning: {busy}");
            about.push(format!("section {}: {busy}", section.name()));
        }
        let table = section.measure(&bench).with_context(|| format!("section {}", section.name()))?;
        println!("{table}");
        report.tables.push(table);
    }
    if args.sections == Section::ALL && !args.print {
        let path = top().join("docs/benchmarks.md");
        let text = report.text(&about);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written: {}", path.display());
    }
    Ok(true)
}

/// Counts, and keeps them as the gate of `cargo xtask test`.
fn counts(bench: &Bench) -> Result<Table> {
    let counts = Counts::measure(&bench.place, &bench.sandbox)?;
    counts.record()?;
    let mut table = Table::new("Counts of the start", ["what", "count"]);
    table.note(
        "The same on a busy machine, so `cargo xtask test --only start` compares them with `benches/start.json` and fails above \
         15 % more. valgrind's callgrind counts arguments, configuration, resolution and the machine's facts; it lacks \
         the system calls that enforcement needs, which strace counts instead.",
    );
    table.row(["instructions of `codex-sandbox plan`".to_owned(), report::grouped(counts.plan_instructions)]);
    table.row([
        "system calls of `codex-sandbox run -- true`, all processes".to_owned(),
        report::grouped(counts.run_system_calls),
    ]);
    Ok(table)
}
