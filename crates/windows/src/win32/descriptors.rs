//! Descriptors of open files: read and written for the one object, never propagated by the system.

use nt_security::{Acl, AclField, Control, SecurityDescriptor};
use windows_sys::Wdk::Storage::FileSystem::{NtQuerySecurityObject, NtSetSecurityObject};
use windows_sys::Win32::Foundation::STATUS_BUFFER_TOO_SMALL;
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, GROUP_SECURITY_INFORMATION, LABEL_SECURITY_INFORMATION,
    OWNER_SECURITY_INFORMATION,
};

use super::error::Win32Error;
use super::files::FileHandle;
use crate::host::{HostError, HostErrorKind, HostResult, Parts};
use crate::plan::inherit;

pub(super) fn descriptor(handle: &FileHandle) -> HostResult<SecurityDescriptor> {
    let stage = "read the descriptor of";
    let parts = OWNER_SECURITY_INFORMATION
        | GROUP_SECURITY_INFORMATION
        | DACL_SECURITY_INFORMATION
        | LABEL_SECURITY_INFORMATION;
    let mut buffer = vec![0u32; 256];
    loop {
        let (size, mut needed) = (size_of_val(buffer.as_slice()) as u32, 0);
        // SAFETY: the buffer has `size` bytes.
        let status = unsafe {
            NtQuerySecurityObject(handle.raw(), parts, buffer.as_mut_ptr().cast(), size, &raw mut needed)
        };
        if status == STATUS_BUFFER_TOO_SMALL && needed > size {
            buffer.resize(needed.div_ceil(4) as usize, 0);
            continue;
        }
        if status < 0 {
            return Err(handle.failed(stage, &Win32Error::of_status("NtQuerySecurityObject", status)));
        }
        let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_le_bytes()).collect();
        let unreadable = |_| HostError::new(HostErrorKind::Unsupported, stage, &handle.shown);
        return SecurityDescriptor::from_self_relative(&bytes).map_err(unreadable);
    }
}

pub(super) fn set(handle: &FileHandle, new: &SecurityDescriptor, parts: Parts) -> HostResult<()> {
    let stage = "write the descriptor of";
    let (descriptor, information) = partial(new, parts);
    let unwritable = |_| HostError::new(HostErrorKind::Unsupported, stage, &handle.shown);
    let bytes = descriptor.to_self_relative().map_err(unwritable)?;
    let word = |chunk: &[u8]| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_le_bytes(word)
    };
    let mut buffer: Vec<u32> = bytes.chunks(4).map(word).collect();
    // SAFETY: the buffer holds a self-relative descriptor, aligned, and lives through the call.
    let status = unsafe { NtSetSecurityObject(handle.raw(), information, buffer.as_mut_ptr().cast()) };
    if status < 0 {
        return Err(handle.failed(stage, &Win32Error::of_status("NtSetSecurityObject", status)));
    }
    Ok(())
}

/// Only what is written, and which that is. The system keeps "auto-inherited" only where the request for it stands beside.
fn partial(new: &SecurityDescriptor, parts: Parts) -> (SecurityDescriptor, u32) {
    let mut descriptor = SecurityDescriptor::default();
    let mut information = 0;
    if parts.dacl {
        information |= DACL_SECURITY_INFORMATION;
        descriptor.dacl = new.dacl.clone();
        descriptor.control |= new.control & (Control::DACL_PROTECTED | Control::DACL_AUTO_INHERITED);
        if new.control.contains(Control::DACL_AUTO_INHERITED) {
            descriptor.control |= Control::DACL_AUTO_INHERIT_REQ;
        }
    }
    if parts.label {
        information |= LABEL_SECURITY_INFORMATION;
        descriptor.sacl = AclField::List(Acl::new(inherit::label_aces(new)));
        descriptor.control |= new.control & (Control::SACL_PROTECTED | Control::SACL_AUTO_INHERITED);
        if new.control.contains(Control::SACL_AUTO_INHERITED) {
            descriptor.control |= Control::SACL_AUTO_INHERIT_REQ;
        }
    }
    (descriptor, information)
}
