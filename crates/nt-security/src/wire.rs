//! Reading little-endian fields from untrusted bytes, and the one error that it can end in.

/// Why bytes are not the structure that they were taken for. Offsets count from the start of the bytes given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end before the structure does.
    #[error("{what} at byte {offset} runs past the end of the data")]
    Truncated {
        /// The structure.
        what: &'static str,
        /// Where it starts.
        offset: usize,
    },
    /// A revision number that is not known.
    #[error("{what} at byte {offset} has revision {revision}, which is not known")]
    Revision {
        /// The structure.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// The revision found.
        revision: u8,
    },
    /// A size field that cannot be right.
    #[error("{what} at byte {offset} states a size of {size} bytes, which cannot be")]
    Size {
        /// The structure.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// The size stated.
        size: usize,
    },
    /// An ACL with more bytes of ACEs than its 16-bit size field can say.
    #[error("an access control list of {size} bytes is larger than the 65532 that fit")]
    TooLarge {
        /// The size that would be needed.
        size: usize,
    },
    /// A SID inside the structure is malformed.
    #[error("the SID at byte {offset} is malformed: {source}")]
    Sid {
        /// Where the SID starts.
        offset: usize,
        /// What is wrong with it.
        source: crate::sid::SidError,
    },
    /// Flag bits that are reserved.
    #[error("{what} at byte {offset} sets the reserved bits {bits:#x}")]
    Reserved {
        /// The structure.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// The bits found.
        bits: u32,
    },
    /// The descriptor is not self-relative, so its fields are pointers and not data.
    #[error("the security descriptor is not in self-relative form")]
    NotSelfRelative,
}

impl WireError {
    /// A stable word for programs that act on the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "wire-truncated",
            Self::Revision { .. } => "wire-revision",
            Self::Size { .. } => "wire-size",
            Self::TooLarge { .. } => "acl-too-large",
            Self::Sid { .. } => "wire-sid",
            Self::Reserved { .. } => "wire-reserved",
            Self::NotSelfRelative => "descriptor-not-self-relative",
        }
    }

    /// The same error, seen from a structure that starts `base` bytes before.
    pub(crate) fn shifted(self, base: usize) -> Self {
        match self {
            Self::Truncated { what, offset } => Self::Truncated { what, offset: offset + base },
            Self::Revision { what, offset, revision } => {
                Self::Revision { what, offset: offset + base, revision }
            }
            Self::Size { what, offset, size } => Self::Size { what, offset: offset + base, size },
            Self::Sid { offset, source } => Self::Sid { offset: offset + base, source },
            Self::Reserved { what, offset, bits } => Self::Reserved { what, offset: offset + base, bits },
            Self::TooLarge { .. } | Self::NotSelfRelative => self,
        }
    }
}

/// The `u16` at `offset`, if it is inside.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let field = bytes.get(offset..offset.checked_add(2)?)?;
    Some(u16::from_le_bytes(field.try_into().ok()?))
}

/// The `u32` at `offset`, if it is inside.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}
