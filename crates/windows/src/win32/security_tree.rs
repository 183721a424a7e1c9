//! What the system itself offers for whole trees, and what this process has used: for benchmarks only, no run calls it.

use nt_security::{Ace, Acl, AclField, Control, SecurityDescriptor};
use windows_sys::Win32::Foundation::ERROR_INVALID_PARAMETER;
use windows_sys::Win32::Security::Authorization::{SE_FILE_OBJECT, SetNamedSecurityInfoW};
use windows_sys::Win32::Security::DACL_SECURITY_INFORMATION;
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use super::error::Win32Error;
use super::handle::check;
use super::wide::WideString;
use crate::plan::path::WinPath;

/// Gives an object this DACL and lets the system propagate it (`SetNamedSecurityInfoW`): inherited ACEs are made anew.
///
/// # Errors
/// As the system's; objects below that refuse are passed by without a word.
pub fn set_named_security(path: &WinPath, aces: Vec<Ace>) -> Result<(), Win32Error> {
    let call = "SetNamedSecurityInfoW";
    let invalid = || Win32Error::of(call, ERROR_INVALID_PARAMETER);
    let descriptor = SecurityDescriptor {
        dacl: AclField::List(Acl::new(aces)),
        control: Control::DACL_PRESENT,
        ..SecurityDescriptor::default()
    };
    let bytes = descriptor.to_self_relative().map_err(|_| invalid())?;
    // SECURITY_DESCRIPTOR_RELATIVE: the offset of the DACL is the last of its five fields.
    let offset = bytes.get(16..20).and_then(|field| field.try_into().ok()).map_or(0, u32::from_le_bytes);
    let acl = bytes.get(offset as usize..).filter(|_| offset > 0).ok_or_else(invalid)?;
    let words = acl.len().div_ceil(4);
    let mut aligned = vec![0u32; words];
    for (word, chunk) in aligned.iter_mut().zip(acl.chunks(4)) {
        let mut four = [0; 4];
        four[..chunk.len()].copy_from_slice(chunk);
        *word = u32::from_ne_bytes(four);
    }
    let name = WideString::new(path.as_str()).map_err(|_| invalid())?;
    let none = std::ptr::null_mut();
    // SAFETY: a NUL-terminated name, and an ACL that lives through the call; what is not set is null.
    let error = unsafe {
        SetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION,
            none,
            none,
            aligned.as_ptr().cast(),
            std::ptr::null(),
        )
    };
    if error == 0 { Ok(()) } else { Err(Win32Error::of(call, error)) }
}

/// The most memory that this process has had in use so far, in bytes (PeakWorkingSetSize).
///
/// # Errors
/// As the system's.
pub fn peak_memory() -> Result<u64, Win32Error> {
    let size = size_of::<PROCESS_MEMORY_COUNTERS>() as u32;
    let mut counters = PROCESS_MEMORY_COUNTERS { cb: size, ..Default::default() };
    // SAFETY: the structure says its own size; the pseudo handle needs no closing.
    let done = unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &raw mut counters, size) };
    check("K32GetProcessMemoryInfo", done)?;
    Ok(counters.PeakWorkingSetSize as u64)
}
