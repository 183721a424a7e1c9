//! Ending what a command leaves behind, before its end is reported.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::error::{Failure, Stage};
use crate::sys::{self, Cloned};

/// Without a pid namespace: divides this process into a keeper and the supervisor that goes on. Whichever of the two is
/// killed, the other inherits the tree and ends it. Returns in the supervisor, with a pidfd of the keeper.
pub fn split(launcher: &OwnedFd) -> Result<OwnedFd, Failure> {
    let fail = |errno| Failure::at(Stage::Prepare, "keeper")(errno);
    adopt()?;
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).map_err(fail)?;
    // SAFETY: this process has one thread.
    match unsafe { sys::clone3(0) }.map_err(fail)? {
        Cloned::Child => Ok(own),
        Cloned::Parent { pidfd, .. } => keep(launcher, &pidfd),
    }
}

/// The keeper: waits until the launcher or the supervisor is gone, and ends what is left.
fn keep(launcher: &OwnedFd, supervisor: &OwnedFd) -> ! {
    let mut keep = [number(launcher), number(supervisor)];
    keep.sort_unstable();
    sys::close_range(3, keep[0] - 1);
    sys::close_range(keep[0] + 1, keep[1] - 1);
    sys::close_range(keep[1] + 1, u32::MAX);
    let mut ends = [PollFd::new(launcher, PollFlags::IN), PollFd::new(supervisor, PollFlags::IN)];
    while rustix::event::poll(&mut ends, None) == Err(Errno::INTR) {}
    end_all();
    sys::exit_now(0)
}

fn number(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// Orphans of the tree become children of this process (PR_SET_CHILD_SUBREAPER), so that they can be found.
pub fn adopt() -> Result<(), Failure> {
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own))
        .map_err(Failure::at(Stage::Prepare, "PR_SET_CHILD_SUBREAPER"))
}

/// As pid 1 of a namespace: kills and reaps every other process of it. (The kernel would do the same at our own end, but
/// only after it has taken the mounts down.)
pub fn end_namespace() {
    // kill(2): -1 is every process that the caller may signal, pid 1 and itself left out.
    if sys::kill(-1, libc::SIGKILL).is_err() {
        return;
    }
    while rustix::process::waitpid(None::<Pid>, rustix::process::WaitOptions::empty()).is_ok() {}
}

/// Without a pid namespace: kills children until none is left. Killing a parent hands its children to us, so each round reaches deeper.
pub fn end_all() {
    loop {
        let children = children();
        if children.is_empty() {
            return;
        }
        for pid in children {
            let _already_gone = sys::kill(pid, libc::SIGKILL);
        }
        // At least one ends; then look again.
        let _status = rustix::process::waitpid(None::<Pid>, rustix::process::WaitOptions::empty());
        while sys::reap_one().is_some() {}
    }
}

fn children() -> Vec<i32> {
    let list = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
