//! What NTFS decides beyond one access check: opening, creating, deleting, renaming, linking.
//!
//! Source: \[MS-FSA\] 2.1.5.1 and the sources named in windows-facts §10. Each rule gives a [`FileDecision`]: what was needed, of which
//! object, and what the access check said.

use crate::check::{Decision, Outcome, Query, Readings, access_check, verdict};
use crate::descriptor::SecurityDescriptor;
use crate::mask::AccessMask;
use crate::object_type::ObjectType;
use crate::token::{Privilege, Token};

mod answer;
mod open;
mod operations;

use answer::Answer;

/// A file or folder as the rules see it.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// Its descriptor.
    pub descriptor: &'a SecurityDescriptor,
    /// The descriptor of the folder that it is in; `None` for the root of a volume.
    pub parent: Option<&'a SecurityDescriptor>,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether FILE_ATTRIBUTE_READONLY is set.
    pub is_read_only: bool,
}

impl<'a> Node<'a> {
    /// A file in a folder, without the read-only attribute.
    pub fn file(descriptor: &'a SecurityDescriptor, parent: &'a SecurityDescriptor) -> Self {
        Self { descriptor, parent: Some(parent), is_folder: false, is_read_only: false }
    }

    /// A folder in a folder, without the read-only attribute.
    pub fn folder(descriptor: &'a SecurityDescriptor, parent: &'a SecurityDescriptor) -> Self {
        Self { is_folder: true, ..Self::file(descriptor, parent) }
    }

    fn object_type(&self) -> ObjectType {
        if self.is_folder { ObjectType::Folder } else { ObjectType::File }
    }
}

/// What kind of thing is made or moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A file: FILE_ADD_FILE on the folder.
    File,
    /// A folder: FILE_ADD_SUBDIRECTORY on the folder.
    Folder,
}

impl NodeKind {
    /// The right on a folder that lets one put such a thing there.
    pub const fn add_right(self) -> AccessMask {
        match self {
            Self::File => AccessMask::FILE_ADD_FILE,
            Self::Folder => AccessMask::FILE_ADD_SUBDIRECTORY,
        }
    }
}

/// Who operates, and how open points are read.
#[derive(Debug, Clone, Copy)]
pub struct Operator<'a> {
    /// The token.
    pub token: &'a Token,
    /// The caller's readings.
    pub readings: Readings,
}

/// Which object a right was needed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Part {
    /// The file or folder itself.
    Object,
    /// The folder that it is in.
    Parent,
    /// The folder that it goes to.
    TargetFolder,
    /// What already has the new name.
    Replaced,
    /// A folder on the way to the object, counted from the volume's root.
    Ancestor(usize),
}

/// One access check of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub struct Need {
    /// On which object.
    pub part: Part,
    /// The check, with its reasons.
    pub decision: Decision,
    /// Whether the operation rests on it: `false` for a refused check that another one made up for.
    pub counts: bool,
}

/// A refusal that no right can lift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Obstacle {
    /// The read-only attribute of the file, which refuses writing data and deleting.
    ReadOnlyAttribute,
    /// The read-only attribute of what would be replaced.
    ReplacedReadOnlyAttribute,
    /// A folder cannot be replaced by a rename or a link.
    ReplacedIsFolder,
    /// A folder cannot have a second name.
    LinkToFolder,
}

/// Whether an operation is possible, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub struct FileDecision {
    /// The answer.
    pub outcome: Outcome,
    /// Set when the operation fails whatever the rights are.
    pub obstacle: Option<Obstacle>,
    /// Rights that were granted by the parent folder instead of the object: DELETE by FILE_DELETE_CHILD,
    /// FILE_READ_ATTRIBUTES by FILE_LIST_DIRECTORY.
    pub by_parent: AccessMask,
    /// The access checks, in order.
    pub needs: Vec<Need>,
}

impl FileDecision {
    /// The answer by the caller's readings.
    pub fn is_allowed(&self) -> bool {
        self.outcome.is_allowed()
    }
}

impl Operator<'_> {
    /// An operator with the default readings.
    pub fn new(token: &Token) -> Operator<'_> {
        Operator { token, readings: Readings::default() }
    }

    fn query<'q>(
        &'q self,
        descriptor: &'q SecurityDescriptor,
        desired: AccessMask,
        of: ObjectType,
    ) -> Query<'q> {
        Query::new(descriptor, self.token, desired, of.mapping())
    }

    /// Whether parents need FILE_TRAVERSE: the privilege of nearly every token says no.
    fn bypasses_traverse(&self) -> bool {
        self.token.privileges.contains(Privilege::ChangeNotify)
    }

    fn check(&self, descriptor: &SecurityDescriptor, desired: AccessMask, of: ObjectType) -> Decision {
        access_check(&self.query(descriptor, desired, of), &self.readings)
    }

    fn allows(&self, descriptor: &SecurityDescriptor, desired: AccessMask, readings: &Readings) -> bool {
        verdict(&self.query(descriptor, desired, ObjectType::File), readings).is_allowed()
    }
}
