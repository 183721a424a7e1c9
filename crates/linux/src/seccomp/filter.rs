//! The rules, in the order in which they are tested: what runs often comes first.

use libc::sock_filter;

use super::bpf::{Action, Program, Rule, When};
use super::numbers::{self, Sys};

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xc000_00b7;
/// `__X32_SYSCALL_BIT`.
#[cfg(target_arch = "x86_64")]
const X32_BIT: Option<u32> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const X32_BIT: Option<u32> = None;

const EPERM: Action = Action::Errno(libc::EPERM);
/// A call or a socket family that this kernel, as the command sees it, does not have: programs know how to go on.
const ENOSYS: Action = Action::Errno(libc::ENOSYS);

/// What varies between plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterSpec {
    /// The command has a network namespace of its own, or may use the host's.
    pub inet: bool,
    /// The command has an IPC namespace of its own.
    pub private_ipc: bool,
    /// The command has a pid namespace of its own.
    pub private_pids: bool,
    /// Landlock keeps signals inside (ABI 6); without it kill(0) goes to the broker.
    pub signals_scoped: bool,
}

/// A call that the filter refuses, for `plan` and the documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The system call.
    pub call: &'static str,
    /// Which uses of it, when not all.
    pub when: Option<&'static str>,
}

/// Builds the filter.
pub fn build(spec: FilterSpec) -> Vec<sock_filter> {
    let mut program = Program::new(AUDIT_ARCH, X32_BIT);
    opens(&mut program);
    ioctls(&mut program);
    for sys in numbers::BROKERED {
        if let Some(nr) = sys.number() {
            program.always(nr, Action::Notify);
        }
    }
    processes(&mut program, spec);
    sockets(&mut program, spec);
    for (_, nr) in numbers::refused() {
        program.always(nr, EPERM);
    }
    if !spec.private_ipc {
        outsiders_ipc(&mut program);
    }
    program.finish(numbers::FIRST_UNKNOWN, Action::Allow)
}

/// Opening for reading stays native; whatever can write or create goes to the broker.
fn opens(program: &mut Program) {
    let writing = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u32;
    for (sys, flags_arg) in [(Sys::Openat, 2), (Sys::Open, 1)] {
        if let Some(nr) = sys.number() {
            // Access mode 3 opens for neither reading nor writing, which no wall sees, and yet truncates.
            let neither = When::MaskedEq(flags_arg, libc::O_ACCMODE as u32, libc::O_ACCMODE as u32);
            let rules: [Rule<'_>; 3] = [
                (&[When::AnyBit(flags_arg, libc::O_PATH as u32)], Action::Allow),
                (&[neither], Action::Errno(libc::EACCES)),
                (&[When::AnyBit(flags_arg, writing)], Action::Notify),
            ];
            program.conditional(nr, &rules, Action::Allow);
        }
    }
}

/// Requests that push input into a terminal, or change files through a descriptor that is open for reading only.
fn ioctls(program: &mut Program) {
    const LETTER: u32 = 0xff00;
    let is = |request: u32| [When::Eq(1, request)];
    let letter = |letter: u8| [When::MaskedEq(1, LETTER, u32::from(letter) << 8)];
    let terminal = [libc::TIOCSTI, libc::TIOCLINUX, libc::TIOCCONS, libc::TIOCSETD, libc::TIOCEXCL]
        .map(|request| is(request as u32));
    // FS_IOC_GETFLAGS, FS_IOC_FIEMAP, FS_IOC_FSGETXATTR and FS_IOC_GETVERSION only read; FICLONE, FICLONERANGE and
    // FIDEDUPERANGE need a descriptor that is open for writing.
    let harmless =
        [0x8008_6601, 0xc020_660b, 0x801c_581f, 0x8008_7601, 0x4004_9409, 0x4020_940d, 0xc018_9436].map(is);
    // ext4 and the VFS ('f'), XFS and the VFS ('X'), versions ('v'), btrfs (0x94), F2FS (0xf5).
    let file_systems = [b'f', b'X', b'v', 0x94, 0xf5].map(letter);
    let mut rules: Vec<Rule<'_>> = terminal.iter().map(|when| (when.as_slice(), EPERM)).collect();
    let all_terminal = letter(b'T');
    rules.push((&all_terminal, Action::Allow));
    rules.extend(harmless.iter().map(|when| (when.as_slice(), Action::Allow)));
    rules.extend(file_systems.iter().map(|when| (when.as_slice(), EPERM)));
    program.conditional(libc::SYS_ioctl, &rules, Action::Allow);
}

fn processes(program: &mut Program, spec: FilterSpec) {
    let namespaces = crate::sys::NAMESPACE_FLAGS as u32;
    program.conditional(libc::SYS_clone, &[(&[When::AnyBit(0, namespaces)], EPERM)], Action::Allow);
    // Their flags lie in memory, where no filter can see them; programs fall back to clone(2) and openat(2).
    program.always(libc::SYS_clone3, ENOSYS);
    program.always(libc::SYS_openat2, ENOSYS);
    // CLONE_NEWTIME shares its bit with clone's exit signal, so only unshare(2) can ask for it here.
    program.conditional(libc::SYS_unshare, &[(&[When::AnyBit(0, namespaces | 0x80)], EPERM)], Action::Allow);
    // PER_LINUX, ADDR_NO_RANDOMIZE (debuggers) and the query.
    let personalities = [0, 0x0004_0000_u32, 0xffff_ffff].map(|value| [When::Eq(0, value)]);
    let personalities: Vec<Rule<'_>> =
        personalities.iter().map(|when| (when.as_slice(), Action::Allow)).collect();
    program.conditional(libc::SYS_personality, &personalities, EPERM);
    process_groups(program, spec);
    limits(program, spec);
    // SECCOMP_FILTER_FLAG_NEW_LISTENER: a command's own broker could answer calls that are ours to decide.
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32;
    program.conditional(libc::SYS_seccomp, &[(&[When::AnyBit(1, listener)], EPERM)], Action::Allow);
    // A lease would stall outsiders that open the file.
    let lease = When::Eq(1, libc::F_SETLEASE as u32);
    program.conditional(libc::SYS_fcntl, &[(&[lease], EPERM)], Action::Allow);
}

/// The launcher and its neighbours in a pipeline are in the command's own process group.
fn process_groups(program: &mut Program, spec: FilterSpec) {
    const IOPRIO_WHO_PROCESS: u32 = 1;
    const IOPRIO_WHO_PGRP: u32 = 2;
    let group = When::Eq(0, libc::PRIO_PGRP);
    // Where all processes are visible, only the caller itself. (For a user, 0 means all of the caller's.)
    let own = [When::Eq(0, libc::PRIO_PROCESS), When::Eq(1, 0)];
    let other = if spec.private_pids { Action::Allow } else { EPERM };
    program.conditional(libc::SYS_setpriority, &[(&[group], EPERM), (&own, Action::Allow)], other);
    let group = When::Eq(0, IOPRIO_WHO_PGRP);
    let own = [When::Eq(0, IOPRIO_WHO_PROCESS), When::Eq(1, 0)];
    program.conditional(libc::SYS_ioprio_set, &[(&[group], EPERM), (&own, Action::Allow)], other);
    if !spec.signals_scoped {
        program.conditional(libc::SYS_kill, &[(&[When::Eq(0, 0)], Action::Notify)], Action::Allow);
    }
}

/// Nobody changes the limits of the sandbox' pid 1 (any of its threads' ids names it), nor, where all processes are visible,
/// the limits and priorities of others.
fn limits(program: &mut Program, spec: FilterSpec) {
    let own = |arg: u8| [When::Eq(arg, 0)];
    program.conditional(libc::SYS_prlimit64, &[(&own(0), Action::Allow)], EPERM);
    if spec.private_pids {
        return;
    }
    for nr in [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setattr,
        libc::SYS_migrate_pages,
        libc::SYS_move_pages,
    ] {
        program.conditional(nr, &[(&own(0), Action::Allow)], EPERM);
    }
}

/// Unix, IPv4, IPv6 and route netlink (getifaddrs). A Unix datagram socket can send to any path without connect(2), with
/// calls whose address no filter sees, so it is refused; a *pair* of them becomes a pair of SOCK_SEQPACKET sockets.
fn sockets(program: &mut Program, spec: FilterSpec) {
    const TYPE: u32 = 0xf;
    let family = |family: i32| When::Eq(0, family as u32);
    let kind = |kind: i32| When::MaskedEq(1, TYPE, kind as u32);
    let refused = Action::Errno(libc::EAFNOSUPPORT);
    let unix = family(libc::AF_UNIX);
    // unix(7): SOCK_RAW is taken for SOCK_DGRAM.
    let datagram = [[unix, kind(libc::SOCK_DGRAM)], [unix, kind(libc::SOCK_RAW)]];
    let inet = [[family(libc::AF_INET)], [family(libc::AF_INET6)]];
    let raw = [libc::AF_INET, libc::AF_INET6].map(|domain| [family(domain), kind(libc::SOCK_RAW)]);
    let route = [family(libc::AF_NETLINK), When::Eq(2, libc::NETLINK_ROUTE as u32)];

    let mut rules: Vec<Rule<'_>> = Vec::new();
    rules.extend(datagram.iter().map(|when| (when.as_slice(), Action::Errno(libc::EPROTONOSUPPORT))));
    let any_unix = [unix];
    rules.push((&any_unix, Action::Allow));
    if spec.inet {
        rules.extend(raw.iter().map(|when| (when.as_slice(), EPERM)));
        rules.extend(inet.iter().map(|when| (when.as_slice(), Action::Allow)));
        rules.push((&route, Action::Allow));
    }
    program.conditional(libc::SYS_socket, &rules, refused);

    let mut pairs: Vec<Rule<'_>> = Vec::new();
    pairs.extend(datagram.iter().map(|when| (when.as_slice(), Action::Notify)));
    pairs.push((&any_unix, Action::Allow));
    program.conditional(libc::SYS_socketpair, &pairs, refused);
}

/// System V and POSIX message queues of the host, when there is no IPC namespace between.
fn outsiders_ipc(program: &mut Program) {
    for nr in [
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_shmctl,
        libc::SYS_semget,
        libc::SYS_semop,
        libc::SYS_semctl,
        libc::SYS_semtimedop,
        libc::SYS_msgget,
        libc::SYS_msgsnd,
        libc::SYS_msgrcv,
        libc::SYS_msgctl,
        libc::SYS_mq_open,
        libc::SYS_mq_unlink,
    ] {
        program.always(nr, ENOSYS);
    }
}

/// What the filter refuses, for `plan` and the documentation.
pub fn refused_names() -> Vec<Refusal> {
    let mut all: Vec<Refusal> =
        numbers::refused().into_iter().map(|(call, _)| Refusal { call, when: None }).collect();
    let some = |call, when| Refusal { call, when: Some(when) };
    all.extend([
        some("clone", "with flags for new namespaces"),
        some("clone3, openat2", "always, as not implemented: programs use clone and openat"),
        some("unshare", "with flags for new namespaces"),
        some(
            "ioctl",
            "TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD, TIOCEXCL, and requests that change file attributes",
        ),
        some(
            "socket",
            "families other than Unix, IPv4, IPv6 and route netlink; raw sockets; Unix datagram sockets",
        ),
        some("personality", "other than the default and ADDR_NO_RANDOMIZE"),
        some("setpriority, ioprio_set", "by process group"),
        some("prlimit64", "on another process"),
        some("seccomp", "with SECCOMP_FILTER_FLAG_NEW_LISTENER"),
        some("fcntl", "F_SETLEASE"),
        some("any", "through the 32-bit or x32 entry, or unknown to this version: not implemented"),
    ]);
    all
}

#[cfg(test)]
mod tests {
    use super::super::bpf::evaluate;
    use super::*;

    const SPEC: FilterSpec =
        FilterSpec { inet: true, private_ipc: true, private_pids: true, signals_scoped: true };

    fn answer(nr: i64, args: [u64; 6]) -> u32 {
        evaluate(&build(SPEC), AUDIT_ARCH, nr as u32, args)
    }

    fn errno(errno: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | errno as u32
    }

    #[test]
    fn reading_is_native_and_writing_is_brokered() {
        let open = |flags: i32| answer(libc::SYS_openat, [0, 0, flags as u64, 0, 0, 0]);
        for flags in [libc::O_RDONLY, libc::O_DIRECTORY | libc::O_CLOEXEC, libc::O_PATH | libc::O_RDWR] {
            assert_eq!(open(flags), libc::SECCOMP_RET_ALLOW, "{flags:#x}");
        }
        for flags in
            [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC, libc::O_TMPFILE | libc::O_RDWR]
        {
            assert_eq!(open(flags), libc::SECCOMP_RET_USER_NOTIF, "{flags:#x}");
        }
        assert_eq!(open(3 | libc::O_TRUNC), errno(libc::EACCES));
    }

    #[test]
    fn the_upper_half_of_an_int_argument_fools_nobody() {
        let high = 0xdead_0000_0000_0000_u64;
        assert_eq!(answer(libc::SYS_ioctl, [0, high | 0x5412, 0, 0, 0, 0]), errno(libc::EPERM));
        assert_eq!(answer(libc::SYS_socket, [high | 40, 1, 0, 0, 0, 0]), errno(libc::EAFNOSUPPORT));
    }

    #[test]
    fn other_entries_and_unknown_calls_do_not_exist() {
        let program = build(SPEC);
        assert_eq!(evaluate(&program, 0x4000_0003, 5, [0; 6]), errno(libc::ENOSYS));
        assert_eq!(answer(0x4000_0002, [0; 6]), errno(libc::ENOSYS));
        assert_eq!(answer(i64::from(numbers::FIRST_UNKNOWN), [0; 6]), errno(libc::ENOSYS));
    }

    #[test]
    fn every_refused_and_brokered_call_is_answered_so() {
        for (name, nr) in numbers::refused() {
            assert_eq!(answer(nr, [0; 6]), errno(libc::EPERM), "{name}");
        }
        for sys in numbers::BROKERED {
            if let Some(nr) = sys.number() {
                assert_eq!(answer(nr, [0; 6]), libc::SECCOMP_RET_USER_NOTIF, "{sys:?}");
                assert_eq!(Sys::from_number(nr), Some(*sys));
            }
        }
    }

    #[test]
    fn socket_families() {
        let socket = |domain: i32, kind: i32, protocol: i32| {
            answer(libc::SYS_socket, [domain as u64, kind as u64, protocol as u64, 0, 0, 0])
        };
        let allow = libc::SECCOMP_RET_ALLOW;
        assert_eq!(socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0), allow);
        assert_eq!(socket(libc::AF_INET, libc::SOCK_DGRAM, 0), allow);
        assert_eq!(socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE), allow);
        for (domain, kind, protocol) in [
            (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT),
            (libc::AF_INET, libc::SOCK_RAW, 1),
            (libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0),
            (libc::AF_UNIX, libc::SOCK_RAW, 0),
            (libc::AF_VSOCK, libc::SOCK_STREAM, 0),
            (libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
            (libc::AF_PACKET, libc::SOCK_RAW, 0),
            (libc::AF_BLUETOOTH, libc::SOCK_RAW, 0),
        ] {
            assert_ne!(socket(domain, kind, protocol), allow, "{domain} {kind} {protocol}");
        }
    }

    #[test]
    fn without_a_network_namespace_there_is_no_inet_at_all() {
        let program = build(FilterSpec { inet: false, ..SPEC });
        let args = [libc::AF_INET as u64, libc::SOCK_STREAM as u64, 0, 0, 0, 0];
        assert_eq!(evaluate(&program, AUDIT_ARCH, libc::SYS_socket as u32, args), errno(libc::EAFNOSUPPORT));
    }
}
