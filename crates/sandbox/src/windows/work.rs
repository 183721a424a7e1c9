//! A command that runs, whoever started it.

use codex_sandbox_windows::launch::Prepared as Command;
use codex_sandbox_windows::plan::Tier;
use codex_sandbox_windows::prepare::Prepared;
use codex_sandbox_windows::runner::Failure;
use codex_sandbox_windows::win32::launch::Stream;
use codex_sandbox_windows::win32::running::{Ended, Running};
use nt_security::Sid;

use super::elevated::Elevated;
use super::error::WindowsError;
use super::session::Session;

/// By tier.
#[derive(Debug)]
pub(crate) enum Work {
    /// A restricted copy of this process' own token.
    Own(Running),
    /// A sandbox account's.
    Runner(Box<Elevated>),
}

impl Work {
    /// Starts it in the tier of its plan, and in no other. `piped` says which streams the caller has the other end of.
    ///
    /// # Errors
    /// [`WindowsError`]: then nothing of it runs.
    pub(crate) fn start(
        session: &Session,
        prepared: &Prepared,
        without: &[Sid],
        command: &Command,
        streams: [Stream; 3],
        piped: [bool; 3],
    ) -> Result<Self, WindowsError> {
        let plan = &prepared.plan;
        Ok(match plan.tier {
            Tier::Unelevated => Self::Own(Running::start(plan, without, command, streams)?),
            Tier::Elevated if matches!(streams[0], Stream::Terminal(_)) => {
                return Err(
                    not_elevated("--tty: a command of the elevated tier has no pseudo console").into()
                );
            }
            Tier::Elevated => {
                let about = (plan, &prepared.facts);
                Self::Runner(Box::new(session.runners.start(about, without, command, streams, piped)?))
            }
        })
    }

    /// See [`super::Command::leave_the_rest`].
    ///
    /// # Errors
    /// [`WindowsError`] in the elevated tier, where the job is the runner's, which ends with this process.
    pub(crate) fn leave_the_rest(&mut self) -> Result<(), WindowsError> {
        match self {
            Self::Own(running) => {
                running.leave_the_rest();
                Ok(())
            }
            Self::Runner(_) => {
                Err(not_elevated("--detach: a command of the elevated tier ends with its runner").into())
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::Own(running) => running.id(),
            Self::Runner(elevated) => elevated.id(),
        }
    }

    pub(crate) fn wait(&self) -> Result<Ended, WindowsError> {
        match self {
            Self::Own(running) => Ok(running.wait()?),
            Self::Runner(elevated) => elevated.wait(),
        }
    }

    pub(crate) fn try_wait(&self) -> Result<Option<Ended>, WindowsError> {
        match self {
            Self::Own(running) => Ok(running.try_wait()?),
            Self::Runner(elevated) => elevated.try_wait(),
        }
    }

    pub(crate) fn kill(&self) {
        match self {
            Self::Own(running) => running.kill(),
            Self::Runner(elevated) => elevated.kill(),
        }
    }

    /// Kills it, and waits until nothing of it changes a file any more.
    pub(crate) fn end(&self) {
        match self {
            Self::Own(running) => {
                running.kill();
                let _gone = running.wait();
            }
            Self::Runner(elevated) => elevated.end(),
        }
    }
}

fn not_elevated(words: &str) -> Failure {
    let remedy = "run without it, or with -c windows.sandbox=unelevated";
    Failure::new("run.not-elevated", "start the command", words, remedy)
}
