//! Brings stage and attempt together: sets the stage, starts the attempt (inside a sandbox, or outside to see that it can
//! succeed), looks at what happened, and concludes.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::attempt::{Attempt, Proof, Stdin};
use super::stage::{Stage, StageError};
use super::verdict::Verdict;

/// No attempt takes a second by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the words of [`Outcome::Held`] begin where the attempt believes that it got through: it reached what the sandbox has of
/// its own, such as its layer over /tmp.
pub const BELIEVED: &str = "nothing outside changed, though";

/// Where an attempt runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the sandbox: it must be held.
    Inside,
    /// Without one: it must get through.
    Outside,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It did not get through; how it was stopped.
    Held(String),
    /// It got through; what changed, or what it did.
    Escaped(String),
    /// It could not be tried here; why.
    Skipped(String),
    /// It proves nothing: the attempt, or the launcher, failed for a reason of its own.
    Broken(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(how) => write!(f, "held: {how}"),
            Self::Escaped(how) => write!(f, "ESCAPED: {how}"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
            Self::Broken(why) => write!(f, "not tried: {why}"),
        }
    }
}

/// The attempt could not even be started.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The stage.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A step of the start.
    #[error("attempt {attempt}: {step}: {source}")]
    Start {
        /// Its name.
        attempt: &'static str,
        /// What was being done.
        step: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// How attempts are started.
#[derive(Debug, Clone)]
pub struct Driver {
    /// Where.
    pub place: Place,
    /// The launcher with its arguments, as `codex-sandbox run --`; empty outside.
    pub launcher: Vec<OsString>,
    /// The program that hands its last two arguments to [`run_inside`](super::run_inside).
    pub program: Vec<OsString>,
    /// Environment variables of the launcher, beside those of this process.
    pub environment: Vec<(OsString, OsString)>,
    /// See [`Stage::prepare`].
    pub setuid_program: Option<PathBuf>,
}

impl Driver {
    /// Makes one attempt on a stage of its own in the new folder `dir`, which is removed afterwards.
    ///
    /// # Errors
    /// The stage cannot be set, or the launcher cannot be started. (A launcher that starts and fails is
    /// [`Outcome::Broken`].)
    pub fn run(&self, attempt: &Attempt, dir: &Path) -> Result<Outcome, DriveError> {
        if let (Place::Outside, Some(excuse)) = (self.place, attempt.excuse()) {
            return Ok(Outcome::Skipped(excuse));
        }
        let start = |step| move |source| DriveError::Start { attempt: attempt.name, step, source };
        fs::create_dir_all(dir).map_err(start("making its folder"))?;
        let outcome = self.on_stage(attempt, dir);
        // What an attempt left there may resist; the folder is the caller's to look at then.
        let _left = fs::remove_dir_all(dir);
        outcome
    }

    fn on_stage(&self, attempt: &Attempt, dir: &Path) -> Result<Outcome, DriveError> {
        let start = |step| move |source| DriveError::Start { attempt: attempt.name, step, source };
        let dir = dir.canonicalize().map_err(start("finding its folder"))?;
        let mut stage = Stage::prepare(&dir, self.setuid_program.as_deref())?;
        if attempt.stdin == Stdin::Terminal && stage.terminal().is_none() {
            return Ok(Outcome::Skipped("no pseudo terminal can be opened".to_owned()));
        }
        let (output, errors) = (dir.join("stdout"), dir.join("stderr"));
        let mut command = self.command(attempt, &stage, &output, &errors).map_err(start("preparing"))?;
        let mut child = command.spawn().map_err(start("starting the launcher"))?;
        let status = wait(&mut child).map_err(start("waiting"))?;
        std::thread::sleep(attempt.settle);
        let verdict = verdict(status, &output, &errors);
        Ok(self.conclude(attempt, verdict, &stage.changes()?))
    }

    fn command(&self, attempt: &Attempt, stage: &Stage, output: &Path, errors: &Path) -> io::Result<Command> {
        let scene = stage.scene_file(self.place);
        let mut words = self.launcher.iter().chain(&self.program);
        let program = words.next().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut command = Command::new(program);
        command.args(words).arg(attempt.name).arg(scene);
        command
            .current_dir(stage.workspace())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(File::create(output)?).stderr(File::create(errors)?);
        command.stdin(match attempt.stdin {
            Stdin::Null | Stdin::Terminal => Stdio::null(),
            Stdin::OutsideFolder => File::open(stage.outside())?.into(),
            Stdin::OutsideFile => File::open(stage.outside().join("file"))?.into(),
        });
        if let (Stdin::Terminal, Some(terminal)) = (attempt.stdin, stage.terminal()) {
            control_terminal(&mut command, terminal);
        }
        Ok(command)
    }

    fn conclude(&self, attempt: &Attempt, verdict: Result<Verdict, String>, changes: &[String]) -> Outcome {
        if !changes.is_empty() {
            return Outcome::Escaped(changes.join("; "));
        }
        match (verdict, attempt.proof) {
            (Err(died), _) => Outcome::Broken(died),
            (Ok(Verdict::Skipped(why)), _) => Outcome::Skipped(why),
            (Ok(Verdict::Broken(why)), _) => Outcome::Broken(why),
            (Ok(Verdict::Succeeded(how)), Proof::Inside) => Outcome::Escaped(how),
            (Ok(Verdict::Succeeded(how)), Proof::Outside) => Outcome::Held(format!("{BELIEVED} {how}")),
            (Ok(Verdict::Denied { errno, detail }), _) => {
                let excuse = errno.and_then(|errno| attempt.excuse_for(errno));
                match (self.place, excuse) {
                    (Place::Outside, Some(excuse)) => Outcome::Skipped(excuse),
                    _ => Outcome::Held(detail),
                }
            }
        }
    }
}

/// Makes the terminal the controlling terminal and standard input of the command, in a session of its own.
fn control_terminal(command: &mut Command, terminal: BorrowedFd<'_>) {
    let terminal = terminal.as_raw_fd();
    // SAFETY: the closure makes three async-signal-safe calls on a descriptor that the stage keeps open past the spawn.
    unsafe {
        command.pre_exec(move || {
            let failed = libc::setsid() == -1
                || libc::ioctl(terminal, libc::TIOCSCTTY, 0) == -1
                || libc::dup2(terminal, 0) == -1;
            if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
        });
    }
}

fn wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The attempt's own word, or what became of the process that should have given it.
fn verdict(status: Option<ExitStatus>, output: &Path, errors: &Path) -> Result<Verdict, String> {
    let text =
        |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let Some(status) = status else { return Err(format!("no end after {} seconds", PATIENCE.as_secs())) };
    if let Some(verdict) = text(output).lines().rev().find_map(|line| line.parse().ok()) {
        return Ok(verdict);
    }
    let killed_by_filter = status.signal() == Some(libc::SIGSYS) || status.code() == Some(128 + libc::SIGSYS);
    if killed_by_filter {
        return Ok(Verdict::Denied {
            errno: None,
            detail: "the seccomp filter killed the process".to_owned(),
        });
    }
    let errors = text(errors);
    Err(format!(
        "no verdict ({status}): {}",
        errors.trim().lines().next_back().unwrap_or("nothing on standard error")
    ))
}
