//! Calls that only escape attempts make.

use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Security::{TOKEN_ADJUST_DEFAULT, TOKEN_QUERY};
use windows_sys::Win32::Storage::FileSystem::{FILE_TYPE_DISK, GetFileType};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_CURRENT_USER, KEY_WRITE, REG_OPTION_VOLATILE, RegCloseKey, RegCreateKeyExW, RegDeleteKeyW,
};
use windows_sys::Win32::System::Threading::{
    CreateEventW, EVENT_MODIFY_STATE, GetCurrentProcess, GetCurrentProcessId, GetCurrentThreadId, OpenEventW,
    OpenProcess, OpenProcessToken, OpenThread, PROCESS_DUP_HANDLE, PROCESS_VM_OPERATION, PROCESS_VM_WRITE,
    THREAD_SET_CONTEXT, THREAD_SET_INFORMATION,
};

use super::wide::WideString;

/// Takes over the last error of a call that gives a handle, and closes one that it gave.
fn opened(handle: HANDLE) -> io::Result<()> {
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, closed once.
    unsafe { CloseHandle(handle) };
    Ok(())
}

/// Whether an inherited handle of this number is a file's.
pub fn is_disk_file(number: usize) -> bool {
    // SAFETY: a number that is no handle is an error and no more.
    unsafe { GetFileType(ptr::with_exposed_provenance_mut(number)) == FILE_TYPE_DISK }
}

/// The process that started this one, for writing its memory and taking its handles.
///
/// # Errors
/// The system's.
pub fn open_parent_for_writing() -> io::Result<()> {
    let parent = parent()?;
    // SAFETY: a process id; nothing is done with the handle.
    opened(unsafe { OpenProcess(PROCESS_VM_WRITE | PROCESS_VM_OPERATION | PROCESS_DUP_HANDLE, 0, parent) })
}

fn parent() -> io::Result<u32> {
    // SAFETY: a snapshot of all processes.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    let mut entry = PROCESSENTRY32W { dwSize: size_of::<PROCESSENTRY32W>() as u32, ..Default::default() };
    // SAFETY: an open snapshot, a structure that says its size; the snapshot is closed once.
    let found = unsafe {
        let own = GetCurrentProcessId();
        let mut more = Process32FirstW(snapshot, &raw mut entry);
        while more != 0 && entry.th32ProcessID != own {
            more = Process32NextW(snapshot, &raw mut entry);
        }
        CloseHandle(snapshot);
        more != 0
    };
    if found {
        Ok(entry.th32ParentProcessID)
    } else {
        Err(io::Error::other("this process is not in the list"))
    }
}

/// A key of our own in the user's part of the registry.
///
/// # Errors
/// The system's.
pub fn make_registry_key() -> io::Result<()> {
    let name = format!("Software\\CodexSandboxAttack{}", std::process::id());
    let name = WideString::new(name).map_err(io::Error::other)?;
    let mut key: HKEY = ptr::null_mut();
    // SAFETY: the name lives through the calls; `key` is written; the key is closed once.
    let status = unsafe {
        let status = RegCreateKeyExW(
            HKEY_CURRENT_USER,
            name.as_ptr(),
            0,
            ptr::null(),
            REG_OPTION_VOLATILE,
            KEY_WRITE,
            ptr::null(),
            &raw mut key,
            ptr::null_mut(),
        );
        if status == 0 {
            RegCloseKey(key);
            RegDeleteKeyW(HKEY_CURRENT_USER, name.as_ptr());
        }
        status
    };
    if status == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(status.cast_signed())) }
}

/// This process, this thread and this token, as runtimes open them.
///
/// # Errors
/// The system's.
pub fn open_own_objects() -> io::Result<()> {
    // SAFETY: numbers of this process and thread; nothing is done with the handles.
    unsafe {
        opened(OpenProcess(
            PROCESS_VM_WRITE | PROCESS_VM_OPERATION | PROCESS_DUP_HANDLE,
            0,
            GetCurrentProcessId(),
        ))?;
        opened(OpenThread(THREAD_SET_INFORMATION | THREAD_SET_CONTEXT, 0, GetCurrentThreadId()))?;
        let mut token: HANDLE = ptr::null_mut();
        if OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY | TOKEN_ADJUST_DEFAULT, &raw mut token) == 0 {
            return Err(io::Error::last_os_error());
        }
        opened(token)
    }
}

/// A named event with default security, opened a second time.
///
/// # Errors
/// The system's.
pub fn reopen_named_event() -> io::Result<()> {
    let name =
        WideString::new(format!("codex-sandbox-attack-{}", std::process::id())).map_err(io::Error::other)?;
    // SAFETY: the name lives through the calls; the first handle is closed after the second call.
    unsafe {
        let event = CreateEventW(ptr::null(), 0, 0, name.as_ptr());
        if event.is_null() {
            return Err(io::Error::last_os_error());
        }
        let again = opened(OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr()));
        CloseHandle(event);
        again
    }
}
