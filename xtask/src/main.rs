//! Developer commands: `cargo xtask test`, `bench`, `windows` and `lab`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is this program's work")]

mod args;
mod bench;
mod counts;
mod lab;
mod machine;
mod place;
#[cfg(unix)]
mod probe;
mod process;
mod test;
mod windows;

use std::process::ExitCode;

use args::Task;

fn main() -> ExitCode {
    let task = match args::parse(std::env::args_os().skip(1)) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("error: {error}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    let result = match task {
        Task::Help => {
            println!("{}", args::USAGE);
            Ok(true)
        }
        Task::Test(wanted) => test::run(&wanted),
        Task::Bench(wanted) => bench::run(&wanted),
        Task::Windows(wanted) => windows::run(&wanted),
        Task::Lab(wanted) => lab::run(&wanted),
        #[cfg(unix)]
        Task::Probe(wanted) => probe::run(&wanted).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
