//! A host in memory: real access checks and real inheritance on the model of [`nt_security`], and a fault or a kill at the
//! n-th effect. For tests of whatever is written against [`Host`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use nt_security::{AccessMask, ObjectType, SecurityDescriptor, Token};

use crate::host::{
    Described, Entry, FileId, Host, HostError, HostErrorKind, HostResult, Info, Parts, ProcessId,
};
use crate::plan::facts::{Facts, NodeKind};
use crate::plan::inherit;
use crate::plan::path::{WinPath, same_name};
use crate::plan::sid_text::SidText;
use crate::plan::tokens;
use crate::plan::tree::{FactsError, Tree, TreeNode};

mod disk;
mod fault;
pub mod machine;

use disk::{Disk, Object};
pub use fault::{Fault, FaultKind};

/// A host in memory, seen with one token. Clones share the disk.
#[derive(Clone)]
pub struct MemoryHost {
    disk: Arc<Mutex<Disk>>,
    described: Arc<Described>,
    token: Token,
}

/// An open object of a [`MemoryHost`].
#[derive(Debug)]
pub struct MemoryHandle {
    path: WinPath,
    id: u64,
    granted: AccessMask,
}

impl MemoryHost {
    /// The host that `facts` describe, seen by the launcher.
    ///
    /// # Errors
    /// [`FactsError`].
    pub fn new(facts: &Facts) -> Result<Self, FactsError> {
        let described = Described {
            machine: facts.machine.clone(),
            user: facts.user.clone(),
            folders: facts.folders.clone(),
            volumes: facts.volumes.clone(),
            accounts: facts.accounts.clone(),
            firewall_rules: facts.firewall_rules.clone(),
            setup: facts.setup.clone(),
        };
        let mut disk = Disk::new(&Tree::new(facts)?);
        for node in &facts.nodes {
            disk.set_short_name(&node.path, node.short_name.clone());
        }
        let token = tokens::launcher(facts);
        Ok(Self { disk: Arc::new(Mutex::new(disk)), described: Arc::new(described), token })
    }

    /// The same machine, seen with another token.
    #[must_use]
    pub fn with_token(&self, token: Token) -> Self {
        Self { token, ..self.clone() }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // A thread that panicked while it held the lock has failed its test already.
        self.disk.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Something happens at an effect from now on.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.disk().faults.set(fault);
    }

    /// How many threads go through a tree; one unless told otherwise, so that the n-th effect is the same in each run.
    pub fn set_threads(&self, threads: usize) {
        self.disk().threads = threads;
    }

    /// How many effects there were since the last [`set_fault`](Self::set_fault).
    pub fn effects(&self) -> u64 {
        self.disk().faults.effects
    }

    /// How many descriptors were written since the last [`set_fault`](Self::set_fault).
    pub fn descriptor_writes(&self) -> u64 {
        self.disk().faults.descriptor_writes
    }

    /// How many objects were opened since the last [`set_fault`](Self::set_fault).
    pub fn opens(&self) -> u64 {
        self.disk().faults.opens
    }

    /// Opening this object for anything but looking at it fails from now on, as if someone held it.
    pub fn hold(&self, path: &WinPath) {
        self.disk().held.insert(path.clone());
    }

    /// Every object by its names, with its descriptor: what a test compares.
    pub fn snapshot(&self) -> BTreeMap<WinPath, (NodeKind, SecurityDescriptor)> {
        let disk = self.disk();
        let of = |(path, id): (&WinPath, &u64)| {
            let object = &disk.objects[id];
            (path.clone(), (object.node.kind, object.node.descriptor.clone()))
        };
        disk.names.iter().map(of).collect()
    }

    /// The object at a path.
    pub fn node(&self, path: &WinPath) -> Option<TreeNode> {
        let disk = self.disk();
        disk.names.get(path).map(|id| disk.objects[id].node.clone())
    }

    /// Puts an object there, whatever the access checks say: for building a machine.
    pub fn put(&self, path: &WinPath, node: TreeNode) {
        self.disk().put(path.clone(), node);
    }

    /// A second name for a file.
    pub fn link(&self, file: &WinPath, name: &WinPath) {
        self.disk().link(file, name.clone());
    }

    /// Moves an object and what it holds, as a rename on one volume: descriptors and ids go along.
    pub fn rename(&self, from: &WinPath, to: &WinPath) {
        self.disk().rename(from, to);
    }

    /// Takes an object and what it holds away.
    pub fn delete(&self, path: &WinPath) {
        self.disk().delete(path);
    }

    /// Makes an object as this token would: the right on the folder is checked, and the descriptor is inherited.
    ///
    /// # Errors
    /// As [`Host::create`].
    pub fn make(&self, path: &WinPath, kind: NodeKind) -> HostResult<()> {
        let missing = || HostError::new(HostErrorKind::NotFound, "create", path);
        let (folder, name) = (path.parent().ok_or_else(missing)?, path.name().ok_or_else(missing)?);
        let right = add_right(kind);
        let folder = self.open(&folder, right)?;
        self.create(&folder, name, kind).map(drop)
    }

    fn open_at(&self, disk: &mut Disk, path: &WinPath, rights: AccessMask) -> HostResult<MemoryHandle> {
        disk.faults.alive("open", path)?;
        disk.faults.opens += 1;
        let error = |kind| HostError::new(kind, "open", path).with_right(rights);
        let id = *disk.names.get(path).ok_or_else(|| error(HostErrorKind::NotFound))?;
        let wanted = rights;
        let looks = rights.without(AccessMask(0x0012_00A9)).is_empty();
        if disk.held.contains(path) && !looks {
            return Err(error(HostErrorKind::AccessDenied));
        }
        let object = &disk.objects[&id];
        let parent = path.parent().and_then(|folder| disk.names.get(&folder)).map(|id| &disk.objects[id]);
        if !may_open(&self.token, object, parent, wanted) {
            return Err(error(HostErrorKind::AccessDenied));
        }
        let real = disk.names.get_key_value(path).map_or_else(|| path.clone(), |(path, _)| path.clone());
        Ok(MemoryHandle { path: real, id, granted: wanted })
    }
}

/// Whether an open succeeds: by the object's own descriptor, or by what its folder lends.
fn may_open(token: &Token, object: &Object, parent: Option<&Object>, wanted: AccessMask) -> bool {
    use crate::plan::apply::allows;
    let descriptor = &object.node.descriptor;
    if allows(token, descriptor, wanted) {
        return true;
    }
    // windows-facts §4 and §10: the folder lends DELETE and the right to see attributes.
    let lends = [
        (AccessMask::DELETE, AccessMask::FILE_DELETE_CHILD),
        (AccessMask::FILE_READ_ATTRIBUTES, AccessMask::FILE_LIST_DIRECTORY),
    ];
    let lent = lends.into_iter().filter(|(right, by)| {
        wanted.contains(*right)
            && !allows(token, descriptor, *right)
            && parent.is_some_and(|parent| allows(token, &parent.node.descriptor, *by))
    });
    let lent = lent.fold(AccessMask::NONE, |all, (right, _)| all | right);
    let rest = wanted.without(lent);
    rest.is_empty() || allows(token, descriptor, rest)
}

fn add_right(kind: NodeKind) -> AccessMask {
    if kind == NodeKind::File { AccessMask::FILE_ADD_FILE } else { AccessMask::FILE_ADD_SUBDIRECTORY }
}

impl MemoryHandle {
    fn needs(&self, right: AccessMask, stage: &'static str) -> HostResult<()> {
        let has = self.granted.contains(right) || self.granted.contains(AccessMask::GENERIC_ALL);
        let error = || HostError::new(HostErrorKind::AccessDenied, stage, &self.path).with_right(right);
        if has { Ok(()) } else { Err(error()) }
    }
}

impl Host for MemoryHost {
    type Handle = MemoryHandle;

    fn open(&self, path: &WinPath, rights: AccessMask) -> HostResult<MemoryHandle> {
        let mut disk = self.disk();
        let path = disk.real_path(path);
        let on_the_way = path.ancestors().skip(1);
        let redirected = on_the_way.filter_map(|at| disk.get(&at)).any(|above| above.node.kind.is_link());
        if redirected {
            return Err(HostError::new(HostErrorKind::Redirected, "open", &path));
        }
        self.open_at(&mut disk, &path, rights)
    }

    fn open_child(&self, folder: &MemoryHandle, name: &str, rights: AccessMask) -> HostResult<MemoryHandle> {
        let mut disk = self.disk();
        let folder = disk.path_of(folder.id, &folder.path).unwrap_or_else(|| folder.path.clone());
        self.open_at(&mut disk, &folder.join(name), rights)
    }

    fn path(&self, handle: &MemoryHandle) -> HostResult<WinPath> {
        Ok(self.disk().path_of(handle.id, &handle.path).unwrap_or_else(|| handle.path.clone()))
    }

    fn info(&self, handle: &MemoryHandle) -> HostResult<Info> {
        let disk = self.disk();
        disk.faults.alive("look at", &handle.path)?;
        let missing = || HostError::new(HostErrorKind::NotFound, "look at", &handle.path);
        let node = &disk.objects.get(&handle.id).ok_or_else(missing)?.node;
        let id = FileId { volume: u64::from(u32::from(handle.path.drive())), file: u128::from(handle.id) };
        let size = node.content.as_ref().map_or(0, |text| text.len() as u64);
        let (links, read_only, cloud) = (node.links, node.read_only, node.cloud);
        Ok(Info { kind: node.kind, id, links, read_only, cloud, size })
    }

    fn descriptor(&self, handle: &MemoryHandle) -> HostResult<SecurityDescriptor> {
        let stage = "read the descriptor of";
        handle.needs(AccessMask::READ_CONTROL, stage)?;
        let disk = self.disk();
        disk.faults.alive(stage, &handle.path)?;
        let missing = || HostError::new(HostErrorKind::NotFound, stage, &handle.path);
        Ok(disk.objects.get(&handle.id).ok_or_else(missing)?.node.descriptor.clone())
    }

    fn set_security(&self, handle: &MemoryHandle, new: &SecurityDescriptor, parts: Parts) -> HostResult<()> {
        let stage = "write the descriptor of";
        if parts.dacl {
            handle.needs(AccessMask::WRITE_DAC, stage)?;
        }
        if parts.label {
            handle.needs(AccessMask::WRITE_OWNER, stage)?;
        }
        let mut disk = self.disk();
        disk.faults.effect(stage, &handle.path)?;
        disk.faults.descriptor_writes += 1;
        let missing = || HostError::new(HostErrorKind::NotFound, stage, &handle.path);
        disk.objects.get_mut(&handle.id).ok_or_else(missing)?.set_security(new, parts);
        Ok(())
    }

    fn list(&self, folder: &MemoryHandle) -> HostResult<Vec<Entry>> {
        folder.needs(AccessMask::FILE_LIST_DIRECTORY, "list")?;
        let disk = self.disk();
        disk.faults.alive("list", &folder.path)?;
        Ok(disk.children(&disk.path_of(folder.id, &folder.path).unwrap_or_else(|| folder.path.clone())))
    }

    fn target(&self, handle: &MemoryHandle) -> HostResult<Option<String>> {
        Ok(self.disk().objects.get(&handle.id).and_then(|object| object.node.target.clone()))
    }

    fn read(&self, handle: &MemoryHandle, most: usize) -> HostResult<Vec<u8>> {
        handle.needs(AccessMask::FILE_READ_DATA, "read")?;
        let disk = self.disk();
        let content = disk.objects.get(&handle.id).and_then(|object| object.node.content.clone());
        Ok(content.unwrap_or_default().into_bytes().into_iter().take(most).collect())
    }

    fn create(&self, folder: &MemoryHandle, name: &str, kind: NodeKind) -> HostResult<MemoryHandle> {
        folder.needs(add_right(kind), "create something in")?;
        let mut disk = self.disk();
        let path = disk.path_of(folder.id, &folder.path).unwrap_or_else(|| folder.path.clone()).join(name);
        if disk.names.contains_key(&path) {
            return Err(HostError::new(HostErrorKind::Exists, "create", &path));
        }
        disk.faults.effect("create", &path)?;
        let missing = || HostError::new(HostErrorKind::NotFound, "create", &path);
        let parent = disk.objects.get(&folder.id).ok_or_else(missing)?;
        let descriptor = inherit::created(&parent.node.descriptor, kind, &self.token);
        let id = disk.put(path.clone(), TreeNode::plain(kind, descriptor));
        Ok(MemoryHandle { path, id, granted: ObjectType::File.mapping().all })
    }

    fn remove(&self, handle: &MemoryHandle) -> HostResult<()> {
        handle.needs(AccessMask::DELETE, "remove")?;
        let mut disk = self.disk();
        let path = disk.path_of(handle.id, &handle.path).unwrap_or_else(|| handle.path.clone());
        if !disk.children(&path).is_empty() {
            return Err(HostError::new(HostErrorKind::NotEmpty, "remove", &path));
        }
        disk.faults.effect("remove", &path)?;
        disk.delete(&path);
        Ok(())
    }

    fn describe(&self) -> HostResult<Described> {
        Ok((*self.described).clone())
    }

    fn random_sid(&self) -> HostResult<SidText> {
        Ok(self.disk().random_sid().into())
    }

    fn now(&self) -> u64 {
        1_800_000_000
    }

    fn process(&self) -> ProcessId {
        ProcessId { pid: 4711, created: 1 }
    }

    fn is_running(&self, process: ProcessId) -> bool {
        process == self.process()
    }

    fn threads(&self) -> usize {
        self.disk().threads
    }
}
