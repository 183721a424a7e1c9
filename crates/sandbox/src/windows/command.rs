//! A command under construction.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::OwnedHandle;
use std::path::{Path, PathBuf};

use codex_sandbox_windows::launch::{Asked, Environment, LaunchError, prepare};
use codex_sandbox_windows::prepare::Prepared;
use codex_sandbox_windows::win32::conpty::PseudoConsole;
use codex_sandbox_windows::win32::launch::Stream;
use codex_sandbox_windows::win32::programs::Disks;
use nt_security::Sid;

use super::child::{Child, Process};
use super::elevated::identify;
use super::error::WindowsError;
use super::sandbox::{Plan, Sandbox};
use super::work::Work;
use crate::enforcement::{Enforcement, Gap, Strength};
use crate::error::Error;
use crate::outcome::{Outcome, Output};

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
    /// An open file, pipe or console.
    Handle(OwnedHandle),
    /// A console of the command's own, which is all three streams; see [`Command::terminal`].
    Terminal(PseudoConsole),
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Self::Handle(file.into())
    }
}

impl From<OwnedHandle> for Stdio {
    fn from(handle: OwnedHandle) -> Self {
        Self::Handle(handle)
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
    leaves: bool,
}

impl<'a> Command<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox, program: OsString) -> Self {
        let (args, env) = (Vec::new(), Vec::new());
        Self {
            sandbox,
            program,
            args,
            cwd: None,
            clear_env: false,
            env,
            stdio: Default::default(),
            leaves: false,
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

    /// Starts from an empty environment. SystemRoot is kept, without which next to no program of Windows starts.
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

    /// Gives the command a pseudo console for its three streams.
    pub fn terminal(&mut self, console: &PseudoConsole) -> &mut Self {
        self.stdio = std::array::from_fn(|_| Stdio::Terminal(console.clone()));
        self
    }

    /// What the command leaves running when it ends by itself goes on, in the same sandbox, even when this process has ended. A time
    /// limit then holds for the command alone.
    pub fn leave_the_rest(&mut self, leave: bool) -> &mut Self {
        self.leaves = leave;
        self
    }

    /// Starts the command. Streams that were given as [`Stdio::Handle`] are used up; the next spawn inherits them.
    ///
    /// # Errors
    /// [`Error`]: then nothing runs.
    pub fn spawn(&mut self) -> Result<Child, Error> {
        let mut ours = [None, None, None];
        let [stdin, stdout, stderr] = std::mem::take(&mut self.stdio);
        let streams = [
            open(stdin, true, &mut ours[0])?,
            open(stdout, false, &mut ours[1])?,
            open(stderr, false, &mut ours[2])?,
        ];
        let piped = ours.each_ref().map(Option::is_some);
        let [stdin, stdout, stderr] = ours;
        let (process, enforcement, notices) = self.start(streams, piped)?;
        Ok(Child { process, enforcement, notices, stdin, stdout, stderr })
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

    fn start(
        &self,
        streams: [Stream; 3],
        piped: [bool; 3],
    ) -> Result<(Process, Enforcement, Vec<String>), Error> {
        if *self.sandbox.plan() == Plan::Unsandboxed {
            return self.start_unsandboxed(streams);
        }
        let session = &self.sandbox.session;
        let (policy, cwd, progress) =
            (&self.sandbox.policy, &self.sandbox.cwd, self.sandbox.progress.as_ref());
        let prepared = session.begin(policy, cwd, self.sandbox.take_fresh(), progress)?;
        match self.launch(&prepared, streams, piped) {
            Ok((running, enforcement, notices)) => {
                let plan = Box::new(prepared.plan);
                Ok((Process::sandboxed(running, plan, session.clone()), enforcement, notices))
            }
            Err(error) => {
                session.ended(&prepared.plan);
                Err(error)
            }
        }
    }

    fn launch(
        &self,
        prepared: &Prepared,
        streams: [Stream; 3],
        piped: [bool; 3],
    ) -> Result<(Work, Enforcement, Vec<String>), Error> {
        let (plan, applied) = (&prepared.plan, &prepared.applied);
        if let Some(why) = &plan.network.refused {
            return Err(Error::NothingToEnforceWith { why: why.clone() });
        }
        let enforcement = weaker(plan.into(), applied);
        self.sandbox.check_strength(&enforcement)?;
        let windows = prepared.facts.folders.windows.to_string();
        let mut asked = self.asked()?;
        identify(&mut asked.environment, plan);
        let command = prepare(plan, asked, &windows, &Disks).map_err(WindowsError::from)?;
        let without: Vec<Sid> = applied.degraded.iter().map(|root| root.sid.0).collect();
        let session = &self.sandbox.session;
        let mut running = Work::start(session, prepared, &without, &command, streams, piped)?;
        if self.leaves {
            running.leave_the_rest()?;
        }
        let mut notices: Vec<String> = applied.degraded.iter().map(ToString::to_string).collect();
        notices.extend(command.notices);
        Ok((running, enforcement, notices))
    }

    fn asked(&self) -> Result<Asked, Error> {
        let arguments = self.args.iter().map(|argument| text("an argument", argument));
        Ok(Asked {
            program: text("the program", &self.program)?,
            arguments: arguments.collect::<Result<_, _>>()?,
            cwd: text("the working directory", self.working_directory().as_os_str())?,
            environment: self.environment(),
        })
    }

    fn working_directory(&self) -> PathBuf {
        let workspace = Path::new(&self.sandbox.cwd);
        self.cwd.as_ref().map_or_else(|| workspace.to_path_buf(), |dir| workspace.join(dir))
    }

    fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        let units = |text: &OsStr| text.encode_wide().collect::<Vec<u16>>();
        for (name, value) in std::env::vars_os() {
            if !self.clear_env || name.eq_ignore_ascii_case("SystemRoot") {
                environment.set_units(&units(&name), &units(&value));
            }
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => environment.set_units(&units(name), &units(value)),
                None => environment.remove_units(&units(name)),
            }
        }
        environment
    }

    fn start_unsandboxed(&self, streams: [Stream; 3]) -> Result<(Process, Enforcement, Vec<String>), Error> {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args).current_dir(self.working_directory());
        if self.clear_env {
            command.env_clear();
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let [stdin, stdout, stderr] = streams.map(std_stdio);
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        let child = command.spawn().map_err(|source| unsandboxed_error(&self.program, &source))?;
        Ok((Process::unsandboxed(child), Enforcement::nothing(), Vec::new()))
    }
}

/// What turned out weaker than planned while granting.
fn weaker(mut enforcement: Enforcement, applied: &codex_sandbox_windows::grants::Applied) -> Enforcement {
    let degraded = |path: &str| applied.degraded.iter().any(|root| root.root.as_str() == path);
    let open: Vec<&str> =
        applied.refused.iter().map(|refused| refused.path.as_str()).filter(|path| !degraded(path)).collect();
    if let Some(first) = open.first() {
        enforcement.strength = Strength::Partial;
        enforcement.gaps.push(Gap {
            code: "object-refused".to_owned(),
            what: format!(
                "{} objects could not be given the access that the policy says, the first is {first}",
                open.len()
            ),
            remedy: format!("look at it: icacls \"{first}\""),
        });
    }
    enforcement
}

fn text(what: &'static str, text: &OsStr) -> Result<String, Error> {
    let shown = || text.to_string_lossy().into_owned();
    let text = text.to_str().ok_or_else(|| LaunchError::NotUnicode { what, shown: shown() });
    Ok(text.map_err(WindowsError::from)?.to_owned())
}

fn open(stdio: Stdio, is_input: bool, ours: &mut Option<File>) -> Result<Stream, Error> {
    Ok(match stdio {
        Stdio::Inherit => Stream::Inherit,
        Stdio::Null => Stream::Null,
        Stdio::Handle(handle) => Stream::Handle(handle),
        Stdio::Terminal(console) => Stream::Terminal(console),
        Stdio::Piped => {
            let fail = |source| Error::Io { what: "a pipe for a standard stream", source };
            let (reader, writer) = std::io::pipe().map_err(fail)?;
            let (reader, writer) = (OwnedHandle::from(reader), OwnedHandle::from(writer));
            let (own, theirs) = if is_input { (writer, reader) } else { (reader, writer) };
            *ours = Some(own.into());
            Stream::Handle(theirs)
        }
    })
}

fn std_stdio(stream: Stream) -> std::process::Stdio {
    match stream {
        // Without a sandbox the caller's own console will do.
        Stream::Inherit | Stream::Terminal(_) => std::process::Stdio::inherit(),
        Stream::Null => std::process::Stdio::null(),
        Stream::Handle(handle) => handle.into(),
    }
}

fn unsandboxed_error(program: &OsStr, source: &std::io::Error) -> Error {
    let path = program.to_string_lossy().into_owned();
    WindowsError::from(match source.kind() {
        std::io::ErrorKind::NotFound => LaunchError::NotFound { program: path, folders: 0 },
        _ => LaunchError::NotExecutable { path, why: source.to_string() },
    })
    .into()
}
