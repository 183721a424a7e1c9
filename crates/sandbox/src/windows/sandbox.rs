//! A policy, planned for this machine: what commands are started from.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use codex_sandbox_policy::{Mode, Policy};
use codex_sandbox_windows::grants::{Progress, Quiet};
use codex_sandbox_windows::plan::{Facts, WindowsPlan};
use codex_sandbox_windows::prepare::{Planned, Seen};

use super::command::Command;
use super::session::Session;
use crate::enforcement::{Enforcement, Require};
use crate::error::Error;

/// How long a first command may take what was found when the sandbox was built for what is there.
const FRESH: Duration = Duration::from_secs(1);

/// What would be done: plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// On Windows.
    Windows(Box<WindowsPlan>),
    /// Nothing: the policy says `danger-full-access`.
    Unsandboxed,
}

/// A policy that is ready to run commands. Cheap to use from several threads.
pub struct Sandbox {
    pub(crate) policy: Policy,
    pub(crate) cwd: String,
    pub(crate) session: Arc<Session>,
    pub(crate) progress: Arc<dyn Progress + Send>,
    plan: Plan,
    facts: Option<Box<Facts>>,
    /// When that was looked at; taken by the first command.
    looked: Mutex<Option<(Instant, Seen)>>,
    require: Require,
    notices: Vec<String>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("cwd", &self.cwd).field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Settings of a [`Sandbox`] beside its policy.
pub struct Builder {
    policy: Policy,
    cwd: Option<PathBuf>,
    require: Require,
    progress: Arc<dyn Progress + Send>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("cwd", &self.cwd)
            .field("require", &self.require)
            .finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A sandbox whose workspace is the current directory.
    ///
    /// # Errors
    /// [`Error`] when the policy does not fit this machine, or nothing here can enforce it.
    pub fn new(policy: Policy) -> Result<Self, Error> {
        Self::builder(policy).build()
    }

    /// A sandbox with more settings.
    pub fn builder(policy: Policy) -> Builder {
        Builder { policy, cwd: None, require: Require::default(), progress: Arc::new(Quiet) }
    }

    /// A command to run in this sandbox, in the workspace unless it says otherwise.
    pub fn command(&self, program: impl Into<std::ffi::OsString>) -> Command<'_> {
        Command::new(self, program.into())
    }

    /// What a run does.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is on the machine; `None` where the policy asks for no sandbox.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }

    /// What the user should hear before a run, one line each.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// What a run will enforce.
    pub fn enforcement(&self) -> Enforcement {
        match &self.plan {
            Plan::Windows(plan) => plan.as_ref().into(),
            Plan::Unsandboxed => Enforcement::nothing(),
        }
    }

    /// What was found when the sandbox was built, for the one command that starts at once.
    pub(crate) fn take_fresh(&self) -> Option<Planned> {
        let (looked, seen) = self.looked.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        match (&self.plan, &self.facts) {
            (Plan::Windows(plan), Some(facts)) if looked.elapsed() < FRESH => {
                let (facts, plan) = (facts.as_ref().clone(), plan.as_ref().clone());
                Some(Planned { facts, plan, seen })
            }
            _ => None,
        }
    }

    pub(crate) fn check_strength(&self, enforcement: &Enforcement) -> Result<(), Error> {
        enforcement.meets(self.require)
    }
}

impl Builder {
    /// The workspace. Default: the current directory.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// How much must be enforced. Default: [`Require::Best`].
    #[must_use]
    pub fn require(mut self, require: Require) -> Self {
        self.require = require;
        self
    }

    /// Who hears how far the first grant of a large folder is. Default: nobody.
    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn Progress + Send>) -> Self {
        self.progress = progress;
        self
    }

    /// Gathers the facts and makes the plan. Nothing but the state database is changed on the machine.
    ///
    /// # Errors
    /// [`Error`] when the policy does not fit this machine, or nothing here can enforce it.
    pub fn build(self) -> Result<Sandbox, Error> {
        let cwd = workspace(self.cwd.as_deref())?;
        let session = Arc::new(Session::open()?);
        let mut notices = session.notices().to_vec();
        let begun = Instant::now();
        let mut looked = None;
        let (plan, facts) = if self.policy.mode == Mode::DangerFullAccess {
            (Plan::Unsandboxed, None)
        } else {
            let Planned { facts, plan, seen } = session.look(&self.policy, &cwd)?;
            looked = Some((begun, seen));
            notices.extend(plan.notices.iter().cloned());
            (Plan::Windows(Box::new(plan)), Some(Box::new(facts)))
        };
        let (Self { policy, require, progress, .. }, looked) = (self, Mutex::new(looked));
        let sandbox = Sandbox { policy, cwd, session, progress, plan, facts, looked, require, notices };
        sandbox.check_strength(&sandbox.enforcement())?;
        Ok(sandbox)
    }
}

fn workspace(dir: Option<&Path>) -> Result<String, Error> {
    let given = dir.unwrap_or(Path::new("."));
    let fail = |source| Error::WorkingDirectory { path: given.to_path_buf(), source };
    let path = std::path::absolute(given).map_err(fail)?;
    if !path.is_dir() {
        return Err(fail(std::io::ErrorKind::NotADirectory.into()));
    }
    let not_unicode = || fail(std::io::ErrorKind::InvalidFilename.into());
    path.into_os_string().into_string().map_err(|_| not_unicode())
}
