//! The machine itself, as the set-up changes it.

use std::collections::BTreeSet;
use std::os::windows::io::AsRawHandle;
use std::ptr;
use std::time::{SystemTime, UNIX_EPOCH};

use nt_security::{SecurityDescriptor, Sid};
use windows_sys::Win32::Security::{
    GetTokenInformation, TOKEN_ELEVATION, TOKEN_QUERY, TOKEN_USER, TokenElevation, TokenUser,
};
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_DWORD, RegGetValueW};
use windows_sys::Win32::System::Services::{
    CloseServiceHandle, OpenSCManagerW, OpenServiceW, QueryServiceStatus, SC_HANDLE, SC_MANAGER_CONNECT,
    SERVICE_QUERY_STATUS, SERVICE_RUNNING, SERVICE_STATUS,
};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, OpenProcess, OpenProcessToken, PROCESS_QUERY_LIMITED_INFORMATION,
};
use zeroize::Zeroizing;

use super::error::Win32Error;
use super::handle::{Handle, own};
use super::wide::WideString;
use super::{accounts, dpapi, facts, firewall, lsa, machine_files, profiles, sid, wfp};
use crate::host::ProcessId;
use crate::plan::data::WfpPlan;
use crate::plan::path::WinPath;
use crate::setup::machine::{
    FileState, FirewallState, GroupAccount, Known, Machine, MachineError, MachineErrorKind, MachineResult,
    NewUser, RuleState, SystemFacts, UserAccount,
};
use crate::setup::{Credentials, Password};

/// The machine that this process runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct WindowsMachine;

/// A failure of a call, as the set-up says it.
pub(super) fn failed(call: &'static str, object: &str, error: &Win32Error) -> MachineError {
    failed_of(call, object, error)
}

pub(super) fn failed_of(call: &'static str, object: &str, error: &Win32Error) -> MachineError {
    MachineError::new(kind_of(error.code), call, object).with_system(error.code, error.text.clone())
}

/// ERROR_… of winerror.h, NERR_… of lmerr.h.
fn kind_of(code: u32) -> MachineErrorKind {
    match code {
        2 | 3 | 1332 | 1376 | 2220 | 2221 | 1060 => MachineErrorKind::NotFound,
        5 | 1314 => MachineErrorKind::AccessDenied,
        80 | 183 | 1379 | 2223 | 2224 => MachineErrorKind::Exists,
        32 | 33 | 170 => MachineErrorKind::Busy,
        1325 | 2245 => MachineErrorKind::Policy,
        50 | 120 => MachineErrorKind::Unsupported,
        1058 | 1062 | 1722 | 1753 => MachineErrorKind::NoService,
        _ => MachineErrorKind::Other,
    }
}

/// A number below HKEY_LOCAL_MACHINE.
pub(super) fn machine_value(key: &str, name: &str) -> Option<u32> {
    let (key, name) = (WideString::new(key).ok()?, WideString::new(name).ok()?);
    let (mut value, mut size) = (0u32, 4);
    // SAFETY: the value has `size` bytes, and only numbers are asked for.
    let status = unsafe {
        let (kind, data) = (ptr::null_mut(), (&raw mut value).cast());
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            name.as_ptr(),
            RRF_RT_REG_DWORD,
            kind,
            data,
            &raw mut size,
        )
    };
    (status == 0).then_some(value)
}

/// A handle of the service manager's.
struct Service(SC_HANDLE);

impl Drop for Service {
    fn drop(&mut self) {
        // SAFETY: open, and closed once.
        unsafe { CloseServiceHandle(self.0) };
    }
}

/// Whether a service runs.
pub(super) fn service(name: &str) -> MachineResult<bool> {
    let not_found = |call| MachineError::new(MachineErrorKind::NotFound, call, name);
    let text = WideString::new(name).map_err(|_| not_found("OpenServiceW"))?;
    // SAFETY: no names: this machine's services.
    let manager = unsafe { OpenSCManagerW(ptr::null(), ptr::null(), SC_MANAGER_CONNECT) };
    if manager.is_null() {
        return Err(failed("OpenSCManagerW", name, &Win32Error::last("OpenSCManagerW")));
    }
    let manager = Service(manager);
    // SAFETY: an open manager and a string.
    let service = unsafe { OpenServiceW(manager.0, text.as_ptr(), SERVICE_QUERY_STATUS) };
    if service.is_null() {
        return Err(failed("OpenServiceW", name, &Win32Error::last("OpenServiceW")));
    }
    let (service, mut status) = (Service(service), SERVICE_STATUS::default());
    // SAFETY: an open service and a local.
    let done = unsafe { QueryServiceStatus(service.0, &raw mut status) };
    if done == 0 {
        return Err(failed("QueryServiceStatus", name, &Win32Error::last("QueryServiceStatus")));
    }
    Ok(status.dwCurrentState == SERVICE_RUNNING)
}

/// The token of an open process.
fn token_of(process: windows_sys::Win32::Foundation::HANDLE) -> Result<Handle, Win32Error> {
    let call = "OpenProcessToken";
    let mut token = ptr::null_mut();
    // SAFETY: an open process and a local.
    if unsafe { OpenProcessToken(process, TOKEN_QUERY, &raw mut token) } == 0 {
        return Err(Win32Error::last(call));
    }
    // SAFETY: the call succeeded, so the handle is open and ours.
    unsafe { own(call, token) }
}

fn user_of(token: &Handle) -> Result<Sid, Win32Error> {
    let call = "GetTokenInformation";
    // TOKEN_USER with the longest SID has less than 100 bytes.
    let (mut buffer, mut needed) = ([0u64; 32], 0);
    let size = size_of_val(&buffer) as u32;
    // SAFETY: the buffer has `size` bytes, aligned for pointers.
    let done = unsafe {
        let buffer = buffer.as_mut_ptr().cast();
        GetTokenInformation(token.as_raw_handle(), TokenUser, buffer, size, &raw mut needed)
    };
    if done == 0 {
        return Err(Win32Error::last(call));
    }
    // SAFETY: the call filled the buffer, into which the SID's pointer leads.
    let sid = unsafe { sid::read((*buffer.as_ptr().cast::<TOKEN_USER>()).User.Sid) };
    sid.ok_or_else(|| Win32Error::of(call, 1337))
}

fn is_elevated(token: &Handle) -> bool {
    let (mut elevation, mut needed) = (TOKEN_ELEVATION::default(), 0);
    let size = size_of::<TOKEN_ELEVATION>() as u32;
    // SAFETY: the structure has `size` bytes.
    let done = unsafe {
        let value = (&raw mut elevation).cast();
        GetTokenInformation(token.as_raw_handle(), TokenElevation, value, size, &raw mut needed)
    };
    done != 0 && elevation.TokenIsElevated != 0
}

fn own_user() -> MachineResult<(Sid, bool)> {
    // SAFETY: the pseudo handle of this process needs no closing.
    let token = token_of(unsafe { GetCurrentProcess() });
    let asked = token.and_then(|token| Ok((user_of(&token)?, is_elevated(&token))));
    asked.map_err(|error| failed("OpenProcessToken", "this process", &error))
}

impl Machine for WindowsMachine {
    fn system(&self) -> MachineResult<SystemFacts> {
        let described = facts::describe().map_err(|error| {
            let system =
                error.system.clone().unwrap_or(crate::host::SystemError { code: 0, text: error.to_string() });
            MachineError::new(MachineErrorKind::Other, "describe", "this machine")
                .with_system(system.code, system.text)
        })?;
        let (user, elevated) = own_user()?;
        Ok(SystemFacts {
            name: described.machine.name,
            user,
            elevated,
            is_domain_controller: described.machine.is_domain_controller,
            secondary_logon_disabled: described.machine.secondary_logon_disabled,
            windows: described.folders.windows,
            program_data: described.folders.program_data,
        })
    }

    fn process_user(&self, process: u32) -> MachineResult<Option<Sid>> {
        // SAFETY: no pointers.
        let raw = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, process) };
        // SAFETY: what the call returned, which is ours.
        let Ok(handle) = (unsafe { own("OpenProcess", raw) }) else { return Ok(None) };
        let user = token_of(handle.as_raw_handle()).and_then(|token| user_of(&token));
        user.map(Some).map_err(|error| failed("OpenProcessToken", &process.to_string(), &error))
    }

    fn process(&self) -> ProcessId {
        facts::own_process()
    }

    fn is_running(&self, process: ProcessId) -> bool {
        facts::is_running(process)
    }

    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn random(&self, buffer: &mut [u8]) -> MachineResult<()> {
        dpapi::random(buffer)
    }

    fn lookup_name(&self, name: &str) -> MachineResult<Option<Known>> {
        accounts::lookup_name(name)
    }

    fn lookup_sid(&self, sid: &Sid) -> MachineResult<Option<Known>> {
        accounts::lookup_sid(sid)
    }

    fn profile(&self, user: &Sid) -> MachineResult<Option<WinPath>> {
        Ok(profiles::profile(user, &own_user()?.0))
    }

    fn delete_profile(&self, user: &Sid) -> MachineResult<()> {
        profiles::delete_profile(user)
    }

    fn group(&self, name: &str) -> MachineResult<Option<GroupAccount>> {
        accounts::group(name)
    }

    fn add_group(&self, name: &str, comment: &str) -> MachineResult<Sid> {
        accounts::add_group(name, comment)
    }

    fn delete_group(&self, name: &str) -> MachineResult<()> {
        accounts::delete_group(name)
    }

    fn user(&self, name: &str) -> MachineResult<Option<UserAccount>> {
        accounts::user(name)
    }

    fn add_user(&self, user: &NewUser) -> MachineResult<Sid> {
        accounts::add_user(user)
    }

    fn delete_user(&self, name: &str) -> MachineResult<()> {
        accounts::delete_user(name)
    }

    fn set_user_flags(&self, name: &str, flags: u32) -> MachineResult<()> {
        accounts::set_flags(name, flags)
    }

    fn set_password(&self, name: &str, password: &Password) -> MachineResult<()> {
        accounts::set_password(name, password)
    }

    fn is_member(&self, group: &Sid, user: &Sid) -> MachineResult<bool> {
        accounts::is_member(group, user)
    }

    fn add_member(&self, group: &Sid, user: &Sid) -> MachineResult<()> {
        accounts::add_member(group, user)
    }

    fn remove_member(&self, group: &Sid, user: &Sid) -> MachineResult<()> {
        accounts::remove_member(group, user)
    }

    fn is_hidden(&self, user: &str) -> MachineResult<bool> {
        Ok(profiles::is_hidden(user))
    }

    fn set_hidden(&self, user: &str, hidden: bool) -> MachineResult<()> {
        profiles::set_hidden(user, hidden)
    }

    fn rights(&self, account: &Sid) -> MachineResult<BTreeSet<String>> {
        lsa::rights(account)
    }

    fn add_right(&self, account: &Sid, right: &str) -> MachineResult<()> {
        lsa::add_right(account, right)
    }

    fn remove_right(&self, account: &Sid, right: &str) -> MachineResult<()> {
        lsa::remove_right(account, right)
    }

    fn try_logon(&self, credentials: &Credentials) -> MachineResult<()> {
        lsa::try_logon(credentials)
    }

    fn seal(&self, bytes: &[u8], entropy: &[u8]) -> MachineResult<Vec<u8>> {
        dpapi::seal(bytes, entropy)
    }

    fn unseal(&self, bytes: &[u8], entropy: &[u8]) -> MachineResult<Zeroizing<Vec<u8>>> {
        dpapi::unseal(bytes, entropy)
    }

    fn firewall(&self) -> MachineResult<FirewallState> {
        firewall::state()
    }

    fn firewall_rules(&self, name: &str) -> MachineResult<Vec<RuleState>> {
        firewall::rules_of(name)
    }

    fn add_firewall_rule(&self, rule: &RuleState) -> MachineResult<()> {
        firewall::add(rule)
    }

    fn remove_firewall_rule(&self, name: &str) -> MachineResult<()> {
        firewall::remove(name)
    }

    fn wfp(&self, wanted: &WfpPlan) -> MachineResult<Option<WfpPlan>> {
        wfp::read(wanted)
    }

    fn install_wfp(&self, plan: &WfpPlan) -> MachineResult<()> {
        wfp::install(plan)
    }

    fn remove_wfp(&self, plan: &WfpPlan) -> MachineResult<()> {
        wfp::remove(plan)
    }

    fn file(&self, path: &WinPath) -> MachineResult<Option<FileState>> {
        machine_files::file(path)
    }

    fn make_folder(&self, path: &WinPath, descriptor: &SecurityDescriptor) -> MachineResult<()> {
        machine_files::make_folder(path, descriptor)
    }

    fn set_descriptor(&self, path: &WinPath, descriptor: &SecurityDescriptor) -> MachineResult<()> {
        machine_files::set_descriptor(path, descriptor)
    }

    fn read_file(&self, path: &WinPath) -> MachineResult<Option<Vec<u8>>> {
        machine_files::read(path)
    }

    fn write_file(&self, path: &WinPath, bytes: &[u8]) -> MachineResult<()> {
        machine_files::write(path, bytes)
    }

    fn list(&self, folder: &WinPath) -> MachineResult<Vec<String>> {
        machine_files::list(folder)
    }

    fn remove(&self, path: &WinPath) -> MachineResult<()> {
        machine_files::remove(path)
    }
}
