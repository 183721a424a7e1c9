//! [`Launch`] on the machine itself.

use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};

use nt_security::{Acl, Sid};

use super::conpty::PseudoConsole;
use super::console::is_console;
use super::desktop::Desktop;
use super::error::Win32Error;
use super::job::Job;
use super::process::{Birth, Process, Streams, Words, inheritable};
use super::security::Attributes;
use super::token::Token;
use super::wide::WideString;
use crate::launch::steps::{Launch, ObjectSecurity};
use crate::launch::{LaunchError, Prepared};
use crate::plan::data::{DesktopPlan, JobPlan, Stub, TokenRecipe};

/// This machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

/// What a standard stream is connected to.
#[derive(Debug)]
pub enum Stream {
    /// The launcher's own.
    Inherit,
    /// Nothing.
    Null,
    /// An open file, pipe or console.
    Handle(OwnedHandle),
    /// A pseudo console, which is all three of them, and named for each.
    Terminal(PseudoConsole),
}

impl Launch for Machine {
    type Token = Token;
    type Job = Job;
    type Desktop = Desktop;
    type Stdio = [Stream; 3];
    type Process = Process;

    fn write_stub(&self, stub: &Stub) -> Result<(), LaunchError> {
        let path = stub.path.to_string();
        if std::fs::read(&path).is_ok_and(|content| content == stub.content.as_bytes()) {
            return Ok(());
        }
        std::fs::write(&path, &stub.content).map_err(|error| {
            let code = error.raw_os_error().unwrap_or_default().cast_unsigned();
            let remedy = "make the folder writable for yourself, or remove it: it is made anew";
            step("write the stub", Some(path), &Win32Error::of("WriteFile", code), remedy)
        })
    }

    fn restrict(&self, recipe: &TokenRecipe, restricting: &[Sid]) -> Result<Token, LaunchError> {
        let nested = "a process that is restricted itself cannot start a sandbox: run codex-sandbox outside";
        let token = Token::own().and_then(|own| own.restricted(&recipe.flags, restricting));
        token.map_err(|error| step("make the restricted token", None, &error, nested))
    }

    fn set_default_dacl(&self, token: &Token, dacl: &Acl) -> Result<(), LaunchError> {
        let remedy = "`codex-sandbox doctor` shows the token of this process";
        token
            .set_default_dacl(dacl)
            .map_err(|error| step("set the token's default DACL", None, &error, remedy))
    }

    fn set_integrity(&self, token: &Token, level: u32) -> Result<(), LaunchError> {
        let remedy = "a process below Medium integrity cannot start this sandbox: run codex-sandbox outside";
        token.set_integrity(level).map_err(|error| step("lower the token's integrity", None, &error, remedy))
    }

    fn check_token(
        &self,
        token: &Token,
        recipe: &TokenRecipe,
        restricting: &[Sid],
    ) -> Result<(), LaunchError> {
        let read = |error: Win32Error| step("read the token back", None, &error, "");
        let mut found = token.restricting().map_err(read)?;
        let mut wanted = restricting.to_vec();
        found.sort();
        wanted.sort();
        let wrong = |what: String| Err(LaunchError::WrongToken { what });
        if found != wanted {
            return wrong(format!("has {} of {} restricting SIDs", found.len(), wanted.len()));
        }
        let level = token.integrity().map_err(read)?;
        if level.is_none_or(|level| level > recipe.integrity) {
            return wrong(format!("has integrity level {level:?} in place of {}", recipe.integrity));
        }
        let privileges = token.privileges().map_err(read)?;
        if privileges > recipe.privileges.len() {
            return wrong(format!("has {privileges} privileges in place of {}", recipe.privileges.len()));
        }
        Ok(())
    }

    fn make_job(&self, plan: &JobPlan) -> Result<Job, LaunchError> {
        Job::new(plan)
            .map_err(|error| step("make the job object", None, &error, "try again with other limits"))
    }

    fn make_desktop(&self, plan: &DesktopPlan, run: &Sid) -> Result<Option<Desktop>, LaunchError> {
        let remedy = "-c windows.private_desktop=false runs the command on this desktop";
        let made =
            plan.sddl.as_ref().filter(|_| plan.private).map(|sddl| Desktop::new(sddl, run)).transpose();
        made.map_err(|error| step("make the private desktop", None, &error, remedy))
    }

    fn create_process(
        &self,
        token: &Token,
        (job, desktop): (&Job, Option<&Desktop>),
        security: &ObjectSecurity,
        stdio: [Stream; 3],
        command: &Prepared,
    ) -> Result<Process, LaunchError> {
        let own = own_streams(stdio)?;
        let attributes = Attributes::new(&security.descriptor()).map_err(|error| {
            LaunchError::WrongToken { what: format!("has a default DACL that is {error}") }
        })?;
        let birth = Birth {
            token,
            job: job.raw(),
            desktop: desktop.map(|desktop| &desktop.name),
            security: &attributes,
            streams: &own,
        };
        let mut words = words(command)?;
        let process = Process::create(&birth, &mut words).map_err(|error| refused(command, &error))?;
        // Dropping a suspended process that is in no job would leave it there.
        if let Err(error) = job.take(process.handle()) {
            process.kill();
            return Err(step(
                "put the command into its job",
                None,
                &error,
                "leave the job that this process is in",
            ));
        }
        Ok(process)
    }

    fn resume(&self, process: &mut Process) -> Result<(), LaunchError> {
        process.resume().map_err(|error| step("let the command run", None, &error, "try again"))
    }
}

/// The system's word on the program itself, as against the sandbox.
fn refused(command: &Prepared, error: &Win32Error) -> LaunchError {
    /// ERROR_DIRECTORY: lpCurrentDirectory is no folder.
    const DIRECTORY: u32 = 267;
    if error.code == DIRECTORY {
        return step(
            "enter the working directory",
            Some(command.cwd.clone()),
            error,
            "change to a folder that exists",
        );
    }
    LaunchError::Refused { path: command.application.clone(), system: error.system() }
}

fn words(command: &Prepared) -> Result<Words, LaunchError> {
    let wide = |text: &str, what| WideString::new(text).map_err(|_| LaunchError::NulInside { what });
    Ok(Words {
        application: wide(&command.application, "the program's path")?,
        command_line: wide(&command.command_line, "the command line")?,
        block: command.block.clone(),
        cwd: wide(&command.cwd, "the working directory")?,
    })
}

/// Inheritable handles, and whether one is a console: then the command shares it; else it must not open one of its own.
fn own_streams(stdio: [Stream; 3]) -> Result<Streams, LaunchError> {
    let mut shares_console = false;
    let [input, output, errors] = match stdio {
        [Stream::Terminal(console), ..] => return Ok(Streams::Terminal(console)),
        other => other,
    };
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let own = [stdin.as_handle(), stdout.as_handle(), stderr.as_handle()];
    let mut open = |stream: Stream, own: BorrowedHandle<'_>, writes| match stream {
        Stream::Inherit if has_handle(own) => {
            shares_console |= is_console(&own);
            inheritable(&own)
        }
        // A pseudo console is no single stream: whoever names it for one alone gets nothing there.
        Stream::Inherit | Stream::Null | Stream::Terminal(_) => {
            null(writes).and_then(|file| inheritable(&file))
        }
        Stream::Handle(handle) => {
            shares_console |= is_console(&handle);
            inheritable(&handle)
        }
    };
    let [own_input, own_output, own_errors] = own;
    let opened = open(input, own_input, false)
        .and_then(|input| Ok([input, open(output, own_output, true)?, open(errors, own_errors, true)?]));
    let handles = opened.map_err(|error| step("open the standard streams", None, &error, "redirect them"))?;
    Ok(Streams::Handles { handles, shares_console })
}

/// A program without a console may have no standard handles at all.
fn has_handle(handle: BorrowedHandle<'_>) -> bool {
    use std::os::windows::io::AsRawHandle;
    !handle.as_raw_handle().is_null()
}

fn null(writes: bool) -> Result<std::fs::File, Win32Error> {
    let file = std::fs::OpenOptions::new().read(!writes).write(writes).open("NUL");
    file.map_err(|error| {
        Win32Error::of("CreateFileW(NUL)", error.raw_os_error().unwrap_or_default().cast_unsigned())
    })
}

fn step(
    stage: &'static str,
    object: Option<String>,
    error: &Win32Error,
    remedy: &'static str,
) -> LaunchError {
    let mut system = error.system();
    system.text = format!("{}: {}", error.call, system.text);
    LaunchError::Step { stage, object, system, remedy }
}
