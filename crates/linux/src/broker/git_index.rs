//! The index under `git = "commit"`: a command prepares it under another name, and the broker looks through it before it gets
//! its own.
//!
//! What gets the name is a copy of the broker's: the command may still hold a descriptor of the file that it prepared.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use codex_sandbox_policy::git::{self, GitFile};
use codex_sandbox_policy::git_index;
use codex_sandbox_policy::rules::Rule;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::Broker;
use super::guard::id_of;
use super::resolve::Place;

/// A larger index is not looked through: some five million files.
const MAX_SIZE: u64 = 512 << 20;

impl Broker<'_> {
    /// Whether git would read an index at this path. Nobody writes there, links it or makes it but by a rename.
    pub(super) fn is_index(&self, path: &Path) -> bool {
        match self.rules.decide(path).rule {
            Rule::GitData { path: dir } => kind(&dir, path) == Some(GitFile::Index),
            _ => false,
        }
    }

    pub(super) fn check_no_index(&self, path: &Path) -> Result<(), Errno> {
        if self.is_index(path) { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// What exists at this path may be changed, moved or removed: it is no finished object.
    pub(super) fn check_no_object(&self, path: &Path) -> Result<(), Errno> {
        match self.rules.decide(path).rule {
            Rule::GitData { path: dir } if kind(&dir, path) == Some(GitFile::Object) => Err(Errno::ROFS),
            _ => Ok(()),
        }
    }

    /// Before a rename of `source` onto an index: replaces `source` by a copy that was looked through.
    pub(super) fn check_index(&mut self, source: &Place, moved: &Stat, target: &Path) -> Result<(), Errno> {
        let result = self.try_index(source, moved, target);
        if let Err((errno, why)) = result {
            self.report(|| format!("{}: not replaced: the new index {why}", target.display()));
            return Err(errno);
        }
        Ok(())
    }

    fn try_index(&self, source: &Place, moved: &Stat, target: &Path) -> Result<(), (Errno, String)> {
        if !FileType::from_raw_mode(moved.st_mode).is_file() {
            return Err((Errno::ROFS, "is no file".to_owned()));
        }
        if moved.st_size.cast_unsigned() > MAX_SIZE {
            return Err((Errno::FBIG, "is larger than 512 MiB".to_owned()));
        }
        let system = |errno: Errno| (errno, format!("cannot be read or copied: {errno}"));
        let content = read(source, moved).map_err(system)?;
        let hash = self.hash_length(target);
        let cleaned = git_index::clean(&content, hash).map_err(|error| (Errno::ROFS, error.to_string()))?;
        replace(source, moved, &cleaned).map_err(system)
    }

    /// The length of object names, from the repository's own configuration, which the command cannot change.
    fn hash_length(&self, index: &Path) -> usize {
        let Rule::GitData { path: top } = self.rules.decide(index).rule else { return git_index::SHA1 };
        let rel = index.strip_prefix(&top).unwrap_or(index);
        // A linked worktree has the configuration of its repository.
        let linked = rel.iter().next().is_some_and(|first| first.eq_ignore_ascii_case("worktrees"))
            && rel.iter().count() == 3;
        let dir: PathBuf = if linked { top } else { index.parent().map_or(top, Path::to_path_buf) };
        git_index::hash_length(&read_config(&dir.join("config")).unwrap_or_default())
    }
}

fn kind(dir: &Path, path: &Path) -> Option<GitFile> {
    path.strip_prefix(dir).ok().map(|rel| git::classify(rel.as_os_str().as_bytes()))
}

/// Whatever lies there, it neither holds the broker up nor fills its memory.
fn read_config(path: &Path) -> Option<Vec<u8>> {
    const LONGEST: u64 = 1 << 20;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    if !FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode).is_file() {
        return None;
    }
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(std::fs::File::from(file), LONGEST), &mut content)
        .ok()?;
    Some(content)
}

fn read(source: &Place, moved: &Stat) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&source.dir, &source.name, flags, Mode::empty())?;
    if id_of(&rustix::fs::fstat(&file)?) != id_of(moved) {
        return Err(Errno::AGAIN);
    }
    let mut content = Vec::new();
    // It may grow while it is read.
    let mut limited = std::io::Read::take(std::fs::File::from(file), MAX_SIZE + 1);
    std::io::Read::read_to_end(&mut limited, &mut content)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    if content.len() as u64 > MAX_SIZE { Err(Errno::FBIG) } else { Ok(content) }
}

/// Puts a new file with the content under the name of `source`. Git compares the index's time with those of files, so the
/// copy keeps it.
fn replace(source: &Place, moved: &Stat, content: &[u8]) -> Result<(), Errno> {
    rustix::fs::unlinkat(&source.dir, &source.name, AtFlags::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let copy = rustix::fs::openat(&source.dir, &source.name, flags, Mode::from_raw_mode(0o600))?;
    write_all(&copy, content)?;
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(moved.st_mode & 0o777))?;
    let time = Timespec { tv_sec: moved.st_mtime, tv_nsec: moved.st_mtime_nsec as _ };
    rustix::fs::futimens(copy.as_fd(), &Timestamps { last_access: time, last_modification: time })
}

fn write_all(file: &OwnedFd, mut content: &[u8]) -> Result<(), Errno> {
    while !content.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(file, content))?;
        content = content.get(written..).ok_or(Errno::IO)?;
    }
    Ok(())
}
