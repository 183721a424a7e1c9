//! A pseudo console: a console of the command's own, whose screen comes to us as UTF-8 text with escape sequences, and whose
//! keyboard we are.

use std::fs::File;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::sync::Arc;

use windows_sys::Win32::System::Console::{
    COORD, ClosePseudoConsole, CreatePseudoConsole, HPCON, ResizePseudoConsole,
};

use super::error::Win32Error;

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Letters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl Size {
    /// What a terminal has that says nothing about it.
    pub const USUAL: Self = Self { columns: 80, rows: 24 };

    fn coord(self) -> COORD {
        /// A console of no size is refused, and so is one of more than a COORD can say.
        const MOST: u16 = i16::MAX.unsigned_abs();
        let length = |length: u16| length.clamp(1, MOST).cast_signed();
        COORD { X: length(self.columns), Y: length(self.rows) }
    }
}

/// A pseudo console. Its last copy closes it: then what is still attached to it is ended, and its output ends.
#[derive(Debug, Clone)]
pub struct PseudoConsole(Arc<Console>);

#[derive(Debug)]
struct Console(HPCON);

// SAFETY: the handle names an object of the system's, whose calls may be made by any thread.
unsafe impl Send for Console {}
// SAFETY: as above; a resize is one call.
unsafe impl Sync for Console {}

impl PseudoConsole {
    /// Makes one, and the two ends of it that are ours: what is written to the first is typed, what is read from the second is shown.
    /// The second must be read until it ends, by another thread than the one that drops the console.
    ///
    /// # Errors
    /// The system's: on Windows before 10.0.17763 there is none.
    pub fn new(size: Size) -> Result<(Self, File, File), Win32Error> {
        let pipe = || {
            std::io::pipe().map_err(|error| {
                Win32Error::of("CreatePipe", error.raw_os_error().unwrap_or_default().cast_unsigned())
            })
        };
        let ((their_input, keys), (screen, their_output)) = (pipe()?, pipe()?);
        let mut console: HPCON = 0;
        // SAFETY: two open pipes, of which the console takes copies; `console` is written.
        let result = unsafe {
            let (input, output) = (their_input.as_raw_handle(), their_output.as_raw_handle());
            CreatePseudoConsole(size.coord(), input, output, 0, &raw mut console)
        };
        if result < 0 {
            return Err(of_result("CreatePseudoConsole", result));
        }
        let file = File::from;
        let (keys, screen) = (file(OwnedHandle::from(keys)), file(OwnedHandle::from(screen)));
        Ok((Self(Arc::new(Console(console))), keys, screen))
    }

    /// The window has another size now.
    ///
    /// # Errors
    /// The system's.
    pub fn resize(&self, size: Size) -> Result<(), Win32Error> {
        // SAFETY: an open pseudo console.
        let result = unsafe { ResizePseudoConsole(self.raw(), size.coord()) };
        if result < 0 { Err(of_result("ResizePseudoConsole", result)) } else { Ok(()) }
    }

    /// For the list of a process' attributes.
    pub(super) fn raw(&self) -> HPCON {
        self.0.0
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // SAFETY: made by us, closed once.
        unsafe { ClosePseudoConsole(self.0) };
    }
}

/// HRESULT_FROM_WIN32 keeps the code in the lower 16 bits.
fn of_result(call: &'static str, result: i32) -> Win32Error {
    Win32Error::of(call, result.cast_unsigned() & 0xFFFF)
}
