//! A policy, resolved and planned for this machine: what commands are started from.

use std::path::{Path, PathBuf};

use codex_sandbox_linux::facts::Facts;
use codex_sandbox_linux::plan::{LinuxPlan, PlanError};
use codex_sandbox_linux::run::Starter;
use codex_sandbox_policy::resolve::{Place, resolve};
use codex_sandbox_policy::rules::PathRules;
use codex_sandbox_policy::{Mode, Policy, Resolved};

use crate::command::Command;
use crate::enforcement::{Enforcement, Require};
use crate::error::Error;

/// What would be done: plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// On Linux.
    Linux(Box<LinuxPlan>),
    /// Nothing: the policy says `danger-full-access`.
    Unsandboxed,
}

/// A policy that is ready to run commands. Cheap to use from several threads.
#[derive(Debug)]
pub struct Sandbox {
    resolved: Resolved,
    plan: Plan,
    fallback: Option<Box<LinuxPlan>>,
    require: Require,
    namespaces: std::sync::atomic::AtomicBool,
    starter: Starter,
}

/// Settings of a [`Sandbox`] beside its policy.
#[derive(Debug, Clone)]
pub struct Builder {
    policy: Policy,
    cwd: Option<PathBuf>,
    state: Option<PathBuf>,
    require: Require,
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
    ///
    /// ```
    /// use codex_sandbox::{Policy, Require, Sandbox};
    ///
    /// let missing = Sandbox::builder(Policy::default()).current_dir("/no/such/folder").require(Require::Full).build();
    /// assert_eq!(missing.unwrap_err().exit_code(), 125);
    /// ```
    pub fn builder(policy: Policy) -> Builder {
        Builder { policy, cwd: None, state: None, require: Require::default() }
    }

    /// A command to run in this sandbox, in the workspace unless it says otherwise.
    pub fn command(&self, program: impl Into<std::ffi::OsString>) -> Command<'_> {
        Command::new(self, program.into())
    }

    /// The resolved policy.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// What a run does.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the user should hear before a run, one line each.
    pub fn notices(&self) -> &[String] {
        match self.linux_plan() {
            Some(plan) => &plan.notices,
            None => &self.resolved.notices,
        }
    }

    /// The path rules.
    pub fn rules(&self) -> PathRules {
        match &self.plan {
            Plan::Linux(plan) => plan.rules(),
            Plan::Unsandboxed => self.resolved.rules(&[PathBuf::from("/")]),
        }
    }

    /// What a run will enforce, as far as is known before it: a machine that refuses namespaces is found out by the first
    /// run (or before, by [`Builder::probe`]).
    pub fn enforcement(&self) -> Enforcement {
        match (self.linux_plan(), &self.plan) {
            (Some(plan), _) => plan.into(),
            (None, _) => Enforcement::nothing(),
        }
    }

    /// The plan that the next command runs under.
    pub(crate) fn linux_plan(&self) -> Option<&LinuxPlan> {
        let refused = self.namespaces.load(std::sync::atomic::Ordering::Relaxed);
        match (&self.plan, &self.fallback) {
            (Plan::Linux(_), Some(fallback)) if refused => Some(fallback),
            (Plan::Linux(plan), _) => Some(plan),
            (Plan::Unsandboxed, _) => None,
        }
    }

    /// Called when the machine refused namespaces: whether there is another plan to try.
    pub(crate) fn namespaces_refused(&self) -> bool {
        let first_time = !self.namespaces.swap(true, std::sync::atomic::Ordering::Relaxed);
        first_time && self.fallback.is_some()
    }

    pub(crate) fn starter(&self) -> &Starter {
        &self.starter
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

    /// The folder for private temporary files. Default: [`crate::state_dir`].
    #[must_use]
    pub fn state_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.state = Some(dir.into());
        self
    }

    /// How much must be enforced. Default: [`Require::Best`].
    #[must_use]
    pub fn require(mut self, require: Require) -> Self {
        self.require = require;
        self
    }

    /// Resolves the policy without planning: for showing what a policy means.
    ///
    /// # Errors
    /// [`Error::Policy`] and [`Error::WorkingDirectory`].
    pub fn resolve(&self) -> Result<Resolved, Error> {
        let place = self.place()?;
        Ok(resolve(&self.policy, &place, &codex_sandbox_linux::paths::HostPaths)?)
    }

    /// Resolves the policy and makes the plan. Nothing is changed on the machine.
    ///
    /// # Errors
    /// [`Error`] when the policy does not fit this machine, or nothing here can enforce it.
    pub fn build(self) -> Result<Sandbox, Error> {
        self.build_with(Facts::gather())
    }

    /// Like [`Self::build`], and finds out with a trial process whether namespaces are allowed, so that the plan is the
    /// one that a run will have.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn probe(self) -> Result<Sandbox, Error> {
        self.build_with(Facts::gather().test_user_namespaces())
    }

    fn build_with(self, facts: Facts) -> Result<Sandbox, Error> {
        let resolved = self.resolve()?;
        if resolved.mode == Mode::DangerFullAccess {
            let sandbox = self.finish(resolved, Plan::Unsandboxed, None);
            sandbox.check_strength(&Enforcement::nothing())?;
            return Ok(sandbox);
        }
        let wants_cgroup = resolved.limits.memory.is_some() || resolved.limits.processes.is_some();
        let facts = if wants_cgroup { facts.with_cgroups() } else { facts };
        let view = codex_sandbox_linux::facts::View::gather(&resolved);
        let mut plan =
            codex_sandbox_linux::plan::plan(&resolved, &facts, &view).map_err(|error| plan_error(&error))?;
        plan.strict = self.require == Require::Full;
        let fallback = fallback(&resolved, facts, &view);
        let sandbox = self.finish(resolved, Plan::Linux(Box::new(plan)), fallback.map(Box::new));
        sandbox.check_strength(&sandbox.enforcement())?;
        Ok(sandbox)
    }

    fn finish(self, resolved: Resolved, plan: Plan, fallback: Option<Box<LinuxPlan>>) -> Sandbox {
        Sandbox {
            resolved,
            plan,
            fallback,
            require: self.require,
            namespaces: std::sync::atomic::AtomicBool::new(false),
            starter: Starter::default(),
        }
    }

    fn place(&self) -> Result<Place, Error> {
        let cwd = match &self.cwd {
            Some(dir) => absolute(dir)?,
            None => current_dir()?,
        };
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let state = match &self.state {
            Some(state) => state.clone(),
            None => crate::state::state_dir(std::env::var_os("XDG_CACHE_HOME"), home.as_deref()),
        };
        let config = crate::state::config_file(home.as_deref()).map(|file| cwd.join(file));
        Ok(Place { cwd, home, tmpdir: std::env::var_os("TMPDIR").map(PathBuf::from), state, config })
    }
}

fn absolute(dir: &Path) -> Result<PathBuf, Error> {
    if dir.is_absolute() {
        return Ok(dir.to_path_buf());
    }
    Ok(current_dir()?.join(dir))
}

fn current_dir() -> Result<PathBuf, Error> {
    std::env::current_dir().map_err(|source| Error::WorkingDirectory { path: PathBuf::from("."), source })
}

/// The plan for a machine that turns out to refuse namespaces.
fn fallback(
    resolved: &Resolved,
    mut facts: Facts,
    view: &codex_sandbox_linux::facts::View,
) -> Option<LinuxPlan> {
    use codex_sandbox_linux::facts::UserNamespaces;
    if facts.user_namespaces != UserNamespaces::Untested {
        return None;
    }
    facts.user_namespaces = UserNamespaces::Refused("the kernel refused them just now".to_owned());
    codex_sandbox_linux::plan::plan(resolved, &facts, view).ok()
}

fn plan_error(error: &PlanError) -> Error {
    Error::NothingToEnforceWith { why: error.to_string() }
}
