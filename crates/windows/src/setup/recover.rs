//! What of ours is on a machine, by what is there: for a journal that was lost, or whose process ended between a thing and
//! the note of its SID.

use nt_security::{AceKind, Sid};

use super::error::SetupError;
use super::journal::Thing;
use super::machine::{Machine, MachineErrorKind};
use super::names::Which;
use super::plan::{DENIED_RIGHTS, MARK, Request};
use super::steps::{firewall_rule, wfp_plan};
use crate::plan::path::WinPath;

/// Everything that is recognised as ours under the request's prefix, in the order of the steps.
///
/// # Errors
/// What cannot be asked. Parts that this system does not have, or does not show us, hold nothing of ours.
pub fn things<M: Machine>(machine: &M, request: &Request) -> Result<Vec<Thing>, SetupError> {
    let asked = |error| SetupError::of("recover", error);
    let names = &request.names;
    let mut things = Vec::new();
    let group = machine.group(&names.group()).map_err(asked)?.filter(|group| group.comment.ends_with(MARK));
    if let Some(group) = &group {
        things.push(Thing::Prefix { prefix: names.prefix().to_owned() });
        things.push(Thing::Group { name: names.group(), sid: Some(group.sid.into()) });
    }
    for which in Which::ALL {
        account(machine, request, which, &mut things)?;
    }
    let anybody = nt_security::well_known::ANONYMOUS;
    let rule = firewall_rule(names, &anybody).rule.name;
    let rules = or_nothing(machine.firewall_rules(&rule)).map_err(asked)?.unwrap_or_default();
    if rules.iter().any(|rule| rule.description.ends_with(MARK)) {
        things.push(Thing::Firewall { name: rule });
    }
    if or_nothing(machine.wfp(&wfp_plan(names, &anybody))).map_err(asked)?.flatten().is_some() {
        things.push(Thing::Wfp { prefix: names.prefix().to_owned() });
    }
    folders(machine, request, &mut things)?;
    Ok(things)
}

fn account<M: Machine>(
    machine: &M,
    request: &Request,
    which: Which,
    things: &mut Vec<Thing>,
) -> Result<(), SetupError> {
    let asked = |error| SetupError::of("recover", error);
    let name = request.names.account(which);
    let user = machine.user(&name).map_err(asked)?;
    let Some(user) = user.filter(|user| user.comment.ends_with(MARK)) else { return Ok(()) };
    things.push(Thing::User { name: name.clone(), sid: Some(user.sid.into()) });
    if machine.is_hidden(&name).map_err(asked)? {
        things.push(Thing::Hidden { name });
    }
    let rights = or_nothing(machine.rights(&user.sid)).map_err(asked)?.unwrap_or_default();
    for right in DENIED_RIGHTS.into_iter().filter(|right| rights.contains(*right)) {
        things.push(Thing::Right { account: user.sid.into(), right: right.to_owned() });
    }
    Ok(())
}

/// Folders of ours, and for whom the passwords are sealed.
fn folders<M: Machine>(machine: &M, request: &Request, things: &mut Vec<Thing>) -> Result<(), SetupError> {
    let asked = |error| SetupError::of("recover", error);
    let folder = &request.folder;
    for path in [folder.programs(), folder.credentials()] {
        let Some(found) = or_nothing(machine.file(&path)).map_err(asked)?.flatten() else { continue };
        if found.is_folder && !found.is_link {
            things.push(Thing::Folder { path: path.clone() });
        }
        if path != folder.credentials() {
            continue;
        }
        let aces = found.descriptor.dacl().map_or(&[][..], |acl| &acl.aces);
        let allowed = aces.iter().filter(|ace| ace.kind() == AceKind::Allow).filter_map(|ace| ace.sid());
        for user in allowed.filter(|sid| is_somebody(sid)) {
            things.push(Thing::RealUser { sid: (*user).into() });
            things.push(Thing::Reads { user: (*user).into() });
        }
    }
    Ok(())
}

/// An account of a machine or domain, or of Entra ID (S-1-12-1-…).
pub fn is_somebody(sid: &Sid) -> bool {
    let text = sid.to_string();
    text.starts_with("S-1-5-21-") || text.starts_with("S-1-12-1-")
}

/// What this system does not have, or does not show us, is as good as nothing.
fn or_nothing<T>(
    result: Result<T, super::machine::MachineError>,
) -> Result<Option<T>, super::machine::MachineError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.kind {
            MachineErrorKind::Unsupported | MachineErrorKind::AccessDenied | MachineErrorKind::NoService => {
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

/// The folder of a real user's profile, for read grants that nobody noted.
pub(super) fn profile<M: Machine>(machine: &M, user: &Sid) -> Option<WinPath> {
    machine.profile(user).ok().flatten()
}
