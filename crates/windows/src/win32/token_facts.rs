//! The user, by the token of this process.

use nt_security::Sid;
use windows_sys::Win32::Foundation::LUID;
use windows_sys::Win32::Security::{
    GetTokenInformation, LUID_AND_ATTRIBUTES, LookupPrivilegeNameW, PSID, SID_AND_ATTRIBUTES, TOKEN_GROUPS,
    TOKEN_INFORMATION_CLASS, TOKEN_OWNER, TOKEN_PRIVILEGES, TOKEN_QUERY, TOKEN_USER, TokenGroups,
    TokenIntegrityLevel, TokenOwner, TokenPrivileges, TokenUser,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use std::os::windows::io::AsRawHandle;

use super::error::Win32Error;
use super::handle::{Handle, check, own};
use super::{sid, wide};
use crate::plan::facts::{GroupFact, User};

/// SE_GROUP_ENABLED, SE_GROUP_USE_FOR_DENY_ONLY, SE_GROUP_INTEGRITY, SE_GROUP_LOGON_ID
const ENABLED: u32 = 0x4;
const DENY_ONLY: u32 = 0x10;
const INTEGRITY: u32 = 0x20;
const LOGON_ID: u32 = 0xC000_0000;

/// Reads the token.
pub(super) fn user(name: String) -> Result<User, Win32Error> {
    let token = own_token()?;
    let user = sids(&token, TokenUser)?.first().map(|(sid, _)| *sid);
    let invalid = || Win32Error::of("GetTokenInformation", 1337);
    let groups = sids(&token, TokenGroups)?;
    let logon = groups.iter().find(|(_, attributes)| attributes & LOGON_ID == LOGON_ID).map(|(sid, _)| *sid);
    let owner = sids(&token, TokenOwner)?.first().map(|(sid, _)| *sid);
    let integrity = sids(&token, TokenIntegrityLevel)?.first().and_then(|(sid, _)| sid.integrity_level());
    let user = user.ok_or_else(invalid)?;
    let counts = |attributes: u32| attributes & (ENABLED | DENY_ONLY) != 0 && attributes & INTEGRITY == 0;
    let fact = |(sid, attributes): &(Sid, u32)| GroupFact {
        sid: (*sid).into(),
        deny_only: attributes & DENY_ONLY != 0,
        name: String::new(),
    };
    Ok(User {
        name,
        sid: user.into(),
        groups: groups.iter().filter(|(_, attributes)| counts(*attributes)).map(fact).collect(),
        // Services that run as a user by other means have none; then nothing is granted by it.
        logon_sid: logon.unwrap_or(Sid::constant(5, [5, 0, 0])).into(),
        integrity: integrity.unwrap_or(nt_security::token::integrity::MEDIUM),
        privileges: privileges(&token)?,
        default_owner: owner.filter(|owner| *owner != user).map(Into::into),
    })
}

fn own_token() -> Result<Handle, Win32Error> {
    let mut token = std::ptr::null_mut();
    // SAFETY: `token` is a local; the pseudo handle of the process needs no closing.
    check("OpenProcessToken", unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
    // SAFETY: the call succeeded, so the handle is open and ours.
    unsafe { own("OpenProcessToken", token) }
}

/// The bytes of one kind of information, aligned for pointers.
fn information(token: &Handle, class: TOKEN_INFORMATION_CLASS) -> Result<Vec<u64>, Win32Error> {
    let mut buffer = vec![0u64; 512];
    loop {
        let (size, mut needed) = (size_of_val(buffer.as_slice()) as u32, 0);
        // SAFETY: the buffer has `size` bytes.
        let done = unsafe {
            let buffer = buffer.as_mut_ptr().cast();
            GetTokenInformation(token.as_raw_handle(), class, buffer, size, &raw mut needed)
        };
        if done != 0 {
            return Ok(buffer);
        }
        if needed <= size {
            return Err(Win32Error::last("GetTokenInformation"));
        }
        buffer.resize(needed.div_ceil(8) as usize, 0);
    }
}

/// SIDs with their attributes.
fn sids(token: &Handle, class: TOKEN_INFORMATION_CLASS) -> Result<Vec<(Sid, u32)>, Win32Error> {
    let buffer = information(token, class)?;
    let start = buffer.as_ptr();
    // SAFETY: the system filled the buffer with the structure of that class, whose pointers lead into the buffer, which lives
    // until the SIDs are copied.
    let entries: Vec<(PSID, u32)> = unsafe {
        if class == TokenGroups {
            let groups = start.cast::<TOKEN_GROUPS>();
            let first = (&raw const (*groups).Groups).cast::<SID_AND_ATTRIBUTES>();
            let entry = |at: u32| *first.add(at as usize);
            (0..(*groups).GroupCount).map(|at| (entry(at).Sid, entry(at).Attributes)).collect()
        } else if class == TokenOwner {
            vec![((*start.cast::<TOKEN_OWNER>()).Owner, 0)]
        } else {
            // TOKEN_USER and TOKEN_MANDATORY_LABEL are one SID_AND_ATTRIBUTES.
            let user = (*start.cast::<TOKEN_USER>()).User;
            vec![(user.Sid, user.Attributes)]
        }
    };
    // SAFETY: as above.
    let read = |(psid, attributes): (PSID, u32)| Some((unsafe { sid::read(psid) }?, attributes));
    Ok(entries.into_iter().filter_map(read).collect())
}

fn privileges(token: &Handle) -> Result<Vec<String>, Win32Error> {
    let buffer = information(token, TokenPrivileges)?;
    // SAFETY: the system filled the buffer with TOKEN_PRIVILEGES.
    let luids: Vec<LUID> = unsafe {
        let privileges = buffer.as_ptr().cast::<TOKEN_PRIVILEGES>();
        let first = (&raw const (*privileges).Privileges).cast::<LUID_AND_ATTRIBUTES>();
        (0..(*privileges).PrivilegeCount).map(|at| (*first.add(at as usize)).Luid).collect()
    };
    Ok(luids.iter().filter_map(privilege_name).collect())
}

fn privilege_name(luid: &LUID) -> Option<String> {
    let mut name = [0u16; 64];
    let mut units = name.len() as u32;
    // SAFETY: the buffer has `units` units.
    let done = unsafe { LookupPrivilegeNameW(std::ptr::null(), luid, name.as_mut_ptr(), &raw mut units) };
    (done != 0).then(|| wide::read(&name).to_string_lossy().into_owned())
}
