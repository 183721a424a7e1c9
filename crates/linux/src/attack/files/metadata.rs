//! Modes, owners, times, extended attributes and flags of outside files; set-user-id bits anywhere.

use std::ffi::{CStr, c_long};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::file;
use crate::attack::attempt::{Attempt, Need, Stdin};
use crate::attack::call::{own, sys, words};
use crate::attack::tools::{CWD, c, done, open_at, open_for_reading, open_path};
use crate::attack::verdict::{Step, Stop, Tried};

/// fchmodat2(2), Linux 6.6.
const FCHMODAT2: c_long = 452;
/// setxattrat(2), Linux 6.13.
const SETXATTRAT: c_long = 463;
/// removexattrat(2), Linux 6.13.
const REMOVEXATTRAT: c_long = 466;
/// file_setattr(2), Linux 6.17.
const FILE_SETATTR: c_long = 469;
/// FS_IOC_SETFLAGS; the kernel reads an int in spite of the size in the number.
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
/// FS_IOC_FSSETXATTR.
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
/// FS_IOC_FSGETXATTR.
const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
/// FS_NODUMP_FL.
const NODUMP: u32 = 0x40;
/// FS_XFLAG_NODUMP.
const XFLAG_NODUMP: u32 = 0x80;
const KEY: &CStr = c"user.escaped";

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    file("mode", "change the mode of an outside file", |s| {
        done(sys!(libc::SYS_fchmodat, CWD, &c(&s.file()), 0o777), "fchmodat")
    }),
    file("mode-of-a-folder", "change the mode of an outside folder", |s| {
        done(sys!(libc::SYS_fchmodat, CWD, &c(&s.theirs("folder")), 0o777), "fchmodat")
    }),
    file("mode-by-descriptor", "change the mode of an outside file that is open for reading", |s| {
        done(sys!(libc::SYS_fchmod, &open_for_reading(&s.file())?, 0o777), "fchmod")
    }),
    file("mode-by-fchmodat2", "change the mode of an outside file by fchmodat2(2)", |s| {
        done(sys!(FCHMODAT2, CWD, &c(&s.file()), 0o777, 0), "fchmodat2")
    })
    .needs(&[Need::Facility]),
    file("mode-by-empty-path", "change the mode behind an O_PATH descriptor by fchmodat2(2)", |s| {
        done(sys!(FCHMODAT2, &open_path(&s.file())?, c"", 0o777, libc::AT_EMPTY_PATH), "fchmodat2")
    })
    .needs(&[Need::Facility]),
    file("mode-by-proc", "change the mode of an outside file through /proc/self/fd", |s| {
        let fd = open_path(&s.file())?;
        done(sys!(libc::SYS_fchmodat, CWD, &magic(&fd), 0o777), "fchmodat")
    }),
    file("mode-of-input", "change the mode of standard input, an outside file", |_| {
        done(sys!(libc::SYS_fchmod, 0, 0o777), "fchmod(0)")
    })
    .stdin(Stdin::OutsideFile),
    file("owner-of-input", "set the owner of standard input, an outside file", |s| {
        let (user, group) = ids(&s.file())?;
        done(sys!(libc::SYS_fchown, 0, user, group), "fchown(0)")
    })
    .stdin(Stdin::OutsideFile),
    file("times-of-input", "set the times of standard input, an outside file", |_| {
        done(sys!(libc::SYS_utimensat, 0, 0, &words(&[1, 0, 1, 0]), 0), "utimensat(0)")
    })
    .stdin(Stdin::OutsideFile),
    file("attribute-of-input", "set an extended attribute of standard input, an outside file", |_| {
        done(sys!(libc::SYS_fsetxattr, 0, KEY, &b"1"[..], 1, 0), "fsetxattr(0)")
    })
    .stdin(Stdin::OutsideFile)
    .needs(&[Need::Facility]),
    file("mode-of-input-by-empty-path", "change the mode of standard input by fchmodat2(2)", |_| {
        done(sys!(FCHMODAT2, 0, c"", 0o777, libc::AT_EMPTY_PATH), "fchmodat2(0)")
    })
    .stdin(Stdin::OutsideFile)
    .needs(&[Need::Facility]),
    file("mode-of-input-by-proc", "change the mode of standard input through /proc/self/fd", |_| {
        done(sys!(libc::SYS_fchmodat, CWD, c"/proc/self/fd/0", 0o777), "fchmodat")
    })
    .stdin(Stdin::OutsideFile),
    file("truncate-input", "truncate(2) standard input, an outside file, through /proc/self/fd", |_| {
        done(sys!(libc::SYS_truncate, c"/proc/self/fd/0", 0), "truncate")
    })
    .stdin(Stdin::OutsideFile),
    file("link-input", "give standard input, an outside file, a name in the workspace, and write", |s| {
        let new = s.ours("new");
        let linked = sys!(libc::SYS_linkat, CWD, c"/proc/self/fd/0", CWD, &c(&new), libc::AT_SYMLINK_FOLLOW);
        linked.attack("linkat")?;
        crate::attack::tools::open_and_mark(&new, libc::O_WRONLY)
    })
    .stdin(Stdin::OutsideFile),
    file("link-input-in-the-temporary-folder", "the same with a name in the temporary folder", |_| {
        let new = std::env::temp_dir().join(format!("codex-attack-{}", std::process::id()));
        let linked = sys!(libc::SYS_linkat, CWD, c"/proc/self/fd/0", CWD, &c(&new), libc::AT_SYMLINK_FOLLOW);
        let written =
            linked.attack("linkat").and_then(|_| crate::attack::tools::open_and_mark(&new, libc::O_WRONLY));
        let _gone = std::fs::remove_file(&new);
        written
    })
    .stdin(Stdin::OutsideFile)
    .needs(&[Need::Facility]),
    #[cfg(target_arch = "x86_64")]
    file("mode-by-the-old-call", "change the mode of an outside file by chmod(2) proper", |s| {
        done(sys!(libc::SYS_chmod, &c(&s.file()), 0o777), "chmod")
    }),
    file("owner", "set the owner of an outside file", |s| {
        let (user, group) = ids(&s.file())?;
        done(sys!(libc::SYS_fchownat, CWD, &c(&s.file()), user, group, 0), "fchownat")
    }),
    file("owner-by-descriptor", "set the owner of an outside file that is open for reading", |s| {
        let (user, group) = ids(&s.file())?;
        done(sys!(libc::SYS_fchown, &open_for_reading(&s.file())?, user, group), "fchown")
    }),
    file("owner-by-empty-path", "set the owner behind an O_PATH descriptor", |s| {
        let (user, group) = ids(&s.file())?;
        let fd = open_path(&s.file())?;
        done(sys!(libc::SYS_fchownat, &fd, c"", user, group, libc::AT_EMPTY_PATH), "fchownat")
    }),
    #[cfg(target_arch = "x86_64")]
    file("owner-by-the-old-calls", "set the owner of an outside file by chown(2) and lchown(2)", |s| {
        let (user, group) = ids(&s.file())?;
        let changed = sys!(libc::SYS_chown, &c(&s.file()), user, group);
        done(changed.or_else(|_| sys!(libc::SYS_lchown, &c(&s.file()), user, group)), "chown, lchown")
    }),
    file("give-away", "give an outside file to another user", |s| {
        done(sys!(libc::SYS_fchownat, CWD, &c(&s.file()), 65534, 65534, 0), "fchownat")
    })
    .needs(&[Need::Root]),
    file("times", "set the times of an outside file", |s| {
        done(sys!(libc::SYS_utimensat, CWD, &c(&s.file()), &words(&[1, 0, 1, 0]), 0), "utimensat")
    }),
    file("times-to-now", "touch an outside file", |s| {
        done(sys!(libc::SYS_utimensat, CWD, &c(&s.file()), 0, 0), "utimensat")
    }),
    file("times-by-descriptor", "set the times of an outside file that is open for reading", |s| {
        let fd = open_for_reading(&s.file())?;
        done(sys!(libc::SYS_utimensat, &fd, 0, &words(&[1, 0, 1, 0]), 0), "utimensat")
    }),
    #[cfg(target_arch = "x86_64")]
    file(
        "times-by-the-old-calls",
        "set the times of an outside file by utime(2), utimes(2), futimesat(2)",
        |s| {
            let path = c(&s.file());
            let changed = sys!(libc::SYS_utime, &path, &words(&[1, 1]))
                .or_else(|_| sys!(libc::SYS_utimes, &path, &words(&[1, 0, 1, 0])))
                .or_else(|_| sys!(libc::SYS_futimesat, CWD, &path, &words(&[1, 0, 1, 0])));
            done(changed, "utime, utimes, futimesat")
        },
    ),
    file("attribute", "set an extended attribute of an outside file", |s| {
        done(sys!(libc::SYS_setxattr, &c(&s.file()), KEY, &b"1"[..], 1, 0), "setxattr")
    })
    .needs(&[Need::Facility]),
    file("attribute-of-a-link", "set an extended attribute of an outside file by lsetxattr(2)", |s| {
        done(sys!(libc::SYS_lsetxattr, &c(&s.file()), KEY, &b"1"[..], 1, 0), "lsetxattr")
    })
    .needs(&[Need::Facility]),
    file(
        "attribute-by-descriptor",
        "set an extended attribute of an outside file that is open for reading",
        |s| done(sys!(libc::SYS_fsetxattr, &open_for_reading(&s.file())?, KEY, &b"1"[..], 1, 0), "fsetxattr"),
    )
    .needs(&[Need::Facility]),
    file("attribute-by-setxattrat", "set an extended attribute of an outside file by setxattrat(2)", |s| {
        let value = *b"1";
        // struct xattr_args: value, size, flags.
        let args = words(&[value.as_ptr() as u64, 1]);
        done(sys!(SETXATTRAT, CWD, &c(&s.file()), 0, KEY, &args, args.len()), "setxattrat")
    })
    .needs(&[Need::Facility]),
    file("remove-attribute", "remove an extended attribute of an outside file", |s| {
        done(sys!(libc::SYS_removexattr, &c(&s.file()), c"user.kept"), "removexattr")
    })
    .needs(&[Need::Facility]),
    file(
        "remove-attribute-by-descriptor",
        "remove an attribute of an outside file that is open for reading",
        |s| done(sys!(libc::SYS_fremovexattr, &open_for_reading(&s.file())?, c"user.kept"), "fremovexattr"),
    )
    .needs(&[Need::Facility]),
    file("remove-attribute-by-removexattrat", "remove an extended attribute by removexattrat(2)", |s| {
        done(sys!(REMOVEXATTRAT, CWD, &c(&s.file()), 0, c"user.kept"), "removexattrat")
    })
    .needs(&[Need::Facility]),
    file("access-list", "set a POSIX access list on an outside file", |s| {
        let list = access_list();
        let set = sys!(libc::SYS_setxattr, &c(&s.file()), c"system.posix_acl_access", &list, list.len(), 0);
        done(set, "setxattr")
    })
    .needs(&[Need::Facility]),
    file("flags", "set a flag (FS_IOC_SETFLAGS) on an outside file that is open for reading", |s| {
        let fd = open_for_reading(&s.file())?;
        done(sys!(libc::SYS_ioctl, &fd, FS_IOC_SETFLAGS, &NODUMP.to_ne_bytes()[..]), "FS_IOC_SETFLAGS")
    }),
    file("flags-with-high-bits", "the same with bits above the 32 that the kernel looks at", |s| {
        let fd = open_for_reading(&s.file())?;
        let request = 0xdead_beef_0000_0000_u64 | u64::from(FS_IOC_SETFLAGS);
        done(sys!(libc::SYS_ioctl, &fd, request, &NODUMP.to_ne_bytes()[..]), "FS_IOC_SETFLAGS")
    }),
    file("flags-of-input", "set a flag on standard input, an outside file", |_| {
        done(sys!(libc::SYS_ioctl, 0, FS_IOC_SETFLAGS, &NODUMP.to_ne_bytes()[..]), "FS_IOC_SETFLAGS")
    })
    .stdin(Stdin::OutsideFile),
    file(
        "extended-flags",
        "set a flag by FS_IOC_FSSETXATTR on an outside file that is open for reading",
        |s| {
            let fd = open_for_reading(&s.file())?;
            let mut attributes = [0; 28];
            sys!(libc::SYS_ioctl, &fd, FS_IOC_FSGETXATTR, attributes.as_mut_slice())
                .ready("FS_IOC_FSGETXATTR")?;
            attributes[..4].copy_from_slice(&XFLAG_NODUMP.to_ne_bytes());
            done(sys!(libc::SYS_ioctl, &fd, FS_IOC_FSSETXATTR, &attributes[..]), "FS_IOC_FSSETXATTR")
        },
    ),
    file("flags-by-file-setattr", "set a flag on an outside file by file_setattr(2)", |s| {
        // struct file_attr: fa_xflags, then four 32-bit words.
        let attributes = words(&[XFLAG_NODUMP.into(), 0, 0]);
        done(sys!(FILE_SETATTR, CWD, &c(&s.file()), &attributes, attributes.len(), 0), "file_setattr")
    })
    .needs(&[Need::Facility]),
    file("set-user-id", "give a file of the workspace the set-user-id bit", |s| {
        let path = s.ours("file");
        sys!(libc::SYS_fchmodat, CWD, &c(&path), 0o4755).attack("fchmodat 4755")?;
        has_the_bit(&path)
    }),
    file("set-user-id-by-descriptor", "give an open file of the workspace the set-user-id bit", |s| {
        let path = s.ours("file");
        sys!(libc::SYS_fchmod, &open_for_reading(&path)?, 0o4755).attack("fchmod 4755")?;
        has_the_bit(&path)
    }),
    file("set-group-id", "give a file of the workspace the set-group-id bit", |s| {
        let path = s.ours("file");
        sys!(libc::SYS_fchmodat, CWD, &c(&path), 0o2755).attack("fchmodat 2755")?;
        has_the_bit(&path)
    }),
    file("set-user-id-from-the-start", "make a file with the set-user-id bit in the workspace", |s| {
        let path = s.ours("made");
        open_at(CWD, &path, libc::O_CREAT | libc::O_WRONLY, 0o4755).attack("open")?;
        has_the_bit(&path)
    }),
    file("set-user-id-node", "make a node with the set-user-id bit in the workspace", |s| {
        let path = s.ours("made");
        sys!(libc::SYS_mknodat, CWD, &c(&path), libc::S_IFREG | 0o4755, 0).attack("mknodat 4755")?;
        has_the_bit(&path)
    }),
    file("set-user-id-unnamed", "make an unnamed file with the set-user-id bit, and name it", |s| {
        let path = s.ours("made");
        let made = open_at(CWD, &s.workspace(), libc::O_TMPFILE | libc::O_WRONLY, 0o4755)
            .attack("open O_TMPFILE")?;
        super::writing::link_descriptor(&made, &path)?;
        has_the_bit(&path)
    }),
    file("set-user-id-by-openat2", "make a file with the set-user-id bit by openat2(2)", |s| {
        let path = s.ours("made");
        let how = words(&[(libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC) as u64, 0o4755, 0]);
        sys!(libc::SYS_openat2, CWD, &c(&path), &how, how.len()).map(own).attack("openat2 4755")?;
        has_the_bit(&path)
    }),
    file("set-user-id-kept", "give a file the set-user-id bit before it is moved to its place", |s| {
        // From the temporary folder, which need not be on the same file system: then there is nothing to move.
        let from = std::env::temp_dir().join(format!("codex-attack-{}", std::process::id()));
        open_at(CWD, &from, libc::O_CREAT | libc::O_WRONLY, 0o4755).ready("open")?;
        let moved = sys!(libc::SYS_renameat2, CWD, &c(&from), CWD, &c(&s.ours("made")), 0);
        let _gone = std::fs::remove_file(&from);
        moved.attack("renameat2")?;
        has_the_bit(&s.ours("made"))
    })
    .needs(&[Need::Facility]),
    file("file-capability", "give a program in the workspace capabilities", |s| {
        // vfs_cap_data, version 2, effective, CAP_NET_RAW.
        let capability = words(&[0x0000_2000_0200_0001, 0, 0]);
        let path = c(&s.ours("file"));
        done(sys!(libc::SYS_setxattr, &path, c"security.capability", &capability, 20, 0), "setxattr")
    })
    .needs(&[Need::Root]),
];

/// The magic link of a descriptor.
pub(super) fn magic(fd: &OwnedFd) -> std::ffi::CString {
    c(Path::new(&format!("/proc/self/fd/{}", fd.as_raw_fd())))
}

/// Whether the bit is there: the call may have worked and dropped it.
fn has_the_bit(path: &Path) -> Tried {
    let mode = std::fs::metadata(path).ready("stat")?.mode();
    let set = mode & crate::attack::stage::SET_ID_BITS != 0;
    if set { Ok(format!("the mode is {mode:o}")) } else { Err(Stop::denied("the bit was dropped")) }
}

/// The present owner: setting it again changes nothing but the change time, and any owner may do it.
fn ids(path: &Path) -> Result<(u32, u32), Stop> {
    let stat = std::fs::metadata(path).ready("stat")?;
    Ok((stat.uid(), stat.gid()))
}

/// posix_acl_xattr version 2: owner rw, user 65534 rw, group r, mask rw, other r.
fn access_list() -> Vec<u8> {
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let entries =
        [entry(1, 6, !0), entry(2, 6, 65534), entry(4, 4, !0), entry(0x10, 6, !0), entry(0x20, 4, !0)]
            .concat();
    [&2_u32.to_le_bytes()[..], &entries].concat()
}
