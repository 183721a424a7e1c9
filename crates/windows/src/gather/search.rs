//! From a path as it was typed to the object, asking the machine at each component: the links on the way become nodes, from which
//! the plan finds the same way again.

use nt_security::AccessMask;

use super::nodes::Nodes;
use crate::host::Host;
use crate::plan::facts::{Volume, VolumeKind};
use crate::plan::path::{Parsed, WinPath, looks_like_short_name, parse, same_name};

/// Windows follows at most this many links in one open.
const MAX_LINKS: usize = 63;

/// The real path of what `typed` names, whether or not it exists. `None` for what is on no drive letter.
pub(super) fn locate<H: Host>(
    host: &H,
    nodes: &mut Nodes<'_, H>,
    volumes: &[Volume],
    typed: &str,
    base: Option<&WinPath>,
) -> Option<WinPath> {
    let mut links = 0;
    let (mut at, mut rest) = begin(volumes, typed, base)?;
    while let Some(name) = rest.pop() {
        let next = at.join(&real_name(host, nodes, &at, &name));
        let target = nodes.add(&next).filter(|node| node.kind.is_link()).and_then(|node| node.target.clone());
        let Some(target) = target else {
            at = next;
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return None;
        }
        let (start, mut more) = begin(volumes, &target, Some(&at))?;
        rest.append(&mut more);
        at = start;
    }
    nodes.add(&at);
    Some(at)
}

/// The drive where a path begins and its components, last first.
fn begin(volumes: &[Volume], typed: &str, base: Option<&WinPath>) -> Option<(WinPath, Vec<String>)> {
    let path = on_drive(volumes, parse(typed, base).ok()?)?;
    let mut path = path;
    // A letter of `subst` stands for a path, perhaps on another such letter.
    for _ in 0..MAX_LINKS {
        let volume = volumes.iter().find(|volume| volume.root.drive() == path.drive())?;
        let Some(target) = volume.target.as_deref().filter(|_| volume.kind == VolumeKind::Subst) else {
            break;
        };
        let target = on_drive(volumes, parse(target, None).ok()?)?;
        path = path.components().fold(target, |at, name| at.join(name));
    }
    let drive = path.ancestors().last()?;
    Some((drive, path.components().rev().map(str::to_owned).collect()))
}

fn on_drive(volumes: &[Volume], parsed: Parsed) -> Option<WinPath> {
    match parsed {
        Parsed::Drive { path, .. } => Some(path),
        Parsed::Volume { volume, rest } => {
            let known = volumes
                .iter()
                .find(|known| known.guid.as_deref().is_some_and(|guid| same_name(guid, &volume)))?;
            match parse(&format!(r"\\?\{}{rest}", known.root), None).ok()? {
                Parsed::Drive { path, .. } => Some(path),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The name behind an 8.3 alias, which becomes a node with that alias.
fn real_name<H: Host>(host: &H, nodes: &mut Nodes<'_, H>, folder: &WinPath, name: &str) -> String {
    if !looks_like_short_name(name) {
        return name.to_owned();
    }
    let real = host.open(&folder.join(name), AccessMask::NONE).and_then(|handle| host.path(&handle)).ok();
    let Some(real) = real.filter(|real| real.parent().as_ref() == Some(folder)) else {
        return name.to_owned();
    };
    let real_name = real.name().unwrap_or(name).to_owned();
    if !same_name(&real_name, name)
        && let Some(node) = nodes.add(&real).cloned()
    {
        nodes.replace(crate::plan::facts::Node { short_name: Some(name.to_owned()), ..node });
    }
    real_name
}
