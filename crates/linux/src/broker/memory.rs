//! Reading a caller's arguments out of its memory.

use std::ffi::CString;

use rustix::io::Errno;

use super::notify::Call;
use crate::sys;

/// PATH_MAX of linux/limits.h, the closing NUL included.
const PATH_MAX: usize = 4096;
/// No page is smaller, so a read that stays inside such a block meets one mapping.
const BLOCK: u64 = 4096;

/// A NUL-terminated string; ENAMETOOLONG where a path would be.
pub fn string(call: &Call, address: u64) -> Result<CString, Errno> {
    let mut bytes = Vec::with_capacity(256);
    let mut at = address;
    while bytes.len() < PATH_MAX {
        let step = (BLOCK - at % BLOCK).min((PATH_MAX - bytes.len()) as u64).min(256);
        let start = bytes.len();
        bytes.resize(start + step as usize, 0);
        let read = sys::process_vm_read(call.tid, at, &mut bytes[start..]).map_err(|_| Errno::FAULT)?;
        bytes.truncate(start + read);
        if let Some(end) = bytes[start..].iter().position(|byte| *byte == 0) {
            bytes.truncate(start + end);
            return CString::new(bytes).map_err(|_| Errno::FAULT);
        }
        if read as u64 != step {
            return Err(Errno::FAULT);
        }
        at += step;
    }
    Err(Errno::NAMETOOLONG)
}

/// Exactly `length` bytes.
pub fn bytes(call: &Call, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; length];
    if length == 0 {
        return Ok(buffer);
    }
    let read = sys::process_vm_read(call.tid, address, &mut buffer).map_err(|_| Errno::FAULT)?;
    if read == length { Ok(buffer) } else { Err(Errno::FAULT) }
}

/// `N` little-endian 64-bit words (timespecs, open_how).
pub fn words<const N: usize>(call: &Call, address: u64) -> Result<[u64; N], Errno> {
    let raw = bytes(call, address, N * 8)?;
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(raw.chunks_exact(8)) {
        *word = u64::from_ne_bytes(chunk.try_into().map_err(|_| Errno::FAULT)?);
    }
    Ok(words)
}
