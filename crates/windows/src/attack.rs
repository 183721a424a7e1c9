//! The escape attempts: each is made by an ordinary process of ours, inside the sandbox, where it must fail, and outside, where it
//! must succeed (else its failure inside proves nothing). Some are no escapes but everyday work, which must succeed in both places.
//!
//! `doctor --attack` and the tests in the lab drive them; what an attempt finds out is one line on its standard output.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

mod edits;
mod files;
mod objects;
mod processes;
mod rights;
mod scene;

pub use crate::win32::probe::Offered;
pub use objects::OFFERED;
pub use processes::LEAKED;
pub use scene::Scene;

/// What must come of an attempt inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It is refused.
    Denied,
    /// It succeeds: it is everyday work.
    Done,
}

/// An attempt.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// What must come of it inside.
    pub wanted: Wanted,
    /// Makes it.
    act: fn(&Scene) -> io::Result<()>,
}

const fn attempt(
    name: &'static str,
    what: &'static str,
    wanted: Wanted,
    act: fn(&Scene) -> io::Result<()>,
) -> Attempt {
    Attempt { name, what, wanted, act }
}

/// What came of an attempt, as its process says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It got through.
    Done,
    /// The system refused it.
    Denied(String),
    /// Something else went wrong: it proves nothing.
    Broken(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Denied(how) => write!(f, "denied {how}"),
            Self::Broken(why) => write!(f, "broken {why}"),
        }
    }
}

impl Verdict {
    /// Reads what [`Display`](fmt::Display) writes: the last such line of a process' output.
    pub fn read(output: &str) -> Self {
        let verdict = output.lines().rev().find_map(|line| {
            let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            match word {
                "done" => Some(Self::Done),
                "denied" => Some(Self::Denied(rest.to_owned())),
                "broken" => Some(Self::Broken(rest.to_owned())),
                _ => None,
            }
        });
        verdict.unwrap_or_else(|| Self::Broken(format!("it said {output:?}")))
    }

    /// Access denied, a privilege or a write-protected object: the answers of an access check. Nothing else is a denial.
    fn of(result: io::Result<()>) -> Self {
        /// ERROR_WRITE_PROTECT, ERROR_PRIVILEGE_NOT_HELD, and ERROR_BAD_IMPERSONATION_LEVEL: with a token of more rights than its own
        /// a process may only find out whose it is.
        const OTHER_DENIALS: [i32; 3] = [19, 1314, 1346];
        match result {
            Ok(()) => Self::Done,
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    || error.raw_os_error().is_some_and(|code| OTHER_DENIALS.contains(&code)) =>
            {
                Self::Denied(one_line(&error))
            }
            Err(error) => Self::Broken(one_line(&error)),
        }
    }
}

fn one_line(error: &io::Error) -> String {
    error.to_string().replace(['\r', '\n'], " ")
}

/// Every attempt.
pub fn all() -> impl Iterator<Item = &'static Attempt> {
    let tables = [files::ATTEMPTS, rights::ATTEMPTS, processes::ATTEMPTS, objects::ATTEMPTS];
    tables.into_iter().flatten()
}

/// Makes an attempt, in this process.
pub fn make(name: &str, scene: &Path) -> Verdict {
    match all().find(|attempt| attempt.name == name) {
        Some(attempt) => Verdict::of((attempt.act)(&Scene::at(scene))),
        None => Verdict::Broken(format!("there is no attempt {name:?}")),
    }
}

/// A second handle to an open file that every child may inherit, as a careless launcher would leave it, and its number.
///
/// # Errors
/// The system's.
pub fn leak(file: &std::fs::File) -> io::Result<(std::os::windows::io::OwnedHandle, usize)> {
    use std::os::windows::io::AsRawHandle;
    let handle = crate::win32::inheritable(file)
        .map_err(|error| io::Error::from_raw_os_error(error.code.cast_signed()))?;
    let number = handle.as_raw_handle().expose_provenance();
    Ok((handle, number))
}

/// This program again, as an attempt: for children.
fn again(name: &str, scene: &Scene) -> io::Result<std::process::Command> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("attack").arg(name).arg(scene.top());
    Ok(command)
}

/// Runs this program again as an attempt, and takes over what it says.
fn pass_on(name: &str, scene: &Scene) -> io::Result<()> {
    let output = again(name, scene)?.output()?;
    match Verdict::read(&String::from_utf8_lossy(&output.stdout)) {
        Verdict::Done => Ok(()),
        Verdict::Denied(how) => Err(io::Error::new(io::ErrorKind::PermissionDenied, how)),
        Verdict::Broken(why) => Err(io::Error::other(why)),
    }
}

/// What no attempt may be made with: a path that is not there proves nothing.
fn there(path: PathBuf) -> io::Result<PathBuf> {
    std::fs::symlink_metadata(&path).map(|_| path)
}
