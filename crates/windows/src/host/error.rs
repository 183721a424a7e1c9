//! What a host could not do.

use std::fmt;

use nt_security::{AccessMask, ObjectType};

use crate::plan::path::WinPath;

/// What the system said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemError {
    /// The Win32 error code.
    pub code: u32,
    /// The system's text for it.
    pub text: String,
}

/// Sorts of failure that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostErrorKind {
    /// There is no such object.
    NotFound,
    /// A right is missing.
    AccessDenied,
    /// The name is taken.
    Exists,
    /// A folder that holds something cannot be removed.
    NotEmpty,
    /// A link lies on the way.
    Redirected,
    /// Someone else has it open in a way that excludes us.
    Busy,
    /// The volume cannot do it.
    Unsupported,
    /// This process is being killed (memory host only): nothing more is done.
    Killed,
    /// Anything else.
    Other,
}

impl HostErrorKind {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "file-not-found",
            Self::AccessDenied => "file-access-denied",
            Self::Exists => "file-exists",
            Self::NotEmpty => "folder-not-empty",
            Self::Redirected => "path-is-redirected",
            Self::Busy => "file-busy",
            Self::Unsupported => "volume-cannot",
            Self::Killed => "killed",
            Self::Other => "system-error",
        }
    }
}

/// A failure of one method of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostError {
    /// Which sort.
    pub kind: HostErrorKind,
    /// What was being done, such as `open` or `write the descriptor`.
    pub stage: &'static str,
    /// To what.
    pub path: String,
    /// The rights that were asked for.
    pub right: Option<AccessMask>,
    /// What the system said.
    pub system: Option<SystemError>,
    /// What to do.
    pub remedy: String,
}

impl HostError {
    /// A failure at a path.
    pub fn new(kind: HostErrorKind, stage: &'static str, path: impl fmt::Display) -> Self {
        let path = path.to_string();
        let remedy = match kind {
            HostErrorKind::AccessDenied => format!("look at its descriptor: icacls \"{path}\""),
            HostErrorKind::Busy => "close the program that has it open, and try again".to_owned(),
            HostErrorKind::Redirected => "give the path that the link leads to".to_owned(),
            HostErrorKind::Unsupported => "use a folder on a local NTFS or ReFS volume".to_owned(),
            _ => String::new(),
        };
        Self { kind, stage, path, right: None, system: None, remedy }
    }

    /// With the rights that were asked for.
    #[must_use]
    pub fn with_right(self, right: AccessMask) -> Self {
        Self { right: Some(right), ..self }
    }

    /// With the system's error.
    #[must_use]
    pub fn with_system(self, system: SystemError) -> Self {
        Self { system: Some(system), ..self }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Whether a right was missing.
    pub fn is_denied(&self) -> bool {
        self.kind == HostErrorKind::AccessDenied
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.kind == HostErrorKind::NotFound
    }

    /// Whether this process is dying.
    pub fn is_killed(&self) -> bool {
        self.kind == HostErrorKind::Killed
    }

    /// The same failure at a real path.
    #[must_use]
    pub fn at(self, path: &WinPath) -> Self {
        Self { path: path.to_string(), ..self }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cannot {} {}", self.code(), self.stage, self.path)?;
        if let Some(right) = self.right {
            write!(f, " with {}", right.names(ObjectType::File))?;
        }
        if let Some(SystemError { code, text }) = &self.system {
            write!(f, ": {text} (Win32 error {code})")?;
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for HostError {}
