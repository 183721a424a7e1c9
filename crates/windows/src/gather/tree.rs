//! The walk through a root for objects that are not what inheritance would have made them, and for protected names.

use std::sync::{Arc, Mutex};

use nt_security::ace::Ace;
use nt_security::{AccessMask, Control, SecurityDescriptor, Sid, Token, well_known};

use super::nodes::Nodes;
use crate::grants::walk::{Below, Counters, Look, Stop, Visitor, Walk, lock};
use crate::grants::{GrantError, Quiet, Refused};
use crate::host::{Described, Entry, Host, HostError, Info};
use crate::plan::facts::NodeKind;
use crate::plan::inherit;
use crate::plan::path::WinPath;
use crate::plan::refuse::is_ssh;
use crate::plan::rules::{Rule, Rules};
use crate::plan::tree::TreeNode;
use crate::plan::wanted::own_label;
use crate::state::Original;

/// Adds what matters at and below `top`.
///
/// # Errors
/// What ends every walk; objects that cannot be read are left out.
pub(super) fn look<H: Host>(
    host: &H,
    nodes: &mut Nodes<'_, H>,
    top: &WinPath,
    rules: &Rules,
    described: &Described,
) -> Result<(), GrantError> {
    let looking = Looking { host, rules, described, found: Mutex::default() };
    let counters = Counters::default();
    let walk = Walk::new(host, &looking, &Quiet, &counters);
    match walk.run(top, &Down { folder: None }) {
        // Nobody listens who could cancel, and nothing is noted.
        Ok(()) | Err(Stop::Cancelled) => {}
        Err(Stop::Host(error)) => return Err(error.into()),
        Err(Stop::State(error)) => return Err(error.into()),
    }
    for path in std::mem::take(&mut *lock(&looking.found)) {
        nodes.add(&path);
    }
    Ok(())
}

struct Looking<'a, H: Host> {
    host: &'a H,
    rules: &'a Rules,
    described: &'a Described,
    found: Mutex<Vec<WinPath>>,
}

struct Down {
    folder: Option<SecurityDescriptor>,
}

impl<H: Host> Looking<'_, H> {
    fn open(
        &self,
        folder: Option<&H::Handle>,
        path: &WinPath,
        entry: Option<&Entry>,
    ) -> Result<(H::Handle, Info, Option<SecurityDescriptor>), HostError> {
        let open = |rights| match (folder, path.name()) {
            (Some(folder), Some(name)) => self.host.open_child(folder, name, rights),
            _ => self.host.open(path, rights),
        };
        let may_hold = entry.is_none_or(|entry| entry.kind == NodeKind::Folder);
        let list = if may_hold { AccessMask::FILE_LIST_DIRECTORY } else { AccessMask::NONE };
        let tries = [AccessMask::READ_CONTROL | list, AccessMask::READ_CONTROL, list];
        let mut last = None;
        for rights in tries {
            match open(rights) {
                Ok(handle) => {
                    let info = self.host.info(&handle)?;
                    let descriptor = self.host.descriptor(&handle).ok();
                    return Ok((handle, info, descriptor));
                }
                Err(error) if error.is_denied() => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| HostError::new(crate::host::HostErrorKind::Other, "open", path)))
    }

    /// Whether the rules of the policy begin to differ at this object.
    fn is_named(&self, path: &WinPath) -> bool {
        match self.rules.decide(path).rule {
            Rule::Protected { path: at, .. } | Rule::GitDir { path: at } | Rule::DenyRead { path: at } => {
                at == *path
            }
            Rule::GitCode { .. } => true,
            _ => false,
        }
    }

    /// Whether planning could take the object for something else than it is if it were not listed.
    fn is_odd(&self, node: &TreeNode, folder: Option<&SecurityDescriptor>) -> bool {
        node.has_null_dacl()
            || node.is_hard_linked()
            || node.kind.is_link()
            || node.descriptor.control.intersects(Control::DACL_PROTECTED | Control::SACL_PROTECTED)
            || own_label(node).is_some()
            || self.has_odd_owner(node)
            || has_own_aces(node, folder)
    }

    fn has_odd_owner(&self, node: &TreeNode) -> bool {
        let usual = [self.described.user.sid.0, well_known::ADMINISTRATORS, well_known::SYSTEM];
        node.descriptor.owner.is_none_or(|owner| !usual.contains(&owner))
    }
}

/// Whether ACEs stand on the object that its folder did not pass on, marked or not.
fn has_own_aces(node: &TreeNode, folder: Option<&SecurityDescriptor>) -> bool {
    let aces = node.descriptor.dacl().map_or(&[][..], |acl| &acl.aces);
    if aces.iter().all(Ace::is_inherited) {
        return false;
    }
    let Some(folder) = folder else { return true };
    let creator = Token::new(node.descriptor.owner.unwrap_or(Sid::constant(5, [18])));
    let made = inherit::created(folder, node.kind, &creator);
    let expected = made.dacl().map_or(&[][..], |acl| &acl.aces);
    let same = |(a, b): (&Ace, &Ace)| inherit::without_mark(a) == inherit::without_mark(b);
    aces.len() != expected.len() || !aces.iter().zip(expected).all(same)
}

impl<H: Host> Visitor<H> for Looking<'_, H> {
    type Down = Down;

    fn look(
        &self,
        folder: Option<&H::Handle>,
        path: &WinPath,
        entry: Option<&Entry>,
        down: &Down,
    ) -> Result<Option<Look<H, Down>>, Stop> {
        let named = self.is_named(path);
        let (handle, info, descriptor) = match self.open(folder, path, entry) {
            Ok(opened) => opened,
            Err(error) if error.is_killed() => return Err(Stop::Host(error)),
            Err(_) => {
                if named {
                    lock(&self.found).push(path.clone());
                }
                return Ok(None);
            }
        };
        let unread = descriptor.is_none();
        let node =
            TreeNode { links: info.links, ..TreeNode::plain(info.kind, descriptor.unwrap_or_default()) };
        let is_ssh = path.name().is_some_and(is_ssh);
        if named || unread || is_ssh || self.is_odd(&node, down.folder.as_ref()) {
            lock(&self.found).push(path.clone());
        }
        let down = (info.kind == NodeKind::Folder && !is_ssh)
            .then(|| Down { folder: (!unread).then(|| node.descriptor.clone()) });
        Ok(Some(Look {
            handle: Arc::new(handle),
            path: path.clone(),
            write: None,
            original: None,
            down,
            again: false,
        }))
    }

    fn note(&self, _: &[Original]) -> Result<(), Stop> {
        Ok(())
    }

    fn written(&self, _: &Look<H, Down>) {}

    fn below(&self, _: &WinPath, _: &Down) -> Below {
        Below::All
    }

    fn known_below(&self, _: &WinPath) -> Vec<String> {
        Vec::new()
    }

    fn refused(&self, _: Refused) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_without_a_mark_are_not_taken_for_own_aces() {
        let read = |text: &str| SecurityDescriptor::from_sddl(text).unwrap();
        let folder = read("O:SYD:(A;OICI;FA;;;SY)(A;OICIIO;GA;;;CO)");
        let odd = |text: &str| has_own_aces(&TreeNode::plain(NodeKind::File, read(text)), Some(&folder));
        assert!(!odd("O:SYD:(A;;FA;;;SY)(A;;FA;;;SY)"));
        assert!(!odd("O:BAD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)"));
        assert!(odd("O:SYD:(A;;FA;;;SY)(A;;FA;;;BU)(A;;FA;;;SY)"));
        assert!(odd("O:SYD:AI(D;;SD;;;WD)(A;ID;FA;;;SY)(A;ID;FA;;;SY)"));
    }
}
