//! Whether a run's cost grows with the workspace.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Bench;
use super::hyperfine::{Effort, time, word};
use super::report::{Table, ms};

const EFFORT: Effort<'_> = Effort { rounds: 5, warmup: 5, runs: 30, prepare: None };

/// Files in each folder of a large workspace.
const FILES_A_FOLDER: usize = 100;

/// The table.
pub fn measure(bench: &Bench) -> Result<Table> {
    let mut table = Table::new(
        "Large workspaces",
        ["workspace", "added to a run of `true`", "by the empty one in the same rounds", "difference"],
    );
    let empty = bench.place.workspace("scale-empty")?;
    for (what, dir, flags) in [
        ("1,000 nested repositories", nested(bench, 1_000)?, String::new()),
        ("100 further writable roots", bench.place.workspace("scale-roots")?, roots(bench, 100)?),
        ("20,000 files", files(bench, 20_000)?, String::new()),
        ("200,000 files", files(bench, 200_000)?, String::new()),
    ] {
        let run = |dir: &Path, flags: &str| {
            format!("{} run --quiet -C {}{flags} -- true", word(&bench.sandbox), word(dir))
        };
        let commands = ["true", &run(&empty, ""), &run(&dir, &flags)];
        let [bare, base, own] = time(&bench.place, &empty, EFFORT, commands)?;
        table.row([
            what.to_owned(),
            ms(own.median - bare.median),
            ms(base.median - bare.median),
            ms(own.median - base.median),
        ]);
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    table.note(
        "No run walks the tree: names that are protected are recognised by the broker when something opens or changes \
         them, not looked for beforehand.",
    );
    Ok(table)
}

fn nested(bench: &Bench, count: usize) -> Result<PathBuf> {
    let dir = bench.place.workspace("scale-nested")?;
    for at in 0..count {
        std::fs::create_dir_all(dir.join(format!("group{}/repository{at}/.git", at % 20)))?;
    }
    bench.place.hand_over(&dir)?;
    Ok(dir)
}

fn roots(bench: &Bench, count: usize) -> Result<String> {
    let mut flags = String::new();
    for at in 0..count {
        let root = bench.place.workspace(&format!("scale-root/{at}"))?;
        flags.push_str(&format!(" -w {}", word(&root)));
    }
    Ok(flags)
}

fn files(bench: &Bench, count: usize) -> Result<PathBuf> {
    let dir = bench.place.workspace(&format!("scale-files-{count}"))?;
    for at in 0..count / FILES_A_FOLDER {
        let folder = dir.join(format!("{}/{at}", at % 50));
        std::fs::create_dir_all(&folder)?;
        for file in 0..FILES_A_FOLDER {
            std::fs::File::create(folder.join(format!("file{file}")))?;
        }
    }
    bench.place.hand_over(&dir)?;
    Ok(dir)
}
