//! The machine as a whole: names, folders, policies that matter, processes.

use std::os::windows::io::AsRawHandle;
use std::path::PathBuf;

use nt_security::Sid;
use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::Foundation::{FILETIME, WAIT_TIMEOUT};
use windows_sys::Win32::Security::Authentication::Identity::RtlGenRandom;
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_DWORD, RegGetValueW};
use windows_sys::Win32::System::SystemInformation::{GetSystemWindowsDirectoryW, OSVERSIONINFOEXW};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetProcessTimes, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE,
    WaitForSingleObject,
};

use super::error::Win32Error;
use super::files::host_error;
use super::handle::own;
use super::machine::WindowsMachine;
use super::wide::{self, WideString};
use super::{token_facts, volumes};
use crate::host::{Described, HostResult, ProcessId};
use crate::plan::facts::{Folders, Joined, Machine, Setup};
use crate::plan::path::WinPath;
use crate::setup::{MachineFolder, ready};

/// VER_NT_DOMAIN_CONTROLLER
const DOMAIN_CONTROLLER: u8 = 2;
/// SERVICE_DISABLED
const DISABLED: u32 = 4;

pub(super) fn describe() -> HostResult<Described> {
    let failed = |error: Win32Error| host_error("describe", "this machine", &error);
    let folders = folders().map_err(failed)?;
    Ok(Described {
        machine: machine(),
        user: token_facts::user(variable("USERNAME").unwrap_or_default()).map_err(failed)?,
        volumes: volumes::volumes(),
        // Names that somebody else may have are looked at by the set-up.
        accounts: Vec::new(),
        firewall_rules: Vec::new(),
        setup: setup(&folders),
        folders,
    })
}

/// The elevated tier, as far as this user was set up for it.
fn setup(folders: &Folders) -> Setup {
    let folder = MachineFolder(folders.machine_state.clone());
    ready::facts(&WindowsMachine, &folder)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn machine() -> Machine {
    let version = version();
    let firewall = r"SOFTWARE\Policies\Microsoft\WindowsFirewall\StandardProfile";
    let joined = variable("USERDNSDOMAIN").map_or(Joined::Workgroup, |_| Joined::Domain);
    Machine {
        name: variable("COMPUTERNAME").unwrap_or_default(),
        build: version.dwBuildNumber,
        joined,
        is_domain_controller: version.wProductType == DOMAIN_CONTROLLER,
        firewall_is_managed: machine_value(firewall, "AllowLocalPolicyMerge") == Some(0),
        secondary_logon_disabled: machine_value(r"SYSTEM\CurrentControlSet\Services\seclogon", "Start")
            == Some(DISABLED),
    }
}

fn version() -> OSVERSIONINFOEXW {
    let size = size_of::<OSVERSIONINFOEXW>() as u32;
    let mut version = OSVERSIONINFOEXW { dwOSVersionInfoSize: size, ..Default::default() };
    // SAFETY: the structure says its own size. The call cannot fail with a valid pointer.
    unsafe { RtlGetVersion((&raw mut version).cast()) };
    version
}

/// A number below HKEY_LOCAL_MACHINE.
fn machine_value(key: &str, name: &str) -> Option<u32> {
    let (key, name) = (WideString::new(key).ok()?, WideString::new(name).ok()?);
    let (mut value, mut size) = (0u32, 4);
    // SAFETY: the value has `size` bytes, and only numbers are asked for.
    let error = unsafe {
        let (kind, value) = (std::ptr::null_mut(), (&raw mut value).cast());
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            name.as_ptr(),
            RRF_RT_REG_DWORD,
            kind,
            value,
            &raw mut size,
        )
    };
    (error == 0).then_some(value)
}

fn folders() -> Result<Folders, Win32Error> {
    let missing = || Win32Error::of("GetEnvironmentVariableW", 203);
    let path = |text: String| WinPath::absolute(&text).ok();
    let windows = windows_folder()?;
    let drive = windows.ancestors().last().ok_or_else(missing)?;
    let profile = variable("USERPROFILE").and_then(path).ok_or_else(missing)?;
    let local = variable("LOCALAPPDATA").and_then(path);
    let local_app_data = local.unwrap_or_else(|| profile.join(r"AppData\Local"));
    let program_data = variable("ProgramData").and_then(path).unwrap_or_else(|| drive.join("ProgramData"));
    let names = ["ProgramFiles", "ProgramFiles(x86)", "ProgramW6432"];
    let mut program_files: Vec<WinPath> = names.into_iter().filter_map(variable).filter_map(path).collect();
    program_files.sort();
    program_files.dedup();
    let temp = path(std::env::temp_dir().to_string_lossy().into_owned());
    Ok(Folders {
        program_files,
        profiles: profile.parent().unwrap_or_else(|| drive.join("Users")),
        state: local_app_data.join("codex-sandbox"),
        machine_state: program_data.join("codex-sandbox"),
        temp: temp.unwrap_or_else(|| local_app_data.join("Temp")),
        windows,
        program_data,
        profile,
        local_app_data,
    })
}

/// The state folder of the user, for [`State::open`](crate::state::State::open).
///
/// # Errors
/// As [`Host::describe`](crate::host::Host::describe).
pub fn state_folder() -> HostResult<PathBuf> {
    let failed = |error: Win32Error| host_error("describe", "this machine", &error);
    Ok(PathBuf::from(folders().map_err(failed)?.state.as_str()))
}

pub(super) fn windows_folder() -> Result<WinPath, Win32Error> {
    let mut buffer = [0u16; 300];
    // SAFETY: the buffer has as many units as is said.
    let units = unsafe { GetSystemWindowsDirectoryW(buffer.as_mut_ptr(), buffer.len() as u32) };
    let text = wide::read(&buffer).to_string_lossy().into_owned();
    let invalid = || Win32Error::last("GetSystemWindowsDirectoryW");
    if units == 0 { Err(invalid()) } else { WinPath::absolute(&text).map_err(|_| invalid()) }
}

pub(super) fn random_sid() -> HostResult<Sid> {
    let mut words = [0u32; 4];
    // SAFETY: the buffer has the 16 bytes that are asked for.
    let done = unsafe { RtlGenRandom((&raw mut words).cast(), 16) };
    if !done {
        let error = Win32Error::last("RtlGenRandom");
        return Err(host_error("ask", "the system's random generator", &error));
    }
    Ok(Sid::constant(5, [21, words[0], words[1], words[2], words[3]]))
}

pub(super) fn own_process() -> ProcessId {
    // SAFETY: the pseudo handle of this process needs no closing.
    let created = created(unsafe { GetCurrentProcess() });
    ProcessId { pid: std::process::id(), created: created.unwrap_or_default() }
}

fn created(process: windows_sys::Win32::Foundation::HANDLE) -> Option<u64> {
    let mut times = [FILETIME::default(); 4];
    let [created, exited, kernel, user] = &mut times;
    // SAFETY: four local structures.
    let done = unsafe {
        GetProcessTimes(process, &raw mut *created, &raw mut *exited, &raw mut *kernel, &raw mut *user)
    };
    let time = u64::from(times[0].dwHighDateTime) << 32 | u64::from(times[0].dwLowDateTime);
    (done != 0).then_some(time)
}

pub(super) fn is_running(process: ProcessId) -> bool {
    let rights = PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE;
    // SAFETY: no pointers.
    let raw = unsafe { OpenProcess(rights, 0, process.pid) };
    // SAFETY: what the call returned, which is ours.
    match unsafe { own("OpenProcess", raw) } {
        Ok(handle) => {
            // SAFETY: an open handle with SYNCHRONIZE.
            let ended = unsafe { WaitForSingleObject(handle.as_raw_handle(), 0) } != WAIT_TIMEOUT;
            !ended && created(handle.as_raw_handle()) == Some(process.created)
        }
        // Somebody's process has the number; whether it is the same cannot be seen.
        Err(error) => error.code == 5,
    }
}
