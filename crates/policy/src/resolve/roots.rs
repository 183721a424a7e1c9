//! Which folders may be written.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::error::{PolicyError, Problem, TooWide};
use crate::names::ProtectedNames;
use crate::policy::{Mode, Origin, Policy, WrittenPath};
use crate::resolve::git_dirs::Found;
use crate::resolve::paths::{absolute, canonical_or_planned};
use crate::resolve::{Kind, PathFacts, Place, Root, links};

/// Folders of the operating system that are refused, each with everything below it.
const SYSTEM_TREES: [&str; 20] = [
    "/bin",
    "/boot",
    "/dev",
    "/efi",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/include",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/sbin",
    "/usr/share",
    "/System",
];

/// Folders that are refused themselves: what lies below belongs to users too.
const SYSTEM_FOLDERS: [&str; 13] = [
    "/home",
    "/root",
    "/Users",
    "/Library",
    "/private",
    "/run",
    "/run/user",
    "/usr",
    "/usr/local",
    "/usr/local/bin",
    "/var",
    "/var/lib",
    "/var/log",
];

/// What a root must not take in.
pub struct Bounds {
    home: Option<PathBuf>,
    state: PathBuf,
}

impl Bounds {
    /// Looks the two folders up.
    pub fn new(place: &Place, facts: &dyn PathFacts) -> Self {
        let canonical = |path: &PathBuf| canonical_or_planned(path, facts);
        Self { home: place.home.as_ref().map(canonical), state: canonical(&place.state) }
    }

    /// The canonical folder of our private temporary folders.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Why `path` (canonical) is too wide, if it is.
    pub fn too_wide(&self, path: &Path) -> Option<TooWide> {
        if path.parent().is_none() {
            return Some(TooWide::FileSystem);
        }
        if let Some(home) = &self.home {
            if path == home {
                return Some(TooWide::Home);
            }
            if home.starts_with(path) {
                return Some(TooWide::AboveHome);
            }
        }
        if self.state.starts_with(path) || path.starts_with(&self.state) {
            return Some(TooWide::State(self.state.clone()));
        }
        let system = SYSTEM_TREES.iter().any(|tree| path.starts_with(tree))
            || SYSTEM_FOLDERS.iter().any(|folder| path == Path::new(folder));
        system.then_some(TooWide::System)
    }
}

/// Host temporary folders that the policy opens in so many words.
#[derive(Default)]
pub struct HostTemp {
    /// TMPDIR, canonical.
    pub tmpdir: Option<PathBuf>,
    /// /tmp and /var/tmp, canonical, as far as they exist.
    pub slash_tmp: Vec<PathBuf>,
}

/// Looks up the host's temporary folders that are to be writable. The keys belong to `workspace-write` and count there only.
pub fn host_temp(
    policy: &Policy,
    place: &Place,
    bounds: &Bounds,
    facts: &dyn PathFacts,
    notices: &mut Vec<String>,
) -> HostTemp {
    let mut open = HostTemp::default();
    if policy.mode != Mode::WorkspaceWrite {
        return open;
    }
    let protected = ProtectedNames::new(policy.protected.iter().cloned());
    let folder = |path: &Path| {
        let real = facts.canonical(path).ok()?;
        let is_protected = real.iter().any(|part| protected.find(part.as_encoded_bytes()).is_some());
        let usable = facts.kind(&real) == Some(Kind::Directory) && bounds.too_wide(&real).is_none();
        (usable && !is_protected).then_some(real)
    };
    if policy.exclude_tmpdir_env_var == Some(false) {
        open.tmpdir = place.tmpdir.as_deref().and_then(folder);
        if let (Some(written), None) = (&place.tmpdir, &open.tmpdir) {
            notices.push(format!(
                "TMPDIR={} is no folder that may be opened for writing; the private folder is used",
                written.display()
            ));
        }
    }
    if policy.exclude_slash_tmp == Some(false) {
        open.slash_tmp = ["/tmp", "/var/tmp"].iter().filter_map(|path| folder(Path::new(path))).collect();
    }
    open
}

/// A root with the symbolic links by which its written path leads to it.
struct Candidate {
    root: Root,
    links: Vec<PathBuf>,
}

/// The working directory and the written roots, canonical and checked. Empty in `read-only`.
pub fn roots(
    policy: &Policy,
    place: &Place,
    cwd: &Path,
    bounds: &Bounds,
    facts: &dyn PathFacts,
) -> Result<Vec<Root>, PolicyError> {
    if policy.mode != Mode::WorkspaceWrite {
        return no_roots(policy);
    }
    let protected = ProtectedNames::new(policy.protected.iter().cloned());
    let implied = Root { path: cwd.to_path_buf(), origin: Origin::Default };
    check(&implied, bounds, &protected, true)?;
    let mut candidates = vec![Candidate { links: links_to(&place.cwd, cwd, facts), root: implied }];
    for written in &policy.writable_roots {
        let candidate = canonical_root(written, place, facts)?;
        check(&candidate.root, bounds, &protected, false)?;
        candidates.push(candidate);
    }
    check_links(&candidates)?;
    Ok(candidates.into_iter().map(|candidate| candidate.root).collect())
}

/// The links on the way from `written` to `real`.
fn links_to(written: &Path, real: &Path, facts: &dyn PathFacts) -> Vec<PathBuf> {
    if written == real { Vec::new() } else { links::on_the_way(written, facts) }
}

/// A link inside a root belongs to the commands: one of them could let it lead to another folder, which the next run would then
/// open. So such a link must not decide what is a root; leading to what is open anyway it does no harm.
fn check_links(candidates: &[Candidate]) -> Result<(), PolicyError> {
    let replaceable = |link: &&PathBuf| {
        candidates.iter().any(|other| link.starts_with(&other.root.path) && **link != other.root.path)
    };
    let tainted = |candidate: &Candidate| candidate.links.iter().find(replaceable).cloned();
    if candidates.iter().all(|candidate| candidate.links.is_empty()) {
        return Ok(());
    }
    let sound: Vec<&Path> = candidates
        .iter()
        .filter(|candidate| tainted(candidate).is_none())
        .map(|candidate| &*candidate.root.path)
        .collect();
    for Candidate { root, links } in candidates {
        let open_anyway = sound.iter().any(|folder| root.path.starts_with(folder));
        if let (Some(link), false) = (links.iter().find(replaceable), open_anyway) {
            let problem = Problem::RootThroughLink { path: root.path.clone(), link: link.clone() };
            return Err(PolicyError::new(root.origin.clone(), problem));
        }
    }
    Ok(())
}

/// Roots that a configuration names for another mode are passed over; a program that sets both contradicts itself.
fn no_roots(policy: &Policy) -> Result<Vec<Root>, PolicyError> {
    let library = policy.writable_roots.iter().find(|root| root.origin == Origin::Library);
    match library {
        None => Ok(Vec::new()),
        Some(root) => Err(PolicyError::new(
            root.origin.clone(),
            Problem::Contradiction {
                flag: "`writable_roots`",
                mode: policy.mode.name(),
                mode_origin: Origin::Library,
            },
        )),
    }
}

fn canonical_root(
    written: &WrittenPath,
    place: &Place,
    facts: &dyn PathFacts,
) -> Result<Candidate, PolicyError> {
    let fail = |problem| PolicyError::new(written.origin.clone(), problem);
    let path = absolute(written, place)?;
    let missing = |source| fail(Problem::RootMissing { path: path.clone(), source });
    let real = facts.canonical(&path).map_err(missing)?;
    if facts.kind(&real) != Some(Kind::Directory) {
        return Err(fail(Problem::RootNotAFolder { path: real }));
    }
    let links = links_to(&path, &real, facts);
    Ok(Candidate { root: Root { path: real, origin: written.origin.clone() }, links })
}

fn check(root: &Root, bounds: &Bounds, protected: &ProtectedNames, implied: bool) -> Result<(), PolicyError> {
    let fail = |problem| Err(PolicyError::new(root.origin.clone(), problem));
    let path = root.path.clone();
    if let Some(why) = bounds.too_wide(&path) {
        return fail(Problem::RootTooWide { path, why, implied });
    }
    if let Some(name) = protected_name(&path, protected) {
        return fail(Problem::RootProtected { path, name, implied });
    }
    Ok(())
}

/// The protected name that `path` is, or the `.git` that it lies in. Below the other names a root may lie: agents keep
/// worktrees in `~/.codex`, and such a root is asked for in so many words.
fn protected_name(path: &Path, protected: &ProtectedNames) -> Option<String> {
    let find = |component: &std::ffi::OsStr| protected.find(component.as_encoded_bytes());
    let own = path.file_name().and_then(find);
    let inside = path.iter().filter_map(find).find(|name| name.eq_ignore_ascii_case(".git"));
    own.or(inside).map(|name| name.to_string_lossy().into_owned())
}

/// `roots` with the host's temporary folders behind them.
pub fn with_temp(mut roots: Vec<Root>, temp: &HostTemp) -> Vec<Root> {
    let folders = temp.tmpdir.iter().chain(&temp.slash_tmp);
    roots.extend(folders.map(|path| Root { path: path.clone(), origin: Origin::Default }));
    roots
}

/// A root at exactly a deny-read path would silently be none.
pub fn check_denied(roots: &[Root], deny_read: &[PathBuf]) -> Result<(), PolicyError> {
    match roots.iter().find(|root| deny_read.binary_search(&root.path).is_ok()) {
        None => Ok(()),
        Some(root) => {
            Err(PolicyError::new(root.origin.clone(), Problem::RootDenied { path: root.path.clone() }))
        }
    }
}

/// Leaves out every root that changes nothing: one at or below another root, with nothing in between that has a rule of its
/// own. A root whose `.git` points somewhere stays, so that resolving again finds the same git directories.
pub fn merge(
    roots: Vec<Root>,
    deny_read: &[PathBuf],
    git: &Found,
    sealed: &[(PathBuf, String)],
    protected: &ProtectedNames,
) -> Vec<Root> {
    let mut by_path = BTreeMap::new();
    for root in roots {
        by_path.entry(root.path.clone()).or_insert(root);
    }
    let git_paths = git.git_dirs.iter().map(|dir| &*dir.path).chain(git.pins.iter().map(PathBuf::as_path));
    let own_rules = deny_read.iter().chain(sealed.iter().map(|(path, _)| path)).map(PathBuf::as_path);
    let ruled: HashSet<&Path> = own_rules.chain(git_paths).collect();
    let mut kept: BTreeMap<PathBuf, Root> = BTreeMap::new();
    // In this order a folder comes before everything inside it.
    for (path, root) in by_path {
        if git.pointing.contains(&path) || !covered(&path, &kept, &ruled, protected) {
            kept.insert(path, root);
        }
    }
    kept.into_values().collect()
}

/// Whether the nearest kept root above `path` already gives everything that a root at `path` would.
fn covered(
    path: &Path,
    kept: &BTreeMap<PathBuf, Root>,
    ruled: &HashSet<&Path>,
    protected: &ProtectedNames,
) -> bool {
    for at in path.ancestors() {
        if kept.contains_key(at) {
            // A root that is a git directory as well is read-only in the main.
            return !ruled.contains(at);
        }
        let name = at.file_name().and_then(|name| protected.find(name.as_encoded_bytes()));
        if name.is_some() || ruled.contains(at) {
            return false;
        }
    }
    false
}
