//! The security descriptor: owner, group, DACL, SACL and what is known about how they came to be.

use crate::ace::LabelPolicy;
use crate::acl::Acl;
use crate::flags::bit_set;
use crate::sid::Sid;
use crate::wire::{WireError, u16_at, u32_at};

bit_set! {
    /// The control bits of a descriptor (\[MS-DTYP\] 2.4.6).
    Control: u16 {
        /// SE_OWNER_DEFAULTED
        OWNER_DEFAULTED = 0x0001;
        /// SE_GROUP_DEFAULTED
        GROUP_DEFAULTED = 0x0002;
        /// SE_DACL_PRESENT
        DACL_PRESENT = 0x0004;
        /// SE_DACL_DEFAULTED
        DACL_DEFAULTED = 0x0008;
        /// SE_SACL_PRESENT
        SACL_PRESENT = 0x0010;
        /// SE_SACL_DEFAULTED
        SACL_DEFAULTED = 0x0020;
        /// SE_DACL_UNTRUSTED
        DACL_UNTRUSTED = 0x0040;
        /// SE_SERVER_SECURITY
        SERVER_SECURITY = 0x0080;
        /// SE_DACL_AUTO_INHERIT_REQ, `AR`
        DACL_AUTO_INHERIT_REQ = 0x0100;
        /// SE_SACL_AUTO_INHERIT_REQ, `AR`
        SACL_AUTO_INHERIT_REQ = 0x0200;
        /// SE_DACL_AUTO_INHERITED, `AI`
        DACL_AUTO_INHERITED = 0x0400;
        /// SE_SACL_AUTO_INHERITED, `AI`
        SACL_AUTO_INHERITED = 0x0800;
        /// SE_DACL_PROTECTED, `P`
        DACL_PROTECTED = 0x1000;
        /// SE_SACL_PROTECTED, `P`
        SACL_PROTECTED = 0x2000;
        /// SE_RM_CONTROL_VALID: the byte that is otherwise padding means something to the resource manager
        RM_CONTROL_VALID = 0x4000;
        /// SE_SELF_RELATIVE
        SELF_RELATIVE = 0x8000;
        /// The bits that follow from the other fields and are set when writing
        DERIVED = 0x8014;
    }
}

/// A DACL or SACL field: there may be none, and one that is there may be NULL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum AclField {
    /// The present bit is clear.
    #[default]
    Absent,
    /// The present bit is set and there is no list. For a DACL this means that everyone may do everything.
    Null,
    /// A list, perhaps an empty one. An empty DACL grants nothing.
    List(Acl),
}

impl AclField {
    /// The list, if there is one.
    pub fn acl(&self) -> Option<&Acl> {
        match self {
            Self::List(acl) => Some(acl),
            Self::Absent | Self::Null => None,
        }
    }

    fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

/// A security descriptor (\[MS-DTYP\] 2.4.6) in absolute form: the parts themselves.
/// [`to_self_relative`](Self::to_self_relative) gives the form in one block of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SecurityDescriptor {
    /// Control bits. Those of [`Control::DERIVED`] are not kept here: the fields say the same.
    pub control: Control,
    /// The byte Sbz1, which means something when [`Control::RM_CONTROL_VALID`] is set.
    pub resource_manager_control: u8,
    /// The owner.
    pub owner: Option<Sid>,
    /// The primary group.
    pub group: Option<Sid>,
    /// Who may do what.
    pub dacl: AclField,
    /// The label, what is audited, and other things about the object as a whole.
    pub sacl: AclField,
}

/// The label of an object: its integrity level and what that keeps away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub struct Label {
    /// Integrity level, 8192 for Medium.
    pub level: u32,
    /// What tokens below the level may not do.
    pub policy: LabelPolicy,
    /// Whether the object carries a label; if not, these are the defaults.
    pub is_explicit: bool,
}

impl Label {
    /// What an object without a label has: Medium, no write up (\[MS-DTYP\] 2.5.3.3).
    pub const DEFAULT: Self = Self { level: 8192, policy: LabelPolicy::NO_WRITE_UP, is_explicit: false };
}

/// Bytes of the self-relative header.
const HEADER: usize = 20;
/// SECURITY_DESCRIPTOR_REVISION
const REVISION: u8 = 1;

impl SecurityDescriptor {
    /// The DACL, or `None` when there is none or it is NULL; both mean that everyone may do everything.
    pub fn dacl(&self) -> Option<&Acl> {
        self.dacl.acl()
    }

    /// The SACL, if there is a list.
    pub fn sacl(&self) -> Option<&Acl> {
        self.sacl.acl()
    }

    /// The label that counts: the first mandatory label ACE that is not inherit-only, or the default.
    pub fn label(&self) -> Label {
        let aces = self.sacl().map_or(&[][..], |acl| &acl.aces);
        aces.iter()
            .filter(|ace| !ace.is_inherit_only())
            .find_map(|ace| ace.as_label())
            .map_or(Label::DEFAULT, |(level, policy)| Label { level, policy, is_explicit: true })
    }

    /// The control bits as they are on the wire, with those that follow from the fields.
    pub fn wire_control(&self) -> Control {
        let mut control = self.control.without(Control::DERIVED) | Control::SELF_RELATIVE;
        if self.dacl.is_present() {
            control |= Control::DACL_PRESENT;
        }
        if self.sacl.is_present() {
            control |= Control::SACL_PRESENT;
        }
        control
    }

    /// The self-relative form: header, SACL, DACL, owner, group, in the order that Windows writes them.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] when a list does not fit.
    pub fn to_self_relative(&self) -> Result<Vec<u8>, WireError> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&[REVISION, self.resource_manager_control]);
        out.extend_from_slice(&self.wire_control().0.to_le_bytes());
        out.resize(HEADER, 0);
        for (field, acl) in [(12, self.sacl()), (16, self.dacl())] {
            if let Some(acl) = acl {
                put_offset(&mut out, field);
                acl.write_to(&mut out)?;
            }
        }
        for (field, sid) in [(4, self.owner), (8, self.group)] {
            if let Some(sid) = sid {
                put_offset(&mut out, field);
                sid.write_to(&mut out);
            }
        }
        Ok(out)
    }

    /// Reads the self-relative form. The parts may stand in any order and may share bytes, as Windows allows.
    ///
    /// # Errors
    /// [`WireError`] with the offset from the start of `bytes`.
    pub fn from_self_relative(bytes: &[u8]) -> Result<Self, WireError> {
        let truncated = WireError::Truncated { what: "the security descriptor", offset: 0 };
        let header = bytes.get(..HEADER).ok_or(truncated)?;
        if header[0] != REVISION {
            let revision = header[0];
            return Err(WireError::Revision { what: "the security descriptor", offset: 0, revision });
        }
        let control = Control(u16_at(header, 2).ok_or(truncated)?);
        if !control.contains(Control::SELF_RELATIVE) {
            return Err(WireError::NotSelfRelative);
        }
        Ok(Self {
            control: control.without(Control::DERIVED),
            resource_manager_control: header[1],
            owner: read_sid(bytes, 4)?,
            group: read_sid(bytes, 8)?,
            sacl: read_acl(bytes, 12, control.contains(Control::SACL_PRESENT))?,
            dacl: read_acl(bytes, 16, control.contains(Control::DACL_PRESENT))?,
        })
    }
}

/// Writes where the next part starts into the header field at `field`.
fn put_offset(out: &mut [u8], field: usize) {
    // Two ACLs of 64 KiB and two SIDs are far below 4 GiB.
    let offset = out.len() as u32;
    out[field..field + 4].copy_from_slice(&offset.to_le_bytes());
}

/// The bytes from where the header field at `field` points; `None` when it points nowhere.
fn part<'a>(
    bytes: &'a [u8],
    field: usize,
    what: &'static str,
) -> Result<Option<(usize, &'a [u8])>, WireError> {
    let offset = u32_at(bytes, field).ok_or(WireError::Truncated { what, offset: field })? as usize;
    if offset == 0 {
        return Ok(None);
    }
    let rest = bytes.get(offset..).filter(|_| offset >= HEADER);
    rest.map(|rest| Some((offset, rest))).ok_or(WireError::Truncated { what, offset })
}

fn read_sid(bytes: &[u8], field: usize) -> Result<Option<Sid>, WireError> {
    part(bytes, field, "the owner or group")?
        .map(|(offset, rest)| Sid::from_bytes(rest).map_err(|source| WireError::Sid { offset, source }))
        .transpose()
}

fn read_acl(bytes: &[u8], field: usize, present: bool) -> Result<AclField, WireError> {
    if !present {
        return Ok(AclField::Absent);
    }
    match part(bytes, field, "the ACL")? {
        None => Ok(AclField::Null),
        Some((offset, rest)) => {
            Acl::from_bytes(rest).map(AclField::List).map_err(|error| error.shifted(offset))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ace::{Ace, AceFlags};
    use crate::mask::AccessMask;
    use crate::sid::well_known::{ADMINISTRATORS, EVERYONE, SYSTEM};

    fn descriptor() -> SecurityDescriptor {
        SecurityDescriptor {
            control: Control::DACL_PROTECTED,
            owner: Some(ADMINISTRATORS),
            group: Some(SYSTEM),
            dacl: AclField::List(Acl::new(vec![Ace::allow(AccessMask::FILE_ALL_ACCESS, EVERYONE)])),
            sacl: AclField::List(Acl::new(vec![Ace::label(4096, LabelPolicy::NO_WRITE_UP)])),
            ..SecurityDescriptor::default()
        }
    }

    #[test]
    fn the_block_of_bytes_is_read_as_it_was_written() {
        for dacl in [AclField::Absent, AclField::Null, AclField::List(Acl::default()), descriptor().dacl] {
            let descriptor = SecurityDescriptor { dacl, ..descriptor() };
            let bytes = descriptor.to_self_relative().unwrap();
            assert_eq!(SecurityDescriptor::from_self_relative(&bytes), Ok(descriptor));
        }
    }

    #[test]
    fn offsets_outside_the_block_are_refused() {
        let mut bytes = descriptor().to_self_relative().unwrap();
        for wrong in [1u32, 19, 10_000, u32::MAX] {
            bytes[4..8].copy_from_slice(&wrong.to_le_bytes());
            let error = SecurityDescriptor::from_self_relative(&bytes);
            assert!(matches!(error, Err(WireError::Truncated { .. })), "{wrong}: {error:?}");
        }
    }

    #[test]
    fn the_first_label_that_is_not_inherit_only_counts() {
        let label = |level, flags| Ace::label(level, LabelPolicy::NO_WRITE_UP).with_flags(flags);
        let mut descriptor = descriptor();
        descriptor.sacl = AclField::List(Acl::new(vec![
            label(12288, AceFlags::INHERIT_ALL | AceFlags::INHERIT_ONLY),
            label(6144, AceFlags::INHERIT_ALL),
            label(4096, AceFlags::NONE),
        ]));
        assert_eq!(descriptor.label().level, 6144);
        descriptor.sacl = AclField::Null;
        assert_eq!(descriptor.label(), Label::DEFAULT);
    }
}
