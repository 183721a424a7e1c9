//! The library: the second and later spawn of one `Sandbox`.

use anyhow::{Context, Result};

use super::report::{Table, ms, times, verdict};
use super::{Bench, bubblewrap};
use crate::process;

const STARTS: &str = "500";

/// The table.
pub fn measure(bench: &Bench) -> Result<Table> {
    let workspace = bench.place.workspace("spawn")?;
    let mut command = bench.place.command(&workspace, &bench.spawn_loop);
    command.arg(STARTS).args(bubblewrap(&workspace)).arg("true");
    let printed: serde_json::Value = serde_json::from_str(&process::output(&mut command)?)?;
    let seconds = |key: &str| {
        printed[key].as_f64().map(|ns| ns / 1e9).with_context(|| format!("spawn_loop printed no {key}"))
    };
    let (bare, other) = (seconds("bare")?, seconds("other")?);
    let (first, later) = (seconds("first")?, seconds("later")?);

    let mut table = Table::new(
        "The library: many commands in one `Sandbox`",
        ["what", "time", "added", "of bubblewrap's"],
    );
    let rows = [
        ("`std::process::Command`", bare),
        ("the same with bubblewrap", other),
        ("`Sandbox::new` and the first command", first),
        ("each later command", later),
    ];
    for (what, time) in rows {
        let added = time - bare;
        table.row([what.to_owned(), ms(time), ms(added), times(added / (other - bare))]);
    }
    table.note(format!(
        "Target for later commands, as a multiple of what bubblewrap adds: {}. Medians of {STARTS} starts, in ten \
         rounds (`crates/sandbox/examples/spawn_loop.rs`); the first is a single one.",
        verdict((later - bare) / (other - bare), 0.4, " ×")
    ));
    Ok(table)
}
