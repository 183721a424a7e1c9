//! Calls that may block for long (a FIFO without a reader, a connect(2) over the network): each in a thread of its own.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::Handled;
use super::caller::Proc;
use super::notify::{Answer, Call, Listener};
use crate::sys;

/// What a worker does; everything in it is resolved and decided about.
pub enum Work {
    /// Opens a file anew.
    Open {
        /// The file, by an O_PATH descriptor.
        file: OwnedFd,
        /// Flags.
        flags: OFlags,
        /// The caller asked for close-on-exec.
        cloexec: bool,
    },
    /// connect(2).
    Connect {
        /// The caller's socket.
        socket: OwnedFd,
        /// The address, as it is passed to the kernel.
        address: Vec<u8>,
        /// Keeps what the address names by descriptor alive.
        keep: Option<OwnedFd>,
    },
}

impl Work {
    fn run(self) -> Handled {
        match self {
            Self::Open { file, flags, cloexec } => {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::openat(CWD, path, flags, Mode::empty()).map(|fd| Answer::Fd { fd, cloexec })
            }
            Self::Connect { socket, address, keep } => {
                let result = sys::connect(socket.as_fd(), &address);
                drop(keep);
                result.map(|()| Answer::Value(0))
            }
        }
    }
}

/// A call in a worker's hands.
struct Blocked {
    id: u64,
    tid: i32,
    worker: Arc<Worker>,
}

/// What the worker and the broker share.
#[derive(Default)]
struct Worker {
    /// Kernel thread id, once it runs.
    thread: AtomicI32,
    done: AtomicBool,
}

/// All calls in workers' hands.
#[derive(Default)]
pub struct BlockedCalls {
    calls: Vec<Blocked>,
}

/// Blocked calls at one time; more fail with EAGAIN.
const MAX_BLOCKED: usize = 128;
/// A worker only makes one system call.
const STACK: usize = 64 * 1024;

impl BlockedCalls {
    /// Prepares the signal that interrupts workers.
    pub fn new() -> Result<Self, Errno> {
        sys::handle_interrupts()?;
        Ok(Self::default())
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Starts a worker; the answer is then its business.
    pub fn start(&mut self, call: &Call, listener: &Listener, work: Work) -> Handled {
        if self.calls.len() >= MAX_BLOCKED {
            return Err(Errno::AGAIN);
        }
        let listener = listener.share().map_err(|_| Errno::MFILE)?;
        let (id, worker) = (call.id, Arc::new(Worker::default()));
        let shared = Arc::clone(&worker);
        let body = move || {
            sys::unblock_interrupts();
            shared.thread.store(sys::thread_id(), Ordering::SeqCst);
            let answer = work.run();
            // While the kernel hands a descriptor over, the call counts as answered, and this thread sleeps: an interruption
            // would take the descriptor back, and the caller would be told that it got number 0.
            sys::block_interrupts();
            let _caller_gone = match answer {
                Err(Errno::INTR) => listener.restart(id),
                answer => listener.answer(id, answer),
            };
            shared.done.store(true, Ordering::SeqCst);
        };
        std::thread::Builder::new().stack_size(STACK).spawn(body).map_err(|_| Errno::AGAIN)?;
        self.calls.push(Blocked { id, tid: call.tid, worker });
        Ok(Answer::Later)
    }

    /// Forgets what is done; interrupts what nobody waits for any more, and what waits with a signal to take.
    pub fn look_after(&mut self, listener: &Listener, proc: &mut Proc) {
        self.calls.retain(|call| !call.worker.done.load(Ordering::SeqCst));
        for call in &self.calls {
            if !listener.is_waiting(call.id) || proc.has_signal(call.tid) {
                let thread = call.worker.thread.load(Ordering::SeqCst);
                if thread != 0 {
                    sys::interrupt_thread(thread);
                }
            }
        }
    }
}
