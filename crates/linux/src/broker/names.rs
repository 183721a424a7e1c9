//! Making, removing, linking and renaming names.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

use codex_sandbox_policy::rules::Rule;
use rustix::fs::{AtFlags, FileType, Mode, RenameFlags, Stat};
use rustix::io::Errno;

use super::files::SET_ID_BITS;
use super::guard::id_of;
use super::notify::{Answer, Call};
use super::resolve::{Found, Place, Target};
use super::{Broker, Handled, gitdir, memory};
use crate::seccomp::Sys;

const CWD: i32 = libc::AT_FDCWD;

impl Broker<'_> {
    pub(super) fn handle_name(&mut self, call: &Call, sys: Sys) -> Handled {
        let int = |n| call.int(n);
        match sys {
            Sys::Mkdir => self.mkdir(call, CWD, 0, call.args[1] as u32),
            Sys::Mkdirat => self.mkdir(call, int(0), 1, call.args[2] as u32),
            Sys::Mknod => self.mknod(call, CWD, 0, call.args[1] as u32),
            Sys::Mknodat => self.mknod(call, int(0), 1, call.args[2] as u32),
            Sys::Symlink => self.symlink(call, 0, CWD, 1),
            Sys::Symlinkat => self.symlink(call, 0, int(1), 2),
            Sys::Link => self.link(call, (CWD, 0), (CWD, 1), 0),
            Sys::Linkat => self.link(call, (int(0), 1), (int(2), 3), int(4)),
            Sys::Unlink => self.remove(call, CWD, 0, false),
            Sys::Rmdir => self.remove(call, CWD, 0, true),
            Sys::Unlinkat => match int(2) {
                0 => self.remove(call, int(0), 1, false),
                libc::AT_REMOVEDIR => self.remove(call, int(0), 1, true),
                _ => Err(Errno::INVAL),
            },
            Sys::Rename => self.rename(call, (CWD, 0), (CWD, 1), 0),
            Sys::Renameat => self.rename(call, (int(0), 1), (int(2), 3), 0),
            Sys::Renameat2 => self.rename(call, (int(0), 1), (int(2), 3), call.args[4] as u32),
            _ => Err(Errno::NOSYS),
        }
    }

    fn place_argument(&mut self, call: &Call, dirfd: i32, n: usize) -> Result<Place, Errno> {
        let path = self.path_argument(call, n)?;
        self.resolver(call).place(dirfd, &path)
    }

    /// A place where a new name may be made. What exists already is told first, as the kernel does.
    fn new_place(&mut self, call: &Call, dirfd: i32, n: usize) -> Result<Place, Errno> {
        let place = self.place_argument(call, dirfd, n)?;
        if is_dots(&place) || place.stat().is_ok() {
            return Err(Errno::EXIST);
        }
        self.check_place(&place)?;
        self.check_no_index(&place.path())?;
        Ok(place)
    }

    fn mkdir(&mut self, call: &Call, dirfd: i32, n: usize, mode: u32) -> Handled {
        let place = self.new_place(call, dirfd, n)?;
        self.take_umask(call)?;
        // S_ISVTX stays; a setgid folder hands its group on, which its parent may ask for by itself.
        rustix::fs::mkdirat(&place.dir, &place.name, Mode::from_raw_mode(mode & 0o1777))?;
        self.session.folders.made(place.dir.as_fd(), &place.name);
        Ok(Answer::Value(0))
    }

    /// Regular files, FIFOs and sockets; never a device.
    fn mknod(&mut self, call: &Call, dirfd: i32, n: usize, mode: u32) -> Handled {
        let kind = match mode & libc::S_IFMT {
            0 | libc::S_IFREG => FileType::RegularFile,
            libc::S_IFIFO => FileType::Fifo,
            libc::S_IFSOCK => FileType::Socket,
            _ => return Err(Errno::PERM),
        };
        let place = self.new_place(call, dirfd, n)?;
        self.take_umask(call)?;
        let mode = Mode::from_raw_mode(mode & 0o7777 & !SET_ID_BITS);
        rustix::fs::mknodat(&place.dir, &place.name, kind, mode, 0)?;
        Ok(Answer::Value(0))
    }

    fn symlink(&mut self, call: &Call, content: usize, dirfd: i32, n: usize) -> Handled {
        let content = memory::string(call, call.args[content])?;
        let place = self.new_place(call, dirfd, n)?;
        self.check_no_link_for_git(&place)?;
        rustix::fs::symlinkat(&content, &place.dir, &place.name)?;
        Ok(Answer::Value(0))
    }

    fn link(&mut self, call: &Call, from: (i32, usize), to: (i32, usize), flags: i32) -> Handled {
        if flags & !(libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        let source = self.link_source(call, from, flags)?;
        let place = self.new_place(call, to.0, to.1)?;
        if source.kind().is_dir() {
            return Err(Errno::PERM);
        }
        if source.kind().is_symlink() {
            self.check_no_link_for_git(&place)?;
        }
        // A file without a name (O_TMPFILE) gets its first one; any other must itself be writable, and near.
        if source.stat.st_nlink > 0 {
            self.check_no_index(&source.path)?;
            self.check_no_object(&source.path)?;
            let from = self.check_target(&source)?;
            if from != self.check_path(&place.path())? {
                return Err(Errno::XDEV);
            }
        }
        let own = source.fd.as_raw_fd().to_string();
        rustix::fs::linkat(self.proc.own_fds(), own, &place.dir, &place.name, AtFlags::SYMLINK_FOLLOW)?;
        self.session.links.linked(source.fd.as_fd(), &source.stat);
        Ok(Answer::Value(0))
    }

    fn link_source(&mut self, call: &Call, (dirfd, n): (i32, usize), flags: i32) -> Result<Target, Errno> {
        let path = self.path_argument(call, n)?;
        if path.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
            let path =
                std::ffi::CString::new(format!("/proc/thread-self/fd/{dirfd}")).map_err(|_| Errno::INVAL)?;
            return existing(self.resolver(call).find(CWD, &path, true)?);
        }
        existing(self.resolver(call).find(dirfd, &path, flags & libc::AT_SYMLINK_FOLLOW != 0)?)
    }

    fn remove(&mut self, call: &Call, dirfd: i32, n: usize, folder: bool) -> Handled {
        let place = self.place_argument(call, dirfd, n)?;
        let last = place.bare_name();
        match (last, folder) {
            (b".", true) => return Err(Errno::INVAL),
            (b"..", true) => return Err(Errno::NOTEMPTY),
            (b"." | b"..", false) => return Err(Errno::ISDIR),
            _ => {}
        }
        let before = place.stat()?;
        self.check_place(&place)?;
        self.check_no_object(&place.path())?;
        let flags = if folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        if folder && self.holds_a_rule(&place.path()) {
            return Err(Errno::BUSY);
        }
        rustix::fs::unlinkat(&place.dir, &place.name, flags)?;
        self.forget(&before);
        Ok(Answer::Value(0))
    }

    /// A name of this file is gone, and perhaps the file, whose number may come again for another.
    fn forget(&mut self, before: &Stat) {
        self.session.links.unlinked(before);
        if FileType::from_raw_mode(before.st_mode).is_dir() {
            self.session.folders.forget(id_of(before));
        }
        if before.st_nlink <= 1 {
            self.session.sockets.remove(&id_of(before));
        }
    }

    fn rename(&mut self, call: &Call, from: (i32, usize), to: (i32, usize), flags: u32) -> Handled {
        let flags = RenameFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::PERM);
        }
        let source = self.place_argument(call, from.0, from.1)?;
        let target = self.place_argument(call, to.0, to.1)?;
        if is_dots(&source) || is_dots(&target) {
            return Err(Errno::BUSY);
        }
        let moved = source.stat()?;
        let replaced = target.stat().ok();
        if replaced.is_some() && flags.contains(RenameFlags::NOREPLACE) {
            return Err(Errno::EXIST);
        }
        if self.check_place(&source)? != self.check_place(&target)? {
            return Err(Errno::XDEV);
        }
        self.check_moved(&source, &target, &moved)?;
        if let Some(replaced) = &replaced {
            self.check_moved(&target, &source, replaced)?;
        }
        self.check_no_object(&source.path())?;
        if replaced.is_some() {
            self.check_no_object(&target.path())?;
        }
        self.check_index_rename(&source, &moved, &target, flags)?;
        rustix::fs::renameat_with(&source.dir, &source.name, &target.dir, &target.name, flags)?;
        if let Some(replaced) = replaced.filter(|_| !flags.contains(RenameFlags::EXCHANGE))
            && id_of(&replaced) != id_of(&moved)
        {
            self.forget(&replaced);
        }
        Ok(Answer::Value(0))
    }

    fn check_index_rename(
        &mut self,
        source: &Place,
        moved: &Stat,
        target: &Place,
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let target_path = target.path();
        if flags.contains(RenameFlags::EXCHANGE) {
            self.check_no_index(&source.path())?;
            return self.check_no_index(&target_path);
        }
        if self.is_index(&target_path) { self.check_index(source, moved, &target_path) } else { Ok(()) }
    }

    /// A folder takes what lies in it along. What a rule or a `.git` file names must not move away, lest another take its
    /// place; and nothing moves to where git would take it for configuration.
    fn check_moved(&mut self, from: &Place, to: &Place, what: &Stat) -> Result<(), Errno> {
        if FileType::from_raw_mode(what.st_mode).is_symlink() {
            return self.check_no_link_for_git(to);
        }
        if !FileType::from_raw_mode(what.st_mode).is_dir() {
            return Ok(());
        }
        if self.holds_a_rule(&from.path()) {
            return Err(Errno::BUSY);
        }
        self.check_git_folder_move(from, to)?;
        if !self.may_hold_git_dirs(from) {
            return Ok(());
        }
        let name = OsStr::from_bytes(from.bare_name());
        match gitdir::lies_below(from.dir.as_fd(), name, &self.session.folders, self.rules.protected()) {
            Some(false) => Ok(()),
            found => {
                let path = from.path();
                let why = if found.is_some() {
                    "a protected name or a git directory lies below"
                } else {
                    "too much lies below to look through"
                };
                self.report(|| format!("{}: not renamed: {why}", path.display()));
                Err(Errno::BUSY)
            }
        }
    }

    fn may_hold_git_dirs(&self, place: &Place) -> bool {
        matches!(self.rules.decide(&place.path()).rule, Rule::Root { .. })
    }

    fn in_git_dir(&self, place: &Place) -> bool {
        matches!(self.rules.decide(&place.path()).rule, Rule::GitData { .. })
    }

    /// Git keeps no symbolic links in its directory; one there would lead it to what a command prepared elsewhere.
    fn check_no_link_for_git(&self, place: &Place) -> Result<(), Errno> {
        if self.in_git_dir(place) { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// Under `git = "commit"`: whole folders move only among refs, logs and objects.
    fn check_git_folder_move(&self, from: &Place, to: &Place) -> Result<(), Errno> {
        // No folder enters or leaves a git directory.
        if self.in_git_dir(from) != self.in_git_dir(to) {
            return Err(Errno::ROFS);
        }
        for place in [from, to] {
            if let Rule::GitData { path: dir } = self.rules.decide(&place.path()).rule {
                let path = place.path();
                let first = path.strip_prefix(&dir).ok().and_then(|rel| rel.iter().next());
                if !first.is_some_and(|first| {
                    codex_sandbox_policy::git::may_move_directories_below(first.as_bytes())
                }) {
                    return Err(Errno::ROFS);
                }
            }
        }
        Ok(())
    }
}

fn is_dots(place: &Place) -> bool {
    matches!(place.bare_name(), b"." | b"..")
}

/// The target of a path that must exist.
pub fn existing(found: Found) -> Result<Target, Errno> {
    match found {
        Found::Existing(target) => Ok(target),
        Found::Missing(_) => Err(Errno::NOENT),
    }
}
