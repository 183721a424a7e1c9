//! From a plan to a running command: program, command line, environment, token, job, desktop, process.
//!
//! What can be decided without the system is decided here, and tested everywhere; every effect is a method of [`Launch`].

pub mod elevated;
pub mod environment;
pub mod error;
pub mod program;
pub mod quote;
pub mod steps;

pub use environment::Environment;
pub use error::LaunchError;
pub use steps::{Launch, Started, start};

use program::{Files, How, Places};

use crate::plan::WindowsPlan;

/// A command as it was asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// A name, or a path.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it starts: absolute.
    pub cwd: String,
    /// The environment before the plan's changes.
    pub environment: Environment,
}

/// A command as CreateProcess takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// lpApplicationName: an absolute path.
    pub application: String,
    /// lpCommandLine.
    pub command_line: String,
    /// lpEnvironment.
    pub block: Vec<u16>,
    /// lpCurrentDirectory.
    pub cwd: String,
    /// What the user should hear.
    pub notices: Vec<String>,
}

/// Finds the program and makes the command line and environment. `windows` is Windows' own folder, whose cmd.exe runs batch files.
///
/// # Errors
/// [`LaunchError`], of those that need no effect.
pub fn prepare(
    plan: &WindowsPlan,
    mut asked: Asked,
    windows: &str,
    files: &impl Files,
) -> Result<Prepared, LaunchError> {
    asked.environment.change(&plan.environment);
    let places = Places { cwd: &asked.cwd, environment: &asked.environment };
    let program = program::resolve(&asked.program, &places, files)?;
    let (application, command_line) = match program.how {
        How::Image => {
            let line = quote::command_line(&program.path, &asked.arguments)?;
            (program.path, line)
        }
        How::Batch => {
            let cmd = format!(r"{windows}\System32\cmd.exe");
            let line = quote::batch_line(&cmd, &program.path, &asked.arguments)?;
            (cmd, line)
        }
    };
    let block = asked.environment.block()?;
    let notices = program.notice.into_iter().collect();
    Ok(Prepared { application, command_line, block, cwd: asked.cwd, notices })
}
