//! Sealing for this machine (CRYPTPROTECT_LOCAL_MACHINE), and the system's random generator. Source: "CryptProtectData".

use std::ptr;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authentication::Identity::RtlGenRandom;
use windows_sys::Win32::Security::Cryptography::{
    CRYPT_INTEGER_BLOB, CRYPTPROTECT_LOCAL_MACHINE, CRYPTPROTECT_UI_FORBIDDEN, CryptProtectData,
    CryptUnprotectData,
};
use zeroize::{Zeroize, Zeroizing};

use super::error::Win32Error;
use super::machine::failed;
use crate::setup::machine::MachineResult;

const FLAGS: u32 = CRYPTPROTECT_LOCAL_MACHINE | CRYPTPROTECT_UI_FORBIDDEN;
const OBJECT: &str = "a sandbox account's password";

fn blob(bytes: &[u8]) -> CRYPT_INTEGER_BLOB {
    // Both calls only read it; passwords have some hundred bytes.
    CRYPT_INTEGER_BLOB { cbData: bytes.len() as u32, pbData: bytes.as_ptr().cast_mut() }
}

/// Copies what a call returned, and zeroes and frees it.
///
/// # Safety
/// The call succeeded and filled `out`.
unsafe fn take(out: &CRYPT_INTEGER_BLOB) -> Zeroizing<Vec<u8>> {
    // SAFETY: the caller's; the memory is LocalAlloc's and ours.
    unsafe {
        let bytes = std::slice::from_raw_parts_mut(out.pbData, out.cbData as usize);
        let copy = Zeroizing::new(bytes.to_vec());
        bytes.zeroize();
        LocalFree(out.pbData.cast());
        copy
    }
}

pub(super) fn seal(bytes: &[u8], entropy: &[u8]) -> MachineResult<Vec<u8>> {
    let call = "CryptProtectData";
    let (data, salt, mut out) = (blob(bytes), blob(entropy), CRYPT_INTEGER_BLOB::default());
    // SAFETY: the blobs point to slices that live through the call; `out` is a local.
    let done = unsafe {
        let (data, salt, out) = (&raw const data, &raw const salt, &raw mut out);
        CryptProtectData(data, ptr::null(), salt, ptr::null(), ptr::null(), FLAGS, out)
    };
    if done == 0 {
        return Err(failed(call, OBJECT, &Win32Error::last(call)));
    }
    // SAFETY: the call succeeded.
    Ok(unsafe { take(&out) }.to_vec())
}

pub(super) fn unseal(bytes: &[u8], entropy: &[u8]) -> MachineResult<Zeroizing<Vec<u8>>> {
    let call = "CryptUnprotectData";
    let (data, salt, mut out) = (blob(bytes), blob(entropy), CRYPT_INTEGER_BLOB::default());
    // SAFETY: as above.
    let done = unsafe {
        let (data, salt, out) = (&raw const data, &raw const salt, &raw mut out);
        CryptUnprotectData(data, ptr::null_mut(), salt, ptr::null(), ptr::null(), FLAGS, out)
    };
    if done == 0 {
        return Err(failed(call, OBJECT, &Win32Error::last(call)));
    }
    // SAFETY: the call succeeded.
    Ok(unsafe { take(&out) })
}

pub(super) fn random(buffer: &mut [u8]) -> MachineResult<()> {
    let call = "RtlGenRandom";
    // SAFETY: the buffer has the bytes that are asked for.
    let done = unsafe { RtlGenRandom(buffer.as_mut_ptr().cast(), buffer.len() as u32) };
    if done { Ok(()) } else { Err(failed(call, "the system's random generator", &Win32Error::last(call))) }
}
