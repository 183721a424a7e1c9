//! What granting does to one object: what the plan's own walk says, asked of the machine instead of the model.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use nt_security::{AccessMask, SecurityDescriptor, Sid};

use super::report::{LeftAlone, Refused};
use super::targets::{Target, Targets};
use super::undo::{Gone, Ours, same, same_dacl, same_label, undo};
use super::walk::{Below, Counters, Look, Stop, Visitor, lock};
use crate::host::{Entry, FileId, Host, HostError, Info, Parts};
use crate::plan::apply::{May, NodeChanges, Passed, change};
use crate::plan::data::{By, WindowsPlan};
use crate::plan::facts::NodeKind;
use crate::plan::path::WinPath;
use crate::plan::refuse::is_ssh;
use crate::plan::tree::TreeNode;
use crate::state::{Original, Record, State};

/// Reading a descriptor.
const LOOK: AccessMask = AccessMask::READ_CONTROL;

/// What a folder passes on.
pub(super) struct Down {
    passed: Passed,
    /// The folder as it is by now; `None` where it cannot be read.
    after: Option<SecurityDescriptor>,
    /// The folder without what is ours.
    bare: Option<SecurityDescriptor>,
    /// What teardown would take from the folder.
    gone: Gone,
    /// Something new comes down, so everything below is visited.
    spread: bool,
}

/// The rights that a handle has.
#[derive(Clone, Copy)]
struct Held {
    dacl: bool,
    owner: bool,
}

impl May for Held {
    fn may(&self, by: By, _: &SecurityDescriptor, right: AccessMask) -> bool {
        by == By::Run && if right == AccessMask::WRITE_OWNER { self.owner } else { self.dacl }
    }
}

/// Grants a plan.
pub(super) struct Granting<'a, H: Host> {
    host: &'a H,
    state: &'a State,
    targets: &'a Targets<'a>,
    granted: Vec<WinPath>,
    /// SIDs that only we use.
    sids: HashSet<Sid>,
    records: HashMap<WinPath, Vec<Record>>,
    originals: Mutex<HashMap<FileId, Original>>,
    /// Trees in which nothing of ours stood before.
    fresh: Vec<WinPath>,
    /// Objects that were written once and are looked at again.
    begun: Mutex<HashSet<WinPath>>,
    unlabelled_drives: Vec<char>,
    counters: Counters,
    refused: Mutex<Vec<Refused>>,
    skipped: Mutex<Vec<LeftAlone>>,
}

impl<'a, H: Host> Granting<'a, H> {
    pub(super) fn new(
        plan: &WindowsPlan,
        host: &'a H,
        state: &'a State,
        targets: &'a Targets<'a>,
        before: &[Record],
    ) -> Result<Self, Stop> {
        let volumes = host.describe().map_err(Stop::Host)?.volumes;
        let known = state.write_sids().map_err(Stop::State)?;
        let sids =
            known.iter().map(|known| known.sid.sid.0).chain(plan.write_sids.iter().map(|sid| sid.sid.0));
        let mut records: HashMap<WinPath, Vec<Record>> = HashMap::new();
        for record in state.journal().map_err(Stop::State)? {
            records.entry(record.path.clone()).or_default().push(record);
        }
        let originals = state.originals(None).map_err(Stop::State)?;
        let originals: HashMap<_, _> =
            originals.into_iter().map(|original| (original.file_id, original)).collect();
        let touched = |top: &WinPath| before.iter().any(|record| record.path.is_in(top));
        let fresh = targets.tops().into_iter().filter(|top| !touched(top)).collect();
        let unlabelled = volumes.iter().filter(|volume| !volume.labels).map(|volume| volume.root.drive());
        Ok(Self {
            host,
            state,
            targets,
            granted: super::granted(plan).cloned().collect(),
            sids: sids.collect(),
            records,
            originals: Mutex::new(originals),
            fresh,
            begun: Mutex::default(),
            unlabelled_drives: unlabelled.collect(),
            counters: Counters::default(),
            refused: Mutex::default(),
            skipped: Mutex::default(),
        })
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn lists(&self) -> (Vec<Refused>, Vec<LeftAlone>) {
        (std::mem::take(&mut *lock(&self.refused)), std::mem::take(&mut *lock(&self.skipped)))
    }

    /// What the folder above a top passes on: nothing of ours.
    pub(super) fn above(&self, top: &WinPath) -> Down {
        let folder = top.parent().and_then(|folder| self.host.open(&folder, LOOK).ok());
        let after = folder.and_then(|folder| self.host.descriptor(&folder).ok());
        let bare = after.clone();
        Down { passed: Passed::default(), after, bare, gone: Gone::default(), spread: false }
    }

    fn skip(&self, path: &WinPath, reason: &str) {
        self.counters.skipped.fetch_add(1, Ordering::Relaxed);
        lock(&self.skipped).push(LeftAlone { path: path.clone(), reason: reason.to_owned() });
    }

    fn refuse(&self, error: HostError) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        lock(&self.refused).push(Refused::of(error));
    }

    fn open(
        &self,
        folder: Option<&H::Handle>,
        path: &WinPath,
        rights: AccessMask,
    ) -> Result<H::Handle, HostError> {
        match (folder, path.name()) {
            (Some(folder), Some(name)) => self.host.open_child(folder, name, rights),
            _ => self.host.open(path, rights),
        }
    }

    /// Opens with as many rights as it gives; says why it gives no more.
    fn open_best(
        &self,
        folder: Option<&H::Handle>,
        path: &WinPath,
        wants: &Wants,
    ) -> Result<(H::Handle, Held, Option<HostError>), HostError> {
        let list = if wants.list { AccessMask::FILE_LIST_DIRECTORY } else { AccessMask::NONE };
        let (write, owner) = (LOOK | AccessMask::WRITE_DAC, AccessMask::WRITE_OWNER);
        let mut tries = Vec::with_capacity(8);
        if wants.write && wants.label {
            tries.push((write | owner | list, Held { dacl: true, owner: true }));
            tries.push((write | owner, Held { dacl: true, owner: true }));
        }
        if wants.write {
            tries.push((write | list, Held { dacl: true, owner: false }));
            tries.push((write, Held { dacl: true, owner: false }));
        }
        if wants.write && wants.label {
            // SeTakeOwnershipPrivilege gives WRITE_OWNER where the DACL gives nothing.
            tries.push((LOOK | owner | list, Held { dacl: false, owner: true }));
            tries.push((LOOK | owner, Held { dacl: false, owner: true }));
        }
        tries.push((LOOK | list, Held { dacl: false, owner: false }));
        tries.push((LOOK, Held { dacl: false, owner: false }));
        let mut refusal = None;
        for (rights, held) in tries {
            match self.open(folder, path, rights) {
                Ok(handle) => return Ok((handle, held, refusal)),
                Err(error) if error.is_denied() => {
                    refusal.get_or_insert(error.at(path));
                }
                Err(error) => return Err(error.at(path)),
            }
        }
        Err(refusal.unwrap_or_else(|| HostError::new(crate::host::HostErrorKind::Other, "open", path)))
    }

    /// Opens and reads an object; `None` if it is gone, or refuses, which is listed if something was to be done.
    fn open_and_read(
        &self,
        folder: Option<&H::Handle>,
        path: &WinPath,
        wants: &Wants,
    ) -> Result<Option<Opened<H>>, Stop> {
        let opened = self.open_best(folder, path, wants).and_then(|(handle, held, refusal)| {
            let info = self.host.info(&handle)?;
            let descriptor = self.host.descriptor(&handle)?;
            Ok(Opened { handle, held, refusal, info, descriptor })
        });
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.is_killed() => Err(Stop::Host(error)),
            Err(error) => {
                // What was deleted meanwhile needs nothing.
                let is_gone = error.is_not_found() && self.targets.get(path).is_none();
                if wants.write && !is_gone {
                    self.refuse(error.at(path));
                }
                Ok(None)
            }
        }
    }

    /// Why an object that the plan does not name is left alone.
    fn left_alone(&self, path: &WinPath, node: &TreeNode) -> Option<&'static str> {
        // Outside, only rights of the user himself are taken away, which OpenSSH does not mind.
        let is_inside = self.granted.iter().any(|root| path.is_in(root));
        if is_inside && path.name().is_some_and(is_ssh) {
            return Some(
                "OpenSSH refuses keys that another principal may read, so nothing is added below .ssh",
            );
        }
        if node.is_hard_linked() {
            return Some(
                "it has several names, and its descriptor is shared with names that may lie elsewhere",
            );
        }
        node.has_null_dacl()
            .then_some("it has no DACL: one ACE would turn \"everyone\" into \"only that SID\"")
    }

    fn node(&self, entry: Option<&Entry>, info: &Info, descriptor: SecurityDescriptor) -> TreeNode {
        let kind = entry.map_or(info.kind, |entry| if info.kind.is_link() { info.kind } else { entry.kind });
        TreeNode { links: info.links, ..TreeNode::plain(kind, descriptor) }
    }

    /// On the way to something that the plan names below an object that is left alone.
    fn pass_through(&self, folder: Option<&H::Handle>, path: &WinPath) -> Option<Look<H, Down>> {
        if !self.targets.lies_above(path) {
            return None;
        }
        let handle = self.open(folder, path, LOOK).ok()?;
        let after = self.host.descriptor(&handle).ok();
        let (passed, gone, bare) = (Passed::default(), Gone::default(), after.clone());
        let down = Some(Down { passed, after, bare, gone, spread: false });
        let (handle, path) = (Arc::new(handle), path.clone());
        Some(Look { handle, path, write: None, original: None, down, again: false })
    }

    /// The descriptor before anything of ours stood on the object.
    fn before(&self, path: &WinPath, id: FileId, node: &TreeNode, ours: &Ours<'_>) -> SecurityDescriptor {
        let noted = lock(&self.originals)
            .get(&id)
            .filter(|original| same(&original.after, &node.descriptor))
            .cloned();
        if let Some(original) = noted {
            return original.before;
        }
        let is_fresh = self.fresh.iter().any(|top| path.is_in(top));
        if is_fresh && !lock(&self.begun).contains(path) {
            return node.descriptor.clone();
        }
        undo(node, ours).0
    }
}

/// An object that was opened and read.
struct Opened<H: Host> {
    handle: H::Handle,
    held: Held,
    refusal: Option<HostError>,
    info: Info,
    descriptor: SecurityDescriptor,
}

/// What an open is for.
struct Wants {
    write: bool,
    label: bool,
    list: bool,
}

impl<H: Host> Visitor<H> for Granting<'_, H> {
    type Down = Down;

    fn look(
        &self,
        folder: Option<&H::Handle>,
        path: &WinPath,
        entry: Option<&Entry>,
        down: &Down,
    ) -> Result<Option<Look<H, Down>>, Stop> {
        let target = self.targets.get(path);
        if target.is_some_and(Target::is_skipped) {
            self.skip(path, "the plan leaves it alone");
            return Ok(self.pass_through(folder, path));
        }
        let spread = down.spread || target.is_some_and(Target::spreads);
        let may_hold = entry.is_none_or(|entry| entry.kind == NodeKind::Folder);
        let wants = Wants {
            write: spread || target.is_some(),
            label: down.passed.label || target.is_some_and(Target::has_label),
            list: spread && may_hold,
        };
        let Some(Opened { handle, held, refusal, info, descriptor }) =
            self.open_and_read(folder, path, &wants)?
        else {
            return Ok(None);
        };
        let node = self.node(entry, &info, descriptor);
        if target.is_none()
            && spread
            && let Some(reason) = self.left_alone(path, &node)
        {
            self.skip(path, reason);
            return Ok(None);
        }
        let seen = Seen { path, id: info.id, node: &node, target, down, held, refusal, spread };
        Ok(Some(self.decide(&seen, handle)))
    }

    fn note(&self, originals: &[Original]) -> Result<(), Stop> {
        self.state.note_originals(originals).map_err(Stop::State)?;
        let mut known = lock(&self.originals);
        known.extend(originals.iter().map(|original| (original.file_id, original.clone())));
        Ok(())
    }

    fn written(&self, look: &Look<H, Down>) {
        if look.again {
            lock(&self.begun).insert(look.path.clone());
        }
    }

    fn below(&self, path: &WinPath, down: &Down) -> Below {
        if down.spread { Below::All } else { Below::Names(self.known_below(path)) }
    }

    fn known_below(&self, path: &WinPath) -> Vec<String> {
        self.targets.names_below(path)
    }

    fn refused(&self, refused: Refused) {
        lock(&self.refused).push(refused);
    }
}

/// What is decided about, and by what.
struct Seen<'a> {
    path: &'a WinPath,
    id: FileId,
    node: &'a TreeNode,
    target: Option<&'a Target<'a>>,
    down: &'a Down,
    held: Held,
    refusal: Option<HostError>,
    spread: bool,
}

impl Seen<'_> {
    fn changed(&self, held: Held, labelled: bool) -> (SecurityDescriptor, Passed) {
        let kind = self.node.kind;
        let changes = self.target.map_or_else(NodeChanges::default, |target| target.changes(kind));
        let (parent, passed) = (self.down.after.as_ref(), &self.down.passed);
        change(self.node, parent, passed, changes, labelled, &held)
    }
}

impl<H: Host> Granting<'_, H> {
    fn decide(&self, seen: &Seen<'_>, handle: H::Handle) -> Look<H, Down> {
        let Seen { path, id, node, target, down, held, spread, .. } = *seen;
        let labelled = !self.unlabelled_drives.contains(&path.drive());
        let (after, mut passed) = seen.changed(held, labelled);
        passed.gone.extend(target.iter().flat_map(|target| target.removing()).cloned());
        let parts = Parts {
            dacl: !same_dacl(&after, &node.descriptor),
            label: !same_label(&after, &node.descriptor),
        };
        let again = self.is_to_look_again(seen, &after, &passed, parts, labelled);
        let nothing = Vec::new();
        let records: Vec<&Record> = self.records.get(path).unwrap_or(&nothing).iter().collect();
        let ours = Ours { sids: &self.sids, records: &records, gone: &down.gone, parent: down.bare.as_ref() };
        let (undone, gone) = undo(&TreeNode { descriptor: after.clone(), ..node.clone() }, &ours);
        let writes = parts.dacl || parts.label;
        let before = if writes { self.before(path, id, node, &ours) } else { undone.clone() };
        let known = lock(&self.originals).contains_key(&id);
        let inexact = writes && (known || !same(&undone, &before));
        let original = inexact.then(|| Original {
            file_id: id,
            path: path.clone(),
            before: before.clone(),
            after: after.clone(),
        });
        let goes_on = spread && !(passed.is_empty() && gone.aces.is_empty() && !gone.label);
        let is_folder = node.kind == NodeKind::Folder;
        let down = (is_folder && (goes_on || self.targets.lies_above(path))).then(|| Down {
            passed,
            after: Some(after.clone()),
            bare: Some(before),
            gone,
            spread,
        });
        let write = writes.then_some((after, parts));
        Look { handle: Arc::new(handle), path: path.clone(), write, original, down, again }
    }

    /// Lists what cannot be done for want of a right, and says whether writing the DACL may bring the right to set the label.
    fn is_to_look_again(
        &self,
        seen: &Seen<'_>,
        after: &SecurityDescriptor,
        passed: &Passed,
        parts: Parts,
        labelled: bool,
    ) -> bool {
        if seen.held.dacl && seen.held.owner {
            return false;
        }
        let (could, could_pass) = seen.changed(Held { dacl: true, owner: true }, labelled);
        if seen.held.dacl && parts.dacl {
            return !same(&could, after) || could_pass.label != passed.label;
        }
        if same(&could, after) {
            return false;
        }
        let right = if seen.held.dacl { AccessMask::WRITE_OWNER } else { AccessMask::WRITE_DAC };
        let unsaid = || HostError::new(crate::host::HostErrorKind::AccessDenied, "open", seen.path);
        self.refuse(seen.refusal.clone().unwrap_or_else(unsaid).with_right(right));
        false
    }
}
