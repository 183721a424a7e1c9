//! The mount plan, carried out inside the new mount namespace.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::error::{Failure, Stage};
use crate::native::work_folders::Cleaner;
use crate::plan::{DEVICES, LinuxPlan, Mount};
use crate::sys;

/// Where a hidden file or folder's empty stand-in lies.
const EMPTY_FILE: &str = "/dev/.hidden-file";
const EMPTY_FOLDER: &str = "/dev/.hidden-folder";

/// Mounts that must be taken from the tree before it becomes read-only.
struct Captured {
    writable: Vec<(PathBuf, OwnedFd)>,
    overlays: Vec<(PathBuf, OwnedFd)>,
    devices: Vec<(&'static str, OwnedFd)>,
    terminal: Option<OwnedFd>,
    work: Vec<Cleaner>,
}

/// Carries out the mount steps of `plan`, all but /proc, which shows one pid namespace.
pub fn build(plan: &LinuxPlan) -> Result<Vec<Cleaner>, Failure> {
    let captured = capture(plan)?;
    read_only_tree()?;
    for (at, mount) in &captured.overlays {
        attach(mount, at)?;
    }
    devices(&captured)?;
    for mount in &plan.mounts {
        match mount {
            Mount::Writable { path } => bind_back(&captured, path)?,
            Mount::Protect { path } => protect(path)?,
            Mount::Hide { path, folder } => hide(path, *folder)?,
            Mount::Overlay { .. }
            | Mount::Replace { .. }
            | Mount::ReadOnlyTree
            | Mount::Devices { .. }
            | Mount::Proc => {}
        }
    }
    Ok(captured.work)
}

fn capture(plan: &LinuxPlan) -> Result<Captured, Failure> {
    let mut captured = Captured {
        writable: Vec::new(),
        overlays: Vec::new(),
        devices: Vec::new(),
        terminal: None,
        work: Vec::new(),
    };
    for mount in &plan.mounts {
        match mount {
            Mount::Writable { path } => captured.writable.push((path.clone(), writable_clone(path)?)),
            Mount::Overlay { at, upper, work } => {
                let (mount, cleaner) = overlay(at, upper, work).map_err(fail(at))?;
                captured.overlays.push((at.clone(), mount));
                captured.work.push(cleaner);
            }
            Mount::Replace { at, with } => captured.overlays.push((at.clone(), writable_clone(with)?)),
            Mount::Devices { terminal } => {
                captured.devices = device_nodes()?;
                captured.terminal =
                    terminal.as_deref().and_then(|path| clone_tree(&resolve(path).ok()?).ok());
            }
            _ => {}
        }
    }
    Ok(captured)
}

fn fail(object: impl AsRef<Path>) -> impl FnOnce(Errno) -> Failure {
    Failure::at(Stage::Mounts, object)
}

/// Opens `path` without following any symbolic link: it is canonical, so a link in it now is somebody's race.
fn resolve(path: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn clone_tree(at: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    open_tree(at, c"", flags)
}

fn writable_clone(path: &Path) -> Result<OwnedFd, Failure> {
    let clone = resolve(path).and_then(|fd| clone_tree(&fd)).map_err(fail(path))?;
    let attributes = sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV;
    sys::mount_setattr(clone.as_fd(), attributes, true, true).map_err(fail(path))?;
    Ok(clone)
}

/// A new overlay, mounted nowhere yet, and its work folder.
fn overlay(lower: &Path, upper: &Path, work: &Path) -> Result<(OwnedFd, Cleaner), Errno> {
    let work = super::work_folders::claim(work)?;
    let folder = resolve(&work.path).and_then(|fd| clone_tree(&fd))?;
    Ok((try_overlay(lower, upper, &work.path)?, Cleaner::new(work, folder)))
}

/// The layers are named by descriptor: any path works, commas and colons included.
fn try_overlay(lower: &Path, upper: &Path, work: &Path) -> Result<OwnedFd, Errno> {
    let layers = [("lowerdir", lower), ("upperdir", upper), ("workdir", work)];
    let open = layers.map(|(key, path)| (key, resolve(path)));
    let context = fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, fd) in &open {
        let fd = fd.as_ref().map_err(|errno| *errno)?;
        fsconfig_set_string(context.as_fd(), *key, fd_path(fd.as_fd()))?;
    }
    // Runs of one workspace share the folders, which an index would not allow.
    fsconfig_set_string(context.as_fd(), c"index", c"off")?;
    fsconfig_set_flag(context.as_fd(), c"userxattr")?;
    // Temporary files need not survive a crash of the machine; without this, unmounting flushes the whole file system.
    fsconfig_set_flag(context.as_fd(), c"volatile")?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn fd_path(fd: BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn device_nodes() -> Result<Vec<(&'static str, OwnedFd)>, Failure> {
    let mut nodes = Vec::with_capacity(DEVICES.len());
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        match resolve(&path).and_then(|fd| clone_tree(&fd)) {
            Ok(clone) => nodes.push((name, clone)),
            // A container without /dev/tty is no reason to refuse.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(fail(&path)(errno)),
        }
    }
    Ok(nodes)
}

/// This is the first step that needs real power over mounts, so its refusal means that namespaces are of no use here.
fn read_only_tree() -> Result<(), Failure> {
    try_read_only().map_err(Failure::at(Stage::Namespaces, "mount_setattr /"))
}

/// Makes the whole tree of this mount namespace read-only and private.
pub fn try_read_only() -> Result<(), Errno> {
    let attributes = sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV;
    let root = rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    sys::mount_setattr(root.as_fd(), attributes, true, true)
}

fn attach(mount: &OwnedFd, at: &Path) -> Result<(), Failure> {
    let target = resolve(at).map_err(fail(at))?;
    attach_to(mount, &target).map_err(fail(at))
}

fn attach_to(mount: &OwnedFd, target: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags)
}

/// A new file system of type `name` with string options, mounted nowhere yet.
fn new_fs(name: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let context = fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A new /dev. Everything in it is made through the descriptor of the file system, before anyone can see it.
fn devices(captured: &Captured) -> Result<(), Failure> {
    let dev = Path::new("/dev");
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tmpfs = new_fs("tmpfs", &[("mode", "755")], attributes).map_err(fail(dev))?;
    populate(&tmpfs, captured).map_err(fail(dev))?;
    attach(&tmpfs, dev)?;
    for (name, node) in &captured.devices {
        attach(node, &dev.join(name))?;
    }
    if let Some(terminal) = &captured.terminal {
        attach(terminal, &dev.join("console"))?;
    }
    let options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    let pts = pseudo_terminals(&options[1..]).map_err(fail("/dev/pts"))?;
    attach(&pts, &dev.join("pts"))
}

fn pseudo_terminals(options: &[(&str, &str)]) -> Result<OwnedFd, Errno> {
    new_fs("devpts", options, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC)
}

fn populate(dev: &OwnedFd, captured: &Captured) -> Result<(), Errno> {
    let touch = |name: &str, mode: u32| {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        rustix::fs::openat(dev, name, flags, Mode::from_raw_mode(mode)).map(drop)
    };
    for (name, _) in &captured.devices {
        touch(name, 0o666)?;
    }
    if captured.terminal.is_some() {
        touch("console", 0o620)?;
    }
    touch(".hidden-file", 0)?;
    rustix::fs::mkdirat(dev, ".hidden-folder", Mode::empty())?;
    rustix::fs::mkdirat(dev, "pts", Mode::from_raw_mode(0o755))?;
    rustix::fs::mkdirat(dev, "shm", Mode::from_raw_mode(0o1777))?;
    rustix::fs::chmodat(dev, "shm", Mode::from_raw_mode(0o1777), rustix::fs::AtFlags::empty())?;
    for (target, name) in [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
    ] {
        rustix::fs::symlinkat(target, dev, name)?;
    }
    Ok(())
}

/// A /proc of the new pid namespace: read-only where the command sees it, writable in the broker's hand.
///
/// Where parts of the host's /proc are covered (containers), the kernel refuses a new one; the host's stays, read-only (`None`).
pub fn proc(plan: &LinuxPlan) -> Result<Option<OwnedFd>, Failure> {
    let at = Path::new("/proc");
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let visible = match new_fs("proc", &[], attributes | MountAttrFlags::MOUNT_ATTR_RDONLY) {
        Ok(visible) => visible,
        Err(Errno::PERM) if !plan.strict => return Ok(None),
        Err(errno) => return Err(fail(at)(errno)),
    };
    let writable = new_fs("proc", &[], attributes).map_err(fail(at))?;
    attach(&visible, at)?;
    Ok(Some(writable))
}

/// Puts the writable clone of a root over its place, if that is still the same folder.
fn bind_back(captured: &Captured, path: &Path) -> Result<(), Failure> {
    let (_, clone) = captured
        .writable
        .iter()
        .find(|(captured, _)| captured == path)
        .expect("every Writable step was captured");
    let target = match resolve(path) {
        Ok(target) => target,
        // Inside a folder that a private one replaces, the place must be made first.
        Err(Errno::NOENT) => make_place(path).map_err(fail(path))?,
        Err(errno) => return Err(fail(path)(errno)),
    };
    attach_to(clone, &target).map_err(fail(path))
}

fn make_place(path: &Path) -> Result<OwnedFd, Errno> {
    let make = |dir: &Path| match rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) | Ok(()) => Ok(()),
        Err(errno) => Err(errno),
    };
    let ancestors: Vec<&Path> = path.ancestors().collect();
    for dir in ancestors.iter().rev().filter(|dir| rustix::fs::stat(**dir).is_err()) {
        make(dir)?;
    }
    resolve(path)
}

fn protect(path: &Path) -> Result<(), Failure> {
    let target = match resolve(path) {
        Ok(target) => target,
        // Gone since the plan was made; the broker refuses to let it be made anew.
        Err(Errno::NOENT | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(fail(path)(errno)),
    };
    let clone = clone_tree(&target).map_err(fail(path))?;
    let attributes = sys::MOUNT_ATTR_RDONLY | sys::MOUNT_ATTR_NOSUID | sys::MOUNT_ATTR_NODEV;
    sys::mount_setattr(clone.as_fd(), attributes, true, true).map_err(fail(path))?;
    attach_to(&clone, &target).map_err(fail(path))
}

fn hide(path: &Path, folder: bool) -> Result<(), Failure> {
    let empty = if folder { EMPTY_FOLDER } else { EMPTY_FILE };
    let target = resolve(path).map_err(fail(path))?;
    let clone = resolve(Path::new(empty)).and_then(|fd| clone_tree(&fd)).map_err(fail(empty))?;
    sys::mount_setattr(clone.as_fd(), sys::MOUNT_ATTR_RDONLY, true, true).map_err(fail(path))?;
    attach_to(&clone, &target).map_err(fail(path))
}

/// Makes the private folders of a plan on the host, with modes that keep other users out.
pub fn make_private_dirs(plan: &LinuxPlan) -> Result<(), Failure> {
    for dir in &plan.private_dirs {
        if rustix::fs::stat(dir).is_ok() {
            // The folder and two above: `<state>/tmp/<workspace>`.
            check_own(dir, 3)?;
        } else {
            make_private_dir(dir)?;
        }
    }
    for mount in &plan.mounts {
        let (Mount::Overlay { at, upper, .. } | Mount::Replace { at, with: upper }) = mount else { continue };
        // The folder's own mode is what the command sees, and an earlier one may have changed it; its parents keep other users
        // out.
        let mode = if at.ends_with("tmp") { 0o1777 } else { 0o700 };
        rustix::fs::chmod(upper, Mode::from_raw_mode(mode)).map_err(Failure::at(Stage::Prepare, upper))?;
        for list in ["system.posix_acl_default", "system.posix_acl_access"] {
            let _has_none = rustix::fs::removexattr(upper, list);
        }
    }
    Ok(())
}

/// Opens the lock of runs.
pub fn open_lock(path: &Path) -> Result<OwnedFd, Failure> {
    let folder = path.parent().unwrap_or(path);
    if rustix::fs::stat(folder).is_err() {
        make_private_dir(folder)?;
    }
    check_own(folder, 1)?;
    crate::broker::lock::open(path).map_err(Failure::at(Stage::Prepare, path))
}

fn make_private_dir(dir: &Path) -> Result<(), Failure> {
    let mut builder = std::fs::DirBuilder::new();
    let builder = std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
    builder.create(dir).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        Failure { stage: Stage::Prepare, object: dir.to_path_buf(), errno }
    })
}

/// In a folder that others can write (a run without HOME), somebody may have made ours before us.
fn check_own(dir: &Path, levels: usize) -> Result<(), Failure> {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let user = rustix::process::geteuid().as_raw();
    for part in dir.ancestors().take(levels) {
        let stat = rustix::fs::lstat(part).map_err(Failure::at(Stage::Prepare, part))?;
        let folder = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
        let shared = stat.st_mode & WRITABLE_BY_OTHERS != 0 && !part.ends_with("upper");
        if !folder || stat.st_uid != user || shared {
            return Err(Failure::at(Stage::Prepare, part)(Errno::PERM));
        }
        if part.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"codex-sandbox")) {
            return Ok(());
        }
    }
    Ok(())
}
