//! A window station of the runner's own, where the one that it was given lets it make no desktop.

use std::ptr;

use windows_sys::Win32::Foundation::GENERIC_ALL;
use windows_sys::Win32::System::StationsAndDesktops::{
    CloseDesktop, CloseWindowStation, CreateDesktopW, CreateWindowStationW, GetProcessWindowStation,
    SetProcessWindowStation,
};

use super::error::Win32Error;
use super::handle::check;
use super::wide::WideString;

/// Sees to it that this process can make desktops. From an interactive session Windows lets a new logon onto the launcher's station;
/// from a service, from SSH or a scheduled task that may fail, and a child would die with 0xC0000142 (field report 21).
///
/// # Errors
/// The system's, when there is no own station either.
pub fn ready() -> Result<(), Win32Error> {
    if can_make_desktops() {
        return Ok(());
    }
    // Named by Windows after this logon, which only this account can open.
    // SAFETY: no name, no attributes.
    let station = unsafe { CreateWindowStationW(ptr::null(), 0, GENERIC_ALL, ptr::null()) };
    if station.is_null() {
        return Err(Win32Error::last("CreateWindowStationW"));
    }
    // SAFETY: just made; it stays open as long as the process, unless it cannot be used.
    check("SetProcessWindowStation", unsafe { SetProcessWindowStation(station) }).inspect_err(|_| {
        // SAFETY: made above, closed once.
        unsafe { CloseWindowStation(station) };
    })
}

fn can_make_desktops() -> bool {
    let Ok(name) = WideString::new(format!("codex-sandbox-runner-{}", std::process::id())) else {
        return false;
    };
    // SAFETY: the name lives through the call; the desktop is closed once.
    unsafe {
        if GetProcessWindowStation().is_null() {
            return false;
        }
        let desktop = CreateDesktopW(name.as_ptr(), ptr::null(), ptr::null(), 0, GENERIC_ALL, ptr::null());
        !desktop.is_null() && CloseDesktop(desktop) != 0
    }
}
