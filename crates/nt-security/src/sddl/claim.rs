//! Resource attributes: `("name",type,flags,value,…)` to the bytes of the ACE and back (\[MS-DTYP\] 2.4.10.1 and 2.5.1.1).

use std::fmt::Write as _;

use super::cursor::{Cursor, hex, push_hex};
use super::{Domains, SddlError, SddlErrorKind};
use crate::sid::Sid;
use crate::wire::{u16_at, u32_at};

const MALFORMED: SddlErrorKind = SddlErrorKind::Extra("resource attribute");
/// Offset of the name, type, reserved, flags, count of values.
const HEADER: usize = 16;

/// What the values of a claim are: CLAIM_SECURITY_ATTRIBUTE_TYPE_*.
#[derive(Clone, Copy, PartialEq)]
enum Type {
    Int64 = 1,
    Uint64 = 2,
    String = 3,
    Sid = 5,
    Boolean = 6,
    Octets = 16,
}

const TYPES: [(Type, &str); 6] = [
    (Type::Int64, "TI"),
    (Type::Uint64, "TU"),
    (Type::String, "TS"),
    (Type::Sid, "TD"),
    (Type::Boolean, "TB"),
    (Type::Octets, "TX"),
];

/// Reads `("name",type,flags,value,…)` and gives the ACE's bytes.
pub(super) fn parse(cursor: &mut Cursor<'_>, domains: &Domains) -> Result<Vec<u8>, SddlError> {
    cursor.expect(b'(', "a resource attribute in parentheses")?;
    let name = quoted(cursor)?;
    comma(cursor)?;
    cursor.skip_space();
    let Some((kind, _)) = TYPES.iter().find(|(_, letters)| cursor.eat_word(letters)) else {
        return cursor.error(SddlErrorKind::Expected("TI, TU, TS, TD, TB or TX"));
    };
    comma(cursor)?;
    let flags = crate::mask::AccessMask::parse(item(cursor)).map(|mask| mask.0);
    let Some(flags) = flags else { return cursor.error(MALFORMED) };
    let mut values = Vec::new();
    loop {
        cursor.skip_space();
        if cursor.eat(b')') {
            return Ok(layout(&name, *kind, flags, &values));
        }
        cursor.expect(b',', "a comma or the end of the resource attribute")?;
        values.push(value(cursor, *kind, domains)?);
    }
}

fn comma(cursor: &mut Cursor<'_>) -> Result<(), SddlError> {
    cursor.skip_space();
    cursor.expect(b',', "a comma")
}

/// Text in quotes as UTF-16 with its terminator.
fn quoted(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, SddlError> {
    cursor.skip_space();
    cursor.expect(b'"', "a text in quotes")?;
    let start = cursor.at;
    let Some(len) = cursor.rest().iter().position(|byte| *byte == b'"') else {
        return cursor.error(MALFORMED);
    };
    cursor.at = start + len + 1;
    let text = cursor.text(start, start + len);
    Ok(text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect())
}

/// What stands before the next comma or parenthesis.
fn item<'a>(cursor: &mut Cursor<'a>) -> &'a str {
    cursor.skip_space();
    let start = cursor.at;
    let rest = cursor.rest();
    let len = rest.iter().position(|byte| matches!(byte, b',' | b')')).unwrap_or(rest.len());
    cursor.at += len;
    cursor.text(start, start + len).trim_ascii_end()
}

fn value(cursor: &mut Cursor<'_>, kind: Type, domains: &Domains) -> Result<Vec<u8>, SddlError> {
    if kind == Type::String {
        return quoted(cursor);
    }
    cursor.skip_space();
    let offset = cursor.at;
    let text = item(cursor);
    let bytes = match kind {
        Type::Int64 => text.parse::<i64>().ok().map(|value| value.to_le_bytes().to_vec()),
        Type::Uint64 => text.parse::<u64>().ok().map(|value| value.to_le_bytes().to_vec()),
        Type::Boolean => match text {
            "0" => Some(0u64.to_le_bytes().to_vec()),
            "1" => Some(1u64.to_le_bytes().to_vec()),
            _ => None,
        },
        Type::Sid => return Ok(counted(&cursor.sid_of(text.as_bytes(), offset, domains)?.to_bytes())),
        Type::Octets => text.strip_prefix('#').and_then(|digits| hex(digits.as_bytes())).map(|b| counted(&b)),
        Type::String => None,
    };
    bytes.ok_or(SddlError { offset, kind: MALFORMED })
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes(), bytes].concat()
}

/// Header, offsets of the values, name, values, each at a multiple of four.
fn layout(name: &[u8], kind: Type, flags: u32, values: &[Vec<u8>]) -> Vec<u8> {
    let name_at = HEADER + 4 * values.len();
    let mut out = Vec::new();
    out.extend_from_slice(&(name_at as u32).to_le_bytes());
    out.extend_from_slice(&(kind as u16).to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&(values.len() as u32).to_le_bytes());
    let mut at = name_at + name.len().next_multiple_of(4);
    for value in values {
        out.extend_from_slice(&(at as u32).to_le_bytes());
        at += value.len().next_multiple_of(4);
    }
    for part in std::iter::once(name).chain(values.iter().map(Vec::as_slice)) {
        out.extend_from_slice(part);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

/// The text of a claim's bytes, or `None` for bytes that are none. The caller still has to see that reading the text gives
/// the same bytes: the parts may stand in another order.
pub(super) fn print(bytes: &[u8]) -> Option<String> {
    let (kind, letters) = TYPES.iter().find(|(kind, _)| u16_at(bytes, 4) == Some(*kind as u16)).copied()?;
    let name = text_at(bytes, u32_at(bytes, 0)?)?;
    let (flags, count) = (u32_at(bytes, 8)?, u32_at(bytes, 12)? as usize);
    // Each value has an offset of its own in the bytes, and their texts together cannot be longer than the text that
    // these bytes come from; a claim whose values overlap to say more is not written.
    let offsets = bytes.get(HEADER..HEADER.checked_add(count.checked_mul(4)?)?)?;
    let mut out = format!("(\"{name}\",{letters},{flags:#x}");
    for offset in offsets.as_chunks().0 {
        out.push(',');
        print_value(kind, bytes, u32::from_le_bytes(*offset), &mut out)?;
        if out.len() > 8 * bytes.len() {
            return None;
        }
    }
    out.push(')');
    Some(out)
}

fn print_value(kind: Type, bytes: &[u8], offset: u32, out: &mut String) -> Option<()> {
    let at = offset as usize;
    let number = || Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?));
    let counted = || {
        let start = at.checked_add(4)?;
        bytes.get(start..start.checked_add(u32_at(bytes, at)? as usize)?)
    };
    // Writing to a String cannot fail.
    match kind {
        Type::Int64 => drop(write!(out, "{}", number()? as i64)),
        Type::Uint64 | Type::Boolean => drop(write!(out, "{}", number()?)),
        Type::String => drop(write!(out, "\"{}\"", text_at(bytes, offset)?)),
        Type::Sid => drop(write!(out, "{}", Sid::from_bytes(counted()?).ok()?)),
        Type::Octets => {
            out.push('#');
            push_hex(out, counted()?);
        }
    }
    Some(())
}

/// UTF-16 up to its terminator; no quote may be in it.
fn text_at(bytes: &[u8], offset: u32) -> Option<String> {
    let units = bytes.get(offset as usize..)?.as_chunks::<2>().0;
    let end = units.iter().position(|unit| *unit == [0, 0])?;
    let units = units[..end].iter().map(|unit| u16::from_le_bytes(*unit));
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    (!text.contains('"')).then_some(text)
}

#[cfg(test)]
mod tests {
    use crate::ace::Ace;

    #[test]
    fn what_is_printed_is_what_was_read() {
        for claim in [
            r#"("Secrecy",TU,0x0,3)"#,
            r#"("Project",TS,0x1,"Windows","SQL")"#,
            r#"("n",TI,0x0,-5,7)"#,
            r#"("b",TB,0x0,1,0)"#,
            r#"("s",TD,0x0,S-1-5-32-544)"#,
            r##"("x",TX,0x0,#0102ff)"##,
            r#"("none",TI,0x0)"#,
        ] {
            let text = format!("(RA;;0x0;;;S-1-1-0;{claim})");
            let ace = Ace::from_sddl(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(ace.to_string(), text);
        }
    }

    #[test]
    fn the_bytes_are_header_offsets_name_values() {
        let ace = Ace::from_sddl(r#"(RA;;;;;WD;("a",TU,0x2,3))"#).unwrap();
        let expected = [
            &[20, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 24, 0, 0, 0][..],
            &[b'a', 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(ace.extra(), expected.concat());
    }

    #[test]
    fn malformed_claims_are_errors() {
        for wrong in [
            r#"("a")"#,
            r#"("a",TQ,0,1)"#,
            r#"("a",TB,0,2)"#,
            r#"("a",TU,0,-1)"#,
            r#"("a,TU,0,1)"#,
            "(a,TU,0,1)",
        ] {
            assert!(Ace::from_sddl(&format!("(RA;;;;;WD;{wrong})")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_of_another_layout_stay_bytes() {
        let text = "(RA;;0x0;;;S-1-1-0;#ffffffff0200000000000000010000001800000061000000)";
        assert_eq!(Ace::from_sddl(text).unwrap().to_string(), text);
    }
}
