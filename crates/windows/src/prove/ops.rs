//! The operations that are asked about, each as a program would do it.

use nt_security::file_rules::{self, FileDecision, Operator};
use nt_security::{AccessMask, SecurityDescriptor, Token};
use schemars::JsonSchema;
use serde::Serialize;

use super::world::World;
use crate::plan::path::WinPath;
use crate::plan::tree::{Tree, TreeNode};

/// Something that a command tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// Opens a file with GENERIC_READ.
    Read,
    /// Lists a folder.
    List,
    /// Runs a file, or goes through a folder.
    Execute,
    /// Asks for attributes, as `stat` does.
    ReadAttributes,
    /// Opens a file with GENERIC_READ and GENERIC_WRITE.
    ReadWrite,
    /// Opens a file with GENERIC_WRITE.
    Write,
    /// Opens a file for appending.
    Append,
    /// Writes an alternate data stream.
    WriteStream,
    /// Sets attributes or times.
    SetAttributes,
    /// Writes extended attributes.
    WriteEa,
    /// Turns an empty folder into a junction.
    SetReparsePoint,
    /// Creates a file in a folder.
    CreateFile,
    /// Creates a folder in a folder.
    CreateFolder,
    /// Deletes.
    Delete,
    /// Moves it into a root.
    RenameAway,
    /// Replaces it by a file of a root.
    RenameOver,
    /// Makes a second name for it in a root.
    LinkIn,
    /// Makes a second name for a file of a root in it.
    LinkOut,
    /// Opens with WRITE_DAC.
    ChangeDacl,
    /// Opens with WRITE_OWNER.
    TakeOwnership,
}

impl Op {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 20] = [
        Self::Read,
        Self::List,
        Self::Execute,
        Self::ReadAttributes,
        Self::ReadWrite,
        Self::Write,
        Self::Append,
        Self::WriteStream,
        Self::SetAttributes,
        Self::WriteEa,
        Self::SetReparsePoint,
        Self::CreateFile,
        Self::CreateFolder,
        Self::Delete,
        Self::RenameAway,
        Self::RenameOver,
        Self::LinkIn,
        Self::LinkOut,
        Self::ChangeDacl,
        Self::TakeOwnership,
    ];

    /// The name in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Execute => "execute",
            Self::ReadAttributes => "read-attributes",
            Self::ReadWrite => "read-write",
            Self::Write => "write",
            Self::Append => "append",
            Self::WriteStream => "write-stream",
            Self::SetAttributes => "set-attributes",
            Self::WriteEa => "write-ea",
            Self::SetReparsePoint => "set-reparse-point",
            Self::CreateFile => "create-file",
            Self::CreateFolder => "create-folder",
            Self::Delete => "delete",
            Self::RenameAway => "rename-away",
            Self::RenameOver => "rename-over",
            Self::LinkIn => "link-in",
            Self::LinkOut => "link-out",
            Self::ChangeDacl => "change-dacl",
            Self::TakeOwnership => "take-ownership",
        }
    }

    /// The operation of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name)
    }

    /// Whether it changes nothing.
    pub fn is_reading(self) -> bool {
        matches!(self, Self::Read | Self::List | Self::Execute | Self::ReadAttributes)
    }

    /// Whether it takes the name away from where it is.
    pub fn is_removal(self) -> bool {
        matches!(self, Self::Delete | Self::RenameAway | Self::RenameOver)
    }

    /// Whether it puts something into a folder.
    pub fn is_creation(self) -> bool {
        matches!(self, Self::CreateFile | Self::CreateFolder | Self::LinkOut)
    }

    /// Whether it changes who may do what.
    pub fn is_control(self) -> bool {
        matches!(self, Self::ChangeDacl | Self::TakeOwnership)
    }

    /// Whether it can be done to such an object at all. Links are opened as the objects that they are.
    pub fn applies_to(self, node: &TreeNode) -> bool {
        let of_files = matches!(
            self,
            Self::Read
                | Self::ReadWrite
                | Self::Write
                | Self::Append
                | Self::WriteStream
                | Self::RenameOver
                | Self::LinkIn
        );
        let of_folders = matches!(
            self,
            Self::List | Self::CreateFile | Self::CreateFolder | Self::LinkOut | Self::SetReparsePoint
        );
        // What is done through a link is done to what it leads to.
        let through_link = node.kind.is_link() && (self == Self::List || self.is_creation());
        !through_link && if node.is_folder() { !of_files } else { !of_folders }
    }

    /// The rights with which an existing object is opened, for operations that are no more than that.
    pub fn rights(self) -> Option<AccessMask> {
        let wait = AccessMask::SYNCHRONIZE;
        Some(match self {
            Self::Read => AccessMask::FILE_GENERIC_READ,
            Self::List => AccessMask::FILE_LIST_DIRECTORY | wait,
            Self::Execute => AccessMask::FILE_EXECUTE | AccessMask::FILE_READ_ATTRIBUTES | wait,
            Self::ReadAttributes => AccessMask::FILE_READ_ATTRIBUTES,
            Self::ReadWrite => AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_WRITE,
            Self::Write => AccessMask::FILE_GENERIC_WRITE,
            Self::Append => AccessMask::FILE_APPEND_DATA | wait,
            Self::WriteStream => AccessMask::FILE_WRITE_DATA | wait,
            Self::SetAttributes => AccessMask::FILE_WRITE_ATTRIBUTES | wait,
            Self::WriteEa => AccessMask::FILE_WRITE_EA,
            Self::ChangeDacl => AccessMask::WRITE_DAC,
            Self::TakeOwnership => AccessMask::WRITE_OWNER,
            _ => return None,
        })
    }
}

/// Asks the model whether `token` can do `op` at `path` in `tree`; `None` where that makes no sense.
pub fn attempt(
    world: &World<'_>,
    tree: &Tree,
    token: &Token,
    path: &WinPath,
    op: Op,
) -> Option<FileDecision> {
    let node = tree.get(path)?;
    if !op.applies_to(node) {
        return None;
    }
    let operator = Operator::new(token);
    let parent = path.parent();
    let parent = parent.as_ref().and_then(|folder| tree.get(folder)).map(|folder| &folder.descriptor);
    let object = rules_node(node, parent);
    if let Some(rights) = op.rights() {
        return Some(operator.open(&object, rights));
    }
    let landing = world.landing();
    let target = landing.map(|(folder, _)| &folder.descriptor);
    match op {
        // A folder with something in it does not become a junction.
        Op::SetReparsePoint => tree
            .children(path)
            .all(|(child, _)| child.name().is_some_and(|name| name.starts_with('~')))
            .then(|| operator.set_reparse_point(&object)),
        Op::CreateFile => Some(operator.create(&node.descriptor, file_rules::NodeKind::File)),
        Op::CreateFolder => Some(operator.create(&node.descriptor, file_rules::NodeKind::Folder)),
        Op::Delete => Some(operator.delete(&object)),
        Op::RenameAway => Some(operator.rename(&object, target.or(parent)?, None)),
        Op::RenameOver => {
            let (folder, file) = landing?;
            let source = rules_node(file, Some(&folder.descriptor));
            Some(operator.rename(&source, parent?, Some(&object)))
        }
        Op::LinkIn => Some(operator.hard_link(&object, target.or(parent)?, None)),
        Op::LinkOut => {
            let (folder, file) = landing?;
            let source = rules_node(file, Some(&folder.descriptor));
            Some(operator.hard_link(&source, &node.descriptor, None))
        }
        _ => None,
    }
}

fn rules_node<'a>(node: &'a TreeNode, parent: Option<&'a SecurityDescriptor>) -> file_rules::Node<'a> {
    file_rules::Node {
        descriptor: &node.descriptor,
        parent,
        is_folder: node.is_folder(),
        is_read_only: node.read_only,
    }
}
