//! The same against the clock: a second thread changes what a call names while the call is being judged. A supervisor that
//! looks at a name and lets the original call go on loses these.
//!
//! Each race is bounded in time and tries, and the stage alone says whether one was won.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::attempt::{Attempt, Group};
use super::call::{own, sys, words};
use super::scene::Scene;
use super::tools::{Bounds, CWD, MARK, c, file_changed, open_at, open_for_reading, open_path, unix_address};
use super::verdict::{Step, Stop, Tried};

const fn race(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_outside(Group::Races, name, what, run)
}

const APPEND: i32 = libc::O_WRONLY | libc::O_APPEND;

pub(super) const ATTEMPTS: &[Attempt] = &[
    race(
        "race-folder-link",
        "flip a symbolic link between a folder of the workspace and the outside one; write below",
        |s| {
            flipping_link(s, |link| {
                if let Ok(fd) = open_at(CWD, &link.join("inner"), APPEND, 0) {
                    let _lost = sys!(libc::SYS_write, &fd, MARK, MARK.len());
                }
            })
        },
    ),
    race("race-create-link", "the same, making files below", |s| {
        flipping_link(s, |link| {
            let made = open_at(CWD, &link.join("new"), APPEND | libc::O_CREAT, 0o644);
            drop(made);
        })
    }),
    race("race-unlink-link", "the same, removing a file below", |s| {
        flipping_link(s, |link| {
            let _lost = sys!(libc::SYS_unlinkat, CWD, &c(&link.join("inner")), 0);
        })
    }),
    race("race-mode-link", "the same, changing a mode below", |s| {
        flipping_link(s, |link| {
            let _lost = sys!(libc::SYS_fchmodat, CWD, &c(&link.join("inner")), 0o777);
        })
    }),
    race("race-rename-link", "the same, moving a file of the workspace below", |s| {
        let from = c(&s.ours("second"));
        flipping_link(s, |link| {
            let _lost = sys!(libc::SYS_renameat2, CWD, &from, CWD, &c(&link.join("new")), 0);
            let _back = sys!(libc::SYS_renameat2, CWD, &c(&s.ours("plain/new")), CWD, &from, 0);
        })
    }),
    race("race-path-text", "change the text of a path while open(2) reads it", |s| {
        let paths = [s.ours("folder/inner"), s.theirs("folder/inner")];
        flipping_bytes(&paths.map(|path| path.as_os_str().as_bytes().to_vec()), |address| {
            if let Ok(fd) = sys!(libc::SYS_openat, CWD, address, APPEND | libc::O_CLOEXEC, 0) {
                let _lost = sys!(libc::SYS_write, &own(fd), MARK, MARK.len());
            }
        })
    }),
    race("race-truncate-text", "change the text of a path while truncate(2) reads it", |s| {
        let paths = [s.ours("folder/inner"), s.theirs("folder/inner")];
        flipping_bytes(&paths.map(|path| path.as_os_str().as_bytes().to_vec()), |address| {
            let _lost = sys!(libc::SYS_truncate, address, 1);
        })
    }),
    race("race-git-text", "change the text of a name to .git while mkdirat(2) reads it", |s| {
        let folder = open_path(&s.ours("plain"))?;
        flipping_bytes(&[b"ggit".to_vec(), b".git".to_vec()], |address| {
            let _lost = sys!(libc::SYS_mkdirat, &folder, address, 0o755);
            let _gone = sys!(libc::SYS_unlinkat, &folder, c"ggit", libc::AT_REMOVEDIR);
        })
    }),
    race("race-git-rename-text", "change the text of a name to .git while renameat2(2) reads it", |s| {
        let folder = open_path(&s.ours("plain"))?;
        sys!(libc::SYS_mkdirat, &folder, c"made", 0o755).ready("mkdirat")?;
        flipping_bytes(&[b"ggit".to_vec(), b".git".to_vec()], |address| {
            let _lost = sys!(libc::SYS_renameat2, &folder, c"made", &folder, address, 0);
            let _back = sys!(libc::SYS_renameat2, &folder, c"ggit", &folder, c"made", 0);
        })
    }),
    race("race-open-flags", "change the flags while openat2(2) reads them", |s| {
        let how = |flags: i32| words(&[(flags | libc::O_CLOEXEC) as u64, 0, 0]);
        let path = c(&s.theirs("folder/inner"));
        flipping_bytes(&[how(libc::O_RDONLY), how(libc::O_WRONLY | libc::O_TRUNC)], |address| {
            if let Ok(fd) = sys!(libc::SYS_openat2, CWD, &path, address, 24) {
                drop(own(fd));
            }
        })
    }),
    race("race-socket-address", "change the address while connect(2) reads it", |s| {
        let ours = s.ours("server");
        let _listener = std::os::unix::net::UnixListener::bind(&ours).ready("bind")?;
        let [mut a, mut b] = [ours, s.theirs("stream.sock")].map(|path| unix_address(path.as_os_str()));
        let length = a.len().max(b.len());
        a.resize(length, 0);
        b.resize(length, 0);
        flipping_bytes(&[a, b], |address| {
            let flags = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            if let Ok(socket) = sys!(libc::SYS_socket, libc::AF_UNIX, flags, 0) {
                let socket = own(socket);
                let _lost = sys!(libc::SYS_connect, &socket, address, length);
            }
        })
    }),
    race(
        "race-folder-descriptor",
        "put the outside folder in the place of a descriptor while openat(2) uses it",
        |s| {
            flipping_descriptor(&[open_path(&s.ours("folder"))?, open_path(&s.theirs("folder"))?], |fd| {
                if let Ok(file) = open_at(fd, Path::new("inner"), APPEND, 0) {
                    let _lost = sys!(libc::SYS_write, &file, MARK, MARK.len());
                }
            })
        },
    ),
    race(
        "race-file-descriptor",
        "put an outside file in the place of a descriptor while fchmod(2) uses it",
        |s| {
            let files =
                [open_for_reading(&s.ours("folder/inner"))?, open_for_reading(&s.theirs("folder/inner"))?];
            flipping_descriptor(&files, |fd| {
                let _lost = sys!(libc::SYS_fchmod, fd, 0o777);
            })
        },
    ),
    race(
        "race-link-source",
        "flip a symbolic link while linkat(2) follows it, and write through the new name",
        |s| {
            let new = s.ours("new");
            flipping_link(s, |link| {
                let from = c(&link.join("inner"));
                let linked = sys!(libc::SYS_linkat, CWD, &from, CWD, &c(&new), libc::AT_SYMLINK_FOLLOW);
                if linked.is_ok() {
                    if let Ok(fd) = open_at(CWD, &new, APPEND, 0) {
                        let _lost = sys!(libc::SYS_write, &fd, MARK, MARK.len());
                    }
                    let _gone = sys!(libc::SYS_unlinkat, CWD, &c(&new), 0);
                }
            })
        },
    ),
    race(
        "race-parent-rename",
        "make a file below a folder that is renamed to and fro with a link to the outside one",
        |s| {
            let [folder, away, link] = ["swapped", "swapped-away", "swapped-link"].map(|name| s.ours(name));
            std::fs::create_dir(&folder).ready("mkdir")?;
            symlink(s.theirs("folder"), &link).ready("symlink")?;
            let rename = |from: &Path, to: &Path| sys!(libc::SYS_renameat2, CWD, &c(from), CWD, &c(to), 0);
            against(
                |_| {
                    let _next = rename(&folder, &away).and_then(|_| rename(&link, &folder));
                    let _back = rename(&folder, &link).and_then(|_| rename(&away, &folder));
                },
                || {
                    let made = open_at(CWD, &folder.join("new"), APPEND | libc::O_CREAT, 0o644);
                    drop(made);
                },
            );
            won_by(s.theirs("folder/new").exists())
        },
    ),
];

/// Runs `flip(true)`, `flip(false)`, … in a second thread while the first repeats `act`.
fn against(flip: impl Fn(bool) + Sync, act: impl Fn()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut side = false;
            while !stop.load(Ordering::Relaxed) {
                side = !side;
                flip(side);
            }
        });
        let mut bounds = Bounds::new();
        while bounds.go_on() {
            act();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

fn won_by(seen: bool) -> Tried {
    if seen { Ok("won".into()) } else { Err(Stop::denied("never won")) }
}

/// A symbolic link that points to the workspace's `plain` and to outside's `folder` in turn.
fn flipping_link(scene: &Scene, act: impl Fn(&Path)) -> Tried {
    let link = scene.ours("flip");
    let next = scene.ours("flip-next");
    let targets = [scene.ours("plain"), scene.theirs("folder")];
    symlink(&targets[0], &link).ready("symlink")?;
    against(
        |side| {
            let _busy =
                symlink(&targets[usize::from(side)], &next).and_then(|()| std::fs::rename(&next, &link));
        },
        || act(&link),
    );
    won_by(file_changed(scene))
}

/// A descriptor number that stands for two files in turn.
fn flipping_descriptor(sides: &[OwnedFd; 2], act: impl Fn(i32)) -> Tried {
    let fd = own(sys!(libc::SYS_dup, &sides[0]).ready("dup")?);
    against(
        |side| {
            let _busy = sys!(libc::SYS_dup3, &sides[usize::from(side)], &fd, libc::O_CLOEXEC);
        },
        || act(fd.as_raw_fd()),
    );
    won_by(false)
}

/// Bytes in memory that read as two texts in turn; `act` gets their address.
fn flipping_bytes(sides: &[Vec<u8>; 2], act: impl Fn(usize)) -> Tried {
    let page = Page::new().ready("mmap")?;
    page.show(&sides[0]);
    against(|side| page.show(&sides[usize::from(side)]), || act(page.address));
    won_by(false)
}

/// Memory that one thread changes while the kernel reads it for another: no Rust reference to it ever exists.
struct Page {
    address: usize,
}

impl Page {
    const SIZE: usize = 4096 * 2;

    fn new() -> io::Result<Self> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at a free place.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), Self::SIZE, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self { address: address as usize })
        }
    }

    /// Puts the bytes there, with a NUL behind.
    fn show(&self, bytes: &[u8]) {
        for (at, byte) in bytes.iter().chain(&[0]).take(Self::SIZE).enumerate() {
            // SAFETY: within the mapping, which lives as long as the process; only the kernel reads it.
            unsafe { ((self.address + at) as *mut u8).write_volatile(*byte) };
        }
    }
}
