//! Failures of a run: stage, object, system error, remedy.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The step of a launch that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Stage {
    /// Private folders and control sockets.
    Prepare = 1,
    /// clone(2) into namespaces and the id maps.
    Namespaces,
    /// The loopback interface.
    Network,
    /// Mounts.
    Mounts,
    /// The working directory.
    WorkingDirectory,
    /// Landlock.
    Landlock,
    /// Capabilities.
    Capabilities,
    /// Limits.
    Limits,
    /// The seccomp filter and its listener.
    Seccomp,
    /// execve(2).
    Exec,
}

impl Stage {
    /// All stages, for decoding.
    const ALL: [Self; 10] = [
        Self::Prepare,
        Self::Namespaces,
        Self::Network,
        Self::Mounts,
        Self::WorkingDirectory,
        Self::Landlock,
        Self::Capabilities,
        Self::Limits,
        Self::Seccomp,
        Self::Exec,
    ];

    /// The stage with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| *stage as u8 == number)
    }

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Namespaces => "namespaces",
            Self::Network => "network",
            Self::Mounts => "mounts",
            Self::WorkingDirectory => "working-directory",
            Self::Landlock => "landlock",
            Self::Capabilities => "capabilities",
            Self::Limits => "limits",
            Self::Seccomp => "seccomp",
            Self::Exec => "exec",
        }
    }
}

/// A failure inside the new process, small enough to be sent to the launcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// What it was about: a path, or a system call.
    pub object: PathBuf,
    /// The system's error.
    pub errno: Errno,
}

impl Failure {
    /// A closure for `map_err`.
    pub fn at<P: AsRef<Path>>(stage: Stage, object: P) -> impl FnOnce(Errno) -> Self {
        let object = object.as_ref().to_path_buf();
        move |errno| Self { stage, object, errno }
    }
}

/// Why a command did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Namespaces are refused on this machine; the caller may plan again for the fallback.
    #[error("user namespaces are refused: {object}: {source}")]
    NamespacesRefused {
        /// The call or file that refused.
        object: String,
        /// The system's error.
        source: io::Error,
    },
    /// The sandbox could not be built.
    #[error("could not build the sandbox ({}): {}: {source}", stage.name(), object.display())]
    Setup {
        /// Where.
        stage: Stage,
        /// The path or call.
        object: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// No such program.
    #[error("command not found: {}", program.display())]
    NotFound {
        /// As it was asked for.
        program: PathBuf,
    },
    /// There, but it cannot be run.
    #[error("cannot run {}: {source}", program.display())]
    NotExecutable {
        /// The file.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A string with a NUL byte.
    #[error("{what} holds a NUL byte, which no program can be given")]
    NulByte {
        /// Which string.
        what: &'static str,
    },
    /// A standard stream that would be a way out.
    #[error("{stream} is {what}, and would lead out of the sandbox")]
    Socket {
        /// Standard input, output or error.
        stream: &'static str,
        /// What it is.
        what: &'static str,
    },
    /// The sandbox ended without saying how: its pid 1 was killed from outside.
    #[error("the sandbox was killed from outside")]
    Killed,
}

impl RunError {
    /// Makes the launcher's error of a failure that the new process reported.
    pub fn from_failure(failure: Failure, program: &Path) -> Self {
        let source = io::Error::from(failure.errno);
        match failure.stage {
            Stage::Namespaces if refusal(failure.errno) => {
                Self::NamespacesRefused { object: failure.object.display().to_string(), source }
            }
            Stage::Exec if failure.errno == Errno::NOENT || failure.errno == Errno::NOTDIR => {
                Self::NotExecutable { program: program.to_path_buf(), source }
            }
            Stage::Exec => Self::NotExecutable { program: program.to_path_buf(), source },
            stage => Self::Setup { stage, object: failure.object, source },
        }
    }
}

/// Errors that mean "not allowed here" rather than "went wrong".
pub fn refusal(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::PERM | Errno::ACCESS | Errno::NOSPC | Errno::USERS | Errno::NOSYS | Errno::INVAL | Errno::ROFS
    )
}
