//! A failure of one Win32 call.

use std::fmt;

use windows_sys::Win32::Foundation::{GetLastError, RtlNtStatusToDosError};

use crate::host::SystemError;

/// Which call failed, and what the system said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Win32Error {
    /// The function.
    pub call: &'static str,
    /// Its error code (winerror.h).
    pub code: u32,
    /// The system's text for the code.
    pub text: String,
}

impl Win32Error {
    /// The calling thread's last error: to be called right after the function that failed.
    pub fn last(call: &'static str) -> Self {
        // SAFETY: reads a value of this thread, nothing else.
        Self::of(call, unsafe { GetLastError() })
    }

    /// From an error code.
    pub fn of(call: &'static str, code: u32) -> Self {
        Self { call, code, text: text(code) }
    }

    /// From an NTSTATUS.
    pub fn of_status(call: &'static str, status: i32) -> Self {
        // SAFETY: a table look-up in ntdll.
        Self::of(call, unsafe { RtlNtStatusToDosError(status) })
    }

    /// Code and text alone.
    pub fn system(&self) -> SystemError {
        SystemError { code: self.code, text: self.text.clone() }
    }
}

/// The system's text, which std asks for with FormatMessageW.
fn text(code: u32) -> String {
    let shown = std::io::Error::from_raw_os_error(code.cast_signed()).to_string();
    match shown.rfind(" (os error") {
        Some(end) => shown[..end].trim_end_matches(['.', ' ']).to_owned(),
        None => shown,
    }
}

impl fmt::Display for Win32Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (Win32 error {})", self.call, self.text, self.code)
    }
}

impl std::error::Error for Win32Error {}
