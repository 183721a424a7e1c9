//! Ending what a command leaves behind, before its end is reported.

use rustix::process::Pid;

use crate::error::{Failure, Stage};
use crate::sys;

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
