//! Modes, owners, times and extended attributes.

use std::ffi::CString;
use std::os::fd::AsRawFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::names::existing;
use super::notify::{Answer, Call};
use super::resolve::Target;
use super::{Broker, Handled, memory};
use crate::seccomp::Sys;

const CWD: i32 = libc::AT_FDCWD;
/// XATTR_SIZE_MAX and XATTR_NAME_MAX of linux/limits.h.
const XATTR_SIZE_MAX: u64 = 65536;
const XATTR_NAME_MAX: usize = 255;

impl Broker<'_> {
    pub(super) fn handle_metadata(&mut self, call: &Call, sys: Sys) -> Handled {
        let int = |n| call.int(n);
        match sys {
            Sys::Chmod => self.chmod_path(call, CWD, 0, call.args[1], 0),
            Sys::Fchmodat => self.chmod_path(call, int(0), 1, call.args[2], 0),
            Sys::Fchmodat2 => self.chmod_path(call, int(0), 1, call.args[2], int(3)),
            Sys::Fchmod => {
                let target = self.by_descriptor(call, int(0))?;
                self.chmod(&target, call.args[1])
            }
            Sys::Chown => self.chown_path(call, CWD, 0, 1, 0),
            Sys::Lchown => self.chown_path(call, CWD, 0, 1, libc::AT_SYMLINK_NOFOLLOW),
            Sys::Fchownat => self.chown_path(call, int(0), 1, 2, int(4)),
            Sys::Fchown => {
                let target = self.by_descriptor(call, int(0))?;
                self.chown(&target, call, 1)
            }
            Sys::Utime | Sys::Utimes | Sys::Futimesat | Sys::Utimensat => self.times(call, sys),
            Sys::Setxattr => self.set_xattr(call, true),
            Sys::Lsetxattr => self.set_xattr(call, false),
            Sys::Removexattr => self.remove_xattr(call, true),
            Sys::Lremovexattr => self.remove_xattr(call, false),
            Sys::Fsetxattr => {
                let target = self.by_descriptor(call, int(0))?;
                self.set_xattr_of(&target, call)
            }
            Sys::Fremovexattr => {
                let target = self.by_descriptor(call, int(0))?;
                self.remove_xattr_of(&target, call)
            }
            // setxattrat(2) and removexattrat(2) are new; every program knows the old ones.
            _ => Err(Errno::NOSYS),
        }
    }

    fn by_path(&mut self, call: &Call, dirfd: i32, n: usize, flags: i32) -> Result<Target, Errno> {
        let path = self.path_argument(call, n)?;
        if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
            return if dirfd == CWD {
                existing(self.resolver(call).find(CWD, c".", true)?)
            } else {
                self.by_descriptor(call, dirfd)
            };
        }
        existing(self.resolver(call).find(dirfd, &path, flags & libc::AT_SYMLINK_NOFOLLOW == 0)?)
    }

    /// The file behind a descriptor of the caller, however it was opened.
    fn by_descriptor(&mut self, call: &Call, number: i32) -> Result<Target, Errno> {
        if number < 0 {
            return Err(Errno::BADF);
        }
        let path = CString::new(format!("/proc/thread-self/fd/{number}")).map_err(|_| Errno::BADF)?;
        match self.resolver(call).find(CWD, &path, true) {
            Err(Errno::NOENT) => Err(Errno::BADF),
            found => existing(found?),
        }
    }

    /// What has no name any more, or never had one, is the command's own.
    fn check_metadata(&mut self, target: &Target) -> Result<(), Errno> {
        let named = target.path.has_root() && target.stat.st_nlink > 0 && !target.path.starts_with("/memfd:");
        if !named {
            return match target.kind() {
                FileType::RegularFile | FileType::Directory | FileType::Symlink if target.path.has_root() => {
                    self.check_unlinked(target)
                }
                _ => Ok(()),
            };
        }
        self.check_target(target).map(drop)
    }

    /// An unlinked file still shows the folder that it was in.
    fn check_unlinked(&mut self, target: &Target) -> Result<(), Errno> {
        if target.path.starts_with("/memfd:") {
            return Ok(());
        }
        self.check_path(&target.path).map(drop)
    }

    /// A name for the target in /proc/self/fd: following it leads to the very file.
    fn own_name(target: &Target) -> String {
        target.fd.as_raw_fd().to_string()
    }

    fn chmod_path(&mut self, call: &Call, dirfd: i32, n: usize, mode: u64, flags: i32) -> Handled {
        let target = self.by_path(call, dirfd, n, flags)?;
        self.chmod(&target, mode)
    }

    fn chmod(&mut self, target: &Target, mode: u64) -> Handled {
        self.check_metadata(target)?;
        if target.kind().is_symlink() {
            return Err(Errno::OPNOTSUPP);
        }
        let mode = mode as u32 & 0o7777;
        // A folder's setgid bit only hands its group on; a file's set-id bits would lend this user to others.
        let lends = if target.kind().is_dir() { libc::S_ISUID } else { libc::S_ISUID | libc::S_ISGID };
        if mode & lends & !target.stat.st_mode != 0 {
            return Err(Errno::PERM);
        }
        let name = Self::own_name(target);
        rustix::fs::chmodat(self.proc.own_fds(), name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        Ok(Answer::Value(0))
    }

    fn chown_path(&mut self, call: &Call, dirfd: i32, n: usize, ids: usize, flags: i32) -> Handled {
        let target = self.by_path(call, dirfd, n, flags)?;
        self.chown(&target, call, ids)
    }

    fn chown(&mut self, target: &Target, call: &Call, ids: usize) -> Handled {
        self.check_metadata(target)?;
        let id = |n: usize| Some(call.args[n] as u32).filter(|id| *id != u32::MAX);
        let (uid, gid) = (id(ids).map(Uid::from_raw), id(ids + 1).map(Gid::from_raw));
        rustix::fs::chownat(&target.fd, c"", uid, gid, AtFlags::EMPTY_PATH)?;
        Ok(Answer::Value(0))
    }

    fn times(&mut self, call: &Call, sys: Sys) -> Handled {
        let int = |n| call.int(n);
        let (target, times) = match sys {
            Sys::Utime => (self.by_path(call, CWD, 0, 0)?, self.utime_argument(call, call.args[1])?),
            Sys::Utimes => (self.by_path(call, CWD, 0, 0)?, Self::timeval_argument(call, call.args[1])?),
            Sys::Futimesat if call.args[1] == 0 => {
                (self.by_descriptor(call, int(0))?, Self::timeval_argument(call, call.args[2])?)
            }
            Sys::Futimesat => {
                (self.by_path(call, int(0), 1, 0)?, Self::timeval_argument(call, call.args[2])?)
            }
            _ if call.args[1] == 0 => {
                (self.by_descriptor(call, int(0))?, Self::timespec_argument(call, call.args[2])?)
            }
            _ => (self.by_path(call, int(0), 1, int(3))?, Self::timespec_argument(call, call.args[2])?),
        };
        self.check_metadata(&target)?;
        if target.kind().is_symlink() {
            rustix::fs::utimensat(&target.fd, c"", &times, AtFlags::EMPTY_PATH)?;
        } else {
            rustix::fs::utimensat(self.proc.own_fds(), Self::own_name(&target), &times, AtFlags::empty())?;
        }
        Ok(Answer::Value(0))
    }

    fn utime_argument(&self, call: &Call, address: u64) -> Result<Timestamps, Errno> {
        if address == 0 {
            return Ok(now());
        }
        let [access, modification] = memory::words::<2>(call, address)?;
        Ok(timestamps((access, 0), (modification, 0)))
    }

    fn timeval_argument(call: &Call, address: u64) -> Result<Timestamps, Errno> {
        if address == 0 {
            return Ok(now());
        }
        let [a_sec, a_usec, m_sec, m_usec] = memory::words::<4>(call, address)?;
        if a_usec >= 1_000_000 || m_usec >= 1_000_000 {
            return Err(Errno::INVAL);
        }
        Ok(timestamps((a_sec, a_usec * 1000), (m_sec, m_usec * 1000)))
    }

    fn timespec_argument(call: &Call, address: u64) -> Result<Timestamps, Errno> {
        if address == 0 {
            return Ok(now());
        }
        let [a_sec, a_nsec, m_sec, m_nsec] = memory::words::<4>(call, address)?;
        Ok(timestamps((a_sec, a_nsec), (m_sec, m_nsec)))
    }

    fn set_xattr(&mut self, call: &Call, follow: bool) -> Handled {
        let target = self.by_path(call, CWD, 0, if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW })?;
        self.set_xattr_of(&target, call)
    }

    fn set_xattr_of(&mut self, target: &Target, call: &Call) -> Handled {
        let name = xattr_name(call)?;
        if call.args[3] > XATTR_SIZE_MAX {
            return Err(Errno::TOOBIG);
        }
        let value = memory::bytes(call, call.args[2], call.args[3] as usize)?;
        self.check_metadata(target)?;
        let flags = XattrFlags::from_bits(call.args[4] as u32).ok_or(Errno::INVAL)?;
        rustix::fs::setxattr(self.xattr_path(target)?, &name, &value, flags)?;
        Ok(Answer::Value(0))
    }

    fn remove_xattr(&mut self, call: &Call, follow: bool) -> Handled {
        let target = self.by_path(call, CWD, 0, if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW })?;
        self.remove_xattr_of(&target, call)
    }

    fn remove_xattr_of(&mut self, target: &Target, call: &Call) -> Handled {
        let name = xattr_name(call)?;
        self.check_metadata(target)?;
        rustix::fs::removexattr(self.xattr_path(target)?, &name)?;
        Ok(Answer::Value(0))
    }

    /// Links have no attributes that a user may set.
    fn xattr_path(&self, target: &Target) -> Result<String, Errno> {
        if target.kind().is_symlink() {
            return Err(Errno::PERM);
        }
        Ok(format!("/proc/self/fd/{}", target.fd.as_raw_fd()))
    }
}

/// Users' own attributes and access control lists; file capabilities and labels are not the command's to set.
fn xattr_name(call: &Call) -> Result<CString, Errno> {
    let name = memory::string(call, call.args[1])?;
    let bytes = name.to_bytes();
    if bytes.is_empty() || bytes.len() > XATTR_NAME_MAX {
        return Err(Errno::RANGE);
    }
    let allowed = bytes.starts_with(b"user.") || bytes.starts_with(b"system.posix_acl_");
    if allowed { Ok(name) } else { Err(Errno::PERM) }
}

fn now() -> Timestamps {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
}

fn timestamps(access: (u64, u64), modification: (u64, u64)) -> Timestamps {
    let spec = |(seconds, nanoseconds): (u64, u64)| Timespec {
        tv_sec: seconds.cast_signed(),
        tv_nsec: nanoseconds.cast_signed(),
    };
    Timestamps { last_access: spec(access), last_modification: spec(modification) }
}
