//! What is done right after clone(2): id maps, capabilities.

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::error::{Failure, Stage};
use crate::facts::Identity;

/// Maps the caller's own ids, from inside the new user namespace. (Root's ranges are written by the launcher.)
pub fn map_own_ids(identity: &Identity) -> Result<(), Failure> {
    let own = "/proc/self";
    write(own, "setgroups", "deny")?;
    write(own, "uid_map", &format!("{0} {0} 1\n", identity.uid))?;
    write(own, "gid_map", &format!("{0} {0} 1\n", identity.gid))
}

/// Maps all of root's ids to themselves, from outside.
pub fn map_ranges(pid: i32, identity: &Identity) -> Result<(), Failure> {
    let lines = |ranges: &[(u32, u32)]| {
        ranges.iter().map(|(first, count)| format!("{first} {first} {count}\n")).collect::<String>()
    };
    let process = format!("/proc/{pid}");
    write(&process, "uid_map", &lines(&identity.uid_ranges))?;
    write(&process, "gid_map", &lines(&identity.gid_ranges))
}

fn write(process: &str, file: &str, content: &str) -> Result<(), Failure> {
    let path = format!("{process}/{file}");
    let fail = |errno| Failure::at(Stage::Namespaces, &path)(errno);
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
    let fd = rustix::fs::open(path.as_str(), flags, rustix::fs::Mode::empty()).map_err(fail)?;
    rustix::io::write(&fd, content.as_bytes()).map(drop).map_err(fail)
}

/// What pid 1 keeps: it reads the calls of the command's processes out of their memory, and, for root, does for them what
/// root's override of file permissions would have done outside.
pub fn keep_broker_capabilities(root: bool) -> Result<(), Failure> {
    empty_bounding_set()?;
    let mut kept = CapabilitySet::SYS_PTRACE;
    if root {
        kept |= CapabilitySet::CHOWN
            | CapabilitySet::DAC_OVERRIDE
            | CapabilitySet::DAC_READ_SEARCH
            | CapabilitySet::FOWNER
            | CapabilitySet::FSETID;
    }
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
pub fn empty_bounding_set() -> Result<(), Failure> {
    for number in 0..64 {
        // SAFETY: prctl with integer arguments only.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
        if result == -1 {
            // Past the last capability that this kernel knows.
            let errno = std::io::Error::last_os_error().raw_os_error();
            let past_the_last = errno == Some(libc::EINVAL);
            let fail = Failure::at(Stage::Capabilities, "bounding set");
            return if past_the_last { Ok(()) } else { Err(fail(Errno::PERM)) };
        }
    }
    Ok(())
}
