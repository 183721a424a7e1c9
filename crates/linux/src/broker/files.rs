//! Opening for writing, creating, truncating.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::blocked::Work;
use super::guard::id_of;
use super::notify::{Answer, Call};
use super::resolve::{Found, Place, Target};
use super::{Broker, Handled};
use crate::seccomp::Sys;

/// What an open call asks for.
struct Request {
    dirfd: i32,
    path: CString,
    flags: OFlags,
    mode: u32,
}

impl Request {
    fn writes(&self) -> bool {
        self.flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::TRUNC)
    }

    /// `O_RDONLY | O_TRUNC`: writes without asking for the right to, which Landlock does not see.
    fn only_truncates(&self) -> bool {
        let access = self.flags.bits() & libc::O_ACCMODE.cast_unsigned();
        let writes = access == libc::O_WRONLY.cast_unsigned() || access == libc::O_RDWR.cast_unsigned();
        self.flags.contains(OFlags::TRUNC) && !writes
    }

    fn follows(&self) -> bool {
        let exclusive = self.flags.contains(OFlags::CREATE | OFlags::EXCL);
        !exclusive && !self.flags.contains(OFlags::NOFOLLOW)
    }

    /// The flags for opening a file that is already resolved.
    fn reopen_flags(&self) -> OFlags {
        self.flags.difference(OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW)
            | OFlags::CLOEXEC
            | OFlags::NOCTTY
    }

    fn answer(&self, fd: OwnedFd) -> Answer {
        Answer::Fd { fd, cloexec: self.flags.contains(OFlags::CLOEXEC) }
    }
}

/// Bits that a new file never gets: a setuid or setgid file of this user would work for others, outside.
pub const SET_ID_BITS: u32 = libc::S_ISUID | libc::S_ISGID;

/// How often a name that appears or disappears meanwhile is looked up again.
const RETRIES: u32 = 4;

impl Broker<'_> {
    pub(super) fn handle_file(&mut self, call: &Call, sys: Sys) -> Handled {
        let flags = |bits: i32| OFlags::from_bits_retain(bits.cast_unsigned() as _);
        let request = match sys {
            Sys::Open => Request {
                dirfd: libc::AT_FDCWD,
                path: self.path_argument(call, 0)?,
                flags: flags(call.int(1)),
                mode: call.args[2] as u32,
            },
            Sys::Creat => Request {
                dirfd: libc::AT_FDCWD,
                path: self.path_argument(call, 0)?,
                flags: OFlags::CREATE | OFlags::WRONLY | OFlags::TRUNC,
                mode: call.args[1] as u32,
            },
            Sys::Openat => Request {
                dirfd: call.int(0),
                path: self.path_argument(call, 1)?,
                flags: flags(call.int(2)),
                mode: call.args[3] as u32,
            },
            _ => return self.truncate(call),
        };
        self.open(call, &request)
    }

    /// Whether this is an open(2) of /dev/null or its like, which is the kernel's business whatever other runs do.
    pub(super) fn opens_a_device(&self, call: &Call) -> bool {
        let path = match Sys::from_number(call.nr) {
            Some(Sys::Open | Sys::Creat) => self.path_argument(call, 0),
            Some(Sys::Openat) => self.path_argument(call, 1),
            _ => return false,
        };
        path.is_ok_and(|path| is_device_path(path.to_bytes()))
    }

    fn open(&mut self, call: &Call, request: &Request) -> Handled {
        if is_device_path(request.path.to_bytes()) && self.walled() && !request.only_truncates() {
            return Ok(Answer::Continue);
        }
        for _ in 0..RETRIES {
            let found = self.resolver(call).find(request.dirfd, &request.path, request.follows())?;
            let result = match found {
                Found::Existing(target) => self.open_existing(call, request, target),
                Found::Missing(place) => self.open_missing(call, request, &place),
            };
            match result {
                // Somebody outside made or removed the name just now.
                Err(Errno::EXIST) if !request.flags.contains(OFlags::EXCL) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    fn open_existing(&mut self, call: &Call, request: &Request, target: Target) -> Handled {
        if request.flags.contains(OFlags::TMPFILE) {
            return self.open_unnamed(call, request, &target);
        }
        if request.flags.contains(OFlags::CREATE | OFlags::EXCL) {
            return Err(Errno::EXIST);
        }
        match target.kind() {
            FileType::Symlink => return Err(Errno::LOOP),
            FileType::Directory if request.writes() || request.flags.contains(OFlags::CREATE) => {
                return Err(Errno::ISDIR);
            }
            kind if !kind.is_dir() && request.flags.contains(OFlags::DIRECTORY) => return Err(Errno::NOTDIR),
            FileType::Socket => return Err(Errno::NXIO),
            _ => {}
        }
        if !request.writes() {
            return self.open_for_reading(request, &target);
        }
        if nameless(&target) || is_device(&target) {
            return self.open_nameless(call, request, &target);
        }
        if target.path.starts_with("/proc") {
            return self.open_proc(request, &target.path);
        }
        self.check_no_index(&target.path)?;
        self.check_no_object(&target.path)?;
        if let Err(errno) = self.check_target(&target) {
            return self.share_descriptor(call, request, &target).unwrap_or(Err(errno));
        }
        if target.kind().is_fifo() && !request.flags.contains(OFlags::NONBLOCK) {
            let flags = request.reopen_flags();
            return self.blocked.start(
                call,
                &self.listener,
                Work::Open { file: target.fd, flags, cloexec: request.flags.contains(OFlags::CLOEXEC) },
            );
        }
        self.drop_set_id_bits(&target)?;
        match self.reopen(&target.fd, request.reopen_flags()) {
            // A descriptor from outside, to a file that a private folder covers here.
            Err(errno @ (Errno::ACCESS | Errno::ROFS)) => {
                self.share_descriptor(call, request, &target).unwrap_or(Err(errno))
            }
            opened => opened.map(|fd| request.answer(fd)),
        }
    }

    /// write(2) takes these bits from a file, but a write through a shared mapping does not: what a command writes shall not run
    /// with its owner's rights.
    fn drop_set_id_bits(&self, target: &Target) -> Result<(), Errno> {
        let mode = target.stat.st_mode;
        let runs_for_a_group = mode & libc::S_ISGID != 0 && mode & libc::S_IXGRP != 0;
        if !target.kind().is_file() || (mode & libc::S_ISUID == 0 && !runs_for_a_group) {
            return Ok(());
        }
        let (own, mode) =
            (target.fd.as_raw_fd().to_string(), Mode::from_raw_mode(mode & 0o7777 & !SET_ID_BITS));
        rustix::fs::chmodat(self.proc.own_fds(), own, mode, AtFlags::empty())
    }

    /// `O_RDONLY | O_CREAT` of something that exists: no write at all.
    fn open_for_reading(&mut self, request: &Request, target: &Target) -> Handled {
        if self.walled() {
            return Ok(Answer::Continue);
        }
        if target.path.starts_with("/proc") {
            return Err(Errno::ACCESS);
        }
        self.reopen(&target.fd, request.reopen_flags()).map(|fd| request.answer(fd))
    }

    /// Opens the file behind one of our O_PATH descriptors: the very file that was decided about.
    fn reopen(&self, fd: &OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(self.proc.own_fds(), fd.as_raw_fd().to_string(), flags, Mode::empty())
    }

    /// Pipes, memfds, terminals, devices. The command's Landlock domain lets the kernel open the harmless ones, and only
    /// the kernel can open /dev/tty or a pipe for the caller as it should be.
    fn open_nameless(&mut self, call: &Call, request: &Request, target: &Target) -> Handled {
        if is_device(target)
            && let Some(shared) = self.share_descriptor(call, request, target)
        {
            return shared;
        }
        if self.walled() && !request.only_truncates() { Ok(Answer::Continue) } else { Err(Errno::ACCESS) }
    }

    /// `/dev/stdout` and its kind, where the file itself is not the command's to write but its descriptor is: the caller
    /// gets the open file that it already has.
    fn share_descriptor(&mut self, call: &Call, request: &Request, target: &Target) -> Option<Handled> {
        let (group, number) = target.descriptor?;
        if self.proc.thread_group(call.tid) != Ok(group) {
            return None;
        }
        let fd = self.proc.descriptor(call.tid, number).ok()?;
        let same = rustix::fs::fstat(&fd).is_ok_and(|stat| id_of(&stat) == id_of(&target.stat));
        let open = rustix::fs::fcntl_getfl(&fd).ok()?;
        let access = OFlags::from_bits_retain(libc::O_ACCMODE.cast_unsigned() as _);
        let enough = open & access == OFlags::RDWR || open & access == request.flags & access;
        (same && enough && !open.contains(OFlags::PATH)).then(|| Ok(request.answer(fd)))
    }

    /// The few files of /proc/PID that a process writes about itself.
    fn open_proc(&mut self, request: &Request, path: &Path) -> Handled {
        // Not `autogroup`: it belongs to the whole session, the launcher and its neighbours included.
        const OWN: [&str; 5] = ["comm", "oom_score_adj", "coredump_filter", "timerslack_ns", "clear_refs"];
        let proc = self.proc_writable.as_ref().ok_or(Errno::ROFS)?;
        let rel = path.strip_prefix("/proc").map_err(|_| Errno::ROFS)?;
        let parts: Vec<&str> = rel.iter().map(|part| part.to_str().unwrap_or_default()).collect();
        let is_id =
            |part: &str| !part.is_empty() && part != "1" && part.bytes().all(|byte| byte.is_ascii_digit());
        let allowed = match parts.as_slice() {
            [pid, name] => is_id(pid) && OWN.contains(name),
            [pid, "task", tid, name] => is_id(pid) && is_id(tid) && OWN.contains(name),
            _ => false,
        };
        if !allowed {
            return Err(Errno::ROFS);
        }
        rustix::fs::openat(proc, rel, request.reopen_flags(), Mode::empty()).map(|fd| request.answer(fd))
    }

    fn open_missing(&mut self, call: &Call, request: &Request, place: &Place) -> Handled {
        if !request.flags.contains(OFlags::CREATE) {
            return Err(Errno::NOENT);
        }
        if place.name.as_bytes().ends_with(b"/") || request.flags.contains(OFlags::DIRECTORY) {
            return Err(Errno::ISDIR);
        }
        if let Some(answer) = self.create_for_git(request.flags.contains(OFlags::CLOEXEC), place)? {
            return Ok(answer);
        }
        self.check_place(place)?;
        self.check_no_index(&place.path())?;
        self.take_umask(call)?;
        let flags = request.reopen_flags() | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(request.mode & 0o7777 & !SET_ID_BITS);
        let fd = rustix::fs::openat(&place.dir, &place.name, flags.difference(OFlags::TRUNC), mode)?;
        Ok(request.answer(fd))
    }

    /// O_TMPFILE: a file without a name, in a folder that may be written.
    fn open_unnamed(&mut self, call: &Call, request: &Request, folder: &Target) -> Handled {
        if !folder.kind().is_dir() {
            return Err(Errno::NOTDIR);
        }
        self.check_target(folder)?;
        self.take_umask(call)?;
        let mode = Mode::from_raw_mode(request.mode & 0o7777 & !SET_ID_BITS);
        let flags = request.flags | OFlags::CLOEXEC;
        rustix::fs::openat(&folder.fd, c".", flags, mode).map(|fd| request.answer(fd))
    }

    fn truncate(&mut self, call: &Call) -> Handled {
        let path = self.path_argument(call, 0)?;
        let length = u64::try_from(call.args[1].cast_signed()).map_err(|_| Errno::INVAL)?;
        let Found::Existing(target) = self.resolver(call).find(libc::AT_FDCWD, &path, true)? else {
            return Err(Errno::NOENT);
        };
        match target.kind() {
            FileType::Directory => return Err(Errno::ISDIR),
            FileType::RegularFile => {}
            _ => return Err(Errno::INVAL),
        }
        self.check_target(&target)?;
        self.check_no_index(&target.path)?;
        self.check_no_object(&target.path)?;
        let fd = self.reopen(&target.fd, OFlags::WRONLY | OFlags::CLOEXEC)?;
        rustix::fs::ftruncate(fd.as_fd(), length)?;
        Ok(Answer::Value(0))
    }
}

/// A path that can only mean a device or a terminal. `/dev/shm` holds files, and `/dev/fd`, `/dev/std…` lead to the
/// caller's descriptors, which may be files.
fn is_device_path(path: &[u8]) -> bool {
    let Some(name) = path.strip_prefix(b"/dev/") else { return false };
    let plain = |name: &[u8]| {
        [&b"null"[..], b"zero", b"full", b"random", b"urandom", b"tty", b"ptmx"].contains(&name)
    };
    plain(name)
        || name
            .strip_prefix(b"pts/")
            .is_some_and(|rest| rest.iter().all(u8::is_ascii_digit) || rest == b"ptmx")
}

fn is_device(target: &Target) -> bool {
    target.kind().is_char_device() || target.kind().is_block_device()
}

/// What no path leads to: pipes and sockets (`pipe:[…]`), memfds (`/memfd:…`), files that are unlinked.
fn nameless(target: &Target) -> bool {
    let path = target.path.as_os_str();
    !path.as_bytes().starts_with(b"/") || is_memfd(path)
}

fn is_memfd(path: &OsStr) -> bool {
    path.as_bytes().starts_with(b"/memfd:")
}
