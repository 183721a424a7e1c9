//! Starts `true` again and again, bare and in one [`Sandbox`], in turns, and prints the median times as JSON.
//!
//! `spawn_loop COUNT [OTHER-SANDBOX ARGS…]`: with a further command line, that one is started too.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use codex_sandbox::{Policy, Sandbox};

/// The kinds of start take turns this often, so that a busy time of the machine hits all of them.
const ROUNDS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let count: usize = args.next().ok_or("usage: spawn_loop COUNT [CMD ARGS…]")?.parse()?;
    let other: Vec<String> = args.collect();

    let began = Instant::now();
    let sandbox = Sandbox::new(Policy::default())?;
    run_in(&sandbox)?;
    let first = began.elapsed();

    let (mut bare, mut later, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Not one of each in turns: the kernel takes a namespace apart after its command, in the next one's time.
        for _ in 0..count / ROUNDS {
            bare.push(timed(|| run(&["true"]))?);
        }
        for _ in 0..count / ROUNDS {
            later.push(timed(|| run_in(&sandbox))?);
        }
        for _ in 0..if other.is_empty() { 0 } else { count / ROUNDS } {
            others.push(timed(|| run(&other))?);
        }
    }
    println!(
        r#"{{"first": {}, "bare": {}, "later": {}, "other": {}}}"#,
        first.as_nanos(),
        median(bare),
        median(later),
        median(others)
    );
    Ok(())
}

fn timed(turn: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let began = Instant::now();
    turn()?;
    Ok(began.elapsed())
}

fn run_in(sandbox: &Sandbox) -> Result<(), Box<dyn Error>> {
    let outcome = sandbox.command("true").status()?;
    if outcome.exit.code() != 0 {
        return Err(format!("in the sandbox: {:?}", outcome.exit).into());
    }
    Ok(())
}

fn run<S: AsRef<std::ffi::OsStr>>(line: &[S]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(&line[0]).args(&line[1..]).status()?;
    if !status.success() {
        return Err(format!("{:?}: {status}", line[0].as_ref()).into());
    }
    Ok(())
}

/// In nanoseconds; 0 for none.
fn median(mut times: Vec<Duration>) -> u128 {
    times.sort();
    times.get(times.len() / 2).map_or(0, Duration::as_nanos)
}
