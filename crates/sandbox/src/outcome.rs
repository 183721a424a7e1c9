//! How a command ended, and what was enforced meanwhile.

use serde::Serialize;

use crate::enforcement::Enforcement;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "how", content = "value")]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
    /// Killed with its whole tree by the wall-clock limit.
    TimedOut,
}

impl Exit {
    /// The exit code of a launcher that hands the result on: the command's own, 128 + signal, or 124.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
            Self::TimedOut => 124,
        }
    }
}

/// The end of a run: how it ended, what was enforced, what the user should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// How.
    pub exit: Exit,
    /// What was enforced.
    pub enforcement: Enforcement,
    /// One line each; for instance a write that was refused because of a hard link.
    pub reports: Vec<String>,
}

/// An [`Outcome`] with the output that was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The outcome.
    pub outcome: Outcome,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}
