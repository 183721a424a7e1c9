//! Account rights, and a logon that proves a password. Source: ntsecapi.h, and "Account Rights Constants".

use std::collections::BTreeSet;
use std::ptr;

use nt_security::Sid;
use windows_sys::Win32::Security::Authentication::Identity::{
    LSA_HANDLE, LSA_OBJECT_ATTRIBUTES, LSA_UNICODE_STRING, LsaAddAccountRights, LsaClose,
    LsaEnumerateAccountRights, LsaFreeMemory, LsaOpenPolicy, LsaRemoveAccountRights, POLICY_CREATE_ACCOUNT,
    POLICY_LOOKUP_NAMES, POLICY_VIEW_LOCAL_INFORMATION,
};
use windows_sys::Win32::Security::{LOGON32_LOGON_INTERACTIVE, LOGON32_PROVIDER_DEFAULT, LogonUserW};

use super::error::Win32Error;
use super::handle::own;
use super::machine::failed;
use super::sid::SidBuffer;
use super::wide::WideString;
use crate::setup::Credentials;
use crate::setup::machine::{MachineErrorKind, MachineResult};

/// ERROR_FILE_NOT_FOUND: STATUS_OBJECT_NAME_NOT_FOUND, for an account without any right.
const NO_RIGHTS: u32 = 2;

struct Policy(LSA_HANDLE);

impl Drop for Policy {
    fn drop(&mut self) {
        // SAFETY: opened by LsaOpenPolicy, and closed once.
        unsafe { LsaClose(self.0) };
    }
}

fn check(call: &'static str, object: &str, status: i32) -> MachineResult<()> {
    if status >= 0 {
        return Ok(());
    }
    Err(failed(call, object, &Win32Error::of_status(call, status)))
}

fn open(access: i32) -> MachineResult<Policy> {
    let attributes = LSA_OBJECT_ATTRIBUTES {
        Length: size_of::<LSA_OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: ptr::null_mut(),
        ObjectName: ptr::null_mut(),
        Attributes: 0,
        SecurityDescriptor: ptr::null_mut(),
        SecurityQualityOfService: ptr::null_mut(),
    };
    let mut policy: LSA_HANDLE = Default::default();
    // SAFETY: attributes and handle are locals; no name means this machine.
    let status =
        unsafe { LsaOpenPolicy(ptr::null(), &raw const attributes, access.cast_unsigned(), &raw mut policy) };
    check("LsaOpenPolicy", "this machine", status)?;
    Ok(Policy(policy))
}

pub(super) fn rights(account: &Sid) -> MachineResult<BTreeSet<String>> {
    let call = "LsaEnumerateAccountRights";
    let policy = open(POLICY_LOOKUP_NAMES | POLICY_VIEW_LOCAL_INFORMATION)?;
    let sid = SidBuffer::new(account);
    let (mut list, mut count): (*mut LSA_UNICODE_STRING, u32) = (ptr::null_mut(), 0);
    // SAFETY: an open policy, a SID that lives through the call, and two locals.
    let status = unsafe { LsaEnumerateAccountRights(policy.0, sid.as_psid(), &raw mut list, &raw mut count) };
    match check(call, &account.to_string(), status) {
        Err(error) if error.system_code() == NO_RIGHTS => return Ok(BTreeSet::new()),
        result => result?,
    }
    // SAFETY: the call returned `count` strings with lengths in bytes, in memory that is freed below.
    let read = |at: u32| unsafe {
        let text = &*list.add(at as usize);
        let units = std::slice::from_raw_parts(text.Buffer, usize::from(text.Length) / 2);
        String::from_utf16_lossy(units)
    };
    let rights = (0..count).map(read).collect();
    // SAFETY: returned by the call above.
    unsafe { LsaFreeMemory(list.cast()) };
    Ok(rights)
}

/// A right's name as LSA takes it; lengths are in bytes, without the NUL.
fn right_name(right: &WideString) -> LSA_UNICODE_STRING {
    // Rights' names have some twenty letters.
    let bytes = (right.units().len() * 2) as u16;
    LSA_UNICODE_STRING { Length: bytes, MaximumLength: bytes + 2, Buffer: right.as_ptr().cast_mut() }
}

pub(super) fn add_right(account: &Sid, right: &str) -> MachineResult<()> {
    change(account, right, "LsaAddAccountRights", |policy, sid, name| {
        // SAFETY: an open policy, a SID and a string that live through the call.
        unsafe { LsaAddAccountRights(policy.0, sid.as_psid(), name, 1) }
    })
}

pub(super) fn remove_right(account: &Sid, right: &str) -> MachineResult<()> {
    change(account, right, "LsaRemoveAccountRights", |policy, sid, name| {
        // SAFETY: as above; `false`: only this right.
        unsafe { LsaRemoveAccountRights(policy.0, sid.as_psid(), false, name, 1) }
    })
}

fn change(
    account: &Sid,
    right: &str,
    call: &'static str,
    set: impl FnOnce(&Policy, &SidBuffer, *const LSA_UNICODE_STRING) -> i32,
) -> MachineResult<()> {
    let object = format!("{right} of {account}");
    let policy = open(POLICY_LOOKUP_NAMES | POLICY_CREATE_ACCOUNT)?;
    let (sid, text) = (SidBuffer::new(account), WideString::new(right).unwrap_or_else(|_| empty()));
    let name = right_name(&text);
    check(call, &object, set(&policy, &sid, &raw const name)).map_err(|mut error| {
        // ERROR_CALL_NOT_IMPLEMENTED, ERROR_INVALID_FUNCTION.
        if [120, 1].contains(&error.system_code()) {
            error.kind = MachineErrorKind::Unsupported;
        }
        error
    })
}

/// Rights are constants of ours, without a NUL.
fn empty() -> WideString {
    WideString::new("").expect("no NUL in nothing")
}

pub(super) fn try_logon(credentials: &Credentials) -> MachineResult<()> {
    let call = "LogonUserW";
    let text = |text: &str| WideString::new(text).unwrap_or_else(|_| empty());
    let (user, domain) = (text(&credentials.user), text(&credentials.domain));
    let mut token = ptr::null_mut();
    // SAFETY: three strings that end with a NUL, and a local.
    let done = unsafe {
        let password = credentials.password.units().as_ptr();
        let (kind, provider) = (LOGON32_LOGON_INTERACTIVE, LOGON32_PROVIDER_DEFAULT);
        LogonUserW(user.as_ptr(), domain.as_ptr(), password, kind, provider, &raw mut token)
    };
    if done == 0 {
        return Err(failed(call, &credentials.user, &Win32Error::last(call)));
    }
    // SAFETY: the call succeeded, so the token is open and ours: dropping it logs off.
    unsafe { own(call, token) }.map(drop).map_err(|error| failed(call, &credentials.user, &error))
}
