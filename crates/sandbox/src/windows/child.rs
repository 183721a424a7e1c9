//! A command that runs.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex};

use codex_sandbox_windows::plan::WindowsPlan;
use codex_sandbox_windows::win32::running::Ended;

use super::session::Session;
use super::work::Work;
use crate::enforcement::Enforcement;
use crate::error::Error;
use crate::outcome::{Exit, Outcome, Output};

#[derive(Debug)]
pub(crate) enum Process {
    Sandboxed(Box<Sandboxed>),
    Unsandboxed(Mutex<std::process::Child>),
}

/// The command, and what is done when it has ended.
#[derive(Debug)]
pub(crate) struct Sandboxed {
    running: Work,
    plan: Box<WindowsPlan>,
    session: Arc<Session>,
    /// How it ended, once the end was dealt with.
    over: Mutex<Option<(Ended, Vec<String>)>>,
}

impl Sandboxed {
    /// The end is dealt with once, by whoever sees it first.
    fn finish(&self, ended: Ended) -> (Ended, Vec<String>) {
        let mut over = self.over.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        over.get_or_insert_with(|| (ended, self.session.ended(&self.plan))).clone()
    }
}

impl Drop for Sandboxed {
    fn drop(&mut self) {
        // Files do not change any more once this returns.
        self.running.end();
        self.finish(Ended::Code(1));
    }
}

impl Process {
    pub(crate) fn sandboxed(running: Work, plan: Box<WindowsPlan>, session: Arc<Session>) -> Self {
        Self::Sandboxed(Box::new(Sandboxed { running, plan, session, over: Mutex::new(None) }))
    }

    pub(crate) fn unsandboxed(child: std::process::Child) -> Self {
        Self::Unsandboxed(Mutex::new(child))
    }
}

/// A command that runs. Dropping it kills the whole tree.
#[derive(Debug)]
pub struct Child {
    pub(crate) process: Process,
    pub(crate) enforcement: Enforcement,
    pub(crate) notices: Vec<String>,
    /// The command's input, if it is piped.
    pub stdin: Option<File>,
    /// The command's output, if it is piped.
    pub stdout: Option<File>,
    /// The command's errors, if they are piped.
    pub stderr: Option<File>,
}

impl Child {
    /// The process id of the command.
    pub fn id(&self) -> u32 {
        match &self.process {
            Process::Sandboxed(child) => child.running.id(),
            Process::Unsandboxed(child) => lock(child).id(),
        }
    }

    /// What is enforced.
    pub fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }

    /// What was found out while starting it, one line each: roots that stay read-only, a program that runs in another's place.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Closes the piped input, if there is one, and waits for the end of the command. What it left running ends with it.
    ///
    /// # Errors
    /// [`Error`], the system's.
    pub fn wait(&mut self) -> Result<Outcome, Error> {
        drop(self.stdin.take());
        match &self.process {
            Process::Sandboxed(child) => {
                let ended = child.running.wait()?;
                Ok(self.outcome(child.finish(ended)))
            }
            Process::Unsandboxed(child) => {
                let status = lock(child).wait();
                self.unsandboxed_outcome(status)
            }
        }
    }

    /// Looks whether the end has come.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn try_wait(&mut self) -> Result<Option<Outcome>, Error> {
        match &self.process {
            Process::Sandboxed(child) => {
                let ended = child.running.try_wait()?;
                Ok(ended.map(|ended| self.outcome(child.finish(ended))))
            }
            Process::Unsandboxed(child) => {
                let status = lock(child).try_wait().transpose();
                status.map(|status| self.unsandboxed_outcome(status)).transpose()
            }
        }
    }

    /// Waits for the end and reads piped output meanwhile.
    ///
    /// # Errors
    /// As [`Self::wait`], and the system's when reading fails.
    pub fn wait_with_output(mut self) -> Result<Output, Error> {
        drop(self.stdin.take());
        let (out, err) = (self.stdout.take(), self.stderr.take());
        let readers = [out, err].map(|file| std::thread::spawn(move || read_all(file)));
        let outcome = self.wait()?;
        let [stdout, stderr] = readers.map(|reader| reader.join().unwrap_or_else(|_| Ok(Vec::new())));
        let fail = |source| Error::Io { what: "the command's output", source };
        Ok(Output { outcome, stdout: stdout.map_err(fail)?, stderr: stderr.map_err(fail)? })
    }

    /// Kills the whole tree. [`Self::wait`] then reports it.
    pub fn kill(&mut self) {
        match &self.process {
            Process::Sandboxed(child) => child.running.kill(),
            Process::Unsandboxed(child) => {
                let _already_gone = lock(child).kill();
            }
        }
    }

    fn outcome(&self, (ended, reports): (Ended, Vec<String>)) -> Outcome {
        let exit = match ended {
            Ended::Code(code) => Exit::Code(code.cast_signed()),
            Ended::TimedOut => Exit::TimedOut,
        };
        Outcome { exit, enforcement: self.enforcement.clone(), reports }
    }

    fn unsandboxed_outcome(
        &self,
        status: std::io::Result<std::process::ExitStatus>,
    ) -> Result<Outcome, Error> {
        let status = status.map_err(|source| Error::Io { what: "waiting for the command", source })?;
        // On Windows every process has an exit code.
        let exit = Exit::Code(status.code().unwrap_or_default());
        Ok(Outcome { exit, enforcement: self.enforcement.clone(), reports: Vec::new() })
    }
}

fn lock(child: &Mutex<std::process::Child>) -> std::sync::MutexGuard<'_, std::process::Child> {
    child.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn read_all(file: Option<File>) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    if let Some(mut file) = file {
        file.read_to_end(&mut content)?;
    }
    Ok(content)
}
