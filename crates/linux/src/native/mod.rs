//! Building the sandbox: what the launcher does, what pid 1 does, what the command's process does until execve(2).

pub mod command;
mod init;
pub mod mounts;
mod namespaces;
mod network;
mod orphans;
pub mod station;
mod work_folders;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::PidfdFlags;

use self::command::Image;
use self::init::Launch;
use self::station::Station;
use crate::cgroup::RunCgroup;
use crate::error::{Failure, Stage};
use crate::plan::{Backend, LinuxPlan};
use crate::sys::{self, Cloned};
use crate::wire::{self, FromInit, ToInit};

/// A sandbox whose command runs.
#[derive(Debug)]
pub struct Sandboxed {
    /// pid 1, in the launcher's pid namespace.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// The control socket.
    pub control: OwnedFd,
    /// Removed when the run is over.
    pub cgroup: Option<RunCgroup>,
    /// The host's /proc stayed visible.
    pub host_proc: bool,
    /// What started pid 1, where that was not the launcher itself, and must live for as long as the command.
    pub station: Option<Arc<Station>>,
}

/// What every run needs before its pid 1 exists.
struct Beginning {
    lock: Option<OwnedFd>,
    cgroup: Option<RunCgroup>,
    control: OwnedFd,
    theirs: OwnedFd,
}

impl Beginning {
    fn of(plan: &LinuxPlan) -> Result<Self, Failure> {
        let lock = plan.lock.as_deref().map(mounts::open_lock).transpose()?;
        let cgroup = RunCgroup::create(&plan.limits).map_err(cgroup_failure)?;
        let (control, theirs) = wire::pair().map_err(Failure::at(Stage::Prepare, "socketpair"))?;
        Ok(Self { lock, cgroup, control, theirs })
    }
}

fn cgroup_failure((object, error): (PathBuf, std::io::Error)) -> Failure {
    Failure { stage: Stage::Limits, object, errno: Errno::from_io_error(&error).unwrap_or(Errno::IO) }
}

/// A pidfd of this process, by which those in the sandbox notice its end.
fn own_pidfd() -> Result<OwnedFd, Failure> {
    rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .map_err(Failure::at(Stage::Prepare, "pidfd_open"))
}

/// Starts pid 1 for `plan` and waits until the command runs.
pub fn launch(
    plan: &LinuxPlan,
    image: &Image,
    cwd: &Path,
    stdio: [OwnedFd; 3],
) -> Result<Sandboxed, Failure> {
    mounts::make_private_dirs(plan)?;
    let Beginning { lock, cgroup, control, theirs } = Beginning::of(plan)?;
    reap_released();
    let launcher = own_pidfd()?;
    let maps = needs_maps(plan);
    let wait = maps || cgroup.is_some();
    let current = sys::block_all_signals();
    let mask = sys::mask_for_commands(current);
    let started = start_init(
        plan,
        |parts| {
            let control = &parts;
            init::run(Launch {
                plan,
                image,
                cwd,
                stdio,
                control,
                launcher,
                lock,
                wait,
                at_station: false,
                mask,
            })
        },
        theirs,
    );
    sys::set_signal_mask(&current);
    let (pid, pidfd) = started.map_err(Failure::at(Stage::Namespaces, "clone"))?;
    let sandboxed = Sandboxed { pid, pidfd, control, cgroup, host_proc: false, station: None };
    sandboxed.begin(|| if maps { namespaces::map_ranges(pid, &plan.identity) } else { Ok(()) }, wait)
}

/// Root's id maps have to be written from outside.
fn needs_maps(plan: &LinuxPlan) -> bool {
    plan.backend == Backend::Native && !plan.identity.uid_ranges.is_empty()
}

/// Clones pid 1. In a process with threads the allocator may be locked by one that the child does not have, so there the
/// C library's fork, which settles that, comes first, and its child clones pid 1 as our own child and ends.
fn start_init<F: FnOnce(OwnedFd)>(
    plan: &LinuxPlan,
    body: F,
    theirs: OwnedFd,
) -> Result<(i32, OwnedFd), Errno> {
    let flags = clone_flags(plan);
    if sys::is_single_threaded() {
        // SAFETY: this is the only thread.
        return match unsafe { sys::clone3(flags) }? {
            Cloned::Child => {
                body(theirs);
                sys::exit_now(1)
            }
            Cloned::Parent { pid, pidfd } => Ok((pid, pidfd)),
        };
    }
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the child calls no code that waits for another thread of this process.
    let middle = unsafe { sys::fork() }?;
    if middle == 0 {
        drop(reader);
        // SAFETY: after fork this is the only thread.
        let number = match unsafe { sys::clone3(flags | libc::CLONE_PARENT as u64) } {
            Ok(Cloned::Child) => {
                drop(writer);
                body(theirs);
                sys::exit_now(1)
            }
            Ok(Cloned::Parent { pid, .. }) => pid,
            Err(errno) => -errno.raw_os_error(),
        };
        let _launcher_gone = rustix::io::write(&writer, &number.to_le_bytes());
        sys::exit_now(0);
    }
    drop((writer, theirs));
    let mut number = [0_u8; 4];
    let read = rustix::io::retry_on_intr(|| rustix::io::read(&reader, &mut number));
    let _reaped = sys::wait_pid(middle);
    if read? != number.len() {
        return Err(Errno::CHILD);
    }
    let pid = i32::from_le_bytes(number);
    if pid < 0 {
        return Err(Errno::from_raw_os_error(-pid));
    }
    // Nobody but us reaps our child, so its number cannot be another's yet.
    let raw = rustix::process::Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    Ok((pid, rustix::process::pidfd_open(raw, PidfdFlags::empty())?))
}

fn clone_flags(plan: &LinuxPlan) -> u64 {
    let flag = |name: &String| match name.as_str() {
        "user" => libc::CLONE_NEWUSER,
        "mount" => libc::CLONE_NEWNS,
        "pid" => libc::CLONE_NEWPID,
        "ipc" => libc::CLONE_NEWIPC,
        "uts" => libc::CLONE_NEWUTS,
        // pid 1 makes it: see `network`.
        network::NAME => 0,
        _ => 0,
    };
    plan.namespaces.iter().map(|name| flag(name) as u64).sum()
}

fn wait_for_start(control: &OwnedFd) -> Result<bool, Failure> {
    let gone = Failure { stage: Stage::Prepare, object: "pid 1 of the sandbox".into(), errno: Errno::CHILD };
    match FromInit::receive(control.as_fd(), RecvFlags::empty()) {
        Ok(Some(FromInit::Started { host_proc })) => Ok(host_proc),
        Ok(Some(FromInit::Failed(failure))) => Err(failure),
        _ => Err(gone),
    }
}

/// pid 1s that have reported their command's end, and whose own was not waited for.
static RELEASED: Mutex<Vec<i32>> = Mutex::new(Vec::new());

fn reap_later(pid: i32) {
    RELEASED.lock().unwrap_or_else(PoisonError::into_inner).push(pid);
    reap_released();
}

fn reap_released() {
    let mut released = RELEASED.lock().unwrap_or_else(PoisonError::into_inner);
    released.retain(|pid| !sys::has_ended(*pid));
}

impl Sandboxed {
    /// Does for pid 1 what only the outside can (`maps`, its cgroup), lets it go on if it waits for that, and waits until the
    /// command runs.
    fn begin(mut self, maps: impl FnOnce() -> Result<(), Failure>, wait: bool) -> Result<Self, Failure> {
        match maps().and_then(|()| self.hand_over(wait)).and_then(|()| wait_for_start(&self.control)) {
            Ok(host_proc) => {
                self.host_proc = host_proc;
                Ok(self)
            }
            Err(failure) => {
                self.end();
                Err(failure)
            }
        }
    }

    fn hand_over(&self, wait: bool) -> Result<(), Failure> {
        if let Some(cgroup) = &self.cgroup {
            cgroup.add(self.pid).map_err(cgroup_failure)?;
        }
        if wait {
            ToInit::Proceed.send(&self.control).map_err(Failure::at(Stage::Prepare, "control socket"))?;
        }
        Ok(())
    }

    /// Waits until pid 1 is gone. One that a station started is the station's to reap.
    fn wait_gone(&self) {
        if self.station.is_none() {
            let _reaped = sys::wait_pid(self.pid);
            return;
        }
        let mut ends = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        while rustix::event::poll(&mut ends, None) == Err(Errno::INTR) {}
    }

    /// The command has ended, and with it all of its tree: pid 1 only has its namespaces to take down, for which nobody
    /// needs to wait. (A cgroup can only be removed after that.)
    pub fn release(&self) {
        if self.cgroup.is_some() {
            self.wait_gone();
        } else if self.station.is_none() {
            reap_later(self.pid);
        }
    }

    /// The control socket closed without a word. What is left (the fallback's keeper) may be ending the tree just now.
    pub fn end_after_loss(&self) {
        let grace = rustix::event::Timespec { tv_sec: 3, tv_nsec: 0 };
        let mut ends = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        let _grace_over = rustix::event::poll(&mut ends, Some(&grace));
        self.end();
    }

    /// Kills pid 1, and with it the whole tree, and waits for its end.
    pub fn end(&self) {
        let _already_gone = sys::pidfd_signal(self.pidfd.as_fd(), libc::SIGKILL);
        self.wait_gone();
    }
}

/// Whether this process may make the namespaces of a sandbox: tried in a child that ends at once.
pub fn try_namespaces() -> Result<(), String> {
    let flags = sys::NAMESPACE_FLAGS & !(libc::CLONE_NEWCGROUP as u64);
    let (reader, writer) = wire::pair().map_err(|errno| errno.to_string())?;
    // SAFETY: the child makes a few system calls and ends; it takes no lock of another thread.
    let cloned = unsafe { sys::clone3(flags) }.map_err(|errno| format!("clone: {errno}"))?;
    match cloned {
        Cloned::Child => {
            if let Err(errno) = mounts::try_read_only() {
                FromInit::Failed(Failure { stage: Stage::Namespaces, object: "mount_setattr".into(), errno })
                    .send(writer.as_fd());
            }
            sys::exit_now(0)
        }
        Cloned::Parent { pid, .. } => {
            drop(writer);
            let report = FromInit::receive(reader.as_fd(), RecvFlags::empty());
            let _reaped = sys::wait_pid(pid);
            match report {
                Ok(Some(FromInit::Failed(failure))) => {
                    Err(format!("{}: {}", failure.object.display(), failure.errno))
                }
                _ => Ok(()),
            }
        }
    }
}
