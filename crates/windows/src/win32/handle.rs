//! The one owned handle: std's, so that it turns into a [`std::fs::File`] or a pipe of a command without a detour.

use std::os::windows::io::{FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::{HANDLE, INVALID_HANDLE_VALUE};

use super::error::Win32Error;

/// A kernel handle that is closed when dropped.
pub type Handle = OwnedHandle;

/// Takes over what a call returned. Both values that calls return in place of a handle, null and INVALID_HANDLE_VALUE, are
/// failures; then the thread's last error is the reason.
///
/// # Errors
/// The last error.
///
/// # Safety
/// `raw` is one of those values or an open handle that `CloseHandle` closes and nobody else owns.
pub unsafe fn own(call: &'static str, raw: HANDLE) -> Result<Handle, Win32Error> {
    if raw.is_null() || raw == INVALID_HANDLE_VALUE {
        return Err(Win32Error::last(call));
    }
    // SAFETY: an open handle of which we are the only owner, says the caller.
    Ok(unsafe { OwnedHandle::from_raw_handle(raw) })
}

/// Checks a BOOL.
///
/// # Errors
/// The last error, when it is 0.
pub fn check(call: &'static str, result: i32) -> Result<(), Win32Error> {
    if result == 0 { Err(Win32Error::last(call)) } else { Ok(()) }
}
