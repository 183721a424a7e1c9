//! Local accounts and groups, and what names and SIDs stand for. Source: "Network Management Functions" and
//! `LookupAccountName` in Microsoft's documentation.

use std::ptr;

use nt_security::Sid;
use windows_sys::Win32::NetworkManagement::NetManagement::{
    LOCALGROUP_INFO_1, LOCALGROUP_MEMBERS_INFO_0, MAX_PREFERRED_LENGTH, NetApiBufferFree, NetLocalGroupAdd,
    NetLocalGroupAddMembers, NetLocalGroupDel, NetLocalGroupDelMembers, NetLocalGroupGetInfo,
    NetLocalGroupGetMembers, NetUserAdd, NetUserDel, NetUserGetInfo, NetUserSetInfo, USER_INFO_1,
    USER_INFO_23, USER_INFO_1003, USER_INFO_1008, USER_PRIV_USER,
};
use windows_sys::Win32::Security::{
    LookupAccountNameW, LookupAccountSidW, SID_NAME_USE, SidTypeAlias, SidTypeGroup, SidTypeUser,
    SidTypeWellKnownGroup,
};
use windows_sys::Win32::System::WindowsProgramming::GetComputerNameW;

use super::error::Win32Error;
use super::machine::{failed, failed_of};
use super::sid::{self, SidBuffer};
use super::wide::{self, WideString};
use crate::setup::Password;
use crate::setup::machine::{
    AccountKind, GroupAccount, Known, MachineErrorKind, MachineResult, NewUser, UserAccount,
};

/// NERR_GroupNotFound, NERR_UserNotFound, ERROR_NO_SUCH_ALIAS, ERROR_NONE_MAPPED, ERROR_NO_SUCH_USER
pub(super) const NOT_FOUND: [u32; 5] = [2220, 2221, 1376, 1332, 1317];
/// ERROR_MEMBER_IN_ALIAS
const IS_MEMBER: u32 = 1378;
/// ERROR_MEMBER_NOT_IN_ALIAS
const IS_NO_MEMBER: u32 = 1377;

fn wide(text: &str) -> MachineResult<WideString> {
    WideString::new(text).map_err(|_| failed_of("WideString", text, &Win32Error::of("WideString", 87)))
}

fn check(call: &'static str, object: &str, status: u32) -> MachineResult<()> {
    if status == 0 { Ok(()) } else { Err(failed(call, object, &Win32Error::of(call, status))) }
}

/// Memory that a Net… function returned.
struct Buffer(*mut u8);

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: returned by a Net… function, and freed once.
            unsafe { NetApiBufferFree(self.0.cast()) };
        }
    }
}

/// The machine's name, from the system: a user's own variables come into processes that are elevated for him.
fn computer_name() -> MachineResult<String> {
    let (call, mut name, mut units) = ("GetComputerNameW", [0u16; 64], 64u32);
    // SAFETY: the buffer has `units` units.
    if unsafe { GetComputerNameW(name.as_mut_ptr(), &raw mut units) } == 0 {
        return Err(failed(call, "this machine", &Win32Error::last(call)));
    }
    Ok(text_of(&name))
}

pub(super) fn lookup_name(name: &str) -> MachineResult<Option<Known>> {
    let call = "LookupAccountNameW";
    // `.\name` is not a name that the call knows.
    let asked = match name.strip_prefix(".\\") {
        Some(own) => format!("{}\\{own}", computer_name()?),
        None => name.to_owned(),
    };
    let text = wide(&asked)?;
    // SECURITY_MAX_SID_SIZE is 68 bytes.
    let (mut sid, mut sid_size) = ([0u32; 32], 128u32);
    let (mut domain, mut domain_len) = ([0u16; 300], 300u32);
    let mut kind: SID_NAME_USE = 0;
    // SAFETY: both buffers have the sizes that are said.
    let done = unsafe {
        let sid = sid.as_mut_ptr().cast();
        let (sid_size, domain_len) = (&raw mut sid_size, &raw mut domain_len);
        LookupAccountNameW(
            ptr::null(),
            text.as_ptr(),
            sid,
            sid_size,
            domain.as_mut_ptr(),
            domain_len,
            &raw mut kind,
        )
    };
    if done == 0 {
        let error = Win32Error::last(call);
        return if NOT_FOUND.contains(&error.code) { Ok(None) } else { Err(failed(call, name, &error)) };
    }
    // SAFETY: the call filled the buffer with a SID.
    let Some(sid) = (unsafe { sid::read(sid.as_mut_ptr().cast()) }) else { return Ok(None) };
    let short = asked.rsplit('\\').next().unwrap_or(&asked).to_owned();
    // Where only the SID's own name says how it is written.
    Ok(lookup_sid(&sid)?
        .or_else(|| Some(Known { sid, domain: text_of(&domain), name: short, kind: kind_of(kind) })))
}

pub(super) fn lookup_sid(asked: &Sid) -> MachineResult<Option<Known>> {
    let call = "LookupAccountSidW";
    let buffer = SidBuffer::new(asked);
    let (mut name, mut name_len) = ([0u16; 300], 300u32);
    let (mut domain, mut domain_len) = ([0u16; 300], 300u32);
    let mut kind: SID_NAME_USE = 0;
    // SAFETY: all buffers have the sizes that are said, and the SID lives through the call.
    let done = unsafe {
        let (name_len, domain_len, kind) = (&raw mut name_len, &raw mut domain_len, &raw mut kind);
        let (name, domain) = (name.as_mut_ptr(), domain.as_mut_ptr());
        LookupAccountSidW(ptr::null(), buffer.as_psid(), name, name_len, domain, domain_len, kind)
    };
    if done == 0 {
        let error = Win32Error::last(call);
        // ERROR_TRUSTED_RELATIONSHIP_FAILURE, RPC_S_SERVER_UNAVAILABLE, ERROR_NO_SUCH_DOMAIN: a domain out of reach.
        let unknown = NOT_FOUND.contains(&error.code) || [1789, 1722, 1355].contains(&error.code);
        return if unknown { Ok(None) } else { Err(failed(call, &asked.to_string(), &error)) };
    }
    Ok(Some(Known { sid: *asked, domain: text_of(&domain), name: text_of(&name), kind: kind_of(kind) }))
}

fn text_of(units: &[u16]) -> String {
    wide::read(units).to_string_lossy().into_owned()
}

fn kind_of(kind: SID_NAME_USE) -> AccountKind {
    match kind {
        kind if kind == SidTypeUser => AccountKind::User,
        kind if kind == SidTypeGroup || kind == SidTypeAlias || kind == SidTypeWellKnownGroup => {
            AccountKind::Group
        }
        _ => AccountKind::Other,
    }
}

/// The SID of a local account or group by its bare name; no domain is asked.
fn local_sid(name: &str) -> MachineResult<Option<Sid>> {
    let found = lookup_name(&format!(".\\{name}"))?;
    Ok(found.map(|known| known.sid))
}

pub(super) fn group(name: &str) -> MachineResult<Option<GroupAccount>> {
    let call = "NetLocalGroupGetInfo";
    let (text, mut buffer) = (wide(name)?, Buffer(ptr::null_mut()));
    // SAFETY: the call sets the pointer to memory that is ours to free.
    let status = unsafe { NetLocalGroupGetInfo(ptr::null(), text.as_ptr(), 1, &raw mut buffer.0) };
    if NOT_FOUND.contains(&status) {
        return Ok(None);
    }
    check(call, name, status)?;
    // SAFETY: level 1 is LOCALGROUP_INFO_1, whose strings lie in the same buffer.
    let comment = unsafe {
        let info = buffer.0.cast::<LOCALGROUP_INFO_1>();
        wide::read_ptr((*info).lgrpi1_comment).to_string_lossy().into_owned()
    };
    Ok(local_sid(name)?.map(|sid| GroupAccount { sid, comment }))
}

pub(super) fn add_group(name: &str, comment: &str) -> MachineResult<Sid> {
    let call = "NetLocalGroupAdd";
    let (mut text, mut remark) = (wide(name)?, wide(comment)?);
    let info = LOCALGROUP_INFO_1 { lgrpi1_name: text.as_mut_ptr(), lgrpi1_comment: remark.as_mut_ptr() };
    // SAFETY: the structure and its strings live through the call, which only reads them.
    let status = unsafe { NetLocalGroupAdd(ptr::null(), 1, (&raw const info).cast(), ptr::null_mut()) };
    check(call, name, status)?;
    made(call, name)
}

fn made(call: &'static str, name: &str) -> MachineResult<Sid> {
    local_sid(name)?.ok_or_else(|| failed(call, name, &Win32Error::of("LookupAccountNameW", 1332)))
}

pub(super) fn delete_group(name: &str) -> MachineResult<()> {
    let text = wide(name)?;
    // SAFETY: the string lives through the call.
    check("NetLocalGroupDel", name, unsafe { NetLocalGroupDel(ptr::null(), text.as_ptr()) })
}

pub(super) fn user(name: &str) -> MachineResult<Option<UserAccount>> {
    let (text, mut buffer) = (wide(name)?, Buffer(ptr::null_mut()));
    // SAFETY: the call sets the pointer to memory that is ours to free.
    let status = unsafe { NetUserGetInfo(ptr::null(), text.as_ptr(), 23, &raw mut buffer.0) };
    if NOT_FOUND.contains(&status) {
        return Ok(None);
    }
    check("NetUserGetInfo", name, status)?;
    // SAFETY: level 23 is USER_INFO_23, whose strings and SID lie in the same buffer.
    unsafe {
        let info = &*buffer.0.cast::<USER_INFO_23>();
        let comment = wide::read_ptr(info.usri23_comment).to_string_lossy().into_owned();
        let flags = info.usri23_flags;
        Ok(sid::read(info.usri23_user_sid).map(|sid| UserAccount { sid, comment, flags }))
    }
}

pub(super) fn add_user(user: &NewUser) -> MachineResult<Sid> {
    let call = "NetUserAdd";
    let (mut name, mut comment) = (wide(&user.name)?, wide(&user.comment)?);
    let info = USER_INFO_1 {
        usri1_name: name.as_mut_ptr(),
        // The call reads it, and writes nothing.
        usri1_password: user.password.units().as_ptr().cast_mut(),
        usri1_priv: USER_PRIV_USER,
        usri1_comment: comment.as_mut_ptr(),
        usri1_flags: user.flags,
        ..Default::default()
    };
    // SAFETY: the structure and its strings live through the call.
    let status = unsafe { NetUserAdd(ptr::null(), 1, (&raw const info).cast(), ptr::null_mut()) };
    check(call, &user.name, status)?;
    made(call, &user.name)
}

pub(super) fn delete_user(name: &str) -> MachineResult<()> {
    let text = wide(name)?;
    // SAFETY: the string lives through the call.
    check("NetUserDel", name, unsafe { NetUserDel(ptr::null(), text.as_ptr()) })
}

pub(super) fn set_flags(name: &str, flags: u32) -> MachineResult<()> {
    let (text, info) = (wide(name)?, USER_INFO_1008 { usri1008_flags: flags });
    // SAFETY: string and structure live through the call.
    let status = unsafe {
        NetUserSetInfo(ptr::null(), text.as_ptr(), 1008, (&raw const info).cast(), ptr::null_mut())
    };
    check("NetUserSetInfo", name, status)
}

pub(super) fn set_password(name: &str, password: &Password) -> MachineResult<()> {
    let text = wide(name)?;
    let info = USER_INFO_1003 { usri1003_password: password.units().as_ptr().cast_mut() };
    // SAFETY: strings and structure live through the call, which only reads them.
    let status = unsafe {
        NetUserSetInfo(ptr::null(), text.as_ptr(), 1003, (&raw const info).cast(), ptr::null_mut())
    };
    check("NetUserSetInfo", name, status)
}

/// What a group is called here: "Users" is "Benutzer" elsewhere.
fn group_name(group: &Sid) -> MachineResult<String> {
    let missing =
        || failed("LookupAccountSidW", &group.to_string(), &Win32Error::of("LookupAccountSidW", 1332));
    Ok(lookup_sid(group)?.ok_or_else(missing)?.name)
}

pub(super) fn is_member(group: &Sid, user: &Sid) -> MachineResult<bool> {
    let call = "NetLocalGroupGetMembers";
    let name = group_name(group)?;
    let (text, mut buffer) = (wide(&name)?, Buffer(ptr::null_mut()));
    let (mut read, mut total) = (0u32, 0u32);
    // SAFETY: the call sets the pointer to memory that is ours to free; MAX_PREFERRED_LENGTH gives all at once.
    let status = unsafe {
        let (read, total) = (&raw mut read, &raw mut total);
        let resume = ptr::null_mut();
        NetLocalGroupGetMembers(
            ptr::null(),
            text.as_ptr(),
            0,
            &raw mut buffer.0,
            MAX_PREFERRED_LENGTH,
            read,
            total,
            resume,
        )
    };
    check(call, &name, status)?;
    let members = buffer.0.cast::<LOCALGROUP_MEMBERS_INFO_0>();
    // SAFETY: the call returned `read` entries, whose SIDs lie in the same buffer.
    let mut sids = (0..read as usize).map(|at| unsafe { sid::read((*members.add(at)).lgrmi0_sid) });
    Ok(sids.any(|sid| sid == Some(*user)))
}

pub(super) fn add_member(group: &Sid, user: &Sid) -> MachineResult<()> {
    let name = group_name(group)?;
    let (text, sid) = (wide(&name)?, SidBuffer::new(user));
    let info = LOCALGROUP_MEMBERS_INFO_0 { lgrmi0_sid: sid.as_psid() };
    // SAFETY: string, SID and the one entry live through the call.
    let status =
        unsafe { NetLocalGroupAddMembers(ptr::null(), text.as_ptr(), 0, (&raw const info).cast(), 1) };
    if status == IS_MEMBER { Ok(()) } else { check("NetLocalGroupAddMembers", &name, status) }
}

pub(super) fn remove_member(group: &Sid, user: &Sid) -> MachineResult<()> {
    let call = "NetLocalGroupDelMembers";
    let Some(known) = lookup_sid(group)? else {
        return Err(crate::setup::MachineError::new(MachineErrorKind::NotFound, call, group));
    };
    let (text, sid) = (wide(&known.name)?, SidBuffer::new(user));
    let info = LOCALGROUP_MEMBERS_INFO_0 { lgrmi0_sid: sid.as_psid() };
    // SAFETY: as above.
    let status =
        unsafe { NetLocalGroupDelMembers(ptr::null(), text.as_ptr(), 0, (&raw const info).cast(), 1) };
    if status == IS_NO_MEMBER { Ok(()) } else { check(call, &known.name, status) }
}
