//! The command line of `cargo xtask`.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};

use crate::bench::Section;
use crate::test::Part;

/// What `--help` prints.
pub const USAGE: &str = "\
Usage: cargo xtask test  [--only PART]… [--skip PART]… [--fuzz-seconds N]
       cargo xtask bench [--only SECTION]… [--print]

test   runs all that CI runs, installs what it needs (with apt-get as root, and cargo), and ends with
       `N passed, N failed, N skipped`. Parts: fmt, clippy, unit, doc, program, deny, fuzz, start
bench  measures against bare commands and bubblewrap, and writes docs/benchmarks.md when all sections ran
       (--print: only to the terminal). Sections: startup, opens, spawn, scale, steady, memory, counts";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    /// The usage text.
    Help,
    /// All tests, or some.
    Test(TestArgs),
    /// All benchmarks, or some.
    Bench(BenchArgs),
    /// A measuring loop, which `bench` runs inside and outside the sandbox.
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
    fn a_word_that_is_not_known_is_refused() {
        for line in ["tset", "test --only units", "test --fast", "test --only", "bench --only all"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
