//! The job that holds the command's whole tree.

use std::os::windows::io::AsRawHandle;
use std::ptr;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, IsProcessInJob, JOB_OBJECT_LIMIT_ACTIVE_PROCESS,
    JOB_OBJECT_LIMIT_JOB_MEMORY, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicAccountingInformation,
    JobObjectExtendedLimitInformation, QueryInformationJobObject, SetInformationJobObject,
    TerminateJobObject,
};

use super::error::Win32Error;
use super::handle::{Handle, check, own};
use crate::plan::data::JobPlan;

/// How often an emptying job is looked at.
const PAUSE: Duration = Duration::from_millis(1);

/// A job object, without a name and without a breakaway flag: nothing leaves it. Closing its only handle kills what is in it.
#[derive(Debug)]
pub struct Job(Handle);

impl Job {
    /// Makes one.
    ///
    /// # Errors
    /// The system's.
    pub fn new(plan: &JobPlan) -> Result<Self, Win32Error> {
        // SAFETY: no attributes, no name.
        let raw = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
        // SAFETY: just made, and ours alone.
        let job = Self(unsafe { own("CreateJobObjectW", raw) }?);
        let limits = limits(plan);
        // SAFETY: the structure of this class, with its size.
        check("SetInformationJobObject", unsafe {
            SetInformationJobObject(
                job.raw(),
                JobObjectExtendedLimitInformation,
                ptr::from_ref(&limits).cast(),
                size_of_val(&limits) as u32,
            )
        })?;
        Ok(job)
    }

    /// Takes a process in, unless it was born here.
    ///
    /// # Errors
    /// The system's.
    pub fn take(&self, process: &Handle) -> Result<(), Win32Error> {
        let mut inside = 0;
        // SAFETY: two open handles; `inside` is written.
        let asked = unsafe { IsProcessInJob(process.as_raw_handle(), self.raw(), &raw mut inside) };
        if asked != 0 && inside != 0 {
            return Ok(());
        }
        // SAFETY: two open handles.
        check("AssignProcessToJobObject", unsafe {
            AssignProcessToJobObject(self.raw(), process.as_raw_handle())
        })
    }

    /// From now on what is in it goes on when the last handle is closed; its other limits stay.
    ///
    /// # Errors
    /// The system's.
    pub fn release(&self) -> Result<(), Win32Error> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        // SAFETY: the structure of this class, with its size, for reading and for writing.
        unsafe {
            let (value, size) = (ptr::from_mut(&mut limits), size_of_val(&limits) as u32);
            let class = JobObjectExtendedLimitInformation;
            check(
                "QueryInformationJobObject",
                QueryInformationJobObject(self.raw(), class, value.cast(), size, ptr::null_mut()),
            )?;
            limits.BasicLimitInformation.LimitFlags &= !JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
            check(
                "SetInformationJobObject",
                SetInformationJobObject(self.raw(), class, ptr::from_ref(&limits).cast(), size),
            )
        }
    }

    /// Kills everything in it, each with this exit code.
    pub fn kill(&self, code: u32) {
        // SAFETY: an open handle. It fails only for a job that is being closed.
        unsafe { TerminateJobObject(self.raw(), code) };
    }

    /// Waits until nothing in it runs, so that nothing changes a file any more; not longer than this.
    pub fn wait_empty(&self, most: Duration) -> bool {
        let end = Instant::now() + most;
        while self.active() != Some(0) {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
        true
    }

    fn active(&self) -> Option<u32> {
        let mut counts = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        // SAFETY: the structure of this class, with its size; the returned length is not wanted.
        let done = unsafe {
            QueryInformationJobObject(
                self.raw(),
                JobObjectBasicAccountingInformation,
                ptr::from_mut(&mut counts).cast(),
                size_of_val(&counts) as u32,
                ptr::null_mut(),
            )
        };
        (done != 0).then_some(counts.ActiveProcesses)
    }

    /// For calls that take a job.
    pub fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }
}

fn limits(plan: &JobPlan) -> JOBOBJECT_EXTENDED_LIMIT_INFORMATION {
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    let flags = &mut limits.BasicLimitInformation.LimitFlags;
    if plan.kill_on_close {
        *flags |= JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    }
    if let Some(bytes) = plan.memory {
        *flags |= JOB_OBJECT_LIMIT_JOB_MEMORY;
        limits.JobMemoryLimit = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(processes) = plan.processes {
        *flags |= JOB_OBJECT_LIMIT_ACTIVE_PROCESS;
        limits.BasicLimitInformation.ActiveProcessLimit = u32::try_from(processes).unwrap_or(u32::MAX);
    }
    limits
}
