//! The sandbox' own network namespace.
//!
//! The kernel takes longer over it than over all the others together, so a second thread of pid 1 makes it, and brings its
//! loopback interface up, while the first builds the mounts; then pid 1 enters it.

use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::LinkNameSpaceType;

use crate::error::{Failure, Stage};
use crate::plan::LinuxPlan;
use crate::sys;

/// A network namespace in the making.
pub struct Network(JoinHandle<Result<OwnedFd, Failure>>);

/// Begins, if the plan asks for a network namespace.
///
/// # Errors
/// No second thread can be had.
pub fn begin(plan: &LinuxPlan) -> Result<Option<Network>, Failure> {
    if !plan.namespaces.iter().any(|name| name == NAME) {
        return Ok(None);
    }
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(make);
    match thread {
        Ok(thread) => Ok(Some(Network(thread))),
        Err(error) => Err(fail("thread")(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))),
    }
}

/// The namespace's name in a plan.
pub const NAME: &str = "net";

/// The thread makes five system calls.
const STACK: usize = 64 << 10;

fn fail(what: &'static str) -> impl FnOnce(Errno) -> Failure {
    Failure::at(Stage::Namespaces, what)
}

impl Network {
    /// Waits for the namespace, and enters it with this thread, the only one that is left then.
    pub fn enter(self) -> Result<(), Failure> {
        let namespace = self.0.join().map_err(|_panic| fail("network namespace")(Errno::IO))??;
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(fail("setns"))
    }
}

fn make() -> Result<OwnedFd, Failure> {
    sys::unshare_network().map_err(fail("unshare"))?;
    loopback_up()?;
    // The host's /proc is still in its place.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(c"/proc/thread-self/ns/net", flags, Mode::empty())
        .map_err(fail("/proc/thread-self/ns/net"))
}

/// Brings the loopback interface of a new network namespace up.
fn loopback_up() -> Result<(), Failure> {
    let fail = |errno| Failure::at(Stage::Network, "loopback")(errno);
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .map_err(fail)?;
    // SAFETY: ifreq is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS takes an ifreq.
    unsafe { sys::ioctl(socket.as_fd(), libc::SIOCSIFFLAGS, &mut request) }.map(drop).map_err(fail)
}
