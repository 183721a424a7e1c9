//! Failures of ours: stable code, stage, object, system error, remedy.

use std::io;
use std::path::{Path, PathBuf};

use codex_sandbox_policy::error::PolicyError;

use crate::enforcement::{Enforcement, Gap, Require};

/// Why a command could not be run in the sandbox.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy is wrong, or does not fit this machine.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Nothing here can enforce it.
    #[error("{why}")]
    NothingToEnforceWith {
        /// What is missing.
        why: String,
    },
    /// Less would be enforced than was required.
    #[error("{} is required, and here it would be less: {}", required(*.require), gaps(*.require, enforcement))]
    TooWeak {
        /// What was required.
        require: Require,
        /// What would be enforced.
        enforcement: Enforcement,
    },
    /// The working directory cannot be found out or entered.
    #[error("the working directory {}: {source}", .path.display())]
    WorkingDirectory {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The folder for private temporary files cannot be used.
    #[error("the state folder {}: {source}", .path.display())]
    State {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The program or its environment.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Run(#[from] codex_sandbox_linux::error::RunError),
    /// The machine, the grants, the program or its environment.
    #[cfg(windows)]
    #[error(transparent)]
    Windows(Box<crate::windows::WindowsError>),
    /// A system call of the launcher.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

#[cfg(windows)]
impl From<crate::windows::WindowsError> for Error {
    fn from(error: crate::windows::WindowsError) -> Self {
        Self::Windows(Box::new(error))
    }
}

fn required(require: Require) -> &'static str {
    match require {
        Require::Best | Require::Full => "full enforcement",
        Require::Network => "enforcement of the network rules",
        Require::Deletion => "protection from deletion",
    }
}

/// The gaps that stand against what was required.
fn counting(require: Require, enforcement: &Enforcement) -> impl Iterator<Item = &Gap> {
    enforcement.gaps.iter().filter(move |gap| match require {
        Require::Best | Require::Full => true,
        Require::Network => gap.code == "network",
        Require::Deletion => gap.code == "deletion-outside",
    })
}

fn gaps(require: Require, enforcement: &Enforcement) -> String {
    if enforcement.gaps.is_empty() {
        return "the policy asks for no sandbox (danger-full-access)".to_owned();
    }
    counting(require, enforcement).map(|gap| gap.what.as_str()).collect::<Vec<_>>().join("; ")
}

impl Error {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Policy(error) => error.code(),
            Self::NothingToEnforceWith { .. } => "backend.none",
            Self::TooWeak { .. } => "backend.too-weak",
            Self::WorkingDirectory { .. } => "run.working-directory",
            Self::State { .. } => "run.state-folder",
            #[cfg(target_os = "linux")]
            Self::Run(error) => run::code(error),
            #[cfg(windows)]
            Self::Windows(error) => error.code,
            Self::Io { .. } => "run.system",
        }
    }

    /// The step that failed.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Policy(_) => "policy",
            Self::NothingToEnforceWith { .. } | Self::TooWeak { .. } => "plan",
            Self::WorkingDirectory { .. } | Self::State { .. } | Self::Io { .. } => "prepare",
            #[cfg(target_os = "linux")]
            Self::Run(error) => run::stage(error),
            #[cfg(windows)]
            Self::Windows(error) => error.stage,
        }
    }

    /// The path or object it is about.
    pub fn object(&self) -> Option<&Path> {
        match self {
            Self::Policy(error) => error.object(),
            Self::WorkingDirectory { path, .. } | Self::State { path, .. } => Some(path),
            #[cfg(target_os = "linux")]
            Self::Run(error) => run::object(error),
            #[cfg(windows)]
            Self::Windows(error) => error.object.as_deref(),
            _ => None,
        }
    }

    /// The system's error behind it.
    pub fn os_error(&self) -> Option<&io::Error> {
        match self {
            Self::Policy(error) => error.os_error(),
            Self::WorkingDirectory { source, .. } | Self::State { source, .. } | Self::Io { source, .. } => {
                Some(source)
            }
            #[cfg(target_os = "linux")]
            Self::Run(error) => run::os_error(error),
            #[cfg(windows)]
            Self::Windows(error) => error.system.as_ref(),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Policy(error) => error.remedy(),
            Self::NothingToEnforceWith { .. } => {
                "`codex-sandbox doctor` shows what this machine offers and what to change".to_owned()
            }
            Self::TooWeak { require, enforcement } => {
                let mut remedies: Vec<String> =
                    counting(*require, enforcement).map(|gap| gap.remedy.clone()).collect();
                remedies.push("leave out `--require`".to_owned());
                remedies.join("; or ")
            }
            Self::WorkingDirectory { .. } => {
                "change to a folder that exists, or name one with --cwd".to_owned()
            }
            Self::State { .. } => "set XDG_CACHE_HOME to a folder of your own that can be written".to_owned(),
            #[cfg(target_os = "linux")]
            Self::Run(error) => run::remedy(error),
            #[cfg(windows)]
            Self::Windows(error) => error.remedy.clone(),
            Self::Io { .. } => "try again; `codex-sandbox doctor` shows what this machine offers".to_owned(),
        }
    }

    /// The exit code of a launcher that reports this error: 127 not found, 126 not executable, 125 the sandbox failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            #[cfg(target_os = "linux")]
            Self::Run(codex_sandbox_linux::error::RunError::NotFound { .. }) => 127,
            #[cfg(target_os = "linux")]
            Self::Run(codex_sandbox_linux::error::RunError::NotExecutable { .. }) => 126,
            #[cfg(windows)]
            Self::Windows(error) => error.exit_code(),
            _ => 125,
        }
    }
}

#[cfg(target_os = "linux")]
mod run {
    use super::{Path, io};
    use codex_sandbox_linux::error::{RunError, Stage};

    pub fn code(error: &RunError) -> &'static str {
        match error {
            RunError::NamespacesRefused { .. } => "run.namespaces-refused",
            RunError::Setup { stage, .. } => match stage {
                Stage::Prepare => "run.prepare",
                Stage::Namespaces => "run.namespaces",
                Stage::Network => "run.network",
                Stage::Mounts => "run.mounts",
                Stage::WorkingDirectory => "run.working-directory",
                Stage::Landlock => "run.landlock",
                Stage::Capabilities => "run.capabilities",
                Stage::Limits => "run.limits",
                Stage::Seccomp => "run.seccomp",
                Stage::Exec => "run.exec",
            },
            RunError::NotFound { .. } => "run.not-found",
            RunError::NotExecutable { .. } => "run.not-executable",
            RunError::NulByte { .. } => "run.nul-byte",
            RunError::Socket { .. } => "run.stdio-socket",
            RunError::Killed => "run.killed",
        }
    }

    pub fn stage(error: &RunError) -> &'static str {
        match error {
            RunError::Setup { stage, .. } => stage.name(),
            RunError::NamespacesRefused { .. } => "namespaces",
            RunError::NotFound { .. } | RunError::NotExecutable { .. } | RunError::NulByte { .. } => "exec",
            RunError::Socket { .. } => "prepare",
            RunError::Killed => "run",
        }
    }

    pub fn object(error: &RunError) -> Option<&Path> {
        match error {
            RunError::Setup { object, .. } => Some(object),
            RunError::NotFound { program } | RunError::NotExecutable { program, .. } => Some(program),
            _ => None,
        }
    }

    pub fn os_error(error: &RunError) -> Option<&io::Error> {
        match error {
            RunError::Setup { source, .. }
            | RunError::NamespacesRefused { source, .. }
            | RunError::NotExecutable { source, .. } => Some(source),
            _ => None,
        }
    }

    pub fn remedy(error: &RunError) -> String {
        let text = match error {
            RunError::NamespacesRefused { .. } => {
                "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, \
                 kernel.apparmor_restrict_unprivileged_userns)"
            }
            RunError::Setup { stage: Stage::Mounts, .. } => {
                "if the path was moved or replaced just now, try again; else see `codex-sandbox doctor`"
            }
            RunError::Setup { stage: Stage::WorkingDirectory, .. } => "change to a folder that exists",
            RunError::Setup { stage: Stage::Exec, source, .. } if source.raw_os_error() == Some(7) => {
                "the arguments and environment are too long for this system (ARG_MAX): pass data on standard input"
            }
            RunError::Setup { .. } => "`codex-sandbox doctor` shows what this machine offers",
            RunError::NotFound { .. } => {
                "check the name and PATH; a program in the working directory is ./NAME"
            }
            RunError::NotExecutable { source, .. } if source.raw_os_error() == Some(7) => {
                "the arguments and environment are too long for this system (ARG_MAX): pass data on standard input"
            }
            RunError::NotExecutable { .. } => {
                "make the file executable (chmod +x), and check its interpreter line"
            }
            RunError::NulByte { .. } => "remove the NUL byte",
            RunError::Socket { .. } => {
                "put a pipe between (cat | codex-sandbox run … | cat); --network lets a socket of the Internet through"
            }
            RunError::Killed => {
                "something outside killed the sandbox' first process, and the command with it: see what it had done so far"
            }
        };
        text.to_owned()
    }
}
