//! What the broker knows about a calling thread: its folder in /proc, its working directory, its descriptors, its umask.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use crate::sys;

/// /proc as the broker sees it.
#[derive(Debug)]
pub struct Proc {
    dir: OwnedFd,
    /// `/proc/self/fd`, to name our own descriptors.
    own_fds: OwnedFd,
    /// Set where /proc shows another pid namespace than ours: our ids to the ones shown there.
    translate: Option<HashMap<i32, i32>>,
}

/// The folder that a descriptor argument stands for.
pub const AT_FDCWD: i32 = libc::AT_FDCWD;

impl Proc {
    /// Opens /proc. `foreign` says that it shows another pid namespace.
    pub fn open(foreign: bool) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(c"/proc", flags, Mode::empty())?;
        let own_fds = rustix::fs::openat(&dir, c"self/fd", flags, Mode::empty())?;
        Ok(Self { dir, own_fds, translate: foreign.then(HashMap::new) })
    }

    /// The folder /proc itself.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The folder of our own descriptors: `reopen(own_fds, number)` opens a file anew.
    pub fn own_fds(&self) -> BorrowedFd<'_> {
        self.own_fds.as_fd()
    }

    /// The number under which /proc shows the thread `tid`.
    pub fn shown_id(&mut self, tid: i32) -> Result<i32, Errno> {
        let Some(known) = &mut self.translate else { return Ok(tid) };
        if let Some(shown) = known.get(&tid).copied()
            && inner_id(&self.dir, &shown.to_string()) == Some(tid)
        {
            return Ok(shown);
        }
        let shown = find_shown(&self.dir, tid).ok_or(Errno::SRCH)?;
        known.insert(tid, shown);
        Ok(shown)
    }

    /// The thread's working directory, or the folder (or file) behind its descriptor, as an O_PATH descriptor.
    pub fn base(&mut self, tid: i32, dirfd: i32) -> Result<OwnedFd, Errno> {
        let shown = self.shown_id(tid)?;
        let name = if dirfd == AT_FDCWD { format!("{shown}/cwd") } else { format!("{shown}/fd/{dirfd}") };
        rustix::fs::openat(&self.dir, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| if errno == Errno::NOENT && dirfd != AT_FDCWD { Errno::BADF } else { errno })
    }

    /// The thread group that `tid` belongs to, by the number shown.
    pub fn thread_group(&mut self, tid: i32) -> Result<i32, Errno> {
        let shown = self.shown_id(tid)?;
        status_field(&self.dir, &shown.to_string(), "Tgid:")
            .and_then(|value| value.parse().ok())
            .ok_or(Errno::SRCH)
    }

    /// The thread group of the process or thread that /proc shows under this number.
    pub fn group_of_shown(&self, shown: i32) -> Option<i32> {
        status_field(&self.dir, &shown.to_string(), "Tgid:")?.parse().ok()
    }

    /// The umask of the thread.
    pub fn umask(&mut self, tid: i32) -> Result<u32, Errno> {
        let shown = self.shown_id(tid)?;
        let text = status_field(&self.dir, &shown.to_string(), "Umask:").ok_or(Errno::SRCH)?;
        u32::from_str_radix(&text, 8).map_err(|_| Errno::SRCH)
    }

    /// A copy of the thread's descriptor `number`, sharing its open file.
    pub fn descriptor(&mut self, tid: i32, number: i32) -> Result<OwnedFd, Errno> {
        let pidfd = self.pidfd(tid)?;
        rustix::process::pidfd_getfd(&pidfd, number, PidfdGetfdFlags::empty())
    }

    /// A pidfd of the thread, or of its group's leader where the kernel has none for threads (before Linux 6.9).
    fn pidfd(&mut self, tid: i32) -> Result<OwnedFd, Errno> {
        let pid = Pid::from_raw(tid).ok_or(Errno::SRCH)?;
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::INVAL | Errno::NOENT) => {}
            other => return other,
        }
        sys::pidfd_open_thread(tid).or_else(|_| {
            let leader = self.thread_group(tid).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
            rustix::process::pidfd_open(leader, PidfdFlags::empty())
        })
    }

    /// Whether a signal waits for the thread that it does not block.
    pub fn has_signal(&mut self, tid: i32) -> bool {
        let Ok(shown) = self.shown_id(tid) else { return false };
        let Some(status) = read_status(&self.dir, &shown.to_string()) else { return false };
        let mask =
            |name| field(&status, name).and_then(|value| u64::from_str_radix(&value, 16).ok()).unwrap_or(0);
        let ignored = mask("SigIgn:") | mask("SigBlk:");
        (mask("SigPnd:") | mask("ShdPnd:")) & !ignored != 0
    }
}

fn read_status(proc: &OwnedFd, id: &str) -> Option<String> {
    let file =
        rustix::fs::openat(proc, format!("{id}/status"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .ok()?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(file), &mut text).ok()?;
    Some(text)
}

fn field(status: &str, name: &str) -> Option<String> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

fn status_field(proc: &OwnedFd, id: &str, name: &str) -> Option<String> {
    field(&read_status(proc, id)?, name)
}

/// The innermost id (NSpid's last column) of a thread that /proc shows as `id`.
fn inner_id(proc: &OwnedFd, id: &str) -> Option<i32> {
    let text = status_field(proc, id, "NSpid:")?;
    text.split_ascii_whitespace().last()?.parse().ok()
}

/// Searches a foreign /proc for the thread of our namespace with this id.
fn find_shown(proc: &OwnedFd, tid: i32) -> Option<i32> {
    let own = std::fs::read_link("/proc/self/ns/pid_for_children").ok()?;
    let ours = |id: &str| std::fs::read_link(format!("/proc/{id}/ns/pid")).is_ok_and(|ns| ns == own);
    for process in numeric_entries(proc, ".") {
        if !ours(&process) {
            continue;
        }
        for thread in numeric_entries(proc, &format!("{process}/task")) {
            if inner_id(proc, &thread) == Some(tid) {
                return thread.parse().ok();
            }
        }
    }
    None
}

fn numeric_entries(proc: &OwnedFd, dir: &str) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::openat(proc, dir, flags, Mode::empty()) else { return Vec::new() };
    let Ok(entries) = rustix::fs::Dir::new(fd) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

/// Opens the root folder as an O_PATH descriptor.
pub fn root() -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}
