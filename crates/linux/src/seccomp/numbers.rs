//! System call numbers: libc's, plus the ones that it does not name yet, plus the old ones that only x86-64 has.

/// System calls by the name of their man page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the system call of that name")]
pub enum Sys {
    Open,
    Creat,
    Openat,
    Mkdir,
    Mkdirat,
    Mknod,
    Mknodat,
    Symlink,
    Symlinkat,
    Link,
    Linkat,
    Unlink,
    Unlinkat,
    Rmdir,
    Rename,
    Renameat,
    Renameat2,
    Truncate,
    Chmod,
    Fchmod,
    Fchmodat,
    Fchmodat2,
    Chown,
    Lchown,
    Fchown,
    Fchownat,
    Utime,
    Utimes,
    Futimesat,
    Utimensat,
    Setxattr,
    Lsetxattr,
    Fsetxattr,
    Setxattrat,
    Removexattr,
    Lremovexattr,
    Fremovexattr,
    Removexattrat,
    Umask,
    Bind,
    Connect,
    Socket,
    Socketpair,
    Kill,
}

macro_rules! old {
    ($name:ident) => {{
        #[cfg(target_arch = "x86_64")]
        let number = Some(libc::$name);
        #[cfg(not(target_arch = "x86_64"))]
        let number = None;
        number
    }};
}

/// fchmodat2(2), Linux 6.6.
const FCHMODAT2: i64 = 452;
/// setxattrat(2), Linux 6.13.
const SETXATTRAT: i64 = 463;
/// removexattrat(2), Linux 6.13.
const REMOVEXATTRAT: i64 = 466;

/// The calls that go to the broker whatever their arguments.
pub const BROKERED: &[Sys] = &[
    Sys::Creat,
    Sys::Mkdir,
    Sys::Mkdirat,
    Sys::Mknod,
    Sys::Mknodat,
    Sys::Symlink,
    Sys::Symlinkat,
    Sys::Link,
    Sys::Linkat,
    Sys::Unlink,
    Sys::Unlinkat,
    Sys::Rmdir,
    Sys::Rename,
    Sys::Renameat,
    Sys::Renameat2,
    Sys::Truncate,
    Sys::Chmod,
    Sys::Fchmod,
    Sys::Fchmodat,
    Sys::Fchmodat2,
    Sys::Chown,
    Sys::Lchown,
    Sys::Fchown,
    Sys::Fchownat,
    Sys::Utime,
    Sys::Utimes,
    Sys::Futimesat,
    Sys::Utimensat,
    Sys::Setxattr,
    Sys::Lsetxattr,
    Sys::Fsetxattr,
    Sys::Setxattrat,
    Sys::Removexattr,
    Sys::Lremovexattr,
    Sys::Fremovexattr,
    Sys::Removexattrat,
    Sys::Umask,
    Sys::Bind,
    Sys::Connect,
];

/// The calls of which only some go to the broker.
pub const PARTLY_BROKERED: &[Sys] = &[Sys::Open, Sys::Openat, Sys::Socket, Sys::Socketpair, Sys::Kill];

impl Sys {
    /// The number on this architecture, if the call exists here.
    pub fn number(self) -> Option<i64> {
        Some(match self {
            Self::Open => return old!(SYS_open),
            Self::Creat => return old!(SYS_creat),
            Self::Mkdir => return old!(SYS_mkdir),
            Self::Mknod => return old!(SYS_mknod),
            Self::Symlink => return old!(SYS_symlink),
            Self::Link => return old!(SYS_link),
            Self::Unlink => return old!(SYS_unlink),
            Self::Rmdir => return old!(SYS_rmdir),
            Self::Rename => return old!(SYS_rename),
            Self::Chmod => return old!(SYS_chmod),
            Self::Chown => return old!(SYS_chown),
            Self::Lchown => return old!(SYS_lchown),
            Self::Utime => return old!(SYS_utime),
            Self::Utimes => return old!(SYS_utimes),
            Self::Futimesat => return old!(SYS_futimesat),
            Self::Openat => libc::SYS_openat,
            Self::Mkdirat => libc::SYS_mkdirat,
            Self::Mknodat => libc::SYS_mknodat,
            Self::Symlinkat => libc::SYS_symlinkat,
            Self::Linkat => libc::SYS_linkat,
            Self::Unlinkat => libc::SYS_unlinkat,
            Self::Renameat => libc::SYS_renameat,
            Self::Renameat2 => libc::SYS_renameat2,
            Self::Truncate => libc::SYS_truncate,
            Self::Fchmod => libc::SYS_fchmod,
            Self::Fchmodat => libc::SYS_fchmodat,
            Self::Fchmodat2 => FCHMODAT2,
            Self::Fchown => libc::SYS_fchown,
            Self::Fchownat => libc::SYS_fchownat,
            Self::Utimensat => libc::SYS_utimensat,
            Self::Setxattr => libc::SYS_setxattr,
            Self::Lsetxattr => libc::SYS_lsetxattr,
            Self::Fsetxattr => libc::SYS_fsetxattr,
            Self::Setxattrat => SETXATTRAT,
            Self::Removexattr => libc::SYS_removexattr,
            Self::Lremovexattr => libc::SYS_lremovexattr,
            Self::Fremovexattr => libc::SYS_fremovexattr,
            Self::Removexattrat => REMOVEXATTRAT,
            Self::Umask => libc::SYS_umask,
            Self::Bind => libc::SYS_bind,
            Self::Connect => libc::SYS_connect,
            Self::Socket => libc::SYS_socket,
            Self::Socketpair => libc::SYS_socketpair,
            Self::Kill => libc::SYS_kill,
        })
    }

    /// The call with this number, among those that can reach the broker.
    pub fn from_number(number: i64) -> Option<Self> {
        BROKERED.iter().chain(PARTLY_BROKERED).copied().find(|sys| sys.number() == Some(number))
    }
}

/// The first number that no kernel we know of uses: what comes after is unknown, and answered with ENOSYS.
pub const FIRST_UNKNOWN: u32 = 470;

/// Calls that are refused outright, by name and number.
pub fn refused() -> Vec<(&'static str, i64)> {
    let mut calls = vec![
        ("mount", libc::SYS_mount),
        ("umount2", libc::SYS_umount2),
        ("pivot_root", libc::SYS_pivot_root),
        ("chroot", libc::SYS_chroot),
        ("open_tree", libc::SYS_open_tree),
        ("move_mount", libc::SYS_move_mount),
        ("fsopen", libc::SYS_fsopen),
        ("fsconfig", libc::SYS_fsconfig),
        ("fsmount", libc::SYS_fsmount),
        ("fspick", libc::SYS_fspick),
        ("mount_setattr", libc::SYS_mount_setattr),
        ("open_tree_attr", 467),
        ("setns", libc::SYS_setns),
        ("swapon", libc::SYS_swapon),
        ("swapoff", libc::SYS_swapoff),
        ("reboot", libc::SYS_reboot),
        ("kexec_load", libc::SYS_kexec_load),
        ("init_module", libc::SYS_init_module),
        ("finit_module", libc::SYS_finit_module),
        ("delete_module", libc::SYS_delete_module),
        ("quotactl", libc::SYS_quotactl),
        ("quotactl_fd", 443),
        ("acct", libc::SYS_acct),
        ("settimeofday", libc::SYS_settimeofday),
        ("clock_settime", libc::SYS_clock_settime),
        ("bpf", libc::SYS_bpf),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("io_uring_enter", libc::SYS_io_uring_enter),
        ("io_uring_register", libc::SYS_io_uring_register),
        ("keyctl", libc::SYS_keyctl),
        ("add_key", libc::SYS_add_key),
        ("request_key", libc::SYS_request_key),
        ("open_by_handle_at", libc::SYS_open_by_handle_at),
        ("fanotify_init", libc::SYS_fanotify_init),
        ("fanotify_mark", libc::SYS_fanotify_mark),
        ("vhangup", libc::SYS_vhangup),
        ("sethostname", libc::SYS_sethostname),
        ("setdomainname", libc::SYS_setdomainname),
        ("lookup_dcookie", libc::SYS_lookup_dcookie),
        ("file_setattr", 469),
        ("kexec_file_load", libc::SYS_kexec_file_load),
    ];
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        ("iopl", libc::SYS_iopl),
        ("ioperm", libc::SYS_ioperm),
        ("modify_ldt", libc::SYS_modify_ldt),
        ("uselib", libc::SYS_uselib),
        ("sysfs", libc::SYS_sysfs),
        ("ustat", libc::SYS_ustat),
    ]);
    calls.retain(|(_, number)| *number < i64::from(FIRST_UNKNOWN));
    calls
}
