//! `codex-sandbox`: parse, run, exit code.
#![forbid(unsafe_code)]

mod args;
mod attack;
mod config;
mod doctor;
mod explain;
mod failure;
mod manual;
mod plan;
mod run;
mod teardown;
mod windows;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::usage(&error),
    };
    let json = cli.command.json();
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Teardown(args) => teardown::run(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
        Command::Attack(args) => attack::inside(&args),
    };
    result.unwrap_or_else(|failure| failure.report(json))
}
