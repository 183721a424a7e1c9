//! Ending what a command leaves behind where there is no pid namespace that would: the fallback backend.

use rustix::process::Pid;

use crate::error::{Failure, Stage};
use crate::sys;

/// Orphans of the tree become children of this process (PR_SET_CHILD_SUBREAPER), so that they can be found.
pub fn adopt() -> Result<(), Failure> {
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own))
        .map_err(Failure::at(Stage::Prepare, "PR_SET_CHILD_SUBREAPER"))
}

/// Kills children until none is left. Killing a parent hands its children to us, so each round reaches deeper.
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
