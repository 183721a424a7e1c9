//! The two pointer files of `git worktree add`, under `git = "commit"`.
//!
//! A `.git` file and a `commondir` file decide where git looks for configuration and hooks, so a command never writes them.
//! The broker writes the one content that is right, and gives the command a file without a name to write its own into.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use codex_sandbox_policy::git::{self, GitFile};
use codex_sandbox_policy::policy::GitMode;
use codex_sandbox_policy::rules::Rule;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Broker;
use super::notify::Answer;
use super::resolve::Place;

impl Broker<'_> {
    /// Makes a pointer file of a linked worktree, if that is what the place is; `None` leaves it to the usual rules.
    pub(super) fn create_for_git(&mut self, cloexec: bool, place: &Place) -> Result<Option<Answer>, Errno> {
        if self.rules.git() != GitMode::Commit {
            return Ok(None);
        }
        let path = place.path();
        let content = match self.rules.decide(&path).rule {
            Rule::GitCode { path: dir, .. } if is_commondir(&dir, &path) => b"../..\n".to_vec(),
            Rule::Protected { path: at, .. } if at == path && place.bare_name() == b".git" => {
                let entry = self.worktree_entry(&path).ok_or(Errno::ROFS)?;
                [b"gitdir: ", entry.as_os_str().as_bytes(), b"\n"].concat()
            }
            _ => return Ok(None),
        };
        write_new(place, &content)?;
        discarding_file().map(|fd| Some(Answer::Fd { fd, cloexec }))
    }

    /// The folder `worktrees/<id>` of one of our git directories whose `gitdir` names this `.git` file.
    fn worktree_entry(&self, pointer: &Path) -> Option<PathBuf> {
        let policy = &self.plan.policy;
        let git_dirs = policy.roots.iter().map(|root| root.path.join(".git"));
        let git_dirs = git_dirs.chain(policy.git_dirs.iter().map(|dir| dir.path.clone()));
        git_dirs.filter_map(|dir| std::fs::read_dir(dir.join("worktrees")).ok()).flatten().flatten().find_map(
            |entry| {
                let dir = entry.path();
                // A link would lead to a folder in the command's hands.
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    return None;
                }
                let content = read_pointer(&dir.join("gitdir"))?;
                let named = dir.join(OsStr::from_bytes(content.trim_ascii_end()));
                let real = std::fs::canonicalize(named.parent()?).ok()?.join(named.file_name()?);
                (real == pointer).then_some(dir)
            },
        )
    }
}

/// Reads a small regular file; nothing that blocks or has no end.
fn read_pointer(path: &Path) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode);
    let mut content = vec![0; 4096];
    let length = if kind.is_file() { rustix::io::read(&file, &mut content).ok()? } else { return None };
    content.truncate(length);
    Some(content)
}

fn is_commondir(dir: &Path, path: &Path) -> bool {
    path.strip_prefix(dir).is_ok_and(|rel| git::classify(rel.as_os_str().as_bytes()) == GitFile::Commondir)
}

fn write_new(place: &Place, content: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&place.dir, &place.name, flags, Mode::from_raw_mode(0o644))?;
    match rustix::io::write(&file, content) {
        Ok(length) if length == content.len() => Ok(()),
        Ok(_) => Err(Errno::NOSPC),
        Err(errno) => Err(errno),
    }
}

/// What the command writes goes nowhere.
fn discarding_file() -> Result<OwnedFd, Errno> {
    rustix::fs::memfd_create(c"git pointer", rustix::fs::MemfdFlags::CLOEXEC)
}
