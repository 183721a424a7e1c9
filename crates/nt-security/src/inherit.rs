//! Inheritance: what a new object is given, and what an existing one becomes when its parent has changed.

use crate::ace::AceFlags;

mod ace;
mod create;
mod propagate;

pub use create::{Creation, new_child};
pub use propagate::propagate;

/// Whether the object that inherits can hold others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChildKind {
    /// A file, a registry value's key without children, a leaf of any sort.
    Leaf,
    /// A folder, or anything else that holds objects.
    Container,
}

impl ChildKind {
    /// The inheritance flag that makes an ACE take effect on such a child.
    const fn flag(self) -> AceFlags {
        match self {
            Self::Leaf => AceFlags::OBJECT_INHERIT,
            Self::Container => AceFlags::CONTAINER_INHERIT,
        }
    }
}
