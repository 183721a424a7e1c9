//! Reading for the sandbox accounts: what the plan of the elevated tier lists, given by one worker in the background.
//!
//! The list is policy ([`SECRETS`](crate::plan::SECRETS) and `plan::reads`), and `codex-sandbox plan` prints it. Each ACE goes
//! into the machine's journal before it is made; a worker that was ended is gone on with by the next one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Mutex;

use codex_sandbox_policy::policy::WindowsTier;
use codex_sandbox_policy::{Mode, Policy};
use nt_security::token::integrity;
use nt_security::{Sid, well_known};
use serde::{Deserialize, Serialize};

use super::error::SetupError;
use super::journal::{Journal, Thing};
use super::machine::Machine;
use super::names::{MachineFolder, Names, Which};
use crate::gather::profile::{Whose, profile};
use crate::grants::{Applied, Counts, GrantError, Progress, apply};
use crate::host::{Described, Host, ProcessId};
use crate::plan::data::{By, Change, WindowsPlan};
use crate::plan::facts::{Folders, GroupFact, Setup, User};
use crate::plan::path::WinPath;
use crate::plan::plan;
use crate::plan::sid_text::SidText;
use crate::state::State;

/// How a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerState {
    /// It is at work, if its process is still there.
    Running,
    /// All is given.
    Done,
    /// It was told to end.
    Stopped,
    /// It failed.
    Failed,
}

/// What the worker says of itself in [`MachineFolder::worker`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// How it stands.
    pub state: WorkerState,
    /// Its process.
    pub pid: u32,
    /// When that was created, as a FILETIME.
    pub created: u64,
    /// For whom it is at work, or was last.
    pub user: String,
    /// Objects that were looked at, descriptors written, objects that refused, objects left alone.
    pub looked: u64,
    /// Descriptors that were written.
    pub written: u64,
    /// Objects that refused.
    pub refused: u64,
    /// Objects that were left alone.
    pub skipped: u64,
    /// Seconds since 1970.
    pub begun: u64,
    /// Seconds since 1970.
    pub updated: u64,
    /// The first of the objects that refused, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How many refusals the worker's file names.
const MOST_REFUSALS: usize = 20;

impl Worker {
    /// What the last worker said; `None`: there was none.
    pub fn read<M: Machine>(machine: &M, folder: &MachineFolder) -> Option<Self> {
        let bytes = machine.read_file(&folder.worker()).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    /// Whether it says that it runs, and does not.
    pub fn has_died<M: Machine>(&self, machine: &M) -> bool {
        let process = ProcessId { pid: self.pid, created: self.created };
        self.state == WorkerState::Running && !machine.is_running(process)
    }

    fn write<M: Machine>(&self, machine: &M, folder: &MachineFolder) -> Result<(), SetupError> {
        // Numbers and text always have a JSON form.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        machine.write_file(&folder.worker(), &bytes).map_err(|error| SetupError::of("reads", error))
    }
}

/// Gives the sandbox accounts what every real user of the journal may read, one after the other.
///
/// # Errors
/// The machine or the journal. Objects that refuse are counted, and stop nothing.
pub fn work<M: Machine, H: Host>(
    machine: &M,
    host: &H,
    state: &State,
    names: &Names,
    folder: &MachineFolder,
    environment: &BTreeMap<String, String>,
) -> Result<Worker, SetupError> {
    let users = Journal(state).things()?.into_iter().filter_map(|thing| match thing {
        Thing::Reads { user } => Some(user),
        _ => None,
    });
    let ProcessId { pid, created } = machine.process();
    let begun = machine.now();
    let zero = Worker {
        state: WorkerState::Running,
        pid,
        created,
        user: String::new(),
        looked: 0,
        written: 0,
        refused: 0,
        skipped: 0,
        begun,
        updated: begun,
        refusals: Vec::new(),
        error: None,
    };
    let telling = Telling { machine, folder, worker: Mutex::new(zero) };
    for user in users {
        telling.begin(user)?;
        let result = give(host, machine, state, names, user, environment, &telling);
        match result {
            Ok(applied) if applied.cancelled => return telling.end(WorkerState::Stopped, None),
            Ok(applied) => telling.add(&applied),
            Err(error) if error.killed => return Err(error),
            Err(error) => {
                telling.end(WorkerState::Failed, Some(error.to_string()))?;
                return Err(error);
            }
        }
    }
    telling.end(WorkerState::Done, None)
}

fn give<M: Machine, H: Host>(
    host: &H,
    machine: &M,
    state: &State,
    names: &Names,
    user: SidText,
    environment: &BTreeMap<String, String>,
    progress: &dyn Progress,
) -> Result<Applied, SetupError> {
    let Some(root) = machine.profile(&user.0).map_err(|error| SetupError::of("reads", error))? else {
        return Ok(Applied::default());
    };
    let setup = accounts(machine, names)?;
    let plan = plan_reads(host, state, user, &root, setup, environment)?;
    apply(&plan, host, state, progress).map_err(|error| of(&error))
}

/// The accounts, as a plan wants to know them.
fn accounts<M: Machine>(machine: &M, names: &Names) -> Result<Setup, SetupError> {
    let asked = |error| SetupError::of("reads", error);
    let user = |which| -> Result<Option<SidText>, SetupError> {
        Ok(machine.user(&names.account(which)).map_err(asked)?.map(|user| user.sid.into()))
    };
    Ok(Setup {
        group: machine.group(&names.group()).map_err(asked)?.map(|group| group.sid.into()),
        offline: user(Which::Offline)?,
        online: user(Which::Online)?,
        logon_error: None,
        helpers: true,
    })
}

/// What of the elevated tier's plan the set-up carries out in one profile.
///
/// # Errors
/// The machine, or facts that cannot be planned with.
pub fn plan_reads<H: Host>(
    host: &H,
    state: &State,
    user: SidText,
    root: &WinPath,
    setup: Setup,
    environment: &BTreeMap<String, String>,
) -> Result<WindowsPlan, SetupError> {
    let described = host.describe().map_err(|error| of(&error.into()))?;
    let whose = Whose {
        user: unelevated(&described, user.0),
        folders: folders_of(&described.folders, root),
        setup,
        environment: environment.clone(),
    };
    let facts = profile(host, state, &whose).map_err(|error| of(&error))?;
    let policy = Policy { mode: Mode::ReadOnly, windows_tier: WindowsTier::Elevated, ..Policy::default() };
    let planned = plan(&policy, &facts);
    let mut planned =
        planned.map_err(|error| SetupError::new(error.code(), "reads", &error, "report this"))?;
    // What a run makes for itself gets its ACEs when it is there.
    let made = std::mem::take(&mut planned.folders);
    let is_there = |path: &WinPath| !made.contains(path);
    planned.aces.retain(|ace| ace.by == By::Setup && ace.change == Change::Add && is_there(&ace.path));
    for ace in &mut planned.aces {
        // This process is the set-up; for the walk it is whoever grants.
        ace.by = By::Run;
    }
    planned.roots.clear();
    planned.placeholders.clear();
    planned.labels.clear();
    planned.write_sids.clear();
    Ok(planned)
}

/// The user as he is without elevation: another one's groups are those of every user.
fn unelevated(described: &Described, sid: Sid) -> User {
    if described.user.sid.0 == sid {
        return described.user.clone();
    }
    let usual = [
        well_known::EVERYONE,
        well_known::USERS,
        well_known::INTERACTIVE,
        well_known::AUTHENTICATED_USERS,
        well_known::LOCAL,
    ];
    let group = |sid: Sid| GroupFact { sid: sid.into(), deny_only: false, name: String::new() };
    User {
        name: sid.to_string(),
        sid: sid.into(),
        groups: usual.into_iter().map(group).collect(),
        logon_sid: Sid::constant(5, [5, 0, 0]).into(),
        integrity: integrity::MEDIUM,
        privileges: Vec::new(),
        default_owner: None,
    }
}

fn folders_of(own: &Folders, profile: &WinPath) -> Folders {
    if own.profile == *profile {
        return own.clone();
    }
    let local_app_data = profile.join(r"AppData\Local");
    Folders {
        profiles: profile.parent().unwrap_or_else(|| own.profiles.clone()),
        profile: profile.clone(),
        temp: local_app_data.join("Temp"),
        state: local_app_data.join("codex-sandbox"),
        local_app_data,
        ..own.clone()
    }
}

fn of(error: &GrantError) -> SetupError {
    let killed = error.is_killed();
    SetupError {
        killed,
        ..SetupError::new(error.code(), "reads", error, "run `codex-sandbox setup --repair`")
    }
}

/// Tells how far the worker is, at most once a second, and hears whether it shall end.
struct Telling<'a, M> {
    machine: &'a M,
    folder: &'a MachineFolder,
    worker: Mutex<Worker>,
}

impl<M: Machine> Telling<'_, M> {
    fn with<T>(&self, change: impl FnOnce(&mut Worker) -> T) -> T {
        change(&mut self.worker.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn begin(&self, user: SidText) -> Result<(), SetupError> {
        let worker = self.with(|worker| {
            worker.user = user.to_string();
            worker.clone()
        });
        worker.write(self.machine, self.folder)
    }

    /// What a walk that is over came to, on top of those before.
    fn add(&self, applied: &Applied) {
        let counts = &applied.counts;
        self.with(|worker| {
            let room = MOST_REFUSALS.saturating_sub(worker.refusals.len());
            worker
                .refusals
                .extend(applied.refused.iter().take(room).map(|refused| refused.error.to_string()));
            worker.looked += counts.looked;
            worker.written += counts.written;
            worker.refused += counts.refused;
            worker.skipped += counts.skipped;
        });
    }

    fn end(&self, state: WorkerState, error: Option<String>) -> Result<Worker, SetupError> {
        let worker = self.with(|worker| {
            (worker.state, worker.error, worker.updated) = (state, error, self.machine.now());
            worker.clone()
        });
        worker.write(self.machine, self.folder)?;
        Ok(worker)
    }

    fn is_to_stop(&self) -> bool {
        self.machine.file(&self.folder.stop()).is_ok_and(|file| file.is_some())
    }
}

impl<M: Machine> Progress for Telling<'_, M> {
    fn step(&self, counts: &Counts) -> ControlFlow<()> {
        let Ok(mut worker) = self.worker.try_lock() else { return ControlFlow::Continue(()) };
        let now = self.machine.now();
        if now == worker.updated {
            return ControlFlow::Continue(());
        }
        worker.updated = now;
        let mut told = worker.clone();
        drop(worker);
        told.looked += counts.looked;
        told.written += counts.written;
        told.refused += counts.refused;
        told.skipped += counts.skipped;
        // Whoever cannot write how far it is goes on with the work all the same.
        let _untold = told.write(self.machine, self.folder);
        if self.is_to_stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
