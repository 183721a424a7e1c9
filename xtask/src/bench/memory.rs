//! Memory of our processes while a command runs, and the size of the binary.

use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::report::{Table, verdict};
use crate::process::descendants;

const MIB: f64 = 1024.0 * 1024.0;

/// The table.
pub fn measure(bench: &Bench) -> Result<Table> {
    let workspace = bench.place.workspace("memory")?;
    let mut command = bench.place.command(&workspace, &bench.sandbox);
    // The shell opens files for writing, so that the broker has worked before it is measured.
    let script = "for i in 1 2 3 4 5 6 7 8 9; do echo $i > file$i; done; exec sleep 30";
    command.args(["run", "--", "sh", "-c", script]).stdin(Stdio::null());
    let mut launcher = command.spawn().context("cannot start codex-sandbox")?;
    let measured = usage(&launcher);
    end(&mut launcher)?;
    let Measured { processes: usage, together } = measured?;

    let mut table = Table::new("Memory and size", ["what", "size", "target"]);
    let total: f64 = usage.iter().map(|process| process.resident).sum();
    for process in &usage {
        table.row([
            process.name.clone(),
            format!(
                "{:.2} MiB resident, of it {:.2} MiB not shared",
                process.resident / MIB,
                process.own / MIB
            ),
            "—".to_owned(),
        ]);
    }
    table.row(["the sum of both peaks".to_owned(), format!("{:.2} MiB", total / MIB), "—".to_owned()]);
    let together = together as f64 / MIB;
    table.row([
        "resident together, a page that both map counted once".to_owned(),
        format!("{together:.2} MiB"),
        verdict((together * 100.0).round() / 100.0, 6.0, " MiB"),
    ]);
    let size = std::fs::metadata(&bench.sandbox)?.len() as f64 / MIB;
    table.row([
        "release binary, stripped".to_owned(),
        format!("{size:.2} MiB"),
        verdict((size * 100.0).round() / 100.0, 4.0, " MiB"),
    ]);
    table.note(
        "Peak resident memory (`VmHWM`) of every process of ours, the shared pages of the C library and of the binary \
         itself counted in each, then all of it counted once (`pagemap`); not shared: `Private_Clean` + `Private_Dirty` of `smaps_rollup`.",
    );
    Ok(table)
}

/// All processes of ours, and the bytes of memory that they take together.
struct Measured {
    processes: Vec<Usage>,
    together: usize,
}

/// Bytes of the different pages of memory that are present in `pids` (proc_pid_pagemap(5): 8 bytes a page, bit 63 says
/// present, the lowest 55 are the number of the page frame, which only root sees).
fn resident_together(pids: &[u32]) -> Result<usize> {
    const PRESENT: u64 = 1 << 63;
    const FRAME: u64 = (1 << 55) - 1;
    let page = kib("/proc/self/smaps", "KernelPageSize:")? as usize * 1024;
    let mut frames = HashSet::new();
    for pid in pids {
        let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
        for range in maps.lines().filter(|line| !line.contains("[v")).filter_map(range) {
            let mut entries = vec![0_u8; (range.end - range.start) / page * 8];
            let read = pagemap.read_at(&mut entries, (range.start / page * 8) as u64)?;
            let words = entries[..read].chunks_exact(8).filter_map(|word| word.try_into().ok());
            frames.extend(
                words.map(u64::from_ne_bytes).filter(|word| word & PRESENT != 0).map(|word| word & FRAME),
            );
        }
    }
    if frames.contains(&0) {
        bail!("the kernel hides the numbers of page frames: measure as root");
    }
    Ok(frames.len() * page)
}

/// The addresses at the start of a line of /proc/PID/maps.
fn range(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

/// One process of ours; sizes in bytes.
struct Usage {
    name: String,
    resident: f64,
    own: f64,
}

/// The launcher and its descendants down to the command, once the command has come as far as its `sleep`.
fn usage(launcher: &Child) -> Result<Measured> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let chain = descendants(launcher.id());
        let named = |name: &str| chain.iter().any(|&pid| comm(pid) == name);
        if named("sleep") {
            std::thread::sleep(Duration::from_millis(200));
            let ours: Vec<u32> = chain.iter().copied().filter(|&pid| comm(pid) != "sleep").collect();
            let processes = ours.iter().enumerate().map(|(at, &pid)| one(at, pid)).collect::<Result<_>>()?;
            return Ok(Measured { processes, together: resident_together(&ours)? });
        }
        if Instant::now() > deadline {
            bail!("the command did not start within 10 s");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn one(at: usize, pid: u32) -> Result<Usage> {
    let name = match at {
        0 => "launcher".to_owned(),
        1 => "pid 1 of the sandbox, with the broker".to_owned(),
        _ => format!("further process `{}`", comm(pid)),
    };
    let status = format!("/proc/{pid}/status");
    let smaps = format!("/proc/{pid}/smaps_rollup");
    let own = kib(&smaps, "Private_Clean:")? + kib(&smaps, "Private_Dirty:")?;
    Ok(Usage { name, resident: kib(&status, "VmHWM:")? * 1024.0, own: own * 1024.0 })
}

fn kib(path: &str, key: &str) -> Result<f64> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("cannot read {path} (our processes are closed to other users: measure as root)")
    })?;
    let line =
        text.lines().find(|line| line.starts_with(key)).with_context(|| format!("no {key} in {path}"))?;
    let number = line.split_whitespace().nth(1).context("a number")?;
    Ok(number.parse()?)
}

fn comm(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn end(launcher: &mut Child) -> Result<()> {
    // The tree dies with its launcher.
    launcher.kill().context("cannot end the launcher")?;
    launcher.wait().context("cannot wait for the launcher")?;
    Ok(())
}
