//! Arguments as typed. Help texts, completions and the man page come from here and nowhere else.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Exit codes, shown at the end of `run --help`.
const EXIT_CODES: &str = "\
Exit code: the command's own; or 124 time limit, 125 the sandbox failed (nothing ran), 126 found but not executable,
127 not found, 128+n killed by signal n.";

/// Run any command in a sandbox: it reads what you can read, writes only in the current folder, and has no network.
#[derive(Debug, Parser)]
#[command(name = "codex-sandbox", version, about, max_term_width = 110, propagate_version = false)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command in the sandbox
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Show what a run would do, without doing anything
    Plan(PlanArgs),
    /// Say whether a path or a host is allowed, and which rule decides
    #[command(after_help = "Exit code: 0 all allowed, 1 something is denied, 125 the question failed.")]
    Explain(ExplainArgs),
    /// Show what this machine offers, and what to do about each gap
    #[command(
        after_help = "Exit code: 0 all is well, 1 something is weaker than it could be, or an attempt escaped."
    )]
    Doctor(DoctorArgs),
    /// Remove what runs leave on purpose: private temporary folders, on Windows also every grant
    Teardown(TeardownArgs),
    /// Set this machine up for the elevated tier: accounts of the sandbox, and a network block that is enforced
    #[cfg(windows)]
    #[command(after_help = crate::on_windows::setup::EXIT_CODES)]
    Setup(crate::on_windows::setup::SetupArgs),
    /// Take back what runs were granted in one folder
    #[cfg(windows)]
    Revoke(RevokeArgs),
    /// Show what stands on this machine because of runs
    #[cfg(windows)]
    Status(StatusArgs),
    /// Measure grants and starts on this machine, and print a table to attach to a report
    #[cfg(windows)]
    Bench(crate::on_windows::bench::BenchArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
    /// Make one escape attempt; doctor --attack starts this inside the sandbox
    #[cfg(any(target_os = "linux", windows))]
    #[command(hide = true)]
    Attack(AttackArgs),
}

impl Command {
    /// Whether errors are wanted as JSON.
    pub fn json(&self) -> bool {
        match self {
            Self::Run(args) => args.json,
            Self::Plan(args) => args.json,
            Self::Explain(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Teardown(args) => args.json,
            #[cfg(windows)]
            Self::Setup(args) => args.json,
            #[cfg(windows)]
            Self::Revoke(args) => args.json,
            #[cfg(windows)]
            Self::Status(args) => args.json,
            #[cfg(windows)]
            Self::Bench(args) => args.json,
            #[cfg(any(target_os = "linux", windows))]
            Self::Attack(_) => false,
            Self::Completions { .. } | Self::Man => false,
        }
    }
}

/// The policy, as flags. Later wins: built-in defaults, ~/.codex/config.toml, --config, -c, the other flags.
#[derive(Debug, Clone, Args)]
pub struct PolicyArgs {
    /// How much the command may do [read-only, workspace-write (default), danger-full-access]
    #[arg(long, value_name = "MODE", help_heading = "Policy")]
    pub mode: Option<String>,
    /// A further folder that may be written (repeatable)
    #[arg(short, long, value_name = "DIR", help_heading = "Policy")]
    pub writable: Vec<PathBuf>,
    /// Allow outbound network
    #[arg(long, help_heading = "Policy")]
    pub network: bool,
    /// A path that the command cannot even read (repeatable)
    #[arg(long, value_name = "PATH", help_heading = "Policy")]
    pub deny_read: Vec<PathBuf>,
    /// What .git is: read-only as a whole [protect (default)], or open for commits but not for what runs code [commit]
    #[arg(long, value_name = "HOW", help_heading = "Policy")]
    pub git: Option<String>,
    /// Kill the whole tree after this time, such as 30s, 5m, 1h
    #[arg(long, value_name = "TIME", help_heading = "Limits")]
    pub timeout: Option<String>,
    /// Memory limit, such as 512M or 2GiB
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub memory: Option<String>,
    /// Limit of processes and threads
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub processes: Option<String>,
    /// Run as if started in this folder, which is then the workspace
    #[arg(short = 'C', long, value_name = "DIR", help_heading = "Policy")]
    pub cwd: Option<PathBuf>,
    /// A further configuration file
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub config: Option<PathBuf>,
    /// Set one configuration key, such as -c sandbox.git=commit (repeatable)
    #[arg(short = 'c', value_name = "KEY=VALUE", help_heading = "Policy")]
    pub overrides: Vec<String>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The policy.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Set an environment variable (NAME=VALUE), or pass one on in spite of --clear-env (NAME); repeatable
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<OsString>,
    /// Start from an empty environment
    #[arg(long)]
    pub clear_env: bool,
    /// Refuse to run unless so much of the policy is enforced
    #[arg(long, value_name = "HOW MUCH")]
    pub require: Option<Requirement>,
    /// Do not print notices
    #[arg(short, long)]
    pub quiet: bool,
    /// Print how the run ended, or failed, as one line of JSON on standard error
    #[arg(long)]
    pub json: bool,
    /// Give the command a console of its own, whose screen is copied to standard output and whose keys come from standard input
    #[cfg(windows)]
    #[arg(long)]
    pub tty: bool,
    /// Let what the command leaves running go on after its end, in the same sandbox
    #[cfg(windows)]
    #[arg(long)]
    pub detach: bool,
    /// The command and its arguments, after --
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// What `--require` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Requirement {
    /// All of the policy
    Full,
    /// What it says about the network
    Network,
    /// That nothing outside the writable folders is deleted or renamed
    Deletion,
}

impl RunArgs {
    /// What `--require` says.
    pub fn requirement(&self) -> codex_sandbox::Require {
        use codex_sandbox::Require;
        match self.require {
            None => Require::Best,
            Some(Requirement::Full) => Require::Full,
            Some(Requirement::Network) => Require::Network,
            Some(Requirement::Deletion) => Require::Deletion,
        }
    }
}

/// The operating system that a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Os {
    /// This machine's
    Linux,
    /// A Windows host that a file describes
    Windows,
}

/// Which host is asked about.
#[derive(Debug, Clone, Args)]
pub struct HostArgs {
    /// The operating system: of this machine (default), or windows, with --facts
    #[arg(long, value_name = "OS", help_heading = "Host")]
    pub os: Option<Os>,
    /// A description of a Windows host, as in docs/examples
    #[arg(long, value_name = "FILE", help_heading = "Host")]
    pub facts: Option<PathBuf>,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The policy.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// The host.
    #[command(flatten)]
    pub host: HostArgs,
    /// Carry the plan out on the described host, in memory, and compare every access with the policy (--os windows)
    #[arg(long)]
    pub prove: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The policy.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// The host.
    #[command(flatten)]
    pub host: HostArgs,
    /// What about the paths: write (default), read; with --os windows also one operation such as delete or rename
    #[arg(long, value_name = "OP", default_value = "write", hide_default_value = true)]
    pub op: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Paths, and hosts as HOST:PORT
    #[arg(required = true, value_name = "PATH|HOST:PORT")]
    pub subjects: Vec<OsString>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Run the escape attempts inside the sandbox on this machine, and show how each ends
    #[arg(long)]
    pub attack: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `attack`.
#[cfg(any(target_os = "linux", windows))]
#[derive(Debug, Args)]
pub struct AttackArgs {
    /// The attempt
    pub name: String,
    /// The file that tells it where it is
    pub scene: PathBuf,
}

/// `teardown`.
#[derive(Debug, Args)]
pub struct TeardownArgs {
    /// Of this workspace
    #[arg(long, value_name = "DIR", conflicts_with = "all", required_unless_present = "all")]
    pub root: Option<PathBuf>,
    /// Of every workspace
    #[arg(long)]
    pub all: bool,
    /// Only show what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `revoke`.
#[cfg(windows)]
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Only show what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `status`.
#[cfg(windows)]
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints a usage error, or the help or version that was asked for.
pub fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    let _unprintable = error.print();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return ExitCode::SUCCESS;
    }
    if without_dashes() {
        let hint = "hint: the command comes after `--`: codex-sandbox run [OPTIONS] -- CMD [ARGS]…\n";
        let _unprintable = std::io::Write::write_all(&mut std::io::stderr(), hint.as_bytes());
    }
    // A usage error is a failure of ours: nothing ran.
    ExitCode::from(125)
}

/// `codex-sandbox run CMD`, without the `--`.
fn without_dashes() -> bool {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    args.first().is_some_and(|first| first == "run") && !args.iter().any(|arg| arg == "--")
}
