//! The binary form of an ACE (\[MS-DTYP\] 2.4.4).

use super::{Ace, AceFlags, AceKind, ObjectTypes};
use crate::guid::Guid;
use crate::mask::AccessMask;
use crate::sid::Sid;
use crate::wire::{WireError, u16_at, u32_at};

/// Type, flags and 16-bit size.
const HEADER: usize = 4;
/// ACE_OBJECT_TYPE_PRESENT
const OBJECT_TYPE_PRESENT: u32 = 1;
/// ACE_INHERITED_OBJECT_TYPE_PRESENT
const INHERITED_OBJECT_TYPE_PRESENT: u32 = 2;

impl Ace {
    /// Length of the binary form in bytes, a multiple of four. May exceed the 65,535 that the size field can say;
    /// [`Acl::to_bytes`](crate::acl::Acl::to_bytes) refuses such an ACE.
    pub fn binary_len(&self) -> usize {
        let body = match self.kind {
            AceKind::Unknown(_) => 0,
            _ => 4 + self.object_len() + self.sid.binary_len(),
        };
        HEADER + body + self.extra.len()
    }

    fn object_len(&self) -> usize {
        self.object.as_deref().map_or(0, |types| {
            4 + 16 * (usize::from(types.object.is_some()) + usize::from(types.inherited_object.is_some()))
        })
    }

    /// Appends the binary form. The caller has made sure that the size fits its field.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        out.push(self.kind.to_u8());
        out.push(self.flags.0);
        out.extend_from_slice(&(self.binary_len() as u16).to_le_bytes());
        if !matches!(self.kind, AceKind::Unknown(_)) {
            out.extend_from_slice(&self.mask.0.to_le_bytes());
            if let Some(types) = &self.object {
                write_object_types(types, out);
            }
            self.sid.write_to(out);
        }
        out.extend_from_slice(&self.extra);
    }

    /// Reads the ACE at the start of `bytes`, with the number of bytes that it takes.
    ///
    /// # Errors
    /// [`WireError`]; offsets count from the start of `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, usize), WireError> {
        let truncated = WireError::Truncated { what: "the ACE", offset: 0 };
        let size = usize::from(u16_at(bytes, 2).ok_or(truncated)?);
        let (number, flags) = (bytes[0], AceFlags(bytes[1]));
        if size < HEADER || !size.is_multiple_of(4) {
            return Err(WireError::Size { what: "the ACE", offset: 0, size });
        }
        let whole = bytes.get(..size).ok_or(truncated)?;
        let kind = AceKind::from_u8(number);
        let ace = match kind {
            AceKind::Unknown(_) => Self::unknown(number, whole[HEADER..].to_vec()).ok_or(truncated)?,
            _ => read_body(kind, whole)?,
        };
        Ok((ace.with_flags(flags), size))
    }
}

fn write_object_types(types: &ObjectTypes, out: &mut Vec<u8>) {
    let mut present = 0;
    if types.object.is_some() {
        present |= OBJECT_TYPE_PRESENT;
    }
    if types.inherited_object.is_some() {
        present |= INHERITED_OBJECT_TYPE_PRESENT;
    }
    out.extend_from_slice(&present.to_le_bytes());
    for guid in [types.object, types.inherited_object].into_iter().flatten() {
        out.extend_from_slice(&guid.0);
    }
}

/// Reads mask, GUIDs, SID and the rest of a known kind; `whole` is exactly the ACE.
fn read_body(kind: AceKind, whole: &[u8]) -> Result<Ace, WireError> {
    let truncated = WireError::Truncated { what: "the ACE", offset: 0 };
    let mask = AccessMask(u32_at(whole, HEADER).ok_or(truncated)?);
    let mut at = HEADER + 4;
    let mut object = None;
    if kind.is_object() {
        let (types, next) = read_object_types(whole, at)?;
        object = Some(Box::new(types));
        at = next;
    }
    let rest = whole.get(at..).ok_or(truncated)?;
    let sid = Sid::from_bytes(rest).map_err(|source| WireError::Sid { offset: at, source })?;
    let extra = rest[sid.binary_len()..].to_vec();
    Ok(Ace { object, extra, ..Ace::plain(kind, mask, sid) })
}

fn read_object_types(whole: &[u8], start: usize) -> Result<(ObjectTypes, usize), WireError> {
    let truncated = WireError::Truncated { what: "the object ACE", offset: start };
    let present = u32_at(whole, start).ok_or(truncated)?;
    let reserved = present & !(OBJECT_TYPE_PRESENT | INHERITED_OBJECT_TYPE_PRESENT);
    if reserved != 0 {
        return Err(WireError::Reserved { what: "the object ACE", offset: start, bits: reserved });
    }
    let mut at = start + 4;
    let mut guid_if = |flag: u32| -> Result<Option<Guid>, WireError> {
        if present & flag == 0 {
            return Ok(None);
        }
        let bytes = whole.get(at..at + 16).ok_or(truncated)?;
        at += 16;
        Ok(bytes.try_into().ok().map(Guid))
    };
    let object = guid_if(OBJECT_TYPE_PRESENT)?;
    let inherited_object = guid_if(INHERITED_OBJECT_TYPE_PRESENT)?;
    Ok((ObjectTypes { object, inherited_object }, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sid::well_known;

    fn round_trip(ace: &Ace) {
        let mut bytes = Vec::new();
        ace.write_to(&mut bytes);
        assert_eq!(bytes.len(), ace.binary_len());
        assert_eq!(Ace::from_bytes(&bytes), Ok((ace.clone(), bytes.len())));
    }

    #[test]
    fn each_shape_is_read_as_it_was_written() {
        let guid = Guid([7; 16]);
        let mask = AccessMask::FILE_MODIFY;
        let types = ObjectTypes { object: Some(guid), inherited_object: None };
        round_trip(&Ace::allow(mask, well_known::EVERYONE).with_flags(AceFlags::INHERIT_ALL));
        round_trip(&Ace::object(AceKind::DenyObject, mask, types, well_known::USERS, vec![]).unwrap());
        round_trip(
            &Ace::with_extra(AceKind::AllowCallback, mask, well_known::USERS, b"artx\x01".to_vec()).unwrap(),
        );
        round_trip(&Ace::unknown(200, vec![1, 2, 3, 4]).unwrap());
        round_trip(&Ace::unknown(4, vec![]).unwrap());
    }

    #[test]
    fn impossible_sizes_and_reserved_bits_are_refused() {
        let size = |size| WireError::Size { what: "the ACE", offset: 0, size };
        assert_eq!(Ace::from_bytes(&[0, 0, 3, 0]), Err(size(3)));
        assert_eq!(Ace::from_bytes(&[200, 0, 6, 0, 1, 2]), Err(size(6)));
        assert!(matches!(Ace::from_bytes(&[0, 0, 20, 0]), Err(WireError::Truncated { .. })));
        let mut object = vec![5, 0, 24, 0, 0, 0, 0, 0, 4, 0, 0, 0];
        well_known::EVERYONE.write_to(&mut object);
        assert!(matches!(Ace::from_bytes(&object), Err(WireError::Reserved { bits: 4, .. })));
    }
}
