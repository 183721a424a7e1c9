//! A place in an SDDL text, and the small things that are read there.

use super::{Domains, SddlError, SddlErrorKind};
use crate::sid::{Sid, well_known};

/// A text and how far it has been read.
pub(super) struct Cursor<'a> {
    text: &'a str,
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn error<T>(&self, kind: SddlErrorKind) -> Result<T, SddlError> {
        Err(SddlError { offset: self.at, kind })
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The next byte, which stays unread.
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes().get(self.at..).unwrap_or_default()
    }

    /// The text between two places, which must be character boundaries.
    pub(super) fn text(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Reads `byte` if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Reads `word`, in either case, if it is next.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.rest().get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word.as_bytes()));
        self.at += if found { word.len() } else { 0 };
        found
    }

    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), SddlError> {
        if self.eat(byte) { Ok(()) } else { self.error(SddlErrorKind::Expected(what)) }
    }

    /// Nothing but white space may be left.
    pub(super) fn finish(&mut self) -> Result<(), SddlError> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { self.error(SddlErrorKind::Trailing) }
    }

    /// Reads a field of an ACE: what stands before the next `;` or `)`, without the white space around it. Gives the field
    /// and where it starts.
    pub(super) fn field(&mut self) -> (&'a [u8], usize) {
        let len = self.rest().iter().position(|byte| matches!(byte, b';' | b')'));
        let start = self.at;
        self.at += len.unwrap_or(self.rest().len());
        let field = &self.bytes()[start..self.at];
        let trimmed = field.trim_ascii_start();
        (trimmed.trim_ascii_end(), start + field.len() - trimmed.len())
    }

    /// Reads the owner or group: what stands before the letter and colon of the next part.
    pub(super) fn sid_part(&mut self, domains: &Domains) -> Result<Sid, SddlError> {
        let start = self.at;
        let len = match self.rest().iter().position(|byte| *byte == b':') {
            Some(colon) => colon.saturating_sub(1),
            None => self.rest().len(),
        };
        self.at += len;
        self.sid_of(self.bytes()[start..start + len].trim_ascii(), start, domains)
    }

    /// The SID that a piece of the text is, by its numbers or by its alias; `offset` is where the piece starts.
    pub(super) fn sid_of(&self, piece: &[u8], offset: usize, domains: &Domains) -> Result<Sid, SddlError> {
        let error = |kind| SddlError { offset, kind };
        let [first, second] = piece else {
            return Sid::parse_bytes(piece).map_err(|source| error(SddlErrorKind::Sid(source)));
        };
        let letters = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
        let alias = well_known::alias(letters).ok_or(error(SddlErrorKind::UnknownAlias))?;
        let (domain, relative_id) = match alias {
            well_known::AliasSid::Fixed(sid) => return Ok(sid),
            well_known::AliasSid::Machine(id) => (domains.machine, id),
            well_known::AliasSid::Domain(id) => (domains.joined, id),
            well_known::AliasSid::RootDomain(id) => (domains.root, id),
        };
        let domain = domain.ok_or(error(SddlErrorKind::NoDomain))?;
        domain.child(relative_id).map_err(|source| error(SddlErrorKind::Sid(source)))
    }
}

/// The bytes that hexadecimal digits stand for.
pub(super) fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let digit = |byte: u8| (byte as char).to_digit(16);
    pairs.iter().map(|[high, low]| Some((digit(*high)? * 16 + digit(*low)?) as u8)).collect()
}

/// Appends bytes as hexadecimal digits.
pub(super) fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)] as char);
        out.push(DIGITS[usize::from(byte & 15)] as char);
    }
}
