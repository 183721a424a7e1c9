//! Conditions of callback ACEs: expression text to the bytes of the ACE and back (\[MS-DTYP\] 2.4.4.17 and 2.5.1.1).
//!
//! The bytes are the signature `artx` and the expression in postfix order. Nothing here evaluates them.

mod parse;
mod print;

pub(super) use parse::parse;
pub(super) use print::print;

/// What conditional bytes start with.
const SIGNATURE: &[u8; 4] = b"artx";

/// How deeply expressions may nest. Windows allows less.
const MAX_DEPTH: usize = 64;

/// Token codes of literals.
mod code {
    pub(super) const INT64: u8 = 0x04;
    pub(super) const UNICODE: u8 = 0x10;
    pub(super) const OCTETS: u8 = 0x18;
    pub(super) const COMPOSITE: u8 = 0x50;
    pub(super) const SID: u8 = 0x51;
    pub(super) const LOCAL: u8 = 0xf8;
    pub(super) const NOT: u8 = 0xa2;
    pub(super) const AND: u8 = 0xa0;
    pub(super) const OR: u8 = 0xa1;
}

/// How an integer was written.
mod form {
    pub(super) const POSITIVE: u8 = 1;
    pub(super) const NEGATIVE: u8 = 2;
    pub(super) const UNSIGNED: u8 = 3;
    pub(super) const OCTAL: u8 = 1;
    pub(super) const DECIMAL: u8 = 2;
    pub(super) const HEXADECIMAL: u8 = 3;
}

/// Operators before an attribute name.
const ON_ATTRIBUTE: [(u8, &str); 2] = [(0x8d, "Not_Exists"), (0x87, "Exists")];

/// Operators before SIDs. Longer names first, so that none is taken for the start of another.
const ON_SIDS: [(u8, &str); 8] = [
    (0x93, "Not_Device_Member_of_Any"),
    (0x91, "Not_Device_Member_of"),
    (0x92, "Not_Member_of_Any"),
    (0x90, "Not_Member_of"),
    (0x8c, "Device_Member_of_Any"),
    (0x8a, "Device_Member_of"),
    (0x8b, "Member_of_Any"),
    (0x89, "Member_of"),
];

/// Operators between an attribute name and a value or another name.
const RELATIONS: [(u8, &str); 10] = [
    (0x80, "=="),
    (0x81, "!="),
    (0x83, "<="),
    (0x82, "<"),
    (0x85, ">="),
    (0x84, ">"),
    (0x8e, "Not_Contains"),
    (0x86, "Contains"),
    (0x8f, "Not_Any_of"),
    (0x88, "Any_of"),
];

/// Where an attribute comes from.
const PREFIXES: [(u8, &str); 3] = [(0xf9, "@User."), (0xfa, "@Resource."), (0xfb, "@Device.")];

/// Whether a character stands for itself in an attribute name; others are `%` and four digits.
fn is_name_char(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, ':' | '.' | '/' | '_') || !character.is_ascii()
}

#[cfg(test)]
mod tests {
    use crate::ace::Ace;

    fn extra(condition: &str) -> Vec<u8> {
        let ace = Ace::from_sddl(&format!("(XA;;FA;;;WD;({condition}))")).unwrap();
        ace.extra().to_vec()
    }

    #[test]
    fn a_comparison_is_postfix_with_the_forms_of_its_parts() {
        let expected = [
            b"artx".as_slice(),
            &[0xf9, 4, 0, 0, 0, b'a', 0, b'b', 0],
            &[0x04, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 2],
            &[0x84],
            &[0, 0, 0],
        ]
        .concat();
        assert_eq!(extra("@User.ab > -2"), expected);
    }

    #[test]
    fn what_is_printed_is_what_was_read() {
        for condition in [
            r#"@User.Title=="VP""#,
            r#"(Member_of{SID(S-1-5-32-544),SID(S-1-5-32-545)})"#,
            "Exists dept",
            "!(a==1)",
            "a==1||b==2&&c==3",
            "(a==1||b==2)&&c==3",
            "@Resource.x Any_of {1,0x2,03,-4,+5}",
            "x Contains {#0102,\"y\"}",
            "@Device.a%0020b!=@User.c",
            "a",
            "a&&!b",
        ] {
            let text = format!("(XA;;0x1;;;S-1-1-0;({condition}))");
            let ace = Ace::from_sddl(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let printed = ace.to_string();
            assert!(printed.contains(";("), "{printed}");
            assert_eq!(Ace::from_sddl(&printed), Ok(ace), "{printed}");
        }
    }

    #[test]
    fn and_binds_tighter_than_or() {
        assert_eq!(extra("a||b&&c"), extra("a||(b&&c)"));
        assert_ne!(extra("a||b&&c"), extra("(a||b)&&c"));
    }

    #[test]
    fn malformed_conditions_are_errors() {
        for wrong in
            ["", "a==", "Member_of", "(a", "a &&", "{1}", "@User.", "a==\"x", "a Contains {", "SID(XX)"]
        {
            assert!(Ace::from_sddl(&format!("(XA;;FA;;;WD;({wrong}))")).is_err(), "{wrong}");
        }
        let deep = format!("(XA;;FA;;;WD;({}a{}))", "(".repeat(10_000), ")".repeat(10_000));
        assert!(Ace::from_sddl(&deep).is_err());
        let nots = format!("(XA;;FA;;;WD;({}a))", "!".repeat(10_000));
        assert!(Ace::from_sddl(&nots).is_err());
    }

    #[test]
    fn bytes_that_are_no_condition_stay_bytes() {
        let ace = Ace::from_sddl("(XA;;0x1;;;S-1-1-0;#6172747880000000)").unwrap();
        assert_eq!(ace.to_string(), "(XA;;0x1;;;S-1-1-0;#6172747880000000)");
    }
}
