//! A command under construction.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use codex_sandbox_linux::error::RunError;
use codex_sandbox_linux::run::{self, CommandSpec, Stream};

use crate::child::{Child, Process};
use crate::enforcement::Enforcement;
use crate::error::Error;
use crate::outcome::{Outcome, Output};
use crate::sandbox::Sandbox;

/// What one of a command's standard streams is connected to.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The caller's own.
    #[default]
    Inherit,
    /// Nothing.
    Null,
    /// A new pipe, whose other end is in the [`Child`].
    Piped,
    /// An open file, pipe or terminal.
    Fd(OwnedFd),
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Self::Fd(file.into())
    }
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Self {
        Self::Fd(fd)
    }
}

/// A command to run in a [`Sandbox`], in the manner of [`std::process::Command`].
#[derive(Debug)]
pub struct Command<'a> {
    sandbox: &'a Sandbox,
    program: OsString,
    args: Vec<OsString>,
    cwd: Option<PathBuf>,
    clear_env: bool,
    /// In order; `None` removes.
    env: Vec<(OsString, Option<OsString>)>,
    stdio: [Stdio; 3],
}

impl<'a> Command<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox, program: OsString) -> Self {
        Self {
            sandbox,
            program,
            args: Vec::new(),
            cwd: None,
            clear_env: false,
            env: Vec::new(),
            stdio: Default::default(),
        }
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl Into<OsString>) -> &mut Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Where the command starts; a relative path is relative to the workspace. What it may do does not depend on it.
    pub fn current_dir(&mut self, dir: impl Into<PathBuf>) -> &mut Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Sets an environment variable.
    pub fn env(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> &mut Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Removes an environment variable.
    pub fn env_remove(&mut self, name: impl Into<OsString>) -> &mut Self {
        self.env.push((name.into(), None));
        self
    }

    /// Starts from an empty environment.
    pub fn env_clear(&mut self) -> &mut Self {
        self.clear_env = true;
        self.env.clear();
        self
    }

    /// Standard input.
    pub fn stdin(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.stdio[0] = stream.into();
        self
    }

    /// Standard output.
    pub fn stdout(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.stdio[1] = stream.into();
        self
    }

    /// Standard error.
    pub fn stderr(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.stdio[2] = stream.into();
        self
    }

    /// Starts the command. Streams that were given as [`Stdio::Fd`] are used up; the next spawn inherits them.
    ///
    /// # Errors
    /// [`Error`]: then nothing runs, and nothing is left behind.
    pub fn spawn(&mut self) -> Result<Child, Error> {
        let mut pipes = Pipes::default();
        let stdio = std::mem::take(&mut self.stdio);
        let [stdin, stdout, stderr] = stdio;
        let streams = [
            pipes.open(stdin, 0).map_err(pipe_error)?,
            pipes.open(stdout, 1).map_err(pipe_error)?,
            pipes.open(stderr, 2).map_err(pipe_error)?,
        ];
        let (process, enforcement) = self.start(streams)?;
        let [stdin, stdout, stderr] = pipes.ours;
        Ok(Child { process, enforcement, stdin, stdout, stderr })
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    /// As [`Self::spawn`] and [`Child::wait`].
    pub fn status(&mut self) -> Result<Outcome, Error> {
        self.spawn()?.wait()
    }

    /// Runs the command to its end with its output captured and nothing on its input.
    ///
    /// # Errors
    /// As [`Self::spawn`] and [`Child::wait`].
    pub fn output(&mut self) -> Result<Output, Error> {
        self.stdio = [Stdio::Null, Stdio::Piped, Stdio::Piped];
        self.spawn()?.wait_with_output()
    }

    fn start(&self, streams: [Stream; 3]) -> Result<(Process, Enforcement), Error> {
        let Some(plan) = self.sandbox.linux_plan() else {
            return self.start_unsandboxed(streams);
        };
        self.sandbox.resolved().check_runnable()?;
        let mut enforcement = Enforcement::from(plan);
        self.sandbox.check_strength(&enforcement)?;
        // Kept for a second try: a machine says only when asked that it refuses namespaces.
        let again = duplicate(&streams).map_err(pipe_error)?;
        match self.sandbox.starter().spawn(plan, self.spec(streams)) {
            Err(RunError::NamespacesRefused { .. }) if self.sandbox.namespaces_refused() => self.start(again),
            result => {
                let running = result?;
                if running.host_proc() {
                    enforcement.weaken(&codex_sandbox_linux::plan::host_proc_gap());
                }
                Ok((Process::Sandboxed(running), enforcement))
            }
        }
    }

    fn spec(&self, stdio: [Stream; 3]) -> CommandSpec {
        CommandSpec {
            program: self.program.clone(),
            args: self.args.clone(),
            env: self.environment(),
            cwd: self.working_directory(),
            stdio,
        }
    }

    fn working_directory(&self) -> PathBuf {
        let workspace = &self.sandbox.resolved().cwd;
        self.cwd.as_ref().map_or_else(|| workspace.clone(), |dir| workspace.join(dir))
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let mut env: Vec<(OsString, OsString)> =
            if self.clear_env { Vec::new() } else { std::env::vars_os().collect() };
        for (name, value) in &self.env {
            env.retain(|(known, _)| known.as_os_str() != name.as_os_str());
            env.extend(value.as_ref().map(|value| (name.clone(), value.clone())));
        }
        env
    }

    fn start_unsandboxed(&self, streams: [Stream; 3]) -> Result<(Process, Enforcement), Error> {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args).current_dir(self.working_directory()).env_clear().envs(self.environment());
        let [stdin, stdout, stderr] = streams.map(std_stdio);
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        let child = command.spawn().map_err(|source| unsandboxed_error(&self.program, source))?;
        Ok((Process::unsandboxed(child), Enforcement::nothing()))
    }
}

fn std_stdio(stream: Stream) -> std::process::Stdio {
    match stream {
        Stream::Inherit => std::process::Stdio::inherit(),
        Stream::Null => std::process::Stdio::null(),
        Stream::Fd(fd) => fd.into(),
    }
}

fn unsandboxed_error(program: &OsStr, source: std::io::Error) -> Error {
    let program = PathBuf::from(program);
    Error::Run(match source.kind() {
        std::io::ErrorKind::NotFound => RunError::NotFound { program },
        _ => RunError::NotExecutable { program, source },
    })
}

fn pipe_error(source: std::io::Error) -> Error {
    Error::Io { what: "a pipe for a standard stream", source }
}

fn duplicate(streams: &[Stream; 3]) -> std::io::Result<[Stream; 3]> {
    let copy = |stream: &Stream| {
        Ok::<_, std::io::Error>(match stream {
            Stream::Inherit => Stream::Inherit,
            Stream::Null => Stream::Null,
            Stream::Fd(fd) => Stream::Fd(fd.try_clone()?),
        })
    };
    Ok([copy(&streams[0])?, copy(&streams[1])?, copy(&streams[2])?])
}

/// The caller's ends of the pipes.
#[derive(Default)]
struct Pipes {
    ours: [Option<File>; 3],
}

impl Pipes {
    fn open(&mut self, stdio: Stdio, number: usize) -> std::io::Result<Stream> {
        Ok(match stdio {
            Stdio::Inherit => Stream::Inherit,
            Stdio::Null => Stream::Null,
            Stdio::Fd(fd) => Stream::Fd(fd),
            Stdio::Piped => {
                let (ours, theirs) = run::pipe(number == 0)?;
                self.ours[number] = Some(ours);
                Stream::Fd(theirs)
            }
        })
    }
}
