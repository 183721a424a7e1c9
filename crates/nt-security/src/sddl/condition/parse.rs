//! Expression text to postfix bytes.

use super::{MAX_DEPTH, ON_ATTRIBUTE, ON_SIDS, PREFIXES, RELATIONS, SIGNATURE, code, form, is_name_char};
use crate::sddl::cursor::{Cursor, hex};
use crate::sddl::{Domains, SddlError, SddlErrorKind};

const MALFORMED: SddlErrorKind = SddlErrorKind::Extra("condition");

/// Reads `(expression)` and gives the ACE's bytes, without padding.
pub(in crate::sddl) fn parse(cursor: &mut Cursor<'_>, domains: &Domains) -> Result<Vec<u8>, SddlError> {
    let mut parser = Parser { cursor, domains, out: SIGNATURE.to_vec(), depth: 0 };
    parser.parenthesized()?;
    Ok(parser.out)
}

/// An expression being read. Each rule appends its operands and then its operator.
struct Parser<'a, 'c, 't> {
    cursor: &'c mut Cursor<'t>,
    domains: &'a Domains,
    out: Vec<u8>,
    depth: usize,
}

impl Parser<'_, '_, '_> {
    fn eat(&mut self, word: &str) -> bool {
        self.cursor.skip_space();
        self.cursor.eat_word(word)
    }

    fn expect(&mut self, word: &'static str) -> Result<(), SddlError> {
        if self.eat(word) { Ok(()) } else { self.cursor.error(SddlErrorKind::Expected(word)) }
    }

    /// A word operator ends where a name cannot go on, so that `Exists2` is a name.
    fn eat_operator(&mut self, table: &[(u8, &str)]) -> Option<u8> {
        self.cursor.skip_space();
        let start = self.cursor.at;
        for (operator, word) in table {
            if self.cursor.eat_word(word) {
                let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic());
                let goes_on =
                    self.cursor.peek().is_some_and(|byte| is_name_char(byte as char) || byte == b'%');
                if !(is_word && goes_on) {
                    return Some(*operator);
                }
                self.cursor.at = start;
            }
        }
        None
    }

    fn deeper<T>(&mut self, rule: impl FnOnce(&mut Self) -> Result<T, SddlError>) -> Result<T, SddlError> {
        if self.depth == MAX_DEPTH {
            return self.cursor.error(SddlErrorKind::TooDeep);
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    fn parenthesized(&mut self) -> Result<(), SddlError> {
        self.expect("(")?;
        self.deeper(Self::or)?;
        self.expect(")")
    }

    fn or(&mut self) -> Result<(), SddlError> {
        self.and()?;
        while self.eat("||") {
            self.and()?;
            self.out.push(code::OR);
        }
        Ok(())
    }

    fn and(&mut self) -> Result<(), SddlError> {
        self.term()?;
        while self.eat("&&") {
            self.term()?;
            self.out.push(code::AND);
        }
        Ok(())
    }

    fn term(&mut self) -> Result<(), SddlError> {
        if self.eat("!") {
            self.deeper(Self::term)?;
            self.out.push(code::NOT);
            return Ok(());
        }
        self.cursor.skip_space();
        if self.cursor.peek() == Some(b'(') {
            return self.parenthesized();
        }
        if let Some(operator) = self.eat_operator(&ON_SIDS) {
            self.sids()?;
            self.out.push(operator);
            return Ok(());
        }
        if let Some(operator) = self.eat_operator(&ON_ATTRIBUTE) {
            self.attribute()?;
            self.out.push(operator);
            return Ok(());
        }
        self.attribute()?;
        if let Some(operator) = self.eat_operator(&RELATIONS) {
            self.operand()?;
            self.out.push(operator);
        }
        Ok(())
    }

    /// One SID, or several in braces.
    fn sids(&mut self) -> Result<(), SddlError> {
        self.cursor.skip_space();
        if self.cursor.peek() == Some(b'{') { self.composite(Self::sid) } else { self.sid() }
    }

    fn sid(&mut self) -> Result<(), SddlError> {
        self.expect("SID")?;
        self.expect("(")?;
        let (field, offset) = self.cursor.field();
        let sid = self.cursor.sid_of(field, offset, self.domains)?;
        self.expect(")")?;
        self.literal(code::SID, &sid.to_bytes());
        Ok(())
    }

    /// Values in braces. Their bytes are preceded by their length.
    fn composite(&mut self, item: impl Fn(&mut Self) -> Result<(), SddlError>) -> Result<(), SddlError> {
        self.expect("{")?;
        self.out.extend_from_slice(&[code::COMPOSITE, 0, 0, 0, 0]);
        let start = self.out.len();
        if !self.eat("}") {
            loop {
                item(self)?;
                if self.eat("}") {
                    break;
                }
                self.expect(",")?;
            }
        }
        // The text is at most as long as memory, and an ACE at most 64 KiB; the ACE's own size is checked later.
        let len = (self.out.len() - start) as u32;
        self.out[start - 4..start].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    /// A value, values in braces, or another attribute.
    fn operand(&mut self) -> Result<(), SddlError> {
        self.cursor.skip_space();
        match self.cursor.peek() {
            Some(b'{') => self.composite(Self::value),
            Some(b'"' | b'#' | b'+' | b'-' | b'0'..=b'9') => self.value(),
            _ if self.starts_sid() => self.sid(),
            _ => self.attribute(),
        }
    }

    fn starts_sid(&mut self) -> bool {
        let start = self.cursor.at;
        let is_sid = self.eat("SID") && self.eat("(");
        self.cursor.at = start;
        is_sid
    }

    fn value(&mut self) -> Result<(), SddlError> {
        self.cursor.skip_space();
        match self.cursor.peek() {
            Some(b'"') => self.string(),
            Some(b'#') => self.octets(),
            Some(b'+' | b'-' | b'0'..=b'9') => self.integer(),
            _ => self.sid(),
        }
    }

    /// Text in quotes; a quote cannot occur in it.
    fn string(&mut self) -> Result<(), SddlError> {
        let start = self.cursor.at + 1;
        let rest = self.cursor.rest();
        let Some(len) = rest[1..].iter().position(|byte| *byte == b'"') else {
            return self.cursor.error(MALFORMED);
        };
        let text = self.cursor.text(start, start + len);
        self.cursor.at = start + len + 1;
        self.literal(code::UNICODE, &utf16(text.chars()));
        Ok(())
    }

    fn octets(&mut self) -> Result<(), SddlError> {
        self.cursor.at += 1;
        let digits = self.take_while(|byte| byte.is_ascii_hexdigit());
        let Some(bytes) = hex(digits) else { return self.cursor.error(SddlErrorKind::Hex) };
        self.literal(code::OCTETS, &bytes);
        Ok(())
    }

    /// Sign, base and value are all kept, so that the number can be written as it was.
    fn integer(&mut self) -> Result<(), SddlError> {
        let sign = match self.cursor.peek() {
            Some(b'+') => form::POSITIVE,
            Some(b'-') => form::NEGATIVE,
            _ => form::UNSIGNED,
        };
        self.cursor.at += usize::from(sign != form::UNSIGNED);
        let digits = self.take_while(|byte| byte.is_ascii_alphanumeric());
        let (base, radix, digits) = match digits {
            [b'0', b'x' | b'X', digits @ ..] => (form::HEXADECIMAL, 16, digits),
            [b'0', digits @ ..] if !digits.is_empty() => (form::OCTAL, 8, digits),
            digits => (form::DECIMAL, 10, digits),
        };
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let magnitude = i128::from_str_radix(text, radix).ok();
        let signed = magnitude.map(|value| if sign == form::NEGATIVE { -value } else { value });
        let Some(value) = signed.and_then(|value| i64::try_from(value).ok()) else {
            return self.cursor.error(MALFORMED);
        };
        self.out.push(code::INT64);
        self.out.extend_from_slice(&value.to_le_bytes());
        self.out.extend_from_slice(&[sign, base]);
        Ok(())
    }

    /// An attribute name, with where it comes from.
    fn attribute(&mut self) -> Result<(), SddlError> {
        let prefix = self.eat_prefix();
        let name = self.name()?;
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) && prefix == code::LOCAL {
            return self.cursor.error(SddlErrorKind::Expected("an attribute name"));
        }
        self.literal(prefix, &utf16(name.chars()));
        Ok(())
    }

    fn eat_prefix(&mut self) -> u8 {
        PREFIXES.iter().find(|(_, word)| self.eat(word)).map_or(code::LOCAL, |(prefix, _)| *prefix)
    }

    fn name(&mut self) -> Result<String, SddlError> {
        let mut name = String::new();
        self.cursor.skip_space();
        loop {
            let plain = self.take_while(|byte| is_name_char(byte as char));
            name.push_str(std::str::from_utf8(plain).unwrap_or_default());
            if !self.cursor.eat(b'%') {
                return Ok(name);
            }
            let digits = self.cursor.rest().get(..4).and_then(hex);
            let unit = match digits.as_deref() {
                Some([high, low]) => u32::from(*high) << 8 | u32::from(*low),
                _ => return self.cursor.error(MALFORMED),
            };
            let Some(character) = char::from_u32(unit) else { return self.cursor.error(MALFORMED) };
            name.push(character);
            self.cursor.at += 4;
        }
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &[u8] {
        let rest = self.cursor.rest();
        let len = rest.iter().position(|byte| !belongs(*byte)).unwrap_or(rest.len());
        self.cursor.at += len;
        &rest[..len]
    }

    /// A token with a length before its bytes.
    fn literal(&mut self, token: u8, bytes: &[u8]) {
        self.out.push(token);
        self.out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.out.extend_from_slice(bytes);
    }
}

fn utf16(characters: impl Iterator<Item = char>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut units = [0; 2];
    for character in characters {
        for unit in character.encode_utf16(&mut units) {
            out.extend_from_slice(&unit.to_le_bytes());
        }
    }
    out
}
