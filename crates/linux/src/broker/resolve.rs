//! Path resolution on a caller's behalf: as the kernel would do it for the caller, with /proc/self meaning the caller.
//!
//! The usual path costs one openat2(2). Only what touches /proc or one of its magic links is walked step by step.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::caller::Proc;
use super::guard::id_of;

/// SYMLOOP_MAX as the kernel has it (MAXSYMLINKS).
const MAX_LINKS: u32 = 40;

/// A file that exists, held by an O_PATH descriptor.
#[derive(Debug)]
pub struct Target {
    /// The file.
    pub fd: OwnedFd,
    /// Its canonical path. Not absolute for what has no name (pipes, sockets, memfds).
    pub path: PathBuf,
    /// Its metadata.
    pub stat: Stat,
    /// Reached by a magic link `/proc/PID/fd/N` of this process (as /proc shows it) and descriptor.
    pub descriptor: Option<(i32, i32)>,
}

impl Target {
    /// Its type.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// A folder and a name in it.
#[derive(Debug)]
pub struct Place {
    /// The folder, by an O_PATH descriptor.
    pub dir: OwnedFd,
    /// Its canonical path.
    pub dir_path: PathBuf,
    /// The name: one component; a slash at its end is kept, for the kernel's own checks.
    pub name: CString,
}

impl Place {
    /// The path of the name.
    pub fn path(&self) -> PathBuf {
        self.dir_path.join(OsStr::from_bytes(self.bare_name()))
    }

    /// The name without a closing slash.
    pub fn bare_name(&self) -> &[u8] {
        let name = self.name.as_bytes();
        name.strip_suffix(b"/").unwrap_or(name)
    }

    /// What stands at the name, a link not followed.
    pub fn stat(&self) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.dir, OsStr::from_bytes(self.bare_name()), AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// What a path leads to.
#[derive(Debug)]
pub enum Found {
    /// Something that exists.
    Existing(Target),
    /// A name that does not exist, in a folder that does.
    Missing(Place),
}

/// Resolves for one caller.
pub struct Resolver<'a> {
    /// /proc.
    pub proc: &'a mut Proc,
    /// The root folder.
    pub root: BorrowedFd<'a>,
    /// The calling thread.
    pub tid: i32,
}

impl Resolver<'_> {
    /// The folder that a path starts from.
    fn base(&mut self, dirfd: i32, path: &CStr) -> Result<OwnedFd, Errno> {
        if path.to_bytes().starts_with(b"/") {
            self.root.try_clone_to_owned().map_err(|_| Errno::MFILE)
        } else {
            self.proc.base(self.tid, dirfd)
        }
    }

    /// The canonical path behind one of our descriptors.
    pub fn path_of(&self, fd: BorrowedFd<'_>) -> Result<PathBuf, Errno> {
        let link =
            rustix::fs::readlinkat(self.proc.own_fds(), fd.as_raw_fd().to_string(), Vec::with_capacity(256))?;
        Ok(PathBuf::from(std::ffi::OsString::from_vec(link.into_bytes())))
    }

    fn target(&self, fd: OwnedFd, descriptor: Option<(i32, i32)>) -> Result<Target, Errno> {
        let stat = rustix::fs::fstat(&fd)?;
        let path = self.path_of(fd.as_fd())?;
        Ok(Target { fd, path, stat, descriptor })
    }

    /// Finds what `path` leads to. `follow`: a symbolic link at its end is followed, even to a name that does not exist.
    pub fn find(&mut self, dirfd: i32, path: &CStr, follow: bool) -> Result<Found, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let base = self.base(dirfd, path)?;
        self.find_from(&base, path, follow, MAX_LINKS)
    }

    fn find_from(&mut self, base: &OwnedFd, path: &CStr, follow: bool, links: u32) -> Result<Found, Errno> {
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        if !follow {
            flags |= OFlags::NOFOLLOW;
        }
        match rustix::fs::openat2(base, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
            Ok(fd) => {
                let target = self.target(fd, None)?;
                if in_proc(&target.path) {
                    self.walk(base, path, follow, links)
                } else {
                    Ok(Found::Existing(target))
                }
            }
            Err(Errno::LOOP) => self.walk(base, path, follow, links),
            Err(Errno::NOENT) => self.find_missing(base, path, follow, links),
            Err(errno) => Err(errno),
        }
    }

    /// The whole path does not exist: perhaps only its last name, perhaps that is a link to nowhere.
    fn find_missing(
        &mut self,
        base: &OwnedFd,
        path: &CStr,
        follow: bool,
        links: u32,
    ) -> Result<Found, Errno> {
        let (dir, name) = split(path)?;
        let place = self.place_from(base, &dir, name, links)?;
        if in_proc(&place.dir_path) {
            // What was missing was ours: /proc/self/fd holds other numbers for the caller.
            return self.walk(base, path, follow, links);
        }
        match place.stat() {
            Err(Errno::NOENT) => Ok(Found::Missing(place)),
            Err(errno) => Err(errno),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_symlink() && follow => {
                let rest = links.checked_sub(1).ok_or(Errno::LOOP)?;
                let link = read_link(place.dir.as_fd(), OsStr::from_bytes(place.bare_name()))?;
                let base = if link.to_bytes().starts_with(b"/") { self.base(0, &link)? } else { place.dir };
                self.find_from(&base, &link, true, rest)
            }
            // It came into being meanwhile.
            Ok(_) => self.existing_in(&place),
        }
    }

    fn existing_in(&mut self, place: &Place) -> Result<Found, Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::openat(&place.dir, OsStr::from_bytes(place.bare_name()), flags, Mode::empty())?;
        self.target(fd, None).map(Found::Existing)
    }

    /// Resolves all but the last name of `path`, for calls that make, remove or rename a name.
    pub fn place(&mut self, dirfd: i32, path: &CStr) -> Result<Place, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let base = self.base(dirfd, path)?;
        let (dir, name) = split(path)?;
        self.place_from(&base, &dir, name, MAX_LINKS)
    }

    fn place_from(&mut self, base: &OwnedFd, dir: &CStr, name: CString, links: u32) -> Result<Place, Errno> {
        let found = if dir.is_empty() {
            let fd = base.try_clone().map_err(|_| Errno::MFILE)?;
            self.target(fd, None)?
        } else {
            match self.find_dir(base, dir, links)? {
                Found::Existing(target) => target,
                Found::Missing(_) => return Err(Errno::NOENT),
            }
        };
        if !found.kind().is_dir() {
            return Err(Errno::NOTDIR);
        }
        // A folder that is unlinked has no path to decide by, and nothing can be made in it anyway.
        if found.stat.st_nlink == 0 {
            return Err(Errno::NOENT);
        }
        Ok(Place { dir: found.fd, dir_path: found.path, name })
    }

    fn find_dir(&mut self, base: &OwnedFd, dir: &CStr, links: u32) -> Result<Found, Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
        match rustix::fs::openat2(base, dir, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS) {
            Ok(fd) => {
                let target = self.target(fd, None)?;
                if in_proc(&target.path) {
                    self.walk(base, dir, true, links)
                } else {
                    Ok(Found::Existing(target))
                }
            }
            // Missing perhaps for us only: /proc/self/task holds other threads for the caller.
            Err(Errno::LOOP | Errno::NOENT) => self.walk(base, dir, true, links),
            Err(errno) => Err(errno),
        }
    }

    /// The folder from which the kernel, resolving `path` in this very process, finds the folder of `place` too; `None` where
    /// a magic link or /proc/self would lead it elsewhere.
    pub fn base_for(&mut self, path: &CStr, place: &Place) -> Result<Option<OwnedFd>, Errno> {
        let base = self.base(super::caller::AT_FDCWD, path)?;
        let (dir, _) = split(path)?;
        let dir = if dir.is_empty() { c"." } else { &dir };
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let found = rustix::fs::openat2(&base, dir, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS);
        let same = match found {
            Ok(found) => id_of(&rustix::fs::fstat(&found)?) == id_of(&rustix::fs::fstat(&place.dir)?),
            Err(_) => false,
        };
        Ok(same.then_some(base))
    }

    /// Step by step, with the caller in the place of `self`, and magic links taken for what they are.
    fn walk(&mut self, base: &OwnedFd, path: &CStr, follow: bool, links: u32) -> Result<Found, Errno> {
        let start = base.try_clone().map_err(|_| Errno::MFILE)?;
        Walk { resolver: self, at: start, links, descriptor: None }.run(path.to_bytes(), follow)
    }
}

/// Whether a path lies in /proc, where `self` is whoever asks.
fn in_proc(path: &Path) -> bool {
    path.starts_with("/proc")
}

/// Splits a path into what leads to the last name (empty: the base itself) and the last name, closing slash kept.
fn split(path: &CStr) -> Result<(CString, CString), Errno> {
    let bytes = path.to_bytes();
    let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let start = bytes[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let make = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::INVAL);
    if start == end {
        // The path is nothing but slashes.
        return Ok((make(b"/")?, make(b".")?));
    }
    let name =
        if end < bytes.len() { [&bytes[start..end], b"/"].concat() } else { bytes[start..end].to_vec() };
    Ok((make(&bytes[..start])?, make(&name)?))
}

fn read_link(dir: BorrowedFd<'_>, name: &OsStr) -> Result<CString, Errno> {
    rustix::fs::readlinkat(dir, name, Vec::with_capacity(256))
}

/// A walk in progress.
struct Walk<'r, 'a> {
    resolver: &'r mut Resolver<'a>,
    at: OwnedFd,
    links: u32,
    descriptor: Option<(i32, i32)>,
}

/// What one name was.
enum Step {
    Into(OwnedFd),
    /// A symbolic link with this content, still to be walked.
    Link(Vec<u8>),
    /// A magic link: where it leads, and the descriptor it stands for if it is one.
    Magic(OwnedFd, Option<(i32, i32)>),
    Missing,
}

impl Walk<'_, '_> {
    fn run(mut self, path: &[u8], follow: bool) -> Result<Found, Errno> {
        let mut rest: Vec<Vec<u8>> = reversed(path);
        while let Some(name) = rest.pop() {
            let last = rest.is_empty();
            self.descriptor = None;
            match self.step(&name, !last || follow)? {
                Step::Into(next) => self.at = next,
                Step::Magic(next, descriptor) => {
                    self.at = next;
                    self.descriptor = descriptor;
                }
                Step::Link(content) => {
                    self.links = self.links.checked_sub(1).ok_or(Errno::LOOP)?;
                    if content.starts_with(b"/") {
                        self.at = self.resolver.root.try_clone_to_owned().map_err(|_| Errno::MFILE)?;
                    }
                    rest.extend(reversed(&content));
                }
                Step::Missing if last => return self.missing(&name).map(Found::Missing),
                Step::Missing => return Err(Errno::NOENT),
            }
        }
        self.resolver.target(self.at, self.descriptor).map(Found::Existing)
    }

    fn step(&mut self, name: &[u8], follow: bool) -> Result<Step, Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let next = match rustix::fs::openat(&self.at, OsStr::from_bytes(name), flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Step::Missing),
            other => other?,
        };
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&next)?.st_mode);
        if !kind.is_symlink() || !follow {
            return Ok(Step::Into(next));
        }
        let here = self.resolver.path_of(self.at.as_fd())?;
        if here == Path::new("/proc") {
            return self.proc_root_link(name);
        }
        if in_proc(&here) {
            return self.magic(&here, name);
        }
        read_link(self.at.as_fd(), OsStr::from_bytes(name)).map(|link| Step::Link(link.into_bytes()))
    }

    /// `self` and `thread-self` mean the caller; the other links of /proc itself are plain.
    fn proc_root_link(&mut self, name: &[u8]) -> Result<Step, Errno> {
        let tid = self.resolver.tid;
        let content = match name {
            b"self" => self.resolver.proc.thread_group(tid)?.to_string(),
            b"thread-self" => {
                let shown = self.resolver.proc.shown_id(tid)?;
                format!("{}/task/{shown}", self.resolver.proc.thread_group(tid)?)
            }
            _ => {
                return read_link(self.at.as_fd(), OsStr::from_bytes(name))
                    .map(|link| Step::Link(link.into_bytes()));
            }
        };
        Ok(Step::Link(content.into_bytes()))
    }

    /// A link below /proc/PID leads straight to a file. Those of our own process lead nowhere.
    fn magic(&self, here: &Path, name: &[u8]) -> Result<Step, Errno> {
        let mut parts = here.components().skip(2).map(|part| part.as_os_str().to_string_lossy().into_owned());
        let pid: i32 = parts.next().and_then(|pid| pid.parse().ok()).ok_or(Errno::ACCESS)?;
        if pid == std::process::id().cast_signed() || is_own_process(self.resolver.proc, pid) {
            return Err(Errno::ACCESS);
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.at, OsStr::from_bytes(name), flags, Mode::empty())?;
        let in_fd_folder = parts.last().is_some_and(|part| part == "fd");
        let number = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
        Ok(Step::Magic(fd, number.filter(|_| in_fd_folder).map(|number| (pid, number))))
    }

    fn missing(&self, name: &[u8]) -> Result<Place, Errno> {
        let dir = self.at.try_clone().map_err(|_| Errno::MFILE)?;
        let dir_path = self.resolver.path_of(dir.as_fd())?;
        Ok(Place { dir, dir_path, name: CString::new(name).map_err(|_| Errno::INVAL)? })
    }
}

/// Whether /proc/PID is this process or one of its threads (in a foreign /proc it has another number).
fn is_own_process(proc: &Proc, pid: i32) -> bool {
    let own = rustix::fs::readlinkat(proc.dir(), c"self", Vec::new());
    let group = proc.group_of_shown(pid);
    own.is_ok_and(|own| group.is_some_and(|group| own.to_bytes() == group.to_string().as_bytes()))
}

fn reversed(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(path: &CStr) -> (Vec<u8>, Vec<u8>) {
        let (dir, name) = split(path).expect("splits");
        (dir.into_bytes(), name.into_bytes())
    }

    #[test]
    fn paths_split_at_the_last_name() {
        assert_eq!(halves(c"a"), (b"".to_vec(), b"a".to_vec()));
        assert_eq!(halves(c"/a"), (b"/".to_vec(), b"a".to_vec()));
        assert_eq!(halves(c"a/b//"), (b"a/".to_vec(), b"b/".to_vec()));
        assert_eq!(halves(c"//"), (b"/".to_vec(), b".".to_vec()));
    }
}
