//! The nodes of the facts: each object once, with every folder above it.

use std::collections::{BTreeMap, HashMap};

use nt_security::AccessMask;

use super::Identity;
use crate::host::{Entry, Host, HostError, HostErrorKind, HostResult};
use crate::plan::facts::{Node, NodeKind};
use crate::plan::path::WinPath;

/// How much of a `.git` file is read.
const MOST_POINTER: usize = 4096;

/// Nodes that were found.
pub(super) struct Nodes<'a, H: Host> {
    host: &'a H,
    nodes: BTreeMap<WinPath, Option<(Node, Option<Identity>)>>,
    /// Folders that were opened: what they hold is opened by name.
    folders: HashMap<WinPath, H::Handle>,
}

impl<'a, H: Host> Nodes<'a, H> {
    pub(super) fn new(host: &'a H) -> Self {
        Self { host, nodes: BTreeMap::new(), folders: HashMap::new() }
    }

    /// Adds an object and the folders above it. `None`: it is not there, or a link lies on the way.
    pub(super) fn add(&mut self, path: &WinPath) -> Option<&Node> {
        if !self.nodes.contains_key(path) {
            if let Some(parent) = path.parent() {
                self.add(&parent);
            }
            let node = self.ask(path).ok();
            // A folder that does not exist is asked for once.
            self.nodes.insert(path.clone(), node);
        }
        self.nodes.get(path)?.as_ref().map(|(node, _)| node)
    }

    /// Says more about an object that was added.
    pub(super) fn replace(&mut self, node: Node) {
        if let Some(Some((known, _))) = self.nodes.get_mut(&node.path) {
            *known = node;
        }
    }

    /// Which file it is, and its descriptor, of an object that was added.
    pub(super) fn identity(&self, path: &WinPath) -> Option<Identity> {
        self.nodes.get(path)?.as_ref()?.1.clone()
    }

    /// Folders that were added, and whose descriptors are like this.
    pub(super) fn described_folders(
        &self,
        is_wanted: impl Fn(&WinPath, &nt_security::SecurityDescriptor) -> bool,
    ) -> Vec<WinPath> {
        let known = self.nodes.iter().filter_map(|(path, node)| Some((path, node.as_ref()?)));
        let folders = known.filter(|(_, (node, _))| node.kind == NodeKind::Folder);
        let wanted = folders.filter(|(path, (_, identity))| {
            identity.as_ref().is_some_and(|(_, descriptor)| is_wanted(path, descriptor))
        });
        wanted.map(|(path, _)| path.clone()).collect()
    }

    /// What a folder holds; nothing if it cannot be listed.
    pub(super) fn list(&self, folder: &WinPath) -> Vec<Entry> {
        let opened = self.open(folder, AccessMask::FILE_LIST_DIRECTORY);
        opened.and_then(|folder| self.host.list(&folder)).unwrap_or_default()
    }

    pub(super) fn names(&self, folder: &WinPath) -> Vec<String> {
        self.list(folder).into_iter().map(|entry| entry.name).collect()
    }

    pub(super) fn finish(self) -> Vec<Node> {
        self.nodes.into_values().flatten().map(|(node, _)| node).collect()
    }

    /// Opens an object whose folder was added before. Nothing is opened through a link.
    fn open(&self, path: &WinPath, rights: AccessMask) -> HostResult<H::Handle> {
        match (path.parent(), path.name()) {
            (Some(parent), Some(name)) => match self.folders.get(&parent) {
                Some(folder) => self.host.open_child(folder, name, rights),
                None => Err(HostError::new(HostErrorKind::NotFound, "open", path)),
            },
            _ => self.host.open(path, rights),
        }
    }

    fn ask(&mut self, path: &WinPath) -> HostResult<(Node, Option<Identity>)> {
        let opened = self.open(path, AccessMask::READ_CONTROL);
        let handle = match opened {
            Err(error) if error.kind == HostErrorKind::AccessDenied => self.open(path, AccessMask::NONE)?,
            result => result?,
        };
        let info = self.host.info(&handle)?;
        let descriptor = self.host.descriptor(&handle).ok();
        let content = if info.kind == NodeKind::File && is_pointer(path) { self.content(path) } else { None };
        let target = if info.kind.is_link() { self.host.target(&handle)? } else { None };
        let node = Node {
            sddl: descriptor.as_ref().map(nt_security::SecurityDescriptor::to_sddl),
            target,
            links: info.links,
            cloud: info.cloud,
            read_only: info.read_only,
            content,
            ..Node::new(path.clone(), info.kind)
        };
        if info.kind == NodeKind::Folder {
            self.folders.insert(path.clone(), handle);
        }
        Ok((node, descriptor.map(|descriptor| (info.id, descriptor))))
    }

    fn content(&self, path: &WinPath) -> Option<String> {
        let file = self.open(path, AccessMask::FILE_READ_DATA).ok()?;
        let bytes = self.host.read(&file, MOST_POINTER).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Whether git finds the way to a directory by this file: `.git`, and what lies in `worktrees\<id>` (gitrepository-layout(5)).
fn is_pointer(path: &WinPath) -> bool {
    let Some(name) = path.name() else { return false };
    let is = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let worktrees = || path.parent().and_then(|id| id.parent());
    let in_worktree =
        || worktrees().is_some_and(|up| up.name().is_some_and(|name| name.eq_ignore_ascii_case("worktrees")));
    is(&[".git"]) || is(&super::POINTERS) && in_worktree()
}
