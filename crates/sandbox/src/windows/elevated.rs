//! Commands of the elevated tier: through one runner for each sandbox account that this launcher uses.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use codex_sandbox_windows::launch::elevated::{Open, Session, Started};
use codex_sandbox_windows::launch::steps::{Recipe, write_stubs};
use codex_sandbox_windows::launch::{Environment, Prepared as Command};
use codex_sandbox_windows::plan::{Facts, Tier, WindowsPlan};
use codex_sandbox_windows::runner::client::{Input, Output};
use codex_sandbox_windows::runner::message::Stream as Written;
use codex_sandbox_windows::runner::{Connection, Failure, Remote, SpawnRequest};
use codex_sandbox_windows::setup::{Credentials, MachineFolder, SetupError, Which};
use codex_sandbox_windows::win32::WindowsMachine;
use codex_sandbox_windows::win32::launch::{Machine, Stream};
use codex_sandbox_windows::win32::logon::{MachineDoor, own_handles};
use codex_sandbox_windows::win32::pipe::cancel_reading;
use codex_sandbox_windows::win32::running::Ended;
use nt_security::Sid;

use super::error::WindowsError;

type Runner = <MachineDoor as codex_sandbox_windows::launch::elevated::Door>::Runner;

/// A runner kills what it is asked to kill within ten seconds; one that does not is ended itself.
const KILLING: Duration = Duration::from_secs(15);
/// Bytes that are read at a time from what the command gets as its input.
const PIECE: usize = 64 << 10;

/// The runners of a launcher: none before the first command that needs one.
#[derive(Debug, Default)]
pub(crate) struct Runners(Mutex<HashMap<Sid, Arc<Session<MachineDoor>>>>);

impl super::Sandbox {
    /// How many handles are open: in this process, and in each runner that serves it. For programs that run for long, and their tests.
    pub fn open_handles(&self) -> Vec<u32> {
        let sessions = self.session.runners.0.lock().unwrap_or_else(PoisonError::into_inner);
        let runners = sessions.values().filter_map(|session| session.current()?.runner().handles());
        own_handles().into_iter().chain(runners).collect()
    }
}

impl Runners {
    fn session(&self, plan: &WindowsPlan, facts: &Facts) -> Arc<Session<MachineDoor>> {
        let account = plan.account.sid.0;
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = sessions.entry(account).or_insert_with(|| {
            let folder = MachineFolder(facts.folders.machine_state.clone());
            let which = Which::of(plan.policy.network_access);
            Arc::new(Session::new(MachineDoor {
                account,
                user: facts.user.sid.0,
                program: folder.runner(),
                windows: facts.folders.windows.clone(),
                keys: Box::new(move || keys(&folder, which, account)),
            }))
        });
        made.clone()
    }

    /// Starts a command. `piped` says which streams the caller has the other end of.
    ///
    /// # Errors
    /// [`WindowsError`]: then nothing of it runs.
    pub(crate) fn start(
        &self,
        (plan, facts): (&WindowsPlan, &Facts),
        without: &[Sid],
        command: &Command,
        streams: [Stream; 3],
        piped: [bool; 3],
    ) -> Result<Elevated, WindowsError> {
        write_stubs(&Machine, plan)?;
        let [input, output, errors] = streams;
        let input = connect(input, std::io::stdin().as_handle())?;
        let output = connect(output, std::io::stdout().as_handle())?;
        let errors = connect(errors, std::io::stderr().as_handle())?;
        let connection =
            |file: &Option<File>| if file.is_some() { Connection::Piped } else { Connection::Null };
        let request = SpawnRequest {
            command: Command { notices: Vec::new(), ..command.clone() },
            recipe: Recipe::new(plan, without)?,
            streams: [connection(&input), connection(&output), connection(&errors)],
            console: None,
        };
        let started = self.session(plan, facts).spawn(request)?;
        Ok(Elevated::new(started, [input, output, errors], piped))
    }
}

/// The set-up's credentials, if they are those of the account in the plan.
fn keys(folder: &MachineFolder, which: Which, account: Sid) -> Result<Credentials, Failure> {
    let credentials = Credentials::load(&WindowsMachine, folder, which).map_err(|error| said(&error))?;
    if credentials.sid.0 == account {
        return Ok(credentials);
    }
    let words = format!("the account {} is another one than when it was set up", credentials.user);
    Err(Failure::new(
        "setup-account-replaced",
        "unseal the password",
        words,
        "run `codex-sandbox setup --repair`",
    ))
}

fn said(error: &SetupError) -> Failure {
    let mut failure = Failure::new(error.code, "unseal the password", error.to_string(), &error.remedy);
    failure.object = Some(error.object.as_str().into());
    failure
}

/// Who the command is said to be: programs that ask their environment get the same answer as those that ask Windows. Its folders stay
/// the user's: that is where its configuration and tools are, which the account may read.
pub(crate) fn identify(environment: &mut Environment, plan: &WindowsPlan) {
    if plan.tier != Tier::Elevated {
        return;
    }
    if environment.get("USERNAME").is_some() {
        environment.set("USERNAME", &plan.account.name);
    }
    if let Some(machine) = environment.get("COMPUTERNAME").filter(|_| environment.get("USERDOMAIN").is_some())
    {
        environment.set("USERDOMAIN", &machine);
    }
}

/// What bytes are moved from or to; `None` for nothing.
fn connect(stream: Stream, own: BorrowedHandle<'_>) -> Result<Option<File>, WindowsError> {
    match stream {
        // A program without a console may have no standard handles at all.
        Stream::Inherit if !own.as_raw_handle().is_null() => {
            let copy: std::io::Result<OwnedHandle> = own.try_clone_to_owned();
            let failed = |error: std::io::Error| {
                let words = format!("a standard stream of this process cannot be used: {error}");
                Failure::new("run.system", "open the standard streams", words, "redirect it")
            };
            Ok(Some(copy.map_err(failed)?.into()))
        }
        Stream::Handle(handle) => Ok(Some(handle.into())),
        Stream::Inherit | Stream::Null => Ok(None),
        Stream::Terminal(_) => {
            let words = "the runner makes no consoles: --tty does not work in the elevated tier yet";
            let remedy = "leave out --tty, or use -c windows.sandbox=unelevated";
            Err(Failure::new("runner.no-console", "open the standard streams", words, remedy).into())
        }
    }
}

/// A command that a runner started. Dropping it kills its whole tree.
#[derive(Debug)]
pub(crate) struct Elevated {
    /// Dropped before its runner.
    remote: Remote,
    /// Moves the input; ends with the command.
    input: Option<JoinHandle<()>>,
    over: Arc<AtomicBool>,
    /// Move output that nobody in this process reads: all of it is out before the end is told.
    outputs: Mutex<Vec<JoinHandle<()>>>,
    _runner: Arc<Open<Runner>>,
}

impl Elevated {
    fn new(started: Started<Runner>, files: [Option<File>; 3], piped: [bool; 3]) -> Self {
        let Started { remote, runner } = started;
        let [input, output, errors] = files;
        let over = Arc::new(AtomicBool::new(false));
        let input = input.map(|file| {
            let (to, over) = (remote.input(), over.clone());
            thread::spawn(move || move_input(file, to, &over))
        });
        let mut outputs = Vec::new();
        let written = [(Written::Output, output, piped[1]), (Written::Errors, errors, piped[2])];
        for (stream, file, is_piped) in written {
            let Some(file) = file else { continue };
            // What is not read yet when the command's value is dropped still needs the runner.
            let (from, runner) = (remote.output(stream), runner.clone());
            let mover = thread::spawn(move || {
                move_output(from, file);
                drop(runner);
            });
            if !is_piped {
                outputs.push(mover);
            }
        }
        Self { remote, input, over, outputs: Mutex::new(outputs), _runner: runner }
    }

    pub(crate) fn id(&self) -> u32 {
        self.remote.id()
    }

    pub(crate) fn kill(&self) {
        self.remote.kill();
    }

    pub(crate) fn wait(&self) -> Result<Ended, WindowsError> {
        let ended = self.remote.wait()?;
        self.all_is_out();
        Ok(ended)
    }

    pub(crate) fn try_wait(&self) -> Result<Option<Ended>, WindowsError> {
        let ended = self.remote.wait_for(Duration::ZERO)?;
        if ended.is_some() {
            self.all_is_out();
        }
        Ok(ended)
    }

    /// Kills it and waits, as long as a runner takes that is none of its own.
    pub(crate) fn end(&self) {
        self.kill();
        let _gone = self.remote.wait_for(KILLING);
    }

    fn all_is_out(&self) {
        let outputs = std::mem::take(&mut *self.outputs.lock().unwrap_or_else(PoisonError::into_inner));
        for mover in outputs {
            // A thread that panicked has moved all that it will.
            let _moved = mover.join();
        }
    }
}

impl Drop for Elevated {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(input) = self.input.take() {
            let end = Instant::now() + Duration::from_secs(1);
            while !input.is_finished() && Instant::now() < end {
                // Else it would take what the next reader of the launcher's input is meant to get.
                cancel_reading(&input);
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn move_input(mut file: File, mut to: Input, over: &AtomicBool) {
    let mut piece = vec![0; PIECE];
    while !over.load(Ordering::SeqCst) {
        match file.read(&mut piece) {
            Ok(count) if count > 0 && to.write_all(&piece[..count]).is_ok() => {}
            // The end, a read that was cancelled, or a command that reads no more.
            _ => return,
        }
    }
}

fn move_output(mut from: Output, mut file: File) {
    // An end that is none is told by `wait`.
    while let Ok(Some(data)) = from.next_piece() {
        if file.write_all(data.bytes()).is_err() {
            return;
        }
        from.done(data.len());
    }
}
