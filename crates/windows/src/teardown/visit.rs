//! What teardown does to one object.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nt_security::{AccessMask, SecurityDescriptor, Sid};

use crate::grants::Refused;
use crate::grants::undo::{Gone, Ours, same, same_dacl, same_label, undo};
use crate::grants::walk::{Below, Counters, Look, Stop, Visitor, lock};
use crate::host::{Entry, FileId, Host, HostError, HostErrorKind, Info, Parts};
use crate::plan::facts::NodeKind;
use crate::plan::path::{WinPath, fold, same_name};
use crate::plan::tree::TreeNode;
use crate::state::{Original, Record, State};

/// What a folder passes on: what goes, and the folder without what is ours.
pub(super) struct Down {
    gone: Gone,
    bare: Option<SecurityDescriptor>,
}

/// Takes back.
pub(super) struct Undoing<'a, H: Host> {
    host: &'a H,
    state: &'a State,
    sids: HashSet<Sid>,
    roots: Vec<WinPath>,
    /// Every path that the state knows.
    known: BTreeSet<&'a WinPath>,
    by_path: HashMap<&'a WinPath, Vec<&'a Record>>,
    by_id: HashMap<FileId, Vec<&'a Record>>,
    originals: HashMap<FileId, &'a Original>,
    dry_run: bool,
    counters: Counters,
    would: AtomicU64,
    refused: Mutex<(Vec<Refused>, HashSet<FileId>)>,
}

impl<'a, H: Host> Undoing<'a, H> {
    pub(super) fn new(
        host: &'a H,
        state: &'a State,
        sids: HashSet<Sid>,
        roots: Vec<WinPath>,
        journal: &'a [Record],
        originals: &'a [Original],
        dry_run: bool,
    ) -> Self {
        let (mut by_path, mut by_id) = (HashMap::<_, Vec<&Record>>::new(), HashMap::<_, Vec<&Record>>::new());
        for record in journal {
            by_path.entry(&record.path).or_default().push(record);
            if let Some(id) = record.file_id {
                by_id.entry(id).or_default().push(record);
            }
        }
        let known = journal.iter().map(|record| &record.path);
        let known = known.chain(originals.iter().map(|original| &original.path)).collect();
        let originals = originals.iter().map(|original| (original.file_id, original)).collect();
        let (counters, would) = (Counters::default(), AtomicU64::new(0));
        let refused = Mutex::default();
        Self { host, state, sids, roots, known, by_path, by_id, originals, dry_run, counters, would, refused }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn lists(&self) -> (Vec<Refused>, HashSet<FileId>, u64) {
        let (refused, ids) = std::mem::take(&mut *lock(&self.refused));
        (refused, ids, self.would.load(Ordering::Relaxed))
    }

    pub(super) fn above(&self, top: &WinPath) -> Down {
        let folder = top.parent().and_then(|folder| self.host.open(&folder, AccessMask::READ_CONTROL).ok());
        Down { gone: Gone::default(), bare: folder.and_then(|folder| self.host.descriptor(&folder).ok()) }
    }

    fn refuse(&self, error: HostError, id: Option<FileId>) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        let mut refused = lock(&self.refused);
        refused.0.push(Refused::of(error));
        refused.1.extend(id);
    }

    /// What the journal says about an object, by the name that it had or by its id.
    fn records(&self, path: &WinPath, id: FileId) -> Vec<&'a Record> {
        let mut records = self.by_path.get(path).cloned().unwrap_or_default();
        for record in self.by_id.get(&id).map_or(&[][..], Vec::as_slice) {
            if !records.contains(record) {
                records.push(record);
            }
        }
        records
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

    /// Whether everything below a folder is looked at, and not only what the state knows.
    fn goes_through(&self, path: &WinPath, gone: &Gone) -> bool {
        self.roots.iter().any(|root| path.is_in(root)) || !gone.aces.is_empty() || gone.label
    }

    /// Names in a folder that lead to something that the state knows.
    fn names_below(&self, folder: &WinPath) -> Vec<String> {
        let known = self.known.iter().copied().chain(&self.roots).filter(|path| path.is_below(folder));
        let mut names: Vec<String> =
            known.filter_map(|path| path.components().nth(folder.depth()).map(str::to_owned)).collect();
        names.sort_by_key(|name| fold(name));
        names.dedup_by(|a, b| same_name(a, b));
        names
    }

    /// Opens with all rights that taking back may need, or with as many as there are.
    fn open_best(
        &self,
        folder: Option<&H::Handle>,
        path: &WinPath,
        entry: Option<&Entry>,
    ) -> Result<Opened<H>, HostError> {
        let may_hold = entry.is_none_or(|entry| entry.kind == NodeKind::Folder);
        let lists: &[AccessMask] =
            if may_hold { &[AccessMask::FILE_LIST_DIRECTORY, AccessMask::NONE] } else { &[AccessMask::NONE] };
        let (look, dacl, label) = (AccessMask::READ_CONTROL, AccessMask::WRITE_DAC, AccessMask::WRITE_OWNER);
        let write = [look | dacl | label, look | dacl, look | label];
        let write = if self.dry_run { &[][..] } else { &write[..] };
        let mut refusal = None;
        for rights in write.iter().copied().chain([look]) {
            for list in lists {
                match self.open(folder, path, rights | *list) {
                    Ok(handle) => {
                        let info = self.host.info(&handle)?;
                        let descriptor = self.host.descriptor(&handle)?;
                        let held = Parts { dacl: rights.contains(dacl), label: rights.contains(label) };
                        return Ok(Opened { handle, held, refusal, info, descriptor });
                    }
                    Err(error) if error.is_denied() => {
                        refusal.get_or_insert(error.at(path));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Err(refusal.unwrap_or_else(|| HostError::new(HostErrorKind::Other, "open", path)))
    }

    /// The descriptor to go back to, and what goes below because of it.
    fn back(&self, path: &WinPath, id: FileId, node: &TreeNode, down: &Down) -> (SecurityDescriptor, Gone) {
        let records = self.records(path, id);
        let ours = Ours { sids: &self.sids, records: &records, gone: &down.gone, parent: down.bare.as_ref() };
        let (undone, gone) = undo(node, &ours);
        let noted = self.originals.get(&id);
        // The second: an earlier attempt came this far.
        let noted = noted.filter(|original| {
            same(&original.after, &node.descriptor) || same(&original.before, &node.descriptor)
        });
        match noted {
            Some(original) => (self.without_outer(&original.before, node, down), gone),
            None => (undone, gone),
        }
    }

    /// A root inside another one was noted with what came down from the outer one, which goes too.
    fn without_outer(&self, before: &SecurityDescriptor, node: &TreeNode, down: &Down) -> SecurityDescriptor {
        let before = TreeNode { descriptor: before.clone(), ..node.clone() };
        let ours = Ours { sids: &self.sids, records: &[], gone: &down.gone, parent: down.bare.as_ref() };
        undo(&before, &ours).0
    }
}

impl<H: Host> Visitor<H> for Undoing<'_, H> {
    type Down = Down;

    fn look(
        &self,
        folder: Option<&H::Handle>,
        path: &WinPath,
        entry: Option<&Entry>,
        down: &Down,
    ) -> Result<Option<Look<H, Down>>, Stop> {
        let Opened { handle, held, refusal, info, descriptor } = match self.open_best(folder, path, entry) {
            Ok(opened) => opened,
            Err(error) if error.is_killed() => return Err(Stop::Host(error)),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => {
                self.refuse(error.at(path), None);
                return Ok(None);
            }
        };
        let node = TreeNode { links: info.links, ..TreeNode::plain(info.kind, descriptor) };
        let (bare, gone) = self.back(path, info.id, &node, down);
        let parts =
            Parts { dacl: !same_dacl(&bare, &node.descriptor), label: !same_label(&bare, &node.descriptor) };
        let write = self.to_write(parts, held, refusal, path, info.id).map(|parts| (bare.clone(), parts));
        let goes_on = self.goes_through(path, &gone) || !self.names_below(path).is_empty();
        let is_folder = info.kind == NodeKind::Folder;
        let down = (is_folder && goes_on).then_some(Down { gone, bare: Some(bare) });
        Ok(Some(Look {
            handle: Arc::new(handle),
            path: path.clone(),
            write,
            original: None,
            down,
            again: false,
        }))
    }

    fn note(&self, originals: &[Original]) -> Result<(), Stop> {
        self.state.note_originals(originals).map_err(Stop::State)
    }

    fn written(&self, _: &Look<H, Down>) {}

    fn below(&self, path: &WinPath, down: &Down) -> Below {
        if self.goes_through(path, &down.gone) { Below::All } else { Below::Names(self.names_below(path)) }
    }

    fn known_below(&self, path: &WinPath) -> Vec<String> {
        self.names_below(path)
    }

    fn refused(&self, refused: Refused) {
        lock(&self.refused).0.push(refused);
    }
}

/// An object that was opened and read.
struct Opened<H: Host> {
    handle: H::Handle,
    held: Parts,
    refusal: Option<HostError>,
    info: Info,
    descriptor: SecurityDescriptor,
}

impl<H: Host> Undoing<'_, H> {
    /// What of the wanted parts can be written; what is out of reach is listed.
    fn to_write(
        &self,
        wanted: Parts,
        held: Parts,
        refusal: Option<HostError>,
        path: &WinPath,
        id: FileId,
    ) -> Option<Parts> {
        if !wanted.dacl && !wanted.label {
            return None;
        }
        if self.dry_run {
            self.would.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let parts = Parts { dacl: wanted.dacl && held.dacl, label: wanted.label && held.label };
        if parts != wanted {
            let right =
                if parts.dacl == wanted.dacl { AccessMask::WRITE_OWNER } else { AccessMask::WRITE_DAC };
            let unsaid = || HostError::new(HostErrorKind::AccessDenied, "open", path);
            self.refuse(refusal.unwrap_or_else(unsaid).with_right(right), Some(id));
        }
        (parts.dacl || parts.label).then_some(parts)
    }
}
