//! The access control entry: one statement about one SID.

use crate::flags::bit_set;
use crate::guid::Guid;
use crate::mask::AccessMask;
use crate::sid::{Sid, well_known};

mod kind;
mod wire;

pub use kind::{AceEffect, AceKind};

bit_set! {
    /// The flags of an ACE (\[MS-DTYP\] 2.4.4.1): who inherits it, and what it audits.
    AceFlags: u8 {
        /// OBJECT_INHERIT_ACE, `OI`: children that are not containers inherit it
        OBJECT_INHERIT = 0x01;
        /// CONTAINER_INHERIT_ACE, `CI`: containers inherit it
        CONTAINER_INHERIT = 0x02;
        /// NO_PROPAGATE_INHERIT_ACE, `NP`: children inherit it, grandchildren do not
        NO_PROPAGATE = 0x04;
        /// INHERIT_ONLY_ACE, `IO`: says nothing about the object that carries it
        INHERIT_ONLY = 0x08;
        /// INHERITED_ACE, `ID`: came from the parent
        INHERITED = 0x10;
        /// CRITICAL_ACE_FLAG, `CR`, on deny ACEs
        CRITICAL = 0x20;
        /// SUCCESSFUL_ACCESS_ACE_FLAG, `SA`, on audit ACEs
        SUCCESSFUL_ACCESS = 0x40;
        /// FAILED_ACCESS_ACE_FLAG, `FA`, on audit ACEs
        FAILED_ACCESS = 0x80;
        /// `OI` and `CI`: everything below
        INHERIT_ALL = 0x03;
    }
}

bit_set! {
    /// The mask of a mandatory label ACE (\[MS-DTYP\] 2.4.4.13): what a token below the label may not do.
    LabelPolicy: u32 {
        /// SYSTEM_MANDATORY_LABEL_NO_WRITE_UP, `NW`
        NO_WRITE_UP = 1;
        /// SYSTEM_MANDATORY_LABEL_NO_READ_UP, `NR`
        NO_READ_UP = 2;
        /// SYSTEM_MANDATORY_LABEL_NO_EXECUTE_UP, `NX`
        NO_EXECUTE_UP = 4;
    }
}

/// The GUIDs of an object ACE; either may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ObjectTypes {
    /// The property, extended right or child class that the ACE is about.
    pub object: Option<Guid>,
    /// The class of child that inherits it.
    pub inherited_object: Option<Guid>,
}

/// An access control entry.
///
/// Every kind keeps what it was read with: the bytes after the SID (a condition, a claim, or padding), and for kinds
/// that this crate does not know the whole body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ace {
    kind: AceKind,
    flags: AceFlags,
    mask: AccessMask,
    sid: Sid,
    object: Option<Box<ObjectTypes>>,
    extra: Vec<u8>,
}

impl Ace {
    /// An ACE of one of the kinds made of a mask and a SID.
    fn plain(kind: AceKind, mask: AccessMask, sid: Sid) -> Self {
        Self { kind, flags: AceFlags::NONE, mask, sid, object: None, extra: Vec::new() }
    }

    /// ACCESS_ALLOWED_ACE.
    pub fn allow(mask: AccessMask, sid: Sid) -> Self {
        Self::plain(AceKind::Allow, mask, sid)
    }

    /// ACCESS_DENIED_ACE.
    pub fn deny(mask: AccessMask, sid: Sid) -> Self {
        Self::plain(AceKind::Deny, mask, sid)
    }

    /// SYSTEM_AUDIT_ACE; say with flags whether successes, failures or both are audited.
    pub fn audit(mask: AccessMask, sid: Sid) -> Self {
        Self::plain(AceKind::Audit, mask, sid)
    }

    /// SYSTEM_MANDATORY_LABEL_ACE for an integrity level such as 8192.
    pub fn label(level: u32, policy: LabelPolicy) -> Self {
        Self::plain(AceKind::MandatoryLabel, AccessMask(policy.0), Sid::constant(16, [level]))
    }

    /// An ACE of any known kind but the object kinds. `extra` is what follows the SID: a condition for callback
    /// kinds, a claim for resource attributes. It is padded with zero bytes to a multiple of four.
    ///
    /// Returns `None` for object kinds and unknown ones, which have their own constructors.
    pub fn with_extra(kind: AceKind, mask: AccessMask, sid: Sid, extra: Vec<u8>) -> Option<Self> {
        if kind.is_object() || matches!(kind, AceKind::Unknown(_)) {
            return None;
        }
        Some(Self { extra: padded(extra), ..Self::plain(kind, mask, sid) })
    }

    /// An object ACE. Returns `None` for kinds that carry no GUIDs.
    pub fn object(
        kind: AceKind,
        mask: AccessMask,
        types: ObjectTypes,
        sid: Sid,
        extra: Vec<u8>,
    ) -> Option<Self> {
        let object = Some(Box::new(types));
        kind.is_object().then(|| Self { object, extra: padded(extra), ..Self::plain(kind, mask, sid) })
    }

    /// An ACE of a type that this crate does not know, kept byte for byte. Returns `None` if it does know the type
    /// or if the body is not a multiple of four bytes, which every ACE is.
    pub fn unknown(ace_type: u8, body: Vec<u8>) -> Option<Self> {
        let kind = AceKind::from_u8(ace_type);
        let fits = matches!(kind, AceKind::Unknown(_)) && body.len().is_multiple_of(4);
        fits.then(|| Self { extra: body, ..Self::plain(kind, AccessMask::NONE, well_known::NULL) })
    }

    /// The same ACE with these flags instead of its own.
    #[must_use]
    pub fn with_flags(mut self, flags: AceFlags) -> Self {
        self.flags = flags;
        self
    }

    /// The same ACE with this mask. An unknown kind has none and stays as it is.
    #[must_use]
    pub fn with_mask(mut self, mask: AccessMask) -> Self {
        if !matches!(self.kind, AceKind::Unknown(_)) {
            self.mask = mask;
        }
        self
    }

    /// The same ACE for another SID. An unknown kind has none and stays as it is.
    #[must_use]
    pub fn with_sid(mut self, sid: Sid) -> Self {
        if !matches!(self.kind, AceKind::Unknown(_)) {
            self.sid = sid;
        }
        self
    }

    /// What kind of statement it is.
    pub fn kind(&self) -> AceKind {
        self.kind
    }

    /// Inheritance and audit flags.
    pub fn flags(&self) -> AceFlags {
        self.flags
    }

    /// The rights spoken of; for labels the policy; none for unknown kinds.
    pub fn mask(&self) -> AccessMask {
        self.mask
    }

    /// Who is spoken of; `None` for unknown kinds.
    pub fn sid(&self) -> Option<&Sid> {
        (!matches!(self.kind, AceKind::Unknown(_))).then_some(&self.sid)
    }

    /// The GUIDs of an object ACE.
    pub fn object_types(&self) -> Option<&ObjectTypes> {
        self.object.as_deref()
    }

    /// The bytes after the SID, or the whole body of an unknown kind. Always a multiple of four.
    pub fn extra(&self) -> &[u8] {
        &self.extra
    }

    /// Whether the ACE came from the parent.
    pub fn is_inherited(&self) -> bool {
        self.flags.contains(AceFlags::INHERITED)
    }

    /// Whether the ACE says nothing about the object that carries it.
    pub fn is_inherit_only(&self) -> bool {
        self.flags.contains(AceFlags::INHERIT_ONLY)
    }

    /// The level and policy of a mandatory label ACE that names an integrity level.
    pub fn as_label(&self) -> Option<(u32, LabelPolicy)> {
        let level = self.sid.integrity_level()?;
        (self.kind == AceKind::MandatoryLabel).then_some((level, LabelPolicy(self.mask.0)))
    }
}

/// Pads to the multiple of four that the size of an ACE must be.
fn padded(mut extra: Vec<u8>) -> Vec<u8> {
    extra.resize(extra.len().next_multiple_of(4), 0);
    extra
}
