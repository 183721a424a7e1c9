//! Making processes: clone3(2), fork(2), and vfork(2) with a stack of its own.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use super::{check, last_errno};

/// clone(2)'s namespace flags, as one set.
pub const NAMESPACE_FLAGS: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// `struct clone_args` of clone3(2), first version (kernel 5.3).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// What [`clone3`] returns on its two sides.
pub enum Cloned {
    /// In the new process.
    Child,
    /// In the caller: the new process' id and pidfd.
    Parent {
        /// Its id in the caller's pid namespace.
        pid: i32,
        /// A pidfd (close-on-exec).
        pidfd: OwnedFd,
    },
}

/// clone3(2) as a fork (no memory shared) into new namespaces.
///
/// # Safety
/// The child is a copy of a process of which only the calling thread exists. The caller must be the process' only thread,
/// or hold that no lock of another thread (the allocator's among them) is needed in the child.
///
/// # Errors
/// clone3(2)'s.
pub unsafe fn clone3(flags: u64) -> Result<Cloned, Errno> {
    let mut pidfd: RawFd = -1;
    let args = CloneArgs {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: if flags & libc::CLONE_PARENT as u64 == 0 { libc::SIGCHLD as u64 } else { 0 },
        ..CloneArgs::default()
    };
    // SAFETY: `args` is a valid clone_args without stack or TLS, which makes this a fork; the rest is our caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    let result = match check(result) {
        // Containers refuse clone3, whose flags their filters cannot see, and let clone through.
        Err(Errno::NOSYS | Errno::PERM) => {
            let flags = args.flags | args.exit_signal;
            // SAFETY: as above; with CLONE_PIDFD the third argument is where the pidfd goes (clone(2)).
            check(unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, &raw mut pidfd, 0_usize, 0_usize) })
        }
        result => result,
    };
    match result? {
        0 => Ok(Cloned::Child),
        pid => {
            // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid: pid as i32, pidfd })
        }
    }
}

/// Stack of a process made by [`vfork`], with a page that nothing may touch below it.
const VFORK_STACK: usize = 512 << 10;

/// Runs `body` in a new process that shares this one's memory and descriptor table, and waits until that process has called
/// execve(2) or ended. It ends with 127 if `body` returns.
///
/// # Safety
/// The caller must be the process' only thread. `body` must leave memory and descriptors as this process can go on with them.
///
/// # Errors
/// clone(2)'s or mmap(2)'s.
pub unsafe fn vfork(body: &mut dyn FnMut()) -> Result<i32, Errno> {
    extern "C" fn child(body: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `body` points at the reference below, which outlives this process' use of it: the parent waits.
        unsafe { (*body.cast::<&mut dyn FnMut()>())() };
        127
    }
    let stack = Stack::new()?;
    let mut body = body;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: the stack is ours and large enough, it grows down from its end; the rest is our caller's promise.
    let pid = unsafe { libc::clone(child, stack.top(), flags, (&raw mut body).cast()) };
    check(pid.into()).map(|pid| pid as i32)
}

struct Stack(*mut libc::c_void);

impl Stack {
    fn new() -> Result<Self, Errno> {
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a new mapping, anywhere.
        let base = unsafe {
            libc::mmap(std::ptr::null_mut(), VFORK_STACK, libc::PROT_READ | libc::PROT_WRITE, kind, -1, 0)
        };
        if base == libc::MAP_FAILED {
            return Err(last_errno());
        }
        let stack = Self(base);
        // SAFETY: the lowest page of our own mapping.
        check(unsafe { libc::mprotect(base, rustix::param::page_size(), libc::PROT_NONE) }.into())?;
        Ok(stack)
    }

    fn top(&self) -> *mut libc::c_void {
        self.0.wrapping_byte_add(VFORK_STACK)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nothing uses any more.
        unsafe { libc::munmap(self.0, VFORK_STACK) };
    }
}

/// fork(2) through the C library, whose handlers keep its allocator usable in the child of a process with threads.
///
/// # Safety
/// In the child only the calling thread exists: nothing may wait for another.
///
/// # Errors
/// fork(2)'s.
pub unsafe fn fork() -> Result<i32, Errno> {
    // SAFETY: fork has no memory preconditions; the rest is our caller's promise.
    Ok(check(libc::c_long::from(unsafe { libc::fork() }))? as i32)
}
