//! Names and objects: several names may be one object.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nt_security::{Acl, AclField, Control, SecurityDescriptor, Sid};

use super::fault::Faults;
use super::{Entry, Parts, Tree, TreeNode, WinPath, inherit, same_name};

/// A file or folder, whatever its names.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) node: TreeNode,
    pub(super) short_name: Option<String>,
}

impl Object {
    /// What NtSetSecurityObject does with DACL and label information: other ACEs of the SACL stay.
    pub(super) fn set_security(&mut self, new: &SecurityDescriptor, parts: Parts) {
        let own = &mut self.node.descriptor;
        if parts.dacl {
            let bits = Control::DACL_PROTECTED | Control::DACL_AUTO_INHERITED;
            own.control = own.control.without(bits) | new.control & bits;
            own.dacl = new.dacl.clone();
        }
        if parts.label {
            let bits = Control::SACL_PROTECTED | Control::SACL_AUTO_INHERITED;
            own.control = own.control.without(bits) | new.control & bits;
            let labels = inherit::label_aces(new);
            let old = own.sacl().map_or_else(Vec::new, |acl| acl.aces.clone());
            let is_label = |ace: &nt_security::Ace| ace.kind() == nt_security::AceKind::MandatoryLabel;
            let kept = old.into_iter().filter(|ace| !is_label(ace));
            let aces: Vec<_> = labels.into_iter().chain(kept).collect();
            own.sacl = if aces.is_empty() { AclField::Absent } else { AclField::List(Acl::new(aces)) };
        }
    }
}

/// The disk of a machine, all volumes in one.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) names: BTreeMap<WinPath, u64>,
    pub(super) objects: HashMap<u64, Object>,
    pub(super) held: BTreeSet<WinPath>,
    pub(super) faults: Faults,
    pub(super) threads: usize,
    next: u64,
    sids: u32,
}

impl Disk {
    pub(super) fn new(tree: &Tree) -> Self {
        let mut disk = Self { next: 1, threads: 1, ..Self::default() };
        for (path, node) in tree.iter() {
            disk.put(path.clone(), node.clone());
        }
        disk
    }

    pub(super) fn set_short_name(&mut self, path: &WinPath, short_name: Option<String>) {
        let object = self.names.get(path).and_then(|id| self.objects.get_mut(id));
        if let Some(object) = object {
            object.short_name = short_name;
        }
    }

    pub(super) fn get(&self, path: &WinPath) -> Option<&Object> {
        self.names.get(path).and_then(|id| self.objects.get(id))
    }

    pub(super) fn put(&mut self, path: WinPath, node: TreeNode) -> u64 {
        let id = self.next;
        self.next += 1;
        // A path of another case would keep the first spelling.
        self.names.remove(&path);
        self.names.insert(path, id);
        self.objects.insert(id, Object { node, short_name: None });
        id
    }

    pub(super) fn link(&mut self, file: &WinPath, name: WinPath) {
        let Some(id) = self.names.get(file).copied() else { return };
        self.names.insert(name, id);
        let links = self.names.values().filter(|other| **other == id).count() as u32;
        if let Some(object) = self.objects.get_mut(&id) {
            object.node.links = links;
        }
    }

    fn within(&self, path: &WinPath) -> Vec<WinPath> {
        let below = self.names.range(path.clone()..).map(|(at, _)| at);
        below.take_while(|at| at.is_in(path)).cloned().collect()
    }

    pub(super) fn rename(&mut self, from: &WinPath, to: &WinPath) {
        for old in self.within(from) {
            let below = old.below(from).unwrap_or_default().join("\\");
            let new = if below.is_empty() { to.clone() } else { to.join(&below) };
            if let Some(id) = self.names.remove(&old) {
                self.names.insert(new, id);
            }
        }
    }

    pub(super) fn delete(&mut self, path: &WinPath) {
        for at in self.within(path) {
            let Some(id) = self.names.remove(&at) else { continue };
            let links = self.names.values().filter(|other| **other == id).count() as u32;
            if links == 0 {
                self.objects.remove(&id);
            } else if let Some(object) = self.objects.get_mut(&id) {
                object.node.links = links;
            }
        }
    }

    pub(super) fn children(&self, folder: &WinPath) -> Vec<Entry> {
        let depth = folder.depth() + 1;
        let below = self.names.range(folder.clone()..).skip_while(|(at, _)| *at == folder);
        let below = below.take_while(|(at, _)| at.is_below(folder)).filter(|(at, _)| at.depth() == depth);
        let entry = |(at, id): (&WinPath, &u64)| {
            let object = &self.objects[id];
            let (kind, short_name) = (object.node.kind, object.short_name.clone());
            Entry { name: at.name().unwrap_or_default().to_owned(), kind, short_name }
        };
        below.map(entry).collect()
    }

    /// The name under which an object was opened, if it still has it, or another one of its names.
    pub(super) fn path_of(&self, id: u64, opened: &WinPath) -> Option<WinPath> {
        if self.names.get(opened) == Some(&id) {
            return Some(opened.clone());
        }
        self.names.iter().find(|(_, other)| **other == id).map(|(path, _)| path.clone())
    }

    /// The path with 8.3 aliases replaced.
    pub(super) fn real_path(&self, path: &WinPath) -> WinPath {
        if self.names.contains_key(path) {
            return path.clone();
        }
        let Some(drive) = path.ancestors().last() else { return path.clone() };
        path.components().fold(drive, |at, name| {
            let next = at.join(name);
            if self.names.contains_key(&next) {
                return next;
            }
            let alias =
                |entry: &Entry| entry.short_name.as_deref().is_some_and(|short| same_name(short, name));
            self.children(&at).into_iter().find(alias).map_or(next, |entry| at.join(&entry.name))
        })
    }

    pub(super) fn random_sid(&mut self) -> Sid {
        self.sids += 1;
        // Spread over the words as the real ones are, and the same in each run of a test.
        let word = |n: u32| self.sids.wrapping_mul(0x9E37_79B9).rotate_left(n) | 1;
        Sid::constant(5, [21, word(0), word(7), word(13), word(21)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_leaves_other_aces_of_the_sacl() {
        let read = |text: &str| SecurityDescriptor::from_sddl(text).unwrap();
        let node =
            TreeNode::plain(crate::plan::facts::NodeKind::File, read("D:S:(AU;SA;FA;;;WD)(ML;;NW;;;ME)"));
        let mut object = Object { node, short_name: None };
        let parts = Parts { dacl: false, label: true };
        object.set_security(&read("D:(A;;FA;;;WD)S:(ML;;NW;;;LW)"), parts);
        let text = object.node.descriptor.to_sddl();
        assert_eq!(text, "D:S:(ML;;NW;;;S-1-16-4096)(AU;SA;0x1f01ff;;;S-1-1-0)");
    }
}
