//! The command line of `cargo xtask`.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};

use crate::bench::Section;
use crate::test::Part;

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: cargo xtask test  [--only PART]… [--skip PART]… [--fuzz-seconds N]
       cargo xtask bench [--only SECTION]… [--print]
       cargo xtask windows build|check
       cargo xtask lab   [--rebuild] [-- [WINLAB-OPTION]… PROGRAM.exe [ARG]…]

test   runs all that CI runs, installs what it needs (with apt-get as root, and cargo), and ends with
       `N passed, N failed, N skipped`. Parts: fmt, clippy, deny, unit, doc, program, windows, lab, start, fuzz
bench  measures against bare commands and bubblewrap, and writes docs/benchmarks.md when all sections ran
       (--print: only to the terminal). Sections: startup, opens, spawn, scale, steady, memory, counts
windows build  makes the programs for Windows (on Linux: for x86_64-pc-windows-gnu, with mingw) and prints their paths
windows check  type-checks and lints them for x86_64-pc-windows-msvc and aarch64-pc-windows-msvc
lab    builds the lab, a Wine that enforces Windows' access checks (as root on Debian; three minutes, once), and runs its
       own tests, or a program in it; what `winlab` takes is in lab/README.md";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    /// The usage text.
    Help,
    /// All tests, or some.
    Test(TestArgs),
    /// All benchmarks, or some.
    Bench(BenchArgs),
    /// The programs for Windows.
    Windows(WindowsArgs),
    /// The lab.
    Lab(LabArgs),
    /// A measuring loop, which `bench` runs inside and outside the sandbox.
    #[cfg(unix)]
    Probe(Vec<String>),
}

/// `test`.
#[derive(Debug, PartialEq, Eq)]
pub struct TestArgs {
    /// The parts to run, in order.
    pub parts: Vec<Part>,
    /// How long each fuzz target runs, in seconds.
    pub fuzz_seconds: u32,
}

/// `bench`.
#[derive(Debug, PartialEq, Eq)]
pub struct BenchArgs {
    /// The sections to measure, in order.
    pub sections: Vec<Section>,
    /// Leave docs/benchmarks.md as it is.
    pub print: bool,
}

/// `windows`.
#[derive(Debug, PartialEq, Eq)]
pub enum WindowsArgs {
    /// Build the programs.
    Build,
    /// Type-check and lint for the targets that cannot be linked here.
    Check,
}

/// `lab`.
#[derive(Debug, PartialEq, Eq)]
pub struct LabArgs {
    /// Build it although it is there.
    pub rebuild: bool,
    /// What to run in it, after `--`; nothing: its own tests.
    pub command: Vec<String>,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// An unknown command, option, part or section, or a value that is missing.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Task> {
    let args: Vec<String> = args
        .map(|arg| arg.into_string().map_err(|arg| anyhow::anyhow!("{} is not UTF-8", arg.display())))
        .collect::<Result<_>>()?;
    let Some((command, rest)) = args.split_first() else { return Ok(Task::Help) };
    match command.as_str() {
        "-h" | "--help" | "help" => Ok(Task::Help),
        "test" => test_args(rest).map(Task::Test),
        "bench" => bench_args(rest).map(Task::Bench),
        "windows" => windows_args(rest).map(Task::Windows),
        "lab" => lab_args(rest).map(Task::Lab),
        #[cfg(unix)]
        "probe" => Ok(Task::Probe(rest.to_vec())),
        other => bail!("unknown command {other:?}"),
    }
}

fn test_args(args: &[String]) -> Result<TestArgs> {
    let (mut only, mut skip, mut fuzz_seconds) = (Vec::new(), Vec::new(), 15);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--only" => only.push(part(value()?)?),
            "--skip" => skip.push(part(value()?)?),
            "--fuzz-seconds" => {
                fuzz_seconds = value()?.parse().context("--fuzz-seconds takes a whole number")?;
            }
            other => bail!("unknown option {other:?}"),
        }
    }
    let parts = Part::ALL
        .into_iter()
        .filter(|part| if only.is_empty() { Part::DEFAULT.contains(part) } else { only.contains(part) })
        .filter(|part| !skip.contains(part))
        .collect();
    Ok(TestArgs { parts, fuzz_seconds })
}

fn part(name: &str) -> Result<Part> {
    Part::ALL.into_iter().find(|part| part.name() == name).with_context(|| format!("no test part {name:?}"))
}

fn bench_args(args: &[String]) -> Result<BenchArgs> {
    let (mut only, mut print) = (Vec::new(), false);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--only" => only.push(section(args.next().context("--only needs a value")?)?),
            "--print" => print = true,
            other => bail!("unknown option {other:?}"),
        }
    }
    let sections =
        Section::ALL.into_iter().filter(|section| only.is_empty() || only.contains(section)).collect();
    Ok(BenchArgs { sections, print })
}

fn windows_args(args: &[String]) -> Result<WindowsArgs> {
    match args {
        [word] if word == "build" => Ok(WindowsArgs::Build),
        [word] if word == "check" => Ok(WindowsArgs::Check),
        _ => bail!("`windows` takes one word: build or check"),
    }
}

fn lab_args(args: &[String]) -> Result<LabArgs> {
    let (own, command) = match args.iter().position(|arg| arg == "--") {
        Some(at) => (&args[..at], args[at + 1..].to_vec()),
        None => (args, Vec::new()),
    };
    let mut rebuild = false;
    for arg in own {
        match arg.as_str() {
            "--rebuild" => rebuild = true,
            other => bail!("unknown option {other:?}; what runs in the lab comes after --"),
        }
    }
    Ok(LabArgs { rebuild, command })
}

fn section(name: &str) -> Result<Section> {
    Section::ALL
        .into_iter()
        .find(|section| section.name() == name)
        .with_context(|| format!("no benchmark section {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn without_options_the_default_parts_run() {
        let Ok(Task::Test(args)) = parsed("test") else { panic!("not a test task") };
        assert_eq!(args.parts, Part::DEFAULT);
        assert_eq!(args.fuzz_seconds, 15);
    }

    #[test]
    fn only_and_skip_choose_and_keep_the_order() {
        let Ok(Task::Test(args)) = parsed("test --only doc --only fmt --only unit --skip unit") else {
            panic!("not a test task")
        };
        assert_eq!(args.parts, [Part::Fmt, Part::Doc]);
    }

    #[test]
    fn what_runs_in_the_lab_comes_after_two_dashes() {
        let Ok(Task::Lab(args)) = parsed("lab --rebuild -- -l cmd.exe /c --rebuild") else {
            panic!("not the lab")
        };
        assert!(args.rebuild);
        assert_eq!(args.command, ["-l", "cmd.exe", "/c", "--rebuild"]);
    }

    #[test]
    fn a_word_that_is_not_known_is_refused() {
        for line in [
            "tset",
            "test --only units",
            "test --fast",
            "test --only",
            "bench --only all",
            "windows",
            "windows build check",
            "lab cmd.exe",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
