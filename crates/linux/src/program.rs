//! Finding the program, as execvp(3) does, before anything is started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::RunError;

/// The search path where PATH is not set (confstr(3) _CS_PATH).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Resolves `program`: a name with a slash is relative to `cwd`, another is looked for in `path`.
///
/// # Errors
/// [`RunError::NotFound`], or [`RunError::NotExecutable`] where only files that cannot be run were found.
pub fn find(program: &OsStr, path: Option<&OsStr>, cwd: &Path) -> Result<PathBuf, RunError> {
    let not_found = || RunError::NotFound { program: program.into() };
    if program.is_empty() {
        return Err(not_found());
    }
    if program.as_bytes().contains(&b'/') {
        // Left as it was typed: a script sees it as its $0, and execve(2) starts from the command's own folder.
        let found = check(&cwd.join(program));
        return found.map(|()| program.into()).map_err(|error| error.unwrap_or_else(not_found));
    }
    let default = OsString::from(DEFAULT_PATH);
    let mut refused = None;
    for dir in path.unwrap_or(&default).as_bytes().split(|byte| *byte == b':') {
        // An empty entry is the working directory.
        let file = cwd.join(OsStr::from_bytes(dir)).join(program);
        match check(&file) {
            Ok(()) => return Ok(file),
            // A folder in PATH that cannot be searched says nothing about the program.
            Err(error) => refused = refused.or(error.filter(|_| std::fs::symlink_metadata(&file).is_ok())),
        }
    }
    Err(refused.unwrap_or_else(not_found))
}

/// `Err(None)`: there is no such file.
fn check(file: &Path) -> Result<(), Option<RunError>> {
    let refuse = |source| Some(RunError::NotExecutable { program: file.to_path_buf(), source });
    let data = match std::fs::metadata(file) {
        Ok(data) => data,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Err(refuse(error)),
        Err(_) => return Err(None),
    };
    if data.is_dir() {
        return Err(refuse(std::io::Error::from_raw_os_error(libc::EISDIR)));
    }
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).map_err(|errno| refuse(errno.into()))
}
