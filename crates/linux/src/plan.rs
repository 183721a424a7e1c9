//! Policy → Linux plan: plain data, the same for run, plan, explain and doctor. Pure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use codex_sandbox_policy::rules::PathRules;
use codex_sandbox_policy::{Mode, Resolved};
use serde::{Deserialize, Serialize};

use crate::facts::{Cgroups, Facts, Identity, UserNamespaces, View};

/// What carries the plan out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Namespaces, mounts, Landlock, seccomp and the broker.
    Native,
    /// Landlock, seccomp and the broker, without namespaces.
    Landlock,
}

/// How much of the policy is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// All of it.
    Full,
    /// Less; the gaps say what.
    Partial,
}

/// Something that is weaker than the policy asks, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Stable name.
    pub code: String,
    /// What is weaker.
    pub what: String,
    /// What the user can change.
    pub remedy: String,
}

/// One step of the mount plan, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Mount {
    /// A private overlay: reads see `at`, writes land in `upper`.
    Overlay {
        /// The folder that is covered.
        at: PathBuf,
        /// Where writes land.
        upper: PathBuf,
        /// Overlayfs' work folder.
        work: PathBuf,
    },
    /// A private folder in the place of `at`, whose own content is then not visible.
    Replace {
        /// The folder that is covered.
        at: PathBuf,
        /// The private folder.
        with: PathBuf,
    },
    /// The whole tree becomes read-only, without setuid and devices.
    ReadOnlyTree,
    /// A new /dev with the harmless devices, a pseudo terminal instance of its own and an empty /dev/shm.
    Devices {
        /// The caller's terminal, visible as /dev/console.
        terminal: Option<PathBuf>,
    },
    /// A /proc of the new pid namespace, read-only.
    Proc,
    /// A folder bound back writable.
    Writable {
        /// The folder.
        path: PathBuf,
    },
    /// A protected name that exists at the top of a root, bound read-only over itself.
    Protect {
        /// The path.
        path: PathBuf,
    },
    /// A path covered by something empty that nobody may open.
    Hide {
        /// The path.
        path: PathBuf,
        /// Whether it is a folder.
        folder: bool,
    },
}

/// How a limit is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Means {
    /// For the whole tree, by a cgroup below this folder.
    Cgroup {
        /// The delegated folder.
        dir: PathBuf,
    },
    /// By setrlimit(2): memory for each process, processes for the user inside the sandbox.
    Rlimit,
}

/// A limit and its means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Bytes, or a count.
    pub value: u64,
    /// How.
    #[serde(flatten)]
    pub means: Means,
}

/// Limits of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsPlan {
    /// Memory in bytes.
    pub memory: Option<Limit>,
    /// Processes and threads.
    pub processes: Option<Limit>,
    /// Wall clock; the sandbox' pid 1 kills the whole tree.
    pub wall_clock: Option<Duration>,
}

/// Everything that a run on Linux does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinuxPlan {
    /// What carries it out.
    pub backend: Backend,
    /// How much is enforced.
    pub strength: Strength,
    /// What is weaker, when not all is.
    pub gaps: Vec<Gap>,
    /// What behaves otherwise than the user may expect, without being weaker; one line each.
    pub notices: Vec<String>,
    /// The policy with its paths resolved: the broker's rules come from it.
    pub policy: Resolved,
    /// Namespaces that are new.
    pub namespaces: Vec<String>,
    /// Who runs inside.
    pub identity: Identity,
    /// Mounts, in order.
    pub mounts: Vec<Mount>,
    /// Folders that must exist (mode 0700, but for upper folders of overlays: 01777) before the run.
    pub private_dirs: Vec<PathBuf>,
    /// The file that brokers lock around each call that changes something, where there are roots: runs may share one.
    pub lock: Option<PathBuf>,
    /// Folders that belong to the sandbox alone.
    pub private: Vec<PathBuf>,
    /// Landlock ABI in use; 0 is none.
    pub landlock_abi: u32,
    /// Environment variables that are set.
    pub environment: Vec<(String, PathBuf)>,
    /// Environment variables that are set where the caller has none: caches that tools would keep in the home folder.
    #[serde(default)]
    pub defaults: Vec<(String, PathBuf)>,
    /// Limits.
    pub limits: LimitsPlan,
    /// Refuse to run when something turns out weaker than planned (a /proc that cannot be replaced).
    #[serde(default)]
    pub strict: bool,
}

/// The devices that a command may open for writing.
pub const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What is weaker where the host's /proc stays visible; only the run finds that out.
pub fn host_proc_gap() -> Gap {
    Gap {
        code: "host-proc".to_owned(),
        what: "parts of /proc are covered here (as containers do), so the kernel refuses a new one: the command sees, and \
               cannot touch, the processes outside"
            .to_owned(),
        remedy: "start the container with an uncovered /proc (docker: --security-opt systempaths=unconfined)".to_owned(),
    }
}

impl LinuxPlan {
    /// The path rules of this plan.
    pub fn rules(&self) -> PathRules {
        self.policy.rules(&self.private)
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing that could hold a command is there.
    #[error("no way to enforce the policy on this kernel ({kernel}): {why}")]
    NothingToEnforceWith {
        /// Kernel release.
        kernel: String,
        /// What is missing.
        why: String,
    },
    /// The policy asks for no sandbox; there is nothing to plan.
    #[error("danger-full-access has no sandbox to plan")]
    NoSandbox,
}

/// Makes the plan.
///
/// # Errors
/// [`PlanError`] when nothing on this machine can enforce the policy, or the policy wants no sandbox.
pub fn plan(policy: &Resolved, facts: &Facts, view: &View) -> Result<LinuxPlan, PlanError> {
    if policy.mode == Mode::DangerFullAccess {
        return Err(PlanError::NoSandbox);
    }
    let backend = backend(facts)?;
    let native = backend == Backend::Native;
    let overlays = if native { overlays(policy, view) } else { Vec::new() };
    let gaps = gaps(policy, facts, backend);
    let private_dirs = private_dirs(policy, &overlays);
    let environment = environment(policy, &overlays);
    let defaults = defaults(policy, &environment, &overlays);
    // A private /tmp serves as TMPDIR too. A folder that exists outside could be led to by a link from a root.
    let mut resolved = policy.clone();
    if has_private_tmp(&overlays) {
        resolved.temp.private = None;
    }
    let notices = notices(policy, view, &overlays);
    // What lies below a private /tmp exists outside as well, and a link from a root could lead there: its place is a secret.
    let hidden = overlays_to_hide(policy, &overlays);
    resolved.deny_read.extend(hidden.clone());
    let policy = &resolved;
    Ok(LinuxPlan {
        backend,
        strength: if gaps.is_empty() { Strength::Full } else { Strength::Partial },
        gaps,
        notices,
        namespaces: if native { namespaces(policy) } else { Vec::new() },
        identity: facts.identity.clone(),
        private_dirs,
        lock: (!policy.roots.is_empty()).then(|| policy.state.join("lock")),
        private: private(native, &overlays),
        mounts: if native { mounts(policy, view, overlays, hidden) } else { Vec::new() },
        landlock_abi: facts.landlock_abi,
        defaults,
        environment,
        limits: limits(policy, facts),
        policy: policy.clone(),
        strict: false,
    })
}

fn backend(facts: &Facts) -> Result<Backend, PlanError> {
    let nothing =
        |why: &str| PlanError::NothingToEnforceWith { kernel: facts.kernel.clone(), why: why.to_owned() };
    if facts.nested {
        return Err(nothing(
            "this process already runs inside a sandbox with a seccomp listener, and there can be only one",
        ));
    }
    if !facts.seccomp_notify {
        return Err(nothing(
            "seccomp user notification is missing (Linux 5.14 and CONFIG_SECCOMP_FILTER have it)",
        ));
    }
    match &facts.user_namespaces {
        UserNamespaces::Untested | UserNamespaces::Available => Ok(Backend::Native),
        UserNamespaces::Refused(_) if facts.landlock_abi > 0 => Ok(Backend::Landlock),
        UserNamespaces::Refused(why) => {
            Err(nothing(&format!("user namespaces are refused ({why}) and Landlock is missing")))
        }
    }
}

fn namespaces(policy: &Resolved) -> Vec<String> {
    let mut names = vec!["user", "mount", "pid", "ipc", "uts"];
    if !policy.network_access {
        names.push("net");
    }
    names.into_iter().map(str::to_owned).collect()
}

/// Overlays of /tmp and /var/tmp, or private folders in their place where overlayfs cannot work.
fn overlays(policy: &Resolved, view: &View) -> Vec<Mount> {
    let (Some(folder), true) = (overlay_folder(policy), policy.temp.overlay) else {
        return Vec::new();
    };
    let base = folder.join(&view.overlay_name);
    let open = |at: &Path| policy.roots.iter().any(|root| at.starts_with(&root.path));
    let own = |at: &Path| {
        base.join(at.strip_prefix("/").unwrap_or(at).as_os_str().to_string_lossy().replace('/', "-"))
    };
    let overlay = |at: &Path| Mount::Overlay {
        at: at.into(),
        upper: own(at).join("upper"),
        work: own(at).join("work"),
    };
    // Overlayfs refuses an upper folder inside its own lower folder.
    let possible = |at: &Path| view.overlay_possible && !base.starts_with(at);
    let temp = view.temp_dirs.iter().map(|(at, _)| at).filter(|at| !open(at)).map(|at| {
        if possible(at) {
            overlay(at)
        } else {
            Mount::Replace { at: at.clone(), with: own(at).join("upper") }
        }
    });
    // Without an overlay such a folder stays as it is: readable.
    let ruled =
        |at: &Path| policy.deny_read.iter().any(|denied| denied.starts_with(at) || at.starts_with(denied));
    let in_temp = |at: &Path| view.temp_dirs.iter().any(|(temp, _)| at.starts_with(temp));
    let caches = view.caches.iter().filter(|at| possible(at) && !open(at) && !ruled(at) && !in_temp(at));
    temp.chain(caches.map(|at| overlay(at))).collect()
}

/// Beside the private temporary folder: `<state>/overlay/<workspace>`. The overlays are in a folder of it whose name is
/// random.
pub(crate) fn overlay_folder(policy: &Resolved) -> Option<PathBuf> {
    Some(all_overlays(policy)?.join(policy.temp.private.as_ref()?.file_name()?))
}

fn all_overlays(policy: &Resolved) -> Option<PathBuf> {
    Some(policy.temp.private.as_ref()?.parent()?.parent()?.join("overlay"))
}

/// The folder of all overlays, where the command could see it.
fn overlays_to_hide(policy: &Resolved, overlays: &[Mount]) -> Option<PathBuf> {
    let folder = all_overlays(policy)?;
    let covered = |mount: &Mount| match mount {
        Mount::Overlay { at, .. } | Mount::Replace { at, .. } => folder.starts_with(at),
        _ => false,
    };
    (!overlays.is_empty() && !overlays.iter().any(covered)).then_some(folder)
}

fn private_dirs(policy: &Resolved, overlays: &[Mount]) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = policy.temp.private.iter().cloned().collect();
    for mount in overlays {
        match mount {
            Mount::Overlay { upper, work, .. } => dirs.extend([upper.clone(), work.clone()]),
            Mount::Replace { with, .. } => dirs.push(with.clone()),
            _ => {}
        }
    }
    dirs
}

fn private(native: bool, overlays: &[Mount]) -> Vec<PathBuf> {
    let mut private = Vec::new();
    if native {
        private.push(PathBuf::from("/dev/shm"));
    }
    private.extend(overlays.iter().filter_map(|mount| match mount {
        Mount::Overlay { at, .. } | Mount::Replace { at, .. } => Some(at.clone()),
        _ => None,
    }));
    private
}

fn mounts(policy: &Resolved, view: &View, overlays: Vec<Mount>, hidden: Option<PathBuf>) -> Vec<Mount> {
    let mut mounts = overlays;
    mounts.push(Mount::ReadOnlyTree);
    mounts.push(Mount::Devices { terminal: view.terminal.clone() });
    mounts.push(Mount::Proc);
    let inside_root = |path: &Path| policy.roots.iter().any(|root| path.starts_with(&root.path));
    let mut over: Vec<Mount> =
        policy.roots.iter().map(|root| Mount::Writable { path: root.path.clone() }).collect();
    over.extend(policy.temp.private.iter().map(|path| Mount::Writable { path: path.clone() }));
    let git_dirs = policy.git_dirs.iter().map(|dir| &dir.path);
    if policy.git == codex_sandbox_policy::GitMode::Commit {
        over.extend(
            git_dirs.filter(|dir| !inside_root(dir)).map(|path| Mount::Writable { path: path.clone() }),
        );
    } else {
        over.extend(
            git_dirs.filter(|dir| inside_root(dir)).map(|path| Mount::Protect { path: path.clone() }),
        );
    }
    over.extend(policy.sealed.iter().map(|(path, _)| Mount::Protect { path: path.clone() }));
    over.extend(view.protected.iter().map(|path| Mount::Protect { path: path.clone() }));
    over.extend(
        view.deny_read.iter().map(|(path, folder)| Mount::Hide { path: path.clone(), folder: *folder }),
    );
    over.extend(hidden.map(|path| Mount::Hide { path, folder: true }));
    // Parents before what lies inside them; at one path what takes away comes last and wins.
    over.sort_by_key(|mount| (path_of(mount).components().count(), rank(mount)));
    mounts.extend(over);
    mounts
}

fn path_of(mount: &Mount) -> PathBuf {
    match mount {
        Mount::Writable { path } | Mount::Protect { path } | Mount::Hide { path, .. } => path.clone(),
        Mount::Overlay { at, .. } | Mount::Replace { at, .. } => at.clone(),
        Mount::ReadOnlyTree | Mount::Devices { .. } | Mount::Proc => PathBuf::from("/"),
    }
}

fn rank(mount: &Mount) -> u8 {
    match mount {
        Mount::Writable { .. } => 0,
        Mount::Protect { .. } => 1,
        _ => 2,
    }
}

/// Where the command's own temporary files go.
const TMP: &str = "/tmp";

fn has_private_tmp(overlays: &[Mount]) -> bool {
    overlays.iter().any(|mount| path_of(mount) == Path::new(TMP))
}

fn environment(policy: &Resolved, overlays: &[Mount]) -> Vec<(String, PathBuf)> {
    let Some(private) = &policy.temp.private else { return Vec::new() };
    let folder = if has_private_tmp(overlays) { PathBuf::from(TMP) } else { private.clone() };
    ["TMPDIR", "TMP", "TEMP"].map(|name| (name.to_owned(), folder.clone())).to_vec()
}

/// Programs that stop where they cannot write their cache, the variable that names it, and where it lies in the private
/// temporary folder.
const CACHES: [(&str, &str); 4] = [
    ("npm_config_cache", ".npm-cache"),
    ("GOCACHE", ".cache/go-build"),
    ("CCACHE_DIR", ".cache/ccache"),
    ("UV_CACHE_DIR", ".cache/uv"),
];

/// Caches are private, but for one that is covered by an overlay; git would try to tidy up objects that a command cannot
/// remove.
fn defaults(
    policy: &Resolved,
    environment: &[(String, PathBuf)],
    overlays: &[Mount],
) -> Vec<(String, PathBuf)> {
    let tmp = environment.iter().find(|(name, _)| name == "TMPDIR").map(|(_, folder)| folder);
    let covered = |mount: &Mount| matches!(mount, Mount::Overlay { at, .. } if at.ends_with(".npm"));
    let own_npm = overlays.iter().any(covered);
    let caches = CACHES.iter().filter(|(name, _)| !(own_npm && *name == "npm_config_cache"));
    let caches = caches.filter_map(|(name, folder)| Some((*name, tmp?.join(folder))));
    let commit = policy.git == codex_sandbox_policy::GitMode::Commit;
    let no_gc = [
        ("GIT_CONFIG_COUNT", "2"),
        ("GIT_CONFIG_KEY_0", "gc.auto"),
        ("GIT_CONFIG_VALUE_0", "0"),
        ("GIT_CONFIG_KEY_1", "maintenance.auto"),
        ("GIT_CONFIG_VALUE_1", "false"),
    ];
    let no_gc = no_gc.into_iter().filter(|_| commit).map(|(name, value)| (name, PathBuf::from(value)));
    caches.chain(no_gc).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn limits(policy: &Resolved, facts: &Facts) -> LimitsPlan {
    let means = |delegated: fn(bool, bool) -> bool| match &facts.cgroups {
        Cgroups::V2 { dir, memory, pids } if delegated(*memory, *pids) => Means::Cgroup { dir: dir.clone() },
        _ => Means::Rlimit,
    };
    LimitsPlan {
        memory: policy.limits.memory.map(|value| Limit { value, means: means(|memory, _| memory) }),
        processes: policy.limits.processes.map(|value| Limit { value, means: means(|_, pids| pids) }),
        wall_clock: policy.limits.wall_clock,
    }
}

fn notices(policy: &Resolved, view: &View, overlays: &[Mount]) -> Vec<String> {
    let mut notices = policy.notices.clone();
    for path in policy.deny_read.iter().filter(|path| !view.deny_read.iter().any(|(known, _)| known == *path))
    {
        notices.push(format!(
            "{} does not exist: it cannot be hidden, so one that appears there during the run can be read",
            path.display()
        ));
    }
    for mount in overlays {
        if let Mount::Replace { at, .. } = mount
            && view.temp_dirs.iter().any(|(dir, filled)| dir == at && *filled)
        {
            notices.push(format!(
                "{} is an empty private folder in this run: the host's cannot be shown beneath it (set XDG_CACHE_HOME to \
                 a folder on a local file system outside it)",
                at.display()
            ));
        }
    }
    notices
}

fn gaps(policy: &Resolved, facts: &Facts, backend: Backend) -> Vec<Gap> {
    let gap = |code: &str, what: &str, remedy: &str| Gap {
        code: code.to_owned(),
        what: what.to_owned(),
        remedy: remedy.to_owned(),
    };
    let mut gaps = Vec::new();
    if backend == Backend::Landlock {
        let why = match &facts.user_namespaces {
            UserNamespaces::Refused(why) => why.as_str(),
            _ => "not available",
        };
        gaps.push(gap(
            "no-namespaces",
            &format!(
                "user namespaces are refused ({why}): the command sees other processes, has no loopback network, and no \
                 /tmp, /dev/shm or pseudo terminals of its own; folders above a deny-read path cannot be listed"
            ),
            "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, \
             kernel.apparmor_restrict_unprivileged_userns)",
        ));
    }
    if backend == Backend::Landlock && facts.identity.uid == 0 {
        gaps.push(gap(
            "root-devices",
            "as root and without a /dev of its own, the command can read the host's devices, disks among them",
            "run as an ordinary user, or allow user namespaces",
        ));
    }
    if facts.landlock_abi == 0 {
        gaps.push(gap(
            "no-landlock",
            "Landlock is missing: mounts, seccomp and the broker stand without a second wall",
            "a kernel with CONFIG_SECURITY_LANDLOCK and `landlock` among its lsm= modules",
        ));
    } else if facts.landlock_abi < 6 && (backend == Backend::Landlock || policy.network_access) {
        gaps.push(gap(
            "no-scopes",
            "this Landlock (ABI below 6) does not keep the command from signalling other processes of the same user",
            "Linux 6.12 or later",
        ));
    }
    if facts.identity.uid == 0
        && matches!(facts.cgroups, Cgroups::None { .. })
        && policy.limits.processes.is_some()
    {
        gaps.push(gap(
            "no-process-limit",
            "the process limit does not bind root without a delegated cgroup",
            "run as an ordinary user, or delegate a cgroup v2 folder with the pids controller",
        ));
    }
    gaps
}
