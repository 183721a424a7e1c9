//! Single operations inside the sandbox, against the same loop outside.

use std::path::Path;

use anyhow::{Context, Result};

use super::Bench;
use super::report::{Table, times, verdict};
use crate::process;

/// How many times each loop runs, inside and outside in turns; the fastest counts, since noise only ever adds.
const ROUNDS: u32 = 5;

/// What is shown, the loop of `probe`, how many turns, the target ratio.
const LOOPS: [(&str, &str, u32, Option<f64>); 7] = [
    ("open a file for reading, and close it", "read", 100_000, Some(1.3)),
    ("`stat`", "stat", 100_000, None),
    ("open a file of the workspace for writing, and close it", "write", 5_000, None),
    ("create a file and remove it", "create", 2_000, None),
    ("create a folder and remove it", "mkdir", 2_000, None),
    ("connect to a Unix socket inside, and accept", "unix", 2_000, None),
    ("connect to a TCP server inside, and accept", "tcp", 2_000, None),
];

/// The table.
pub fn measure(bench: &Bench) -> Result<Table> {
    let workspace = bench.place.workspace("opens")?;
    let file = workspace.join("file");
    std::fs::write(&file, "x")?;
    bench.place.hand_over(&workspace)?;
    let mut table =
        Table::new("Single operations", ["operation", "bare", "in the sandbox", "ratio", "target"]);
    for (what, kind, count, target) in LOOPS {
        let (bare, inside) = fastest(bench, &workspace, kind, count, &file)?;
        let ratio = inside / bare;
        table.row([
            what.to_owned(),
            format!("{:.2} µs", bare / 1e3),
            format!("{:.2} µs", inside / 1e3),
            times(ratio),
            target.map_or_else(|| "none".to_owned(), |target| verdict(ratio, target, " ×")),
        ]);
    }
    table.note(format!(
        "The fastest of {ROUNDS} loops, inside and outside in turns. Calls that create names, write or connect are \
         carried out by the broker in the sandbox's own pid 1, which costs two changes of process; reading is native."
    ));
    Ok(table)
}

fn fastest(bench: &Bench, workspace: &Path, kind: &str, count: u32, file: &Path) -> Result<(f64, f64)> {
    let (mut bare, mut inside) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        let count = count.to_string();
        let probe = ["probe", kind, &count];
        let mut command = bench.place.command(workspace, &bench.xtask);
        bare = bare.min(nanoseconds(command.args(probe).arg(file))?);
        let mut command = bench.place.command(workspace, &bench.sandbox);
        command.args(["run", "--"]).arg(&bench.xtask);
        inside = inside.min(nanoseconds(command.args(probe).arg(file))?);
    }
    Ok((bare, inside))
}

fn nanoseconds(command: &mut std::process::Command) -> Result<f64> {
    let text = process::output(command)?;
    text.trim().parse().with_context(|| format!("the loop printed {text:?}"))
}
