//! What is done right after clone(2): id maps, loopback, capabilities.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::{Failure, Stage};
use crate::facts::Identity;
use crate::sys;
use crate::wire::FromInit;

/// Maps the caller's own ids, from inside the new user namespace. (Root's ranges are written by the launcher.)
pub fn map_own_ids(identity: &Identity) -> Result<(), Failure> {
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("{0} {0} 1\n", identity.uid))?;
    write("/proc/self/gid_map", &format!("{0} {0} 1\n", identity.gid))
}

/// Maps all of root's ids to themselves, from outside.
pub fn map_ranges(pid: i32, identity: &Identity) -> Result<(), Failure> {
    let lines = |ranges: &[(u32, u32)]| {
        ranges.iter().map(|(first, count)| format!("{first} {first} {count}\n")).collect::<String>()
    };
    write(&format!("/proc/{pid}/uid_map"), &lines(&identity.uid_ranges))?;
    write(&format!("/proc/{pid}/gid_map"), &lines(&identity.gid_ranges))
}

fn write(path: &str, content: &str) -> Result<(), Failure> {
    std::fs::write(path, content)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        .map_err(Failure::at(Stage::Namespaces, path))
}

/// A network namespace in the making.
///
/// Making one takes the kernel longer than everything else together, so a helper process does it while pid 1 mounts.
pub struct NetworkHelper {
    pid: i32,
    ready: OwnedFd,
}

impl NetworkHelper {
    /// Starts the helper.
    pub fn start() -> Result<Self, Failure> {
        let fail = |errno| Failure::at(Stage::Network, "helper")(errno);
        let (ready, theirs) = crate::wire::pair().map_err(fail)?;
        // SAFETY: pid 1 has no other thread.
        let pid = unsafe { sys::fork() }.map_err(fail)?;
        if pid != 0 {
            return Ok(Self { pid, ready });
        }
        drop(ready);
        if let Err(failure) = make_network() {
            FromInit::Failed(failure).send(theirs.as_fd());
        } else {
            FromInit::Started.send(theirs.as_fd());
        }
        // Until pid 1 has joined the namespace and closed its end.
        let mut none = [0_u8];
        let _closed = rustix::io::read(&theirs, &mut none);
        sys::exit_now(0)
    }

    /// Moves pid 1 into the new network namespace.
    pub fn join(self) -> Result<(), Failure> {
        let fail = |errno| Failure::at(Stage::Network, "setns")(errno);
        match FromInit::receive(self.ready.as_fd(), rustix::net::RecvFlags::empty()).map_err(fail)? {
            Some(FromInit::Started) => {}
            Some(FromInit::Failed(failure)) => return Err(failure),
            _ => return Err(fail(Errno::CHILD)),
        }
        let pid = rustix::process::Pid::from_raw(self.pid).ok_or_else(|| fail(Errno::SRCH))?;
        let helper = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).map_err(fail)?;
        sys::join_network(helper.as_fd()).map_err(fail)?;
        drop(self.ready);
        sys::wait_pid(self.pid).map(drop).map_err(fail)
    }
}

fn make_network() -> Result<(), Failure> {
    // setns(2) asks whether pid 1 may look into the helper, which is refused for a process that cannot be dumped. Nobody
    // else is in this pid namespace yet.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
        .map_err(Failure::at(Stage::Network, "PR_SET_DUMPABLE"))?;
    sys::unshare_network().map_err(Failure::at(Stage::Namespaces, "unshare CLONE_NEWNET"))?;
    loopback_up()
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
    unsafe { sys::ioctl(socket.as_fd(), libc::SIOCSIFFLAGS as u64, &mut request) }.map(drop).map_err(fail)
}

/// What pid 1 keeps: it reads the calls of the command's processes out of their memory, and, for root, does for them what
/// root's override of file permissions would have done outside.
pub fn keep_broker_capabilities(root: bool) -> Result<(), Failure> {
    let mut kept = CapabilitySet::SYS_PTRACE;
    if root {
        kept |= CapabilitySet::CHOWN
            | CapabilitySet::DAC_OVERRIDE
            | CapabilitySet::DAC_READ_SEARCH
            | CapabilitySet::FOWNER
            | CapabilitySet::FSETID;
    }
    empty_bounding_set().map_err(Failure::at(Stage::Capabilities, "bounding set"))?;
    set(kept)
}

/// The command holds none.
pub fn drop_all_capabilities() -> Result<(), Failure> {
    set(CapabilitySet::empty())
}

fn set(kept: CapabilitySet) -> Result<(), Failure> {
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(Failure::at(Stage::Capabilities, "capset"))
}

/// With an empty bounding set no execve(2) gives capabilities back, not even to uid 0.
fn empty_bounding_set() -> Result<(), Errno> {
    for number in 0..64 {
        // SAFETY: prctl with integer arguments only.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
        if result == -1 {
            // Past the last capability that this kernel knows.
            let errno = std::io::Error::last_os_error().raw_os_error();
            return if errno == Some(libc::EINVAL) { Ok(()) } else { Err(Errno::PERM) };
        }
    }
    Ok(())
}
