//! The listener's ioctls (seccomp_unotify(2)).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::sys;

/// `_IOC` of asm-generic/ioctl.h for the type '!'.
const fn request(direction: u64, number: u64, size: usize) -> u64 {
    direction << 30 | (size as u64) << 16 | (b'!' as u64) << 8 | number
}
const WRITE: u64 = 1;
const READ_WRITE: u64 = 3;

/// `struct seccomp_notif`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct RawNotification {
    id: u64,
    pid: u32,
    flags: u32,
    nr: i32,
    arch: u32,
    instruction_pointer: u64,
    args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
#[derive(Debug, Default)]
struct RawResponse {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`.
#[repr(C)]
#[derive(Debug, Default)]
struct RawAddFd {
    id: u64,
    flags: u32,
    srcfd: u32,
    newfd: u32,
    newfd_flags: u32,
}

const RECEIVE: u64 = request(READ_WRITE, 0, size_of::<RawNotification>());
const SEND: u64 = request(READ_WRITE, 1, size_of::<RawResponse>());
const ID_VALID: u64 = request(WRITE, 2, size_of::<u64>());
const ADD_FD: u64 = request(WRITE, 3, size_of::<RawAddFd>());
const SET_FLAGS: u64 = request(WRITE, 4, size_of::<u64>());

/// SECCOMP_USER_NOTIF_FLAG_CONTINUE.
const CONTINUE: u32 = 1;
/// SECCOMP_ADDFD_FLAG_SEND.
const ADD_FD_SEND: u32 = 2;
/// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (Linux 6.6).
const SYNC_WAKE_UP: u64 = 1;
/// The kernel's own "restart as the signal handler's flags say"; it never reaches user space.
const ERESTARTSYS: i32 = 512;

/// A call that waits for its answer.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Names this call in the answer.
    pub id: u64,
    /// The calling thread, in our pid namespace.
    pub tid: i32,
    /// System call number.
    pub nr: i64,
    /// Arguments.
    pub args: [u64; 6],
}

impl Call {
    /// Argument `n` as an `int` (the kernel too ignores the upper half).
    pub fn int(&self, n: usize) -> i32 {
        self.args[n] as i32
    }
}

/// What a call gets.
#[derive(Debug)]
pub enum Answer {
    /// Its return value.
    Value(i64),
    /// A new descriptor, which becomes its return value.
    Fd {
        /// The descriptor.
        fd: OwnedFd,
        /// Close it at execve(2).
        cloexec: bool,
    },
    /// The kernel runs the call as it stands. Only for calls that can do no harm whatever their memory says by then.
    Continue,
    /// A worker thread will answer.
    Later,
}

/// The listening side.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Listener {
    /// Takes the listener of a filter.
    pub fn new(fd: OwnedFd) -> Self {
        // SAFETY: takes the flags by value in the pointer's place; older kernels refuse the request.
        let _older_kernel = unsafe { libc::ioctl(fd.as_raw_fd(), SET_FLAGS as _, SYNC_WAKE_UP) };
        Self { fd }
    }

    /// A second handle, for a worker thread.
    pub fn share(&self) -> std::io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()? })
    }

    /// Whether a call waits to be received.
    pub fn has_call(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&Timespec::default()))
            .is_ok_and(|_| fds[0].revents().contains(PollFlags::IN))
    }

    /// The next call; `None` when its process died meanwhile.
    pub fn receive(&self) -> Option<Call> {
        let mut raw = RawNotification::default();
        // SAFETY: SECCOMP_IOCTL_NOTIF_RECV takes a struct seccomp_notif, zeroed.
        unsafe { sys::ioctl(self.fd.as_fd(), RECEIVE, &mut raw) }.ok()?;
        Some(Call { id: raw.id, tid: raw.pid.cast_signed(), nr: i64::from(raw.nr), args: raw.args })
    }

    /// Whether the caller still waits. What was read about it before is only then about it.
    pub fn is_waiting(&self, id: u64) -> bool {
        let mut id = id;
        // SAFETY: SECCOMP_IOCTL_NOTIF_ID_VALID takes a u64.
        unsafe { sys::ioctl(self.fd.as_fd(), ID_VALID, &mut id) }.is_ok()
    }

    /// Answers. Fails when the caller is gone, or stopped waiting because of a signal.
    pub fn answer(&self, id: u64, answer: Result<Answer, Errno>) -> Result<(), Errno> {
        match answer {
            Ok(Answer::Value(val)) => self.send(RawResponse { id, val, ..RawResponse::default() }),
            Ok(Answer::Continue) => self.send(RawResponse { id, flags: CONTINUE, ..RawResponse::default() }),
            Ok(Answer::Fd { fd, cloexec }) => match self.add_fd(id, &fd, cloexec, ADD_FD_SEND) {
                Ok(_) => Ok(()),
                Err(Errno::NOENT) => Err(Errno::NOENT),
                // The caller's descriptor table is full.
                Err(errno) => self.error(id, errno.raw_os_error()),
            },
            Ok(Answer::Later) => Ok(()),
            Err(errno) => self.error(id, errno.raw_os_error()),
        }
    }

    /// Lets the call start again once the signal that interrupted it is handled.
    pub fn restart(&self, id: u64) -> Result<(), Errno> {
        self.error(id, ERESTARTSYS)
    }

    /// Puts a descriptor into the caller's table without answering; its number there.
    pub fn give_fd(&self, id: u64, fd: &OwnedFd, cloexec: bool) -> Result<i32, Errno> {
        self.add_fd(id, fd, cloexec, 0)
    }

    fn error(&self, id: u64, errno: i32) -> Result<(), Errno> {
        self.send(RawResponse { id, error: -errno, ..RawResponse::default() })
    }

    fn send(&self, mut response: RawResponse) -> Result<(), Errno> {
        // SAFETY: SECCOMP_IOCTL_NOTIF_SEND takes a struct seccomp_notif_resp.
        unsafe { sys::ioctl(self.fd.as_fd(), SEND, &mut response) }.map(drop)
    }

    fn add_fd(&self, id: u64, fd: &OwnedFd, cloexec: bool, flags: u32) -> Result<i32, Errno> {
        let mut raw = RawAddFd {
            id,
            flags,
            srcfd: fd.as_raw_fd().unsigned_abs(),
            newfd: 0,
            newfd_flags: if cloexec { libc::O_CLOEXEC.unsigned_abs() } else { 0 },
        };
        // SAFETY: SECCOMP_IOCTL_NOTIF_ADDFD takes a struct seccomp_notif_addfd.
        unsafe { sys::ioctl(self.fd.as_fd(), ADD_FD, &mut raw) }
    }
}
