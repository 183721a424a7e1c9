//! Calls that only escape attempts make.

use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Security::{
    ImpersonateLoggedOnUser, TOKEN_ADJUST_DEFAULT, TOKEN_DUPLICATE, TOKEN_IMPERSONATE, TOKEN_QUERY,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_TYPE_DISK, GetFileType, PIPE_ACCESS_DUPLEX, WRITE_DAC, WRITE_OWNER,
};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
    TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First, Thread32Next,
};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_WRITE, OpenFileMappingW, PAGE_READWRITE,
};
use windows_sys::Win32::System::Pipes::{CreateNamedPipeW, PIPE_TYPE_BYTE};
use windows_sys::Win32::System::Registry::{
    HKEY, HKEY_CURRENT_USER, KEY_SET_VALUE, KEY_WRITE, REG_OPTION_VOLATILE, REG_SZ, RegCloseKey,
    RegCreateKeyExW, RegDeleteKeyW, RegDeleteValueW, RegOpenKeyExW, RegSetValueExW,
};
use windows_sys::Win32::System::Threading::{
    CreateEventW, EVENT_MODIFY_STATE, GetCurrentProcess, GetCurrentProcessId, GetCurrentThreadId, OpenEventW,
    OpenProcess, OpenProcessToken, OpenThread, PROCESS_CREATE_PROCESS, PROCESS_CREATE_THREAD,
    PROCESS_DUP_HANDLE, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SET_INFORMATION, PROCESS_SUSPEND_RESUME,
    PROCESS_VM_OPERATION, PROCESS_VM_READ, PROCESS_VM_WRITE, THREAD_SET_CONTEXT, THREAD_SET_INFORMATION,
    THREAD_SET_THREAD_TOKEN, THREAD_SUSPEND_RESUME,
};

use super::handle::{Handle, own};
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

/// The process that started this one, with each right that changes it, one at a time: one that is granted is enough.
///
/// # Errors
/// The system's, when none is granted.
pub fn open_parent_for_writing() -> io::Result<()> {
    const RIGHTS: [u32; 9] = [
        PROCESS_VM_WRITE,
        PROCESS_VM_OPERATION,
        PROCESS_DUP_HANDLE,
        PROCESS_CREATE_THREAD,
        // A child whose parent is another process has that one's token, and is in its job.
        PROCESS_CREATE_PROCESS,
        PROCESS_SET_INFORMATION,
        PROCESS_SUSPEND_RESUME,
        WRITE_DAC,
        WRITE_OWNER,
    ];
    let parent = parent()?;
    // SAFETY: a process id; nothing is done with the handle.
    any_of(&RIGHTS, |right| opened(unsafe { OpenProcess(right, 0, parent) }))
}

/// The same process, for reading its memory.
///
/// # Errors
/// The system's.
pub fn open_parent_for_reading() -> io::Result<()> {
    let parent = parent()?;
    // SAFETY: a process id; nothing is done with the handle.
    opened(unsafe { OpenProcess(PROCESS_VM_READ, 0, parent) })
}

/// A thread of that process, with each right that changes what it does.
///
/// # Errors
/// The system's, when none is granted.
pub fn open_thread_of_parent() -> io::Result<()> {
    const RIGHTS: [u32; 5] = [
        THREAD_SET_CONTEXT,
        THREAD_SET_INFORMATION,
        THREAD_SUSPEND_RESUME,
        THREAD_SET_THREAD_TOKEN,
        WRITE_DAC,
    ];
    let thread = thread_of(parent()?)?;
    // SAFETY: a thread id; nothing is done with the handle.
    any_of(&RIGHTS, |right| opened(unsafe { OpenThread(right, 0, thread) }))
}

/// Takes that process' token, and acts by it from now on.
///
/// # Errors
/// The system's.
pub fn impersonate_parent() -> io::Result<()> {
    let parent = parent()?;
    let mut token: HANDLE = ptr::null_mut();
    // SAFETY: handles that were just opened, each closed once; `token` is written.
    unsafe {
        let process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, parent);
        if process.is_null() {
            return Err(io::Error::last_os_error());
        }
        let done =
            OpenProcessToken(process, TOKEN_QUERY | TOKEN_DUPLICATE | TOKEN_IMPERSONATE, &raw mut token);
        let error = io::Error::last_os_error();
        CloseHandle(process);
        if done == 0 {
            return Err(error);
        }
        let done = ImpersonateLoggedOnUser(token);
        let error = io::Error::last_os_error();
        CloseHandle(token);
        if done == 0 { Err(error) } else { Ok(()) }
    }
}

/// Succeeds if one does; else the last failure.
fn any_of(rights: &[u32], open: impl Fn(u32) -> io::Result<()>) -> io::Result<()> {
    let mut last = Err(io::Error::other("no right was asked for"));
    for right in rights {
        last = open(*right);
        if last.is_ok() {
            break;
        }
    }
    last
}

fn thread_of(process: u32) -> io::Result<u32> {
    // SAFETY: a snapshot of all threads.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    let mut entry = THREADENTRY32 { dwSize: size_of::<THREADENTRY32>() as u32, ..Default::default() };
    // SAFETY: an open snapshot, a structure that says its size; the snapshot is closed once.
    let found = unsafe {
        let mut more = Thread32First(snapshot, &raw mut entry);
        while more != 0 && entry.th32OwnerProcessID != process {
            more = Thread32Next(snapshot, &raw mut entry);
        }
        CloseHandle(snapshot);
        more != 0
    };
    if found { Ok(entry.th32ThreadID) } else { Err(io::Error::other("that process has no thread")) }
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

/// A value of our own in the user's environment, which his later processes would get.
///
/// # Errors
/// The system's.
pub fn set_registry_value() -> io::Result<()> {
    let wide = |text: &str| WideString::new(text).map_err(io::Error::other);
    let (name, value) = (wide("Environment")?, wide("CODEX_SANDBOX_ATTACK")?);
    let data = [u16::from(b'x'), 0];
    let mut key: HKEY = ptr::null_mut();
    // SAFETY: the names and the data live through the calls; `key` is written and closed once.
    let status = unsafe {
        let mut status = RegOpenKeyExW(HKEY_CURRENT_USER, name.as_ptr(), 0, KEY_SET_VALUE, &raw mut key);
        if status == 0 {
            let size = size_of_val(&data) as u32;
            status = RegSetValueExW(key, value.as_ptr(), 0, REG_SZ, data.as_ptr().cast(), size);
            RegDeleteValueW(key, value.as_ptr());
            RegCloseKey(key);
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
    let name = format!("codex-sandbox-attack-{}", std::process::id());
    let _event = Offered::event(&name)?;
    open_event(&name)
}

/// Named shared memory with default security, opened a second time.
///
/// # Errors
/// The system's.
pub fn reopen_named_section() -> io::Result<()> {
    let name = format!("codex-sandbox-attack-{}", std::process::id());
    let _section = Offered::section(&name)?;
    open_section(&name)
}

/// Opens an event of that name for setting it.
///
/// # Errors
/// The system's.
pub fn open_event(name: &str) -> io::Result<()> {
    let name = WideString::new(format!("{name}-event")).map_err(io::Error::other)?;
    // SAFETY: the name lives through the call.
    opened(unsafe { OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr()) })
}

/// Opens shared memory of that name for writing.
///
/// # Errors
/// The system's.
pub fn open_section(name: &str) -> io::Result<()> {
    let name = WideString::new(format!("{name}-section")).map_err(io::Error::other)?;
    // SAFETY: the name lives through the call.
    opened(unsafe { OpenFileMappingW(FILE_MAP_WRITE, 0, name.as_ptr()) })
}

/// Opens a pipe of that name for writing.
///
/// # Errors
/// The system's.
pub fn open_pipe(name: &str) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(format!(r"\\.\pipe\{name}")).map(drop)
}

/// Objects with default security, for others to try.
#[derive(Debug)]
pub struct Offered(Vec<Handle>);

impl Offered {
    /// An event, shared memory and a pipe, all of this name.
    ///
    /// # Errors
    /// The system's.
    pub fn all(name: &str) -> io::Result<Self> {
        let all = [Self::event(name)?, Self::section(name)?, Self::pipe(name)?];
        Ok(Self(all.into_iter().flat_map(|offered| offered.0).collect()))
    }

    fn event(name: &str) -> io::Result<Self> {
        let name = WideString::new(format!("{name}-event")).map_err(io::Error::other)?;
        // SAFETY: the name lives through the call.
        Self::of("CreateEventW", unsafe { CreateEventW(ptr::null(), 0, 0, name.as_ptr()) })
    }

    fn section(name: &str) -> io::Result<Self> {
        const SIZE: u32 = 4096;
        let name = WideString::new(format!("{name}-section")).map_err(io::Error::other)?;
        // SAFETY: the name lives through the call; the memory is the system's own.
        Self::of("CreateFileMappingW", unsafe {
            CreateFileMappingW(INVALID_HANDLE_VALUE, ptr::null(), PAGE_READWRITE, 0, SIZE, name.as_ptr())
        })
    }

    /// A pipe that takes one client after another without being looked at.
    pub(crate) fn pipe(name: &str) -> io::Result<Self> {
        let name = WideString::new(format!(r"\\.\pipe\{name}")).map_err(io::Error::other)?;
        // SAFETY: the name lives through the call.
        Self::of("CreateNamedPipeW", unsafe {
            CreateNamedPipeW(name.as_ptr(), PIPE_ACCESS_DUPLEX, PIPE_TYPE_BYTE, 1, 4096, 4096, 0, ptr::null())
        })
    }

    fn of(call: &'static str, raw: HANDLE) -> io::Result<Self> {
        // SAFETY: just made, and ours alone.
        let handle = unsafe { own(call, raw) };
        handle
            .map(|handle| Self(vec![handle]))
            .map_err(|error| io::Error::from_raw_os_error(error.code.cast_signed()))
    }
}
