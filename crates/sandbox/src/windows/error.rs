//! Failures of the Windows crate, as this library reports them.

use std::fmt;
use std::io;
use std::path::PathBuf;

use codex_sandbox_windows::grants::GrantError;
use codex_sandbox_windows::host::{HostError, SystemError};
use codex_sandbox_windows::launch::LaunchError;
use codex_sandbox_windows::plan::PlanError;
use codex_sandbox_windows::prepare::PrepareError;
use codex_sandbox_windows::runner::Failure;
use codex_sandbox_windows::win32::Win32Error;

/// A failure on Windows.
#[derive(Debug)]
pub struct WindowsError {
    /// A stable name.
    pub code: &'static str,
    /// The step.
    pub stage: &'static str,
    /// The path or object.
    pub object: Option<PathBuf>,
    /// The system's error.
    pub system: Option<io::Error>,
    /// What to do.
    pub remedy: String,
    message: String,
}

impl WindowsError {
    /// 127 not found, 126 not executable, 125 the sandbox failed.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.code {
            "run.not-found" => 127,
            "run.not-executable" | "run.store-alias" => 126,
            _ => 125,
        }
    }
}

impl fmt::Display for WindowsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for WindowsError {}

fn system(error: &SystemError) -> io::Error {
    io::Error::from_raw_os_error(error.code.cast_signed())
}

impl From<LaunchError> for WindowsError {
    fn from(error: LaunchError) -> Self {
        Self {
            code: error.code(),
            stage: error.stage(),
            object: error.object().map(PathBuf::from),
            system: error.system().map(system),
            remedy: error.remedy().to_owned(),
            message: error.to_string(),
        }
    }
}

impl From<HostError> for WindowsError {
    fn from(error: HostError) -> Self {
        Self {
            code: error.code(),
            stage: error.stage,
            object: Some(PathBuf::from(&error.path)),
            system: error.system.as_ref().map(system),
            remedy: if error.remedy.is_empty() { DOCTOR.to_owned() } else { error.remedy.clone() },
            message: error.to_string(),
        }
    }
}

const DOCTOR: &str = "`codex-sandbox doctor` shows what this machine offers and what to change";

impl From<GrantError> for WindowsError {
    fn from(error: GrantError) -> Self {
        match error {
            GrantError::Host(error) => error.into(),
            other => Self {
                code: other.code(),
                stage: "keep the state",
                object: None,
                system: None,
                remedy: "free space on the disk of %LOCALAPPDATA%, and make the folder codex-sandbox there your own".to_owned(),
                message: other.to_string(),
            },
        }
    }
}

impl From<PlanError> for WindowsError {
    fn from(error: PlanError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        Self { code, stage: "plan", object: None, system: None, remedy: DOCTOR.to_owned(), message }
    }
}

impl From<PrepareError> for WindowsError {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Plan(error) => error.into(),
            PrepareError::Grant(error) => error.into(),
            other => Self {
                code: other.code(),
                stage: "grant",
                object: None,
                system: None,
                remedy: "run the command again: it goes on where it stopped".to_owned(),
                message: other.to_string(),
            },
        }
    }
}

/// What the runner, or the way to it, says. Stable words are those of this program: a runner's own are none.
impl From<Failure> for WindowsError {
    fn from(failure: Failure) -> Self {
        let known = |words: &[&'static str], word: &str| words.iter().copied().find(|known| *known == word);
        let os_error = failure.system.as_deref().map(system);
        Self {
            code: known(&CODES, &failure.code).unwrap_or("runner.failed"),
            stage: known(&STAGES, &failure.stage).unwrap_or("start the program"),
            object: failure.object.as_deref().map(PathBuf::from),
            system: os_error,
            remedy: if failure.remedy.is_empty() { DOCTOR.to_owned() } else { failure.remedy.into() },
            message: failure.message,
        }
    }
}

const CODES: [&str; 41] = [
    "run.not-found",
    "run.not-executable",
    "run.store-alias",
    "run.command-line-too-long",
    "run.nul",
    "run.system",
    "run.wrong-token",
    "run.killed",
    "runner.account-disabled",
    "runner.account-expired",
    "runner.account-locked",
    "runner.account-restricted",
    "runner.blocked",
    "runner.busy",
    "runner.channel",
    "runner.confine",
    "runner.damaged",
    "runner.denied",
    "runner.handshake",
    "runner.logon-right",
    "runner.lost",
    "runner.manifest",
    "runner.missing",
    "runner.no-console",
    "run.not-elevated",
    "runner.no-logon-server",
    "runner.password",
    "runner.password-expired",
    "runner.path",
    "runner.profile",
    "runner.request",
    "runner.service",
    "runner.service-disabled",
    "runner.service-logon",
    "runner.start",
    "runner.stranger",
    "runner.version",
    "setup-account-replaced",
    "setup-credentials-damaged",
    "setup-credentials-missing",
    "setup-credentials-unreadable",
];

const STAGES: [&str; 21] = [
    "ask the runner",
    "check the token",
    "confine the runner",
    "enter the working directory",
    "find the program",
    "greet the runner",
    "let the command run",
    "log on as the sandbox account",
    "lower the token's integrity",
    "make the job object",
    "make the pipes to the runner",
    "make the private desktop",
    "make the restricted token",
    "open the standard streams",
    "put the command into its job",
    "set the token's default DACL",
    "start the command",
    "start the runner",
    "talk to the runner",
    "unseal the password",
    "wait for the command",
];

impl From<Win32Error> for WindowsError {
    fn from(error: Win32Error) -> Self {
        Self {
            code: "run.system",
            stage: error.call,
            object: None,
            system: Some(system(&error.system())),
            remedy: DOCTOR.to_owned(),
            message: error.to_string(),
        }
    }
}
