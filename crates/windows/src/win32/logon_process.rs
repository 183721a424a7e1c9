//! The runner's process: logged on, closed to its own account's commands, and tied to the launcher before its first instruction.

use std::os::windows::io::AsRawHandle;
use std::ptr;
use std::time::Duration;

use nt_security::{SecurityDescriptor, Sid};
use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, HANDLE, WAIT_OBJECT_0};
use windows_sys::Win32::Security::{DACL_SECURITY_INFORMATION, SetKernelObjectSecurity};
use windows_sys::Win32::System::Threading::{
    CREATE_SUSPENDED, CREATE_UNICODE_ENVIRONMENT, CreateProcessWithLogonW, GetCurrentProcess,
    GetExitCodeProcess, GetProcessHandleCount, LOGON_WITH_PROFILE, PROCESS_INFORMATION, ResumeThread,
    STARTUPINFOW, TerminateProcess, WaitForSingleObject,
};

use super::error::Win32Error;
use super::handle::{Handle, check, own};
use super::job::Job;
use super::security::Attributes;
use super::wide::WideString;
use crate::plan::data::JobPlan;
use crate::setup::credentials::Credentials;

/// The longest command line that CreateProcessWithLogonW takes, in units with the NUL.
pub const COMMAND_LINE: usize = 1024;

/// A runner. Dropping it ends it, and all that it started.
#[derive(Debug)]
pub struct RunnerProcess {
    process: Handle,
    id: u32,
    /// Closing it kills: also when this process is killed, whatever the runner does.
    job: Job,
}

/// What the runner is started with.
#[derive(Debug)]
pub struct Start<'a> {
    /// Its absolute path.
    pub application: &'a str,
    /// Its command line.
    pub command_line: &'a str,
    /// Its environment: the machine's, none of the user's.
    pub block: &'a [u16],
    /// A folder that surely can be entered.
    pub cwd: &'a str,
    /// Who may still open it: the launcher's user.
    pub user: &'a Sid,
}

impl RunnerProcess {
    /// Logs on and starts it.
    ///
    /// # Errors
    /// The system's: of CreateProcessWithLogonW those of a logon, too.
    pub fn start(credentials: &Credentials, start: &Start<'_>) -> Result<Self, Win32Error> {
        let (process, thread, id) = create(credentials, start)?;
        let ready = || -> Result<Job, Win32Error> {
            close(&process, start.user)?;
            close(&thread, start.user)?;
            let limits = JobPlan {
                kill_on_close: true,
                no_breakaway: true,
                memory: None,
                processes: None,
                wall_clock_ms: None,
            };
            let job = Job::new(&limits)?;
            job.take(&process)?;
            // SAFETY: an open thread handle.
            if unsafe { ResumeThread(thread.as_raw_handle()) } == u32::MAX {
                return Err(Win32Error::last("ResumeThread"));
            }
            Ok(job)
        };
        match ready() {
            Ok(job) => Ok(Self { process, id, job }),
            Err(error) => {
                // SAFETY: an open process handle. It never ran.
                unsafe { TerminateProcess(process.as_raw_handle(), 1) };
                Err(error)
            }
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its exit code, if it ends within this time.
    pub fn ended(&self, most: Duration) -> Option<u32> {
        let time = u32::try_from(most.as_millis()).unwrap_or(u32::MAX - 1);
        let mut code = 0;
        // SAFETY: an open process handle; `code` is written.
        let ended = unsafe {
            WaitForSingleObject(self.process.as_raw_handle(), time) == WAIT_OBJECT_0
                && GetExitCodeProcess(self.process.as_raw_handle(), &raw mut code) != 0
        };
        ended.then_some(code)
    }

    /// Ends it now.
    pub fn kill(&self) {
        self.job.kill(1);
    }

    /// How many handles it has open.
    pub fn handles(&self) -> Option<u32> {
        handles(self.process.as_raw_handle())
    }
}

/// How many handles this process has open.
pub fn own_handles() -> Option<u32> {
    // SAFETY: a pseudo handle, which needs no closing.
    handles(unsafe { GetCurrentProcess() })
}

fn handles(process: HANDLE) -> Option<u32> {
    let mut count = 0;
    // SAFETY: an open process handle; `count` is written.
    (unsafe { GetProcessHandleCount(process, &raw mut count) } != 0).then_some(count)
}

fn create(credentials: &Credentials, start: &Start<'_>) -> Result<(Handle, Handle, u32), Win32Error> {
    const CALL: &str = "CreateProcessWithLogonW";
    let wide = |text: &str| WideString::new(text).map_err(|_| Win32Error::of(CALL, ERROR_INVALID_PARAMETER));
    let (user, domain) = (wide(&credentials.user)?, wide(&credentials.domain)?);
    let (application, mut line, cwd) =
        (wide(start.application)?, wide(start.command_line)?, wide(start.cwd)?);
    let startup = STARTUPINFOW {
        cb: size_of::<STARTUPINFOW>() as u32,
        // No desktop: then Windows lets the new logon onto the launcher's window station and desktop, wherever that is.
        lpDesktop: ptr::null_mut(),
        ..STARTUPINFOW::default()
    };
    let mut made = PROCESS_INFORMATION::default();
    // SAFETY: strings, password and block end with NULs and live through the call; the structures say their size.
    check(CALL, unsafe {
        CreateProcessWithLogonW(
            user.as_ptr(),
            domain.as_ptr(),
            credentials.password.units().as_ptr(),
            // Without its profile the account has no registry of its own, no key store and no Schannel.
            LOGON_WITH_PROFILE,
            application.as_ptr(),
            line.as_mut_ptr(),
            CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT,
            start.block.as_ptr().cast(),
            cwd.as_ptr(),
            &raw const startup,
            &raw mut made,
        )
    })?;
    // SAFETY: both were just made, and are ours alone.
    Ok(unsafe { (own(CALL, made.hProcess)?, own(CALL, made.hThread)?, made.dwProcessId) })
}

/// Commands carry the account's SID in their token, and as a restricting SID too: what lets the account in, lets them in. So the
/// account has no right to the runner's process and thread, not even as their owner.
fn close(object: &Handle, user: &Sid) -> Result<(), Win32Error> {
    let invalid = || Win32Error::of("SetKernelObjectSecurity", ERROR_INVALID_PARAMETER);
    let sddl = format!("D:P(A;;GA;;;{user})(A;;GA;;;SY)(A;;RC;;;OW)");
    let descriptor = SecurityDescriptor::from_sddl(&sddl).map_err(|_| invalid())?;
    let attributes = Attributes::new(&descriptor).map_err(|_| invalid())?;
    // SAFETY: an open handle with WRITE_DAC; the descriptor lives through the call.
    check("SetKernelObjectSecurity", unsafe {
        let descriptor = (*attributes.as_ptr()).lpSecurityDescriptor;
        SetKernelObjectSecurity(object.as_raw_handle(), DACL_SECURITY_INFORMATION, descriptor)
    })
}
