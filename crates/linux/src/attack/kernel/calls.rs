//! System calls that no command of an agent needs. Where a call that succeeds would harm the machine, its arguments are bad on
//! purpose, in a way that the kernel finds only after it has checked the caller's right.

use std::ffi::c_long;

use super::kernel;
use crate::attack::attempt::{Attempt, Need};
use crate::attack::call::{half_words, own, sys, words};
use crate::attack::tools::{CWD, c, done, in_child_done, probe};
use crate::attack::verdict::{Step, Tried};

/// kexec_file_load(2); libc does not name it everywhere.
#[cfg(target_arch = "x86_64")]
const KEXEC_FILE_LOAD: c_long = 320;
#[cfg(not(target_arch = "x86_64"))]
const KEXEC_FILE_LOAD: c_long = 294;
/// quotactl_fd(2).
const QUOTACTL_FD: c_long = 443;
/// KEY_SPEC_PROCESS_KEYRING.
const PROCESS_KEYRING: i32 = -2;
const ROOT: &[Need] = &[Need::Root];
const PART: &[Need] = &[Need::Facility];
const ROOT_AND_PART: &[Need] = &[Need::Root, Need::Facility];

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    kernel("add-key", "add a key to a keyring", |_| {
        done(sys!(libc::SYS_add_key, c"user", c"codex-attack", &b"1"[..], 1, PROCESS_KEYRING), "add_key")
    })
    .needs(PART),
    kernel("keyctl", "make a keyring (keyctl)", |_| {
        // KEYCTL_GET_KEYRING_ID, and make it if it is missing.
        done(sys!(libc::SYS_keyctl, 0, PROCESS_KEYRING, 1), "keyctl")
    })
    .needs(PART),
    kernel("session-keyring", "look at the caller's session keyring", |_| {
        const SESSION_KEYRING: i32 = -3;
        const KEYCTL_DESCRIBE: i32 = 6;
        let mut text = [0; 256];
        done(
            sys!(libc::SYS_keyctl, KEYCTL_DESCRIBE, SESSION_KEYRING, text.as_mut_slice(), 256),
            "keyctl describe",
        )
    })
    .needs(&[Need::Facility, Need::Root]),
    kernel("request-key", "ask for a key", |_| {
        const ENOKEY: i32 = libc::ENOKEY;
        probe(sys!(libc::SYS_request_key, c"user", c"codex-attack-none", 0, 0), &[ENOKEY], "request_key")
    })
    .needs(PART),
    kernel("bpf", "make a BPF map", |_| {
        // BPF_MAP_CREATE: an array of one 4-byte value.
        let mut attributes = half_words(&[2, 4, 4, 1, 0]);
        attributes.resize(72, 0);
        sys!(libc::SYS_bpf, 0, &attributes, attributes.len())
            .map(own)
            .attack("bpf")
            .map(|_| "made a map".into())
    })
    .needs(&[
        Need::Facility,
        Need::Sysctl { path: "kernel/unprivileged_bpf_disabled", lowest: 0, highest: 0 },
    ]),
    kernel("perf-event-open", "count events", |_| {
        // A software clock of this process, without the kernel's share: perf_event_attr version 0 of 64 bytes.
        let mut attributes = half_words(&[1, 64, 0, 0]);
        attributes.resize(64, 0);
        // exclude_kernel and exclude_hv are bits 5 and 6 of the flags at offset 40.
        attributes[40] = 0x60;
        let opened = sys!(libc::SYS_perf_event_open, &attributes, 0, -1, -1, 0);
        opened.map(own).attack("perf_event_open").map(|_| "opened".into())
    })
    .needs(&[Need::Facility, Need::Sysctl { path: "kernel/perf_event_paranoid", lowest: -1, highest: 2 }]),
    kernel("userfaultfd", "handle page faults", |_| {
        /// UFFD_USER_MODE_ONLY.
        const USER_MODE_ONLY: i32 = 1;
        let opened = sys!(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY);
        opened.map(own).attack("userfaultfd").map(|_| "opened".into())
    })
    .needs(PART),
    kernel("io-uring", "set up io_uring, whose requests no filter sees", |_| {
        let mut parameters = [0; 120];
        let made = sys!(libc::SYS_io_uring_setup, 4, parameters.as_mut_slice());
        made.map(own).attack("io_uring_setup").map(|_| "set up".into())
    })
    .needs(&[Need::Facility, Need::Sysctl { path: "kernel/io_uring_disabled", lowest: 0, highest: 0 }]),
    kernel("io-uring-register", "register with io_uring", |_| {
        probe(
            sys!(libc::SYS_io_uring_register, -1, 0, 0, 0),
            &[libc::EBADF, libc::EINVAL],
            "io_uring_register",
        )
    })
    .needs(PART),
    kernel("kexec-load", "load another kernel", |_| {
        probe(sys!(libc::SYS_kexec_load, 0, 0, 0, 0xffff), &[libc::EINVAL], "kexec_load")
    })
    .needs(ROOT_AND_PART),
    kernel("kexec-file-load", "load another kernel from a file", |_| {
        probe(sys!(KEXEC_FILE_LOAD, -1, -1, 0, 0, 0xffff), &[libc::EINVAL], "kexec_file_load")
    })
    .needs(ROOT_AND_PART),
    kernel("init-module", "load a kernel module", |_| {
        probe(sys!(libc::SYS_init_module, 0, 0, c""), &[libc::ENOEXEC, libc::EFAULT], "init_module")
    })
    .needs(ROOT_AND_PART),
    kernel("finit-module", "load a kernel module from a file", |_| {
        probe(sys!(libc::SYS_finit_module, -1, c"", 0), &[libc::EBADF], "finit_module")
    })
    .needs(ROOT_AND_PART),
    kernel("delete-module", "unload a kernel module", |_| {
        let reached = [libc::ENOENT, libc::EFAULT];
        probe(
            sys!(libc::SYS_delete_module, c"codex-attack-none", libc::O_NONBLOCK),
            &reached,
            "delete_module",
        )
    })
    .needs(ROOT_AND_PART),
    kernel("swapon", "swap to a file", |_| {
        probe(sys!(libc::SYS_swapon, 0, 0), &[libc::EFAULT, libc::ENOENT], "swapon")
    })
    .needs(ROOT_AND_PART),
    kernel("swapoff", "stop swapping", |_| {
        probe(sys!(libc::SYS_swapoff, 0), &[libc::EFAULT, libc::ENOENT], "swapoff")
    })
    .needs(ROOT_AND_PART),
    kernel("reboot", "reboot", |_| {
        // Without its magic numbers reboot(2) does nothing but check the right to call it.
        probe(sys!(libc::SYS_reboot, 0, 0, 0, 0), &[libc::EINVAL], "reboot")
    })
    .needs(ROOT),
    kernel("quotactl", "work with quotas", |_| {
        const Q_SYNC: u32 = 0x0080_0001 << 8;
        probe(sys!(libc::SYS_quotactl, Q_SYNC, 0, 0, 0), &[libc::ENODEV, libc::ESRCH], "quotactl")
    })
    .needs(&[Need::Facility]),
    kernel("quotactl-fd", "work with quotas by descriptor", |_| {
        probe(sys!(QUOTACTL_FD, -1, 0, 0, 0), &[libc::EBADF], "quotactl_fd")
    })
    .needs(PART),
    kernel("acct", "write process accounts", |_| {
        probe(sys!(libc::SYS_acct, c"/nonexistent/accounts"), &[libc::ENOENT], "acct")
    })
    .needs(ROOT_AND_PART),
    kernel("set-time", "set the clock", |_| {
        // Neither a time nor a zone: only the right is checked.
        done(sys!(libc::SYS_settimeofday, 0, 0), "settimeofday")
    })
    .needs(ROOT),
    kernel("adjust-time", "adjust the clock (to what it is)", adjust_time).needs(ROOT),
    kernel("host-name", "set the host name (to what it is)", |_| {
        let name = std::fs::read("/proc/sys/kernel/hostname").ready("host name")?;
        let name = name.trim_ascii_end();
        done(sys!(libc::SYS_sethostname, name, name.len()), "sethostname")
    })
    .needs(ROOT),
    kernel("domain-name", "set the domain name (to what it is)", |_| {
        let name = std::fs::read("/proc/sys/kernel/domainname").ready("domain name")?;
        let name = name.trim_ascii_end();
        done(sys!(libc::SYS_setdomainname, name, name.len()), "setdomainname")
    })
    .needs(ROOT),
    #[cfg(target_arch = "x86_64")]
    kernel("io-ports", "use I/O ports", |_| in_child_done("iopl", || sys!(libc::SYS_iopl, 3)))
        .needs(ROOT_AND_PART),
    #[cfg(target_arch = "x86_64")]
    kernel("io-port-map", "use some I/O ports", |_| {
        in_child_done("ioperm", || sys!(libc::SYS_ioperm, 0x80, 1, 1))
    })
    .needs(ROOT_AND_PART),
    #[cfg(target_arch = "x86_64")]
    kernel("modify-ldt", "change the local descriptor table", |_| {
        let mut table = [0; 16];
        done(sys!(libc::SYS_modify_ldt, 0, table.as_mut_slice(), 16), "modify_ldt")
    })
    .needs(PART),
    kernel("kernel-log", "read the kernel's log", |_| {
        /// SYSLOG_ACTION_SIZE_BUFFER needs no right; SYSLOG_ACTION_READ_ALL does where dmesg is restricted.
        const READ_ALL: i32 = 3;
        let mut text = [0; 16];
        done(sys!(libc::SYS_syslog, READ_ALL, text.as_mut_slice(), 16), "syslog")
    })
    .needs(&[Need::Root, Need::Facility]),
    kernel("fanotify", "watch whole file systems", |_| {
        // FAN_CLASS_NOTIF with FAN_CLOEXEC: for root only.
        sys!(libc::SYS_fanotify_init, 1, libc::O_RDONLY)
            .map(own)
            .attack("fanotify_init")
            .map(|_| "opened".into())
    })
    .needs(ROOT_AND_PART),
    kernel("fanotify-for-everyone", "watch file systems in the way that ordinary users may", |_| {
        /// FAN_REPORT_FID | FAN_CLOEXEC.
        const FLAGS: i32 = 0x201;
        sys!(libc::SYS_fanotify_init, FLAGS, libc::O_RDONLY)
            .map(own)
            .attack("fanotify_init")
            .map(|_| "opened".into())
    })
    .needs(PART),
    kernel("personality", "make all readable memory executable (READ_IMPLIES_EXEC)", |_| {
        in_child_done("personality", || sys!(libc::SYS_personality, 0x0040_0000))
    }),
    kernel("personality-low-addresses", "map page zero (MMAP_PAGE_ZERO)", |_| {
        in_child_done("personality", || sys!(libc::SYS_personality, 0x0010_0000))
    }),
    kernel(
        "own-listener",
        "become the judge of one's own system calls (SECCOMP_FILTER_FLAG_NEW_LISTENER)",
        own_listener,
    )
    .needs(PART),
    kernel("file-system-by-btrfs", "make a btrfs subvolume", |s| {
        /// BTRFS_IOC_SUBVOL_CREATE, with its 4096-byte argument.
        const SUBVOL_CREATE: u32 = 0x5000_940e;
        let folder = crate::attack::tools::open_for_reading(&s.ours("plain"))?;
        let mut argument = vec![0; 4096];
        argument[8..12].copy_from_slice(b".git");
        // Another file system does not know the request, which only the driver can say.
        probe(
            sys!(libc::SYS_ioctl, &folder, SUBVOL_CREATE, &argument),
            &[libc::ENOTTY],
            "BTRFS_IOC_SUBVOL_CREATE",
        )
    }),
    kernel("handles", "turn a name into a handle for use elsewhere", |s| {
        let mut handle = words(&[128]);
        handle.resize(136, 0);
        let mut mount = [0; 4];
        let path = c(&s.file());
        sys!(libc::SYS_name_to_handle_at, CWD, &path, handle.as_mut_slice(), mount.as_mut_slice(), 0)
            .ready("name_to_handle_at")?;
        let folder = crate::attack::tools::open_for_reading(&s.workspace())?;
        let opened = sys!(libc::SYS_open_by_handle_at, &folder, &handle, libc::O_RDONLY | libc::O_CLOEXEC);
        opened.map(own).attack("open_by_handle_at").map(|_| "opened for reading".into())
    })
    .needs(ROOT_AND_PART),
];

/// ADJ_TICK with the tick in use.
fn adjust_time(_scene: &crate::attack::Scene) -> Tried {
    const ADJ_TICK: u32 = 0x4000;
    const TICK_OFFSET: usize = 88;
    let mut state = [0; 208];
    sys!(libc::SYS_adjtimex, state.as_mut_slice()).ready("adjtimex to read")?;
    let mut wanted = [0; 208];
    wanted[..4].copy_from_slice(&ADJ_TICK.to_ne_bytes());
    wanted[TICK_OFFSET..TICK_OFFSET + 8].copy_from_slice(&state[TICK_OFFSET..TICK_OFFSET + 8]);
    done(sys!(libc::SYS_adjtimex, wanted.as_mut_slice()), "adjtimex ADJ_TICK")
}

/// A filter that allows everything, with a listener.
fn own_listener(_scene: &crate::attack::Scene) -> Tried {
    const SET_MODE_FILTER: i32 = 1;
    const NEW_LISTENER: i32 = 8;
    sys!(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).ready("PR_SET_NO_NEW_PRIVS")?;
    // BPF_RET | BPF_K, SECCOMP_RET_ALLOW.
    let program = words(&[0x7fff_0000_0000_0006]);
    // struct sock_fprog: the length, then, aligned, the address.
    let filter = words(&[1, program.as_ptr() as u64]);
    sys!(libc::SYS_seccomp, SET_MODE_FILTER, NEW_LISTENER, &filter)
        .map(own)
        .attack("seccomp")
        .map(|_| "got a listener".into())
}
