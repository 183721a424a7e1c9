//! Written paths → absolute, canonical paths.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::{PolicyError, Problem};
use crate::policy::{Origin, Policy, WrittenPath};
use crate::resolve::{PathFacts, Place};

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

/// The canonical deny-read paths, sorted.
pub fn deny_read(
    policy: &Policy,
    place: &Place,
    cwd: &Path,
    facts: &dyn PathFacts,
) -> Result<Vec<PathBuf>, PolicyError> {
    let mut denied = Vec::new();
    for written in &policy.deny_read {
        let path = canonical_or_planned(&absolute(written, place)?, facts);
        if cwd.starts_with(&path) {
            let problem = Problem::WorkingDirectoryDenied { path, cwd: cwd.to_path_buf() };
            return Err(PolicyError::new(written.origin.clone(), problem));
        }
        denied.push(path);
    }
    denied.sort();
    denied.dedup();
    Ok(denied)
}

/// The canonical path, or for one that does not exist (yet) its deepest canonical ancestor and the rest behind it.
pub fn canonical_or_planned(path: &Path, facts: &dyn PathFacts) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = facts.canonical(ancestor) {
            return normal(&real, path.strip_prefix(ancestor).unwrap_or(Path::new("")));
        }
    }
    normal(Path::new(""), path)
}

/// `base` with `rest` behind it; `.` and `..` are taken out by their letters, which is right where `rest` has no links.
fn normal(base: &Path, rest: &Path) -> PathBuf {
    let mut path = base.to_path_buf();
    for component in rest.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    path
}
