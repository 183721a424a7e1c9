//! Reaching processes outside the sandbox, and the sandbox' own pid 1.

pub(super) mod outsiders;
pub(super) mod pid1;

use std::ffi::c_long;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use super::attempt::{Attempt, Group, Need};
use super::call::{own, sys, words};
use super::scene::Scene;
use super::verdict::{Step, Stop, Tried};

/// What attempts put into another process' memory.
const WORD: u64 = u64::from_ne_bytes(*b"escaped!");

/// PTRACE_SEIZE.
const PTRACE_SEIZE: c_long = 0x4206;
/// PTRACE_INTERRUPT.
const PTRACE_INTERRUPT: c_long = 0x4207;

/// Yama lets an ordinary user look into other processes than his own children only at 0.
const YAMA: &[Need] = &[Need::Sysctl { path: "kernel/yama/ptrace_scope", lowest: 0, highest: 0 }];

const fn process(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_outside(Group::Processes, name, what, run)
}

/// Seizes, stops and changes the memory of `pid`.
fn poke(pid: i32, address: u64) -> Tried {
    sys!(libc::SYS_ptrace, PTRACE_SEIZE, pid, 0, 0).attack("PTRACE_SEIZE")?;
    sys!(libc::SYS_ptrace, PTRACE_INTERRUPT, pid, 0, 0).attack("PTRACE_INTERRUPT")?;
    sys!(libc::SYS_wait4, pid, 0, 0x4000_0000, 0).attack("wait4 __WALL")?;
    let poked = sys!(libc::SYS_ptrace, libc::PTRACE_POKEDATA, pid, address, WORD).attack("PTRACE_POKEDATA");
    let _detached = sys!(libc::SYS_ptrace, libc::PTRACE_DETACH, pid, 0, 0);
    poked.map(|_| "changed its memory by ptrace".into())
}

/// process_vm_writev(2).
fn write_memory(pid: i32, address: u64) -> Tried {
    let word = WORD.to_ne_bytes();
    let local = words(&[word.as_ptr() as u64, 8]);
    let remote = words(&[address, 8]);
    let written = sys!(libc::SYS_process_vm_writev, pid, &local, 1, &remote, 1, 0);
    written.attack("process_vm_writev").map(|_| "changed its memory".into())
}

/// Through /proc/PID/mem.
fn write_memory_file(pid: i32, address: u64) -> Tried {
    let file = OpenOptions::new().write(true).open(format!("/proc/{pid}/mem"));
    let written = file.and_then(|file| file.write_all_at(&WORD.to_ne_bytes(), address));
    written.attack("/proc/PID/mem").map(|()| "changed its memory through /proc".into())
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

/// A new soft RLIMIT_CORE for the process.
fn limit(pid: i32) -> Tried {
    let mut old = [0; 16];
    sys!(libc::SYS_prlimit64, pid, libc::RLIMIT_CORE, 0, old.as_mut_slice()).attack("prlimit64 to read")?;
    let mut new = old;
    let other = if old[..8] == 0_u64.to_ne_bytes() { 1_u64 } else { 0 };
    new[..8].copy_from_slice(&other.to_ne_bytes());
    let set = sys!(libc::SYS_prlimit64, pid, libc::RLIMIT_CORE, &new[..], 0);
    set.attack("prlimit64").map(|_| "changed its limits".into())
}
