//! Changing the content of outside files, and making new ones.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use super::file;
use crate::attack::attempt::{Attempt, Need, Stdin};
use crate::attack::call::{own, sys, words};
use crate::attack::scene::Scene;
use crate::attack::tools::{CWD, c, done, mark, open, open_and_mark, open_at, open_for_reading, open_path};
use crate::attack::verdict::{Step, Stop, Tried};

const NEW: i32 = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    file("write", "write to an outside file", |s| open_and_mark(&s.file(), libc::O_WRONLY)),
    file("read-write", "open an outside file for reading and writing", |s| {
        open_and_mark(&s.file(), libc::O_RDWR)
    }),
    file("append", "append to an outside file", |s| {
        open_and_mark(&s.file(), libc::O_WRONLY | libc::O_APPEND)
    }),
    file("truncate-on-open", "open an outside file for reading with O_TRUNC", |s| {
        open(&s.file(), libc::O_RDONLY | libc::O_TRUNC).attack("open").map(|_| "truncated".into())
    }),
    file("access-mode-3", "open an outside file with access mode 3, then write", |s| {
        let fd = open(&s.file(), 3 | libc::O_TRUNC).attack("open with mode 3")?;
        drop(fd);
        Ok("opened, and truncated".into())
    }),
    file("truncate", "truncate(2) an outside file", |s| {
        done(sys!(libc::SYS_truncate, &c(&s.file()), 1), "truncate")
    }),
    file("openat2-write", "write to an outside file by openat2(2)", |s| {
        mark(&openat2(&s.file(), libc::O_WRONLY, 0)?)
    }),
    file("openat2-in-root", "openat2(2) with RESOLVE_IN_ROOT from a descriptor of the outside folder", |s| {
        let folder = open_path(&s.outside())?;
        let how = words(&[libc::O_WRONLY as u64, 0, libc::RESOLVE_IN_ROOT]);
        let opened = sys!(libc::SYS_openat2, &folder, c"/file", &how, how.len());
        mark(&opened.map(own).attack("openat2")?)
    }),
    #[cfg(target_arch = "x86_64")]
    file("open-by-the-old-call", "write to an outside file by open(2) proper", |s| {
        let opened = sys!(libc::SYS_open, &c(&s.file()), libc::O_WRONLY | libc::O_CLOEXEC, 0);
        mark(&opened.map(own).attack("open")?)
    }),
    #[cfg(target_arch = "x86_64")]
    file("creat", "make a file outside by creat(2)", |s| {
        done(sys!(libc::SYS_creat, &c(&s.theirs("new")), 0o644), "creat")
    }),
    file("create", "make a file outside", |s| create(&s.theirs("new"))),
    file("create-in-a-folder", "make a file in a folder further down", |s| create(&s.theirs("folder/new"))),
    file("create-by-openat2", "make a file outside by openat2(2)", |s| {
        mark(&openat2(&s.theirs("new"), NEW, 0o644)?)
    }),
    file("make-folder", "make a folder outside", |s| {
        done(sys!(libc::SYS_mkdirat, CWD, &c(&s.theirs("new")), 0o755), "mkdirat")
    }),
    file("make-fifo", "make a FIFO outside", |s| make_node(s, libc::S_IFIFO, 0)),
    file("make-socket-node", "make a socket's node outside", |s| make_node(s, libc::S_IFSOCK, 0)),
    file("make-regular-node", "make a regular file outside by mknodat(2)", |s| {
        make_node(s, libc::S_IFREG, 0)
    }),
    file("make-device", "make a device node outside", |s| make_node(s, libc::S_IFCHR, 0x103))
        .needs(&[Need::Root]),
    file("unnamed-then-linked", "make an unnamed file outside (O_TMPFILE) and link it", |s| {
        let made =
            open_at(CWD, &s.outside(), libc::O_TMPFILE | libc::O_WRONLY, 0o644).attack("open O_TMPFILE")?;
        link_descriptor(&made, &s.theirs("new"))
    }),
    file("unnamed-inside-linked-outside", "make an unnamed file in the workspace and link it outside", |s| {
        let made =
            open_at(CWD, &s.workspace(), libc::O_TMPFILE | libc::O_WRONLY, 0o644).ready("open O_TMPFILE")?;
        link_descriptor(&made, &s.theirs("new"))
    }),
    file("shared-mapping", "store into a shared mapping of an outside file", |s| {
        let fd = open(&s.file(), libc::O_RDWR).attack("open")?;
        store(&fd, libc::PROT_READ | libc::PROT_WRITE)
    }),
    file(
        "shared-mapping-made-writable",
        "map an outside file read-only and ask for write access later",
        |s| {
            // A descriptor for reading never gives a writable mapping; one for both does.
            let fd =
                open(&s.file(), libc::O_RDWR).or_else(|_| open(&s.file(), libc::O_RDONLY)).ready("open")?;
            store(&fd, libc::PROT_READ)
        },
    ),
    file("fifo", "write to an outsider's FIFO", |s| {
        open_and_mark(&s.theirs("fifo"), libc::O_WRONLY | libc::O_NONBLOCK)
    }),
    file("fifo-both-ways", "open an outsider's FIFO for reading and writing, and write", |s| {
        open_and_mark(&s.theirs("fifo"), libc::O_RDWR | libc::O_NONBLOCK)
    }),
    file(
        "fifo-through-a-link",
        "write to an outsider's FIFO through a symbolic link in the workspace",
        |s| {
            let link = s.ours("to-fifo");
            std::os::unix::fs::symlink(s.theirs("fifo"), &link).ready("symlink")?;
            open_and_mark(&link, libc::O_WRONLY | libc::O_NONBLOCK)
        },
    ),
    file("shm-file", "write to an outsider's file in /dev/shm", |s| {
        open_and_mark(Path::new(&s.shm_file), libc::O_WRONLY | libc::O_TRUNC)
    })
    .may_believe(),
    file(
        "odd-names",
        "write to outside files with a newline, and with bytes that are not UTF-8, in their names",
        |s| {
            let results = s.odd_names().map(|path| open_and_mark(&path, libc::O_WRONLY));
            results.into_iter().reduce(Result::or).unwrap_or_else(|| Err(Stop::broken("no names")))
        },
    ),
    file("relative-from-outside", "change into the outside folder and write by a relative name", |s| {
        std::env::set_current_dir(s.outside()).ready("chdir")?;
        open_and_mark(Path::new("file"), libc::O_WRONLY)
    }),
    file("relative-to-a-descriptor", "write by a name relative to a descriptor of the outside folder", |s| {
        let folder = open_for_reading(&s.outside())?;
        mark(&open_at(folder.as_raw_fd(), Path::new("file"), libc::O_WRONLY, 0).attack("openat")?)
    }),
    file("create-from-outside", "change into the outside folder and make a file by a relative name", |s| {
        std::env::set_current_dir(s.outside()).ready("chdir")?;
        create(Path::new("new"))
    }),
    file(
        "input-as-folder",
        "write by a name relative to standard input, a folder that the caller left open",
        |_| mark(&open_at(0, Path::new("file"), libc::O_WRONLY, 0).attack("openat(0)")?),
    )
    .stdin(Stdin::OutsideFolder),
    file(
        "create-below-input",
        "make a file below standard input, a folder that the caller left open",
        |_| done(sys!(libc::SYS_mkdirat, 0, c"new", 0o755), "mkdirat(0)"),
    )
    .stdin(Stdin::OutsideFolder),
    file("change-into-input", "change into standard input, a folder, and write there", |_| {
        sys!(libc::SYS_fchdir, 0).attack("fchdir(0)")?;
        open_and_mark(Path::new("file"), libc::O_WRONLY)
    })
    .stdin(Stdin::OutsideFolder),
    file("above-input", "write through `..` of standard input, a folder that the caller left open", |_| {
        mark(&open_at(0, Path::new("../outside/file"), libc::O_WRONLY, 0).attack("openat(0, ..)")?)
    })
    .stdin(Stdin::OutsideFolder),
    file(
        "reopen-input",
        "open standard input, a file that the caller opened for reading, for writing",
        |_| open_and_mark(Path::new("/proc/self/fd/0"), libc::O_WRONLY),
    )
    .stdin(Stdin::OutsideFile),
    file(
        "reopen-input-as-device",
        "open /dev/stdin, a file that the caller opened for reading, for writing",
        |_| open_and_mark(Path::new("/dev/stdin"), libc::O_WRONLY | libc::O_APPEND),
    )
    .stdin(Stdin::OutsideFile),
];

fn openat2(path: &Path, flags: i32, mode: u64) -> Result<OwnedFd, Stop> {
    let how = words(&[(flags | libc::O_CLOEXEC) as u64, mode, 0]);
    sys!(libc::SYS_openat2, CWD, &c(path), &how, how.len()).map(own).attack("openat2")
}

fn create(path: &Path) -> Tried {
    mark(&open_at(CWD, path, NEW, 0o644).attack("open O_CREAT")?)
}

fn make_node(scene: &Scene, kind: u32, device: u64) -> Tried {
    done(sys!(libc::SYS_mknodat, CWD, &c(&scene.theirs("new")), kind | 0o644, device), "mknodat")
}

/// Gives the file behind a descriptor a name.
pub(in crate::attack) fn link_descriptor(fd: &OwnedFd, to: &Path) -> Tried {
    let from = c(Path::new(&format!("/proc/self/fd/{}", fd.as_raw_fd())));
    done(sys!(libc::SYS_linkat, CWD, &from, CWD, &c(to), libc::AT_SYMLINK_FOLLOW), "linkat")
}

/// Maps the file shared, makes the mapping writable, and stores a byte.
fn store(fd: &OwnedFd, protection: i32) -> Tried {
    const LENGTH: usize = 8;
    let both = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at a free place; it is written only when the kernel said that it is writable.
    unsafe {
        let address =
            libc::mmap(std::ptr::null_mut(), LENGTH, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0);
        if address == libc::MAP_FAILED {
            return done(Err(io::Error::last_os_error()), "mmap");
        }
        if protection != both && libc::mprotect(address, LENGTH, both) == -1 {
            return done(Err(io::Error::last_os_error()), "mprotect");
        }
        address.cast::<u8>().write_volatile(b'!');
        libc::msync(address, LENGTH, libc::MS_SYNC);
    }
    Ok("stored into the mapping".into())
}
