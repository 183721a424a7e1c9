//! The elevated tier's launch: one runner for each session of a launcher, logged on once, and what is said when that fails.
//!
//! Nothing here steps down: where the runner cannot be had, no command runs. Nothing is tried over and over either: a password that was
//! refused is not offered again, because some tries lock the account; a runner that cannot be started twice is not started a third time.

use std::sync::{Arc, Mutex, PoisonError};

use super::LaunchError;
use crate::host::SystemError;
use crate::runner::error::ProtocolError;
use crate::runner::{Client, Failure, Remote, SpawnRequest};
use crate::setup::credentials::Credentials;

/// The effects: a machine with a sandbox account.
pub trait Door: Send + Sync {
    /// What keeps a runner alive; dropping it ends the runner and all that it started.
    type Runner: Send + Sync;

    /// The account's password, as the set-up left it.
    ///
    /// # Errors
    /// [`Failure`]: there is none that this user may read.
    fn credentials(&self) -> Result<Credentials, Failure>;

    /// Logs on, starts a runner and greets it.
    ///
    /// # Errors
    /// [`Opening`]: then nothing of it runs.
    fn open(&self, credentials: &Credentials) -> Result<(Client, Self::Runner), Opening>;
}

/// Why there is no runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// What is said.
    pub failure: Failure,
    /// The account did not get in: with the same password it never will.
    pub is_refused: bool,
}

impl From<Failure> for Opening {
    fn from(failure: Failure) -> Self {
        Self { failure, is_refused: false }
    }
}

/// A runner that serves. Dropping the last reference ends it.
pub struct Open<R> {
    /// Dropped first: then the runner sees its end.
    client: Client,
    runner: R,
}

impl<R> Open<R> {
    /// What keeps it alive.
    pub fn runner(&self) -> &R {
        &self.runner
    }
}

impl<R> std::fmt::Debug for Open<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("client", &self.client).finish_non_exhaustive()
    }
}

/// So often in a row a runner is started in vain.
const TRIES: usize = 2;

#[derive(Debug)]
enum Slot<R> {
    /// None runs; so many were started in vain.
    Empty(usize),
    Open(Arc<Open<R>>),
    /// No more tries.
    Refused(Failure),
}

/// A launcher's commands as one sandbox account.
#[derive(Debug)]
pub struct Session<D: Door> {
    door: D,
    slot: Mutex<Slot<D::Runner>>,
}

/// A command, and the runner that it needs.
#[derive(Debug)]
pub struct Started<R> {
    /// The command. Dropped first.
    pub remote: Remote,
    /// Its runner.
    pub runner: Arc<Open<R>>,
}

impl<D: Door> Session<D> {
    /// No runner is started before the first command.
    pub fn new(door: D) -> Self {
        Self { door, slot: Mutex::new(Slot::Empty(0)) }
    }

    /// Starts a command; also its runner, if there is none. Callers wait for each other while a runner is being started, and share it.
    ///
    /// # Errors
    /// [`Failure`]: then nothing of the command runs. It is not tried again: whether it began cannot be known when a runner is lost.
    pub fn spawn(&self, request: SpawnRequest) -> Result<Started<D::Runner>, Failure> {
        let runner = self.runner()?;
        let remote = runner.client.spawn(request)?;
        Ok(Started { remote, runner })
    }

    /// The runner that serves now, if one does.
    pub fn current(&self) -> Option<Arc<Open<D::Runner>>> {
        match &*self.slot.lock().unwrap_or_else(PoisonError::into_inner) {
            Slot::Open(open) => Some(open.clone()),
            _ => None,
        }
    }

    fn runner(&self) -> Result<Arc<Open<D::Runner>>, Failure> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let vain = match &*slot {
            Slot::Open(open) if open.client.broken().is_none() => return Ok(open.clone()),
            Slot::Refused(failure) => return Err(failure.clone()),
            Slot::Open(_) => 0,
            Slot::Empty(vain) => *vain,
        };
        match self.open() {
            Ok((client, runner)) => {
                let open = Arc::new(Open { client, runner });
                *slot = Slot::Open(open.clone());
                Ok(open)
            }
            Err(Opening { failure, is_refused }) => {
                let is_last = is_refused || vain + 1 >= TRIES;
                *slot = if is_last { Slot::Refused(failure.clone()) } else { Slot::Empty(vain + 1) };
                Err(failure)
            }
        }
    }

    /// The one thing that an ordinary user can repair: a set-up that is just giving the account another password, or did since this
    /// launcher looked.
    fn open(&self) -> Result<(Client, D::Runner), Opening> {
        let no_credentials = |failure| Opening { failure, is_refused: true };
        let first = self.door.credentials().map_err(no_credentials)?;
        let refused = match self.door.open(&first) {
            Err(opening) if opening.is_refused => opening,
            other => return other,
        };
        match self.door.credentials() {
            Ok(second) if second != first => self.door.open(&second),
            _ => Err(refused),
        }
    }
}

const REPAIR: &str = "run `codex-sandbox setup --repair`";

/// What CreateProcessWithLogonW said. `program` is the runner's path.
pub fn logon_failure(account: &str, program: &str, system: SystemError) -> Opening {
    let policy = "ask whoever manages this machine's policies, or use windows.sandbox = \"unelevated\"";
    let (code, words, remedy, is_refused) = match system.code {
        1326 => (
            "runner.password",
            "the password that was kept for the account is not its password",
            REPAIR,
            true,
        ),
        1330 | 1907 => ("runner.password-expired", "the account's password has expired", REPAIR, true),
        1327..=1329 => (
            "runner.account-restricted",
            "a policy restricts when or where the account logs on",
            policy,
            true,
        ),
        1331 => ("runner.account-disabled", "the account is disabled", REPAIR, true),
        1793 => ("runner.account-expired", "the account has expired", REPAIR, true),
        1909 => (
            "runner.account-locked",
            "the account is locked out",
            "wait until Windows unlocks it, then run `codex-sandbox setup --repair`",
            true,
        ),
        1385 => ("runner.logon-right", "a policy denies the account \"Allow log on locally\"", policy, true),
        1058 => (
            "runner.service-disabled",
            "the Secondary Logon service (seclogon) is disabled",
            "set the service to Manual, or use windows.sandbox = \"unelevated\"",
            true,
        ),
        1069 => (
            "runner.service-logon",
            "the Secondary Logon service (seclogon) cannot log on as its own account",
            "set the service's account back to Local System",
            true,
        ),
        1053 | 1056 | 1060..=1062 | 1068 | 1077 | 1722 => (
            "runner.service",
            "the Secondary Logon service (seclogon) does not start",
            "start it: sc start seclogon",
            false,
        ),
        2 | 3 => ("runner.missing", "the runner's program is not there", REPAIR, true),
        11 | 193 | 216 | 1392 => ("runner.damaged", "the runner's program is damaged", REPAIR, true),
        740 => (
            "runner.manifest",
            "Windows wants an administrator for the runner's program: its manifest is damaged",
            REPAIR,
            true,
        ),
        225 | 1260 | 4551 => (
            "runner.blocked",
            "an antivirus program or a policy blocks the runner's program",
            "allow it there by its path or its signature",
            true,
        ),
        1168 | 1500..=1511 => ("runner.profile", "the account's profile cannot be loaded", REPAIR, true),
        1311 => ("runner.no-logon-server", "there is no logon server", policy, true),
        5 => (
            "runner.denied",
            "the account may not run the runner's program, or this process may not log on",
            REPAIR,
            true,
        ),
        _ => (
            "runner.start",
            "the runner could not be started",
            "try again; `codex-sandbox doctor` checks the set-up",
            false,
        ),
    };
    let message = format!("{words}: {account}, {program}: {} (Win32 error {})", system.text, system.code);
    let mut failure =
        Failure::new(code, "log on as the sandbox account", message, remedy).with_system(system);
    failure.object = Some(if code.ends_with("missing") || code.ends_with("damaged") {
        program.into()
    } else {
        account.into()
    });
    Opening { failure, is_refused }
}

/// The runner came and did not greet, or did not come. `code` is its exit code, if it has ended.
pub fn handshake_failure(why: &str, code: Option<u32>) -> Failure {
    let ended = match code {
        // STATUS_DLL_INIT_FAILED
        Some(0xC000_0142) => {
            "the runner got no access to a window station and desktop, and ended with 0xC0000142".to_owned()
        }
        Some(code) => format!("the runner ended with {code:#x} before it greeted"),
        None => "the runner did not greet in time".to_owned(),
    };
    let remedy = "try again; if it happens again, `codex-sandbox doctor` checks the set-up";
    Failure::new("runner.handshake", "greet the runner", format!("{ended} ({why})"), remedy)
}

/// Whoever greeted is not the runner that was started.
pub fn stranger(error: &ProtocolError) -> Failure {
    let (code, remedy) = match error {
        ProtocolError::Version(_) => {
            ("runner.version", "run `codex-sandbox setup --repair`: it installs the runner of this version")
        }
        _ => ("runner.stranger", "look for a program that poses as the runner; then run the command again"),
    };
    Failure::new(code, "greet the runner", format!("the runner sent {error}"), remedy)
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        let mut failure = Self::new(error.code(), error.stage(), error.to_string(), error.remedy());
        failure.object = error.object().map(Into::into);
        failure.system = error.system().cloned().map(Box::new);
        failure
    }
}

#[cfg(test)]
#[path = "elevated/tests.rs"]
mod tests;
