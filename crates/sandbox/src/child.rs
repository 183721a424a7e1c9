//! A command that runs, and how it ended.

use std::fs::File;
use std::io::Read;
use std::sync::Mutex;

use codex_sandbox_linux::run::{self, Running};

use crate::enforcement::Enforcement;
use crate::error::Error;
use crate::outcome::{Exit, Outcome, Output};

#[derive(Debug)]
pub(crate) enum Process {
    Sandboxed(Running),
    Unsandboxed(Mutex<std::process::Child>),
}

impl Process {
    pub(crate) fn unsandboxed(child: std::process::Child) -> Self {
        Self::Unsandboxed(Mutex::new(child))
    }
}

/// A command that runs. Dropping it kills the whole tree.
#[derive(Debug)]
pub struct Child {
    pub(crate) process: Process,
    pub(crate) enforcement: Enforcement,
    /// The command's input, if it is piped.
    pub stdin: Option<File>,
    /// The command's output, if it is piped.
    pub stdout: Option<File>,
    /// The command's errors, if they are piped.
    pub stderr: Option<File>,
}

impl Child {
    /// The process id of the sandbox' first process: killing it ends the whole tree.
    pub fn id(&self) -> u32 {
        match &self.process {
            Process::Sandboxed(running) => running.id(),
            Process::Unsandboxed(child) => lock(child).id(),
        }
    }

    /// What is enforced.
    pub fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }

    /// Closes the piped input, if there is one, and waits for the end.
    ///
    /// # Errors
    /// [`Error`] when the sandbox was killed from outside.
    pub fn wait(&mut self) -> Result<Outcome, Error> {
        drop(self.stdin.take());
        match &self.process {
            Process::Sandboxed(running) => Ok(self.outcome(running.wait()?)),
            Process::Unsandboxed(child) => self.unsandboxed_outcome(lock(child).wait()),
        }
    }

    /// Like [`Self::wait`]; meanwhile signals that this process is sent go on to the command. For launchers whose whole
    /// work is this command.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_forwarding_signals(&mut self) -> Result<Outcome, Error> {
        match &self.process {
            Process::Sandboxed(running) => {
                drop(self.stdin.take());
                Ok(self.outcome(running.wait_forwarding_signals()?))
            }
            Process::Unsandboxed(_) => self.wait(),
        }
    }

    /// Looks whether the end has come.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn try_wait(&mut self) -> Result<Option<Outcome>, Error> {
        match &self.process {
            Process::Sandboxed(running) => Ok(running.try_wait()?.map(|ended| self.outcome(ended))),
            Process::Unsandboxed(child) => {
                lock(child).try_wait().transpose().map(|status| self.unsandboxed_outcome(status)).transpose()
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
        let reader = std::thread::spawn(move || read_all(err));
        let stdout = read_all(out);
        let stderr = reader.join().unwrap_or_else(|_| Ok(Vec::new()));
        let fail = |source| Error::Io { what: "the command's output", source };
        Ok(Output { outcome: self.wait()?, stdout: stdout.map_err(fail)?, stderr: stderr.map_err(fail)? })
    }

    /// Kills the whole tree. [`Self::wait`] then reports it.
    pub fn kill(&mut self) {
        match &self.process {
            Process::Sandboxed(running) => running.kill(),
            Process::Unsandboxed(child) => {
                let _already_gone = lock(child).kill();
            }
        }
    }

    /// Sends a signal to the command itself.
    pub fn signal(&self, signal: i32) {
        if let Process::Sandboxed(running) = &self.process {
            running.signal(signal);
        }
    }

    fn outcome(&self, ended: run::Ended) -> Outcome {
        let exit = match ended.exit {
            run::Exit::Code(code) => Exit::Code(code),
            run::Exit::Signal(signal) => Exit::Signal(signal),
            run::Exit::TimedOut => Exit::TimedOut,
        };
        Outcome { exit, enforcement: self.enforcement.clone(), reports: ended.reports }
    }

    fn unsandboxed_outcome(
        &self,
        status: std::io::Result<std::process::ExitStatus>,
    ) -> Result<Outcome, Error> {
        use std::os::unix::process::ExitStatusExt;
        let status = status.map_err(|source| Error::Io { what: "waiting for the command", source })?;
        let exit = match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        };
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
