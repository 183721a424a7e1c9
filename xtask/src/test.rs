//! `cargo xtask test`: all that must hold before a change lands, and the sum of it.

mod fuzz;
mod lab;
mod parts;
mod start;
mod tally;
mod windows;

use std::time::Instant;

use anyhow::Result;

use crate::args::TestArgs;
use crate::machine;
use tally::Tally;

/// One part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The source is formatted.
    Fmt,
    /// No warning in any target.
    Clippy,
    /// Unit and property tests of every crate.
    Unit,
    /// The examples in the documentation.
    Doc,
    /// Whole-program tests: the real binary, real files, real denials.
    Program,
    /// The programs for Windows: built, checked, and what their files say of themselves.
    Windows,
    /// What runs in the lab: its own tests, and the programs for Windows.
    Lab,
    /// Dependencies: bans, licenses, sources.
    Deny,
    /// Each fuzz target for a short time.
    Fuzz,
    /// The program's start costs no more instructions and system calls than recorded.
    Start,
}

impl Part {
    /// All, in the order in which they run: what fails soonest comes first.
    /// (The counts of the start are compared by name, `--only start`.)
    pub const DEFAULT: [Self; 9] = [
        Self::Fmt,
        Self::Clippy,
        Self::Deny,
        Self::Unit,
        Self::Doc,
        Self::Program,
        Self::Windows,
        Self::Lab,
        Self::Fuzz,
    ];

    /// Every part that can be named.
    pub const ALL: [Self; 10] = [
        Self::Fmt,
        Self::Clippy,
        Self::Deny,
        Self::Unit,
        Self::Doc,
        Self::Program,
        Self::Windows,
        Self::Lab,
        Self::Start,
        Self::Fuzz,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Unit => "unit",
            Self::Doc => "doc",
            Self::Program => "program",
            Self::Windows => "windows",
            Self::Lab => "lab",
            Self::Deny => "deny",
            Self::Fuzz => "fuzz",
            Self::Start => "start",
        }
    }

    fn run(self, args: &TestArgs, tally: &mut Tally) -> Result<()> {
        match self {
            Self::Fmt => parts::fmt(tally),
            Self::Clippy => parts::clippy(tally),
            Self::Unit => parts::unit(tally),
            Self::Doc => parts::doc(tally),
            Self::Program => parts::program(tally),
            Self::Windows => windows::run(tally),
            Self::Lab => lab::run(tally),
            Self::Deny => parts::deny(tally),
            Self::Fuzz => fuzz::run(args.fuzz_seconds, args.parts == [Self::Fuzz], tally),
            Self::Start => start::run(tally),
        }
    }
}

/// Runs the parts and prints the sum. Whether nothing failed.
///
/// # Errors
/// None so far: a part that cannot run counts as failed.
pub fn run(args: &TestArgs) -> Result<bool> {
    let began = Instant::now();
    if args.parts.iter().any(|part| !matches!(part, Part::Fmt | Part::Clippy | Part::Deny)) {
        machine::prepare();
    }
    let mut tally = Tally::default();
    for part in &args.parts {
        println!("\n== {} (at {} s)", part.name(), began.elapsed().as_secs());
        if let Err(error) = part.run(args, &mut tally) {
            tally.fail(format!("{}: {error:#}", part.name()));
        }
    }
    println!("\n== sum after {} s", began.elapsed().as_secs());
    print!("{tally}");
    Ok(tally.is_green())
}
