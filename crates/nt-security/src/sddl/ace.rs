//! One ACE as text.

use std::fmt::Write as _;

use super::cursor::{Cursor, hex, push_hex};
use super::names::{self, ACE_FLAGS, LABEL_POLICY};
use super::{Domains, SddlError, SddlErrorKind, claim, condition};
use crate::ace::{Ace, AceKind, ObjectTypes};
use crate::guid::Guid;
use crate::mask::AccessMask;

/// Reads `(type;flags;rights;object;inherited object;SID)`, with a seventh field where the type has one.
pub(super) fn parse(cursor: &mut Cursor<'_>, domains: &Domains) -> Result<Ace, SddlError> {
    cursor.expect(b'(', "an ACE in parentheses")?;
    let kind = kind(cursor)?;
    next_field(cursor)?;
    let (letters, offset) = cursor.field();
    let flags = names::ace_flags(letters).ok_or(SddlError { offset, kind: SddlErrorKind::Flag })?;
    next_field(cursor)?;
    let ace = match kind {
        AceKind::Unknown(number) => unknown(cursor, number)?,
        _ => known(cursor, kind, domains)?,
    };
    cursor.expect(b')', "the end of the ACE")?;
    Ok(ace.with_flags(flags))
}

fn next_field(cursor: &mut Cursor<'_>) -> Result<(), SddlError> {
    cursor.expect(b';', "the next field of the ACE")
}

/// The type by its letters, or `#` and two digits.
fn kind(cursor: &mut Cursor<'_>) -> Result<AceKind, SddlError> {
    let (letters, offset) = cursor.field();
    let error = SddlError { offset, kind: SddlErrorKind::AceType };
    match letters {
        [b'#', digits @ ..] => match hex(digits).as_deref() {
            Some([number]) => Ok(AceKind::from_u8(*number)),
            _ => Err(error),
        },
        _ => names::kind_of(letters).ok_or(error),
    }
}

/// The body of an ACE of an unknown type, after `#`.
fn unknown(cursor: &mut Cursor<'_>, number: u8) -> Result<Ace, SddlError> {
    let (field, offset) = cursor.field();
    let error = SddlError { offset, kind: SddlErrorKind::Hex };
    let [b'#', digits @ ..] = field else { return Err(error) };
    hex(digits).and_then(|body| Ace::unknown(number, body)).ok_or(error)
}

fn known(cursor: &mut Cursor<'_>, kind: AceKind, domains: &Domains) -> Result<Ace, SddlError> {
    let (field, offset) = cursor.field();
    let mask = names::rights(field).ok_or(SddlError { offset, kind: SddlErrorKind::Right })?;
    next_field(cursor)?;
    let object = guid(cursor, kind)?;
    next_field(cursor)?;
    let inherited_object = guid(cursor, kind)?;
    next_field(cursor)?;
    let (field, offset) = cursor.field();
    let sid = cursor.sid_of(field, offset, domains)?;
    let extra = if cursor.eat(b';') { extra(cursor, kind, domains)? } else { Vec::new() };
    let types = ObjectTypes { object, inherited_object };
    let ace = if kind.is_object() {
        Ace::object(kind, mask, types, sid, extra)
    } else {
        Ace::with_extra(kind, mask, sid, extra)
    };
    Ok(ace.expect("the kind is known, and it decided which constructor to use"))
}

/// A GUID or nothing; only object ACEs may have one.
fn guid(cursor: &mut Cursor<'_>, kind: AceKind) -> Result<Option<Guid>, SddlError> {
    let (field, offset) = cursor.field();
    if field.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(field).unwrap_or_default();
    let guid = Guid::parse(text).filter(|_| kind.is_object());
    guid.map(Some).ok_or(SddlError { offset, kind: SddlErrorKind::Guid })
}

/// The seventh field: a condition, a claim, or `#` and bytes.
fn extra(cursor: &mut Cursor<'_>, kind: AceKind, domains: &Domains) -> Result<Vec<u8>, SddlError> {
    cursor.skip_space();
    if cursor.peek() == Some(b'(') && has_text(kind) {
        let bytes = match kind {
            AceKind::ResourceAttribute => claim::parse(cursor, domains)?,
            _ => condition::parse(cursor, domains)?,
        };
        cursor.skip_space();
        return Ok(bytes);
    }
    let (field, offset) = cursor.field();
    match field {
        [] => Ok(Vec::new()),
        [b'#', digits @ ..] => hex(digits).ok_or(SddlError { offset, kind: SddlErrorKind::Hex }),
        _ => Err(SddlError { offset, kind: SddlErrorKind::Extra("seventh field") }),
    }
}

/// Whether the bytes after the SID have a text of their own.
fn has_text(kind: AceKind) -> bool {
    kind.is_callback() || matches!(kind, AceKind::ResourceAttribute | AceKind::AccessFilter)
}

/// The text of the bytes after the SID, if there is one that is read back as these very bytes.
fn extra_text(ace: &Ace) -> Option<String> {
    let kind = ace.kind();
    let text = match kind {
        AceKind::ResourceAttribute => claim::print(ace.extra()),
        _ if has_text(kind) => condition::print(ace.extra()),
        _ => None,
    }?;
    let mut bytes = extra(&mut Cursor::new(&text), kind, &Domains::default()).ok()?;
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    (bytes == ace.extra()).then_some(text)
}

/// Appends the ACE with its parentheses.
pub(super) fn print(ace: &Ace, out: &mut String) {
    out.push('(');
    match names::type_letters(ace.kind()) {
        Some(letters) => out.push_str(letters),
        None => push_bytes(out, &[ace.kind().to_u8()]),
    }
    out.push(';');
    for (flag, letters) in ACE_FLAGS {
        if ace.flags().contains(flag) {
            out.push_str(letters);
        }
    }
    out.push(';');
    match ace.sid() {
        None => push_bytes(out, ace.extra()),
        Some(sid) => {
            print_rights(ace, out);
            print_guids(ace, out);
            // Writing to a String cannot fail.
            let _ = write!(out, "{sid}");
            if !ace.extra().is_empty() {
                out.push(';');
                match extra_text(ace) {
                    Some(text) => out.push_str(&text),
                    None => push_bytes(out, ace.extra()),
                }
            }
        }
    }
    out.push(')');
}

fn print_rights(ace: &Ace, out: &mut String) {
    let policy = LABEL_POLICY.iter().fold(AccessMask::NONE, |all, (bit, _)| all | *bit);
    if ace.kind() == AceKind::MandatoryLabel && policy.contains(ace.mask()) {
        for (bit, letters) in LABEL_POLICY {
            if ace.mask().contains(bit) {
                out.push_str(letters);
            }
        }
    } else {
        let _ = write!(out, "{}", ace.mask());
    }
    out.push(';');
}

fn print_guids(ace: &Ace, out: &mut String) {
    let types = ace.object_types().copied().unwrap_or_default();
    for guid in [types.object, types.inherited_object] {
        if let Some(guid) = guid {
            let _ = write!(out, "{guid}");
        }
        out.push(';');
    }
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    out.push('#');
    push_hex(out, bytes);
}
