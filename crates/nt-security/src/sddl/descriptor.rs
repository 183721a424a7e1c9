//! A whole descriptor as text.

use std::fmt::Write as _;

use super::cursor::Cursor;
use super::names::{ACL_FLAGS, NO_ACCESS_CONTROL};
use super::{Domains, SddlError, SddlErrorKind, ace};
use crate::acl::{Acl, MAX_ACL_SIZE};
use crate::descriptor::{AclField, Control, SecurityDescriptor};

/// Which of the two lists a part is.
#[derive(Clone, Copy, PartialEq)]
enum List {
    Dacl,
    Sacl,
}

/// Reads the parts `O:`, `G:`, `D:` and `S:`, each at most once, in any order.
pub(super) fn parse(text: &str, domains: &Domains) -> Result<SecurityDescriptor, SddlError> {
    let mut cursor = Cursor::new(text);
    let mut descriptor = SecurityDescriptor::default();
    loop {
        cursor.skip_space();
        let Some(letter) = cursor.peek() else { return Ok(descriptor) };
        let start = cursor.at;
        cursor.at += 1;
        let twice = match letter {
            b'O' | b'o' => {
                colon(&mut cursor, start)?;
                descriptor.owner.replace(cursor.sid_part(domains)?).is_some()
            }
            b'G' | b'g' => {
                colon(&mut cursor, start)?;
                descriptor.group.replace(cursor.sid_part(domains)?).is_some()
            }
            b'D' | b'd' => {
                colon(&mut cursor, start)?;
                let field = list(&mut cursor, List::Dacl, &mut descriptor.control, domains)?;
                std::mem::replace(&mut descriptor.dacl, field) != AclField::Absent
            }
            b'S' | b's' => {
                colon(&mut cursor, start)?;
                let field = list(&mut cursor, List::Sacl, &mut descriptor.control, domains)?;
                std::mem::replace(&mut descriptor.sacl, field) != AclField::Absent
            }
            _ => true,
        };
        if twice {
            let known = matches!(letter.to_ascii_uppercase(), b'O' | b'G' | b'D' | b'S');
            let kind = if known { SddlErrorKind::Twice } else { SddlErrorKind::Expected("O:, G:, D: or S:") };
            return Err(SddlError { offset: start, kind });
        }
    }
}

fn colon(cursor: &mut Cursor<'_>, start: usize) -> Result<(), SddlError> {
    let kind = SddlErrorKind::Expected("O:, G:, D: or S:");
    if cursor.eat(b':') { Ok(()) } else { Err(SddlError { offset: start, kind }) }
}

/// The flags of a list and its ACEs.
fn list(
    cursor: &mut Cursor<'_>,
    list: List,
    control: &mut Control,
    domains: &Domains,
) -> Result<AclField, SddlError> {
    loop {
        cursor.skip_space();
        if cursor.eat_word(NO_ACCESS_CONTROL) {
            return Ok(AclField::Null);
        }
        let Some((dacl, sacl, _)) = ACL_FLAGS.iter().find(|(_, _, letters)| cursor.eat_word(letters)) else {
            return aces(cursor, domains).map(AclField::List);
        };
        *control |= if list == List::Dacl { *dacl } else { *sacl };
    }
}

/// ACEs one after the other, none or more.
pub(super) fn aces(cursor: &mut Cursor<'_>, domains: &Domains) -> Result<Acl, SddlError> {
    let mut aces = Vec::with_capacity(8);
    let mut size = 8;
    loop {
        cursor.skip_space();
        if cursor.peek() != Some(b'(') {
            return Ok(Acl::new(aces));
        }
        let start = cursor.at;
        let ace = ace::parse(cursor, domains)?;
        size += ace.binary_len();
        if size > MAX_ACL_SIZE {
            return Err(SddlError { offset: start, kind: SddlErrorKind::TooLarge });
        }
        aces.push(ace);
    }
}

/// Appends the parts that the descriptor has.
pub(super) fn print(descriptor: &SecurityDescriptor, out: &mut String) {
    // Writing to a String cannot fail.
    if let Some(owner) = &descriptor.owner {
        let _ = write!(out, "O:{owner}");
    }
    if let Some(group) = &descriptor.group {
        let _ = write!(out, "G:{group}");
    }
    print_list(&descriptor.dacl, List::Dacl, descriptor.control, out);
    print_list(&descriptor.sacl, List::Sacl, descriptor.control, out);
}

fn print_list(field: &AclField, list: List, control: Control, out: &mut String) {
    if *field == AclField::Absent {
        return;
    }
    out.push_str(if list == List::Dacl { "D:" } else { "S:" });
    for (dacl, sacl, letters) in ACL_FLAGS {
        if control.contains(if list == List::Dacl { dacl } else { sacl }) {
            out.push_str(letters);
        }
    }
    match field.acl() {
        Some(acl) => acl.aces.iter().for_each(|ace| ace::print(ace, out)),
        None => out.push_str(NO_ACCESS_CONTROL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> SecurityDescriptor {
        parse(text, &Domains::default()).unwrap()
    }

    fn canonical(text: &str) -> String {
        read(text).to_sddl()
    }

    #[test]
    fn a_descriptor_is_written_with_numbers() {
        assert_eq!(
            canonical("O:SYG:BAD:PARAI(A;OICI;FA;;;BU)S:AI(ML;OI;NWNR;;;ME)"),
            "O:S-1-5-18G:S-1-5-32-544D:PARAI(A;OICI;0x1f01ff;;;S-1-5-32-545)S:AI(ML;OI;NWNR;;;S-1-16-8192)"
        );
    }

    #[test]
    fn null_and_empty_lists_are_different() {
        assert_eq!(read("D:NO_ACCESS_CONTROL").dacl, AclField::Null);
        assert_eq!(read("D:").dacl, AclField::List(Acl::default()));
        assert_eq!(read("O:SY").dacl, AclField::Absent);
        assert_eq!(canonical("D:PNO_ACCESS_CONTROL"), "D:PNO_ACCESS_CONTROL");
    }

    #[test]
    fn parts_come_in_any_order_but_once() {
        assert_eq!(canonical("S:D:G:BAO:SY"), "O:S-1-5-18G:S-1-5-32-544D:S:");
        let twice = parse("O:SYO:SY", &Domains::default());
        assert_eq!(twice, Err(SddlError { offset: 4, kind: SddlErrorKind::Twice }));
        let dacl_twice = parse("D:D:", &Domains::default());
        assert_eq!(dacl_twice, Err(SddlError { offset: 2, kind: SddlErrorKind::Twice }));
    }

    #[test]
    fn a_hexadecimal_part_before_a_dacl_ends_where_it_should() {
        assert_eq!(canonical("O:S-1-5-0x20D:"), "O:S-1-5-32D:");
    }

    #[test]
    fn errors_say_where() {
        for (text, offset) in
            [("X:", 0), ("O", 0), ("D:(A;;FA;;;BA", 13), ("D:(A;;FA;;;XX)", 11), ("D:(A;ZZ;FA;;;BA)", 5)]
        {
            let error = parse(text, &Domains::default()).unwrap_err();
            assert_eq!(error.offset, offset, "{text}: {error}");
        }
    }

    #[test]
    fn domain_aliases_need_a_domain() {
        let error = parse("O:DA", &Domains::default()).unwrap_err();
        assert_eq!(error.kind, SddlErrorKind::NoDomain);
        let joined = crate::sid::Sid::parse("S-1-5-21-1-2-3").ok();
        let descriptor = parse("O:DA", &Domains { joined, ..Domains::default() }).unwrap();
        assert_eq!(descriptor.to_sddl(), "O:S-1-5-21-1-2-3-512");
    }

    #[test]
    fn lists_beyond_64_kib_are_refused() {
        let text = format!("D:{}", "(A;;FA;;;WD)".repeat(4000));
        assert_eq!(parse(&text, &Domains::default()).unwrap_err().kind, SddlErrorKind::TooLarge);
    }
}
