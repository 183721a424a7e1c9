//! Long commands that work on many files.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;

use super::Bench;
use super::hyperfine::{Effort, time, word};
use super::report::{Table, ms, verdict};
use crate::process;

const GIT: Effort<'_> = Effort { rounds: 5, warmup: 1, runs: 3, prepare: None };
const MAKE: Effort<'_> = Effort { rounds: 5, warmup: 0, runs: 1, prepare: Some("make -s clean") };

/// Files in git's tree, and units of the C program.
const GIT_FILES: usize = 50_000;
const C_FILES: usize = 60;
/// So many in one sandbox that its start, which has a table of its own, weighs little.
const GIT_TIMES: usize = 10;

/// The table.
pub fn measure(bench: &Bench) -> Result<Table> {
    let mut table = Table::new("Long commands", ["command", "bare", "in the sandbox", "ratio", "target"]);
    let tree = git_tree(bench)?;
    let program = c_program(bench)?;
    for (what, dir, effort, line) in [
        (format!("`git status`, {GIT_FILES} files, {GIT_TIMES} times"), tree, GIT, git_line()),
        (format!("`make -j2`, {C_FILES} C files"), program, MAKE, "make -s -j2".to_owned()),
    ] {
        let ours = format!("{} run -- {line}", word(&bench.sandbox));
        let [bare, own] = time(&bench.place, &dir, effort, [&line, &ours])?;
        let ratio = own.median / bare.median;
        table.row([
            what,
            ms(bare.median),
            ms(own.median),
            format!("{ratio:.3} ×"),
            verdict(ratio, 1.02, " ×"),
        ]);
    }
    table.note("The start of the sandbox, once for each row, is part of its time.");
    Ok(table)
}

fn git_line() -> String {
    let times: Vec<String> = (0..GIT_TIMES).map(|at| at.to_string()).collect();
    format!("sh -c 'for i in {}; do git status --porcelain; done'", times.join(" "))
}

fn git_tree(bench: &Bench) -> Result<PathBuf> {
    let dir = bench.place.path("steady-git");
    for at in 0..GIT_FILES / 50 {
        let folder = dir.join(format!("{}/{at}", at % 40));
        std::fs::create_dir_all(&folder)?;
        for file in 0..50 {
            std::fs::write(folder.join(format!("file{file}.txt")), format!("{at} {file}\n"))?;
        }
    }
    bench.place.hand_over(&dir)?;
    let author = ["-c", "user.name=Bench", "-c", "user.email=bench@example.invalid", "-c", "gc.auto=0"];
    for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "tree"], &["status"]] {
        process::output(bench.place.command(&dir, "git").args(author).args(args))?;
    }
    Ok(dir)
}

fn c_program(bench: &Bench) -> Result<PathBuf> {
    let dir = bench.place.workspace("steady-make")?;
    for at in 0..C_FILES {
        let mut source = String::from("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n");
        for function in 0..30 {
            let _infallible = writeln!(
                source,
                "int f{at}_{function}(int n, char *s) {{ int t = 0; for (int i = 0; i < n; i++) \
                 t += s[i % {}] * (i ^ {function}); if (t > 9) printf(\"%d %zu\\n\", t, strlen(s)); return t; }}",
                function + 3
            );
        }
        std::fs::write(dir.join(format!("unit{at}.c")), source)?;
    }
    std::fs::write(
        dir.join("Makefile"),
        "OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))\nall: $(OBJECTS)\n%.o: %.c\n\tcc -O1 -c -o $@ $<\n\
         clean:\n\trm -f *.o\n",
    )?;
    bench.place.hand_over(&dir)?;
    Ok(dir)
}
