//! Numbers, text and lists as bytes: little-endian, each list and text with its length in front.

use super::error::ProtocolError;

/// The longest text, in bytes: a command line has at most 32,767 UTF-16 units, of at most three bytes each.
pub const TEXT: usize = 128 << 10;

/// Writes.
#[derive(Debug, Default)]
pub struct Put(pub Vec<u8>);

impl Put {
    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A length. What is longer than 4 GiB is longer than any frame, and the frame refuses it.
    pub fn len(&mut self, value: usize) {
        self.u32(u32::try_from(value).unwrap_or(u32::MAX));
    }

    /// Bytes with their length in front.
    pub fn bytes(&mut self, value: &[u8]) {
        self.len(value.len());
        self.0.extend_from_slice(value);
    }

    /// UTF-8 with its length in front.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// UTF-16 units with their number in front.
    pub fn units(&mut self, value: &[u16]) {
        self.len(value.len());
        value.iter().for_each(|unit| self.u16(*unit));
    }

    /// 1 and the value, or 0.
    pub fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// Entries with their number in front.
    pub fn list<T>(&mut self, values: &[T], mut put: impl FnMut(&mut Self, &T)) {
        self.len(values.len());
        values.iter().for_each(|value| put(self, value));
    }
}

/// Reads, in the order in which it was written. What is not there, or too much, is an error; nothing is ever allocated for bytes
/// that are not there.
#[derive(Debug)]
pub struct Take<'a> {
    rest: &'a [u8],
}

type Result<T> = std::result::Result<T, ProtocolError>;

impl<'a> Take<'a> {
    /// Of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(ProtocolError::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`ProtocolError::Short`], as of all that read.
    pub fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`ProtocolError::Short`].
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`ProtocolError::Short`].
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`ProtocolError::Short`].
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A fixed number of bytes.
    ///
    /// # Errors
    /// [`ProtocolError::Short`].
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.array()
    }

    /// 0 or 1.
    ///
    /// # Errors
    /// [`ProtocolError::Value`].
    pub fn bool(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ProtocolError::Value("a truth value")),
        }
    }

    fn len(&mut self, most: usize, what: &'static str) -> Result<usize> {
        let len = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if len > most { Err(ProtocolError::TooLong(what)) } else { Ok(len) }
    }

    /// Bytes, at most `most`.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`].
    pub fn bytes(&mut self, most: usize, what: &'static str) -> Result<&'a [u8]> {
        let len = self.len(most, what)?;
        let (first, rest) = self.rest.split_at_checked(len).ok_or(ProtocolError::Short)?;
        self.rest = rest;
        Ok(first)
    }

    /// Text without a NUL, at most `most` bytes.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`], [`ProtocolError::Value`].
    pub fn text(&mut self, most: usize, what: &'static str) -> Result<String> {
        let text = std::str::from_utf8(self.bytes(most, what)?).map_err(|_| ProtocolError::Value(what))?;
        if text.contains('\0') { Err(ProtocolError::Value(what)) } else { Ok(text.to_owned()) }
    }

    /// UTF-16 units, at most `most`.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`].
    pub fn units(&mut self, most: usize, what: &'static str) -> Result<Vec<u16>> {
        let len = self.len(most, what)?;
        let bytes = len.checked_mul(2).and_then(|bytes| self.rest.split_at_checked(bytes));
        let (first, rest) = bytes.ok_or(ProtocolError::Short)?;
        self.rest = rest;
        Ok(first.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
    }

    /// A value, or none.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn option<T>(&mut self, take: impl FnOnce(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.bool()? { take(self).map(Some) } else { Ok(None) }
    }

    /// Entries, at most `most`. Each takes at least a byte, so that the list never gets longer than what has arrived.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`], those of `take`.
    pub fn list<T>(
        &mut self,
        most: usize,
        what: &'static str,
        mut take: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let len = self.len(most, what)?;
        let mut list = Vec::new();
        for _ in 0..len {
            list.push(take(self)?);
        }
        Ok(list)
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`ProtocolError::Trailing`].
    pub fn end(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(ProtocolError::Trailing) }
    }
}
