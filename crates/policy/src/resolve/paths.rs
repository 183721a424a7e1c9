//! Written paths → absolute, canonical paths.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::{PolicyError, Problem};
use crate::policy::{Origin, Policy, WrittenPath};
use crate::resolve::{PathFacts, Place, links};

/// The canonical working directory.
pub fn working_directory(place: &Place, facts: &dyn PathFacts) -> Result<PathBuf, PolicyError> {
    let fail = |source| {
        PolicyError::new(Origin::Default, Problem::WorkingDirectory { path: place.cwd.clone(), source })
    };
    if !place.cwd.is_absolute() {
        return Err(fail(io::Error::new(io::ErrorKind::InvalidInput, "not an absolute path")));
    }
    let cwd = facts.canonical(&place.cwd).map_err(fail)?;
    if facts.kind(&cwd) != Some(super::Kind::Directory) {
        return Err(fail(io::ErrorKind::NotADirectory.into()));
    }
    Ok(cwd)
}

/// `written` as an absolute path: `~/` is the home folder; a relative path counts from its configuration file's folder, or,
/// on the command line, from the working directory.
pub fn absolute(written: &WrittenPath, place: &Place) -> Result<PathBuf, PolicyError> {
    if let Ok(below_home) = written.path.strip_prefix("~") {
        let no_home =
            || PolicyError::new(written.origin.clone(), Problem::NoHome { path: written.path.clone() });
        return place.home.as_ref().map(|home| home.join(below_home)).ok_or_else(no_home);
    }
    let base = match &written.origin {
        Origin::File { path, .. } => path.parent().unwrap_or(&place.cwd),
        _ => &place.cwd,
    };
    // A configuration file may itself be named by a relative path.
    Ok(place.cwd.join(base).join(&written.path))
}

/// Deny-read paths.
pub struct Denied {
    /// Canonical as far as they exist; sorted.
    pub paths: Vec<PathBuf>,
    /// The links on the way to them. Inside a root they must stay: a command that replaced one would turn the next run's rule
    /// to another path.
    pub links: Vec<PathBuf>,
}

/// The deny-read paths of `policy`.
pub fn deny_read(
    policy: &Policy,
    place: &Place,
    cwd: &Path,
    facts: &dyn PathFacts,
) -> Result<Denied, PolicyError> {
    let (mut paths, mut links) = (Vec::new(), Vec::new());
    for written in &policy.deny_read {
        let absolute = absolute(written, place)?;
        let path = canonical_or_planned(&absolute, facts);
        if cwd.starts_with(&path) {
            let problem = Problem::WorkingDirectoryDenied { path, cwd: cwd.to_path_buf() };
            return Err(PolicyError::new(written.origin.clone(), problem));
        }
        if path != absolute {
            links.extend(links::on_the_way(&absolute, facts));
        }
        paths.push(path);
    }
    paths.sort();
    paths.dedup();
    Ok(Denied { paths, links })
}

/// Turns of [`canonical_or_planned`]: each takes out the `..` behind a missing name, or a link.
const MAX_TURNS: usize = 40;

/// The canonical path; for one that does not exist (yet) the path at which it would come to be: links are followed to where
/// they would lead, and `..` behind a missing name takes it out.
pub fn canonical_or_planned(path: &Path, facts: &dyn PathFacts) -> PathBuf {
    if let Ok(real) = facts.canonical(path) {
        return real;
    }
    let mut at = path.to_path_buf();
    for _ in 0..MAX_TURNS {
        let next = match links::walk(&at, facts, |_| {}) {
            Ok(real) => return real,
            Err(stuck) if stuck.error.kind() == io::ErrorKind::NotFound => stuck.at,
            // A circle of links, or a file with names behind it, leads nowhere as long as it is one.
            Err(_) => without_dots(&at),
        };
        if next == at {
            break;
        }
        at = next;
    }
    without_dots(&at)
}

/// `path` with `.` and `..` taken out by their letters.
fn without_dots(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
