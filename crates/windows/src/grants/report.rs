//! What comes out of grants and teardown, and what is heard on the way.

use std::fmt;
use std::ops::ControlFlow;

use crate::host::{HostError, HostErrorKind};
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;
use crate::state::StateError;

/// How far a walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Objects that were looked at.
    pub looked: u64,
    /// Descriptors that were written.
    pub written: u64,
    /// Objects that refused.
    pub refused: u64,
    /// Objects that were left alone.
    pub skipped: u64,
}

/// Hears how far a walk is, from several threads, after every few objects; says whether it goes on.
pub trait Progress: Sync {
    /// `Break` ends the walk in a state from which the next run goes on.
    fn step(&self, counts: &Counts) -> ControlFlow<()>;

    /// Another process changes descriptors, and this one waits for its end.
    fn waiting(&self) {}
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: &Counts) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// An object on which something could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The object.
    pub path: String,
    /// What failed.
    pub error: HostError,
}

impl Refused {
    pub(crate) fn of(error: HostError) -> Self {
        Self { path: error.path.clone(), error }
    }
}

/// An object that was left alone, with what lies below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftAlone {
    /// The object.
    pub path: WinPath,
    /// Why.
    pub reason: String,
}

/// A root that could not be granted: it is read-only in this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Degraded {
    /// The root.
    pub root: WinPath,
    /// Its write SID, which the token must not carry.
    pub sid: SidText,
    /// What failed.
    pub error: HostError,
    /// The exact command that mends it.
    pub remedy: String,
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is read-only in this run: {}; {}", self.root, self.error, self.remedy)
    }
}

/// What came of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// How much was done.
    pub counts: Counts,
    /// Roots that could not be granted.
    pub degraded: Vec<Degraded>,
    /// Objects that were left alone on purpose.
    pub skipped: Vec<LeftAlone>,
    /// Objects that refused.
    pub refused: Vec<Refused>,
    /// The user ended it; the next run goes on where it stopped.
    pub cancelled: bool,
}

/// Why nothing, or nothing more, was done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrantError {
    /// The machine.
    Host(HostError),
    /// The state database: without a journal nothing is changed.
    State(StateError),
}

impl GrantError {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Host(error) => error.code(),
            Self::State(error) => error.code(),
        }
    }

    /// Whether this process is dying (memory host only).
    pub fn is_killed(&self) -> bool {
        matches!(self, Self::Host(error) if error.kind == HostErrorKind::Killed)
    }
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for GrantError {}

impl From<HostError> for GrantError {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl From<StateError> for GrantError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}
