//! The sandbox' own pid 1, which decides what is allowed, as a target.
//!
//! Outside, the stage's process plays its part (see `Scene::init`): what is done to it there would be done to pid 1 here.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;

use super::{YAMA, limit, pidfd, poke, take_descriptor, write_memory, write_memory_file};
use crate::attack::attempt::{Attempt, Group};
use crate::attack::call::sys;
use crate::attack::scene::Scene;
use crate::attack::tools::{CWD, c, done};
use crate::attack::verdict::{Step, Stop, Tried};

const fn pid1(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_inside(Group::Processes, name, what, run)
}

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    pid1("pid-1-ptrace", "trace pid 1", |s| poke(s.init, address(s)?)).needs(YAMA),
    pid1("pid-1-process-vm-write", "change pid 1's memory by process_vm_writev(2)", |s| {
        write_memory(s.init, address(s)?)
    })
    .needs(YAMA),
    pid1("pid-1-mem", "change pid 1's memory through /proc/1/mem", |s| {
        write_memory_file(s.init, address(s)?)
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
    pid1("pid-1-limits", "change pid 1's limits", |s| limit(s.init)),
    pid1("pid-1-executable", "change the mode of pid 1's executable through /proc/1/exe", |s| {
        let link = format!("/proc/{}/exe", s.init);
        let mode = {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(&link).map_err(|error| Stop::refused(&error, &link))?.mode()
        };
        done(sys!(libc::SYS_fchmodat, CWD, &c(link.as_ref()), mode & 0o7777), "fchmodat /proc/1/exe")
    })
    .needs(&[crate::attack::attempt::Need::Root]),
    pid1("pid-1-executable-write", "open pid 1's executable for writing", |s| {
        let link = format!("/proc/{}/exe", s.init);
        let opened = sys!(libc::SYS_openat, CWD, &c(link.as_ref()), libc::O_WRONLY | libc::O_CLOEXEC, 0);
        // A running program is busy; that the kernel gets as far as saying so is the hole.
        crate::attack::tools::probe(opened, &[libc::ETXTBSY], "open /proc/1/exe")
    })
    .needs(&[crate::attack::attempt::Need::Root]),
    pid1("pid-1-oom-score", "make pid 1 the first to die when memory is short", |s| {
        let file = OpenOptions::new().write(true).open(format!("/proc/{}/oom_score_adj", s.init));
        file.attack("oom_score_adj").map(|_| "opened for writing".into())
    }),
    pid1("pid-1-nice", "change pid 1's nice value", |s| {
        done(sys!(libc::SYS_setpriority, libc::PRIO_PROCESS as i32, s.init, 19), "setpriority")
    })
    .open_without_namespaces(),
    pid1("pid-1-freeze", "stop pid 1's threads by SIGSTOP, by number and by pidfd", freeze),
    pid1("pid-1-namespaces", "enter pid 1's namespaces", |s| {
        let pidfd = pidfd(s.init)?;
        done(sys!(libc::SYS_setns, pidfd.as_raw_fd(), libc::CLONE_NEWUTS), "setns")
    })
    .needs(&[crate::attack::attempt::Need::Root]),
];

/// Where the stage's process keeps its word; in pid 1 any address shows whether access is granted, for it is checked first.
fn address(scene: &Scene) -> Result<u64, Stop> {
    match (scene.victim_address, scene.init) {
        (0, init) if init != 1 => Err(Stop::skipped("not even the stage can write to its process' memory")),
        (address, _) => Ok(address),
    }
}

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
