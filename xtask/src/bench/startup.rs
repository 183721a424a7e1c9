//! One run of `true`: bare, in bare namespaces, in bubblewrap, in the sandbox.

use anyhow::Result;

use super::hyperfine::{Effort, time, word};
use super::report::{Table, ms, times, verdict};
use super::{Bench, bubblewrap};

const EFFORT: Effort<'_> = Effort { rounds: 7, warmup: 10, runs: 100, prepare: None };

/// The table.
pub fn measure(bench: &Bench) -> Result<Table> {
    let workspace = bench.place.workspace("startup")?;
    let bwrap = format!("{} true", bubblewrap(&workspace).join(" "));
    let ours = format!("{} run -- true", word(&bench.sandbox));
    let commands = ["true", "unshare -Urmpfiun true", &bwrap, &ours];
    let timings = time(&bench.place, &workspace, EFFORT, commands)?;
    let [bare, _, other, own] = timings;
    let names =
        ["`true`", "`unshare -Urmpfiun true`", "bubblewrap, same policy", "`codex-sandbox run -- true`"];

    let mut table =
        Table::new("One run of `true`", ["command", "median", "mean ± σ", "added", "of bubblewrap's"]);
    for (name, timing) in names.into_iter().zip(timings) {
        let added = timing.median - bare.median;
        let ratio = added / (other.median - bare.median);
        table.row([
            name.to_owned(),
            ms(timing.median),
            format!("{} ± {:.2}", ms(timing.mean), timing.stddev * 1e3),
            ms(added),
            times(ratio),
        ]);
    }
    let ratio = (own.median - bare.median) / (other.median - bare.median);
    table.note(format!(
        "Target: time added, as a multiple of what bubblewrap adds, {}. bubblewrap has no Landlock rules and no system \
         call filter here; codex-sandbox installs both.",
        verdict(ratio, 0.6, " ×")
    ));
    table.note(format!(
        "bubblewrap's command line: `{bwrap}`. All started by `hyperfine -N` with {} runs.",
        EFFORT.rounds * EFFORT.runs
    ));
    Ok(table)
}
