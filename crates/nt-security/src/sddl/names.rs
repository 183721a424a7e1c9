//! The letters of SDDL: ACE types, flags, rights (\[MS-DTYP\] 2.5.1.1).

use crate::ace::{AceFlags, AceKind};
use crate::descriptor::Control;
use crate::mask::AccessMask;

/// ACE types that have letters.
const TYPES: [(AceKind, &str); 17] = [
    (AceKind::Allow, "A"),
    (AceKind::Deny, "D"),
    (AceKind::Audit, "AU"),
    (AceKind::Alarm, "AL"),
    (AceKind::AllowObject, "OA"),
    (AceKind::DenyObject, "OD"),
    (AceKind::AuditObject, "OU"),
    (AceKind::AlarmObject, "OL"),
    (AceKind::AllowCallback, "XA"),
    (AceKind::DenyCallback, "XD"),
    (AceKind::AuditCallback, "XU"),
    (AceKind::AllowCallbackObject, "ZA"),
    (AceKind::MandatoryLabel, "ML"),
    (AceKind::ResourceAttribute, "RA"),
    (AceKind::ScopedPolicy, "SP"),
    (AceKind::ProcessTrustLabel, "TL"),
    (AceKind::AccessFilter, "FL"),
];

/// The letters of a kind of ACE, if it has any.
pub(super) fn type_letters(kind: AceKind) -> Option<&'static str> {
    TYPES.iter().find(|(known, _)| *known == kind).map(|(_, letters)| *letters)
}

/// The kind of ACE that letters stand for.
pub(super) fn kind_of(letters: &[u8]) -> Option<AceKind> {
    TYPES.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(letters)).map(|(kind, _)| *kind)
}

/// The flags of an ACE, in the order in which they are written.
pub(super) const ACE_FLAGS: [(AceFlags, &str); 8] = [
    (AceFlags::OBJECT_INHERIT, "OI"),
    (AceFlags::CONTAINER_INHERIT, "CI"),
    (AceFlags::NO_PROPAGATE, "NP"),
    (AceFlags::INHERIT_ONLY, "IO"),
    (AceFlags::INHERITED, "ID"),
    (AceFlags::CRITICAL, "CR"),
    (AceFlags::SUCCESSFUL_ACCESS, "SA"),
    (AceFlags::FAILED_ACCESS, "FA"),
];

/// The flags that letters stand for; pairs of them, in any order.
pub(super) fn ace_flags(letters: &[u8]) -> Option<AceFlags> {
    let (pairs, []) = letters.as_chunks::<2>() else { return None };
    let mut flags = AceFlags::NONE;
    for pair in pairs {
        flags |= match &pair.map(|letter| letter.to_ascii_uppercase()) {
            b"OI" => AceFlags::OBJECT_INHERIT,
            b"CI" => AceFlags::CONTAINER_INHERIT,
            b"NP" => AceFlags::NO_PROPAGATE,
            b"IO" => AceFlags::INHERIT_ONLY,
            b"ID" => AceFlags::INHERITED,
            b"CR" => AceFlags::CRITICAL,
            // TRUST_PROTECTED_FILTER_ACE_FLAG shares the bit of SUCCESSFUL_ACCESS on access filters.
            b"SA" | b"TP" => AceFlags::SUCCESSFUL_ACCESS,
            b"FA" => AceFlags::FAILED_ACCESS,
            _ => return None,
        };
    }
    Some(flags)
}

/// The control bits that stand before a list's ACEs, for the DACL and for the SACL, in the order of writing.
pub(super) const ACL_FLAGS: [(Control, Control, &str); 3] = [
    (Control::DACL_PROTECTED, Control::SACL_PROTECTED, "P"),
    (Control::DACL_AUTO_INHERIT_REQ, Control::SACL_AUTO_INHERIT_REQ, "AR"),
    (Control::DACL_AUTO_INHERITED, Control::SACL_AUTO_INHERITED, "AI"),
];

/// Stands for a NULL list.
pub(super) const NO_ACCESS_CONTROL: &str = "NO_ACCESS_CONTROL";

/// The label policies, which are written as letters.
pub(super) const LABEL_POLICY: [(AccessMask, &str); 3] =
    [(AccessMask(1), "NW"), (AccessMask(2), "NR"), (AccessMask(4), "NX")];

/// The rights that a field stands for: one number, or pairs of letters.
pub(super) fn rights(field: &[u8]) -> Option<AccessMask> {
    if field.first().is_some_and(u8::is_ascii_digit) {
        return number(field);
    }
    let (pairs, []) = field.as_chunks::<2>() else { return None };
    let mut mask = AccessMask::NONE;
    for pair in pairs {
        mask |= AccessMask(right(pair.map(|letter| letter.to_ascii_uppercase()))?);
    }
    Some(mask)
}

/// A number in the base that its start tells: `0x`, `0`, or decimal.
fn number(field: &[u8]) -> Option<AccessMask> {
    let [b'0', b'x' | b'X', digits @ ..] = field else {
        return AccessMask::parse(std::str::from_utf8(field).ok()?);
    };
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let digit = |value: u32, byte: &u8| Some(value << 4 | (*byte as char).to_digit(16)?);
    digits.iter().try_fold(0, digit).map(AccessMask)
}

fn right(letters: [u8; 2]) -> Option<u32> {
    Some(match &letters {
        b"GA" => 0x1000_0000,
        b"GX" => 0x2000_0000,
        b"GW" => 0x4000_0000,
        b"GR" => 0x8000_0000,
        b"SD" => 0x0001_0000,
        b"RC" => 0x0002_0000,
        b"WD" => 0x0004_0000,
        b"WO" => 0x0008_0000,
        b"AS" => 0x0100_0000,
        b"MA" => 0x0200_0000,
        b"FA" => 0x001F_01FF,
        b"FR" => 0x0012_0089,
        b"FW" => 0x0012_0116,
        b"FX" => 0x0012_00A0,
        b"KA" => 0x000F_003F,
        b"KR" | b"KX" => 0x0002_0019,
        b"KW" => 0x0002_0006,
        b"CC" | b"NW" => 0x1,
        b"DC" | b"NR" => 0x2,
        b"LC" | b"NX" => 0x4,
        b"SW" => 0x8,
        b"RP" => 0x10,
        b"WP" => 0x20,
        b"DT" => 0x40,
        b"LO" => 0x80,
        b"CR" => 0x100,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_numbers_or_letters() {
        assert_eq!(rights(b"CCDCLCSWRPWPDTLOCR"), Some(AccessMask(0x1ff)));
        assert_eq!(rights(b"0x1301bf"), Some(AccessMask::FILE_MODIFY));
        assert_eq!(rights(b"20"), Some(AccessMask(20)));
        assert_eq!(rights(b""), Some(AccessMask::NONE));
        for wrong in [&b"0x"[..], b"0x123456789", b"ZZ", b"GAX", b"0xg"] {
            assert_eq!(rights(wrong), None, "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn types_have_letters_of_their_own() {
        for (kind, letters) in TYPES {
            assert_eq!(kind_of(letters.as_bytes()), Some(kind));
            assert_eq!(type_letters(kind), Some(letters));
        }
    }
}
