//! The command's token.

use std::mem::MaybeUninit;
use std::os::windows::io::AsRawHandle;
use std::ptr;

use nt_security::{Acl, Sid};
use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, HANDLE};
use windows_sys::Win32::Security::{
    ACL, CreateRestrictedToken, GetTokenInformation, LUID_AND_ATTRIBUTES, SID_AND_ATTRIBUTES,
    SetTokenInformation, TOKEN_ADJUST_DEFAULT, TOKEN_ASSIGN_PRIMARY, TOKEN_DEFAULT_DACL, TOKEN_DUPLICATE,
    TOKEN_GROUPS, TOKEN_INFORMATION_CLASS, TOKEN_MANDATORY_LABEL, TOKEN_PRIVILEGES, TOKEN_QUERY, TOKEN_USER,
    TokenDefaultDacl, TokenIntegrityLevel, TokenPrivileges, TokenRestrictedSids, TokenUser,
};
use windows_sys::Win32::System::SystemServices::SE_GROUP_INTEGRITY;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::error::Win32Error;
use super::handle::{Handle, check, own};
use super::sid::{SidBuffer, read};
use crate::plan::data::TokenFlag;

/// A token.
#[derive(Debug)]
pub struct Token(Handle);

impl Token {
    /// This process' primary token. CreateProcessAsUser takes a restricted copy of exactly this one without a privilege.
    ///
    /// # Errors
    /// The system's.
    pub fn own() -> Result<Self, Win32Error> {
        let mut raw: HANDLE = ptr::null_mut();
        let access = TOKEN_DUPLICATE | TOKEN_ASSIGN_PRIMARY | TOKEN_QUERY | TOKEN_ADJUST_DEFAULT;
        // SAFETY: the pseudo handle needs no closing; `raw` is written.
        check("OpenProcessToken", unsafe { OpenProcessToken(GetCurrentProcess(), access, &raw mut raw) })?;
        // SAFETY: just opened, and ours alone.
        Ok(Self(unsafe { own("OpenProcessToken", raw) }?))
    }

    /// A restricted copy. Restricting SIDs carry no attributes, says CreateRestrictedToken.
    ///
    /// # Errors
    /// The system's.
    pub fn restricted(&self, flags: &[TokenFlag], restricting: &[Sid]) -> Result<Self, Win32Error> {
        let buffers: Vec<SidBuffer> = restricting.iter().map(SidBuffer::new).collect();
        let list: Vec<SID_AND_ATTRIBUTES> =
            buffers.iter().map(|sid| SID_AND_ATTRIBUTES { Sid: sid.as_psid(), Attributes: 0 }).collect();
        let flags = flags.iter().fold(0, |bits, flag| bits | bits_of(*flag));
        let mut raw: HANDLE = ptr::null_mut();
        // SAFETY: the list and the SIDs in it live through the call, and its length is right; `raw` is written.
        check("CreateRestrictedToken", unsafe {
            CreateRestrictedToken(
                self.raw(),
                flags,
                0,
                ptr::null(),
                0,
                ptr::null(),
                count(list.len()),
                list.as_ptr(),
                &raw mut raw,
            )
        })?;
        // SAFETY: just made, and ours alone.
        Ok(Self(unsafe { own("CreateRestrictedToken", raw) }?))
    }

    /// TokenDefaultDacl.
    ///
    /// # Errors
    /// The system's.
    pub fn set_default_dacl(&self, acl: &Acl) -> Result<(), Win32Error> {
        // ERROR_INVALID_ACL, for a list that no plan makes: longer than 64 kB.
        let bytes = acl.to_bytes().map_err(|_| Win32Error::of("TokenDefaultDacl", 1336))?;
        let mut words = vec![0_u32; bytes.len().div_ceil(4)];
        // SAFETY: as many bytes as the words have room for; both live, and do not overlap.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), words.as_mut_ptr().cast::<u8>(), bytes.len()) };
        let value = TOKEN_DEFAULT_DACL { DefaultDacl: words.as_mut_ptr().cast::<ACL>() };
        self.set("SetTokenInformation(TokenDefaultDacl)", TokenDefaultDacl, &value)
    }

    /// TokenIntegrityLevel.
    ///
    /// # Errors
    /// The system's.
    pub fn set_integrity(&self, level: u32) -> Result<(), Win32Error> {
        let sid = SidBuffer::new(&Sid::constant(16, [level]));
        let label = SID_AND_ATTRIBUTES { Sid: sid.as_psid(), Attributes: SE_GROUP_INTEGRITY as u32 };
        let value = TOKEN_MANDATORY_LABEL { Label: label };
        self.set("SetTokenInformation(TokenIntegrityLevel)", TokenIntegrityLevel, &value)
    }

    /// TokenIntegrityLevel.
    ///
    /// # Errors
    /// The system's.
    pub fn integrity(&self) -> Result<Option<u32>, Win32Error> {
        let words = self.get("GetTokenInformation(TokenIntegrityLevel)", TokenIntegrityLevel)?;
        // SAFETY: the call wrote this structure at the start; its pointer leads into the same buffer.
        let sid = unsafe { read((*words.as_ptr().cast::<TOKEN_MANDATORY_LABEL>()).Label.Sid) };
        Ok(sid.and_then(|sid| sid.relative_id()))
    }

    /// TokenRestrictedSids.
    ///
    /// # Errors
    /// The system's.
    pub fn restricting(&self) -> Result<Vec<Sid>, Win32Error> {
        let words = self.get("GetTokenInformation(TokenRestrictedSids)", TokenRestrictedSids)?;
        let groups = words.as_ptr().cast::<TOKEN_GROUPS>();
        // SAFETY: the call wrote the structure with its whole array; the pointers lead into the same buffer.
        let sids = unsafe {
            let list = std::slice::from_raw_parts(
                ptr::addr_of!((*groups).Groups).cast::<SID_AND_ATTRIBUTES>(),
                (*groups).GroupCount as usize,
            );
            list.iter().filter_map(|entry| read(entry.Sid)).collect()
        };
        Ok(sids)
    }

    /// TokenUser.
    ///
    /// # Errors
    /// The system's.
    pub fn user(&self) -> Result<Sid, Win32Error> {
        let words = self.get("GetTokenInformation(TokenUser)", TokenUser)?;
        // SAFETY: the call wrote this structure at the start; its pointer leads into the same buffer.
        let sid = unsafe { read((*words.as_ptr().cast::<TOKEN_USER>()).User.Sid) };
        // ERROR_INVALID_SID
        sid.ok_or_else(|| Win32Error::of("GetTokenInformation(TokenUser)", 1337))
    }

    /// How many privileges the token has, enabled or not.
    ///
    /// # Errors
    /// The system's.
    pub fn privileges(&self) -> Result<usize, Win32Error> {
        let words = self.get("GetTokenInformation(TokenPrivileges)", TokenPrivileges)?;
        // SAFETY: the call wrote the structure; the count stands first.
        Ok(unsafe { (*words.as_ptr().cast::<TOKEN_PRIVILEGES>()).PrivilegeCount } as usize)
    }

    /// For calls that take a token.
    pub fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }

    fn set<T>(
        &self,
        call: &'static str,
        class: TOKEN_INFORMATION_CLASS,
        value: &T,
    ) -> Result<(), Win32Error> {
        // SAFETY: `value` is the structure of the class, says each caller, and what it points to lives through the call.
        check(call, unsafe {
            SetTokenInformation(self.raw(), class, ptr::from_ref(value).cast(), count(size_of::<T>()))
        })
    }

    /// The value of a class, in words that are aligned for pointers.
    fn get(
        &self,
        call: &'static str,
        class: TOKEN_INFORMATION_CLASS,
    ) -> Result<Vec<MaybeUninit<u64>>, Win32Error> {
        let mut needed = 0;
        // SAFETY: asks for the size alone.
        let done = unsafe { GetTokenInformation(self.raw(), class, ptr::null_mut(), 0, &raw mut needed) };
        let error = Win32Error::last(call);
        if done == 0 && error.code != ERROR_INSUFFICIENT_BUFFER {
            return Err(error);
        }
        // At least the structure itself, so that reading its first field is always within the buffer.
        let words = (needed as usize).max(size_of::<LUID_AND_ATTRIBUTES>() * 2).div_ceil(8);
        let mut buffer = vec![MaybeUninit::new(0_u64); words];
        let room = count(words * 8);
        // SAFETY: the buffer has as much room as is said.
        check(call, unsafe {
            GetTokenInformation(self.raw(), class, buffer.as_mut_ptr().cast(), room, &raw mut needed)
        })?;
        Ok(buffer)
    }
}

fn bits_of(flag: TokenFlag) -> u32 {
    use windows_sys::Win32::Security::{DISABLE_MAX_PRIVILEGE, LUA_TOKEN, WRITE_RESTRICTED};
    match flag {
        TokenFlag::DisableMaxPrivilege => DISABLE_MAX_PRIVILEGE,
        TokenFlag::LuaToken => LUA_TOKEN,
        TokenFlag::WriteRestricted => WRITE_RESTRICTED,
    }
}

/// Lengths of lists and structures of ours: far below 4 GiB.
fn count(count: usize) -> u32 {
    u32::try_from(count).expect("a few SIDs and structures")
}
