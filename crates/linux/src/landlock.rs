//! Landlock: the second wall behind the mounts and the broker.
//!
//! Two domains, one inside the other. The *broker's* lets writes happen in the roots and private folders only. The
//! *command's* allows no write to any named file at all, but for the harmless devices: whatever it may write, the broker
//! opens for it. So even a call that the broker lets continue can neither create nor open anything for writing.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};

/// The newest ABI that this program makes use of.
const NEWEST: ABI = ABI::V6;

/// The kernel's Landlock ABI version; 0 where Landlock is missing or off.
pub fn abi() -> u32 {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no attributes and only returns a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

/// Every right to change something, but for two. ioctl on devices: terminals need it. Truncation: a handled truncation right
/// makes the kernel walk the path of every file that is opened, for reading too; and no call that truncates without the
/// right to write is ever let through (truncate(2), O_TRUNC without write access and openat2(2) are not).
fn write_rights() -> BitFlags<AccessFs> {
    AccessFs::from_write(NEWEST) & !(AccessFs::IoctlDev | AccessFs::Truncate)
}

fn ruleset() -> Result<Ruleset, RulesetError> {
    Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(write_rights())
}

/// The broker's domain: `folders` may be written below, and `devices` opened for writing, nothing else. The command's
/// domain lies inside this one, so what it shall have must be here too.
pub fn broker(folders: &[BorrowedFd<'_>], devices: &[&Path]) -> Result<RulesetCreated, RulesetError> {
    let mut rules = with_devices(ruleset()?.create()?, devices)?;
    for folder in folders {
        rules = rules.add_rule(PathBeneath::new(*folder, write_rights()))?;
    }
    Ok(rules)
}

/// The command's domain: `devices` may be opened for writing; `deny_read` (fallback backend only) lists what may be read
/// instead of everything. Signals and abstract sockets stay inside where the kernel can do that.
pub fn command(
    devices: &[&Path],
    read_only: Option<&[std::path::PathBuf]>,
) -> Result<RulesetCreated, RulesetError> {
    let mut rules = ruleset()?.scope(Scope::AbstractUnixSocket)?.scope(Scope::Signal)?;
    if read_only.is_some() {
        rules = rules.handle_access(AccessFs::ReadFile | AccessFs::ReadDir)?;
    }
    let mut rules = with_devices(rules.create()?, devices)?;
    for path in read_only.unwrap_or_default() {
        if let Ok(fd) = PathFd::new(path) {
            let folder = rustix::fs::fstat(fd.as_fd())
                .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir());
            let rights =
                if folder { AccessFs::ReadFile | AccessFs::ReadDir } else { AccessFs::ReadFile.into() };
            rules = rules.add_rule(PathBeneath::new(fd, rights))?;
        }
    }
    Ok(rules)
}

fn with_devices(mut rules: RulesetCreated, devices: &[&Path]) -> Result<RulesetCreated, RulesetError> {
    for device in devices {
        if let Ok(fd) = PathFd::new(device) {
            rules = rules.add_rule(PathBeneath::new(fd, AccessFs::WriteFile))?;
        }
    }
    Ok(rules)
}
