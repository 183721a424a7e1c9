//! The one SID buffer, and SIDs read from memory of the system's.

use nt_security::Sid;
use windows_sys::Win32::Security::{GetLengthSid, IsValidSid, PSID};

/// A SID as Win32 wants it: its bytes, aligned for 32-bit words.
#[derive(Debug, Clone)]
pub struct SidBuffer(Vec<u32>);

impl SidBuffer {
    /// Converts.
    pub fn new(sid: &Sid) -> Self {
        // A SID is 8 bytes and a 32-bit word for each sub-authority: always whole words.
        let word = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().expect("chunks of four"));
        Self(sid.to_bytes().chunks_exact(4).map(word).collect())
    }

    /// For calls that read a SID; they take a mutable pointer and do not write.
    pub fn as_psid(&self) -> PSID {
        self.0.as_ptr().cast_mut().cast()
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.0.len() * 4
    }

    /// Never: a SID has at least 8 bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads a SID.
///
/// # Safety
/// `sid` is null or points to a SID that lives through the call.
pub unsafe fn read(sid: PSID) -> Option<Sid> {
    // SAFETY: both only read the SID that the caller vouches for.
    let len = unsafe {
        if sid.is_null() || IsValidSid(sid) == 0 {
            return None;
        }
        GetLengthSid(sid)
    };
    let len = usize::try_from(len).ok()?;
    // SAFETY: a valid SID has as many bytes as GetLengthSid says.
    Sid::from_bytes(unsafe { std::slice::from_raw_parts(sid.cast::<u8>(), len) }).ok()
}
