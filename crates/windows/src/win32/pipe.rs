//! The two named pipes between launcher and runner: who may open them, and who did.
//!
//! One pipe for each direction: reads and writes of one synchronous pipe wait for each other.

use std::fs::File;
use std::os::windows::io::AsRawHandle;
use std::ptr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nt_security::{SecurityDescriptor, Sid};
use windows_sys::Win32::Foundation::{
    ERROR_INVALID_PARAMETER, ERROR_NO_DATA, ERROR_PIPE_CONNECTED, ERROR_PIPE_LISTENING, ERROR_TIMEOUT,
    GENERIC_READ, HANDLE,
};
use windows_sys::Win32::Security::Authentication::Identity::RtlGenRandom;
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_READ_ATTRIBUTES, FILE_WRITE_DATA, OPEN_EXISTING,
    PIPE_ACCESS_DUPLEX, SECURITY_IDENTIFICATION, SECURITY_SQOS_PRESENT, SYNCHRONIZE,
};
use windows_sys::Win32::System::IO::CancelSynchronousIo;
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, DisconnectNamedPipe, GetNamedPipeClientProcessId,
    GetNamedPipeServerProcessId, PIPE_NOWAIT, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE,
    PIPE_WAIT, SetNamedPipeHandleState,
};

use super::error::Win32Error;
use super::handle::{Handle, check, own};
use super::security::Attributes;
use super::wide::WideString;

/// The system's buffer of each pipe: what fits into it is written without waiting for the reader.
const BUFFER: u32 = 256 << 10;
/// How often a pipe that waits for its other end is looked at.
const PAUSE: Duration = Duration::from_millis(1);
/// So many strangers are sent away before the session is given up.
const STRANGERS: usize = 100;

/// Random bytes from the system.
///
/// # Errors
/// The generator failed.
pub fn random<const N: usize>() -> Result<[u8; N], Win32Error> {
    let mut bytes = [0; N];
    // SAFETY: the buffer has the bytes that are asked for.
    let done = unsafe { RtlGenRandom(bytes.as_mut_ptr().cast(), N as u32) };
    if done { Ok(bytes) } else { Err(Win32Error::last("RtlGenRandom")) }
}

/// Ends a read or write in which a thread of ours waits. One that is just about to begin is not ended: to be called until the thread is.
pub fn cancel_reading<T>(thread: &JoinHandle<T>) {
    // SAFETY: an open thread handle. It fails where there is nothing to cancel.
    unsafe { CancelSynchronousIo(thread.as_raw_handle()) };
}

/// Which way the bytes of a pipe go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToRunner,
    FromRunner,
}

impl Way {
    fn name(self, session: &str) -> String {
        let end = match self {
            Self::ToRunner => "in",
            Self::FromRunner => "out",
        };
        format!(r"\\.\pipe\{session}-{end}")
    }

    /// What the runner opens it with. Not GENERIC_WRITE: that takes FILE_CREATE_PIPE_INSTANCE along, by which another could pose as
    /// the launcher.
    fn rights(self) -> u32 {
        match self {
            Self::ToRunner => GENERIC_READ,
            Self::FromRunner => FILE_WRITE_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE,
        }
    }

    /// The launcher's user and the sandbox account, and nobody else; and none below Medium, as the account's own commands are.
    fn sddl(self, account: &Sid, user: &Sid) -> String {
        let mask = match self {
            Self::ToRunner => "FR".to_owned(),
            Self::FromRunner => format!("0x{:x}", self.rights()),
        };
        format!("D:P(A;;FA;;;{user})(A;;{mask};;;{account})S:(ML;;NWNR;;;ME)")
    }
}

/// A pipe's end that waits for its other end.
#[derive(Debug)]
struct Waiting(Handle);

impl Waiting {
    fn new(session: &str, way: Way, account: &Sid, user: &Sid) -> Result<Self, Win32Error> {
        let invalid = || Win32Error::of("CreateNamedPipeW", ERROR_INVALID_PARAMETER);
        let name = WideString::new(way.name(session)).map_err(|_| invalid())?;
        let descriptor = SecurityDescriptor::from_sddl(&way.sddl(account, user)).map_err(|_| invalid())?;
        let attributes = Attributes::new(&descriptor).map_err(|_| invalid())?;
        // SAFETY: name and attributes live through the call.
        let raw = unsafe {
            CreateNamedPipeW(
                name.as_ptr(),
                // Only one that reads and writes may change its mode; the descriptor gives the other end its one way.
                PIPE_ACCESS_DUPLEX | FILE_FLAG_FIRST_PIPE_INSTANCE,
                PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
                1,
                BUFFER,
                BUFFER,
                0,
                attributes.as_ptr(),
            )
        };
        // SAFETY: just made, and ours alone.
        let waiting = Self(unsafe { own("CreateNamedPipeW", raw) }?);
        // Only while it waits for its other end: that can be given up.
        waiting.set_mode(PIPE_NOWAIT)?;
        Ok(waiting)
    }

    /// Waits for that process, and sends others away. `is_over` says that it will not come any more.
    fn accept(self, process: u32, until: Instant, is_over: &dyn Fn() -> bool) -> Result<File, Win32Error> {
        for _ in 0..STRANGERS {
            self.connected(until, is_over)?;
            if self.client()? == process {
                return self.waits();
            }
            self.disconnect()?;
        }
        Err(Win32Error::of("ConnectNamedPipe", ERROR_TIMEOUT))
    }

    fn connected(&self, until: Instant, is_over: &dyn Fn() -> bool) -> Result<(), Win32Error> {
        loop {
            // SAFETY: an open pipe, which does not wait.
            if unsafe { ConnectNamedPipe(self.raw(), ptr::null_mut()) } == 0 {
                let error = Win32Error::last("ConnectNamedPipe");
                match error.code {
                    ERROR_PIPE_CONNECTED => return Ok(()),
                    ERROR_PIPE_LISTENING => {}
                    // Someone came and went.
                    ERROR_NO_DATA => self.disconnect()?,
                    _ => return Err(error),
                }
            }
            if Instant::now() >= until || is_over() {
                return Err(Win32Error::of("ConnectNamedPipe", ERROR_TIMEOUT));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn client(&self) -> Result<u32, Win32Error> {
        let mut process = 0;
        // SAFETY: an open pipe; `process` is written.
        let asked = unsafe { GetNamedPipeClientProcessId(self.raw(), &raw mut process) };
        check("GetNamedPipeClientProcessId", asked)?;
        Ok(process)
    }

    fn disconnect(&self) -> Result<(), Win32Error> {
        // SAFETY: an open pipe.
        check("DisconnectNamedPipe", unsafe { DisconnectNamedPipe(self.raw()) })
    }

    /// From now on reading and writing wait.
    fn waits(self) -> Result<File, Win32Error> {
        self.set_mode(PIPE_WAIT)?;
        Ok(self.0.into())
    }

    fn set_mode(&self, wait: u32) -> Result<(), Win32Error> {
        let mode = PIPE_READMODE_BYTE | wait;
        // SAFETY: an open pipe; a local value.
        check("SetNamedPipeHandleState", unsafe {
            SetNamedPipeHandleState(self.raw(), &raw const mode, ptr::null(), ptr::null())
        })
    }

    fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }
}

/// The launcher's ends of a session's pipes.
#[derive(Debug)]
pub struct Pipes {
    to_runner: Waiting,
    from_runner: Waiting,
    session: String,
}

impl Pipes {
    /// Makes both, under a name that nobody can know. No one else has or had a pipe of that name.
    ///
    /// # Errors
    /// The system's.
    pub fn new(account: &Sid, user: &Sid) -> Result<Self, Win32Error> {
        let random = u128::from_ne_bytes(random()?);
        let session = format!("codex-sandbox-{random:032x}");
        let make = |way| Waiting::new(&session, way, account, user);
        Ok(Self { to_runner: make(Way::ToRunner)?, from_runner: make(Way::FromRunner)?, session })
    }

    /// What the runner is told.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Waits until that process has opened both: what is read from it, and written to it.
    ///
    /// # Errors
    /// The system's; ERROR_TIMEOUT when it does not come.
    pub fn accept(
        self,
        process: u32,
        most: Duration,
        is_over: &dyn Fn() -> bool,
    ) -> Result<(File, File), Win32Error> {
        let until = Instant::now() + most;
        let to_runner = self.to_runner.accept(process, until, is_over)?;
        let from_runner = self.from_runner.accept(process, until, is_over)?;
        Ok((from_runner, to_runner))
    }
}

/// The runner's ends: what is read from the launcher, and written to it.
///
/// # Errors
/// The system's; ERROR_INVALID_PARAMETER when another process than that made the pipe.
pub fn open(session: &str, launcher: u32) -> Result<(File, File), Win32Error> {
    Ok((open_one(session, Way::ToRunner, launcher)?, open_one(session, Way::FromRunner, launcher)?))
}

fn open_one(session: &str, way: Way, launcher: u32) -> Result<File, Win32Error> {
    let invalid = |call| Win32Error::of(call, ERROR_INVALID_PARAMETER);
    let name = WideString::new(way.name(session)).map_err(|_| invalid("CreateFileW"))?;
    // SAFETY: the name lives through the call. Whoever made the pipe learns who we are, and cannot act as us.
    let raw = unsafe {
        CreateFileW(
            name.as_ptr(),
            way.rights(),
            0,
            ptr::null(),
            OPEN_EXISTING,
            SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION,
            ptr::null_mut(),
        )
    };
    // SAFETY: just opened, and ours alone.
    let pipe = unsafe { own("CreateFileW", raw) }?;
    let mut server = 0;
    // SAFETY: an open pipe; `server` is written.
    let asked = unsafe { GetNamedPipeServerProcessId(pipe.as_raw_handle(), &raw mut server) };
    check("GetNamedPipeServerProcessId", asked)?;
    if server == launcher { Ok(pipe.into()) } else { Err(invalid("GetNamedPipeServerProcessId")) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::thread;

    use super::*;
    use crate::win32::token::Token;

    fn me() -> Sid {
        Token::own().and_then(|own| own.user()).expect("a token has a user")
    }

    #[test]
    fn bytes_go_both_ways_between_those_who_know_each_other() {
        let pipes = Pipes::new(&me(), &me()).expect("they are made");
        let (session, own) = (pipes.session().to_owned(), std::process::id());
        let runner = thread::spawn(move || {
            let (mut from, mut to) = open(&session, own).expect("it is ours");
            let mut word = [0; 5];
            from.read_exact(&mut word).expect("the launcher speaks");
            to.write_all(&word).expect("the launcher listens");
        });
        let (mut from, mut to) = pipes.accept(own, Duration::from_secs(20), &|| false).expect("it comes");
        to.write_all(b"hello").expect("the runner listens");
        let mut all = Vec::new();
        from.read_to_end(&mut all).expect("the runner speaks");
        assert_eq!(all, b"hello");
        runner.join().expect("no panic");
    }

    #[test]
    fn strangers_are_sent_away_by_both() {
        let pipes = Pipes::new(&me(), &me()).expect("they are made");
        let (session, own) = (pipes.session().to_owned(), std::process::id());
        let again = Waiting::new(&session, Way::ToRunner, &me(), &me());
        assert!(again.is_err(), "the name is taken");
        let error = open(&session, own + 1).expect_err("another made it");
        assert_eq!((error.call, error.code), ("GetNamedPipeServerProcessId", ERROR_INVALID_PARAMETER));
        let knocking = thread::spawn(move || open(&session, own).is_ok());
        let error = pipes.accept(own + 1, Duration::from_millis(300), &|| false).expect_err("a stranger");
        assert_eq!(error.code, ERROR_TIMEOUT);
        knocking.join().expect("no panic");
    }

    #[test]
    fn waiting_for_a_runner_that_died_ends() {
        let pipes = Pipes::new(&me(), &me()).expect("they are made");
        let begun = Instant::now();
        let error = pipes.accept(1, Duration::from_secs(60), &|| true).expect_err("nobody comes");
        assert_eq!(error.code, ERROR_TIMEOUT);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
