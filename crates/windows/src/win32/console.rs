//! This process' own console: who gets Ctrl-C, its size, and as a plain terminal.

use std::fs::File;
use std::io::{self, Read};
use std::os::windows::io::{AsHandle, AsRawHandle};
use std::ptr;

use windows_sys::Win32::System::Console::{
    CONSOLE_MODE, CONSOLE_SCREEN_BUFFER_INFO, CTRL_BREAK_EVENT, CTRL_C_EVENT, DISABLE_NEWLINE_AUTO_RETURN,
    ENABLE_PROCESSED_OUTPUT, ENABLE_VIRTUAL_TERMINAL_INPUT, ENABLE_VIRTUAL_TERMINAL_PROCESSING,
    ENABLE_WRAP_AT_EOL_OUTPUT, GetConsoleMode, GetConsoleOutputCP, GetConsoleScreenBufferInfo, ReadConsoleW,
    SetConsoleCtrlHandler, SetConsoleMode, SetConsoleOutputCP,
};
use windows_sys::core::BOOL;

use super::conpty::Size;
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
pub fn is_console(handle: &impl AsRawHandle) -> bool {
    mode(handle).is_some()
}

/// Whether one of this process' standard streams is a console: a command that inherits them shares it.
pub fn has_console() -> bool {
    let (input, output, errors) = (io::stdin(), io::stdout(), io::stderr());
    is_console(&input) || is_console(&output) || is_console(&errors)
}

/// The size of this process' console window, if its output is one.
pub fn size() -> Option<Size> {
    let mut info = CONSOLE_SCREEN_BUFFER_INFO::default();
    // SAFETY: a handle that this process has, or none; `info` is written.
    let done = unsafe { GetConsoleScreenBufferInfo(io::stdout().as_raw_handle(), &raw mut info) };
    if done == 0 {
        return None;
    }
    let length = |first: i16, last: i16| u16::try_from(i32::from(last) - i32::from(first) + 1).ok();
    let window = info.srWindow;
    Some(Size { columns: length(window.Left, window.Right)?, rows: length(window.Top, window.Bottom)? })
}

/// CP_UTF8 of winnls.h.
const CP_UTF8: u32 = 65001;

/// While it lives, this process' console is a plain terminal: each key is passed on, as escape sequences where it is no letter, and
/// what is written is taken for such. Where a stream is no console, nothing happens to it.
#[derive(Debug)]
pub struct RawConsole {
    input: Option<CONSOLE_MODE>,
    output: Option<CONSOLE_MODE>,
    page: u32,
}

impl RawConsole {
    /// From now on.
    pub fn enter() -> Self {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let (input, output) = (mode(&stdin), mode(&stdout));
        // SAFETY: calls without pointers, on handles that this process has.
        let page = unsafe {
            if input.is_some() {
                SetConsoleMode(stdin.as_raw_handle(), ENABLE_VIRTUAL_TERMINAL_INPUT);
            }
            if output.is_some() {
                let wanted = ENABLE_PROCESSED_OUTPUT
                    | ENABLE_WRAP_AT_EOL_OUTPUT
                    | ENABLE_VIRTUAL_TERMINAL_PROCESSING
                    | DISABLE_NEWLINE_AUTO_RETURN;
                SetConsoleMode(stdout.as_raw_handle(), wanted);
            }
            let page = GetConsoleOutputCP();
            SetConsoleOutputCP(CP_UTF8);
            page
        };
        Self { input, output, page }
    }
}

impl Drop for RawConsole {
    fn drop(&mut self) {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        // SAFETY: calls without pointers, on handles that this process has, with values that they had.
        unsafe {
            if let Some(mode) = self.input {
                SetConsoleMode(stdin.as_raw_handle(), mode);
            }
            if let Some(mode) = self.output {
                SetConsoleMode(stdout.as_raw_handle(), mode);
            }
            if self.page != 0 {
                SetConsoleOutputCP(self.page);
            }
        }
    }
}

/// What is typed, as UTF-8: from the console, or from whatever standard input is. (std takes Ctrl-Z for the end of the input.)
#[derive(Debug)]
pub struct Keys {
    /// The first half of a letter of two units.
    half: Option<u16>,
    other: Option<File>,
}

impl Keys {
    /// Of this process' standard input.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        let stdin = io::stdin();
        let other =
            if is_console(&stdin) { None } else { Some(File::from(stdin.as_handle().try_clone_to_owned()?)) };
        Ok(Self { half: None, other })
    }

    /// The next ones; empty at the end.
    ///
    /// # Errors
    /// The system's.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        const ROOM: usize = 1024;
        if let Some(file) = &mut self.other {
            let mut bytes = vec![0; ROOM];
            let count = file.read(&mut bytes)?;
            bytes.truncate(count);
            return Ok(bytes);
        }
        let mut units = [0_u16; ROOM];
        let mut count = 0;
        // SAFETY: the buffer has as many units as is said; `count` is written.
        let done = unsafe {
            let handle = io::stdin().as_raw_handle();
            ReadConsoleW(handle, units.as_mut_ptr().cast(), ROOM as u32, &raw mut count, ptr::null())
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(self.text(&units[..(count as usize).min(ROOM)]).into_bytes())
    }

    fn text(&mut self, units: &[u16]) -> String {
        if units.is_empty() {
            return String::new();
        }
        let mut all: Vec<u16> = self.half.take().into_iter().chain(units.iter().copied()).collect();
        self.half = all.last().copied().filter(|unit| (0xD800..0xDC00).contains(unit));
        if self.half.is_some() {
            all.pop();
        }
        String::from_utf16_lossy(&all)
    }
}

fn mode(handle: &impl AsRawHandle) -> Option<CONSOLE_MODE> {
    let mut mode = 0;
    // SAFETY: an open handle, says its type; `mode` is written.
    let done = unsafe { GetConsoleMode(handle.as_raw_handle(), &raw mut mode) };
    (done != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_two_units_may_come_in_halves() {
        let mut keys = Keys { half: None, other: None };
        assert_eq!(keys.text(&[0x61, 0xD83D]), "a");
        assert_eq!(keys.text(&[]), "");
        assert_eq!(keys.text(&[0xDE42, 0x62]), "\u{1F642}b");
    }
}
