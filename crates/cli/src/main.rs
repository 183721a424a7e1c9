//! `codex-sandbox`: parse, run, exit code.
#![forbid(unsafe_code)]

mod args;
#[cfg(target_os = "linux")]
mod attack;
mod config;
#[cfg(target_os = "linux")]
mod doctor;
#[cfg(target_os = "linux")]
mod explain;
mod failure;
mod manual;
#[cfg(windows)]
mod on_windows;
#[cfg(target_os = "linux")]
mod plan;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod teardown;
mod windows;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::usage(&error),
    };
    let json = cli.command.json();
    carry_out(cli.command).unwrap_or_else(|failure| failure.report(json))
}

#[cfg(target_os = "linux")]
fn carry_out(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Teardown(args) => teardown::run(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
        Command::Attack(args) => attack::inside(&args),
    }
}

#[cfg(windows)]
fn carry_out(command: Command) -> Result<ExitCode, Failure> {
    use on_windows::{attack, bench, doctor, run, setup, teardown};
    match command {
        Command::Run(args) => run::run(&args),
        Command::Plan(args) => windows::plan(&args),
        Command::Explain(args) => windows::explain(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Setup(args) => setup::run(&args),
        Command::Teardown(args) => teardown::run(&args),
        Command::Revoke(args) => teardown::revoke(&args),
        Command::Status(args) => teardown::status(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Attack(args) => attack::inside(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
    }
}

/// On a system without a backend nothing runs.
#[cfg(not(any(target_os = "linux", windows)))]
fn carry_out(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Plan(args) if windows::is_asked(&args.host)? => windows::plan(&args),
        Command::Explain(args) if windows::is_asked(&args.host)? => windows::explain(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
        _ => Err(codex_sandbox::Error::NothingToEnforceWith {
            why: "this operating system has no backend yet: nothing is run without a sandbox".to_owned(),
        }
        .into()),
    }
}
