//! `setup` on Windows, and what `status` and `teardown --all` say and do about the machine.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use codex_sandbox_windows::setup::engine::{Outcome, StepState, dry_run};
use codex_sandbox_windows::setup::names::SETUP;
use codex_sandbox_windows::setup::people::{Asked, real_user};
use codex_sandbox_windows::setup::reads::{Worker, WorkerState};
use codex_sandbox_windows::setup::{
    Machine, MachineFolder, Names, RealUser, Request, SetupError, SetupState, exit, undo,
};
use codex_sandbox_windows::state::State;
use codex_sandbox_windows::win32::{WindowsMachine, elevate};
use serde_json::{Value, json};

use super::setup_network;
use crate::args::{PolicyArgs, TeardownArgs};
use crate::config;
use crate::failure::Failure;

/// Exit codes, shown at the end of `setup --help`.
pub const EXIT_CODES: &str = "\
Exit code: 0 set up, as well as this machine lets it; 1 some steps failed (running it again goes on); 3 no elevation;
4 a name is somebody else's (windows.account_prefix); 5 a policy is against it; 125 nothing was done.";

/// `setup`.
#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Only show the steps and how they stand
    #[arg(long)]
    pub dry_run: bool,
    /// Look again at everything that the sandbox accounts may read, besides what every set-up repairs
    #[arg(long, conflicts_with = "dry_run")]
    pub repair: bool,
    /// Set up for this user (NAME, DOMAIN\\NAME, NAME@DOMAIN), as an administrator who prepares a machine
    #[arg(long = "for", value_name = "USER")]
    pub target: Option<String>,
    /// Wait until the sandbox accounts were given all that they may read
    #[arg(long)]
    pub wait: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Try the network, and the listener on this port; doctor starts this inside the sandbox
    #[arg(long, value_name = "PORT", hide = true)]
    pub try_network: Option<u16>,
}

/// How often a process that was elevated is looked at.
const EVERY: u32 = 200;

/// Sets this machine up.
pub fn run(args: &SetupArgs) -> Result<ExitCode, Failure> {
    if let Some(port) = args.try_network {
        return setup_network::inside(port);
    }
    let result = Here::new().and_then(|here| set_up(args, &here));
    match result {
        Ok(code) => Ok(ExitCode::from(code)),
        Err(Stop::Setup(error)) => {
            tell_error(&error, args.json)?;
            Ok(ExitCode::from(exit::of(&error)))
        }
        Err(Stop::Failure(failure)) => Err(failure),
    }
}

/// Why it goes no further.
enum Stop {
    Setup(SetupError),
    Failure(Failure),
}

impl From<SetupError> for Stop {
    fn from(error: SetupError) -> Self {
        Self::Setup(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Failure(error.into())
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// `windows.account_prefix` of the user's configuration.
fn account_prefix() -> Result<String, Failure> {
    let nothing = PolicyArgs {
        mode: None,
        writable: Vec::new(),
        network: false,
        deny_read: Vec::new(),
        git: None,
        timeout: None,
        memory: None,
        processes: None,
        cwd: None,
        config: None,
        overrides: Vec::new(),
    };
    Ok(config::read(&nothing)?.policy().windows_account_prefix.clone())
}

/// This machine, and what things are called on it.
struct Here {
    names: Names,
    folder: MachineFolder,
    program: PathBuf,
    elevated: bool,
}

impl Here {
    fn new() -> Result<Self, Stop> {
        let prefix = account_prefix()?;
        let bad = |error: codex_sandbox_windows::setup::BadPrefix| {
            SetupError::new("setup-bad-prefix", "start", error, "correct it in config.toml")
        };
        let names = Names::new(&prefix).map_err(bad)?;
        let of = |error| SetupError::of("start", error);
        let system = WindowsMachine.system().map_err(of)?;
        let folder = elevate::machine_folder().map_err(of)?;
        let program = std::env::current_exe()?.with_file_name(SETUP);
        Ok(Self { names, folder, program, elevated: system.elevated })
    }

    fn request(&self, user: RealUser) -> Result<Request, Stop> {
        let folder = self.program.parent().map(Path::to_string_lossy).unwrap_or_default();
        let programs = codex_sandbox_windows::plan::WinPath::absolute(&folder);
        let wrong = |error: codex_sandbox_windows::plan::path::PathError| {
            SetupError::new("setup-helper-source", "start", error, "install the programs on a local drive")
        };
        let (names, folder) = (self.names.clone(), self.folder.clone());
        Ok(Request { names, folder, user, programs: programs.map_err(wrong)? })
    }

    /// The machine's journal, as far as this user may read it.
    fn state(&self) -> Option<State> {
        let folder = Path::new(self.folder.0.as_str());
        folder.join(codex_sandbox_windows::state::FILE_NAME).exists().then(|| State::open(folder))
    }

    /// Starts the set-up program, elevated, and passes on what it says. Gives its exit code.
    fn start(&self, words: &[&str], tell: &mut dyn FnMut(&Value) -> Result<(), Stop>) -> Result<u8, Stop> {
        if !self.program.exists() {
            let remedy = "install the programs of one release in one folder";
            return Err(
                SetupError::new("setup-helper-source", "start", self.program.display(), remedy).into()
            );
        }
        let run = format!("{}-{}", std::process::id(), WindowsMachine.now());
        let mut words = words.to_vec();
        words.extend(["--prefix", self.names.prefix(), "--run", &run]);
        if self.elevated { self.start_plainly(&words, tell) } else { self.start_elevated(&words, &run, tell) }
    }

    fn start_plainly(
        &self,
        words: &[&str],
        tell: &mut dyn FnMut(&Value) -> Result<(), Stop>,
    ) -> Result<u8, Stop> {
        let mut command = std::process::Command::new(&self.program);
        let mut child = command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
            if let Ok(value) = serde_json::from_str(&line?) {
                tell(&value)?;
            }
        }
        Ok(child.wait()?.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILED))
    }

    /// One prompt. What the program says comes by a file that only administrators write.
    fn start_elevated(
        &self,
        words: &[&str],
        run: &str,
        tell: &mut dyn FnMut(&Value) -> Result<(), Stop>,
    ) -> Result<u8, Stop> {
        let failed = |error: codex_sandbox_windows::win32::Win32Error| {
            let declined = error.code == elevate::DECLINED;
            let code = if declined { "setup-elevation-declined" } else { "setup-elevation" };
            let remedy = if declined {
                "agree to the prompt, let an administrator type his password into it, or let him run \
                 `codex-sandbox setup --for YOU`"
            } else {
                "start it from an elevated prompt"
            };
            let made = SetupError::new(code, "start", self.program.display(), remedy);
            made.with_system(&error.system())
        };
        let elevated = elevate::Elevated::start(&self.program, words).map_err(failed)?;
        let mut told = 0;
        loop {
            let code = elevated.wait(EVERY).map_err(failed)?;
            for value in self.lines(run).iter().skip(told) {
                told += 1;
                tell(value)?;
            }
            if let Some(code) = code {
                return Ok(u8::try_from(code).unwrap_or(exit::FAILED));
            }
        }
    }

    /// Whole lines of this run.
    fn lines(&self, run: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.progress().as_str()).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let values = whole.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        values.filter(|value| value["run"] == run).collect()
    }
}

fn set_up(args: &SetupArgs, here: &Here) -> Result<u8, Stop> {
    let asked = args.target.clone().map_or(Asked::Own, Asked::Named);
    let user = real_user(&WindowsMachine, &here.names, &asked)?;
    if args.dry_run {
        let state = here.state();
        let outcome = dry_run(&WindowsMachine, &here.request(user)?, state.as_ref());
        show_plan(&outcome, args.json)?;
        return Ok(exit::COMPLETE);
    }
    let (sid, own) = (user.sid.to_string(), std::process::id().to_string());
    let mut words = vec!["apply"];
    if args.target.is_some() || here.elevated {
        words.extend(["--for", &sid]);
    } else {
        words.extend(["--user", &sid, "--caller", &own]);
    }
    if args.repair {
        words.push("--repair");
    }
    let mut steps = Vec::new();
    let code = here.start(&words, &mut |value| {
        steps.extend(value.get("step").cloned());
        if args.json { Ok(()) } else { show_step(value).map_err(Into::into) }
    })?;
    let worker = if args.wait {
        wait_for_worker(here, args.json)?
    } else {
        Worker::read(&WindowsMachine, &here.folder)
    };
    if args.json {
        let complete = code == exit::COMPLETE;
        let value =
            json!({ "complete": complete, "exit": code, "user": user, "steps": steps, "worker": worker });
        writeln!(std::io::stdout(), "{value:#}")?;
    } else {
        writeln!(std::io::stdout(), "{}", ending(code, worker.as_ref()))?;
    }
    Ok(code)
}

fn ending(code: u8, worker: Option<&Worker>) -> String {
    let reads = match worker.map(|worker| worker.state) {
        Some(WorkerState::Running) => "; reading is being given in the background: codex-sandbox status",
        _ => "",
    };
    match code {
        exit::COMPLETE => format!("this machine is set up{reads}"),
        exit::INCOMPLETE => "some steps failed: mend them, and run `codex-sandbox setup` again".to_owned(),
        exit::NOT_ELEVATED => "nothing was done: this takes an administrator".to_owned(),
        exit::NAME_TAKEN => "a name is somebody else's: choose another windows.account_prefix".to_owned(),
        exit::POLICY => "a policy is against it: ask whoever manages this machine".to_owned(),
        _ => format!("the set-up program ended with exit code {code}"),
    }
}

/// Waits until the worker is at its end, whatever that is.
fn wait_for_worker(here: &Here, quiet: bool) -> Result<Option<Worker>, Stop> {
    let shown = !quiet && std::io::stderr().is_terminal();
    // It has a moment to say that it is there.
    for _ in 0..50 {
        let worker = Worker::read(&WindowsMachine, &here.folder);
        if worker
            .is_some_and(|worker| worker.state != WorkerState::Running || !worker.has_died(&WindowsMachine))
        {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    loop {
        let worker = Worker::read(&WindowsMachine, &here.folder);
        let works = worker
            .as_ref()
            .is_some_and(|worker| worker.state == WorkerState::Running && !worker.has_died(&WindowsMachine));
        if !works {
            return Ok(worker);
        }
        if let Some(worker) = worker.filter(|_| shown) {
            write!(std::io::stderr(), "\rreading: {} objects, {} changed ", worker.looked, worker.written)?;
        }
        std::thread::sleep(Duration::from_millis(u64::from(EVERY)));
    }
}

fn word(state: &str) -> &'static str {
    match state {
        "done" => "ok      ",
        "applied" => "done    ",
        "needed" => "to do   ",
        "degraded" => "limited ",
        "unknown" => "unknown ",
        "skipped" => "skipped ",
        _ => "FAILED  ",
    }
}

/// One step as it ends.
fn show_step(value: &Value) -> std::io::Result<()> {
    let Some(step) = value.get("step") else { return Ok(()) };
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let mut line = format!(
        "[{:>2}/{}] {}{}",
        value["number"],
        value["count"],
        word(&text(&step["state"])),
        text(&step["title"])
    );
    if let Some(error) = step.get("error").filter(|error| !error.is_null()) {
        let _ = write!(line, "\n        {}: {}", text(&error["code"]), text(&error["object"]));
        if error["system_code"] != 0 {
            let _ = write!(line, ": {} ({})", text(&error["system_text"]), error["system_code"]);
        }
        let _ = write!(line, "\n        remedy: {}", text(&error["remedy"]));
    }
    writeln!(std::io::stdout(), "{line}")
}

/// What a set-up would do.
fn show_plan(outcome: &Outcome, as_json: bool) -> std::io::Result<()> {
    if as_json {
        return writeln!(std::io::stdout(), "{:#}", json!({ "dry_run": true, "steps": outcome.steps }));
    }
    let count = outcome.steps.len();
    for (number, step) in outcome.steps.iter().enumerate() {
        show_step(&json!({ "number": number + 1, "count": count, "step": step }))?;
    }
    let needed = outcome.steps.iter().filter(|step| step.state == StepState::Needed).count();
    let failed = outcome.steps.iter().filter(|step| step.state == StepState::Failed).count();
    writeln!(
        std::io::stdout(),
        "{count} steps, {needed} to do, {failed} that would fail; nothing was changed"
    )
}

fn tell_error(error: &SetupError, as_json: bool) -> std::io::Result<()> {
    let text =
        if as_json { json!({ "error": error }).to_string() } else { format!("codex-sandbox: {error}") };
    writeln!(std::io::stderr(), "{text}")
}

/// What `status` says about the machine.
pub fn status(as_json: bool) -> Result<(Value, String), Failure> {
    let here = match Here::new() {
        Ok(here) => here,
        Err(Stop::Failure(failure)) => return Err(failure),
        Err(Stop::Setup(error)) => {
            return Ok((json!({ "error": error }), format!("set-up      {error}\n")));
        }
    };
    let looked = SetupState::look(&WindowsMachine, &here.names, &here.folder);
    let (word, reasons) = match &looked {
        Ok(SetupState::Ready(_)) => ("ready", Vec::new()),
        Ok(SetupState::NotSetUp) => ("not set up", Vec::new()),
        Ok(SetupState::NeedsRepair(reasons)) => {
            ("needs repair", reasons.iter().map(|reason| reason.text.clone()).collect())
        }
        Err(error) => ("unknown", vec![error.to_string()]),
    };
    let limited = limits(&here);
    let worker = Worker::read(&WindowsMachine, &here.folder);
    let died = worker.as_ref().is_some_and(|worker| worker.has_died(&WindowsMachine));
    if as_json {
        let value = json!({ "state": word, "reasons": reasons, "limited": limited, "worker": worker, "worker_died": died });
        return Ok((value, String::new()));
    }
    let mut text = format!("set-up      {word} (accounts {}…)\n", here.names.prefix());
    for reason in &reasons {
        let _ = writeln!(text, "            {reason}: codex-sandbox setup --repair");
    }
    for limit in &limited {
        let _ = writeln!(text, "limited     {limit}");
    }
    if let Some(worker) = worker {
        let how = match worker.state {
            WorkerState::Running if died => "ended before its end: codex-sandbox setup goes on",
            WorkerState::Running => "at work",
            WorkerState::Done => "all given",
            WorkerState::Stopped => "stopped: codex-sandbox setup goes on",
            WorkerState::Failed => "failed: codex-sandbox setup --repair",
        };
        let Worker { looked, written, refused, skipped, .. } = worker;
        let _ = writeln!(
            text,
            "reading     {how}; {looked} objects, {written} changed, {refused} refused, {skipped} left alone"
        );
        for refusal in worker.refusals.iter().chain(&worker.error) {
            let _ = writeln!(text, "            {refusal}");
        }
    }
    Ok((Value::Null, text))
}

/// What `doctor` says about the machine, as JSON or as text, and whether it is well. As the account without a network the network
/// is tried, and not only asked about.
pub fn doctor(as_json: bool) -> Result<(Value, String, bool), Failure> {
    let ready = match Here::new() {
        Ok(here) => {
            let look = SetupState::look(&WindowsMachine, &here.names, &here.folder);
            matches!(look, Ok(SetupState::Ready(_)))
        }
        Err(Stop::Failure(failure)) => return Err(failure),
        Err(Stop::Setup(_)) => false,
    };
    let (value, text) = status(as_json)?;
    if !ready {
        let lines = text.lines().map(|line| format!("--  {line}\n")).collect();
        return Ok((json!({ "setup": value }), lines, true));
    }
    let rows = setup_network::prove()?;
    let well = !rows.iter().any(setup_network::Row::is_a_gap);
    let mark = |line: &str| if line.starts_with("limited") { "--" } else { "ok" };
    let lines: String = text.lines().map(|line| format!("{}  {line}\n", mark(line))).collect();
    Ok((
        json!({ "setup": value, "network": rows }),
        format!("{lines}{}", setup_network::describe(&rows)),
        well,
    ))
}

/// What the last set-up said to be worth less on this machine.
fn limits(here: &Here) -> BTreeSet<String> {
    let text = std::fs::read_to_string(here.folder.progress().as_str()).unwrap_or_default();
    let values = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let limited = values.filter(|value| value["step"]["state"] == "degraded");
    let shown = |value: Value| {
        let error = &value["step"]["error"];
        let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
        format!("{}: {}; {}", text("code"), text("object"), text("remedy"))
    };
    limited.map(shown).collect()
}

/// Takes the set-up back, if there is any: the second half of `teardown --all`. Whether nothing of it is left, and what to say.
pub fn teardown(args: &TeardownArgs) -> Result<(bool, Value), Failure> {
    let result = Here::new().and_then(|here| take_back(args, &here));
    match result {
        Ok(done) => Ok(done),
        Err(Stop::Failure(failure)) => Err(failure),
        Err(Stop::Setup(error)) => {
            if !args.json {
                tell_error(&error, false)?;
            }
            Ok((false, json!({ "complete": false, "error": error })))
        }
    }
}

fn take_back(args: &TeardownArgs, here: &Here) -> Result<(bool, Value), Stop> {
    let folder_is_there = std::fs::exists(here.folder.0.as_str()).unwrap_or(false);
    let looked = SetupState::look(&WindowsMachine, &here.names, &here.folder)?;
    if looked == SetupState::NotSetUp && !folder_is_there {
        return Ok((true, Value::Null));
    }
    if args.dry_run {
        let nobody =
            RealUser { sid: codex_sandbox_windows::setup::plan::USERS, name: String::new(), profile: None };
        let state = here.state();
        let memory =
            || State::in_memory().map_err(|error| SetupError::new(error.code(), "teardown", error, ""));
        let state = state.map_or_else(memory, Ok)?;
        let things = undo::things(&WindowsMachine, &state, &here.request(nobody)?)?;
        let titles: Vec<String> =
            things.iter().map(codex_sandbox_windows::setup::journal::Thing::title).collect();
        if !args.json {
            for title in &titles {
                writeln!(std::io::stdout(), "would remove {title}")?;
            }
        }
        return Ok((true, json!({ "would_remove": titles })));
    }
    let mut steps = Vec::new();
    let code = here.start(&["teardown"], &mut |value| {
        steps.extend(value.get("step").cloned());
        if args.json { Ok(()) } else { show_step(value).map_err(Into::into) }
    })?;
    let complete = code == exit::COMPLETE;
    if complete && !args.json {
        writeln!(std::io::stdout(), "the set-up is taken back")?;
    }
    if !complete && !args.json {
        writeln!(
            std::io::stderr(),
            "codex-sandbox: something of the set-up is left: run `codex-sandbox teardown --all` again"
        )?;
    }
    Ok((complete, json!({ "complete": complete, "exit": code, "steps": steps })))
}
