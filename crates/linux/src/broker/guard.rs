//! May this path be changed? The policy's rules, and what only the disk can tell.

use std::collections::{HashMap, HashSet};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use codex_sandbox_policy::rules::{Access, Rule};
use rustix::fs::{AtFlags, CWD, Stat, StatxFlags};
use rustix::io::Errno;

use super::resolve::{Place, Target};
use super::{Broker, gitdir, links};
use crate::plan::Backend;

/// Names a file for as long as it exists: device and inode number.
pub type FileId = (u64, u64);

/// The id of a file.
pub fn id_of(stat: &Stat) -> FileId {
    (stat.st_dev, stat.st_ino)
}

/// When a file was made, in seconds and nanoseconds: with its id it names the file for good, since a number is used again.
pub type Born = (i64, u32);

/// When the file behind a descriptor, or at a name below it, was made; `None` where the file system does not know.
pub fn born(fd: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Option<Born> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
    let stat = rustix::fs::statx(fd, name, flags, StatxFlags::BTIME).ok()?;
    let known = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    known.then_some((stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec))
}

/// Folders that this run made.
#[derive(Default)]
pub struct MadeFolders(HashMap<FileId, Born>);

impl MadeFolders {
    /// Remembers the folder at `name` in `dir`. One that is not remembered is treated as an old one, which is the careful side.
    pub fn made(&mut self, dir: BorrowedFd<'_>, name: &CStr) {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
        if let (Ok(stat), Some(born)) = (stat, born(dir, name))
            && self.0.len() < MAX_FOLDERS
        {
            self.0.insert(id_of(&stat), born);
        }
    }

    /// Whether the folder at `way` from `dir` is one of them.
    pub fn holds(&self, dir: BorrowedFd<'_>, way: &str) -> bool {
        // Most runs make no folder, and then nothing need be asked.
        if self.0.is_empty() {
            return false;
        }
        let stat = rustix::fs::statat(dir, way, AtFlags::SYMLINK_NOFOLLOW);
        let known = stat.ok().and_then(|stat| self.0.get(&id_of(&stat)));
        known.is_some_and(|known| born(dir, way) == Some(*known))
    }

    /// A folder is gone.
    pub fn forget(&mut self, id: FileId) {
        self.0.remove(&id);
    }
}

/// What this run made itself.
#[derive(Default)]
pub struct Session {
    /// Folders.
    pub folders: MadeFolders,
    /// Files with several links, all of which are known to lie in the roots.
    pub links: links::KnownLinks,
    /// Sockets that were bound inside.
    pub sockets: HashMap<FileId, OwnedFd>,
    /// Abstract socket names that were bound inside.
    pub abstract_names: HashSet<Vec<u8>>,
    /// The mounts of our own namespace, once they were needed.
    mounts: Option<HashSet<u64>>,
}

/// Folders that are remembered at most; one that is forgotten is treated as an old one, which is the careful side.
const MAX_FOLDERS: usize = 1 << 20;

/// The entry of the rules that a path belongs to: names move only within one.
#[derive(Debug, PartialEq, Eq)]
pub struct Territory(std::path::PathBuf);

impl Broker<'_> {
    /// Whether the path may be written, by the rules alone. EROFS is what a read-only mount answers.
    pub fn check_path(&mut self, path: &Path) -> Result<Territory, Errno> {
        let verdict = self.rules.decide(path);
        match verdict.access {
            Access::Write => Ok(Territory(match verdict.rule {
                Rule::Root { root } | Rule::Private { root } => root,
                Rule::GitData { path: dir } => self.territory_of_git(&dir),
                _ => return Err(Errno::ROFS),
            })),
            Access::Read => Err(Errno::ROFS),
            Access::DenyRead => Err(Errno::ACCESS),
        }
    }

    /// A git directory inside a root belongs to the root.
    fn territory_of_git(&self, dir: &Path) -> std::path::PathBuf {
        let roots = self.plan.policy.roots.iter().map(|root| &root.path);
        roots
            .filter(|root| dir.starts_with(root))
            .max_by_key(|root| root.components().count())
            .cloned()
            .unwrap_or_else(|| dir.to_path_buf())
    }

    /// Whether something may be made, removed or renamed at a place.
    pub fn check_place(&mut self, place: &Place) -> Result<Territory, Errno> {
        let path = place.path();
        let territory = self.check_path(&path).inspect_err(|_| self.report_refused_name(place, &path))?;
        self.check_mount(place.dir.as_fd())?;
        self.check_completes_git_dir(place)?;
        self.check_git_dirs(place.dir.as_fd(), &place.dir_path, &path)?;
        Ok(territory)
    }

    /// `git init` and its like stop at a name that is not there, which the error that they see does not explain.
    fn report_refused_name(&mut self, place: &Place, path: &Path) {
        let Rule::Protected { path: at, name } = self.rules.decide(path).rule else { return };
        if at == path && place.stat().is_err_and(|errno| errno == Errno::NOENT) {
            self.report(|| {
                format!("{}: not made: {name} is a protected name (see sandbox.protected)", at.display())
            });
        }
    }

    /// Whether an existing file may be written or have its metadata changed.
    pub fn check_target(&mut self, target: &Target) -> Result<Territory, Errno> {
        let territory = self.check_path(&target.path)?;
        self.check_mount(target.fd.as_fd())?;
        self.check_still_named(target)?;
        if target.kind().is_dir() {
            self.check_git_dirs(target.fd.as_fd(), &target.path, &target.path)?;
        } else if let Some(parent) = target.path.parent() {
            self.check_git_dirs_of_file(parent, &target.path)?;
            self.check_links(target, &territory)?;
        }
        Ok(territory)
    }

    fn check_git_dirs_of_file(&mut self, parent: &Path, path: &Path) -> Result<(), Errno> {
        if !self.in_a_root(path) {
            return Ok(());
        }
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC | rustix::fs::OFlags::NOFOLLOW;
        // Only one thread changes names, so the parent is still where the path was read.
        let dir = rustix::fs::open(parent, flags, rustix::fs::Mode::empty())?;
        self.check_git_dirs(dir.as_fd(), parent, path)
    }

    fn in_a_root(&self, path: &Path) -> bool {
        matches!(self.rules.decide(path).rule, Rule::Root { .. })
    }

    /// Git directories without the usual name (what a nested `.git` file points to, bare repositories) that were there
    /// before the run are read-only.
    fn check_git_dirs(&mut self, dir: BorrowedFd<'_>, dir_path: &Path, path: &Path) -> Result<(), Errno> {
        let Rule::Root { root } = self.rules.decide(path).rule else { return Ok(()) };
        let Ok(below) = dir_path.strip_prefix(&root) else { return Ok(()) };
        let depth = below.components().count();
        let Some(found) = gitdir::nearest_above(dir, depth, &self.session.folders)? else { return Ok(()) };
        let git_dir: std::path::PathBuf =
            root.join(below.components().take(depth - found).collect::<std::path::PathBuf>());
        self.report(|| {
            format!(
                "{}: not changed: it is a git directory (HEAD, objects and refs lie in it)",
                git_dir.display()
            )
        });
        Err(Errno::ROFS)
    }

    fn check_links(&mut self, target: &Target, territory: &Territory) -> Result<(), Errno> {
        if target.stat.st_nlink <= 1 || matches!(self.rules.decide(&target.path).rule, Rule::Private { .. }) {
            return Ok(());
        }
        if self.session.links.all_inside(target.fd.as_fd(), &target.stat, &territory.0, &self.rules) {
            return Ok(());
        }
        let path = target.path.clone();
        self.report(|| {
            format!(
                "{}: not changed: the file has another name (hard link) that may lie outside the roots; replace it with a \
                 copy first (cp file copy && mv copy file)",
                path.display()
            )
        });
        Err(Errno::PERM)
    }

    /// A descriptor that the caller was started with may lie on a mount of the outside, where a path of ours means another
    /// file. Nothing is changed there.
    fn check_mount(&mut self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        if self.plan.backend != Backend::Native {
            return Ok(());
        }
        let stat = rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
        let own = self.session.mounts.get_or_insert_with(own_mounts);
        if own.contains(&stat.stx_mnt_id) { Ok(()) } else { Err(Errno::ROFS) }
    }

    /// A file whose name is gone (`/w/a (deleted)`) still has others, and nobody can tell where.
    fn check_still_named(&mut self, target: &Target) -> Result<(), Errno> {
        if target.stat.st_nlink == 0 || !target.path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)") {
            return Ok(());
        }
        let named = rustix::fs::statat(CWD, &target.path, AtFlags::SYMLINK_NOFOLLOW);
        if named.is_ok_and(|stat| id_of(&stat) == id_of(&target.stat)) { Ok(()) } else { Err(Errno::PERM) }
    }

    /// The name that makes an old folder a git directory (HEAD, objects, refs): git, run there later, would take its
    /// configuration for the user's. In folders that this run made it is reported instead.
    fn check_completes_git_dir(&mut self, place: &Place) -> Result<(), Errno> {
        let Some(others) = gitdir::other_marks(place.bare_name()) else { return Ok(()) };
        let in_root = matches!(self.rules.decide(&place.dir_path).rule, Rule::Root { .. });
        let exists = |name: &str| rustix::fs::statat(&place.dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if !in_root || place.stat().is_ok() || !others.iter().all(|name| exists(name)) {
            return Ok(());
        }
        let made = self.session.folders.holds(place.dir.as_fd(), ".");
        let dir = place.dir_path.clone();
        let what = if made { "became" } else { "was kept from becoming" };
        self.report(|| {
            format!(
                "{}: {what} a git repository without the usual name: git that is run there obeys its configuration \
                 (git config --global safe.bareRepository explicit prevents that)",
                dir.display()
            )
        });
        if made { Ok(()) } else { Err(Errno::ROFS) }
    }

    /// A folder above a rule's own path (a root inside a root, a deny-read path, a git directory) must stay where it is.
    pub fn holds_a_rule(&self, path: &Path) -> bool {
        let policy = &self.plan.policy;
        let roots = policy.roots.iter().map(|root| &root.path);
        let mut paths = roots
            .chain(&policy.deny_read)
            .chain(&policy.pins)
            .chain(policy.sealed.iter().map(|(path, _)| path))
            .chain(policy.git_dirs.iter().map(|dir| &dir.path));
        paths.any(|rule| rule.starts_with(path))
    }
}

/// File systems by which the kernel is told what to do. One that is mounted below a root (in a root file system that is being
/// put together there) is no place to write in.
const KERNEL_FILE_SYSTEMS: [&[u8]; 15] = [
    b"proc",
    b"sysfs",
    b"cgroup",
    b"cgroup2",
    b"debugfs",
    b"tracefs",
    b"securityfs",
    b"configfs",
    b"efivarfs",
    b"binfmt_misc",
    b"bpf",
    b"selinuxfs",
    b"pstore",
    b"fusectl",
    b"resctrl",
];

/// The ids of all mounts that this process sees and that may hold files (proc_pid_mountinfo(5): the first field, and the first
/// after the lone hyphen).
fn own_mounts() -> HashSet<u64> {
    // Bytes: a mount point's name need not be UTF-8.
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let id = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        (!KERNEL_FILE_SYSTEMS.contains(&kind)).then_some(id)
    };
    table.split(|byte| *byte == b'\n').filter_map(id).collect()
}
