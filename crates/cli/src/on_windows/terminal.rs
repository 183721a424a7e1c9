//! `run --tty`: the command's pseudo console, and this process' own terminal, or pipes, at its other end.

use std::fs::File;
use std::io::{self, Write};
use std::os::windows::io::AsHandle;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use codex_sandbox::windows::{Keys, PseudoConsole, RawConsole, Size, size};

use crate::failure::Failure;

/// How often the window's size is looked at: a terminal in this mode reports no change of it among the keys.
const LOOK: Duration = Duration::from_millis(100);

/// A pseudo console that is not connected yet.
#[derive(Debug)]
pub struct Terminal {
    console: PseudoConsole,
    keys: File,
    screen: File,
    size: Size,
}

/// One that is.
#[derive(Debug)]
pub struct Connected {
    console: PseudoConsole,
    output: JoinHandle<io::Result<()>>,
    resizer: JoinHandle<()>,
    end: Sender<()>,
    raw: RawConsole,
}

impl Terminal {
    /// Makes one of the size of this process' window.
    pub fn new() -> Result<Self, Failure> {
        let size = size().unwrap_or(Size::USUAL);
        let made = PseudoConsole::new(size).map_err(|error| {
            Failure::Argument(format!(
                "no pseudo console can be made ({error}): Windows has them from 10.0.17763 on; run without --tty"
            ))
        });
        let (console, keys, screen) = made?;
        Ok(Self { console, keys, screen, size })
    }

    /// For the command.
    pub fn console(&self) -> &PseudoConsole {
        &self.console
    }

    /// Copies keys in and the screen out from now on.
    pub fn connect(self) -> Result<Connected, Failure> {
        let Self { console, keys, screen, size } = self;
        let raw = RawConsole::enter();
        let source = Keys::new()?;
        let target = File::from(io::stdout().as_handle().try_clone_to_owned()?);
        let output = std::thread::spawn(move || show(screen, target));
        // It ends with this process: a read of a console cannot be called back.
        let _typing = std::thread::spawn(move || copy_keys(source, keys));
        let (end, ended) = mpsc::channel();
        let resized = console.clone();
        let resizer = std::thread::spawn(move || {
            let mut known = size;
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if let Some(now) = codex_sandbox::windows::size().filter(|now| *now != known) {
                    known = now;
                    // A console that is about to close has no size any more.
                    let _closing = resized.resize(now);
                }
            }
        });
        Ok(Connected { console, output, resizer, end, raw })
    }
}

impl Connected {
    /// Once the command has ended: shows what is still on its way, and gives the terminal back.
    pub fn end(self) {
        let Self { console, output, resizer, end, raw } = self;
        let _it_waits_for_this = end.send(());
        let _no_panic_matters = resizer.join();
        // Closing ends the output, which is read meanwhile.
        drop(console);
        let _whoever_read_it_is_gone = output.join();
        drop(raw);
    }
}

/// Bytes as they come; a reader that waits for whole lines would stop a prompt.
fn show(mut screen: File, mut target: File) -> io::Result<()> {
    // Where nobody reads any more the screen must still be emptied, or the console would never close.
    let shown = io::copy(&mut screen, &mut target).map(drop);
    if shown.is_err() {
        io::copy(&mut screen, &mut io::sink())?;
    }
    shown
}

fn copy_keys(mut source: Keys, mut keys: File) {
    loop {
        match source.read() {
            Ok(bytes) if bytes.is_empty() => return,
            Ok(bytes) if keys.write_all(&bytes).is_ok() => {}
            _ => return,
        }
    }
}
