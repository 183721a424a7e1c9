//! From a path as it was typed to the object that it names: drive letters, aliases, links.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::{Facts, Volume, VolumeKind};
use super::path::{Parsed, PathError, WinPath, looks_like_short_name, parse, same_name};
use super::tree::Tree;

/// Windows follows at most this many links in one open (MAXIMUM_REPARSE_COUNT).
const MAX_LINKS: usize = 63;

/// The object that a path names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Located {
    /// As it was typed.
    pub typed: String,
    /// Where it is.
    pub path: WinPath,
    /// The alternate data stream that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// What was found out on the way, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// Junctions and symbolic links that were followed.
    #[serde(skip)]
    pub links: Vec<WinPath>,
}

/// Why a path does not lead to an object on a local drive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// It is no path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// It is something else than a file on a drive.
    #[error("{typed:?} is {kind}")]
    NotOnADrive {
        /// As it was typed.
        typed: String,
        /// What it is.
        kind: &'static str,
        /// [`Parsed`], for whoever wants to tell them apart.
        parsed: Parsed,
    },
    /// There is no such drive.
    #[error("{typed:?} is on drive {drive}:, which is not there")]
    NoDrive {
        /// As it was typed.
        typed: String,
        /// The letter.
        drive: char,
    },
    /// Links lead in circles.
    #[error("{typed:?} leads through more than {MAX_LINKS} links")]
    TooManyLinks {
        /// As it was typed.
        typed: String,
    },
}

/// Finds what `typed` names; a relative path is relative to `base`.
///
/// # Errors
/// [`LocateError`].
pub fn locate(
    typed: &str,
    base: Option<&WinPath>,
    facts: &Facts,
    tree: &Tree,
) -> Result<Located, LocateError> {
    let mut search = Search { typed, facts, tree, steps: Vec::new(), links: Vec::new(), count: 0 };
    let (path, stream) = search.local(parse(typed, base)?)?;
    let path = search.follow(&path)?;
    Ok(Located { typed: typed.to_owned(), path, stream, steps: search.steps, links: search.links })
}

struct Search<'a> {
    typed: &'a str,
    facts: &'a Facts,
    tree: &'a Tree,
    steps: Vec<String>,
    links: Vec<WinPath>,
    /// How many links and drive letters were followed.
    count: usize,
}

impl Search<'_> {
    /// The path on a drive letter that something parsed stands for.
    fn local(&mut self, parsed: Parsed) -> Result<(WinPath, Option<String>), LocateError> {
        match parsed {
            Parsed::Drive { path, stream } => Ok((path, stream)),
            Parsed::Volume { volume, rest } => {
                let by_guid =
                    |known: &&Volume| known.guid.as_deref().is_some_and(|guid| same_name(guid, &volume));
                let Some(known) = self.facts.volumes.iter().find(by_guid) else {
                    return Err(self.elsewhere(Parsed::Volume { volume, rest }));
                };
                self.steps.push(format!("{volume} is {}", known.root));
                self.local(parse(&format!(r"\\?\{}{rest}", known.root), None)?)
            }
            other => Err(self.elsewhere(other)),
        }
    }

    fn elsewhere(&self, parsed: Parsed) -> LocateError {
        LocateError::NotOnADrive { typed: self.typed.to_owned(), kind: parsed.kind(), parsed }
    }

    /// Follows drive letters, aliases and links, component by component.
    fn follow(&mut self, path: &WinPath) -> Result<WinPath, LocateError> {
        let mut at = self.drive(path)?;
        let mut rest: Vec<String> = path.components().map(str::to_owned).rev().collect();
        while let Some(name) = rest.pop() {
            let next = at.join(&self.real_name(&at, &name));
            let link =
                self.tree.get(&next).filter(|node| node.kind.is_link()).and_then(|node| node.target.clone());
            let Some(target) = link else {
                at = next;
                continue;
            };
            self.count_link()?;
            self.steps.push(format!("{next} leads to {target}"));
            self.links.push(next.clone());
            let (target, _) = self.local(parse(&target, Some(&at))?)?;
            at = self.drive(&target)?;
            rest.extend(target.components().map(str::to_owned).rev());
        }
        Ok(at)
    }

    fn count_link(&mut self) -> Result<(), LocateError> {
        self.count += 1;
        if self.count > MAX_LINKS {
            return Err(LocateError::TooManyLinks { typed: self.typed.to_owned() });
        }
        Ok(())
    }

    /// The root of the path's drive, or what a `subst` or mapped letter stands for.
    fn drive(&mut self, path: &WinPath) -> Result<WinPath, LocateError> {
        let letter = path.drive();
        let volume = self.facts.volumes.iter().find(|volume| volume.root.drive() == letter);
        let Some(volume) = volume else {
            return Err(LocateError::NoDrive { typed: self.typed.to_owned(), drive: letter });
        };
        let Some(target) = volume.target.as_deref().filter(|_| volume.kind != VolumeKind::Fixed) else {
            return Ok(volume.root.clone());
        };
        self.count_link()?;
        self.steps.push(format!("{letter}: stands for {target}"));
        let (target, _) = self.local(parse(target, None)?)?;
        self.follow(&target)
    }

    fn real_name(&mut self, folder: &WinPath, name: &str) -> String {
        if self.tree.get(&folder.join(name)).is_some() {
            return name.to_owned();
        }
        if let Some(real) = self.tree.long_name(folder, name) {
            self.steps.push(format!("{name} in {folder} is the short name of {real}"));
            return real.to_owned();
        }
        if looks_like_short_name(name) {
            self.steps.push(format!("{name} in {folder} may be a short name; the facts name no such file"));
        }
        name.to_owned()
    }
}
