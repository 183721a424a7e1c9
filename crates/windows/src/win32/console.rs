//! The console: who gets Ctrl-C.

use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, GetConsoleMode, SetConsoleCtrlHandler,
};
use windows_sys::core::BOOL;

use super::error::Win32Error;
use super::handle::check;

/// While it lives, Ctrl-C and Ctrl-Break end the command, which has the same console, and not its launcher. (A launcher that ignored
/// them with a null handler would pass that on to the command.)
#[derive(Debug)]
pub struct HeldInterrupts(());

impl HeldInterrupts {
    /// From now on.
    ///
    /// # Errors
    /// The system's.
    pub fn hold() -> Result<Self, Win32Error> {
        // SAFETY: the handler is a function of this program, which stays loaded.
        check("SetConsoleCtrlHandler", unsafe { SetConsoleCtrlHandler(Some(swallow), 1) })?;
        Ok(Self(()))
    }
}

impl Drop for HeldInterrupts {
    fn drop(&mut self) {
        // SAFETY: takes away what `hold` registered.
        unsafe { SetConsoleCtrlHandler(Some(swallow), 0) };
    }
}

/// Closing the window, logging off and shutting down end the launcher, and with it the job and the command.
unsafe extern "system" fn swallow(event: u32) -> BOOL {
    BOOL::from(matches!(event, CTRL_C_EVENT | CTRL_BREAK_EVENT))
}

/// Whether a handle is a console's.
pub fn is_console(handle: &impl std::os::windows::io::AsRawHandle) -> bool {
    let mut mode = 0;
    // SAFETY: an open handle, says its type; `mode` is written.
    unsafe { GetConsoleMode(handle.as_raw_handle(), &raw mut mode) != 0 }
}
