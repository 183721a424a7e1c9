//! One attempt: its name, what it would do, what it needs to succeed outside, and its code.

use std::fmt;
use std::time::Duration;

use super::scene::Scene;
use super::verdict::{Tried, Verdict};

/// The promise that an attempt tries to break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Writes only in the roots.
    Files,
    /// Protected names stay as they are.
    Protected,
    /// Both, against the clock.
    Races,
    /// No other process is touched, none outlives the run.
    Processes,
    /// The kernel's other doors stay shut.
    Kernel,
    /// No network, no sockets of outsiders.
    Network,
    /// No shared memory, queues or semaphores of outsiders.
    Ipc,
    /// No more power than before.
    Identity,
    /// Nothing of ours is told.
    Leaks,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Files => "files",
            Self::Protected => "protected",
            Self::Races => "races",
            Self::Processes => "processes",
            Self::Kernel => "kernel",
            Self::Network => "network",
            Self::Ipc => "ipc",
            Self::Identity => "identity",
            Self::Leaks => "leaks",
        })
    }
}

/// Who decides whether an attempt got through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The stage, by what it finds changed. What the attempt claims may be true of a private copy only.
    Outside,
    /// The attempt itself: the kernel's answer is the whole effect.
    Inside,
}

/// What must be given, beside the absence of a sandbox, for the attempt to succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Root.
    Root,
    /// A part of the kernel that not every kernel has. Outside, "not implemented" and its kin then mean that it is missing.
    Facility,
    /// A file of /sys, /dev or a cgroup that not every machine has. Outside, "no such file" then means that it is missing.
    File,
    /// A number in a file below /proc/sys; root is not bound by it.
    Sysctl {
        /// Below /proc/sys.
        path: &'static str,
        /// The values at which it works for an ordinary user.
        lowest: i64,
        /// The highest such value.
        highest: i64,
    },
    /// User namespaces for this user.
    UserNamespaces,
}

/// The standard input of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// /dev/null.
    Null,
    /// The stage's outside folder, as a careless caller may leave it open.
    OutsideFolder,
    /// The stage's outside file, opened for reading only.
    OutsideFile,
    /// A terminal that is the controlling terminal of the launcher.
    Terminal,
}

/// An escape attempt.
#[derive(Clone, Copy)]
pub struct Attempt {
    /// Unique; lower case, digits and hyphens.
    pub name: &'static str,
    /// The promise that it tries to break.
    pub group: Group,
    /// What it does, for the table.
    pub what: &'static str,
    /// What it needs to succeed outside.
    pub needs: &'static [Need],
    /// Who decides.
    pub proof: Proof,
    /// Its standard input.
    pub stdin: Stdin,
    /// How long after the run the stage waits before it looks.
    pub settle: Duration,
    /// Whether, held, it may reach something of the sandbox' own instead and believe that it got through.
    pub may_believe: bool,
    /// Whether it may get through where namespaces are refused and only Landlock, seccomp and the broker stand
    /// (a gap that the run names).
    pub open_without_namespaces: bool,
    run: fn(&Scene) -> Tried,
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("name", &self.name)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl Attempt {
    const fn new(
        group: Group,
        proof: Proof,
        name: &'static str,
        what: &'static str,
        run: fn(&Scene) -> Tried,
    ) -> Self {
        Self {
            name,
            group,
            what,
            needs: &[],
            proof,
            stdin: Stdin::Null,
            settle: Duration::ZERO,
            may_believe: false,
            open_without_namespaces: false,
            run,
        }
    }

    /// An attempt that the stage judges.
    pub(super) const fn seen_outside(
        group: Group,
        name: &'static str,
        what: &'static str,
        run: fn(&Scene) -> Tried,
    ) -> Self {
        Self::new(group, Proof::Outside, name, what, run)
    }

    /// An attempt that the kernel's answer judges.
    pub(super) const fn seen_inside(
        group: Group,
        name: &'static str,
        what: &'static str,
        run: fn(&Scene) -> Tried,
    ) -> Self {
        Self::new(group, Proof::Inside, name, what, run)
    }

    /// Adds needs.
    pub(super) const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// Sets the standard input.
    pub(super) const fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// Lets the stage wait before it looks.
    pub(super) const fn settle(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }

    /// Says that it may reach something of the sandbox' own.
    pub(super) const fn may_believe(mut self) -> Self {
        self.may_believe = true;
        self
    }

    /// Marks a gap of the backend without namespaces.
    pub(super) const fn open_without_namespaces(mut self) -> Self {
        self.open_without_namespaces = true;
        self
    }

    /// Makes the attempt in this process.
    pub fn make(&self, scene: &Scene) -> Verdict {
        (self.run)(scene).into()
    }

    /// Why it could not succeed on this machine for this user even without a sandbox; `None` when it should.
    pub fn excuse(&self) -> Option<String> {
        self.needs.iter().find_map(Need::missing)
    }

    /// Why a refusal with this error number outside a sandbox says nothing: the kernel lacks the facility, or this process
    /// has less than its user should have, as in a container.
    pub fn excuse_for(&self, errno: i32) -> Option<String> {
        const MISSING: [i32; 7] = [
            libc::ENOSYS,
            libc::EAFNOSUPPORT,
            libc::EPROTONOSUPPORT,
            libc::ESOCKTNOSUPPORT,
            libc::ENODEV,
            libc::EOPNOTSUPP,
            // Two folders on two file systems.
            libc::EXDEV,
        ];
        let needs = |need| self.needs.contains(&need);
        let missing = needs(Need::Facility) && MISSING.contains(&errno);
        let no_file = needs(Need::File) && errno == libc::ENOENT;
        if missing || no_file {
            return Some(format!("this machine does not have it (error {errno})"));
        }
        let refused = [libc::EPERM, libc::EACCES, libc::EROFS].contains(&errno);
        if refused && needs(Need::Root) && !holds_every_capability() {
            return Some("root does not hold every capability here".to_owned());
        }
        let filtered = (refused || errno == libc::ENOSYS) && !self.needs.is_empty() && is_filtered();
        filtered.then(|| "a seccomp filter is in force here already".to_owned())
    }
}

/// A field of /proc/self/status.
fn status(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
}

fn holds_every_capability() -> bool {
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").ok();
    let last = last.and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or(0);
    let held = status("CapEff:").and_then(|set| u64::from_str_radix(&set, 16).ok()).unwrap_or(0);
    held.count_ones() == last + 1
}

fn is_filtered() -> bool {
    status("Seccomp:").is_some_and(|mode| mode != "0")
}

impl Need {
    fn missing(&self) -> Option<String> {
        let root = rustix::process::geteuid().is_root();
        match self {
            Self::Facility | Self::File => None,
            Self::Root => (!root).then(|| "only root could do it outside the sandbox".to_owned()),
            Self::UserNamespaces => {
                let refused = !root && crate::attack::tools::user_namespaces_are_refused();
                refused.then(|| "this user may not make user namespaces".to_owned())
            }
            Self::Sysctl { path, lowest, highest } => {
                let text = std::fs::read_to_string(format!("/proc/sys/{path}")).ok()?;
                let value: i64 = text.split_whitespace().next()?.parse().ok()?;
                let refused = !root && !(*lowest..=*highest).contains(&value);
                refused.then(|| format!("{path} is {value}, which refuses ordinary users"))
            }
        }
    }
}
