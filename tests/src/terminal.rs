//! A command on a pseudo terminal of its own.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::live::{Collector, Guard, pid, shown};
use crate::process::eventually;
use crate::run::Run;

/// A command whose standard streams and controlling terminal are a new pseudo terminal of 24 rows and 80 columns.
#[derive(Debug)]
pub struct Terminal {
    line: String,
    master: File,
    child: Child,
    output: Collector,
    guard: Guard,
    ended: bool,
}

impl Terminal {
    /// Starts the command.
    pub fn start(run: &Run) -> Self {
        let (master, slave) = open(run.user().uid);
        // setsid(1) makes the terminal the controlling one, which needs to happen in the child, and then becomes the command.
        let mut words = vec!["setsid".into(), "-c".into()];
        words.extend(run.command_line());
        let line = shown(&words);
        let mut command = run.command(&words);
        let end = || Stdio::from(slave.try_clone().expect("a descriptor can be duplicated"));
        command.stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap_or_else(|error| panic!("`{line}`: {error}"));
        // Its own copies went with `command`; the terminal hangs up when the last one of the child is closed.
        drop((command, slave));
        let output = Collector::new(master.try_clone().expect("a descriptor can be duplicated"));
        let guard = Guard::new(pid(&child), run.guard);
        Self { line, master, child, output, guard, ended: false }
    }

    /// The launcher's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types this: `"\x03"` is Ctrl-C.
    pub fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("a terminal takes input");
    }

    /// Changes the window's size.
    pub fn resize(&self, rows: u16, columns: u16) {
        set_size(&self.master, rows, columns);
    }

    /// What was printed so far.
    pub fn text(&self) -> String {
        self.output.text()
    }

    /// Waits until this was printed.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        if !eventually(|| self.text().contains(text)) {
            panic!("`{}` never printed {text:?}:\n{}", self.line, self.text());
        }
    }

    /// Sends what the kernel sends to the session when the window is closed, and waits for the launcher's end.
    pub fn hang_up(mut self) -> ExitStatus {
        rustix::process::kill_process(pid(&self.child), rustix::process::Signal::HUP)
            .expect("a child that was not waited for can be signalled");
        let status = self.child.wait().expect("a child can be waited for");
        self.ended = true;
        status
    }

    /// Waits for the end; gives how it ended and all that was printed.
    #[track_caller]
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("a child can be waited for");
        self.ended = true;
        let text = String::from_utf8_lossy(&self.output.finish()).into_owned();
        assert!(!self.guard.stop(), "killed by the test's guard: `{}`\n{text}", self.line);
        (status, text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if !self.ended {
            let _already_gone = self.child.kill();
            let _status = self.child.wait();
        }
    }
}

/// Both ends; the inner one belongs to the user, as login programs see to.
fn open(uid: u32) -> (File, File) {
    let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
        .expect("a pseudo terminal is free");
    grantpt(&master).expect("a new pseudo terminal can be granted");
    unlockpt(&master).expect("a new pseudo terminal can be unlocked");
    let name = ptsname(&master, Vec::new()).expect("a pseudo terminal has a name");
    let name = PathBuf::from(name.into_string().expect("the name of a pseudo terminal is ASCII"));
    if rustix::process::getuid().is_root() {
        chown(&name, Some(uid), None).expect("root can give a terminal away");
    }
    let master = File::from(master);
    set_size(&master, 24, 80);
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let slave =
        rustix::fs::open(&name, flags, rustix::fs::Mode::empty()).expect("a granted terminal can be opened");
    (master, slave.into())
}

fn set_size(master: &File, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).expect("a terminal has a size");
}
