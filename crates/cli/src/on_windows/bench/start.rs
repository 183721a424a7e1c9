//! What a granted run adds to the start of a command.

use std::process::Stdio;
use std::time::Instant;

use codex_sandbox::windows::Session;
use codex_sandbox::{Error, Policy, Sandbox};
use codex_sandbox_policy::policy::WindowsTier;
use codex_sandbox_windows::host::Host;
use codex_sandbox_windows::teardown::Scope;
use codex_sandbox_windows::win32::WindowsHost;
use serde::{Deserialize, Serialize};

use super::{Spread, failed, since, work};
use crate::failure::Failure;

/// What was measured, in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    /// `CreateProcess`, until the command has ended.
    pub plain: Spread,
    /// The same command by the library, in a granted folder: facts, plan, token, start, end, and the look for what was born.
    pub sandboxed: Spread,
    /// Parts of it.
    pub parts: Vec<(String, Spread)>,
}

/// The build of this Windows.
pub fn windows_build() -> Result<u32, Failure> {
    Ok(WindowsHost.describe().map_err(|error| failed(&error))?.machine.build)
}

/// Measures so many starts of each kind, in turns.
pub fn measure(runs: u32) -> Result<Figures, Failure> {
    let work = work()?;
    let program = std::env::current_exe()?;
    let policy = || Policy { windows_tier: WindowsTier::Unelevated, ..Policy::default() };
    let (mut plain, mut sandboxed) = (Vec::new(), Vec::new());
    let (mut building, mut starting, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    // The first is the grant.
    for run in 0..=runs {
        let begun = Instant::now();
        let mut command = std::process::Command::new(&program);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.current_dir(&work).status()?;
        let plain_time = since(begun);
        let begun = Instant::now();
        let sandbox = Sandbox::builder(policy()).current_dir(&work).build()?;
        let built = since(begun);
        let mut command = sandbox.command(&program);
        command.arg("--version");
        command.stdin(codex_sandbox::Stdio::Null).stdout(codex_sandbox::Stdio::Null);
        let mut child = command.stderr(codex_sandbox::Stdio::Null).spawn()?;
        let started = since(begun);
        let outcome = child.wait()?;
        let ended = since(begun);
        if outcome.exit.code() != 0 {
            return Err(failed(&format!("the command ended with {}", outcome.exit.code())));
        }
        if run > 0 {
            plain.push(plain_time);
            building.push(built);
            starting.push(started - built);
            waiting.push(ended - started);
            sandboxed.push(ended);
        }
    }
    take_back()?;
    let parts = [
        ("state, facts and plan", building),
        ("what is noted of the run, token, desktop, job, process", starting),
        ("the command itself, and the look for what it made", waiting),
    ];
    let parts = parts.into_iter().map(|(what, times)| (what.to_owned(), Spread::of(times))).collect();
    Ok(Figures { plain: Spread::of(plain), sandboxed: Spread::of(sandboxed), parts })
}

fn take_back() -> Result<(), Failure> {
    let session = Session::open().map_err(Error::from)?;
    let removed = session.teardown(&Scope::All, false, &codex_sandbox::windows::Quiet);
    if !removed.map_err(Error::from)?.is_complete() {
        return Err(failed(&"something of ours is left"));
    }
    Ok(())
}
