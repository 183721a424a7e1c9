//! From what the user wrote to absolute, canonical paths, with the help of facts about the host.

mod git_dirs;
mod links;
mod memory;
mod paths;
mod roots;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use memory::MemoryPaths;

use crate::error::{PolicyError, Problem};
use crate::names::{self, ProtectedNames};
use crate::policy::{AllowedHost, GitMode, Limits, Mode, Origin, Policy};
use crate::rules::{Entry, PathRules};

/// What the resolver must know about the host; looked up by the caller, so that resolving stays pure and testable.
pub trait PathFacts {
    /// The canonical absolute path (every symbolic link resolved), as realpath(3).
    ///
    /// # Errors
    /// The system's error when the path does not exist or cannot be reached.
    fn canonical(&self, path: &Path) -> std::io::Result<PathBuf>;
    /// What stands at `path` itself (a final symbolic link is not followed), or `None`.
    fn kind(&self, path: &Path) -> Option<Kind>;
    /// The content of a small file (a `.git` pointer); at most 4 KiB are read.
    ///
    /// # Errors
    /// The system's error.
    fn read_small(&self, path: &Path) -> std::io::Result<Vec<u8>>;
    /// The content of a symbolic link. Without it, links that lead on from a `.git` link are followed but not pinned.
    ///
    /// # Errors
    /// The system's error; [`std::io::ErrorKind::Unsupported`] where this is not looked up.
    fn read_link(&self, path: &Path) -> std::io::Result<PathBuf> {
        let _ = path;
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Other,
}

/// Where a run happens; all paths as the host spells them.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The working directory, absolute; it is the workspace in `workspace-write`.
    pub cwd: PathBuf,
    /// The home folder, if there is one.
    pub home: Option<PathBuf>,
    /// The host's TMPDIR, if set.
    pub tmpdir: Option<PathBuf>,
    /// Folder that holds our private temporary folders (created by the enforcement, not here).
    pub state: PathBuf,
    /// The user's configuration file, absolute as written, whether or not it exists: what it is behind links must not be
    /// written by a command, whose successors would be held by it.
    pub config: Option<PathBuf>,
}

/// A root after resolution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Canonical path.
    pub path: PathBuf,
    /// Where it was asked for.
    pub origin: Origin,
}

/// What temporary folders are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Temp {
    /// The private folder of this workspace (`None`: given up by `exclude_tmpdir_env_var = true`, or the host's is open).
    pub private: Option<PathBuf>,
    /// Whether /tmp and /var/tmp become private overlays.
    pub overlay: bool,
}

/// A git directory that a pointer in a root leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitDir {
    /// Canonical path of the git directory.
    pub path: PathBuf,
    /// The `.git` file or link that points to it.
    pub pointer: PathBuf,
}

/// A policy whose paths are absolute and canonical: everything that a plan is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// `sandbox_mode`.
    pub mode: Mode,
    /// The working directory, canonical.
    pub cwd: PathBuf,
    /// Writable folders, sorted by path. One is inside another only where it says something of its own: a deny-read path, a
    /// protected name or a git directory lies between them, or its own `.git` points somewhere.
    pub roots: Vec<Root>,
    /// Temporary folders.
    pub temp: Temp,
    /// Protected names.
    pub protected: Vec<String>,
    /// `sandbox.git`.
    pub git: GitMode,
    /// Git directories behind `.git` files and links at the top of the roots: those inside a root, and under `git = "commit"`
    /// those of a linked worktree outside, which are then to be made writable. Sorted by path.
    pub git_dirs: Vec<GitDir>,
    /// Paths inside the roots that stay read-only, and uncreated where they are missing: the links and files by which a `.git`
    /// link or file leads on to its git directory, that directory where it is missing, and the links on the way to deny-read
    /// paths. Whoever could replace one would choose the git directory, or what the next run hides. Sorted.
    #[serde(default)]
    pub pins: Vec<PathBuf>,
    /// Inside the roots: what a protected name other than `.git` at the top of a root leads to when it is a link, with the
    /// name. Sorted.
    #[serde(default)]
    pub sealed: Vec<(PathBuf, String)>,
    /// Paths that cannot be read, canonical where they exist.
    pub deny_read: Vec<PathBuf>,
    /// Outbound network.
    pub network_access: bool,
    /// Folder of the sandbox' own: private temporary folders, the lock of runs.
    pub state: PathBuf,
    /// Hosts that stay reachable.
    pub network_allow: Vec<AllowedHost>,
    /// Where they were written.
    pub network_allow_origin: Origin,
    /// Bounds.
    pub limits: Limits,
    /// What the user should hear before the run (one line each).
    pub notices: Vec<String>,
}

/// Makes every path of `policy` absolute and canonical, and checks what is only visible on the host.
///
/// Pure but for `facts`; resolving what was resolved gives the same again.
///
/// # Errors
/// A working directory or root that cannot be used, is too wide, or contradicts another rule; see [`Problem`].
pub fn resolve(policy: &Policy, place: &Place, facts: &dyn PathFacts) -> Result<Resolved, PolicyError> {
    let cwd = paths::working_directory(place, facts)?;
    check_protected(policy)?;
    if policy.mode == Mode::DangerFullAccess {
        return Ok(unrestricted(policy, cwd, place));
    }
    let denied = paths::deny_read(policy, place, &cwd, facts)?;
    let bounds = roots::Bounds::new(place, facts);
    let mut notices = Vec::new();
    let temp_wanted = roots::host_temp(policy, place, &bounds, facts, &mut notices);
    let all = roots::roots(policy, place, &cwd, &bounds, facts)?;
    let all = roots::with_temp(all, &temp_wanted);
    roots::check_denied(&all, &denied.paths)?;
    let mut found = git_dirs::find(&all, policy.git, &bounds, facts, &mut notices);
    let protected = ProtectedNames::new(policy.protected.iter().cloned());
    found.pin(denied.links, &all);
    let mut sealed = sealed(&all, &policy.protected, facts);
    sealed.extend(configuration(&all, place, facts));
    let roots = roots::merge(all, &denied.paths, &found, &sealed, &protected);
    if !policy.network_allow.is_empty() {
        notices.push(
            "network.allow is not in force: this version has no proxy, and a run is refused".to_owned(),
        );
    }
    Ok(Resolved {
        mode: policy.mode,
        temp: temp(policy, &temp_wanted, bounds.state(), &cwd),
        cwd,
        roots,
        protected: policy.protected.clone(),
        git: policy.git,
        git_dirs: found.git_dirs,
        pins: found.pins,
        sealed,
        deny_read: denied.paths,
        network_access: policy.network_access,
        state: bounds.state().to_path_buf(),
        network_allow: policy.network_allow.clone(),
        network_allow_origin: policy.network_allow_origin.clone(),
        limits: policy.limits,
        notices,
    })
}

/// The folder that must not hold a configuration: the canonical working directory. `None` where it is no workspace, but the home
/// folder or something as wide (which is refused as a root), or cannot be reached.
pub fn workspace(place: &Place, facts: &dyn PathFacts) -> Option<PathBuf> {
    let cwd = paths::working_directory(place, facts).ok()?;
    roots::Bounds::new(place, facts).too_wide(&cwd).is_none().then_some(cwd)
}

/// The one of `folders` (canonical) in which the file `path` (absolute, as written) lies, or a link on the way to it: whoever may
/// write in that folder decides what is read there. Asked about a configuration file, before it is read about the
/// [`workspace`], and about the roots when they are known.
pub fn reached_through<'a>(path: &Path, folders: &'a [PathBuf], facts: &dyn PathFacts) -> Option<&'a Path> {
    let real = paths::canonical_or_planned(path, facts);
    let mut way = links::on_the_way(path, facts);
    way.extend([real, path.to_path_buf()]);
    folders.iter().find(|folder| way.iter().any(|step| step.starts_with(folder))).map(PathBuf::as_path)
}

/// What protected names that are links lead to inside the roots. (`.git` has its own rules, see [`git_dirs`].)
fn sealed(roots: &[Root], protected: &[String], facts: &dyn PathFacts) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for root in roots {
        for name in protected.iter().filter(|name| !name.eq_ignore_ascii_case(".git")) {
            let link = root.path.join(name);
            let target =
                (facts.kind(&link) == Some(Kind::Symlink)).then(|| facts.canonical(&link).ok()).flatten();
            let inside = |target: &PathBuf| roots.iter().any(|root| target.starts_with(&root.path));
            found.extend(target.filter(inside).map(|target| (target, name.clone())));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The user's own configuration, its folder and the links that lead to it, as far as they lie in the roots (a home folder
/// whose `.codex` leads into a folder of dotfiles).
fn configuration(roots: &[Root], place: &Place, facts: &dyn PathFacts) -> Vec<(PathBuf, String)> {
    let Some(file) = &place.config else { return Vec::new() };
    let real = paths::canonical_or_planned(file, facts);
    let is_root = |path: &Path| roots.iter().any(|root| root.path == path);
    let folder = real.parent().filter(|folder| !is_root(folder)).map(Path::to_path_buf);
    let mut found = links::on_the_way(file, facts);
    found.push(real);
    found.extend(folder);
    found.retain(|path| !is_root(path) && roots.iter().any(|root| path.starts_with(&root.path)));
    found.sort();
    found.dedup();
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    found.into_iter().map(|path| (path, name.clone())).collect()
}

/// A library's caller can hand in what the configuration refuses.
fn check_protected(policy: &Policy) -> Result<(), PolicyError> {
    let Some(bad) = policy.protected.iter().find(|name| !names::is_component(name)) else {
        return Ok(());
    };
    let expected = "an array of names without slashes such as [\".git\"]";
    let problem = Problem::BadValue { key: "sandbox.protected", expected, got: format!("{bad:?}") };
    Err(PolicyError::new(Origin::Library, problem))
}

fn unrestricted(policy: &Policy, cwd: PathBuf, place: &Place) -> Resolved {
    Resolved {
        mode: policy.mode,
        cwd,
        roots: Vec::new(),
        temp: Temp { private: None, overlay: false },
        protected: policy.protected.clone(),
        git: policy.git,
        git_dirs: Vec::new(),
        pins: Vec::new(),
        sealed: Vec::new(),
        deny_read: Vec::new(),
        network_access: true,
        state: place.state.clone(),
        network_allow: Vec::new(),
        network_allow_origin: Origin::Default,
        limits: Limits::default(),
        notices: vec![
            "danger-full-access: the command runs without any sandbox, and nothing is enforced".to_owned(),
        ],
    }
}

fn temp(policy: &Policy, host: &roots::HostTemp, state: &Path, cwd: &Path) -> Temp {
    let read_only = policy.mode == Mode::ReadOnly;
    let given_up = policy.exclude_tmpdir_env_var == Some(true) || host.tmpdir.is_some();
    Temp {
        private: (!given_up).then(|| private_temp(state, cwd)),
        overlay: policy.exclude_slash_tmp.is_none() || (read_only && policy.exclude_slash_tmp == Some(false)),
    }
}

/// The private temporary folder of the workspace `cwd` (canonical) below the folder `state`. Its name is a SHA-256 of the
/// path's bytes, cut to 128 bits: stable, and nobody can choose a workspace that shares another's folder.
pub fn private_temp(state: &Path, cwd: &Path) -> PathBuf {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(cwd.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    state.join("tmp").join(name)
}

impl Resolved {
    /// Whether a run of this policy can keep what it says.
    ///
    /// # Errors
    /// [`Problem::ProxyMissing`]: `plan` and `explain` may show such a policy, a run must not start with it.
    pub fn check_runnable(&self) -> Result<(), PolicyError> {
        if self.network_allow.is_empty() {
            Ok(())
        } else {
            Err(PolicyError::new(self.network_allow_origin.clone(), Problem::ProxyMissing))
        }
    }

    /// The path rules. `private` names further folders that belong to the sandbox alone (`/dev/shm`, overlays of `/tmp`).
    pub fn rules(&self, private: &[PathBuf]) -> PathRules {
        let mut entries: Vec<Entry> = self.roots.iter().map(|root| Entry::Root(root.path.clone())).collect();
        entries.extend(self.temp.private.iter().cloned().map(Entry::Private));
        entries.extend(private.iter().cloned().map(Entry::Private));
        entries.extend(self.git_dirs.iter().map(|dir| Entry::GitDir(dir.path.clone())));
        entries.extend(self.pins.iter().cloned().map(Entry::GitDir));
        let sealed = self.sealed.iter().cloned();
        entries.extend(sealed.map(|(path, name)| Entry::Sealed { path, name }));
        entries.extend(self.deny_read.iter().cloned().map(Entry::DenyRead));
        PathRules::new(entries, ProtectedNames::new(self.protected.iter().cloned()), self.git)
    }
}

// The trees of these tests are spelt with Unix separators, and so are the expected messages.
#[cfg(all(test, unix))]
mod tests;
