//! The sandbox' pid 1: builds the sandbox from inside, starts the command, serves as its broker, reaps, and ends everything.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::broker::Broker;
use crate::error::{Failure, Stage};
use crate::native::command::{self, Entry, Image, Left};
use crate::native::work_folders::Cleaner;
use crate::native::{mounts, namespaces, network};
use crate::plan::{Backend, LinuxPlan};
use crate::sys;
use crate::wire::{FromInit, ToInit};

/// What pid 1 is given by the launcher; it lives in the copied memory.
pub struct Launch<'a> {
    /// The plan.
    pub plan: &'a LinuxPlan,
    /// The program.
    pub image: &'a Image,
    /// Working directory of the command.
    pub cwd: &'a Path,
    /// Descriptors for the command's 0, 1 and 2; all above 2.
    pub stdio: [OwnedFd; 3],
    /// Our end of the control socket.
    pub control: &'a OwnedFd,
    /// A pidfd of the launcher: when it ends, so do we.
    pub launcher: OwnedFd,
    /// The lock of runs, where there are roots.
    pub lock: Option<OwnedFd>,
    /// Wait for [`ToInit::Proceed`] before doing anything.
    pub wait: bool,
    /// A station has built namespaces and mounts already.
    pub at_station: bool,
    /// Signal mask of the launcher, for the command.
    pub mask: libc::sigset_t,
}

/// Runs pid 1 to its end; the process ends with it.
pub fn run(mut launch: Launch<'_>) -> ! {
    let bomb = AbortOnUnwind;
    let control = launch.control;
    if launch.plan.backend == Backend::Landlock {
        match super::orphans::split(&launch.launcher) {
            Ok(keeper) => launch.launcher = keeper,
            Err(failure) => {
                FromInit::Failed(failure).send(control.as_fd());
                sys::exit_now(1);
            }
        }
    }
    if let Err(failure) = serve(launch) {
        FromInit::Failed(failure).send(control.as_fd());
    }
    std::mem::forget(bomb);
    sys::exit_now(0)
}

/// A panic must not unwind into a copy of the launcher's stack.
pub struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        std::process::abort();
    }
}

fn serve(launch: Launch<'_>) -> Result<(), Failure> {
    let started = Instant::now();
    let descriptors = launch.stdio.iter().chain([launch.control, &launch.launcher]).chain(&launch.lock);
    hide(descriptors)?;
    if launch.wait && ToInit::receive(launch.control) != Some(ToInit::Proceed) {
        return Ok(());
    }
    let plan = launch.plan;
    let work = if launch.at_station { Vec::new() } else { build(plan)? };
    let proc = match plan.backend {
        Backend::Native => own_proc(plan)?,
        Backend::Landlock => None,
    };
    enter_cwd(launch.cwd)?;
    let stdio = launch.stdio.map(|fd| enter_folder(plan, fd));
    let [input, output, error] = stdio;
    let stdio = [input?, output?, error?];
    restrict_self(plan, proc.as_ref(), &work)?;
    let signals = sys::signalfd(&[libc::SIGCHLD]).map_err(Failure::at(Stage::Prepare, "signalfd"))?;
    let (control, launcher) = (launch.control, &launch.launcher);
    let host_proc = plan.backend == Backend::Native && proc.is_none();
    let command = start(plan, launch.image, stdio, &launch.mask)?;
    let mut broker = Broker::new(plan, command.listener, proc, launch.lock)
        .map_err(Failure::at(Stage::Seccomp, "broker"))?;
    FromInit::Started { host_proc }.send(control.as_fd());
    let deadline = plan.limits.wall_clock.map(|limit| started + limit);
    let ended = Loop { broker: &mut broker, control, launcher, signals, pid: command.pid }.run(deadline)?;
    // Nothing of the tree lives when the launcher hears of its end; the namespaces are taken down after that.
    match plan.backend {
        Backend::Native => super::orphans::end_namespace(),
        Backend::Landlock => super::orphans::end_all(),
    }
    if let Some(message) = ended {
        for report in broker.reports() {
            FromInit::Report(report).send(control.as_fd());
        }
        message.send(control.as_fd());
    }
    work.iter().for_each(Cleaner::clean);
    Ok(())
}

/// Nothing that the launcher's process holds may be of use to the command: no descriptor but `keep`, no strings.
pub fn hide<'f>(keep: impl Iterator<Item = &'f OwnedFd>) -> Result<(), Failure> {
    let mut keep: Vec<u32> = keep.map(number).collect();
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep {
        if fd > first {
            sys::close_range(first, fd - 1);
        }
        first = fd + 1;
    }
    sys::close_range(first, u32::MAX);
    sys::wipe_argv_and_environment();
    rustix::thread::set_name(c"codex-sandbox").map_err(Failure::at(Stage::Prepare, "PR_SET_NAME"))
}

fn number(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// Namespaces and mounts, but for /proc.
pub fn build(plan: &LinuxPlan) -> Result<Vec<Cleaner>, Failure> {
    let undumpable = || {
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
            .map_err(Failure::at(Stage::Prepare, "PR_SET_DUMPABLE"))
    };
    if plan.backend == Backend::Landlock {
        super::orphans::adopt()?;
        rustix::thread::set_no_new_privs(true).map_err(Failure::at(Stage::Prepare, "PR_SET_NO_NEW_PRIVS"))?;
        undumpable()?;
        return Ok(Vec::new());
    }
    if plan.identity.uid_ranges.is_empty() {
        namespaces::map_own_ids(&plan.identity)?;
    }
    undumpable()?;
    let network = network::begin(plan)?;
    let work = mounts::build(plan)?;
    network.map_or(Ok(()), network::Network::enter)?;
    Ok(work)
}

/// The /proc of this process' pid namespace; after it, power over namespaces and mounts is given up.
fn own_proc(plan: &LinuxPlan) -> Result<Option<OwnedFd>, Failure> {
    let proc = mounts::proc(plan)?;
    namespaces::keep_broker_capabilities(plan.identity.uid == 0)?;
    Ok(proc)
}

/// The inherited working directory lies below the new mounts; it is entered anew by its path.
fn enter_cwd(cwd: &Path) -> Result<(), Failure> {
    rustix::process::chdir(cwd).map_err(Failure::at(Stage::WorkingDirectory, cwd))
}

/// A folder among the standard streams lies below the new mounts too, where nothing is hidden: it is opened anew by its path.
fn enter_folder(plan: &LinuxPlan, fd: OwnedFd) -> Result<OwnedFd, Failure> {
    let folder =
        rustix::fs::fstat(&fd).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir());
    if !folder || plan.backend == Backend::Landlock {
        return Ok(fd);
    }
    let fail = Failure::at(Stage::Prepare, "a folder as standard stream");
    let reopened = rustix::fs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new())
        .and_then(|path| rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()))
        .and_then(|fd| if fd.as_raw_fd() > 2 { Ok(fd) } else { sys::duplicate_above(fd.as_raw_fd(), 3) });
    reopened.map_err(fail)
}

/// The broker's own Landlock domain.
fn restrict_self(plan: &LinuxPlan, proc: Option<&OwnedFd>, work: &[Cleaner]) -> Result<(), Failure> {
    if plan.landlock_abi == 0 {
        return Ok(());
    }
    let mut folders = Vec::new();
    let policy = &plan.policy;
    let paths = policy.roots.iter().map(|root| &root.path);
    let paths = paths.chain(&policy.temp.private).chain(&plan.private);
    let commit = policy.git == codex_sandbox_policy::GitMode::Commit;
    let git_dirs = policy.git_dirs.iter().filter(|_| commit).map(|dir| &dir.path);
    for path in paths.chain(git_dirs) {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        folders.push(opened.map_err(Failure::at(Stage::Landlock, path))?);
    }
    let mut borrowed: Vec<BorrowedFd<'_>> = folders.iter().map(AsFd::as_fd).collect();
    borrowed.extend(proc.map(AsFd::as_fd));
    borrowed.extend(work.iter().map(Cleaner::folder));
    let fail =
        || Failure { stage: Stage::Landlock, object: "the broker's domain".into(), errno: Errno::PERM };
    let devices = command::devices(plan);
    let devices: Vec<&Path> = devices.iter().map(std::path::PathBuf::as_path).collect();
    crate::landlock::broker(&borrowed, &devices)
        .and_then(|rules| rules.restrict_self())
        .map(drop)
        .map_err(|_| fail())
}

/// The command, running.
struct Command {
    pid: i32,
    listener: OwnedFd,
}

/// Until execve(2) the command's process borrows pid 1's memory and descriptors, and pid 1 waits for it (vfork(2)): nothing is
/// copied, the listener of its filter appears in pid 1's hands without a word, and so does the reason of a failure.
fn start(
    plan: &LinuxPlan,
    image: &Image,
    stdio: [OwnedFd; 3],
    mask: &libc::sigset_t,
) -> Result<Command, Failure> {
    let fail = |errno| Failure { stage: Stage::Exec, object: "starting the command".into(), errno };
    let mut left = Left::default();
    let entry = Entry { plan, image, stdio: &stdio, mask };
    // SAFETY: pid 1 has no other thread. `enter` changes nothing of what it shares with us but `left` and descriptors 0 to 2.
    let pid = unsafe { sys::vfork(&mut || command::enter(&entry, &mut left)) }.map_err(fail)?;
    drop(stdio);
    close_own_stdio().map_err(fail)?;
    match (left.failure, left.listener) {
        (Some(failure), _) => Err(failure),
        (None, Some(listener)) => Ok(Command { pid, listener }),
        // It was killed on the way.
        (None, None) => Err(fail(Errno::CHILD)),
    }
}

/// pid 1 must not hold the command's pipes open after the command closed them.
pub fn close_own_stdio() -> Result<(), Errno> {
    // For reading: pid 1 never writes.
    let null = rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)
}

/// Everything that pid 1 waits for.
struct Loop<'a, 'b> {
    broker: &'b mut Broker<'a>,
    control: &'b OwnedFd,
    launcher: &'b OwnedFd,
    signals: OwnedFd,
    pid: i32,
}

impl Loop<'_, '_> {
    /// Until the command ends (its message), the launcher ends (`None`) or the deadline passes.
    fn run(self, deadline: Option<Instant>) -> Result<Option<FromInit>, Failure> {
        loop {
            let ready = self.wait(deadline)?;
            if self.broker.has_blocked_calls() {
                self.broker.look_after_blocked_calls();
            }
            if ready.launcher_gone {
                return Ok(None);
            }
            if ready.call {
                self.broker.serve_one();
            }
            if ready.signal
                && let Some(status) = self.reap()
            {
                return Ok(Some(FromInit::Ended(status)));
            }
            if ready.message && !self.message() {
                return Ok(None);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(Some(FromInit::TimedOut));
            }
        }
    }

    fn wait(&self, deadline: Option<Instant>) -> Result<Ready, Failure> {
        let mut fds = [
            PollFd::new(self.broker.listener(), PollFlags::IN),
            PollFd::new(self.launcher, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(self.control, PollFlags::IN),
        ];
        let mut limit = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if self.broker.has_received_calls() {
            let pause = if self.broker.waits_for_lock() { Duration::from_millis(1) } else { Duration::ZERO };
            limit = Some(limit.map_or(pause, |limit| limit.min(pause)));
        } else if self.broker.has_blocked_calls() {
            // Somebody has to notice that the process behind a blocked call was killed or got a signal.
            let look = Duration::from_millis(50);
            limit = Some(limit.map_or(look, |limit| limit.min(look)));
        }
        let timeout = limit.map(|limit| Timespec {
            tv_sec: limit.as_secs() as i64,
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Failure::at(Stage::Prepare, "poll")(errno)),
        }
        let on = |at: usize, flags: PollFlags| fds.get(at).is_some_and(|fd| fd.revents().intersects(flags));
        let any = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        Ok(Ready {
            call: on(0, PollFlags::IN) || self.broker.has_received_calls(),
            launcher_gone: on(1, any),
            signal: on(2, any),
            message: on(3, any),
        })
    }

    /// Reaps what ended; the command's status, if it is among them.
    fn reap(&self) -> Option<i32> {
        while sys::read_signal(self.signals.as_fd()).is_some() {}
        let mut command = None;
        while let Some((pid, status)) = sys::reap_one() {
            if pid == self.pid {
                command = Some(status);
            }
        }
        command
    }

    /// A message of the launcher; false when there will be no more.
    fn message(&self) -> bool {
        match ToInit::receive(self.control) {
            Some(ToInit::Signal(signal)) => {
                let _already_gone = sys::kill(self.pid, signal);
                true
            }
            Some(ToInit::Proceed) => true,
            None => false,
        }
    }
}

struct Ready {
    call: bool,
    launcher_gone: bool,
    signal: bool,
    message: bool,
}
