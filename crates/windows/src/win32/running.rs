//! A command that runs, to its end.

use std::time::{Duration, Instant};

use super::error::Win32Error;
use super::launch::{Machine, Stream};
use crate::launch::{LaunchError, Prepared, Started, start};
use crate::plan::WindowsPlan;

/// Exit code of what is killed: what TerminateProcess callers use by custom.
const KILLED: u32 = 1;
/// A killed process is gone within milliseconds, unless a driver holds it.
const GOING: Duration = Duration::from_secs(10);

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(u32),
    /// The time limit was over.
    TimedOut,
}

/// A command that runs. Dropping it kills the whole tree.
#[derive(Debug)]
pub struct Running {
    started: Started<Machine>,
    deadline: Option<Instant>,
}

impl Running {
    /// Starts a command; `without` are the write SIDs of roots that could not be granted.
    ///
    /// # Errors
    /// [`LaunchError`]: then nothing of it runs.
    pub fn start(
        plan: &WindowsPlan,
        without: &[nt_security::Sid],
        command: &Prepared,
        stdio: [Stream; 3],
    ) -> Result<Self, LaunchError> {
        let started = start(&Machine, plan, without, command, stdio)?;
        let deadline =
            plan.job.wall_clock_ms.and_then(|time| Instant::now().checked_add(Duration::from_millis(time)));
        Ok(Self { started, deadline })
    }

    /// The process id of the command.
    pub fn id(&self) -> u32 {
        self.started.process.id()
    }

    /// Waits for its end, then ends what it left running.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&self) -> Result<Ended, Win32Error> {
        loop {
            // A deadline further away than the longest wait is waited for in pieces.
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if let Some(ended) = self.look(left)? {
                return Ok(ended);
            }
        }
    }

    /// Looks whether it has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn try_wait(&self) -> Result<Option<Ended>, Win32Error> {
        self.look(Some(Duration::ZERO))
    }

    fn look(&self, most: Option<Duration>) -> Result<Option<Ended>, Win32Error> {
        let ended = if self.started.process.wait(most)? {
            Ended::Code(self.started.process.exit_code()?)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Ended::TimedOut
        } else {
            return Ok(None);
        };
        self.kill();
        self.started.job.wait_empty(GOING);
        Ok(Some(ended))
    }

    /// Kills the whole tree.
    pub fn kill(&self) {
        self.started.job.kill(KILLED);
    }
}
