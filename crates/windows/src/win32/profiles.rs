//! Profiles, and what the logon screen does not show. Source: "DeleteProfileW"; the key `SpecialAccounts\UserList` of Winlogon.

use std::ptr;

use nt_security::Sid;
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_LOCAL_MACHINE, KEY_READ, REG_DWORD, RRF_NOEXPAND, RRF_RT_REG_EXPAND_SZ, RRF_RT_REG_SZ,
    RegCloseKey, RegDeleteKeyValueW, RegDeleteKeyW, RegGetValueW, RegOpenKeyExW, RegQueryInfoKeyW,
    RegSetKeyValueW,
};
use windows_sys::Win32::UI::Shell::DeleteProfileW;

use super::error::Win32Error;
use super::machine::{failed, machine_value};
use super::wide::{self, WideString};
use crate::plan::path::WinPath;
use crate::setup::machine::MachineResult;

const PROFILES: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList";
const SPECIAL: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon\SpecialAccounts";
const HIDDEN: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon\SpecialAccounts\UserList";
/// ERROR_FILE_NOT_FOUND
const NOT_FOUND: u32 = 2;

fn wide(text: &str) -> WideString {
    let text: String = text.chars().filter(|c| *c != '\0').collect();
    WideString::new(text).expect("without a NUL")
}

fn check(call: &'static str, object: &str, status: u32) -> MachineResult<()> {
    if status == 0 { Ok(()) } else { Err(failed(call, object, &Win32Error::of(call, status))) }
}

/// A text below HKEY_LOCAL_MACHINE, with its variables replaced.
fn machine_text(key: &str, name: &str) -> Option<String> {
    text_with(key, name, RRF_RT_REG_SZ)
}

/// A text below HKEY_LOCAL_MACHINE as it stands.
pub(super) fn machine_text_raw(key: &str, name: &str) -> Option<String> {
    text_with(key, name, RRF_RT_REG_SZ | RRF_RT_REG_EXPAND_SZ | RRF_NOEXPAND)
}

fn text_with(key: &str, name: &str, flags: u32) -> Option<String> {
    let (key, name) = (wide(key), wide(name));
    let mut buffer = [0u16; 1024];
    let mut size = size_of_val(&buffer) as u32;
    // SAFETY: the buffer has `size` bytes; without RRF_NOEXPAND the call replaces the variables of REG_EXPAND_SZ.
    let status = unsafe {
        let (kind, data) = (ptr::null_mut(), buffer.as_mut_ptr().cast());
        RegGetValueW(HKEY_LOCAL_MACHINE, key.as_ptr(), name.as_ptr(), flags, kind, data, &raw mut size)
    };
    (status == 0).then(|| wide::read(&buffer).to_string_lossy().into_owned())
}

pub(super) fn profile(user: &Sid, own: &Sid) -> Option<WinPath> {
    let listed = machine_text(&format!(r"{PROFILES}\{user}"), "ProfileImagePath");
    let mine = || std::env::var("USERPROFILE").ok().filter(|_| user == own);
    listed.or_else(mine).and_then(|text| WinPath::absolute(&text).ok())
}

pub(super) fn delete_profile(user: &Sid) -> MachineResult<()> {
    let call = "DeleteProfileW";
    if machine_text(&format!(r"{PROFILES}\{user}"), "ProfileImagePath").is_none() {
        return Ok(());
    }
    let sid = wide(&user.to_string());
    // SAFETY: a string that ends with a NUL; the path is the registry's, the machine this one.
    let done = unsafe { DeleteProfileW(sid.as_ptr(), ptr::null(), ptr::null()) };
    if done == 0 { Err(failed(call, &user.to_string(), &Win32Error::last(call))) } else { Ok(()) }
}

pub(super) fn is_hidden(user: &str) -> bool {
    machine_value(HIDDEN, user) == Some(0)
}

pub(super) fn set_hidden(user: &str, hidden: bool) -> MachineResult<()> {
    let (key, name) = (wide(HIDDEN), wide(user));
    if hidden {
        let zero = 0u32;
        // SAFETY: two strings and a value of 4 bytes that live through the call, which makes missing keys.
        let status = unsafe {
            RegSetKeyValueW(
                HKEY_LOCAL_MACHINE,
                key.as_ptr(),
                name.as_ptr(),
                REG_DWORD,
                (&raw const zero).cast(),
                4,
            )
        };
        return check("RegSetKeyValueW", user, status);
    }
    // SAFETY: two strings that live through the call.
    let status = unsafe { RegDeleteKeyValueW(HKEY_LOCAL_MACHINE, key.as_ptr(), name.as_ptr()) };
    if status != NOT_FOUND {
        check("RegDeleteKeyValueW", user, status)?;
    }
    // Windows has neither key before somebody hides an account.
    for key in [HIDDEN, SPECIAL] {
        remove_if_empty(key)?;
    }
    Ok(())
}

fn remove_if_empty(path: &str) -> MachineResult<()> {
    let text = wide(path);
    let mut key: HKEY = ptr::null_mut();
    // SAFETY: a string and a local.
    let status = unsafe { RegOpenKeyExW(HKEY_LOCAL_MACHINE, text.as_ptr(), 0, KEY_READ, &raw mut key) };
    if status == NOT_FOUND {
        return Ok(());
    }
    check("RegOpenKeyExW", path, status)?;
    let (mut keys, mut values) = (0, 0);
    // SAFETY: an open key, closed right after, and two locals; what is null is not asked for.
    let status = unsafe {
        let (no, none) = (ptr::null_mut(), ptr::null_mut());
        let (keys, values) = (&raw mut keys, &raw mut values);
        let status =
            RegQueryInfoKeyW(key, no, none, none, keys, none, none, values, none, none, none, none.cast());
        RegCloseKey(key);
        status
    };
    check("RegQueryInfoKeyW", path, status)?;
    if keys > 0 || values > 0 {
        return Ok(());
    }
    // SAFETY: a string; a key that has got a subkey meanwhile is not deleted.
    let status = unsafe { RegDeleteKeyW(HKEY_LOCAL_MACHINE, text.as_ptr()) };
    if status == NOT_FOUND { Ok(()) } else { check("RegDeleteKeyW", path, status) }
}
