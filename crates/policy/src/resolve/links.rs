//! Path resolution one link at a time, for the places where it matters *which* links lead somewhere.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::resolve::{Kind, PathFacts};

/// As many links as Linux follows in one resolution (`MAXSYMLINKS`, path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Where a walk ended without a result.
pub struct Stuck {
    /// The path that would have been next, with all that was still to come behind it.
    pub at: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// The canonical form of the absolute `path`; every link on the way is told to `on_link`.
///
/// # Errors
/// As realpath(3): missing, too many links, a file where a folder has to be.
pub fn walk(path: &Path, facts: &dyn PathFacts, mut on_link: impl FnMut(&Path)) -> Result<PathBuf, Stuck> {
    let mut at = PathBuf::new();
    let mut rest: VecDeque<OsString> = VecDeque::new();
    push_front(&mut rest, &mut at, path);
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        match facts.kind(&next) {
            Some(Kind::Directory) => at = next,
            Some(Kind::File | Kind::Other) if rest.is_empty() => at = next,
            Some(Kind::Symlink) if links == MAX_LINKS => {
                return Err(stuck(next, &rest, io::ErrorKind::InvalidInput));
            }
            Some(Kind::Symlink) => {
                links += 1;
                on_link(&next);
                match facts.read_link(&next) {
                    Ok(target) => push_front(&mut rest, &mut at, &target),
                    Err(error) => return Err(stuck(next, &rest, error.kind())),
                }
            }
            Some(Kind::File | Kind::Other) => return Err(stuck(next, &rest, io::ErrorKind::NotADirectory)),
            None => return Err(stuck(next, &rest, io::ErrorKind::NotFound)),
        }
    }
    Ok(at)
}

/// The links that the resolution of the absolute `path` goes through.
pub fn on_the_way(path: &Path, facts: &dyn PathFacts) -> Vec<PathBuf> {
    let mut links = Vec::new();
    // Where it ends badly, the links until there are what there is.
    let _: Result<PathBuf, Stuck> = walk(path, facts, |link| links.push(link.to_path_buf()));
    links
}

fn stuck(next: PathBuf, rest: &VecDeque<OsString>, kind: io::ErrorKind) -> Stuck {
    let mut at = next;
    for name in rest {
        if name == ".." {
            at.pop();
        } else {
            at.push(name);
        }
    }
    Stuck { at, error: kind.into() }
}

/// Puts `path`'s components before `rest`; an absolute one starts `at` anew.
fn push_front(rest: &mut VecDeque<OsString>, at: &mut PathBuf, path: &Path) {
    if path.has_root() {
        *at = path
            .components()
            .take_while(|part| !matches!(part, Component::Normal(_) | Component::ParentDir))
            .collect();
    }
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => rest.push_front(name.to_owned()),
            Component::ParentDir => rest.push_front("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
}
