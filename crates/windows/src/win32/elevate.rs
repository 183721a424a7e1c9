//! Asking for elevation, and what an elevated process relies on. Source: "ShellExecuteExW", "SetPriorityClass".

use std::ffi::OsStr;
use std::os::windows::io::AsRawHandle;
use std::path::Path;

use windows_sys::Win32::Foundation::WAIT_TIMEOUT;
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetExitCodeProcess, PROCESS_MODE_BACKGROUND_BEGIN, SetPriorityClass,
    WaitForSingleObject,
};
use windows_sys::Win32::UI::Shell::{
    SEE_MASK_FLAG_NO_UI, SEE_MASK_NOASYNC, SEE_MASK_NOCLOSEPROCESS, SHELLEXECUTEINFOW, ShellExecuteExW,
};

use super::error::Win32Error;
use super::handle::{Handle, own};
use super::machine::failed;
use super::wide::WideString;
use super::{facts, profiles};
use crate::plan::path::WinPath;
use crate::setup::MachineFolder;
use crate::setup::machine::MachineResult;

/// ERROR_CANCELLED: the user declined.
pub const DECLINED: u32 = 1223;

/// Where the registry keeps the place of ProgramData, under this name.
const PROFILES: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList";
const PROGRAM_DATA: &str = "ProgramData";

/// The machine's state folder, from the registry and not from the environment: a user's own variables come into processes that
/// are elevated for him.
///
/// # Errors
/// As the system's.
pub fn machine_folder() -> MachineResult<MachineFolder> {
    let windows =
        facts::windows_folder().map_err(|error| failed("GetSystemWindowsDirectoryW", "Windows", &error))?;
    let drive = format!("{}:", windows.drive());
    let text = profiles::machine_text_raw(PROFILES, PROGRAM_DATA);
    let text = text.unwrap_or_else(|| format!(r"{drive}\ProgramData"));
    // Windows writes it with this variable, and expands it with the environment's.
    let text = match text.get(..VARIABLE.len()) {
        Some(start) if start.eq_ignore_ascii_case(VARIABLE) => format!("{drive}{}", &text[VARIABLE.len()..]),
        _ => text,
    };
    let wrong = |_| failed("RegGetValueW", &text, &Win32Error::of("RegGetValueW", 161));
    WinPath::absolute(&text).map(|path| MachineFolder(path.join("codex-sandbox"))).map_err(wrong)
}

const VARIABLE: &str = "%SystemDrive%";

/// This process gives way to all others, in computing and on the disk.
pub fn work_in_background() {
    // SAFETY: a pseudo handle. A system that does not know it leaves the process as it is.
    unsafe { SetPriorityClass(GetCurrentProcess(), PROCESS_MODE_BACKGROUND_BEGIN) };
}

/// A program that was started elevated.
#[derive(Debug)]
pub struct Elevated(Handle);

impl Elevated {
    /// Starts a program with the verb `runas`. `arguments` are words without spaces and quotation marks.
    ///
    /// # Errors
    /// [`DECLINED`], or why it cannot be started.
    pub fn start(program: &Path, arguments: &[&str]) -> Result<Self, Win32Error> {
        let call = "ShellExecuteExW";
        let wide = |text: &OsStr| WideString::new(text).map_err(|_| Win32Error::of(call, 87));
        let (file, line) = (wide(program.as_os_str())?, wide(OsStr::new(&arguments.join(" ")))?);
        let verb = wide(OsStr::new("runas"))?;
        let mut info = SHELLEXECUTEINFOW {
            cbSize: size_of::<SHELLEXECUTEINFOW>() as u32,
            fMask: SEE_MASK_NOCLOSEPROCESS | SEE_MASK_NOASYNC | SEE_MASK_FLAG_NO_UI,
            lpVerb: verb.as_ptr(),
            lpFile: file.as_ptr(),
            lpParameters: line.as_ptr(),
            // SW_HIDE
            nShow: 0,
            ..Default::default()
        };
        // SAFETY: the structure says its size, and its strings live through the call.
        if unsafe { ShellExecuteExW(&raw mut info) } == 0 {
            return Err(Win32Error::last(call));
        }
        // SAFETY: the call returned the handle of the process, which is ours.
        unsafe { own(call, info.hProcess) }.map(Self)
    }

    /// The exit code, if the program ends within this many milliseconds.
    ///
    /// # Errors
    /// As the system's.
    pub fn wait(&self, milliseconds: u32) -> Result<Option<u32>, Win32Error> {
        let mut code = 0;
        // SAFETY: an open process and a local.
        unsafe {
            if WaitForSingleObject(self.0.as_raw_handle(), milliseconds) == WAIT_TIMEOUT {
                return Ok(None);
            }
            if GetExitCodeProcess(self.0.as_raw_handle(), &raw mut code) == 0 {
                return Err(Win32Error::last("GetExitCodeProcess"));
            }
        }
        Ok(Some(code))
    }
}
