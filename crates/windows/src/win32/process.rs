//! CreateProcessAsUserW with a list of attributes, and the process that comes of it.

use std::mem::MaybeUninit;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle};
use std::ptr;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    DUPLICATE_SAME_ACCESS, DuplicateHandle, HANDLE, WAIT_FAILED, WAIT_OBJECT_0,
};
use windows_sys::Win32::System::Threading::{
    CREATE_NO_WINDOW, CREATE_SUSPENDED, CREATE_UNICODE_ENVIRONMENT, CreateProcessAsUserW,
    DeleteProcThreadAttributeList, EXTENDED_STARTUPINFO_PRESENT, GetCurrentProcess, GetExitCodeProcess,
    INFINITE, InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST,
    PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROC_THREAD_ATTRIBUTE_JOB_LIST, PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE,
    PROCESS_INFORMATION, ResumeThread, STARTF_USESTDHANDLES, STARTUPINFOEXW, TerminateProcess,
    UpdateProcThreadAttribute, WaitForSingleObject,
};

use super::conpty::PseudoConsole;
use super::error::Win32Error;
use super::handle::{Handle, check, own};
use super::security::Attributes;
use super::token::Token;
use super::wide::WideString;

/// A process, and its first thread until it runs.
#[derive(Debug)]
pub struct Process {
    handle: Handle,
    thread: Option<Handle>,
    id: u32,
}

/// What CreateProcessAsUserW is told besides the command.
pub struct Birth<'a> {
    /// Whose rights.
    pub token: &'a Token,
    /// In which job.
    pub job: HANDLE,
    /// On which desktop.
    pub desktop: Option<&'a WideString>,
    /// Descriptor of process and thread.
    pub security: &'a Attributes,
    /// What its standard streams are connected to.
    pub streams: &'a Streams,
}

/// The standard streams of a process.
pub enum Streams {
    /// Three inheritable handles, the only ones that the process gets.
    Handles {
        /// Input, output, errors.
        handles: [Handle; 3],
        /// Whether it shares the launcher's console.
        shares_console: bool,
    },
    /// A pseudo console, and no handle at all.
    Terminal(PseudoConsole),
}

/// The command's words.
pub struct Words {
    /// lpApplicationName.
    pub application: WideString,
    /// lpCommandLine.
    pub command_line: WideString,
    /// lpEnvironment.
    pub block: Vec<u16>,
    /// lpCurrentDirectory.
    pub cwd: WideString,
}

impl Process {
    /// Makes the process; it does not run yet.
    ///
    /// # Errors
    /// The system's.
    pub fn create(birth: &Birth<'_>, words: &mut Words) -> Result<Self, Win32Error> {
        // With a pseudo console the handles are named too, as none: else those of the launcher, where they are redirected, are taken.
        let (handles, inherits) = match birth.streams {
            Streams::Handles { handles, .. } => {
                (handles.each_ref().map(|stream| stream.as_raw_handle()), true)
            }
            Streams::Terminal(_) => ([ptr::null_mut(); 3], false),
        };
        let jobs = [birth.job];
        let mut attributes = AttributeList::new(2)?;
        match birth.streams {
            Streams::Handles { .. } => attributes.set(PROC_THREAD_ATTRIBUTE_HANDLE_LIST, &handles)?,
            Streams::Terminal(console) => attributes.set_console(console)?,
        }
        attributes.set(PROC_THREAD_ATTRIBUTE_JOB_LIST, &jobs)?;
        let mut desktop = birth.desktop.cloned();
        let mut startup = STARTUPINFOEXW::default();
        startup.StartupInfo.cb = size_of::<STARTUPINFOEXW>() as u32;
        startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
        [startup.StartupInfo.hStdInput, startup.StartupInfo.hStdOutput, startup.StartupInfo.hStdError] =
            handles;
        startup.StartupInfo.lpDesktop = desktop.as_mut().map_or(ptr::null_mut(), WideString::as_mut_ptr);
        startup.lpAttributeList = attributes.raw();
        let mut flags = CREATE_SUSPENDED | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT;
        if matches!(birth.streams, Streams::Handles { shares_console: false, .. }) {
            flags |= CREATE_NO_WINDOW;
        }
        let mut made = PROCESS_INFORMATION::default();
        // SAFETY: strings, block, descriptor, attribute list and the arrays that it points to live through the call; the block ends
        // with two NULs; STARTUPINFOEXW is announced by its flag and its size.
        check("CreateProcessAsUserW", unsafe {
            CreateProcessAsUserW(
                birth.token.raw(),
                words.application.as_ptr(),
                words.command_line.as_mut_ptr(),
                birth.security.as_ptr(),
                birth.security.as_ptr(),
                inherits.into(),
                flags,
                words.block.as_ptr().cast(),
                words.cwd.as_ptr(),
                ptr::from_ref(&startup.StartupInfo),
                &raw mut made,
            )
        })?;
        // SAFETY: both were just made, and are ours alone.
        let (handle, thread) = unsafe {
            (own("CreateProcessAsUserW", made.hProcess)?, own("CreateProcessAsUserW", made.hThread)?)
        };
        Ok(Self { handle, thread: Some(thread), id: made.dwProcessId })
    }

    /// Lets it run.
    ///
    /// # Errors
    /// The system's.
    pub fn resume(&mut self) -> Result<(), Win32Error> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        // SAFETY: an open thread handle.
        let before = unsafe { ResumeThread(thread.as_raw_handle()) };
        if before == u32::MAX { Err(Win32Error::last("ResumeThread")) } else { Ok(()) }
    }

    /// Waits for its end; `None` for ever. Whether it has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&self, most: Option<Duration>) -> Result<bool, Win32Error> {
        // One more millisecond than asked, so that a wait never ends early; INFINITE is no length of time.
        let time = most.map_or(INFINITE, |time| {
            u32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX).min(INFINITE - 1)
        });
        // SAFETY: an open process handle.
        match unsafe { WaitForSingleObject(self.handle.as_raw_handle(), time) } {
            WAIT_OBJECT_0 => Ok(true),
            WAIT_FAILED => Err(Win32Error::last("WaitForSingleObject")),
            _ => Ok(false),
        }
    }

    /// Its exit code, once it has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn exit_code(&self) -> Result<u32, Win32Error> {
        let mut code = 0;
        // SAFETY: an open process handle; `code` is written.
        check("GetExitCodeProcess", unsafe {
            GetExitCodeProcess(self.handle.as_raw_handle(), &raw mut code)
        })?;
        Ok(code)
    }

    /// Kills it: for one that never ran, and is in no job.
    pub fn kill(&self) {
        // SAFETY: an open process handle. It fails for one that has ended.
        unsafe { TerminateProcess(self.handle.as_raw_handle(), 1) };
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its handle.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// A second handle to the same object that a process may inherit.
///
/// # Errors
/// The system's.
pub fn inheritable(handle: &impl AsHandle) -> Result<Handle, Win32Error> {
    let handle: BorrowedHandle<'_> = handle.as_handle();
    let mut copy: HANDLE = ptr::null_mut();
    // SAFETY: pseudo handles of this process on both sides, an open handle, and `copy` is written.
    check("DuplicateHandle", unsafe {
        let this = GetCurrentProcess();
        DuplicateHandle(this, handle.as_raw_handle(), this, &raw mut copy, 0, 1, DUPLICATE_SAME_ACCESS)
    })?;
    // SAFETY: just made, and ours alone.
    unsafe { own("DuplicateHandle", copy) }
}

/// A PROC_THREAD_ATTRIBUTE_LIST. It keeps pointers to the arrays that were set.
struct AttributeList<'a> {
    memory: Vec<MaybeUninit<u64>>,
    arrays: std::marker::PhantomData<&'a [HANDLE]>,
}

impl<'a> AttributeList<'a> {
    fn new(room: u32) -> Result<Self, Win32Error> {
        let mut size = 0;
        // SAFETY: asks for the size alone, and fails on purpose.
        unsafe { InitializeProcThreadAttributeList(ptr::null_mut(), room, 0, &raw mut size) };
        let memory = vec![MaybeUninit::new(0_u64); size.div_ceil(8).max(1)];
        let mut list = Self { memory, arrays: std::marker::PhantomData };
        // SAFETY: the memory has the size that was asked for.
        check("InitializeProcThreadAttributeList", unsafe {
            InitializeProcThreadAttributeList(list.raw(), room, 0, &raw mut size)
        })?;
        Ok(list)
    }

    fn set(&mut self, attribute: u32, handles: &'a [HANDLE]) -> Result<(), Win32Error> {
        // SAFETY: an initialized list with room for it; the array outlives the list, says its lifetime.
        check("UpdateProcThreadAttribute", unsafe {
            UpdateProcThreadAttribute(
                self.raw(),
                0,
                attribute as usize,
                handles.as_ptr().cast(),
                size_of_val(handles),
                ptr::null_mut(),
                ptr::null(),
            )
        })
    }

    /// The value of this attribute is the console itself, and not a pointer to it.
    fn set_console(&mut self, console: &'a PseudoConsole) -> Result<(), Win32Error> {
        // SAFETY: an initialized list with room for it; the console outlives the list, says its lifetime.
        check("UpdateProcThreadAttribute", unsafe {
            UpdateProcThreadAttribute(
                self.raw(),
                0,
                PROC_THREAD_ATTRIBUTE_PSEUDOCONSOLE as usize,
                ptr::without_provenance(console.raw().cast_unsigned()),
                size_of_val(&console.raw()),
                ptr::null_mut(),
                ptr::null(),
            )
        })
    }

    fn raw(&mut self) -> LPPROC_THREAD_ATTRIBUTE_LIST {
        self.memory.as_mut_ptr().cast()
    }
}

impl Drop for AttributeList<'_> {
    fn drop(&mut self) {
        // SAFETY: initialized by `new` (if that failed, the list is empty memory, which this call leaves alone).
        unsafe { DeleteProcThreadAttributeList(self.raw()) };
    }
}
