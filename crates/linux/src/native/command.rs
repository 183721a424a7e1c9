//! The command's process, from fork to execve(2).

use std::ffi::{CStr, CString};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Failure, Stage};
use crate::native::namespaces;
use crate::plan::{Backend, DEVICES, LinuxPlan, Means};
use crate::seccomp::{self, FilterSpec};
use crate::sys;

/// A program with everything that execve(2) takes, made before any fork.
pub struct Image {
    /// The file, absolute.
    pub program: CString,
    /// Arguments, the program's name first.
    pub argv: Vec<CString>,
    /// Environment strings.
    pub envp: Vec<CString>,
    /// What runs a script without an interpreter line, as execvp(3) does.
    shell: CString,
}

impl Image {
    /// Bundles the parts.
    pub fn new(program: CString, argv: Vec<CString>, envp: Vec<CString>) -> Self {
        Self { program, argv, envp, shell: c"/bin/sh".to_owned() }
    }

    /// execve(2); returns only on failure.
    fn exec(&self) -> Errno {
        let envp = pointers(self.envp.iter());
        let errno = sys::execve(&self.program, &pointers(self.argv.iter()), &envp);
        if errno != Errno::NOEXEC {
            return errno;
        }
        let script = [&self.shell, &self.program].into_iter().chain(self.argv.iter().skip(1));
        sys::execve(&self.shell, &pointers(script), &envp)
    }
}

fn pointers<'a>(strings: impl Iterator<Item = &'a CString>) -> Vec<*const libc::c_char> {
    strings.map(|string| CStr::as_ptr(string)).chain([std::ptr::null()]).collect()
}

/// What the command's process needs beside its image.
pub struct Entry<'a> {
    /// The plan.
    pub plan: &'a LinuxPlan,
    /// The program.
    pub image: &'a Image,
    /// Descriptors for 0, 1 and 2; all above 2.
    pub stdio: &'a [OwnedFd; 3],
    /// Signal mask of the launcher.
    pub mask: &'a libc::sigset_t,
}

/// What the command's process leaves in pid 1's memory.
#[derive(Default)]
pub struct Left {
    /// The listener of its filter.
    pub listener: Option<OwnedFd>,
    /// Why it did not become the command.
    pub failure: Option<Failure>,
}

/// Turns this process, which shares pid 1's memory and descriptors until then, into the command. Returns only on failure.
pub fn enter(entry: &Entry<'_>, left: &mut Left) {
    left.failure = Some(match prepare(entry, &mut left.listener) {
        Err(failure) => failure,
        Ok(()) => Failure {
            stage: Stage::Exec,
            object: PathBuf::from(entry.image.program.to_string_lossy().into_owned()),
            errno: entry.image.exec(),
        },
    });
}

fn prepare(entry: &Entry<'_>, listener: &mut Option<OwnedFd>) -> Result<(), Failure> {
    connect_stdio(entry.stdio)?;
    set_rlimits(entry.plan)?;
    rustix::thread::set_no_new_privs(true).map_err(Failure::at(Stage::Seccomp, "PR_SET_NO_NEW_PRIVS"))?;
    restrict_files(entry.plan)?;
    // In the fallback the command's own process gives them up for good; the broker keeps its own.
    if entry.plan.backend == Backend::Landlock && entry.plan.identity.uid == 0 {
        namespaces::empty_bounding_set()?;
    }
    namespaces::drop_all_capabilities()?;
    sys::default_sigpipe();
    let filter = seccomp::build(filter_spec(entry.plan));
    *listener = Some(install_filter(&filter)?);
    sys::set_signal_mask(entry.mask);
    sys::cloexec_from(3);
    Ok(())
}

/// The filter for a plan.
pub fn filter_spec(plan: &LinuxPlan) -> FilterSpec {
    let native = plan.backend == Backend::Native;
    FilterSpec {
        inet: native || plan.policy.network_access,
        private_ipc: native,
        private_pids: native,
        signals_scoped: plan.landlock_abi >= 6,
    }
}

fn connect_stdio(stdio: &[OwnedFd; 3]) -> Result<(), Failure> {
    for (fd, number) in stdio.iter().zip(0..) {
        // SAFETY: 0, 1 and 2 are this process' own; the OwnedFd is forgotten again, so nothing closes it.
        let mut target = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
        rustix::io::dup2(fd, &mut target).map_err(Failure::at(Stage::Exec, "standard streams"))?;
    }
    Ok(())
}

fn set_rlimits(plan: &LinuxPlan) -> Result<(), Failure> {
    let fail = |what: &'static str| Failure::at(Stage::Limits, what);
    if let Some(limit) = plan.limits.memory.as_ref().filter(|limit| limit.means == Means::Rlimit) {
        sys::lower_rlimit(libc::RLIMIT_AS, limit.value).map_err(fail("RLIMIT_AS"))?;
    }
    if let Some(limit) = plan.limits.processes.as_ref().filter(|limit| limit.means == Means::Rlimit) {
        // pid 1 counts too.
        sys::lower_rlimit(libc::RLIMIT_NPROC, limit.value + 1).map_err(fail("RLIMIT_NPROC"))?;
    }
    Ok(())
}

fn restrict_files(plan: &LinuxPlan) -> Result<(), Failure> {
    if plan.landlock_abi == 0 {
        return Ok(());
    }
    let devices = devices(plan);
    let devices: Vec<&Path> = devices.iter().map(PathBuf::as_path).collect();
    let readable = (plan.backend == Backend::Landlock && !plan.policy.deny_read.is_empty())
        .then(|| crate::around::everything_but(&plan.policy.deny_read));
    let fail =
        || Failure { stage: Stage::Landlock, object: "the command's domain".into(), errno: Errno::PERM };
    let rules = crate::landlock::command(&devices, readable.as_deref()).map_err(|_| fail())?;
    rules.restrict_self().map(drop).map_err(|_| fail())
}

/// The devices that may be opened for writing: all of our own /dev, and a list of the host's.
pub fn devices(plan: &LinuxPlan) -> Vec<PathBuf> {
    match plan.backend {
        Backend::Native => vec![PathBuf::from("/dev")],
        Backend::Landlock => DEVICES.iter().map(|name| Path::new("/dev").join(name)).collect(),
    }
}

/// Installs the filter. Its listener is in pid 1's descriptor table too; execve(2) closes the command's copy.
fn install_filter(filter: &[libc::sock_filter]) -> Result<OwnedFd, Failure> {
    let fail = |errno| Failure { stage: Stage::Seccomp, object: "seccomp".into(), errno };
    let killable = libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let base = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let listener = match sys::seccomp_set_filter(filter, base | killable) {
        // Before Linux 5.19 the flag does not exist.
        Err(Errno::INVAL) => sys::seccomp_set_filter(filter, base),
        other => other,
    };
    listener.map_err(fail)?.ok_or_else(|| fail(Errno::INVAL))
}
