//! Files, folders, links and repositories, and a snapshot of those that must not change.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::sockets::Sockets;
use crate::attack::call::sys;
use crate::attack::tools::c;

/// S_ISUID and S_ISGID.
pub const SET_ID_BITS: u32 = 0o6000;

/// Lays everything out below `dir`.
pub fn build(dir: &Path) -> io::Result<()> {
    outside(&dir.join("outside"))?;
    workspace(&dir.join("workspace"), &dir.join("outside"))
}

fn outside(outside: &Path) -> io::Result<()> {
    fs::create_dir_all(outside.join("folder"))?;
    fs::create_dir(outside.join("empty"))?;
    for name in ["file", "second", "linked", "linked-twice", "folder/inner", "new\nline"] {
        fs::write(outside.join(name), "outside\n")?;
    }
    fs::write(outside.join(OsStr::from_bytes(b"not-\xff\xfe-utf-8")), "outside\n")?;
    let labelled = c(&outside.join("file"));
    // A file system without extended attributes only loses the attempts on them.
    let _unsupported = sys!(libc::SYS_setxattr, &labelled, c"user.kept", &b"kept"[..], 4, 0);
    let fifo = outside.join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    Ok(())
}

fn workspace(workspace: &Path, outside: &Path) -> io::Result<()> {
    for folder in
        ["folder", "plain", "other", "deep/er", "nested", "pointer", "git-dirs", "store", "linked-repository"]
    {
        fs::create_dir_all(workspace.join(folder))?;
    }
    for name in ["file", "second", "folder/inner", "plain/inner"] {
        fs::write(workspace.join(name), "ours\n")?;
    }
    repository(&workspace.join(".git"))?;
    repository(&workspace.join("nested/.git"))?;
    repository(&workspace.join("deep/er/.git"))?;
    fs::create_dir(workspace.join("nested/.codex"))?;
    fs::write(workspace.join("nested/.codex/config.toml"), "sandbox_mode = \"read-only\"\n")?;
    repository(&workspace.join("git-dirs/pointer"))?;
    fs::write(workspace.join("pointer/.git"), "gitdir: ../git-dirs/pointer\n")?;
    repository(&workspace.join("store/git"))?;
    symlink("../store/git", workspace.join("linked-repository/.git"))?;
    fs::hard_link(outside.join("linked"), workspace.join("linked"))?;
    fs::hard_link(outside.join("linked-twice"), workspace.join("linked-twice"))?;
    symlink(outside.join("file"), workspace.join("to-file"))?;
    symlink(outside.join("folder"), workspace.join("to-folder"))?;
    symlink("../outside/new-through-link", workspace.join("to-nothing"))?;
    symlink(".agents", workspace.join("to-agents"))?;
    symlink("plain/.git", workspace.join("to-new-git"))
}

fn repository(git: &Path) -> io::Result<()> {
    for folder in ["hooks", "refs/heads", "objects", "info"] {
        fs::create_dir_all(git.join(folder))?;
    }
    fs::write(git.join("HEAD"), "ref: refs/heads/main\n")?;
    fs::write(git.join("config"), "[core]\n\trepositoryformatversion = 0\n")?;
    fs::write(git.join("hooks/pre-commit"), "#!/bin/sh\n")
}

/// As root, makes a copy of id(1) that belongs to user 65534 and has its set-user-id bit.
pub fn setuid_program(dir: &Path, given: Option<&Path>) -> io::Result<Option<PathBuf>> {
    const NOBODY: u32 = 65534;
    if given.is_some() || !rustix::process::geteuid().is_root() {
        return Ok(given.map(Path::to_owned));
    }
    let Some(id) = ["/usr/bin/id", "/bin/id"].map(Path::new).into_iter().find(|path| path.is_file()) else {
        return Ok(None);
    };
    let no_setuid = rustix::fs::StatVfsMountFlags::NOSUID;
    if rustix::fs::statvfs(dir)?.f_flag.contains(no_setuid) {
        return Ok(None);
    }
    let copy = dir.join("outside/id");
    fs::copy(id, &copy)?;
    std::os::unix::fs::chown(&copy, Some(NOBODY), Some(NOBODY))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755))?;
    Ok(Some(copy))
}

/// Descriptors that survive execve(2), as a careless caller leaves them.
#[derive(Debug)]
pub struct Forgotten {
    file: OwnedFd,
    folder: OwnedFd,
    socket: OwnedFd,
}

impl Forgotten {
    /// Opens them, without close-on-exec.
    pub fn open(dir: &Path, sockets: &Sockets) -> io::Result<Self> {
        let outside = dir.join("outside");
        let file = rustix::fs::open(outside.join("second"), OFlags::RDWR | OFlags::APPEND, Mode::empty())?;
        let folder = rustix::fs::open(&outside, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Self { file, folder, socket: sockets.forgotten()? })
    }

    /// Number of the file.
    pub fn file(&self) -> i32 {
        self.file.as_raw_fd()
    }

    /// Number of the folder.
    pub fn folder(&self) -> i32 {
        self.folder.as_raw_fd()
    }

    /// Number of the socket.
    pub fn socket(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

/// Everything about a file that an attempt could change, but for its access time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    links: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    content: Vec<u8>,
    attributes: Vec<u8>,
}

impl Entry {
    fn of(path: &Path, stat: &Metadata) -> io::Result<Self> {
        let kind = stat.file_type();
        let content = if kind.is_file() {
            fs::read(path)?
        } else if kind.is_symlink() {
            fs::read_link(path)?.into_os_string().into_encoded_bytes()
        } else {
            Vec::new()
        };
        Ok(Self {
            mode: stat.mode(),
            owner: (stat.uid(), stat.gid()),
            links: stat.nlink(),
            size: stat.size(),
            modified: (stat.mtime(), stat.mtime_nsec()),
            changed: (stat.ctime(), stat.ctime_nsec()),
            content,
            attributes: attribute_names(path),
        })
    }

    fn difference(&self, now: &Self) -> Option<&'static str> {
        // The other name of a file with two is in the workspace, where it may lawfully be moved and removed.
        let shared = self.mode & libc::S_IFMT == libc::S_IFREG && self.links > 1;
        let aspects = [
            (self.mode != now.mode, "kind or mode"),
            (self.owner != now.owner, "owner"),
            (self.content != now.content || self.size != now.size, "content"),
            (self.links != now.links && !shared, "number of links"),
            (self.attributes != now.attributes, "extended attributes"),
            (self.modified != now.modified, "modification time"),
            (self.changed != now.changed && !shared, "change time"),
        ];
        aspects.into_iter().find(|(differs, _)| *differs).map(|(_, name)| name)
    }
}

fn attribute_names(path: &Path) -> Vec<u8> {
    let mut names = vec![0; 4096];
    let length = sys!(libc::SYS_llistxattr, &c(path), names.as_mut_slice(), 4096).unwrap_or(0);
    names.truncate(usize::try_from(length).unwrap_or(0));
    names
}

/// What must not change: everything outside, and in the workspace what is guarded.
pub struct Snapshot(BTreeMap<PathBuf, Entry>);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("entries", &self.0.len()).finish()
    }
}

/// The name under which a process that outlived its run shows it.
pub const TRACE: &str = "alive-after-the-end";

impl Snapshot {
    /// Looks at everything.
    pub fn take(dir: &Path) -> io::Result<Self> {
        let mut entries = BTreeMap::new();
        let (outside, workspace) = (dir.join("outside"), dir.join("workspace"));
        // Either may have been moved away; that is a difference like any other.
        if let Ok(stat) = fs::symlink_metadata(&outside) {
            entries.insert("outside".into(), Entry::of(&outside, &stat)?);
            walk(&outside, Path::new("outside"), &mut entries)?;
        }
        if workspace.exists() {
            walk_guarded(&workspace, Path::new("workspace"), &mut entries)?;
        }
        Ok(Self(entries))
    }

    /// One line for each difference.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, entry) in &self.0 {
            match now.0.get(path) {
                None => lines.push(format!("{}: gone", path.display())),
                Some(other) => {
                    lines.extend(
                        entry.difference(other).map(|what| format!("{}: {what} changed", path.display())),
                    );
                }
            }
        }
        let new = now.0.keys().filter(|path| !self.0.contains_key(*path));
        lines.extend(new.map(|path| format!("{}: new", path.display())));
        lines
    }
}

/// Everything in `dir`, under the name `shown`.
fn walk(dir: &Path, shown: &Path, into: &mut BTreeMap<PathBuf, Entry>) -> io::Result<()> {
    for item in fs::read_dir(dir)? {
        let (path, shown) = inner(dir, shown, &item?.file_name());
        let stat = fs::symlink_metadata(&path)?;
        into.insert(shown.clone(), Entry::of(&path, &stat)?);
        if stat.is_dir() {
            walk(&path, &shown, into)?;
        }
    }
    Ok(())
}

/// What must not change in the workspace. A repository may be moved as a whole, so what bears a protected name goes by the
/// number of its inode: another one at the old place is then new, and the old one at another place is as it was.
fn walk_guarded(dir: &Path, shown: &Path, into: &mut BTreeMap<PathBuf, Entry>) -> io::Result<()> {
    for item in fs::read_dir(dir)? {
        let name = item?.file_name();
        let (path, shown) = inner(dir, shown, &name);
        let stat = fs::symlink_metadata(&path)?;
        if is_protected(&name) {
            let shown = PathBuf::from(format!("{} (inode {})", name.display(), stat.ino()));
            into.insert(shown.clone(), Entry::of(&path, &stat)?);
            if stat.is_dir() {
                walk(&path, &shown, into)?;
            }
            continue;
        }
        if is_guarded(&path, &stat) {
            into.insert(shown.clone(), Entry::of(&path, &stat)?);
        }
        if stat.is_dir() {
            walk_guarded(&path, &shown, into)?;
        }
    }
    Ok(())
}

fn inner(dir: &Path, shown: &Path, name: &OsStr) -> (PathBuf, PathBuf) {
    (dir.join(name), shown.join(name))
}

fn is_protected(name: &OsStr) -> bool {
    [".git", ".codex", ".agents"].iter().any(|protected| name.eq_ignore_ascii_case(protected))
}

/// Git directories under names of their own, programs with more power than their caller, and traces of processes.
fn is_guarded(path: &Path, stat: &Metadata) -> bool {
    let names: Vec<&OsStr> = path.iter().collect();
    let git_dir = names.windows(2).any(|pair| pair == ["git-dirs", "pointer"] || pair == ["store", "git"]);
    let set_id = stat.is_file() && stat.mode() & SET_ID_BITS != 0;
    let capable = || attribute_names(path).windows(19).any(|name| name == b"security.capability");
    git_dir || set_id || path.ends_with(TRACE) || (stat.is_file() && capable())
}

/// Opens the reading end of the outside FIFO, which makes writing to it possible without waiting.
pub fn open_fifo(outside: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(outside.join("fifo"), flags, Mode::empty())?.into())
}
