//! The thinnest launcher there is: `bare CMD ARGS…` in the working directory, default policy. For measuring the backend
//! without the command line program.

use std::path::PathBuf;

use codex_sandbox_linux::facts::{Facts, UserNamespaces, View};
use codex_sandbox_linux::paths::HostPaths;
use codex_sandbox_linux::run::{CommandSpec, Exit, spawn};
use codex_sandbox_policy::Policy;
use codex_sandbox_policy::resolve::{Place, resolve};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let cwd = std::env::current_dir()?;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let state = home.clone().unwrap_or_else(|| "/var/tmp".into()).join(".cache/codex-sandbox");
    let place = Place { cwd: cwd.clone(), home, tmpdir: None, state };
    let policy = resolve(&Policy::default(), &place, &HostPaths)?;
    let mut facts = Facts::gather();
    if std::env::var_os("BARE_LANDLOCK").is_some() {
        facts.user_namespaces = UserNamespaces::Refused("asked for".into());
    }
    let plan = codex_sandbox_linux::plan::plan(&policy, &facts, &View::gather(&policy))?;
    let program = args.next().ok_or("no command")?;
    let spec = CommandSpec {
        program,
        args: args.collect(),
        env: std::env::vars_os().collect(),
        cwd,
        stdio: Default::default(),
    };
    let ended = spawn(&plan, spec)?.wait_forwarding_signals()?;
    for report in ended.reports {
        eprintln!("bare: {report}");
    }
    std::process::exit(match ended.exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => 128 + signal,
        Exit::TimedOut => 124,
    })
}
