//! What several attempts need: paths as C strings, descriptors, children, memory shared with a racing thread.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::call::{own, sys};
use super::scene::Scene;
use super::verdict::{Step, Stop, Tried};

/// AT_FDCWD.
pub(super) const CWD: i32 = libc::AT_FDCWD;
/// What attempts write.
pub(super) const MARK: &[u8] = b"escaped\n";

/// A path for a system call. Paths of a scene hold no NUL, for the kernel gave them.
pub(super) fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

/// openat(2).
pub(super) fn open_at(dir: i32, path: &Path, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    sys!(libc::SYS_openat, dir, &c(path), flags | libc::O_CLOEXEC, mode).map(own)
}

/// openat(2) from the working directory, for files that exist.
pub(super) fn open(path: &Path, flags: i32) -> io::Result<OwnedFd> {
    open_at(CWD, path, flags, 0)
}

/// A lawful descriptor of something of the stage's, for reading.
pub(super) fn open_for_reading(path: &Path) -> Result<OwnedFd, Stop> {
    open(path, libc::O_RDONLY).ready(path.display())
}

/// A lawful O_PATH descriptor.
pub(super) fn open_path(path: &Path) -> Result<OwnedFd, Stop> {
    open(path, libc::O_PATH).ready(path.display())
}

/// Writes [`MARK`].
pub(super) fn mark(fd: &OwnedFd) -> Tried {
    sys!(libc::SYS_write, fd, MARK, MARK.len()).attack("write")?;
    Ok("wrote".into())
}

/// Opens for writing, and writes.
pub(super) fn open_and_mark(path: &Path, flags: i32) -> Tried {
    let fd = open(path, flags).attack(format_args!("open {}", path.display()))?;
    mark(&fd)
}

/// One call that must be refused.
pub(super) fn done(result: io::Result<i64>, what: &str) -> Tried {
    result.attack(what).map(|_| format!("{what} worked"))
}

/// A call whose arguments are bad on purpose. The kernel checks the caller's right to make it first; an answer in `reached` is
/// a complaint about the arguments, which nobody hears who lacks that right.
pub(super) fn probe(result: io::Result<i64>, reached: &[i32], what: &str) -> Tried {
    match result {
        Err(error) if error.raw_os_error().is_some_and(|errno| reached.contains(&errno)) => {
            Ok(format!("{what}: the right to call was there, only the arguments were bad ({error})"))
        }
        result => done(result, what),
    }
}

/// `sockaddr_un` of a path; a leading NUL makes it abstract.
pub(super) fn unix_address(name: &OsStr) -> Vec<u8> {
    let mut address = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    address.extend(name.as_bytes());
    if !name.as_bytes().starts_with(&[0]) {
        address.push(0);
    }
    address
}

/// Runs `job` in a forked child and returns its wait status. An attempt's process has one thread when it calls this.
pub(super) fn in_child(job: impl FnOnce() -> i32) -> io::Result<i32> {
    // SAFETY: attempts run in a process of their own with one thread (see `run_inside`), so the child is whole.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = job();
            // SAFETY: _exit does not return and runs no destructor of the parent's.
            unsafe { libc::_exit(code) }
        }
        pid => wait_for(pid),
    }
}

/// waitpid(2).
pub(super) fn wait_for(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
        Ok(status)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Runs `step` in a child, so that its effects on the process end with it.
pub(super) fn in_child_done(what: &str, step: impl FnOnce() -> io::Result<i64>) -> Tried {
    let status =
        in_child(|| step().map_or_else(|error| error.raw_os_error().unwrap_or(255), |_| 0)).ready("fork")?;
    match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
        (true, 0) => Ok(format!("{what} worked")),
        (true, errno) => done(Err(io::Error::from_raw_os_error(errno)), what),
        (false, _) => {
            Err(Stop::denied(format!("{what}: the process died by signal {}", libc::WTERMSIG(status))))
        }
    }
}

/// Whether this process may not make a user namespace.
pub(super) fn user_namespaces_are_refused() -> bool {
    // SAFETY: the child makes two calls that are async-signal-safe.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(libc::unshare(libc::CLONE_NEWUSER) != 0)) }
    }
    pid == -1 || wait_for(pid).map_or(true, |status| status != 0)
}

/// Whether the outside file reads otherwise than the stage left it; for attempts that cannot see their effect directly.
pub(super) fn file_changed(scene: &Scene) -> bool {
    fs::read(scene.file()).is_ok_and(|content| content != b"outside\n")
}

/// The bounds of a race: time and number of tries.
pub(super) struct Bounds {
    end: Instant,
    left: u32,
}

impl Bounds {
    /// A third of a second, twenty thousand tries.
    pub(super) fn new() -> Self {
        Self { end: Instant::now() + Duration::from_millis(300), left: 20_000 }
    }

    /// Whether to try once more.
    pub(super) fn go_on(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left > 0 && Instant::now() < self.end
    }
}
