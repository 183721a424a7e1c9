//! The one wide string: UTF-16 with a NUL at its end, and none inside.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::windows::ffi::{OsStrExt, OsStringExt};

/// UTF-16 (WTF-16, as Windows allows lone surrogates in names) with a NUL at its end.
#[derive(Clone, PartialEq, Eq)]
pub struct WideString(Vec<u16>);

/// A text with a NUL inside, which Windows would cut there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a NUL character in {0:?}")]
pub struct NulInside(pub OsString);

impl WideString {
    /// Converts.
    ///
    /// # Errors
    /// [`NulInside`].
    pub fn new(text: impl AsRef<OsStr>) -> Result<Self, NulInside> {
        let text = text.as_ref();
        let mut units: Vec<u16> = text.encode_wide().collect();
        if units.contains(&0) {
            return Err(NulInside(text.to_owned()));
        }
        units.push(0);
        Ok(Self(units))
    }

    /// For calls that read a NUL-terminated string.
    pub fn as_ptr(&self) -> *const u16 {
        self.0.as_ptr()
    }

    /// For calls that may write into the string, as CreateProcess does.
    pub fn as_mut_ptr(&mut self) -> *mut u16 {
        self.0.as_mut_ptr()
    }

    /// The units without the NUL.
    pub fn units(&self) -> &[u16] {
        &self.0[..self.0.len() - 1]
    }
}

impl fmt::Debug for WideString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        OsString::from_wide(self.units()).fmt(f)
    }
}

/// Reads units up to the first NUL, or all of them.
pub fn read(units: &[u16]) -> OsString {
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    OsString::from_wide(&units[..end])
}

/// Reads a NUL-terminated string.
///
/// # Safety
/// `start` is null or points to units that end with a NUL and live through the call.
pub unsafe fn read_ptr(start: *const u16) -> OsString {
    if start.is_null() {
        return OsString::new();
    }
    let mut len = 0;
    // SAFETY: every unit up to the NUL can be read, says the caller.
    while unsafe { *start.add(len) } != 0 {
        len += 1;
    }
    // SAFETY: as above.
    OsString::from_wide(unsafe { std::slice::from_raw_parts(start, len) })
}
