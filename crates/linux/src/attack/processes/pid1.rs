//! The sandbox' own pid 1, which decides what is allowed, as a target.
//!
//! See `Scene::init`: outside, the stage's process plays its part, and what is done to it there would be done to pid 1 here.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;

use super::{YAMA, pidfd, seize, take_descriptor, write_memory};
use crate::attack::attempt::{Attempt, Group, Need};
use crate::attack::call::sys;
use crate::attack::scene::Scene;
use crate::attack::tools::{CWD, c, done, probe};
use crate::attack::verdict::{Step, Stop, Tried};

const fn pid1(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_inside(Group::Processes, name, what, run)
}

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    pid1("pid-1-ptrace", "trace pid 1", |s| seize(s.init).map(|()| "seized".into())).needs(YAMA),
    pid1("pid-1-process-vm-write", "change pid 1's memory by process_vm_writev(2)", |s| {
        // Nothing lies at address 1, which the kernel says only to those who may write.
        probe(write_memory(s.init, 1), &[libc::EFAULT, libc::EIO], "process_vm_writev")
    })
    .needs(YAMA),
    pid1("pid-1-mem", "open /proc/1/mem for writing", |s| {
        let opened = OpenOptions::new().write(true).open(format!("/proc/{}/mem", s.init));
        opened.attack("/proc/1/mem").map(|_| "opened".into())
    })
    .needs(YAMA),
    pid1("pid-1-mem-for-reading", "open /proc/1/mem for reading", |s| {
        let opened = OpenOptions::new().read(true).open(format!("/proc/{}/mem", s.init));
        opened.attack("/proc/1/mem").map(|_| "opened".into())
    })
    .needs(YAMA),
    pid1("pid-1-maps", "read pid 1's memory map", |s| {
        let maps = std::fs::read(format!("/proc/{}/maps", s.init)).attack("/proc/1/maps")?;
        if maps.is_empty() { Err(Stop::denied("it is empty")) } else { Ok("read".into()) }
    })
    .needs(YAMA),
    pid1("pid-1-descriptor", "take a descriptor of pid 1", |s| take_descriptor(s.init)).needs(YAMA),
    pid1("pid-1-descriptors", "see where the descriptors of pid 1 lead", |s| {
        let names = std::fs::read_dir(format!("/proc/{}/fd", s.init)).attack("/proc/1/fd")?;
        let mut targets = names.flatten().filter_map(|name| std::fs::read_link(name.path()).ok());
        let target = targets.next().ok_or_else(|| Stop::denied("none says where it leads"))?;
        Ok(format!("one leads to {}", target.display()))
    })
    .needs(YAMA),
    pid1("pid-1-limits", "set pid 1's limits (to what they are)", |s| {
        let mut limit = [0; 16];
        let read = sys!(libc::SYS_prlimit64, s.init, libc::RLIMIT_CORE, 0, limit.as_mut_slice());
        read.attack("prlimit64 to read")?;
        done(sys!(libc::SYS_prlimit64, s.init, libc::RLIMIT_CORE, &limit[..], 0), "prlimit64")
    }),
    pid1("pid-1-executable", "change the mode of pid 1's executable through /proc/1/exe", |s| {
        let link = format!("/proc/{}/exe", s.init);
        let mode = {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(&link).map_err(|error| Stop::refused(&error, &link))?.mode()
        };
        done(sys!(libc::SYS_fchmodat, CWD, &c(link.as_ref()), mode & 0o7777), "fchmodat /proc/1/exe")
    })
    .needs(&[Need::Root]),
    pid1("pid-1-executable-write", "open pid 1's executable for writing", |s| {
        let link = format!("/proc/{}/exe", s.init);
        let opened = sys!(libc::SYS_openat, CWD, &c(link.as_ref()), libc::O_WRONLY | libc::O_CLOEXEC, 0);
        // A running program is busy; that the kernel gets as far as saying so is the hole.
        probe(opened, &[libc::ETXTBSY], "open /proc/1/exe")
    })
    .needs(&[Need::Root]),
    pid1("pid-1-oom-score", "make pid 1 the first to die when memory is short", |s| {
        let file = OpenOptions::new().write(true).open(format!("/proc/{}/oom_score_adj", s.init));
        file.attack("oom_score_adj").map(|_| "opened for writing".into())
    }),
    pid1("pid-1-nice", "set pid 1's nice value (to what it is)", |s| {
        let process = libc::PRIO_PROCESS;
        // getpriority(2) returns 20 minus the nice value.
        let present = 20 - sys!(libc::SYS_getpriority, process, s.init).attack("getpriority")?;
        done(sys!(libc::SYS_setpriority, process, s.init, present), "setpriority")
    })
    .open_without_namespaces(),
    pid1("pid-1-freeze", "stop pid 1's threads by SIGSTOP, by number and by pidfd", freeze),
    pid1("pid-1-namespaces", "enter pid 1's namespaces", |s| {
        let pidfd = pidfd(s.init)?;
        done(sys!(libc::SYS_setns, pidfd.as_raw_fd(), libc::CLONE_NEWUTS), "setns")
    })
    .needs(&[Need::Root]),
];

/// The kernel does not stop a namespace's first process from within, though the calls may claim success; whoever can still make
/// a file in the workspace afterwards has a broker that works.
fn freeze(scene: &Scene) -> Tried {
    let by_number = sys!(libc::SYS_kill, scene.init, libc::SIGSTOP);
    let by_pidfd =
        pidfd(scene.init).map(|pidfd| sys!(libc::SYS_pidfd_send_signal, &pidfd, libc::SIGSTOP, 0, 0));
    let sent = by_number.is_ok() || matches!(by_pidfd, Ok(Ok(_)));
    std::thread::sleep(std::time::Duration::from_millis(20));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", scene.init)).attack("/proc/1/stat")?;
    let stopped = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'));
    if stopped {
        let _resumed = sys!(libc::SYS_kill, scene.init, libc::SIGCONT);
        return Ok("it is stopped".into());
    }
    std::fs::write(scene.ours("after"), "").ready("writing in the workspace afterwards")?;
    Err(Stop::denied(if sent { "sent, without effect" } else { "not sent" }))
}
