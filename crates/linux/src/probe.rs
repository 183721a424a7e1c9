//! Facts, looked up: nothing here changes the machine.

use std::path::{Path, PathBuf};

use codex_sandbox_policy::Resolved;
use codex_sandbox_policy::names::ProtectedNames;
use rustix::fs::{FileType, OFlags};

use crate::facts::{Cgroups, Facts, Identity, UserNamespaces, View};
use crate::sys;

impl Facts {
    /// Looks the machine up in a few cheap system calls. User namespaces stay [`UserNamespaces::Untested`]: a run finds out
    /// by trying, and [`Facts::test_user_namespaces`] by a trial process.
    pub fn gather() -> Self {
        let uname = rustix::system::uname();
        let identity = identity();
        Self {
            kernel: uname.release().to_string_lossy().into_owned(),
            user_namespaces: UserNamespaces::Untested,
            landlock_abi: crate::landlock::abi(),
            seccomp_notify: sys::seccomp_action_available(libc::SECCOMP_RET_USER_NOTIF)
                && at_least(&uname.release().to_string_lossy(), (5, 14)),
            nested: is_nested(),
            cgroups: Cgroups::None { why: "not looked up".to_owned() },
            identity,
        }
    }

    /// Looks up whether a cgroup is delegated to us; only limits need it.
    #[must_use]
    pub fn with_cgroups(mut self) -> Self {
        self.cgroups = crate::cgroup::find();
        self
    }

    /// Tries user namespaces in a child process that ends at once.
    #[must_use]
    pub fn test_user_namespaces(mut self) -> Self {
        self.user_namespaces = match crate::native::try_namespaces() {
            Ok(()) => UserNamespaces::Available,
            Err(why) => UserNamespaces::Refused(why),
        };
        self
    }
}

/// Whether `release` ("6.1.0-13-amd64") is at least `wanted`.
pub fn at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    found >= wanted
}

/// Inside a sandbox of ours a second listener is refused; our own filter answers EPERM to a request for one with a bad
/// pointer, where the kernel itself answers EFAULT.
fn is_nested() -> bool {
    // A null program pointer: the flags are checked by our filter before the kernel looks at the pointer.
    // SAFETY: the kernel only reads from the pointer and fails with EFAULT.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            std::ptr::null::<libc::sock_fprog>(),
        )
    };
    result == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

fn identity() -> Identity {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let ranges = |path| if uid == 0 { read_id_map(path) } else { Vec::new() };
    Identity { uid, gid, uid_ranges: ranges("/proc/self/uid_map"), gid_ranges: ranges("/proc/self/gid_map") }
}

/// The inside ids of a uid_map or gid_map: every one that exists in our own namespace.
fn read_id_map(path: &str) -> Vec<(u32, u32)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().map(str::parse::<u32>);
            let first = fields.next()?.ok()?;
            let count = fields.nth(1)?.ok()?;
            Some((first, count))
        })
        .collect()
}

impl View {
    /// Looks up the paths that matter for a run of `policy`.
    pub fn gather(policy: &Resolved) -> Self {
        Self {
            protected: protected(policy),
            deny_read: deny_read(policy),
            temp_dirs: temp_dirs(policy),
            caches: caches(policy),
            overlay_name: overlay_name(policy),
            overlay_possible: policy.temp.private.as_deref().is_some_and(overlay_possible),
            terminal: terminal(),
        }
    }
}

/// Protected names at the top of each root that exist as something a mount can cover.
fn protected(policy: &Resolved) -> Vec<PathBuf> {
    let names = ProtectedNames::new(policy.protected.iter().cloned());
    let commit = policy.git == codex_sandbox_policy::GitMode::Commit;
    let mut found = Vec::new();
    for root in &policy.roots {
        for name in names.iter().filter(|name| !(commit && name.eq_ignore_ascii_case(".git"))) {
            let path = root.path.join(name);
            let kind = std::fs::symlink_metadata(&path).map(|data| data.file_type());
            if kind.is_ok_and(|kind| kind.is_dir() || kind.is_file()) {
                found.push(path);
            }
        }
    }
    found
}

fn deny_read(policy: &Resolved) -> Vec<(PathBuf, bool)> {
    let existing = policy.deny_read.iter().filter_map(|path| {
        let data = std::fs::symlink_metadata(path).ok()?;
        Some((path.clone(), data.is_dir()))
    });
    existing.collect()
}

fn temp_dirs(policy: &Resolved) -> Vec<(PathBuf, bool)> {
    if !policy.temp.overlay {
        return Vec::new();
    }
    let candidates = ["/tmp", "/var/tmp"].map(PathBuf::from);
    // A link (`/var/tmp -> /tmp`) is covered with its target; links on the way (/var) too.
    let own = candidates.into_iter().filter(|dir| std::fs::canonicalize(dir).is_ok_and(|real| real == *dir));
    own.map(|dir| {
        let filled = !is_empty(&dir);
        (dir, filled)
    })
    .collect()
}

/// npm's cache, where it has been used: `npm ci --offline` reads it, and every installation writes into it. An overlay is a
/// tenth of a run's start, so only roots that npm would work in get it.
fn caches(policy: &Resolved) -> Vec<PathBuf> {
    if !policy.roots.iter().any(|root| root.path.join("package.json").exists()) {
        return Vec::new();
    }
    let Some(home) = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute()) else {
        return Vec::new();
    };
    let folder = home.join(".npm");
    let own = rustix::fs::lstat(&folder).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode).is_dir()
            && stat.st_uid == user_id()
            && folder.join("_cacache").is_dir()
    });
    own.then(|| std::fs::canonicalize(folder).ok()).flatten().into_iter().collect()
}

/// Looks at the first entries only: a host's /tmp may hold thousands.
fn is_empty(dir: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = rustix::fs::open(dir, flags, rustix::fs::Mode::empty()) else { return false };
    let mut buffer = [std::mem::MaybeUninit::uninit(); 512];
    let mut entries = rustix::fs::RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        if !entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")) {
            return false;
        }
    }
    true
}

/// The name of the one folder below the workspace's; the first, should two first runs at once have made two.
fn overlay_name(policy: &Resolved) -> String {
    let folder = crate::plan::overlay_folder(policy);
    let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.len() == 2 * NAME_BYTES).min().unwrap_or_else(unguessable)
}

/// Random bytes in a folder's name.
const NAME_BYTES: usize = 16;

fn unguessable() -> String {
    let mut bytes = [0_u8; NAME_BYTES];
    // Without a generator the name is no secret, and nothing else depends on it.
    let _none = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether overlayfs can keep its upper folder where `path`, or its nearest existing parent, lies.
fn overlay_possible(path: &Path) -> bool {
    // statfs(2): ext2/3/4, xfs, btrfs, tmpfs, f2fs, bcachefs.
    const GOOD: [rustix::fs::FsWord; 6] =
        [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0xf2f5_2010, 0xca45_1a4e];
    path.ancestors()
        .find_map(|dir| rustix::fs::statfs(dir).ok())
        .is_some_and(|fs| GOOD.contains(&(fs.f_type & 0xffff_ffff)))
}

/// The path of the terminal behind one of the standard descriptors.
fn terminal() -> Option<PathBuf> {
    let stdio = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let name = stdio.into_iter().find_map(|fd| {
        let stat = rustix::fs::fstat(fd).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice {
            return None;
        }
        rustix::termios::ttyname(fd, Vec::new()).ok()
    })?;
    let name: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(name.into_bytes());
    Some(name.into())
}

/// The effective user id.
pub fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::at_least;

    #[test]
    fn releases_compare_by_number() {
        assert!(at_least("6.1.0-13-amd64", (5, 14)));
        assert!(at_least("5.14", (5, 14)));
        assert!(!at_least("5.4.0-200-generic", (5, 14)));
        assert!(!at_least("", (5, 14)));
    }
}
