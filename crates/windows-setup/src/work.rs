//! What the program does, once it is sure that it may.

use std::fs::File;
use std::io::Write;
use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use codex_sandbox_windows::grants::Quiet;
use codex_sandbox_windows::plan::WinPath;
use codex_sandbox_windows::setup::engine::{Outcome, StepState, carry_out as set_up};
use codex_sandbox_windows::setup::exit;
use codex_sandbox_windows::setup::names::SETUP;
use codex_sandbox_windows::setup::people::{Asked, real_user};
use codex_sandbox_windows::setup::reads::{Worker, WorkerState, work};
use codex_sandbox_windows::setup::undo::Undo;
use codex_sandbox_windows::setup::{Machine, MachineFolder, Names, RealUser, Request, SetupError};
use codex_sandbox_windows::state::State;
use codex_sandbox_windows::win32::{WindowsHost, WindowsMachine, elevate};
use nt_security::Sid;

use crate::args::{Apply, Command, Common};
use crate::report::Reporter;

/// DETACHED_PROCESS, CREATE_NEW_PROCESS_GROUP
const DETACHED: u32 = 0x8 | 0x200;
/// Longer than whoever waits leaves between two looks.
const LAST_WORDS: Duration = Duration::from_millis(600);
/// How long a worker has to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// Carries a command out.
pub fn carry_out(command: &Command) -> ExitCode {
    let result = match command {
        Command::Apply(args) => apply(args),
        Command::Teardown(args) => teardown(args),
        Command::Worker(args) => worker(args),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        let _unprintable = writeln!(std::io::stderr(), "codex-windows-sandbox-setup: {error}");
        exit::of(&error)
    }))
}

/// What the command line names, checked.
struct Place {
    names: Names,
    folder: MachineFolder,
}

impl Place {
    fn new(args: &Common) -> Result<Self, SetupError> {
        let names = Names::new(&args.prefix)
            .map_err(|error| SetupError::new("setup-bad-prefix", "start", error, "correct config.toml"))?;
        let system = WindowsMachine.system().map_err(|error| SetupError::of("start", error))?;
        if !system.elevated {
            let remedy =
                "run `codex-sandbox setup`, which asks for the elevation, or start an elevated prompt";
            return Err(SetupError::new("setup-not-elevated", "start", system.user, remedy));
        }
        let folder = elevate::machine_folder();
        let folder = folder.map_err(|error| SetupError::of("start", error))?;
        Ok(Self { names, folder })
    }

    /// One set-up or teardown at a time: the next one waits, and finds everything done.
    fn lock(&self) -> Result<File, SetupError> {
        let path = self.folder.lock();
        let lock = File::options().create(true).truncate(false).write(true).open(path.as_str());
        lock.and_then(|file| file.lock().map(|()| file)).map_err(|error| {
            SetupError::new("setup-lock", "start", format!("{path}: {error}"), "run it again")
        })
    }

    fn open_state(&self) -> State {
        State::open(Path::new(self.folder.0.as_str()))
    }
}

fn parse(sid: &str) -> Result<Sid, SetupError> {
    let wrong = |_| SetupError::new("setup-user-unknown", "user", sid, "run `codex-sandbox setup`");
    Sid::parse(sid).map_err(wrong)
}

/// For whom, by the command line.
fn asked(args: &Apply, names: &Names) -> Result<RealUser, SetupError> {
    let asked = match (&args.user, args.caller, &args.target) {
        (Some(user), Some(process), _) => Asked::Caller { sid: parse(user)?, process },
        (_, _, Some(target)) => Asked::Sid(parse(target)?),
        _ => Asked::Own,
    };
    real_user(&WindowsMachine, names, &asked)
}

/// The folder of this program, which the others lie in too.
fn programs() -> Result<WinPath, SetupError> {
    let unknown =
        |why: String| SetupError::new("setup-helper-source", "start", why, "install it on a local drive");
    let own = std::env::current_exe().map_err(|error| unknown(error.to_string()))?;
    let folder = own.parent().map(PathBuf::from).unwrap_or_default();
    WinPath::absolute(&folder.to_string_lossy()).map_err(|error| unknown(error.to_string()))
}

fn apply(args: &Apply) -> Result<u8, SetupError> {
    let place = Place::new(&args.common)?;
    let user = asked(args, &place.names)?;
    let Place { names, folder } = &place;
    let request = Request { names: names.clone(), folder: folder.clone(), user, programs: programs()? };
    let reporter = Reporter::new(&args.common.run, folder);
    let mut lock = None;
    let open = |_: &MachineFolder| {
        lock = place.lock().ok();
        place.open_state()
    };
    let outcome = set_up(&WindowsMachine, &request, open, &reporter);
    drop(lock);
    if is_worker_needed(&outcome, folder, args.repair) {
        start_worker(&place, &args.common)?;
    }
    let code = exit::of_outcome(&outcome);
    reporter.say(serde_json::json!({ "end": { "complete": outcome.is_complete(), "exit": code } }));
    Ok(code)
}

/// A worker that came to its end has nothing to do, unless somebody is new.
fn is_worker_needed(outcome: &Outcome, folder: &MachineFolder, repair: bool) -> bool {
    let reads = outcome.steps.iter().find(|step| step.id == "reads").map(|step| step.state);
    let given = matches!(reads, Some(StepState::Done | StepState::Applied));
    let new = reads == Some(StepState::Applied);
    let last = Worker::read(&WindowsMachine, folder);
    let works = last
        .as_ref()
        .is_some_and(|last| last.state == WorkerState::Running && !last.has_died(&WindowsMachine));
    let done = last.is_some_and(|last| last.state == WorkerState::Done);
    given && !works && (new || repair || !done)
}

/// From the folder that only administrators write, so that what runs on elevated is what was copied.
fn start_worker(place: &Place, common: &Common) -> Result<(), SetupError> {
    let program = place.folder.helpers().join(SETUP);
    let mut command = std::process::Command::new(program.as_str());
    command.args(["worker", "--prefix", &common.prefix]).creation_flags(DETACHED);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let failed = |error| {
        let remedy = "run `codex-sandbox setup --repair`";
        SetupError::new("setup-worker", "reads", format!("{program}: {error}"), remedy)
    };
    command.current_dir(place.folder.0.as_str()).spawn().map(drop).map_err(failed)
}

fn worker(args: &Common) -> Result<u8, SetupError> {
    let place = Place::new(args)?;
    elevate::work_in_background();
    let state = place.open_state();
    let environment = std::env::vars().collect();
    let Place { names, folder } = &place;
    let worker = work(&WindowsMachine, &WindowsHost, &state, names, folder, &environment)?;
    Ok(if worker.state == WorkerState::Done { exit::COMPLETE } else { exit::INCOMPLETE })
}

/// Tells a worker to end, and waits for it.
fn stop_worker(folder: &MachineFolder) -> Result<(), SetupError> {
    let of = |error| SetupError::of("reads", error);
    let works = || {
        Worker::read(&WindowsMachine, folder)
            .is_some_and(|worker| worker.state == WorkerState::Running && !worker.has_died(&WindowsMachine))
    };
    if !works() {
        return Ok(());
    }
    WindowsMachine.write_file(&folder.stop(), b"").map_err(of)?;
    let begun = Instant::now();
    while works() {
        if begun.elapsed() > PATIENCE {
            let remedy = "wait for the worker (codex-sandbox status), or end it, and run it again";
            return Err(SetupError::new("setup-worker-busy", "reads", folder.worker(), remedy));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn teardown(args: &Common) -> Result<u8, SetupError> {
    let place = Place::new(args)?;
    let Place { names, folder } = &place;
    let of = |error| SetupError::of("teardown", error);
    let reporter = Reporter::new(&args.run, folder);
    // Without its folder there is still what is recognised; the journal then lies in memory.
    let is_there = WindowsMachine.file(&folder.0).map_err(of)?.is_some();
    let lock = if is_there { Some(place.lock()?) } else { None };
    if is_there {
        stop_worker(folder)?;
    }
    let in_memory = |error| SetupError::new("setup-no-journal", "teardown", error, "run it again");
    let state = if is_there { place.open_state() } else { State::in_memory().map_err(in_memory)? };
    let nobody = RealUser {
        sid: WindowsMachine.system().map_err(of)?.user.into(),
        name: String::new(),
        profile: None,
    };
    let request =
        Request { names: names.clone(), folder: folder.clone(), user: nobody, programs: programs()? };
    let undo = Undo {
        machine: &WindowsMachine,
        host: &WindowsHost,
        state: &state,
        request: &request,
        progress: &Quiet,
    };
    let outcome = undo.everything(&reporter)?;
    let code = exit::of_outcome(&outcome);
    reporter.say(serde_json::json!({ "end": { "complete": outcome.is_complete(), "exit": code } }));
    drop(reporter);
    if outcome.is_complete() && is_there {
        drop(lock);
        // Whoever asked for the elevation reads the last lines before their file goes.
        std::thread::sleep(LAST_WORDS);
        remove_folder(state, folder)?;
    }
    Ok(code)
}

/// The last of it: the journal, and the folder.
fn remove_folder(state: State, folder: &MachineFolder) -> Result<(), SetupError> {
    let failed = |error: std::io::Error| {
        SetupError::new(
            "setup-folder-stays",
            "teardown",
            format!("{}: {error}", folder.0),
            "remove it by hand",
        )
    };
    for file in [folder.lock(), folder.progress(), folder.stop()] {
        WindowsMachine.remove(&file).map_err(|error| SetupError::of("teardown", error))?;
    }
    state.remove().map_err(failed)?;
    WindowsMachine.remove(&folder.0).map_err(|error| SetupError::of("teardown", error))
}
