//! Git directories that a `.git` file or link at the top of a root leads to.
//!
//! Source: gitrepository-layout(5) and git-worktree(1), section "Details"; docs/git.md tells the reasons to users.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::policy::GitMode;
use crate::resolve::roots::Bounds;
use crate::resolve::{GitDir, Kind, PathFacts, Root, links};

/// A `.git` file that leads to a `.git` file that … : git itself follows one step.
const MAX_HOPS: usize = 8;

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Sorted by path.
    pub git_dirs: Vec<GitDir>,
    /// What has to stay as it is inside the roots, so that the pointers go on leading where they lead; sorted.
    pub pins: Vec<PathBuf>,
    /// Roots whose `.git` is a link or a file.
    pub pointing: HashSet<PathBuf>,
}

impl Found {
    /// Adds to the pins those of `links` that lie inside a root.
    pub fn pin(&mut self, links: Vec<PathBuf>, roots: &[Root]) {
        self.pins
            .extend(links.into_iter().filter(|link| roots.iter().any(|root| link.starts_with(&root.path))));
        self.pins.sort();
        self.pins.dedup();
    }
}

/// Finds them.
pub fn find(
    roots: &[Root],
    git: GitMode,
    bounds: &Bounds,
    facts: &dyn PathFacts,
    notices: &mut Vec<String>,
) -> Found {
    let mut dirs = BTreeMap::new();
    let mut pins = BTreeSet::new();
    let mut pointing = HashSet::new();
    let is_inside = |dir: &Path| roots.iter().any(|root| dir.starts_with(&root.path));
    for root in roots {
        let pointer = root.path.join(".git");
        if !matches!(facts.kind(&pointer), Some(Kind::File | Kind::Symlink)) {
            continue;
        }
        pointing.insert(root.path.clone());
        let mut trail = Trail { facts, steps: Vec::new() };
        let target = trail.follow(&pointer);
        let common = target.as_ref().and_then(|target| trail.common_dir(target));
        let outside = target.clone().filter(|target| !is_inside(target));
        let mut keep: Vec<PathBuf> =
            [target, common].into_iter().flatten().filter(|dir| is_inside(dir)).collect();
        if let (GitMode::Commit, Some(target)) = (git, outside) {
            match linked_worktree(&target, &pointer, bounds, facts) {
                Some(common) => keep.extend([target, common]),
                None => notices.push(cannot_commit(&pointer, &target)),
            }
        }
        pins.extend(trail.steps.into_iter().filter(|step| is_inside(step) && *step != pointer));
        for path in keep {
            dirs.entry(path.clone()).or_insert_with(|| GitDir { path, pointer: pointer.clone() });
        }
    }
    Found { git_dirs: dirs.into_values().collect(), pins: pins.into_iter().collect(), pointing }
}

fn cannot_commit(pointer: &Path, target: &Path) -> String {
    format!(
        "{} points to {}, which is not a linked worktree's folder in a repository of its own: it stays read-only, so git \
         cannot commit here",
        pointer.display(),
        target.display()
    )
}

/// A pointer that is followed. `steps` takes every link and file on the way, and what is missing at its end: whoever could
/// replace or create one of them would choose the git directory.
struct Trail<'a> {
    facts: &'a dyn PathFacts,
    steps: Vec<PathBuf>,
}

impl Trail<'_> {
    /// The canonical folder that `pointer` leads to; `None` where it leads nowhere.
    fn follow(&mut self, pointer: &Path) -> Option<PathBuf> {
        let mut at = pointer.to_path_buf();
        for _ in 0..MAX_HOPS {
            let real = self.canonical(&at)?;
            if self.facts.kind(&real)? == Kind::Directory {
                return Some(real);
            }
            self.steps.push(real.clone());
            // Relative to the folder of the name that git was given, not of the file behind a link.
            at = at.parent()?.join(pointed_to(&self.facts.read_small(&real).ok()?)?);
        }
        None
    }

    /// Where `dir`'s `commondir` file leads.
    fn common_dir(&mut self, dir: &Path) -> Option<PathBuf> {
        let written = path_in(&self.facts.read_small(&dir.join("commondir")).ok()?)?;
        let common = self.canonical(&dir.join(written))?;
        (self.facts.kind(&common) == Some(Kind::Directory)).then_some(common)
    }

    fn canonical(&mut self, path: &Path) -> Option<PathBuf> {
        let real = self.facts.canonical(path).ok();
        // Where the path is canonical as it stands there was no link; else they are looked up one by one.
        if real.as_deref() != Some(path) {
            let steps = &mut self.steps;
            if let Err(stuck) = links::walk(path, self.facts, |link| steps.push(link.to_path_buf())) {
                steps.push(stuck.at);
            }
        }
        real
    }
}

/// The path in a `.git` file: `gitdir: PATH`, with line ends behind it.
fn pointed_to(content: &[u8]) -> Option<PathBuf> {
    path_in(content.strip_prefix(b"gitdir: ")?)
}

/// The path that `content` consists of, without line ends. `None` where it may be cut or cannot be a path.
fn path_in(content: &[u8]) -> Option<PathBuf> {
    let end = content.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'))?;
    let path = &content[..=end];
    (!path.contains(&0)).then(|| from_bytes(path)).flatten()
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "other systems have byte strings that are no path")]
fn from_bytes(path: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(path)))
}

#[cfg(not(unix))]
fn from_bytes(path: &[u8]) -> Option<PathBuf> {
    std::str::from_utf8(path).ok().map(PathBuf::from)
}

/// The repository's git directory, where `target` is its folder for the linked worktree whose `.git` file is `pointer`.
///
/// What lies outside the roots becomes writable by this, and the workspace is not trusted: so the repository has to know of
/// this worktree (`gitdir` leads back), the two have to lie as git lays them (`X.git/worktrees/NAME`, `commondir` = X.git),
/// and X.git has to look like a git directory and be no folder that a root could not be.
fn linked_worktree(target: &Path, pointer: &Path, bounds: &Bounds, facts: &dyn PathFacts) -> Option<PathBuf> {
    let back = path_in(&facts.read_small(&target.join("gitdir")).ok()?)?;
    let same = facts.kind(pointer) == Some(Kind::File)
        && facts.canonical(&target.join(back)).ok()? == facts.canonical(pointer).ok()?;
    let worktrees = target.parent()?;
    let common = worktrees.parent()?;
    let laid_out = worktrees.file_name()? == "worktrees"
        && Trail { facts, steps: Vec::new() }.common_dir(target)? == common;
    let named =
        matches!(common.file_name()?.as_encoded_bytes(), name if name.ends_with(b".git") || name == b".bare");
    let is =
        |name: &str, kinds: &[Kind]| facts.kind(&common.join(name)).is_some_and(|kind| kinds.contains(&kind));
    let repository = is("HEAD", &[Kind::File, Kind::Symlink])
        && is("objects", &[Kind::Directory])
        && is("refs", &[Kind::Directory]);
    let narrow = bounds.too_wide(common).is_none();
    (same && laid_out && named && repository && narrow).then(|| common.to_path_buf())
}
