//! Operations on files and folders.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::fs::{
    self as sys, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, XattrFlags,
};

/// Runs the operation, if it is one of these with so many arguments.
pub fn run(name: &str, args: &[&Path]) -> Option<io::Result<()>> {
    Some(match (name, args) {
        ("create", [path]) => OpenOptions::new().write(true).create_new(true).open(path).map(drop),
        ("write", [path]) => write(OpenOptions::new().write(true).create(true).truncate(true), path),
        ("overwrite", [path]) => write(OpenOptions::new().write(true), path),
        ("append", [path]) => write(OpenOptions::new().append(true), path),
        ("truncate", [path]) => OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(0)),
        ("read", [path]) => File::open(path).and_then(|mut file| file.read(&mut [0; 16])).map(drop),
        ("list", [path]) => fs::read_dir(path).map(drop),
        ("stat", [path]) => fs::symlink_metadata(path).map(drop),
        ("chdir", [path]) => std::env::set_current_dir(path),
        _ => return names(name, args).or_else(|| metadata(name, args)),
    })
}

fn names(name: &str, args: &[&Path]) -> Option<io::Result<()>> {
    let result = match (name, args) {
        ("mkdir", [path]) => sys::mkdir(*path, Mode::from_raw_mode(0o777)),
        ("mkdir-private", [path]) => sys::mkdir(*path, Mode::RWXU),
        ("rmdir", [path]) => sys::rmdir(*path),
        ("unlink", [path]) => sys::unlink(*path),
        ("rename", [from, to]) => sys::rename(*from, *to),
        ("exchange", [a, b]) => sys::renameat_with(CWD, *a, CWD, *b, RenameFlags::EXCHANGE),
        ("rename-noreplace", [from, to]) => sys::renameat_with(CWD, *from, CWD, *to, RenameFlags::NOREPLACE),
        ("link", [from, to]) => sys::link(*from, *to),
        ("symlink", [target, path]) => sys::symlink(*target, *path),
        ("mkfifo", [path]) => mknod(path, FileType::Fifo),
        ("mkfile", [path]) => mknod(path, FileType::RegularFile),
        ("tmpfile-link", [dir, path]) => tmpfile_link(dir, path),
        _ => return None,
    };
    Some(result.map_err(io::Error::from))
}

fn metadata(name: &str, args: &[&Path]) -> Option<io::Result<()>> {
    let result = match (name, args) {
        ("chmod", [path]) => sys::chmod(*path, Mode::from_raw_mode(0o640)),
        ("chown", [path]) => {
            sys::chown(*path, Some(rustix::process::getuid()), Some(rustix::process::getgid()))
        }
        ("utime", [path]) => utime(path),
        ("setxattr", [path]) => sys::setxattr(*path, "user.probe", b"1", XattrFlags::empty()),
        _ => return None,
    };
    Some(result.map_err(io::Error::from))
}

fn write(options: &OpenOptions, path: &Path) -> io::Result<()> {
    options.open(path)?.write_all(b"probe\n")
}

fn mknod(path: &Path, kind: FileType) -> rustix::io::Result<()> {
    sys::mknodat(CWD, path, kind, Mode::from_raw_mode(0o644), 0)
}

/// A file without a name that gets one when it is complete.
fn tmpfile_link(dir: &Path, path: &Path) -> rustix::io::Result<()> {
    let file = sys::open(dir, OFlags::TMPFILE | OFlags::WRONLY, Mode::from_raw_mode(0o644))?;
    rustix::io::write(&file, b"probe\n")?;
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    sys::linkat(CWD, name, CWD, path, AtFlags::SYMLINK_FOLLOW)
}

fn utime(path: &Path) -> rustix::io::Result<()> {
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = Timestamps { last_access: second, last_modification: second };
    sys::utimensat(CWD, path, &times, AtFlags::empty())
}
