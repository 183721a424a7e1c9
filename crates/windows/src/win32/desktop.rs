//! The command's desktop.

use std::os::windows::ffi::OsStrExt;
use std::ptr;

use nt_security::{SecurityDescriptor, Sid};
use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, GENERIC_ALL};
use windows_sys::Win32::System::StationsAndDesktops::{
    CloseDesktop, CreateDesktopW, GetProcessWindowStation, GetUserObjectInformationW, HDESK, UOI_NAME,
};

use super::error::Win32Error;
use super::handle::check;
use super::security::Attributes;
use super::wide::{self, WideString};

/// A desktop that exists as long as this value, or a process on it, does.
#[derive(Debug)]
pub struct Desktop {
    handle: HDESK,
    /// `WINDOWSTATION\DESKTOP`, as STARTUPINFO.lpDesktop takes it.
    pub name: WideString,
}

// SAFETY: a desktop handle belongs to the process; it is only closed here, and no thread is ever put on it.
unsafe impl Send for Desktop {}
// SAFETY: as above; shared references only read the name.
unsafe impl Sync for Desktop {}

impl Desktop {
    /// Makes a desktop in this process' window station, named for the run.
    ///
    /// # Errors
    /// The system's.
    pub fn new(sddl: &str, run: &Sid) -> Result<Self, Win32Error> {
        let invalid = || Win32Error::of("the desktop's descriptor", ERROR_INVALID_PARAMETER);
        let descriptor = SecurityDescriptor::from_sddl(sddl).map_err(|_| invalid())?;
        let attributes = Attributes::new(&descriptor).map_err(|_| invalid())?;
        let short = format!(
            "codex-sandbox-{:x}",
            run.sub_authorities()
                .iter()
                .skip(1)
                .fold(0_u64, |all, word| { all.rotate_left(21) ^ u64::from(*word) })
        );
        let wide_short = WideString::new(&short).map_err(|_| invalid())?;
        // SAFETY: the name and the attributes live through the call.
        let handle = unsafe {
            CreateDesktopW(wide_short.as_ptr(), ptr::null(), ptr::null(), 0, GENERIC_ALL, attributes.as_ptr())
        };
        if handle.is_null() {
            return Err(Win32Error::last("CreateDesktopW"));
        }
        let mut desktop = Self { handle, name: wide_short };
        let mut name = station()?;
        name.push("\\");
        name.push(&short);
        desktop.name = WideString::new(name).map_err(|_| invalid())?;
        Ok(desktop)
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        // SAFETY: made by us, closed once.
        unsafe { CloseDesktop(self.handle) };
    }
}

/// The name of this process' window station.
fn station() -> Result<std::ffi::OsString, Win32Error> {
    let mut name = [0_u16; 128];
    // SAFETY: the buffer has as many bytes as is said; the station's handle is not closed by those who ask for it.
    check("GetUserObjectInformationW", unsafe {
        GetUserObjectInformationW(
            GetProcessWindowStation(),
            UOI_NAME,
            name.as_mut_ptr().cast(),
            size_of_val(&name) as u32,
            ptr::null_mut(),
        )
    })?;
    let name = wide::read(&name);
    debug_assert!(name.encode_wide().count() > 0, "every station has a name");
    Ok(name)
}
