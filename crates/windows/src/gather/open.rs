//! What lies in folders outside the roots that Everyone may write and that no label closes: a deny on the folder is inherited by
//! what it holds, and an inherited deny loses to an explicit allow there. So each such object becomes a node, and is closed by itself.

use nt_security::token::integrity;
use nt_security::{SecurityDescriptor, well_known};

use super::Gatherer;
use crate::host::Host;
use crate::plan::context::WRITES;
use crate::plan::facts::NodeKind;
use crate::plan::path::WinPath;

/// The most objects that are looked at in all such folders together.
const MOST: usize = 4096;

impl<H: Host> Gatherer<'_, H> {
    /// Adds what such folders hold, as far as they were found.
    pub(super) fn open_trees(&mut self, roots: &[WinPath]) {
        let volumes = self.described.volumes.iter().filter(|volume| !volume.labels);
        let unlabelled: Vec<char> = volumes.map(|volume| volume.root.drive()).collect();
        let is_open = |path: &WinPath, descriptor: &SecurityDescriptor| {
            let in_roots = roots.iter().any(|root| path.is_in(root) || root.is_in(path));
            let is_labelled = !unlabelled.contains(&path.drive());
            let is_closed = in_roots || is_labelled && descriptor.label().level > integrity::MEDIUM_LOW;
            !is_closed && may_write(descriptor)
        };
        let mut folders: Vec<WinPath> = self.nodes.described_folders(is_open);
        let mut left = MOST;
        while let Some(folder) = folders.pop() {
            for entry in self.nodes.list(&folder) {
                if left == 0 {
                    return;
                }
                left -= 1;
                let path = folder.join(&entry.name);
                let is_folder = self.nodes.add(&path).is_some_and(|node| node.kind == NodeKind::Folder);
                if is_folder {
                    folders.push(path);
                }
            }
        }
    }
}

/// Whether Everyone may change the object or what it holds.
fn may_write(descriptor: &SecurityDescriptor) -> bool {
    let Some(acl) = descriptor.dacl() else { return true };
    let mapping = nt_security::ObjectType::File.mapping();
    acl.aces.iter().any(|ace| {
        let allows = ace.kind().effect() == Some(nt_security::ace::AceEffect::Allow);
        allows && ace.sid() == Some(&well_known::EVERYONE) && mapping.map(ace.mask()).intersects(WRITES)
    })
}
