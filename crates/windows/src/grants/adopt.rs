//! What earlier runs left on a root whose state was lost: known by shapes that only we make.

use nt_security::ace::{Ace, AceFlags, AceKind};
use nt_security::token::integrity;
use nt_security::{AccessMask, LabelPolicy, SecurityDescriptor, Sid};

use super::report::GrantError;
use crate::host::{Host, HostErrorKind};
use crate::plan::context::{CONTROL, GRANT};
use crate::plan::facts::{NodeKind, WriteSid};
use crate::plan::inherit;
use crate::plan::path::WinPath;
use crate::state::{KnownSid, Record, What};

/// The variant of SIDs that were found and not given out.
const VARIANT: &str = "found";

/// Write SIDs that stand on a folder: `S-1-5-21-a-b-c-d` with our pair of explicit ACEs, all of the tree is granted, its
/// descriptors are denied.
pub(crate) fn write_sids(descriptor: &SecurityDescriptor) -> Vec<Sid> {
    let aces = descriptor.dacl().map_or(&[][..], |acl| &acl.aces);
    let is_tree = |ace: &&Ace| ace.flags() == AceFlags::INHERIT_ALL;
    let of =
        |kind, mask| aces.iter().filter(is_tree).filter(move |ace| ace.kind() == kind && ace.mask() == mask);
    let granted: Vec<Sid> = of(AceKind::Allow, GRANT).filter_map(|ace| ace.sid().copied()).collect();
    let denied: Vec<Sid> = of(AceKind::Deny, CONTROL).filter_map(|ace| ace.sid().copied()).collect();
    let has_form = |sid: &Sid| {
        sid.authority() == 5 && sid.sub_authorities().len() == 5 && sid.sub_authorities()[0] == 21
    };
    granted.into_iter().filter(|sid| denied.contains(sid) && has_form(sid)).collect()
}

/// What was found below a root.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Its SIDs that `known` does not have, for nobody's use any more.
    pub(crate) sids: Vec<KnownSid>,
    /// What stands on its objects.
    pub(crate) records: Vec<Record>,
}

/// Looks through a root for what nobody remembers. Nothing is changed. `user` is whose rights we limit.
///
/// # Errors
/// [`GrantError`] when this process is dying; what cannot be opened is passed by.
pub(crate) fn find<H: Host>(
    host: &H,
    root: &WinPath,
    known: &[KnownSid],
    user: Sid,
) -> Result<Found, GrantError> {
    let mut found = Found::default();
    let rights = AccessMask::READ_CONTROL | AccessMask::FILE_LIST_DIRECTORY;
    let Some(top) = alive(host.open(root, rights))? else { return Ok(found) };
    let is_known = |sid: &Sid| known.iter().any(|known| known.sid.sid.0 == *sid);
    let mut sids = alive(host.descriptor(&top))?.map_or_else(Vec::new, |descriptor| write_sids(&descriptor));
    sids.retain(|sid| !is_known(sid));
    if sids.is_empty() {
        return Ok(found);
    }
    let file_id = alive(host.info(&top))?.map(|info| info.id);
    let write_sid =
        |sid: &Sid| WriteSid { root: root.clone(), variant: VARIANT.to_owned(), sid: (*sid).into() };
    found.sids.extend(sids.iter().map(|sid| KnownSid { sid: write_sid(sid), file_id, retired: true }));
    let mut folders = vec![(root.clone(), top)];
    while let Some((path, folder)) = folders.pop() {
        found.look(host, &path, &folder, &sids, user)?;
        for entry in alive(host.list(&folder))?.unwrap_or_default() {
            let path = path.join(&entry.name);
            let list = if entry.kind == NodeKind::Folder {
                AccessMask::FILE_LIST_DIRECTORY
            } else {
                AccessMask::NONE
            };
            let rights = AccessMask::READ_CONTROL | list;
            let Some(child) = alive(host.open_child(&folder, &entry.name, rights))? else { continue };
            if entry.kind == NodeKind::Folder {
                folders.push((path, child));
            } else {
                found.look(host, &path, &child, &sids, user)?;
            }
        }
    }
    Ok(found)
}

fn alive<T>(result: Result<T, crate::host::HostError>) -> Result<Option<T>, GrantError> {
    match result {
        Err(error) if error.kind == HostErrorKind::Killed => Err(error.into()),
        result => Ok(result.ok()),
    }
}

impl Found {
    fn look<H: Host>(
        &mut self,
        host: &H,
        path: &WinPath,
        handle: &H::Handle,
        sids: &[Sid],
        user: Sid,
    ) -> Result<(), GrantError> {
        let Some(descriptor) = alive(host.descriptor(handle))? else { return Ok(()) };
        let file_id = alive(host.info(handle))?.map(|info| info.id);
        let record = |what| Record { path: path.clone(), file_id, what, removing: false };
        self.records.extend(stated(&descriptor, sids, user).into_iter().map(record));
        Ok(())
    }
}

/// Explicit ACEs and a label of ours on one object.
fn stated(descriptor: &SecurityDescriptor, sids: &[Sid], user: Sid) -> Vec<What> {
    let aces = descriptor.dacl().map_or(&[][..], |acl| &acl.aces);
    let own = || aces.iter().filter(|ace| !ace.is_inherited());
    let is_for_us = |ace: &&Ace| ace.sid().is_some_and(|sid| sids.contains(sid));
    let is_ours = own().any(|ace| is_for_us(&ace));
    // Taking away his own right to delete what he has, or giving himself the right to label it, is what no user does by hand.
    let limits_user = |ace: &&Ace| {
        let shapes =
            [(AceKind::Deny, AccessMask::FILE_DELETE_CHILD), (AceKind::Allow, AccessMask::WRITE_OWNER)];
        is_ours && ace.sid() == Some(&user) && shapes.contains(&(ace.kind(), ace.mask()))
    };
    let mut stated: Vec<What> =
        own().filter(|ace| is_for_us(ace) || limits_user(ace)).cloned().map(What::Ace).collect();
    let label = inherit::label_aces(descriptor).into_iter().find(|ace| !ace.is_inherited());
    let level = label.as_ref().and_then(Ace::as_label);
    let ours = match level {
        Some((integrity::MEDIUM_LOW, LabelPolicy::NO_WRITE_UP)) => true,
        Some((integrity::MEDIUM, LabelPolicy::NO_WRITE_UP)) => is_ours,
        _ => false,
    };
    stated.extend(label.filter(|_| ours).map(|label| What::Label { label, replaces: None }));
    stated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_of_ours_is_recognised_and_a_users_own_is_not() {
        let text = "D:(D;OICI;0xc0000;;;S-1-5-21-1-2-3-4)(A;OICI;0x1301bf;;;S-1-5-21-1-2-3-4)\
                    (A;OICI;0x1301bf;;;S-1-5-21-9-9-9-1001)(D;OICI;0xc0000;;;WD)(A;OICI;0x1301bf;;;WD)";
        let descriptor = SecurityDescriptor::from_sddl(text).unwrap();
        assert_eq!(write_sids(&descriptor), [Sid::constant(5, [21, 1, 2, 3, 4])]);
    }

    #[test]
    fn what_the_user_stated_himself_stays() {
        let (ours, user) = (Sid::constant(5, [21, 1, 2, 3, 4]), Sid::constant(5, [21, 9, 9, 9, 1001]));
        let stated_on = |text: &str| {
            let descriptor = SecurityDescriptor::from_sddl(text).unwrap();
            stated(&descriptor, &[ours], user).len()
        };
        let (mine, own) = ("(D;;SD;;;S-1-5-21-1-2-3-4)", "(D;;0x40;;;S-1-5-21-9-9-9-1001)");
        assert_eq!(stated_on(&format!("D:{mine}{own}(A;OICI;FA;;;S-1-5-21-9-9-9-1001)")), 2);
        assert_eq!(stated_on(&format!("D:{own}")), 0);
        assert_eq!(stated_on("D:S:(ML;;NW;;;ME)"), 0);
        assert_eq!(stated_on(&format!("D:{mine}S:(ML;OICI;NW;;;ME)")), 2);
        assert_eq!(stated_on("D:S:(ML;OICI;NW;;;S-1-16-6144)"), 1);
    }
}
