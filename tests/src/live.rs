//! A command that runs.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::process::eventually;
use crate::run::{Input, Output, Run};

/// A command that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Live {
    line: String,
    child: Child,
    stdin: Option<ChildStdin>,
    out: Collector,
    err: Collector,
    guard: Guard,
    ended: Option<ExitStatus>,
}

impl Live {
    pub(crate) fn start(run: &Run) -> std::io::Result<Self> {
        let words = run.command_line();
        let line = shown(&words);
        // A group of its own, so that the guard gets everything that a hanging command outside the sandbox started.
        let mut child = run.command(&words).process_group(0).spawn()?;
        let mut stdin = child.stdin.take();
        if let Input::Bytes(bytes) = run.input() {
            feed(stdin.take().expect("standard input is a pipe"), bytes.clone());
        }
        let out = Collector::new(child.stdout.take().expect("standard output is a pipe"));
        let err = Collector::new(child.stderr.take().expect("standard error is a pipe"));
        let guard = Guard::new(pid(&child), run.guard);
        Ok(Self { line, child, stdin, out, err, guard, ended: None })
    }

    /// The process id: of the launcher, if it was started without a wrapper.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to that process.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).expect("a child that was not waited for can be signalled");
    }

    /// Writes on its standard input, which was asked to be open.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().expect("standard input is open").write_all(bytes).expect("the command reads on");
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// What it has written so far on standard output.
    pub fn out_so_far(&self) -> String {
        self.out.text()
    }

    /// Waits until it has written this on standard output.
    #[track_caller]
    pub fn wait_for_out(&self, text: &str) {
        if !eventually(|| self.out.text().contains(text)) {
            panic!("`{}` never printed {text:?}:\n{}\n{}", self.line, self.out.text(), self.err.text());
        }
    }

    /// Waits for the end.
    ///
    /// Also for the end of its output: a process that lives on with it is waited for (until the guard's time).
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let status = self.child.wait().expect("a child can be waited for");
        self.ended = Some(status);
        let (stdout, stderr) = (self.out.finish(), self.err.finish());
        let output = Output { line: self.line.clone(), status, stdout, stderr };
        assert!(!self.guard.stop(), "killed by the test's guard: {output}");
        output
    }

    /// Waits for the end of the launcher only, whoever holds its output.
    pub fn wait_only(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("a child can be waited for");
        self.ended = Some(status);
        status
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _already_gone = self.child.kill();
            let _status = self.child.wait();
        }
    }
}

pub(crate) fn pid(child: &Child) -> Pid {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id is a positive i32")
}

pub(crate) fn shown(words: &[std::ffi::OsString]) -> String {
    let line = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    // Some tests pass very long arguments.
    line.chars().take(2000).collect()
}

/// Writes without blocking the test; a command that does not read to the end is its own affair.
fn feed(mut stdin: ChildStdin, bytes: Vec<u8>) {
    std::thread::spawn(move || {
        let _reader_went_away = stdin.write_all(&bytes);
    });
}

/// Reads a stream to its end, in a thread.
#[derive(Debug)]
pub(crate) struct Collector {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    pub(crate) fn new(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            // A pseudo terminal whose other side is gone ends with EIO.
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        });
        Self { bytes, thread: Some(thread) }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        // Not for ever: a process that escaped the guard may hold the other end.
        let thread = self.thread.take();
        eventually(|| thread.as_ref().is_none_or(JoinHandle::is_finished));
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Kills what takes too long.
#[derive(Debug)]
pub(crate) struct Guard {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<bool>>,
}

impl Guard {
    pub(crate) fn new(pid: Pid, limit: Duration) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let hangs = stopped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if hangs {
                let _no_such_group = kill_process_group(pid, Signal::KILL);
            }
            hangs
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }

    /// Whether it had to kill.
    pub(crate) fn stop(&mut self) -> bool {
        drop(self.stop.take());
        self.thread.take().is_some_and(|thread| thread.join().unwrap_or(false))
    }
}
