//! A station: one process that keeps the namespaces and mounts of a sandbox for its later commands.
//!
//! Building them is most of what a command's start costs. A station builds them once, then waits for requests; for each it
//! clones a pid 1 with a pid namespace and a mount namespace of the command's own, which goes on as every pid 1 does. The
//! commands of one station share the network namespace, System V and POSIX IPC, /dev/shm and pseudo terminals; they cannot
//! see each other's processes, and each tree ends with its command. When the launcher closes the socket, or ends, the station
//! ends with everything in it.

mod request;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use self::request::{Reply, Request};
use super::command::Image;
use super::init::{self, AbortOnUnwind, Launch};
use super::work_folders::Cleaner;
use super::{Beginning, Sandboxed, namespaces, orphans};
use crate::error::{Failure, Stage};
use crate::plan::{LinuxPlan, Mount};
use crate::sys::{self, Cloned};
use crate::wire::{self, FromInit, ToInit};

/// The launcher's handle. Dropping it ends the station, and what still runs in it.
#[derive(Debug)]
pub struct Station {
    pid: i32,
    /// One request and its reply at a time.
    socket: Mutex<OwnedFd>,
    stamp: Stamp,
}

/// No process ever has this id: kill(2) says so.
const NO_PROCESS: i32 = i32::MAX;

/// What the mounts of a station were made of. When it has changed outside, the station is not what a new one would be.
#[derive(Debug)]
struct Stamp {
    files: Vec<Option<(u64, u64)>>,
    /// /proc/self/mountinfo, which poll(2) says has changed.
    mounts: OwnedFd,
}

impl Stamp {
    fn of(plan: &LinuxPlan) -> Result<Self, Failure> {
        let table = c"/proc/self/mountinfo";
        let mounts = rustix::fs::open(table, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let mounts = mounts.map_err(Failure::at(Stage::Prepare, "/proc/self/mountinfo"))?;
        Ok(Self { files: files(plan), mounts })
    }

    fn holds(&self, plan: &LinuxPlan) -> bool {
        let mut table = [PollFd::new(&self.mounts, PollFlags::PRI)];
        let changed = rustix::event::poll(&mut table, Some(&Timespec::default()));
        changed == Ok(0) && self.files == files(plan)
    }
}

fn files(plan: &LinuxPlan) -> Vec<Option<(u64, u64)>> {
    let id = |path: &Path| rustix::fs::lstat(path).ok().map(|stat| (stat.st_dev, stat.st_ino));
    plan.mounts.iter().flat_map(mounted_paths).map(id).collect()
}

fn mounted_paths(mount: &Mount) -> Vec<&Path> {
    match mount {
        Mount::Overlay { at, upper, .. } => vec![at, upper],
        Mount::Replace { at, with } => vec![at, with],
        Mount::Writable { path } | Mount::Protect { path } | Mount::Hide { path, .. } => vec![path],
        Mount::Devices { terminal } => terminal.as_deref().into_iter().collect(),
        Mount::ReadOnlyTree | Mount::Proc => Vec::new(),
    }
}

impl Station {
    /// Starts one for `plan`, whose private folders exist.
    pub fn start(plan: &LinuxPlan) -> Result<Self, Failure> {
        super::reap_released();
        let stamp = Stamp::of(plan)?;
        let (ours, theirs) = wire::pair().map_err(Failure::at(Stage::Prepare, "socketpair"))?;
        let launcher = super::own_pidfd()?;
        let maps = super::needs_maps(plan);
        let current = sys::block_all_signals();
        let started = super::start_init(plan, |socket| run(plan, &socket, &launcher, maps), theirs);
        sys::set_signal_mask(&current);
        let (pid, _pidfd) = started.map_err(Failure::at(Stage::Namespaces, "clone"))?;
        let station = Self { pid, socket: Mutex::new(ours), stamp };
        if maps {
            namespaces::map_ranges(pid, &plan.identity)?;
        }
        station.wait_until_built(maps)?;
        Ok(station)
    }

    fn wait_until_built(&self, maps: bool) -> Result<(), Failure> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        if maps {
            ToInit::Proceed.send(&socket).map_err(Failure::at(Stage::Prepare, "control socket"))?;
        }
        super::wait_for_start(&socket).map(drop)
    }

    /// Whether a failure of [`Self::launch`] says that there is no station any more.
    pub fn is_gone(failure: &Failure) -> bool {
        failure.object == Path::new(request::OBJECT)
    }

    /// Whether a new one would be built of the same files and mounts.
    pub fn is_current(&self, plan: &LinuxPlan) -> bool {
        self.stamp.holds(plan)
    }

    /// Starts a command in it, and waits until it runs.
    pub fn launch(
        self: Arc<Self>,
        plan: &LinuxPlan,
        image: &Image,
        cwd: &Path,
        stdio: &[OwnedFd; 3],
    ) -> Result<Sandboxed, Failure> {
        let Beginning { lock, cgroup, control, theirs } = Beginning::of(plan)?;
        let wait = cgroup.is_some();
        let mask = sys::mask_for_commands(sys::signal_mask());
        let request = Request { image, cwd, mask, wait };
        let pidfd = {
            let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
            request.send(&socket, &theirs, stdio, lock.as_ref())?;
            Reply::receive(&socket)?
        };
        // It may have ended already, and its number be free for others.
        let pid = sys::pid_of(pidfd.as_fd()).unwrap_or(NO_PROCESS);
        let sandboxed = Sandboxed { pid, pidfd, control, cgroup, host_proc: false, station: Some(self) };
        sandboxed.begin(|| Ok(()), wait)
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        let socket = self.socket.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _already_gone = rustix::net::shutdown(&*socket, rustix::net::Shutdown::Both);
        super::reap_later(self.pid);
    }
}

/// The station's process.
fn run(plan: &LinuxPlan, socket: &OwnedFd, launcher: &OwnedFd, maps: bool) -> ! {
    let bomb = AbortOnUnwind;
    match build(plan, socket, launcher, maps) {
        Ok(work) => {
            FromInit::Started { host_proc: false }.send(socket.as_fd());
            if let Err(failure) = serve(plan, socket, launcher) {
                FromInit::Failed(failure).send(socket.as_fd());
            }
            orphans::end_namespace();
            work.iter().for_each(Cleaner::clean);
        }
        Err(failure) => FromInit::Failed(failure).send(socket.as_fd()),
    }
    std::mem::forget(bomb);
    sys::exit_now(0)
}

fn build(
    plan: &LinuxPlan,
    socket: &OwnedFd,
    launcher: &OwnedFd,
    maps: bool,
) -> Result<Vec<Cleaner>, Failure> {
    init::hide([socket, launcher].into_iter())?;
    // The launcher's streams are not the station's to hold open.
    init::close_own_stdio().map_err(Failure::at(Stage::Prepare, "standard streams"))?;
    if maps && ToInit::receive(socket) != Some(ToInit::Proceed) {
        return Err(Failure::at(Stage::Prepare, "control socket")(Errno::PIPE));
    }
    let work = init::build(plan)?;
    // The launcher's working directory lies below the new mounts.
    rustix::process::chdir("/").map_err(Failure::at(Stage::WorkingDirectory, "/"))?;
    Ok(work)
}

/// Until the launcher closes the socket or ends.
fn serve(plan: &LinuxPlan, socket: &OwnedFd, launcher: &OwnedFd) -> Result<(), Failure> {
    let fail = |what: &'static str| Failure::at(Stage::Prepare, what);
    let signals = sys::signalfd(&[libc::SIGCHLD]).map_err(fail("signalfd"))?;
    loop {
        let mut fds = [
            PollFd::new(socket, PollFlags::IN),
            PollFd::new(launcher, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(fail("poll")(errno)),
        }
        let [request, end, child] = fds.map(|fd| !fd.revents().is_empty());
        if end {
            return Ok(());
        }
        if child {
            while sys::read_signal(signals.as_fd()).is_some() {}
            while sys::reap_one().is_some() {}
        }
        if request && !answer(plan, socket, launcher)? {
            return Ok(());
        }
    }
}

/// Answers one request; false when there will be no more.
fn answer(plan: &LinuxPlan, socket: &OwnedFd, launcher: &OwnedFd) -> Result<bool, Failure> {
    let Some(received) = request::receive(socket)? else { return Ok(false) };
    let flags = (libc::CLONE_NEWPID | libc::CLONE_NEWNS) as u64;
    // SAFETY: the station has one thread.
    match unsafe { sys::clone3(flags) } {
        Ok(Cloned::Child) => {
            let launcher = launcher.try_clone().ok();
            command(plan, received, launcher);
            sys::exit_now(1)
        }
        Ok(Cloned::Parent { pidfd, .. }) => Reply::send(socket, Ok(&pidfd)),
        Err(errno) => Reply::send(socket, Err(Failure::at(Stage::Namespaces, "clone")(errno))),
    }
    Ok(true)
}

/// pid 1 of a command.
fn command(plan: &LinuxPlan, received: request::Received, launcher: Option<OwnedFd>) {
    let control = &received.control;
    let parsed = launcher.ok_or(Errno::MFILE).and_then(|launcher| Ok((launcher, received.read()?)));
    let (launcher, request::Content { image, cwd, mask, wait }) = match parsed {
        Ok(parsed) => parsed,
        Err(errno) => {
            FromInit::Failed(Failure::at(Stage::Prepare, "request")(errno)).send(control.as_fd());
            return;
        }
    };
    let (stdio, lock) = (received.stdio, received.lock);
    init::run(Launch {
        plan,
        image: &image,
        cwd: &cwd,
        stdio,
        control,
        launcher,
        lock,
        wait,
        at_station: true,
        mask,
    })
}
