//! One command to start, inside the sandbox or outside, and its output.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::binary::program;
use crate::live::Live;
use crate::user::User;

/// What every user finds programs by.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that hangs is killed after this time, and the test fails.
const GUARD: Duration = Duration::from_secs(120);

/// A command to start: like [`std::process::Command`], as a certain user and with a small, known environment.
#[derive(Debug, Clone)]
pub struct Run {
    user: User,
    sandboxed: bool,
    subcommand: OsString,
    /// Words that stand before the launcher: a wrapper such as `unshare -U`.
    wrapper: Vec<OsString>,
    flags: Vec<OsString>,
    words: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    pub(crate) cwd: PathBuf,
    stdin: Input,
    pub(crate) guard: Duration,
}

/// What is on standard input.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    Null,
    Bytes(Vec<u8>),
    /// A pipe that stays open until [`Live`] is told otherwise.
    Open,
}

impl Run {
    pub(crate) fn new<S: AsRef<OsStr>>(
        user: &User,
        home: &OsStr,
        cwd: PathBuf,
        words: impl IntoIterator<Item = S>,
    ) -> Self {
        let env = [("PATH", PATH.into()), ("HOME", home.to_owned()), ("LANG", "C.UTF-8".into())];
        Self {
            user: user.clone(),
            sandboxed: true,
            subcommand: "run".into(),
            wrapper: Vec::new(),
            flags: Vec::new(),
            words: strings(words),
            env: env.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            cwd,
            stdin: Input::Null,
            guard: GUARD,
        }
    }

    pub(crate) fn without_sandbox(mut self) -> Self {
        self.sandboxed = false;
        self
    }

    /// Another subcommand than `run`; its words come after the flags, without `--`.
    #[must_use]
    pub fn subcommand(mut self, name: &str) -> Self {
        self.subcommand = name.into();
        self
    }

    /// More options of `codex-sandbox run`, before the `--`.
    #[must_use]
    pub fn flags<S: AsRef<OsStr>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
        self.flags.extend(strings(flags));
        self
    }

    /// One more word of the command.
    #[must_use]
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// Starts the launcher by these words: `unshare --user`, `env -i`.
    #[must_use]
    pub fn wrapped<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.wrapper.extend(strings(words));
        self
    }

    /// Sets a variable of the launcher's environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self = self.env_remove(&name);
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Removes a variable of the launcher's environment.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.retain(|(known, _)| known.as_os_str() != name.as_ref());
        self
    }

    /// The launcher's working directory, relative to the workspace.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = self.cwd.join(dir.into());
        self
    }

    /// What the command reads on standard input; nothing by default.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(bytes.into());
        self
    }

    /// Standard input is a pipe that stays open as long as the command runs.
    #[must_use]
    pub fn stdin_open(mut self) -> Self {
        self.stdin = Input::Open;
        self
    }

    /// Kills the command after this time, and fails the test. The default is two minutes.
    #[must_use]
    pub fn guard(mut self, seconds: u64) -> Self {
        self.guard = Duration::from_secs(seconds);
        self
    }

    /// The user whom it runs as.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Starts it.
    #[track_caller]
    pub fn start(&self) -> Live {
        self.try_start().unwrap_or_else(|error| panic!("{:?}: {error}", self.command_line()))
    }

    /// Starts it, if the system lets it.
    ///
    /// # Errors
    /// The system's, of starting a process.
    pub fn try_start(&self) -> std::io::Result<Live> {
        Live::start(self)
    }

    /// Runs it to its end.
    pub fn output(&self) -> Output {
        self.start().wait()
    }

    pub(crate) fn input(&self) -> &Input {
        &self.stdin
    }

    /// Everything in order: wrapper, launcher, flags, command.
    pub(crate) fn command_line(&self) -> Vec<OsString> {
        let mut line = self.wrapper.clone();
        if self.sandboxed {
            line.extend([program().into(), self.subcommand.clone()]);
            line.extend(self.flags.iter().cloned());
            if self.subcommand == "run" {
                line.push("--".into());
            }
        }
        line.extend(self.words.iter().cloned());
        line
    }

    pub(crate) fn command(&self, line: &[OsString]) -> Command {
        let (first, rest) = line.split_first().expect("a command has a name");
        let mut command = Command::new(first);
        command.args(rest).current_dir(&self.cwd).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if !self.user.is_me() {
            // As `su` does; the standard library also drops the supplementary groups.
            command.uid(self.user.uid).gid(self.user.gid);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(match self.stdin {
            Input::Null => Stdio::null(),
            Input::Bytes(_) | Input::Open => Stdio::piped(),
        });
        command
    }
}

fn strings<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Vec<OsString> {
    words.into_iter().map(|word| word.as_ref().to_owned()).collect()
}

/// How a command ended and what it wrote.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command, for messages.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// The exit code, if it was not killed.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that killed it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Standard output as text, without the last line's end.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// Standard error as text, without the last line's end.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim_end().to_owned()
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code(), Some(code), "exit code; {self}");
        self
    }

    /// Asserts that standard output, without the last line's end, is this.
    #[track_caller]
    pub fn expect_out(&self, text: &str) -> &Self {
        assert_eq!(self.out(), text, "standard output; {self}");
        self
    }

    /// Asserts that standard error contains each of these.
    #[track_caller]
    pub fn expect_err(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.err().contains(part), "{part:?} is not on standard error; {self}");
        }
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, status, .. } = self;
        write!(out, "`{line}`: {status}\n--- stdout\n{}\n--- stderr\n{}\n---", self.out(), self.err())
    }
}
