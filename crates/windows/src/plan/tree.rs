//! The described files and folders of a host, with their descriptors, ready to be asked.

use std::collections::{BTreeMap, HashMap};

use nt_security::{ObjectType, SecurityDescriptor, Token};

use super::facts::{FACTS_VERSION, Facts, NodeKind};
use super::inherit;
use super::path::{WinPath, fold};
use super::tokens;

/// Facts that contradict themselves, or are not enough to plan with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// The format is of another version.
    #[error("facts of version {found}; this program reads version {FACTS_VERSION}")]
    Version {
        /// What the file says.
        found: u32,
    },
    /// A descriptor is no SDDL.
    #[error("facts: the descriptor of {path}: {source}")]
    Sddl {
        /// Whose.
        path: WinPath,
        /// Where and why.
        source: nt_security::sddl::SddlError,
    },
    /// A drive is used whose root has no descriptor, so that nothing on it can be inherited.
    #[error("facts: {path} has no descriptor, and what lies on that drive inherits from it")]
    NoDriveDescriptor {
        /// The root of the drive.
        path: WinPath,
    },
    /// A drive is used that is not among the volumes.
    #[error("facts: {path} is on a drive that is not among the volumes")]
    NoVolume {
        /// What is on it.
        path: WinPath,
    },
}

impl FactsError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Version { .. } => "facts-version",
            Self::Sddl { .. } => "facts-sddl",
            Self::NoDriveDescriptor { .. } => "facts-no-drive-descriptor",
            Self::NoVolume { .. } => "facts-no-volume",
        }
    }
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeNode {
    /// What it is.
    pub kind: NodeKind,
    /// Its descriptor, as it is or as inheritance would have made it.
    pub descriptor: SecurityDescriptor,
    /// Where a link leads.
    pub target: Option<String>,
    /// How many names the file has.
    pub links: u32,
    /// A placeholder of a cloud provider.
    pub cloud: bool,
    /// FILE_ATTRIBUTE_READONLY.
    pub read_only: bool,
    /// What a `.git` file says.
    pub content: Option<String>,
}

impl TreeNode {
    /// A node of which nothing is known but kind and descriptor.
    pub fn plain(kind: NodeKind, descriptor: SecurityDescriptor) -> Self {
        Self { kind, descriptor, target: None, links: 1, cloud: false, read_only: false, content: None }
    }

    /// Whether it is a folder. A link counts as one: it is opened as one.
    pub fn is_folder(&self) -> bool {
        self.kind != NodeKind::File
    }

    /// File or folder, for generic rights and the names of rights.
    pub fn object_type(&self) -> ObjectType {
        if self.is_folder() { ObjectType::Folder } else { ObjectType::File }
    }

    /// Whether its descriptor is shared with names that may lie elsewhere.
    pub fn is_hard_linked(&self) -> bool {
        self.kind == NodeKind::File && self.links > 1
    }

    /// Whether everyone may do everything, for want of a DACL.
    pub fn has_null_dacl(&self) -> bool {
        self.descriptor.dacl().is_none()
    }
}

/// Every described node and every folder above one, each folder before what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<WinPath, TreeNode>,
    /// By folder and alias, both folded: the real name.
    short_names: HashMap<(String, String), String>,
}

impl Tree {
    /// Reads the nodes of `facts` and fills what lies between them by inheritance.
    ///
    /// # Errors
    /// [`FactsError`].
    pub fn new(facts: &Facts) -> Result<Self, FactsError> {
        if facts.version != FACTS_VERSION {
            return Err(FactsError::Version { found: facts.version });
        }
        let mut tree = Self { nodes: BTreeMap::new(), short_names: HashMap::new() };
        let mut described: Vec<_> = facts.nodes.iter().collect();
        described.sort_by(|a, b| a.path.cmp(&b.path));
        let creator = tokens::baseline(facts);
        for node in described {
            tree.add_parents(&node.path, facts, &creator)?;
            let descriptor = match &node.sddl {
                Some(text) => SecurityDescriptor::from_sddl(text)
                    .map_err(|source| FactsError::Sddl { path: node.path.clone(), source })?,
                None => tree.inherited(&node.path, node.kind, &creator)?,
            };
            if let (Some(alias), Some(folder), Some(name)) =
                (&node.short_name, node.path.parent(), node.path.name())
            {
                tree.short_names.insert((folder.key().to_owned(), fold(alias)), name.to_owned());
            }
            let entry = TreeNode {
                target: node.target.clone(),
                links: node.links,
                cloud: node.cloud,
                read_only: node.read_only,
                content: node.content.clone(),
                ..TreeNode::plain(node.kind, descriptor)
            };
            tree.nodes.insert(node.path.clone(), entry);
        }
        Ok(tree)
    }

    /// Makes sure that every folder above `path` is there.
    fn add_parents(&mut self, path: &WinPath, facts: &Facts, creator: &Token) -> Result<(), FactsError> {
        if !facts.volumes.iter().any(|volume| volume.root.drive() == path.drive()) {
            return Err(FactsError::NoVolume { path: path.clone() });
        }
        let mut missing: Vec<WinPath> =
            path.ancestors().skip(1).take_while(|folder| !self.nodes.contains_key(folder)).collect();
        missing.reverse();
        for folder in missing {
            let descriptor = self.inherited(&folder, NodeKind::Folder, creator)?;
            self.nodes.insert(folder, TreeNode::plain(NodeKind::Folder, descriptor));
        }
        Ok(())
    }

    /// The descriptor that a node gets when `creator` makes it.
    fn inherited(
        &self,
        path: &WinPath,
        kind: NodeKind,
        creator: &Token,
    ) -> Result<SecurityDescriptor, FactsError> {
        let parent = path.parent().and_then(|folder| self.nodes.get(&folder));
        let parent = parent.ok_or_else(|| FactsError::NoDriveDescriptor { path: path.clone() })?;
        Ok(inherit::created(&parent.descriptor, kind, creator))
    }

    /// The node at `path`, if it is there.
    pub fn get(&self, path: &WinPath) -> Option<&TreeNode> {
        self.nodes.get(path)
    }

    /// The node at `path`, to be changed.
    pub fn get_mut(&mut self, path: &WinPath) -> Option<&mut TreeNode> {
        self.nodes.get_mut(path)
    }

    /// Makes an object and the folders above it that are missing, as `creator` would; says what was made.
    pub fn make(&mut self, path: &WinPath, kind: NodeKind, creator: &Token) -> Vec<WinPath> {
        let mut missing: Vec<WinPath> =
            path.ancestors().take_while(|at| !self.nodes.contains_key(at)).collect();
        missing.reverse();
        for at in &missing {
            let kind = if at == path { kind } else { NodeKind::Folder };
            let parent = at.parent().and_then(|folder| self.nodes.get(&folder));
            let descriptor = parent
                .map_or_else(Default::default, |parent| inherit::created(&parent.descriptor, kind, creator));
            self.nodes.insert(at.clone(), TreeNode::plain(kind, descriptor));
        }
        missing
    }

    /// Puts a node there.
    pub fn insert(&mut self, path: WinPath, node: TreeNode) {
        self.nodes.insert(path, node);
    }

    /// Takes a node away.
    pub fn remove(&mut self, path: &WinPath) -> Option<TreeNode> {
        self.nodes.remove(path)
    }

    /// Every node, each folder before what it holds.
    pub fn iter(&self) -> impl Iterator<Item = (&WinPath, &TreeNode)> {
        self.nodes.iter()
    }

    /// The node at `path` and what lies below it, each folder before what it holds.
    pub fn within<'a>(&'a self, path: &'a WinPath) -> impl Iterator<Item = (&'a WinPath, &'a TreeNode)> {
        self.nodes.range(path.clone()..).take_while(|(at, _)| at.is_in(path))
    }

    /// What stands directly in a folder.
    pub fn children<'a>(&'a self, path: &'a WinPath) -> impl Iterator<Item = (&'a WinPath, &'a TreeNode)> {
        let depth = path.depth() + 1;
        self.within(path).filter(move |(at, _)| at.depth() == depth)
    }

    /// The nearest folder at or above `path` that is there.
    pub fn nearest(&self, path: &WinPath) -> Option<(WinPath, &TreeNode)> {
        path.ancestors().find_map(|at| self.nodes.get(&at).map(|node| (at, node)))
    }

    /// The real name behind an 8.3 alias in `folder`.
    pub fn long_name(&self, folder: &WinPath, alias: &str) -> Option<&str> {
        self.short_names.get(&(folder.key().to_owned(), fold(alias))).map(String::as_str)
    }
}
