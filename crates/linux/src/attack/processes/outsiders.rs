//! A process of the same user, outside: signals, memory, descriptors, limits. And outliving the run.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use super::{WORD, YAMA, pidfd, process, seize, take_descriptor, write_memory};
use crate::attack::attempt::{Attempt, Group, Need};
use crate::attack::call::{half_words, own, sys, words};
use crate::attack::scene::Scene;
use crate::attack::stage::SIGNAL;
use crate::attack::tools::done;
use crate::attack::verdict::{Step, Stop, Tried};

/// How long the stage waits for a process that outlived its run to show itself, and how long that process waits before it does.
const SETTLE: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_millis(250);

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    process("kill", "send a signal to an outside process", |s| {
        done(sys!(libc::SYS_kill, s.victim, SIGNAL), "kill")
    }),
    process("kill-group", "send a signal to the caller's process group (kill 0)", |_| {
        done(sys!(libc::SYS_kill, 0, SIGNAL), "kill 0")
    })
    .may_believe(),
    process("kill-everyone", "send a signal to everybody (kill -1)", |_| {
        done(sys!(libc::SYS_kill, -1, SIGNAL), "kill -1")
    })
    .may_believe(),
    process("kill-thread", "send a signal to an outside thread (tgkill, tkill)", |s| {
        let sent = sys!(libc::SYS_tgkill, s.victim, s.victim, SIGNAL);
        done(sent.or_else(|_| sys!(libc::SYS_tkill, s.victim, SIGNAL)), "tgkill, tkill")
    }),
    process("queue-signal", "queue a signal for an outside process (rt_sigqueueinfo)", |s| {
        let mut info = half_words(&[SIGNAL as u32, 0, (-1_i32).cast_unsigned()]);
        info.resize(128, 0);
        done(sys!(libc::SYS_rt_sigqueueinfo, s.victim, SIGNAL, &info), "rt_sigqueueinfo")
    }),
    process("signal-by-pidfd", "send a signal to an outside process by pidfd", |s| {
        done(sys!(libc::SYS_pidfd_send_signal, &pidfd(s.victim)?, SIGNAL, 0, 0), "pidfd_send_signal")
    }),
    process("signal-by-owner", "let the kernel send the signal, as a descriptor's owner signal", |s| {
        signal_as_owner(s.victim)
    }),
    process("signal-group-by-owner", "the same to the caller's process group", |_| {
        // SAFETY: getpgrp has no preconditions.
        let group = unsafe { libc::getpgrp() };
        // Inside a pid namespace the caller's group has the number 0, which means nobody here.
        if group == 0 { Err(Stop::denied("the group has no number here")) } else { signal_as_owner(-group) }
    })
    .may_believe(),
    process("ptrace", "change an outside process' memory by ptrace(2)", |s| poke(s.victim, address(s)?))
        .needs(YAMA),
    process("process-vm-write", "change an outside process' memory by process_vm_writev(2)", |s| {
        done(write_memory(s.victim, address(s)?), "process_vm_writev")
    })
    .needs(YAMA),
    process("proc-mem", "change an outside process' memory through /proc/PID/mem", |s| {
        write_memory_file(s.victim, address(s)?)
    })
    .needs(YAMA),
    Attempt::seen_inside(
        Group::Processes,
        "process-vm-read",
        "read an outside process' memory by process_vm_readv(2)",
        read_memory,
    )
    .needs(YAMA),
    Attempt::seen_inside(Group::Processes, "pidfd-getfd", "take an outside process' descriptor", |s| {
        take_descriptor(s.victim)
    })
    .needs(YAMA),
    process("limits", "change an outside process' limits", |s| limit(s.victim)),
    process("nice", "change an outside process' nice value", |s| {
        done(sys!(libc::SYS_setpriority, libc::PRIO_PROCESS, s.victim, 19), "setpriority")
    }),
    Attempt::seen_inside(
        Group::Processes,
        "nice-of-the-group",
        "set the nice value of the caller's process group (to what it is)",
        |_| {
            let group = libc::PRIO_PGRP;
            // getpriority(2) returns 20 minus the nice value.
            let present = 20 - sys!(libc::SYS_getpriority, libc::PRIO_PROCESS, 0).ready("getpriority")?;
            done(sys!(libc::SYS_setpriority, group, 0, present), "setpriority PRIO_PGRP")
        },
    ),
    Attempt::seen_inside(
        Group::Processes,
        "io-priority-of-the-group",
        "set the I/O priority of the caller's process group (to what it is)",
        |_| {
            const PROCESS: i32 = 1;
            const GROUP: i32 = 2;
            let present = sys!(libc::SYS_ioprio_get, PROCESS, 0).ready("ioprio_get")?;
            done(sys!(libc::SYS_ioprio_set, GROUP, 0, present), "ioprio_set IOPRIO_WHO_PGRP")
        },
    ),
    process("scheduler", "change an outside process' scheduling policy", |s| {
        done(
            sys!(libc::SYS_sched_setscheduler, s.victim, libc::SCHED_BATCH, &half_words(&[0])),
            "sched_setscheduler",
        )
    }),
    process("affinity", "change an outside process' CPU affinity", |s| {
        done(sys!(libc::SYS_sched_setaffinity, s.victim, 8, &words(&[1])), "sched_setaffinity")
    }),
    process("oom-score", "make an outside process the first to die when memory is short", |s| {
        let file = OpenOptions::new().write(true).open(format!("/proc/{}/oom_score_adj", s.victim));
        let written = file.and_then(|mut file| file.write_all(b"900"));
        written.attack("oom_score_adj").map(|()| "changed".into())
    }),
    Attempt::seen_inside(Group::Processes, "see-outsiders", "see an outside process in /proc", |s| {
        let command = std::fs::read(format!("/proc/{}/comm", s.victim)).attack("/proc/PID/comm")?;
        if command == b"sleep\n" {
            Ok("it is there".into())
        } else {
            Err(Stop::denied("another process has its number"))
        }
    })
    .open_without_namespaces(),
    process("outlive-daemon", "outlive the run as a daemon (fork, setsid, fork)", |s| {
        let trace = trace(s);
        daemon(true, move || leave(&trace))
    })
    .settle(SETTLE)
    .may_believe(),
    process("outlive-child", "outlive the run as a plain child", |s| {
        let trace = trace(s);
        daemon(false, move || leave(&trace))
    })
    .settle(SETTLE)
    .may_believe(),
    process(
        "outlive-stubborn",
        "outlive the run as a daemon that ignores every signal that can be ignored",
        |s| {
            let trace = trace(s);
            daemon(true, move || {
                for signal in 1..=64 {
                    // SAFETY: SIG_IGN is a valid disposition; the two signals that refuse it return an error.
                    unsafe { libc::signal(signal, libc::SIG_IGN) };
                }
                leave(&trace);
            })
        },
    )
    .settle(SETTLE)
    .may_believe(),
    process(
        "outlive-swarm",
        "outlive the run as a process that forks all the time, so that a list of processes is never right",
        |s| {
            let trace = trace(s);
            daemon(true, move || swarm(&trace))
        },
    )
    .settle(SETTLE)
    .may_believe(),
    process("outlive-sibling", "outlive the run as a child of the parent (CLONE_PARENT)", |s| {
        let trace = trace(s);
        let made = sys!(libc::SYS_clone, libc::CLONE_PARENT | libc::SIGCHLD, 0, 0, 0, 0)
            .attack("clone CLONE_PARENT")?;
        if made == 0 {
            leave(&trace);
            // SAFETY: _exit does not return.
            unsafe { libc::_exit(0) }
        }
        Ok("a sibling lives".into())
    })
    .settle(SETTLE)
    .needs(&[Need::Facility])
    .may_believe(),
];

fn address(scene: &Scene) -> Result<u64, Stop> {
    match scene.victim_address {
        0 => Err(Stop::skipped("not even the stage can write to its process' memory")),
        address => Ok(address),
    }
}

fn read_memory(scene: &Scene) -> Tried {
    let word = [0; 8];
    let local = words(&[word.as_ptr() as u64, 8]);
    let remote = words(&[address(scene)?, 8]);
    sys!(libc::SYS_process_vm_readv, scene.victim, &local, 1, &remote, 1, 0).attack("process_vm_readv")?;
    Ok("read its memory".into())
}

/// Seizes, stops and changes the memory of `pid`.
fn poke(pid: i32, address: u64) -> Tried {
    /// PTRACE_INTERRUPT.
    const INTERRUPT: i32 = 0x4207;
    /// __WALL.
    const WALL: i32 = 0x4000_0000;
    seize(pid)?;
    sys!(libc::SYS_ptrace, INTERRUPT, pid, 0, 0).attack("PTRACE_INTERRUPT")?;
    sys!(libc::SYS_wait4, pid, 0, WALL, 0).attack("wait4")?;
    let poked = sys!(libc::SYS_ptrace, libc::PTRACE_POKEDATA, pid, address, WORD);
    let _detached = sys!(libc::SYS_ptrace, libc::PTRACE_DETACH, pid, 0, 0);
    done(poked, "PTRACE_POKEDATA")
}

/// Through /proc/PID/mem.
fn write_memory_file(pid: i32, address: u64) -> Tried {
    let file = OpenOptions::new().write(true).open(format!("/proc/{pid}/mem"));
    let written = file.and_then(|file| file.write_all_at(&WORD.to_ne_bytes(), address));
    written.attack("/proc/PID/mem").map(|()| "changed its memory through /proc".into())
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

/// Makes `owner` (a process, or minus a group) the owner of a socket, asks for our signal, and lets input arrive.
fn signal_as_owner(owner: i32) -> Tried {
    /// F_SETSIG.
    const F_SETSIG: i32 = 10;
    let mut pair = [0; 8];
    sys!(libc::SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_slice())
        .ready("socketpair")?;
    let end =
        |at: usize| own(i32::from_ne_bytes([pair[at], pair[at + 1], pair[at + 2], pair[at + 3]]).into());
    let (near, far): (OwnedFd, OwnedFd) = (end(0), end(4));
    sys!(libc::SYS_fcntl, &near, libc::F_SETOWN, owner).attack("F_SETOWN")?;
    sys!(libc::SYS_fcntl, &near, F_SETSIG, SIGNAL).ready("F_SETSIG")?;
    sys!(libc::SYS_fcntl, &near, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK).ready("O_ASYNC")?;
    sys!(libc::SYS_write, &far, &b"!"[..], 1).ready("write")?;
    Ok("input arrived; the kernel may have sent the signal".into())
}

/// The file whose appearance shows that something lives after the end.
fn trace(scene: &Scene) -> PathBuf {
    scene.ours("alive-after-the-end")
}

fn leave(trace: &std::path::Path) {
    std::thread::sleep(LATER);
    // Refused is as good as dead.
    let _refused = std::fs::write(trace, "alive\n");
}

/// A crowd in which each process lives for a moment and hands over to a new one.
fn swarm(trace: &std::path::Path) {
    let end = std::time::Instant::now() + LATER;
    while std::time::Instant::now() < end {
        // SAFETY: one thread; the child goes on with the same loop, the parent leaves.
        match unsafe { libc::fork() } {
            0 => {}
            -1 => break,
            // SAFETY: _exit does not return.
            _ => unsafe { libc::_exit(0) },
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // Refused is as good as dead.
    let _refused = std::fs::write(trace, "alive\n");
}

/// Starts `job` in a process that the attempt does not wait for, detached from session and terminal if `detached`.
fn daemon(detached: bool, job: impl FnOnce()) -> Tried {
    // SAFETY: the attempt's process has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(Stop::skipped("fork failed")),
        0 => {
            if detached {
                // SAFETY: setsid, fork and _exit have no preconditions here.
                unsafe {
                    libc::setsid();
                    if libc::fork() != 0 {
                        libc::_exit(0);
                    }
                }
            }
            job();
            // SAFETY: _exit does not return.
            unsafe { libc::_exit(0) }
        }
        _ => Ok("left a process behind".into()),
    }
}
