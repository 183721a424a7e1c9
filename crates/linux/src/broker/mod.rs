//! The broker: performs, on what it resolved itself, the calls that create names, open for writing, change metadata,
//! connect or bind. It lives in the sandbox' pid 1 and answers one call after the other, so that no two changes race.
//!
//! A call is never let through on the strength of what its memory said: memory changes. `Continue` is answered only where
//! the kernel's own walls (the command's Landlock domain) make every possible meaning of the call harmless.

mod blocked;
mod caller;
mod files;
mod git_index;
mod gitdir;
mod guard;
mod links;
pub mod lock;
mod memory;
mod metadata;
mod names;
mod notify;
mod resolve;
mod signals;
mod sockets;
mod worktree;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use codex_sandbox_policy::rules::PathRules;
use rustix::io::Errno;

use self::blocked::BlockedCalls;
use self::caller::Proc;
use self::guard::Session;
use self::notify::{Answer, Call, Listener};
use self::resolve::Resolver;
use crate::plan::{Backend, LinuxPlan};
use crate::seccomp::Sys;
use crate::sys;

/// What a handler returns.
type Handled = Result<Answer, Errno>;

/// The broker of one run.
pub struct Broker<'a> {
    plan: &'a LinuxPlan,
    listener: Listener,
    rules: PathRules,
    proc: Proc,
    /// A writable /proc, for the few files in it that a process may write about itself.
    proc_writable: Option<OwnedFd>,
    root: OwnedFd,
    session: Session,
    most_sockets: usize,
    blocked: BlockedCalls,
    lock: std::rc::Rc<lock::RunsLock>,
    umask: Umask,
    reports: BTreeSet<String>,
    received: VecDeque<Call>,
    /// Since when the first of them waits for the lock of runs.
    waiting_since: Option<Instant>,
    /// The last answers that could not be delivered because a signal interrupted the caller (kernels before 5.19): the
    /// call comes again, and must not be done twice.
    undelivered: HashMap<i32, Undelivered>,
}

/// A call (number and arguments) and its result.
type Undelivered = (i64, [u64; 6], Result<i64, Errno>);

/// The umask that new files get: the one that the command started with, until somebody changes his.
struct Umask {
    initial: u32,
    current: u32,
    changed: bool,
}

/// Whether a call looks names up or changes them, which takes the lock of runs.
fn changes_names(call: &Call) -> bool {
    let others = [Sys::Umask, Sys::Connect, Sys::Socketpair, Sys::Kill];
    Sys::from_number(call.nr).is_some_and(|sys| !others.contains(&sys))
}

/// Calls that are received before their turn, at most.
const MAX_RECEIVED: usize = 1024;

/// Reports that are kept at most.
const MAX_REPORTS: usize = 64;

impl<'a> Broker<'a> {
    /// Makes the broker of `plan`.
    pub fn new(
        plan: &'a LinuxPlan,
        listener: OwnedFd,
        proc: Option<OwnedFd>,
        lock: Option<OwnedFd>,
    ) -> Result<Self, Errno> {
        let foreign_proc = plan.backend == Backend::Native && proc.is_none();
        let initial = sys::umask(0);
        sys::umask(initial);
        Ok(Self {
            plan,
            listener: Listener::new(listener),
            rules: plan.rules(),
            proc: Proc::open(foreign_proc)?,
            proc_writable: proc,
            root: caller::root()?,
            session: Session::default(),
            most_sockets: sockets::most_sockets(),
            blocked: BlockedCalls::new()?,
            lock: std::rc::Rc::new(lock::RunsLock::new(lock)),
            umask: Umask { initial, current: initial, changed: false },
            reports: BTreeSet::new(),
            received: VecDeque::new(),
            waiting_since: None,
            undelivered: HashMap::new(),
        })
    }

    /// The descriptor to poll for calls.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// What the user should know after the run.
    pub fn reports(&mut self) -> Vec<String> {
        std::mem::take(&mut self.reports).into_iter().collect()
    }

    fn report(&mut self, text: impl FnOnce() -> String) {
        if self.reports.len() < MAX_REPORTS {
            self.reports.insert(text());
        }
    }

    /// Whether the command has a Landlock domain of its own, which makes `Continue` harmless.
    fn walled(&self) -> bool {
        self.plan.landlock_abi > 0
    }

    /// Whether calls were received that have no answer yet.
    pub fn has_received_calls(&self) -> bool {
        !self.received.is_empty()
    }

    /// Receives every call that waits. Until it is received, a signal makes a call fail with EINTR, which mkdir(2) and its like
    /// never do elsewhere; after that only a fatal signal ends it (Linux 5.19).
    fn receive_all(&mut self) {
        while self.received.len() < MAX_RECEIVED && self.listener.has_call() {
            self.received.extend(self.listener.receive());
        }
    }

    /// Whether the next call waits for another run's broker, which has the lock.
    pub fn waits_for_lock(&self) -> bool {
        self.waiting_since.is_some()
    }

    /// Answers one call, if its turn has come.
    pub fn serve_one(&mut self) {
        self.receive_all();
        let Some(call) = self.received.front().copied() else { return };
        if let Some((nr, args, result)) = self.undelivered.remove(&call.tid)
            && nr == call.nr
            && args == call.args
        {
            self.received.pop_front();
            let _gone = self.listener.answer(call.id, result.map(Answer::Value));
            return;
        }
        let lock = self.lock.clone();
        let held = if changes_names(&call) { lock.try_hold() } else { None };
        let waits = changes_names(&call) && held.is_none() && !self.opens_a_device(&call);
        if waits && !self.out_of_patience() {
            return;
        }
        self.received.pop_front();
        let answer = if waits { Err(Errno::BUSY) } else { self.handle(&call) };
        self.waiting_since = None;
        let value = match &answer {
            Ok(Answer::Value(value)) => Some(Ok(*value)),
            Err(errno) => Some(Err(*errno)),
            _ => None,
        };
        let delivered = self.listener.answer(call.id, answer);
        if delivered == Err(Errno::NOENT)
            && let Some(result) = value
        {
            self.remember_undelivered(&call, result);
        }
    }

    /// A broker that has the lock for so long does not go on (its run was stopped, or its disk hangs). Without the lock nothing
    /// is changed, but an error is better than waiting for ever.
    fn out_of_patience(&mut self) -> bool {
        const PATIENCE: Duration = Duration::from_secs(30);
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            return false;
        }
        self.report(|| {
            "files could not be changed (EBUSY): another run of yours holds the lock of runs and does not go on; is it stopped?"
                .to_owned()
        });
        true
    }

    fn remember_undelivered(&mut self, call: &Call, result: Result<i64, Errno>) {
        const MAX_UNDELIVERED: usize = 256;
        if self.undelivered.len() >= MAX_UNDELIVERED {
            self.undelivered.clear();
        }
        self.undelivered.insert(call.tid, (call.nr, call.args, result));
    }

    fn handle(&mut self, call: &Call) -> Handled {
        let sys = Sys::from_number(call.nr).ok_or(Errno::NOSYS)?;
        match sys {
            Sys::Open | Sys::Creat | Sys::Openat | Sys::Truncate => self.handle_file(call, sys),
            Sys::Mkdir
            | Sys::Mkdirat
            | Sys::Mknod
            | Sys::Mknodat
            | Sys::Symlink
            | Sys::Symlinkat
            | Sys::Link
            | Sys::Linkat
            | Sys::Unlink
            | Sys::Unlinkat
            | Sys::Rmdir
            | Sys::Rename
            | Sys::Renameat
            | Sys::Renameat2 => self.handle_name(call, sys),
            Sys::Umask => {
                self.umask.changed = true;
                // Its argument is a value, so nothing can change between here and there.
                Ok(Answer::Continue)
            }
            Sys::Bind | Sys::Connect | Sys::Socket | Sys::Socketpair => self.handle_socket(call, sys),
            Sys::Kill => self.handle_kill(call),
            _ => self.handle_metadata(call, sys),
        }
    }

    fn resolver(&mut self, call: &Call) -> Resolver<'_> {
        Resolver { proc: &mut self.proc, root: self.root.as_fd(), tid: call.tid }
    }

    fn path_argument(&self, call: &Call, n: usize) -> Result<CString, Errno> {
        let path = memory::string(call, call.args[n])?;
        // The thread may have died, and its id be another's by now; then this was not its memory.
        if self.listener.is_waiting(call.id) { Ok(path) } else { Err(Errno::INTR) }
    }

    /// Makes the broker's umask the caller's, for a call that creates something.
    fn take_umask(&mut self, call: &Call) -> Result<(), Errno> {
        let wanted = if self.umask.changed { self.proc.umask(call.tid)? } else { self.umask.initial };
        if wanted != self.umask.current {
            sys::umask(wanted);
            self.umask.current = wanted;
        }
        Ok(())
    }

    /// Whether calls are in the hands of worker threads.
    pub fn has_blocked_calls(&self) -> bool {
        self.blocked.any()
    }

    /// Interrupts worker threads whose caller died or has a signal to take.
    pub fn look_after_blocked_calls(&mut self) {
        self.blocked.look_after(&self.listener, &mut self.proc);
    }
}
