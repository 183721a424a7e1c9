//! System calls that neither rustix nor a crate of ours wraps: convert, call, check.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

mod clone;

pub use clone::{Cloned, NAMESPACE_FLAGS, clone3, fork, vfork};

/// The result of a raw system call as an `Errno`.
fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 { Err(last_errno()) } else { Ok(result) }
}

fn last_errno() -> Errno {
    Errno::from_raw_os_error(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

/// waitpid(2) for one child, retried on EINTR; returns the raw wait status.
pub fn wait_pid(pid: i32) -> Result<i32, Errno> {
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        match check(libc::c_long::from(unsafe { libc::waitpid(pid, &raw mut status, 0) })) {
            Ok(_) => return Ok(status),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// waitpid(2) for any child without blocking: the pid and raw status of one that ended, if any.
pub fn reap_one() -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// `MOUNT_ATTR_RDONLY`.
pub const MOUNT_ATTR_RDONLY: u64 = 1;
/// `MOUNT_ATTR_NOSUID`.
pub const MOUNT_ATTR_NOSUID: u64 = 2;
/// `MOUNT_ATTR_NODEV`.
pub const MOUNT_ATTR_NODEV: u64 = 4;

/// mount_setattr(2): sets attributes on the mount at `dir` itself (empty path) or, with `recursive`, on everything below it
/// too; `private` makes the propagation private.
pub fn mount_setattr(dir: BorrowedFd<'_>, set: u64, recursive: bool, private: bool) -> Result<(), Errno> {
    let attr = MountAttr {
        attr_set: set,
        propagation: if private { libc::MS_PRIVATE } else { 0 },
        ..MountAttr::default()
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated constant and `attr` outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(result).map(drop)
}

/// Reads `buffer.len()` bytes at `address` of another process; returns how many were readable.
pub fn process_vm_read(pid: i32, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
    // SAFETY: `local` names a live buffer of that length; `remote` is only an address in the other process.
    let result = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    check(result as libc::c_long).map(|read| read as usize)
}

/// Writes `buffer` to `address` of another process.
pub fn process_vm_write(pid: i32, address: u64, buffer: &[u8]) -> Result<(), Errno> {
    let local = libc::iovec { iov_base: buffer.as_ptr().cast_mut().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
    // SAFETY: `local` is only read; `remote` is only an address in the other process.
    let result = unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) };
    if check(result as libc::c_long)? as usize == buffer.len() { Ok(()) } else { Err(Errno::FAULT) }
}

/// umask(2).
pub fn umask(mask: u32) -> u32 {
    // SAFETY: umask cannot fail and touches no memory.
    unsafe { libc::umask(mask as libc::mode_t) as u32 }
}

/// close_range(2) with flags 0: closes every descriptor from `first` to `last`, both included.
pub fn close_range(first: u32, last: u32) {
    if first > last {
        return;
    }
    // SAFETY: the caller owns the descriptors of that range; a closed one is not used afterwards.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

/// close_range(2) with CLOSE_RANGE_CLOEXEC: everything from `first` on closes at execve(2).
pub fn cloexec_from(first: u32) {
    // SAFETY: only sets a flag on descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Ends this process at once, without destructors or exit handlers.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit does not return and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Sends a signal; errors are of no interest (the process may be gone).
pub fn kill(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no memory is involved.
    check(libc::c_long::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// pidfd_send_signal(2).
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: no memory is involved (the siginfo pointer is null).
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(result).map(drop)
}

/// Blocks every signal in this thread and returns the mask that was in force.
pub fn block_all_signals() -> libc::sigset_t {
    // SAFETY: sigset_t is plain data; both sets outlive the calls, which cannot fail with valid arguments.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut old: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut old);
        old
    }
}

/// Puts a mask back.
pub fn set_signal_mask(mask: &libc::sigset_t) {
    // SAFETY: `mask` outlives the call.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
}

thread_local! {
    /// The mask of before [`hold_signals`].
    static UNHELD: std::cell::Cell<Option<libc::sigset_t>> = const { std::cell::Cell::new(None) };
}

/// Blocks `signals` in this thread until [`release_signals`].
pub fn hold_signals(signals: &[i32]) {
    UNHELD.set(Some(block_signals(signals)));
}

/// Puts the mask of before [`hold_signals`] back.
pub fn release_signals() {
    if let Some(mask) = UNHELD.take() {
        set_signal_mask(&mask);
    }
}

/// The mask that a command is to start with, where `current` is in force.
pub fn mask_for_commands(current: libc::sigset_t) -> libc::sigset_t {
    UNHELD.get().unwrap_or(current)
}

/// The calling thread's signal mask.
pub fn signal_mask() -> libc::sigset_t {
    block_signals(&[])
}

/// A signal mask as bits: bit N-1 for signal N.
pub fn mask_bits(mask: &libc::sigset_t) -> u64 {
    // SAFETY: sigismember only reads the set.
    let has = |signal: &i32| unsafe { libc::sigismember(mask, *signal) } == 1;
    (1..=64).filter(has).fold(0, |bits, signal| bits | 1 << (signal - 1))
}

/// The opposite of [`mask_bits`].
pub fn mask_of_bits(bits: u64) -> libc::sigset_t {
    // SAFETY: the set is plain data, initialised by sigemptyset.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut mask);
        for signal in (1..=64).filter(|signal| bits & 1 << (signal - 1) != 0) {
            libc::sigaddset(&raw mut mask, signal);
        }
        mask
    }
}

/// The id, in our pid namespace, of the process behind a pidfd (the `Pid:` line of its fdinfo, proc_pid_fdinfo(5)).
pub fn pid_of(pidfd: BorrowedFd<'_>) -> Result<i32, Errno> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()));
    let info = info.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.filter(|pid| *pid > 0).ok_or(Errno::SRCH)
}

/// A signalfd(2) for `signals`, close-on-exec and non-blocking.
pub fn signalfd(signals: &[i32]) -> Result<OwnedFd, Errno> {
    // SAFETY: the set is plain data that outlives the calls; the descriptor returned is new and owned by nobody else.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        let fd = check(libc::c_long::from(libc::signalfd(
            -1,
            &raw const set,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        )))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// A signal as signalfd(2) reports it.
pub struct SignalInfo {
    /// Its number.
    pub signal: i32,
    /// Whether the kernel sent it itself (the terminal's Ctrl-C), and so to the whole process group.
    pub from_kernel: bool,
}

/// Reads one pending signal.
pub fn read_signal(fd: BorrowedFd<'_>) -> Option<SignalInfo> {
    // SAFETY: signalfd_siginfo is plain data; the buffer has its size.
    let info = unsafe {
        let mut info: libc::signalfd_siginfo = std::mem::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        if libc::read(fd.as_raw_fd(), (&raw mut info).cast(), size) != size as isize {
            return None;
        }
        info
    };
    Some(SignalInfo { signal: info.ssi_signo as i32, from_kernel: info.ssi_code == libc::SI_KERNEL })
}

/// Sets every catchable signal back to its default action, as a fresh program expects them.
///
/// Dispositions that are "ignore" survive execve(2) and are part of what the caller hands on (nohup), so those stay;
/// only Rust's own SIGPIPE setting is undone.
pub fn default_sigpipe() {
    // SAFETY: SIG_DFL is a valid disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// setrlimit(2): both limits to `value`, never above the hard limit in force.
pub fn lower_rlimit(resource: u32, value: u64) -> Result<(), Errno> {
    // SAFETY: rlimit is plain data that outlives the calls.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        check(libc::c_long::from(libc::getrlimit(resource as _, &raw mut limit)))?;
        let value = value.min(limit.rlim_max);
        let wanted = libc::rlimit { rlim_cur: value, rlim_max: value };
        check(libc::c_long::from(libc::setrlimit(resource as _, &raw const wanted))).map(drop)
    }
}

/// execve(2); returns only on failure. The vectors hold NUL-terminated strings and end with a null pointer.
pub fn execve(program: &std::ffi::CStr, argv: &[*const libc::c_char], envp: &[*const libc::c_char]) -> Errno {
    debug_assert!(
        argv.last().is_some_and(|end| end.is_null()) && envp.last().is_some_and(|end| end.is_null())
    );
    // SAFETY: both vectors end with a null pointer (above) and their strings are borrowed for the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    last_errno()
}

/// ioctl(2) with a pointer to plain data.
///
/// # Safety
/// `request` must take a pointer to a `T` (or to its leading part) and keep no reference to it.
pub unsafe fn ioctl<T>(fd: BorrowedFd<'_>, request: libc::c_ulong, data: &mut T) -> Result<i32, Errno> {
    // SAFETY: `data` is a live, exclusive reference; the request's type is our caller's promise.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, std::ptr::from_mut(data)) };
    Ok(check(libc::c_long::from(result))? as i32)
}

/// Takes a descriptor number that the kernel just returned into ownership.
pub fn own_fd(raw: libc::c_long) -> OwnedFd {
    // SAFETY: only called with a number that a system call returned as a new descriptor.
    unsafe { OwnedFd::from_raw_fd(raw as RawFd) }
}

/// seccomp(2) SECCOMP_SET_MODE_FILTER. Returns the listener when `flags` ask for one.
pub fn seccomp_set_filter(program: &[libc::sock_filter], flags: u64) -> Result<Option<OwnedFd>, Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let fprog = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: `fprog` names `program`, which the kernel copies during the call.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog) };
    let fd = check(result)?;
    Ok((flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0).then(|| own_fd(fd)))
}

/// Whether the kernel knows a seccomp action (SECCOMP_GET_ACTION_AVAIL).
pub fn seccomp_action_available(action: u32) -> bool {
    // SAFETY: `action` outlives the call, which only reads it.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) == 0 }
}

/// The number of threads of this process, by the link count of its task folder.
pub fn is_single_threaded() -> bool {
    rustix::fs::stat(c"/proc/self/task").is_ok_and(|stat| link_count(&stat) == 3)
}

/// connect(2) with raw address bytes.
pub fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: the address is a live buffer of that length; the kernel checks its content.
    let result = unsafe {
        libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t)
    };
    check(libc::c_long::from(result)).map(drop)
}

/// bind(2) with raw address bytes.
pub fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: the address is a live buffer of that length; the kernel checks its content.
    let result =
        unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t) };
    check(libc::c_long::from(result)).map(drop)
}

/// getsockopt(2) at SOL_SOCKET for an integer option.
pub fn socket_option(socket: BorrowedFd<'_>, option: i32) -> Result<i32, Errno> {
    let mut value: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: value and length outlive the call and agree.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    check(libc::c_long::from(result)).map(|_| value)
}

/// Overwrites this process' argument and environment strings with zeros: they are a copy of the launcher's, and
/// /proc/PID/cmdline shows them to every process of the sandbox.
pub fn wipe_argv_and_environment() {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open(c"/proc/self/stat", flags, rustix::fs::Mode::empty()) else { return };
    let mut stat = [0_u8; 2048];
    let Ok(length) = rustix::io::read(&file, &mut stat) else { return };
    for (start, end) in string_areas(&stat[..length]) {
        // SAFETY: the kernel says that the area from start to end is this process' own, mapped, writable stack memory that
        // holds the strings; the process is a copy (no memory shared) and uses neither afterwards.
        unsafe { std::ptr::write_bytes(start as *mut u8, 0, (end - start) as usize) };
    }
}

/// arg_start..arg_end and env_start..env_end (fields 48 to 51 of proc_pid_stat(5)), where they make sense.
fn string_areas(stat: &[u8]) -> Vec<(u64, u64)> {
    let Some(close) = stat.iter().rposition(|byte| *byte == b')') else { return Vec::new() };
    let text = String::from_utf8_lossy(&stat[close + 1..]).into_owned();
    // The field after ')' is number 3.
    let field =
        |n: usize| text.split_ascii_whitespace().nth(n - 3).and_then(|value| value.parse::<u64>().ok());
    [(48, 49), (50, 51)]
        .into_iter()
        .filter_map(|(start, end)| Some((field(start)?, field(end)?)))
        .filter(|(start, end)| *start != 0 && end > start && end - start < 1 << 24)
        .collect()
}

/// pidfd_open(2) with PIDFD_THREAD (Linux 6.9).
pub fn pidfd_open_thread(tid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, tid, libc::O_EXCL) };
    check(result).map(own_fd)
}

/// The signal that makes a worker thread's system call return EINTR.
const INTERRUPT: i32 = libc::SIGUSR1;

extern "C" fn on_interrupt(_signal: libc::c_int) {}

/// Installs an empty handler, without SA_RESTART, for the signal that interrupts worker threads.
pub fn handle_interrupts() -> Result<(), Errno> {
    // SAFETY: sigaction is plain data; the handler does nothing and so is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_interrupt as *const () as usize;
        check(libc::c_long::from(libc::sigaction(INTERRUPT, &raw const action, std::ptr::null_mut())))
            .map(drop)
    }
}

/// Lets this thread be interrupted.
pub fn unblock_interrupts() {
    // SAFETY: the set is plain data that outlives the call.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, INTERRUPT);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Keeps this thread from being interrupted any more.
pub fn block_interrupts() {
    block_signals(&[INTERRUPT]);
}

/// gettid(2).
pub fn thread_id() -> i32 {
    // SAFETY: cannot fail and touches no memory.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Interrupts a worker thread of this process.
pub fn interrupt_thread(thread: i32) {
    // SAFETY: no memory is involved; a thread that is gone is no error here.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, INTERRUPT) };
}

/// fcntl(2) F_DUPFD_CLOEXEC: a duplicate numbered `least` or above.
pub fn duplicate_above(fd: RawFd, least: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: no memory is involved; a number that is not open is refused.
    let result = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, least) };
    check(libc::c_long::from(result)).map(own_fd)
}

/// Blocks `signals` in this thread and returns the mask that was in force.
pub fn block_signals(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: the sets are plain data that outlive the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let mut old: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut old);
        old
    }
}

/// waitpid(2) without blocking: whether our child has ended (or is not ours any more).
pub fn has_ended(pid: i32) -> bool {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) != 0 }
}

/// Gives the calling thread a new network namespace.
pub fn unshare_network() -> Result<(), Errno> {
    // SAFETY: no memory and no descriptor is involved.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }.into()).map(drop)
}

/// The number of hard links; its type differs between architectures.
#[allow(clippy::unnecessary_cast, reason = "u32 on some architectures, u64 on others")]
pub fn link_count(stat: &rustix::fs::Stat) -> u64 {
    stat.st_nlink as u64
}
