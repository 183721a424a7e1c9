//! Everything between a policy and a command that can be started: facts, plan, grants.

use std::collections::BTreeMap;
use std::fmt;

use codex_sandbox_policy::Policy;

use crate::gather::{Request, gather_all, remember};
use crate::grants::{Applied, GrantError, Progress, apply, changes_anything};
use crate::host::Host;
use crate::plan::data::{LabelChange, Purpose, RootState, WindowsPlan};
use crate::plan::facts::Facts;
use crate::plan::path::WinPath;
use crate::plan::{PlanError, plan};
use crate::state::State;

/// A host on which a command can be started as `plan` says.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What was found.
    pub facts: Facts,
    /// What was done. The token must not carry the write SIDs of [`Applied::degraded`].
    pub plan: WindowsPlan,
    /// What came of it.
    pub applied: Applied,
}

/// Why no command can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrepareError {
    /// The policy has no plan on this host.
    Plan(PlanError),
    /// The machine, or the state database.
    Grant(GrantError),
    /// The user ended the walk; the next run goes on.
    Cancelled,
}

impl PrepareError {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Plan(error) => error.code(),
            Self::Grant(error) => error.code(),
            Self::Cancelled => "grants-cancelled",
        }
    }
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => error.fmt(f),
            Self::Grant(error) => error.fmt(f),
            Self::Cancelled => f.write_str("grants-cancelled: the next run goes on where this one was ended"),
        }
    }
}

impl std::error::Error for PrepareError {}

impl From<PlanError> for PrepareError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl From<GrantError> for PrepareError {
    fn from(error: GrantError) -> Self {
        Self::Grant(error)
    }
}

/// What was found on a host, and what follows from it: made once, and used at once.
#[derive(Debug, Clone)]
pub struct Planned {
    /// What was found.
    pub facts: Facts,
    /// What a run does.
    pub plan: WindowsPlan,
    /// When, in the course of the state database.
    pub seen: Seen,
}

/// What the state database had to say when a host was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// As [`State::version`] says.
    version: i64,
    /// It did not know all of the roots, which were walked.
    walked: bool,
}

/// Gathers the facts and plans; changes nothing on the machine.
///
/// # Errors
/// [`PrepareError`].
pub fn look<H: Host>(
    policy: &Policy,
    cwd: &str,
    environment: BTreeMap<String, String>,
    host: &H,
    state: &State,
) -> Result<Planned, PrepareError> {
    let version = state.version().map_err(GrantError::from)?;
    let (facts, walked) = gather_all(host, state, &Request { policy, cwd, environment, rescan: false })?;
    let plan = plan(policy, &facts)?;
    Ok(Planned { facts, plan, seen: Seen { version, walked } })
}

/// Gathers the facts, plans, and grants what is missing. When this returns, the command can be started with the plan's token.
/// At its end call [`end_of_run`](crate::grants::end_of_run) and [`State::end_run`].
///
/// # Errors
/// [`PrepareError`].
pub fn prepare<H: Host>(
    policy: &Policy,
    cwd: &str,
    environment: BTreeMap<String, String>,
    host: &H,
    state: &State,
    progress: &dyn Progress,
) -> Result<Prepared, PrepareError> {
    let planned = look(policy, cwd, environment, host, state)?;
    prepare_planned(policy, planned, host, state, progress)
}

/// The same with what [`look`] has just found: whatever has to be changed is looked at again first.
///
/// # Errors
/// [`PrepareError`].
pub fn prepare_planned<H: Host>(
    policy: &Policy,
    planned: Planned,
    host: &H,
    state: &State,
    progress: &dyn Progress,
) -> Result<Prepared, PrepareError> {
    let Planned { mut facts, mut plan, mut seen } = planned;
    let mut changing = None;
    if changes_anything(&plan) {
        changing = Some(state.changing(&|| progress.waiting()).map_err(GrantError::from)?);
        // Another run may have been granting the same root, which it noted before: what it did is seen now that it is done.
        if state.version().map_err(GrantError::from)? != seen.version {
            let Facts { cwd, environment, .. } = facts;
            Planned { facts, plan, seen } = look(policy, &cwd, environment, host, state)?;
        }
    }
    let durable = state.require_durable().is_ok();
    if durable {
        state.begin_run(host.process(), &needs(&plan.labels)).map_err(GrantError::from)?;
    }
    let changes = changes_anything(&plan);
    let applied = apply(&plan, host, state, progress)?;
    if applied.cancelled {
        return Err(PrepareError::Cancelled);
    }
    // What the state knows and nothing has changed is known still.
    if durable && (changes || seen.walked || applied != Applied::default()) {
        let is_degraded = |root: &WinPath| applied.degraded.iter().any(|degraded| degraded.root == *root);
        let granted = plan.roots.iter().filter(|root| root.state == RootState::Granted);
        let granted = granted.filter_map(|root| root.path.clone());
        let roots: Vec<WinPath> = granted.filter(|root| !is_degraded(root)).collect();
        let made: Vec<WinPath> = plan.placeholders.iter().map(|made| made.path.clone()).collect();
        remember(host, state, policy, &facts, &roots, &made)?;
    }
    drop(changing);
    Ok(Prepared { facts, plan, applied })
}

/// Paths whose labels keep the promises of a run, so that others leave them alone while it goes on.
fn needs(labels: &[LabelChange]) -> Vec<WinPath> {
    let closes = |label: &&LabelChange| matches!(label.purpose, Purpose::Protect | Purpose::DenyRead);
    labels.iter().filter(closes).map(|label| label.path.clone()).collect()
}
