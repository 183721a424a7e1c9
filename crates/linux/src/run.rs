//! Starting a command under a plan, and what can be done with it while it runs.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::error::{Failure, RunError};
use crate::native::command::Image;
use crate::native::station::Station;
use crate::native::{self, Sandboxed};
use crate::plan::{Backend, LinuxPlan};
use crate::program;
use crate::sys;
use crate::wire::{FromInit, ToInit};

/// One of a command's standard streams.
#[derive(Debug, Default)]
pub enum Stream {
    /// The launcher's own.
    #[default]
    Inherit,
    /// /dev/null.
    Null,
    /// This descriptor.
    Fd(OwnedFd),
}

/// A command to run.
#[derive(Debug)]
pub struct CommandSpec {
    /// Program: a path, or a name to look for in PATH of `env`.
    pub program: OsString,
    /// Arguments after the program's name.
    pub args: Vec<OsString>,
    /// The whole environment; the plan's own variables are added.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory, absolute.
    pub cwd: PathBuf,
    /// Standard input, output, error.
    pub stdio: [Stream; 3],
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command's own exit code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
    /// The wall-clock limit.
    TimedOut,
}

/// The end of a run, with what the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub exit: Exit,
    /// Reports of the broker.
    pub reports: Vec<String>,
}

/// A command that runs. Dropping it kills the whole tree.
#[derive(Debug)]
pub struct Running {
    sandboxed: Sandboxed,
    state: Mutex<State>,
    killed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    reports: Vec<String>,
    ended: Option<Ended>,
}

/// What a run ends with that the launcher itself killed.
const KILLED: Exit = Exit::Signal(libc::SIGKILL);

/// Signals that a launcher hands on to its command.
const FORWARDED: [i32; 8] = [
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGWINCH,
];

/// Signals held back from this thread, so that one that comes between the start of a command and
/// [`Running::wait_forwarding_signals`] waits for it instead of ending the launcher. Dropping it lets them through again.
#[derive(Debug)]
#[must_use]
pub struct HeldSignals(());

impl HeldSignals {
    /// Holds them back. Commands started meanwhile get the mask of before.
    pub fn hold() -> Self {
        sys::hold_signals(&FORWARDED);
        Self(())
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        sys::release_signals();
    }
}

/// Starts a command.
///
/// # Errors
/// [`RunError`]: nothing is left behind then.
pub fn spawn(plan: &LinuxPlan, spec: CommandSpec) -> Result<Running, RunError> {
    start(plan, spec, |image, cwd, stdio| native::launch(plan, image, cwd, stdio))
}

fn start(
    plan: &LinuxPlan,
    spec: CommandSpec,
    launch: impl FnOnce(&Image, &Path, [OwnedFd; 3]) -> Result<Sandboxed, Failure>,
) -> Result<Running, RunError> {
    let env = with_plan_variables(plan, spec.env);
    let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    let file = program::find(&spec.program, path, &spec.cwd)?;
    let image = image(&file, &spec.program, &spec.args, &env)?;
    let stdio = stdio(spec.stdio, plan.policy.network_access)?;
    let sandboxed =
        launch(&image, &spec.cwd, stdio).map_err(|failure| RunError::from_failure(failure, &file))?;
    Ok(Running { sandboxed, state: Mutex::default(), killed: AtomicBool::new(false) })
}

/// Starts the commands of one sandbox: the first by itself, the later ones at a station, which keeps what they have in common.
#[derive(Debug, Default)]
pub struct Starter {
    begun: AtomicBool,
    station: Mutex<Option<Arc<Station>>>,
}

impl Starter {
    /// As [`spawn`]. Always with the same plan.
    ///
    /// # Errors
    /// As [`spawn`].
    pub fn spawn(&self, plan: &LinuxPlan, spec: CommandSpec) -> Result<Running, RunError> {
        let first = !self.begun.swap(true, Ordering::Relaxed);
        if first || plan.backend != Backend::Native {
            return spawn(plan, spec);
        }
        start(plan, spec, |image, cwd, stdio| {
            let at_station = || self.station(plan)?.launch(plan, image, cwd, &stdio);
            at_station().or_else(|failure| {
                // Somebody killed it: once more, at a new one.
                if !Station::is_gone(&failure) {
                    return Err(failure);
                }
                self.lock_station().take();
                at_station()
            })
        })
    }

    fn lock_station(&self) -> std::sync::MutexGuard<'_, Option<Arc<Station>>> {
        self.station.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The station, made anew where the old one's files or mounts have changed outside. (The old one lives on for as long as
    /// its commands.)
    fn station(&self, plan: &LinuxPlan) -> Result<Arc<Station>, Failure> {
        native::mounts::make_private_dirs(plan)?;
        let mut station = self.lock_station();
        match &*station {
            Some(current) if current.is_current(plan) => Ok(Arc::clone(current)),
            _ => {
                let new = Arc::new(Station::start(plan)?);
                *station = Some(Arc::clone(&new));
                Ok(new)
            }
        }
    }
}

fn with_plan_variables(plan: &LinuxPlan, mut env: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
    env.retain(|(name, _)| !plan.environment.iter().any(|(own, _)| name == own.as_str()));
    // A caller's own list of git's settings is left as it is, with all that belongs to it.
    let own_git = env.iter().any(|(name, _)| name == "GIT_CONFIG_COUNT");
    for (name, value) in plan.defaults.iter().filter(|(name, _)| !(own_git && name.starts_with("GIT_CONFIG")))
    {
        if !env.iter().any(|(known, _)| known == name.as_str()) {
            env.push((name.into(), value.clone().into_os_string()));
        }
    }
    env.extend(plan.environment.iter().map(|(name, value)| (name.into(), value.clone().into_os_string())));
    env
}

fn image(
    file: &Path,
    name: &OsStr,
    args: &[OsString],
    env: &[(OsString, OsString)],
) -> Result<Image, RunError> {
    let c_string = |text: &OsStr, what: &'static str| {
        CString::new(text.as_bytes()).map_err(|_| RunError::NulByte { what })
    };
    let argv = std::iter::once(name).chain(args.iter().map(OsString::as_os_str));
    let argv: Result<Vec<_>, _> = argv.map(|arg| c_string(arg, "an argument")).collect();
    let envp: Result<Vec<_>, _> = env
        .iter()
        .map(|(name, value)| {
            let joined = [name.as_bytes(), b"=", value.as_bytes()].concat();
            c_string(&OsString::from_vec(joined), "an environment variable")
        })
        .collect();
    Ok(Image::new(c_string(file.as_os_str(), "the program's path")?, argv?, envp?))
}

/// Descriptors for the child, all of them above 2, so that putting one in its place cannot overwrite another.
fn stdio(streams: [Stream; 3], network: bool) -> Result<[OwnedFd; 3], RunError> {
    let [input, output, error] = streams;
    let fail = |source: Errno| RunError::Setup {
        stage: crate::error::Stage::Prepare,
        object: "standard streams".into(),
        source: source.into(),
    };
    let open = |stream: Stream, number: i32, name: &'static str| {
        let fd = descriptor(stream, number).map_err(fail)?;
        match way_out(&fd, network) {
            Some(what) => Err(RunError::Socket { stream: name, what }),
            None => Ok(fd),
        }
    };
    Ok([
        open(input, rustix::stdio::raw_stdin(), "standard input")?,
        open(output, rustix::stdio::raw_stdout(), "standard output")?,
        open(error, rustix::stdio::raw_stderr(), "standard error")?,
    ])
}

fn descriptor(stream: Stream, number: i32) -> Result<OwnedFd, Errno> {
    let fd = match stream {
        Stream::Fd(fd) => fd,
        Stream::Inherit => match sys::duplicate_above(number, 3) {
            // The launcher itself was started without this stream.
            Err(Errno::BADF) => null()?,
            other => other?,
        },
        Stream::Null => null()?,
    };
    let number = std::os::fd::AsRawFd::as_raw_fd(&fd);
    if number > 2 { Ok(fd) } else { sys::duplicate_above(number, 3) }
}

fn null() -> Result<OwnedFd, Errno> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let fd = rustix::fs::open(c"/dev/null", flags, rustix::fs::Mode::empty())?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&fd);
    if number > 2 { Ok(fd) } else { sys::duplicate_above(number, 3) }
}

/// A socket belongs to the network namespace in which it was made: whatever the command does with it happens outside. Only a
/// connected stream has one peer for good, and with the network allowed the host's own protocols do no harm.
fn way_out(fd: &OwnedFd, network: bool) -> Option<&'static str> {
    let domain = sys::socket_option(fd.as_fd(), libc::SO_DOMAIN).ok()?;
    let kind = sys::socket_option(fd.as_fd(), libc::SO_TYPE).ok()?;
    match domain {
        libc::AF_UNIX if !matches!(kind, libc::SOCK_STREAM | libc::SOCK_SEQPACKET) => {
            Some("a socket for Unix datagrams")
        }
        libc::AF_UNIX if rustix::net::getpeername(fd).is_err() => Some("a socket without a peer"),
        libc::AF_UNIX => None,
        libc::AF_INET | libc::AF_INET6 if network && matches!(kind, libc::SOCK_STREAM | libc::SOCK_DGRAM) => {
            None
        }
        _ => Some("a socket of the host's network"),
    }
}

impl Running {
    /// The sandbox' pid 1, in the launcher's pid namespace: killing it ends the whole tree.
    pub fn id(&self) -> u32 {
        self.sandboxed.pid.unsigned_abs()
    }

    /// Whether the host's /proc had to stay visible (see [`crate::plan::host_proc_gap`]).
    pub fn host_proc(&self) -> bool {
        self.sandboxed.host_proc
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`RunError::Killed`] when pid 1 ended without saying how.
    pub fn wait(&self) -> Result<Ended, RunError> {
        let mut state = self.lock();
        loop {
            if let Some(ended) = &state.ended {
                return Ok(ended.clone());
            }
            if let Some(result) = self.receive(&mut state, RecvFlags::empty()) {
                return result;
            }
        }
    }

    /// Looks whether the end has come.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn try_wait(&self) -> Result<Option<Ended>, RunError> {
        let mut state = self.lock();
        if let Some(ended) = &state.ended {
            return Ok(Some(ended.clone()));
        }
        self.receive(&mut state, RecvFlags::DONTWAIT).transpose()
    }

    /// Waits for the end, and hands on to the command what this process is sent meanwhile (SIGTERM, SIGHUP, …). Signals of
    /// the terminal reach the command by themselves.
    ///
    /// The calling thread's signal mask is changed while it waits.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_forwarding_signals(&self) -> Result<Ended, RunError> {
        let Ok(signals) = sys::signalfd(&FORWARDED) else { return self.wait() };
        let old = sys::block_signals(&FORWARDED);
        let result = loop {
            if let Some(result) = self.try_wait().transpose() {
                break result;
            }
            let mut fds =
                [PollFd::new(&self.sandboxed.control, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
            let _interrupted = rustix::event::poll(&mut fds, None);
            while let Some(info) = sys::read_signal(signals.as_fd()) {
                if !info.from_kernel {
                    self.signal(info.signal);
                }
            }
        };
        sys::set_signal_mask(&old);
        result
    }

    /// Sends a signal to the command; one that has ended is no error.
    pub fn signal(&self, signal: i32) {
        let _ended = ToInit::Signal(signal).send(&self.sandboxed.control);
    }

    /// Kills the whole tree.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        let _already_gone = sys::pidfd_signal(self.sandboxed.pidfd.as_fd(), libc::SIGKILL);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes one message. `None`: nothing final yet.
    fn receive(&self, state: &mut State, flags: RecvFlags) -> Option<Result<Ended, RunError>> {
        let exit = match FromInit::receive(self.sandboxed.control.as_fd(), flags) {
            Ok(Some(FromInit::Report(report))) => {
                state.reports.push(report);
                return None;
            }
            Ok(Some(FromInit::Ended(status))) => exit_of(status),
            Ok(Some(FromInit::TimedOut)) => Exit::TimedOut,
            Ok(Some(FromInit::Started { .. })) => return None,
            Err(Errno::AGAIN) => return None,
            Ok(Some(FromInit::Failed(_)) | None) | Err(_) if self.killed.load(Ordering::SeqCst) => KILLED,
            Ok(Some(FromInit::Failed(_)) | None) | Err(_) => {
                self.sandboxed.end_after_loss();
                return Some(Err(RunError::Killed));
            }
        };
        match exit {
            KILLED => self.sandboxed.end(),
            _ => self.sandboxed.release(),
        }
        let ended = Ended { exit, reports: std::mem::take(&mut state.reports) };
        state.ended = Some(ended.clone());
        Some(Ok(ended))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.lock().ended.is_none() {
            self.sandboxed.end();
        }
    }
}

fn exit_of(status: i32) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}

/// A pipe for a stream: (the launcher's end, the command's end).
///
/// # Errors
/// pipe2(2)'s.
pub fn pipe(command_reads: bool) -> Result<(File, OwnedFd), std::io::Error> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok(if command_reads { (File::from(writer), reader) } else { (File::from(reader), writer) })
}
