//! Memory of our processes while a command runs, and the size of the binary.

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
    let usage = usage(&launcher);
    end(&mut launcher)?;
    let usage = usage?;

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
    table.row([
        "together, resident".to_owned(),
        format!("{:.2} MiB", total / MIB),
        verdict((total / MIB * 100.0).round() / 100.0, 6.0, " MiB"),
    ]);
    let size = std::fs::metadata(&bench.sandbox)?.len() as f64 / MIB;
    table.row([
        "release binary, stripped".to_owned(),
        format!("{size:.2} MiB"),
        verdict((size * 100.0).round() / 100.0, 4.0, " MiB"),
    ]);
    table.note(
        "Peak resident memory (`VmHWM`) of every process of ours, the shared pages of the C library and of the binary \
         itself counted in each; not shared: `Private_Clean` + `Private_Dirty` of `smaps_rollup`.",
    );
    Ok(table)
}

/// One process of ours; sizes in bytes.
struct Usage {
    name: String,
    resident: f64,
    own: f64,
}

/// The launcher and its descendants down to the command, once the command has come as far as its `sleep`.
fn usage(launcher: &Child) -> Result<Vec<Usage>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let chain = descendants(launcher.id());
        let named = |name: &str| chain.iter().any(|&pid| comm(pid) == name);
        if named("sleep") {
            std::thread::sleep(Duration::from_millis(200));
            let ours = chain.iter().filter(|&&pid| comm(pid) != "sleep").enumerate();
            return ours.map(|(at, &pid)| one(at, pid)).collect();
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
