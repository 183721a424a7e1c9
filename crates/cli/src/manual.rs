//! Completions and the man page, from the same definitions as `--help`.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::Cli;
use crate::failure::Failure;

/// Prints a completion script.
pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "codex-sandbox", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the man page, the commands' own options included.
pub fn man() -> Result<ExitCode, Failure> {
    let mut page = Vec::new();
    let mut cli = Cli::command();
    cli.build();
    clap_mangen::Man::new(cli.clone()).render(&mut page)?;
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        let page_of_command = clap_mangen::Man::new(command.clone());
        writeln!(page, ".SH \"{}\"", command.get_name().to_uppercase())?;
        page_of_command.render_description_section(&mut page)?;
        page_of_command.render_options_section(&mut page)?;
    }
    std::io::stdout().write_all(&page)?;
    Ok(ExitCode::SUCCESS)
}
