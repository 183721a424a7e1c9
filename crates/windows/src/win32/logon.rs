//! The way from a launcher to a runner of its own, on the machine itself: [`MachineDoor`]; and what the runner does: [`run`].

use std::io::PipeReader;
use std::os::windows::io::OwnedHandle;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nt_security::Sid;

use super::error::Win32Error;
use super::launch::Stream as Stdio;
use super::logon_process::{COMMAND_LINE, Start};
pub use super::logon_process::{RunnerProcess, own_handles};
use super::running::Running;
use super::{logon_station, pipe, token_facts};
use crate::launch::Environment;
use crate::launch::elevated::{Door, Opening, handshake_failure, logon_failure};
use crate::launch::error::LaunchError;
use crate::launch::steps::Recipe;
use crate::plan::data::TokenFlag;
use crate::plan::launch::RUNNER_LOGON;
use crate::plan::path::WinPath;
use crate::runner::message::NONCE;
use crate::runner::server::{Begun, Child, Engine, serve};
use crate::runner::{Arguments, Client, Connection, Ended, Failure, Hello, Size, SpawnRequest};
use crate::setup::credentials::Credentials;

/// A first logon makes the account's profile, which takes seconds; on a busy machine many.
const COMING: Duration = Duration::from_secs(60);
/// A runner that came and does not greet within this time hangs.
const GREETING: Duration = Duration::from_secs(30);
/// How long a runner that ended is waited for, to learn how.
const ENDING: Duration = Duration::from_millis(500);

/// Where the passwords of the sandbox accounts are kept.
pub type Keys = Box<dyn Fn() -> Result<Credentials, Failure> + Send + Sync>;

/// This machine, for one of its sandbox accounts.
pub struct MachineDoor {
    /// The account.
    pub account: Sid,
    /// The launcher's user.
    pub user: Sid,
    /// The runner's program.
    pub program: WinPath,
    /// Windows' own folder.
    pub windows: WinPath,
    /// Its password.
    pub keys: Keys,
}

impl std::fmt::Debug for MachineDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MachineDoor").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Door for MachineDoor {
    type Runner = Arc<RunnerProcess>;

    fn credentials(&self) -> Result<Credentials, Failure> {
        (self.keys)()
    }

    fn open(&self, credentials: &Credentials) -> Result<(Client, Self::Runner), Opening> {
        let pipes = pipe::Pipes::new(&self.account, &self.user).map_err(|error| channel(&error))?;
        let nonce: [u8; NONCE] = pipe::random().map_err(|error| channel(&error))?;
        let launcher = std::process::id();
        let arguments = Arguments { session: pipes.session().to_owned(), launcher, nonce };
        let runner = self.start(credentials, &arguments)?;
        let is_over = || runner.ended(Duration::ZERO).is_some();
        let (from, to) = pipes.accept(runner.id(), COMING, &is_over).map_err(|error| {
            let code = runner.ended(ENDING);
            Opening::from(handshake_failure(&error.to_string(), code).with_system(error.system()))
        })?;
        let watched = Watched::new(&runner);
        let theirs = Hello::new(runner.id(), nonce);
        let client = Client::connect(from, to, Hello::new(launcher, nonce), &theirs);
        drop(watched);
        let client = client.map_err(|error| match error {
            crate::runner::error::Broken::Protocol(error) => crate::launch::elevated::stranger(&error),
            other => handshake_failure(&other.to_string(), runner.ended(ENDING)),
        });
        Ok((client.map_err(Opening::from)?, runner))
    }
}

impl MachineDoor {
    fn start(&self, credentials: &Credentials, arguments: &Arguments) -> Result<Arc<RunnerProcess>, Opening> {
        let application = self.program.to_string();
        let command_line = arguments.command_line(&application);
        if command_line.encode_utf16().count() >= COMMAND_LINE {
            let words = format!("{application} is too long a path for CreateProcessWithLogonW");
            let remedy = "move %ProgramData% to a shorter path";
            return Err(Failure::new("runner.path", "start the runner", words, remedy).into());
        }
        let block = machine_environment().block().map_err(|error| Opening::from(Failure::from(error)))?;
        let start = Start {
            application: &application,
            command_line: &command_line,
            block: &block,
            cwd: self.windows.as_str(),
            user: &self.user,
        };
        let started = RunnerProcess::start(credentials, &start);
        started.map(Arc::new).map_err(|error| match error.call {
            "CreateProcessWithLogonW" => logon_failure(&credentials.user, &application, error.system()),
            call => {
                let remedy = "leave the job or the restricted session that this process is in";
                Failure::new("runner.confine", "confine the runner", format!("{call}: {error}"), remedy)
                    .with_system(error.system())
                    .into()
            }
        })
    }
}

fn channel(error: &Win32Error) -> Opening {
    let remedy = "try again; `codex-sandbox doctor` checks the set-up";
    Failure::new("runner.channel", "make the pipes to the runner", error.to_string(), remedy)
        .with_system(error.system())
        .into()
}

/// Ends a runner that does not greet: reading its greeting cannot be given up in another way.
struct Watched(std::sync::mpsc::Sender<()>);

impl Watched {
    fn new(runner: &Arc<RunnerProcess>) -> Self {
        let (done, waits) = std::sync::mpsc::channel();
        let runner = runner.clone();
        thread::spawn(move || {
            if waits.recv_timeout(GREETING) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                runner.kill();
            }
        });
        Self(done)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _greeted = self.0.send(());
    }
}

/// What the runner itself needs: nothing of the user's. A command's environment comes with its request.
fn machine_environment() -> Environment {
    const NAMES: [&str; 12] = [
        "SystemRoot",
        "SystemDrive",
        "windir",
        "ComSpec",
        "PATHEXT",
        "OS",
        "NUMBER_OF_PROCESSORS",
        "PROCESSOR_ARCHITECTURE",
        "ProgramData",
        "ProgramFiles",
        "CommonProgramFiles",
        "PUBLIC",
    ];
    let mut environment = Environment::default();
    for (name, value) in std::env::vars_os() {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        // By the last ones Wine finds the machine that it plays.
        if NAMES.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)) || name.starts_with("WINE") {
            environment.set(name, value);
        }
    }
    environment
}

/// What a runner's program does: serves the launcher that its arguments name, until that goes. Whatever it says, it says through its
/// exit code: it has no console.
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    /// Its arguments are not a launcher's.
    const USAGE: u8 = 2;
    /// The pipes are not there, or not the launcher's.
    const PIPES: u8 = 3;
    /// It cannot read its token, or make a desktop.
    const SURROUNDINGS: u8 = 4;
    /// The launcher broke the protocol.
    const PROTOCOL: u8 = 5;
    let words: Option<Vec<String>> =
        arguments.into_iter().skip(1).map(|word| word.into_string().ok()).collect();
    let Some(arguments) = words.and_then(|words| Arguments::parse(&words)) else {
        return ExitCode::from(USAGE);
    };
    let Ok(engine) = Machine::new() else { return ExitCode::from(SURROUNDINGS) };
    let Ok((from, to)) = pipe::open(&arguments.session, arguments.launcher) else {
        return ExitCode::from(PIPES);
    };
    let mine = Hello::new(std::process::id(), arguments.nonce);
    let theirs = Hello::new(arguments.launcher, arguments.nonce);
    match serve(from, to, engine, mine, &theirs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(PROTOCOL),
    }
}

/// Starts commands with restricted copies of this process' own token.
struct Machine {
    logon: Sid,
}

impl Machine {
    fn new() -> Result<Self, Win32Error> {
        logon_station::ready()?;
        let user = token_facts::user(String::new())?;
        Ok(Self { logon: user.logon_sid.0 })
    }

    /// The launcher's recipe with this logon's SID in its place. A command that would not be restricted is not started, whoever asks.
    fn recipe(&self, asked: &Recipe) -> Result<Recipe, LaunchError> {
        let mut recipe = asked.clone();
        for sid in &mut recipe.restricting {
            if *sid == RUNNER_LOGON {
                *sid = self.logon;
            }
        }
        let wanted = [TokenFlag::DisableMaxPrivilege, TokenFlag::LuaToken, TokenFlag::WriteRestricted];
        let is_restricted = wanted.iter().all(|flag| recipe.token.flags.contains(flag))
            && !recipe.restricting.is_empty()
            && recipe.job.kill_on_close;
        if is_restricted {
            Ok(recipe)
        } else {
            Err(LaunchError::WrongToken { what: "would not be restricted".to_owned() })
        }
    }
}

impl Engine for Machine {
    fn start(&self, request: &SpawnRequest) -> Result<Begun, Failure> {
        if request.console.is_some() {
            let words = "this runner makes no consoles: --tty does not work in the elevated tier yet";
            let remedy = "leave out --tty, or use -c windows.sandbox=unelevated";
            return Err(Failure::new("runner.no-console", "make the console", words, remedy));
        }
        let [input, output, errors] = request.streams;
        let (input, our_input) = reads(input)?;
        let (output, our_output) = writes(output)?;
        let (errors, our_errors) = writes(errors)?;
        let running =
            Running::begin(&self.recipe(&request.recipe)?, &request.command, [input, output, errors])?;
        let process = running.id();
        let boxed = |reader: Option<PipeReader>| reader.map(|reader| Box::new(reader) as _);
        Ok(Begun {
            child: Arc::new(Command(running)),
            process,
            input: our_input.map(|writer| Box::new(writer) as _),
            outputs: [boxed(our_output), boxed(our_errors)],
        })
    }
}

fn reads(connection: Connection) -> Result<(Stdio, Option<std::io::PipeWriter>), Failure> {
    if connection == Connection::Null {
        return Ok((Stdio::Null, None));
    }
    let (theirs, ours) = std::io::pipe().map_err(no_pipe)?;
    Ok((Stdio::Handle(OwnedHandle::from(theirs)), Some(ours)))
}

fn writes(connection: Connection) -> Result<(Stdio, Option<PipeReader>), Failure> {
    if connection == Connection::Null {
        return Ok((Stdio::Null, None));
    }
    let (ours, theirs) = std::io::pipe().map_err(no_pipe)?;
    Ok((Stdio::Handle(OwnedHandle::from(theirs)), Some(ours)))
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it so")]
fn no_pipe(error: std::io::Error) -> Failure {
    let code = error.raw_os_error().unwrap_or_default().cast_unsigned();
    Failure::new("run.system", "open the standard streams", error.to_string(), "close other programs")
        .with_system(Win32Error::of("CreatePipe", code).system())
}

struct Command(Running);

impl Child for Command {
    fn wait(&self) -> Result<Ended, Failure> {
        self.0.wait().map_err(|error| {
            Failure::new("run.system", "wait for the command", error.to_string(), "run it again")
                .with_system(error.system())
        })
    }

    fn kill(&self) {
        self.0.kill();
    }

    fn interrupt(&self) {
        self.0.interrupt();
    }

    fn resize(&self, _: Size) {}
}
