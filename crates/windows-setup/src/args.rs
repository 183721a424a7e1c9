//! Arguments: written by `codex-sandbox`, not by people.

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Sets this machine up for sandbox accounts; started by `codex-sandbox setup`.
#[derive(Debug, Parser)]
#[command(name = "codex-windows-sandbox-setup", version, about, max_term_width = 110)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What it does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set up, or repair
    Apply(Apply),
    /// Take everything back
    Teardown(Common),
    /// Give the sandbox accounts what the users may read; started by `apply` in the background
    Worker(Common),
}

/// What all of them need.
#[derive(Debug, Clone, ClapArgs)]
pub struct Common {
    /// windows.account_prefix
    #[arg(long)]
    pub prefix: String,
    /// A word by which whoever waits tells this run from others
    #[arg(long, default_value = "")]
    pub run: String,
}

/// `apply`.
#[derive(Debug, ClapArgs)]
pub struct Apply {
    /// What all of them need.
    #[command(flatten)]
    pub common: Common,
    /// The SID of the user who asks
    #[arg(long, requires = "caller")]
    pub user: Option<String>,
    /// The process that asks; it must run as that user
    #[arg(long)]
    pub caller: Option<u32>,
    /// The SID of the user whom an administrator sets up
    #[arg(long = "for", conflicts_with_all = ["user", "caller"])]
    pub target: Option<String>,
    /// Look at every object again that the accounts may read
    #[arg(long)]
    pub repair: bool,
}
