//! The access control list: ACEs in the order in which they are read.

use crate::ace::{Ace, AceEffect};
use crate::wire::{WireError, u16_at};

/// Revision, padding, size, count, padding.
const HEADER: usize = 8;
/// The largest size that the 16-bit field can say and that is a multiple of four.
pub const MAX_ACL_SIZE: usize = 0xFFFC;
/// ACL_REVISION: no object ACEs.
pub const ACL_REVISION: u8 = 2;
/// ACL_REVISION_DS: object ACEs may occur.
pub const ACL_REVISION_DS: u8 = 4;

/// An access control list (\[MS-DTYP\] 2.4.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acl {
    /// 2, or 4 when object ACEs may occur.
    pub revision: u8,
    /// The entries, in the order in which an access check reads them.
    pub aces: Vec<Ace>,
}

impl Default for Acl {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Acl {
    /// A list with the lowest revision that its entries allow.
    pub fn new(aces: Vec<Ace>) -> Self {
        let revision =
            if aces.iter().any(|ace| ace.kind().is_object()) { ACL_REVISION_DS } else { ACL_REVISION };
        Self { revision, aces }
    }

    /// Length of the binary form in bytes. May exceed what an ACL can be; see [`to_bytes`](Self::to_bytes).
    pub fn binary_len(&self) -> usize {
        HEADER + self.aces.iter().map(Ace::binary_len).sum::<usize>()
    }

    /// Whether the entries stand in the order that Windows' own tools write: explicit denies, explicit allows, then
    /// whatever was inherited. ACEs of a deeper ancestor follow those of a nearer one, each with its own denies first,
    /// so the order among inherited entries cannot be judged from the list alone.
    ///
    /// Source: "Order of ACEs in a DACL", Microsoft's documentation.
    pub fn is_canonical(&self) -> bool {
        let rank = |ace: &Ace| match ace.kind().effect() {
            _ if ace.is_inherited() => 2,
            Some(AceEffect::Deny) => 0,
            _ => 1,
        };
        self.aces.is_sorted_by_key(rank)
    }

    /// The binary form.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] when it would exceed 65,532 bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WireError> {
        let mut out = Vec::new();
        self.write_to(&mut out)?;
        Ok(out)
    }

    pub(crate) fn write_to(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        let size = self.binary_len();
        if size > MAX_ACL_SIZE {
            return Err(WireError::TooLarge { size });
        }
        out.reserve(size);
        out.extend_from_slice(&[self.revision, 0]);
        out.extend_from_slice(&(size as u16).to_le_bytes());
        // An ACE has four bytes at least, so the count fits whenever the size does.
        out.extend_from_slice(&(self.aces.len() as u16).to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        self.aces.iter().for_each(|ace| ace.write_to(out));
        Ok(())
    }

    /// Reads the list at the start of `bytes`. Space inside the list's size after the last ACE is skipped.
    ///
    /// # Errors
    /// [`WireError`]; offsets count from the start of `bytes`. Revisions 2, 3 and 4 are taken.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let truncated = WireError::Truncated { what: "the ACL", offset: 0 };
        let header = bytes.get(..HEADER).ok_or(truncated)?;
        let revision = header[0];
        if !(ACL_REVISION..=ACL_REVISION_DS).contains(&revision) {
            return Err(WireError::Revision { what: "the ACL", offset: 0, revision });
        }
        let size = usize::from(u16_at(header, 2).ok_or(truncated)?);
        let count = usize::from(u16_at(header, 4).ok_or(truncated)?);
        if size < HEADER {
            return Err(WireError::Size { what: "the ACL", offset: 0, size });
        }
        let whole = bytes.get(..size).ok_or(truncated)?;
        // The stated count is not trusted with memory: each ACE takes four bytes at least.
        let mut aces = Vec::with_capacity(count.min(size / 16));
        let mut at = HEADER;
        for _ in 0..count {
            let (ace, taken) = Ace::from_bytes(&whole[at..]).map_err(|error| error.shifted(at))?;
            aces.push(ace);
            at += taken;
        }
        Ok(Self { revision, aces })
    }
}

impl FromIterator<Ace> for Acl {
    fn from_iter<I: IntoIterator<Item = Ace>>(aces: I) -> Self {
        Self::new(aces.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ace::AceFlags;
    use crate::mask::AccessMask;
    use crate::sid::well_known::{EVERYONE, USERS};

    fn allow() -> Ace {
        Ace::allow(AccessMask::FILE_MODIFY, USERS)
    }

    fn deny() -> Ace {
        Ace::deny(AccessMask::DELETE, EVERYONE)
    }

    #[test]
    fn canonical_order_is_explicit_denies_first_and_inherited_last() {
        let inherited = |ace: Ace| ace.with_flags(AceFlags::INHERITED);
        assert!(Acl::new(vec![deny(), allow(), inherited(allow()), inherited(deny())]).is_canonical());
        assert!(!Acl::new(vec![allow(), deny()]).is_canonical());
        assert!(!Acl::new(vec![inherited(deny()), allow()]).is_canonical());
        assert!(Acl::default().is_canonical());
    }

    #[test]
    fn a_list_that_does_not_fit_its_size_field_is_refused() {
        let count = MAX_ACL_SIZE / allow().binary_len() + 1;
        let acl = Acl::new(vec![allow(); count]);
        assert_eq!(acl.to_bytes(), Err(WireError::TooLarge { size: acl.binary_len() }));
    }

    #[test]
    fn a_count_beyond_the_bytes_is_an_error_at_the_right_place() {
        let mut bytes = Acl::new(vec![deny()]).to_bytes().unwrap();
        bytes[4] = 2;
        let end = bytes.len();
        assert_eq!(Acl::from_bytes(&bytes), Err(WireError::Truncated { what: "the ACE", offset: end }));
    }

    #[test]
    fn free_space_after_the_last_ace_is_skipped() {
        let acl = Acl::new(vec![deny()]);
        let mut bytes = acl.to_bytes().unwrap();
        bytes[2] += 8;
        bytes.extend_from_slice(&[0; 8]);
        assert_eq!(Acl::from_bytes(&bytes), Ok(acl));
    }
}
