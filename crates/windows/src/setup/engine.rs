//! Carrying a set-up out: look, do, look again, step by step. Killed anywhere and run again, it comes to the same end.

use std::borrow::Borrow;

use serde::Serialize;

use super::error::SetupError;
use super::journal::{Journal, of_state};
use super::machine::Machine;
use super::names::{MachineFolder, Which};
use super::plan::{Request, SetupPlan, Step, StepKind};
use super::recover;
use super::steps::{Context, Found};
use crate::state::State;

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It was as it should be.
    Done,
    /// Something is to be done (dry run).
    Needed,
    /// It was done now.
    Applied,
    /// It cannot be had here, or has no effect here.
    Degraded,
    /// Only an administrator can tell (dry run).
    Unknown,
    /// It failed.
    Failed,
    /// A step before it failed, without which it makes no sense.
    Skipped,
}

/// A step and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// The step's stable word.
    pub id: String,
    /// In words.
    pub title: String,
    /// What came of it.
    pub state: StepState,
    /// What is, or was, to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Why it failed, or is worth less here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<SetupError>,
}

/// Hears of each step as it ends.
pub trait Events {
    /// Step `number` of `count`, from 1.
    fn step(&self, number: usize, count: usize, report: &StepReport);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Events for Silent {
    fn step(&self, _: usize, _: usize, _: &StepReport) {}
}

/// What came of a set-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Every step.
    pub steps: Vec<StepReport>,
}

impl Outcome {
    /// Whether all is as it should be, or as good as this machine lets it.
    pub fn is_complete(&self) -> bool {
        let well = [StepState::Done, StepState::Applied, StepState::Degraded];
        self.steps.iter().all(|step| well.contains(&step.state))
    }

    /// What failed.
    pub fn failures(&self) -> impl Iterator<Item = &SetupError> {
        self.steps
            .iter()
            .filter(|step| step.state == StepState::Failed)
            .filter_map(|step| step.error.as_ref())
    }

    /// What is worth less here.
    pub fn degraded(&self) -> impl Iterator<Item = &SetupError> {
        self.steps
            .iter()
            .filter(|step| step.state == StepState::Degraded)
            .filter_map(|step| step.error.as_ref())
    }

    /// Whether this process is dying (in tests).
    pub fn is_killed(&self) -> bool {
        self.failures().any(|error| error.killed)
    }
}

/// Says what [`carry_out`] would do; no effect.
pub fn dry_run<M: Machine>(machine: &M, request: &Request, state: Option<&State>) -> Outcome {
    let context = Context { machine, state, request, dry_run: true };
    let look = |step: Step| {
        let (state, detail, error) = match context.check(&step) {
            Ok(Found::Done) => (StepState::Done, String::new(), None),
            Ok(Found::Needed(what)) => (StepState::Needed, what, None),
            Ok(Found::Degraded(error)) => (StepState::Degraded, String::new(), Some(error)),
            Err(error) if error.code == "setup-access-denied" => {
                (StepState::Unknown, String::new(), Some(error))
            }
            Err(error) => (StepState::Failed, String::new(), Some(error)),
        };
        StepReport { id: step.id, title: step.title, state, detail, error }
    };
    Outcome { steps: SetupPlan::new(request).steps.into_iter().map(look).collect() }
}

/// Carries a set-up out. `open` opens the machine's state database once its folder is there.
pub fn carry_out<M: Machine, S: Borrow<State>>(
    machine: &M,
    request: &Request,
    open: impl FnOnce(&MachineFolder) -> S,
    events: &dyn Events,
) -> Outcome {
    let plan = SetupPlan::new(request);
    let count = plan.steps.len();
    let mut steps = plan.steps.into_iter();
    let mut run = Run { machine, request, events, count, reports: Vec::with_capacity(count), stopped: None };
    let Some(first) = steps.next() else { return Outcome { steps: Vec::new() } };
    run.step(first, None);
    let state = if run.stopped.is_none() { run.journal(open) } else { None };
    for step in steps {
        run.step(step, state.as_ref().map(Borrow::borrow));
    }
    Outcome { steps: run.reports }
}

struct Run<'a, M> {
    machine: &'a M,
    request: &'a Request,
    events: &'a dyn Events,
    count: usize,
    reports: Vec<StepReport>,
    /// The step without which nothing goes on.
    stopped: Option<String>,
}

impl<M: Machine> Run<'_, M> {
    /// Opens the journal, and notes what of ours it does not know.
    fn journal<S: Borrow<State>>(&mut self, open: impl FnOnce(&MachineFolder) -> S) -> Option<S> {
        let opened = open(&self.request.folder);
        let state: &State = opened.borrow();
        let (machine, request) = (self.machine, self.request);
        let context = Context { machine, state: Some(state), request, dry_run: false };
        let adopted = state.require_durable().map_err(|error| of_state(&error));
        let adopted = adopted.and_then(|()| {
            let known = context.things()?;
            let found = recover::things(self.machine, self.request)?;
            found
                .iter()
                .filter(|thing| !known.contains(thing))
                .try_for_each(|thing| Journal(state).note(thing))
        });
        if let Err(error) = adopted {
            let title = "the journal of the machine".to_owned();
            self.stopped = Some("journal".to_owned());
            let (id, state, detail) = ("journal".to_owned(), StepState::Failed, String::new());
            self.report(StepReport { id, title, state, detail, error: Some(error) });
            return None;
        }
        Some(opened)
    }

    fn step(&mut self, step: Step, state: Option<&State>) {
        let (state, detail, error) = match &self.stopped {
            Some(before) => (StepState::Skipped, format!("because {before} failed"), None),
            None => self.do_step(&step, state),
        };
        let killed = error.as_ref().is_some_and(|error| error.killed);
        if state == StepState::Failed && (step.essential || killed) {
            self.stopped = Some(step.id.clone());
        }
        self.report(StepReport { id: step.id, title: step.title, state, detail, error });
    }

    fn do_step(&self, step: &Step, state: Option<&State>) -> (StepState, String, Option<SetupError>) {
        let context = Context { machine: self.machine, state, request: self.request, dry_run: false };
        if let StepKind::Credentials { which: Which::Offline, path } = &step.kind
            && !self.network_is_blocked()
        {
            // Without its password nobody runs anything as an account whose network is open.
            let removed = self.machine.remove(path).err().map(|error| SetupError::of(&step.id, error));
            let open = || {
                let object = "neither the firewall rule nor the filters of the step wfp hold";
                let remedy = "mend one of the two steps, and run `codex-sandbox setup` again";
                SetupError::new("setup-network-not-enforced", &step.id, object, remedy)
            };
            return (StepState::Failed, String::new(), Some(removed.unwrap_or_else(open)));
        }
        let failed = |error| (StepState::Failed, String::new(), Some(error));
        let needed = match context.check(step) {
            Ok(Found::Done) => return (StepState::Done, String::new(), None),
            Ok(Found::Degraded(error)) => return (StepState::Degraded, String::new(), Some(error)),
            Ok(Found::Needed(what)) => what,
            Err(error) => return failed(error),
        };
        if let Err(error) = context.apply(step) {
            return failed(error);
        }
        // What was done is read back: a call that succeeds and changes nothing is a failure.
        match context.check(step) {
            Ok(Found::Done) => (StepState::Applied, needed, None),
            Ok(Found::Degraded(error)) => (StepState::Degraded, needed, Some(error)),
            Ok(Found::Needed(still)) => {
                let remedy = "another program undoes it, or a policy does: find out which, and run `codex-sandbox setup` again";
                failed(SetupError::new("setup-no-effect", &step.id, still, remedy))
            }
            Err(error) => failed(error),
        }
    }

    /// By the firewall rule, or by the filters.
    fn network_is_blocked(&self) -> bool {
        let held = [StepState::Done, StepState::Applied];
        let walls = self.reports.iter().filter(|report| report.id == "firewall" || report.id == "wfp");
        walls.into_iter().any(|report| held.contains(&report.state))
    }

    fn report(&mut self, report: StepReport) {
        self.events.step((self.reports.len() + 1).min(self.count), self.count, &report);
        self.reports.push(report);
    }
}
