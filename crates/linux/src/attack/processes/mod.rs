//! Reaching processes outside the sandbox, and the sandbox' own pid 1.

pub(super) mod outsiders;
pub(super) mod pid1;

use std::ffi::c_long;
use std::io;

use super::attempt::{Attempt, Group, Need};
use super::call::{own, sys, words};
use super::scene::Scene;
use super::verdict::{Step, Stop, Tried};

/// What attempts put into another process' memory.
const WORD: u64 = u64::from_ne_bytes(*b"escaped!");

/// PTRACE_SEIZE.
const PTRACE_SEIZE: c_long = 0x4206;

/// Yama lets an ordinary user look into other processes than his own children only at 0.
const YAMA: &[Need] = &[Need::Sysctl { path: "kernel/yama/ptrace_scope", lowest: 0, highest: 0 }];

const fn process(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_outside(Group::Processes, name, what, run)
}

/// Makes this process the tracer of `pid`; its end lets go again.
fn seize(pid: i32) -> Result<(), Stop> {
    sys!(libc::SYS_ptrace, PTRACE_SEIZE, pid, 0, 0).map(drop).attack("PTRACE_SEIZE")
}

/// process_vm_writev(2) of [`WORD`].
fn write_memory(pid: i32, address: u64) -> io::Result<i64> {
    let word = WORD.to_ne_bytes();
    let local = words(&[word.as_ptr() as u64, 8]);
    let remote = words(&[address, 8]);
    sys!(libc::SYS_process_vm_writev, pid, &local, 1, &remote, 1, 0)
}

fn pidfd(pid: i32) -> Result<std::os::fd::OwnedFd, Stop> {
    sys!(libc::SYS_pidfd_open, pid, 0).map(own).attack("pidfd_open")
}

/// Takes descriptor 0 of the process.
fn take_descriptor(pid: i32) -> Tried {
    let pidfd = pidfd(pid)?;
    sys!(libc::SYS_pidfd_getfd, &pidfd, 0, 0)
        .map(own)
        .attack("pidfd_getfd")
        .map(|_| "took its descriptor 0".into())
}
