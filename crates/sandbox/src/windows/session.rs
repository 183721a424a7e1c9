//! The machine and the state database, shared by the commands of a sandbox.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use codex_sandbox_policy::Policy;
use codex_sandbox_windows::grants::{self, Frozen, Progress, Quiet};
use codex_sandbox_windows::host::Host;
use codex_sandbox_windows::plan::WindowsPlan;
use codex_sandbox_windows::prepare::{Planned, Prepared, look, prepare_planned};
use codex_sandbox_windows::state::State;
use codex_sandbox_windows::teardown::{Removed, Scope, teardown};
use codex_sandbox_windows::win32::{WindowsHost, state_folder};

use super::elevated::Runners;
use super::error::WindowsError;

/// This machine, and what is remembered of it.
#[derive(Debug)]
pub struct Session {
    host: WindowsHost,
    state: State,
    /// Of the elevated tier.
    pub(crate) runners: Runners,
    /// Commands of this process that run.
    running: AtomicUsize,
}

impl Session {
    /// Opens both.
    ///
    /// # Errors
    /// [`WindowsError`] when the machine cannot be described. A database that cannot be read is set aside.
    pub fn open() -> Result<Self, WindowsError> {
        let state = State::open(&state_folder()?);
        Ok(Self { host: WindowsHost, state, runners: Runners::default(), running: AtomicUsize::new(0) })
    }

    /// What the user should hear about the state database.
    pub fn notices(&self) -> &[String] {
        self.state.notices()
    }

    /// The state database.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What is on the machine, and what a run would do there.
    ///
    /// # Errors
    /// [`WindowsError`].
    pub(crate) fn look(&self, policy: &Policy, cwd: &str) -> Result<Planned, WindowsError> {
        Ok(look(policy, cwd, environment(), &self.host, &self.state)?)
    }

    /// Grants what is missing; then a command can be started. [`Self::ended`] belongs to each success. `planned` is what was
    /// looked at just now, if it was.
    ///
    /// # Errors
    /// [`WindowsError`].
    pub(crate) fn begin(
        &self,
        policy: &Policy,
        cwd: &str,
        planned: Option<Planned>,
        progress: &dyn Progress,
    ) -> Result<Prepared, WindowsError> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let planned = planned.map_or_else(|| look(policy, cwd, environment(), &self.host, &self.state), Ok);
        let prepared =
            planned.and_then(|planned| prepare_planned(policy, planned, &self.host, &self.state, progress));
        prepared.map_err(|error| {
            self.one_less();
            error.into()
        })
    }

    /// What is to be done when a command has ended: what was born protected in the roots is frozen.
    pub(crate) fn ended(&self, plan: &WindowsPlan) -> Vec<String> {
        let reports = match grants::end_of_run(plan, &self.host, &self.state, &Quiet) {
            Ok(frozen) => frozen.iter().map(report).collect(),
            Err(error) => vec![format!(
                "protected names that this run made could not be looked for, and are not frozen: {error}"
            )],
        };
        self.one_less();
        reports
    }

    /// Other runs may undo what the runs of this process need once all have ended.
    fn one_less(&self) {
        if self.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            // A row that stays is passed over once this process is gone.
            let _stays = self.state.end_run(self.host.process());
        }
    }

    /// Takes back what was granted.
    ///
    /// # Errors
    /// [`WindowsError`].
    pub fn teardown(
        &self,
        scope: &Scope,
        dry_run: bool,
        progress: &dyn Progress,
    ) -> Result<Removed, WindowsError> {
        Ok(teardown(&self.host, &self.state, scope, dry_run, progress)?)
    }
}

fn report(frozen: &Frozen) -> String {
    let state = if frozen.is_frozen {
        "is read-only for commands from now on"
    } else {
        "could not be made read-only: look at it before you use git there"
    };
    let mut text = format!("{} was made by this run, and {state}", frozen.path);
    if !frozen.runs_code.is_empty() {
        text.push_str("; in it, these make git run code: ");
        text.push_str(&frozen.runs_code.join(", "));
    }
    text
}

/// As far as it is Unicode: planning reads PATH and a few others.
fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}
