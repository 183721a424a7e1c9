//! Which file a program's name means: PATH × PATHEXT, to an absolute path, before the system is asked to start anything.
//!
//! The current folder is never searched: the workspace is not trusted. Neither are app execution aliases of the Store started: the
//! package needs an identity that a restricted token does not have (field report 1).

use super::environment::{Environment, split_path};
use super::error::LaunchError;

/// What stands at a path, for those who look for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file, or a link to one.
    File,
    /// A folder.
    Folder,
    /// A file with the reparse tag IO_REPARSE_TAG_APPEXECLINK.
    StoreAlias,
}

/// The one question about the machine.
pub trait Files {
    /// What stands there; `None` for nothing.
    fn kind(&self, path: &str) -> Option<FileKind>;
}

/// How a program is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// As a process.
    Image,
    /// By cmd.exe.
    Batch,
}

/// A program that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its absolute path.
    pub path: String,
    /// How it is started.
    pub how: How,
    /// What was taken in the place of what was asked for.
    pub notice: Option<String>,
}

/// Where programs are looked for.
#[derive(Debug, Clone)]
pub struct Places<'a> {
    /// What a relative path is relative to; absolute.
    pub cwd: &'a str,
    /// PATH, PATHEXT and ProgramFiles are read.
    pub environment: &'a Environment,
}

const DEFAULT_EXTENSIONS: &str = ".COM;.EXE;.BAT;.CMD";

/// Finds a program.
///
/// # Errors
/// [`LaunchError::NotFound`], [`LaunchError::StoreAlias`], [`LaunchError::NotExecutable`].
pub fn resolve(name: &str, places: &Places<'_>, files: &impl Files) -> Result<Program, LaunchError> {
    let not_found = |folders| LaunchError::NotFound { program: name.to_owned(), folders };
    if name.is_empty() || name.contains('\0') {
        return Err(not_found(0));
    }
    let extensions = extensions(places.environment);
    if name.contains(['\\', '/', ':']) {
        let at = absolute(name, places.cwd).ok_or_else(|| not_found(0))?;
        let found = look(&at, &extensions, files).ok_or_else(|| not_found(0))?;
        return program(found);
    }
    let path = places.environment.get("PATH").unwrap_or_default();
    let folders: Vec<String> =
        split_path(&path).map(|entry| entry.replace('"', "")).filter(|entry| is_absolute(entry)).collect();
    let mut alias = None;
    for folder in &folders {
        match look(&join(folder, name), &extensions, files) {
            Some((path, FileKind::StoreAlias)) => alias = alias.or(Some(path)),
            Some(found) => return program(found).map(|program| passed_over(program, alias.as_deref())),
            None => {}
        }
    }
    // An alias that the plan took out of PATH with its folder is still the reason why nothing was found.
    match alias.or_else(|| taken_out(name, places.environment, &extensions, files)) {
        Some(alias) => in_place_of(&alias, places.environment, files),
        None => Err(not_found(folders.len())),
    }
}

/// The per-user folder of the Store's aliases.
fn taken_out(
    name: &str,
    environment: &Environment,
    extensions: &[String],
    files: &impl Files,
) -> Option<String> {
    let folder = format!(r"{}\Microsoft\WindowsApps", environment.get("LOCALAPPDATA")?);
    let (path, kind) = look(&join(&folder, name), extensions, files)?;
    (kind == FileKind::StoreAlias).then_some(path)
}

/// The name itself if it has an extension, then with each of PATHEXT.
fn look(at: &str, extensions: &[String], files: &impl Files) -> Option<(String, FileKind)> {
    let exact = extension(at).is_some().then(|| at.to_owned());
    let candidates = exact.into_iter().chain(extensions.iter().map(|extension| format!("{at}{extension}")));
    candidates.into_iter().find_map(|path| {
        let kind = files.kind(&path)?;
        (kind != FileKind::Folder).then_some((path, kind))
    })
}

fn program((path, kind): (String, FileKind)) -> Result<Program, LaunchError> {
    if kind == FileKind::StoreAlias || in_package_folder(&path) {
        return Err(LaunchError::StoreAlias { path });
    }
    let how = match extension(&path).map(str::to_ascii_lowercase).as_deref() {
        Some("bat" | "cmd") => How::Batch,
        Some("exe" | "com") => How::Image,
        _ => {
            let why = "it is not a program (.exe, .com) or batch file (.bat, .cmd)".to_owned();
            return Err(LaunchError::NotExecutable { path, why });
        }
    };
    Ok(Program { path, how, notice: None })
}

/// Packages live in `…\WindowsApps\NAME_VERSION_…`, and need their identity too.
fn in_package_folder(path: &str) -> bool {
    path.to_ascii_lowercase().contains(r"\windowsapps\")
}

fn passed_over(program: Program, alias: Option<&str>) -> Program {
    let notice = alias.map(|alias| {
        format!(
            "{alias} is a Store alias, which a restricted token cannot start: {} runs in its place",
            program.path
        )
    });
    Program { notice, ..program }
}

/// For PowerShell there is always another one; nothing else is replaced.
fn in_place_of(alias: &str, environment: &Environment, files: &impl Files) -> Result<Program, LaunchError> {
    let name = alias.rsplit('\\').next().unwrap_or_default().to_ascii_lowercase();
    let folder = |variable: &str, rest: &str| Some(format!("{}{rest}", environment.get(variable)?));
    let candidates = match name.as_str() {
        "pwsh.exe" | "powershell.exe" => vec![
            folder("ProgramFiles", r"\PowerShell\7\pwsh.exe"),
            folder("SystemRoot", r"\System32\WindowsPowerShell\v1.0\powershell.exe"),
        ],
        _ => Vec::new(),
    };
    let found = candidates.into_iter().flatten().find(|path| files.kind(path) == Some(FileKind::File));
    match found {
        Some(path) => program((path, FileKind::File)).map(|program| passed_over(program, Some(alias))),
        None => Err(LaunchError::StoreAlias { path: alias.to_owned() }),
    }
}

fn extensions(environment: &Environment) -> Vec<String> {
    let own = environment.get("PATHEXT").filter(|value| !value.trim().is_empty());
    let value = own.unwrap_or_else(|| DEFAULT_EXTENSIONS.to_owned());
    value.split(';').filter(|part| part.starts_with('.')).map(str::to_ascii_lowercase).collect()
}

/// What stands after the last dot of the last component.
fn extension(path: &str) -> Option<&str> {
    let name = path.rsplit(['\\', '/']).next()?;
    name.rsplit_once('.').map(|(_, extension)| extension).filter(|extension| !extension.is_empty())
}

fn join(folder: &str, name: &str) -> String {
    if folder.ends_with('\\') { format!("{folder}{name}") } else { format!(r"{folder}\{name}") }
}

fn is_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    let drive = bytes.len() >= 3 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
    (drive && matches!(bytes[2], b'\\' | b'/')) || path.starts_with(r"\\")
}

/// Without asking the system, whose current folder is not the command's. `C:name`, relative to another drive's current folder, has no
/// meaning here.
fn absolute(path: &str, cwd: &str) -> Option<String> {
    let path = path.replace('/', r"\");
    if is_absolute(&path) {
        return Some(path);
    }
    if path.get(1..2) == Some(":") {
        return None;
    }
    if path.starts_with('\\') {
        return Some(format!("{}{path}", cwd.get(..2)?));
    }
    let mut folder = cwd.trim_end_matches('\\').to_owned();
    let mut rest = path.as_str();
    loop {
        if let Some(after) = rest.strip_prefix(r".\") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix(r"..\") {
            rest = after;
            let up = folder.rfind('\\')?;
            folder.truncate(up);
        } else {
            return Some(join(&folder, rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Disk(BTreeMap<String, FileKind>);

    impl Files for Disk {
        fn kind(&self, path: &str) -> Option<FileKind> {
            self.0.get(&path.to_ascii_lowercase()).copied()
        }
    }

    fn disk(files: &[(&str, FileKind)]) -> Disk {
        Disk(files.iter().map(|(path, kind)| (path.to_ascii_lowercase(), *kind)).collect())
    }

    fn find(name: &str, path: &str, files: &[(&str, FileKind)]) -> Result<Program, LaunchError> {
        let mut environment = Environment::default();
        environment.set("PATH", path);
        environment.set("ProgramFiles", r"C:\Program Files");
        environment.set("SystemRoot", r"C:\Windows");
        environment.set("LOCALAPPDATA", r"C:\Users\u\AppData\Local");
        resolve(name, &Places { cwd: r"C:\work\sub", environment: &environment }, &disk(files))
    }

    use FileKind::{File, Folder, StoreAlias};

    #[test]
    fn path_times_pathext_in_this_order() {
        let files =
            [(r"C:\a\git", File), (r"C:\b\git.cmd", File), (r"C:\b\git.exe", File), (r"C:\c\git.com", File)];
        let git = find("git", r"rel;C:\a;C:\b;C:\c", &files).expect("found");
        assert_eq!((git.path.as_str(), git.how), (r"C:\b\git.exe", How::Image));
        assert_eq!(find("git.cmd", r"C:\b", &files).expect("found").how, How::Batch);
    }

    #[test]
    fn the_working_directory_is_not_searched() {
        let files = [(r"C:\work\sub\evil.exe", File), (r"C:\work\up.exe", File)];
        let error = find("evil", r".;;C:\a", &files).expect_err("only asked for by a path");
        assert_eq!(error, LaunchError::NotFound { program: "evil".to_owned(), folders: 1 });
        assert_eq!(find(r".\evil", "", &files).expect("a path").path, r"C:\work\sub\evil.exe");
        assert_eq!(find("../up.exe", "", &files).expect("a path").path, r"C:\work\up.exe");
        assert_eq!(find(r"\work\up", "", &files).expect("a path").path, r"C:\work\up.exe");
        assert!(find(r"D:up.exe", "", &files).is_err());
    }

    #[test]
    fn folders_and_scripts_are_no_programs() {
        assert!(find("tool", r"C:\a", &[(r"C:\a\tool.exe", Folder)]).is_err());
        let error = find("x.ps1", r"C:\a", &[(r"C:\a\x.ps1", File)]).expect_err("no interpreter is guessed");
        assert_eq!(error.code(), "run.not-executable");
    }

    #[test]
    fn field_26186_a_store_powershell_is_replaced_and_said() {
        let alias = (r"C:\Users\u\AppData\Local\Microsoft\WindowsApps\pwsh.exe", StoreAlias);
        let apps = r"C:\Users\u\AppData\Local\Microsoft\WindowsApps";
        let seven = (r"C:\Program Files\PowerShell\7\pwsh.exe", File);
        let five = (r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe", File);
        for path in [apps, r"C:\a"] {
            let found = find("pwsh", path, &[alias, seven, five]).expect("replaced");
            assert_eq!(found.path, seven.0);
            assert!(found.notice.is_some_and(|text| text.contains(alias.0) && text.contains(seven.0)));
        }
        assert_eq!(find("pwsh", apps, &[alias, five]).expect("replaced").path, five.0);
        assert_eq!(find("pwsh", apps, &[alias]).map_err(|error| error.code()), Err("run.store-alias"));
    }

    #[test]
    fn field_26186_other_aliases_are_passed_over_or_refused() {
        let alias = (r"C:\Users\u\AppData\Local\Microsoft\WindowsApps\python.exe", StoreAlias);
        let apps = r"C:\Users\u\AppData\Local\Microsoft\WindowsApps";
        let real = (r"C:\Python\python.exe", File);
        let found = find("python", &format!(r"{apps};C:\Python"), &[alias, real]).expect("the next one");
        assert_eq!(found.path, real.0);
        assert!(found.notice.is_some());
        let error = find("python", apps, &[alias]).expect_err("nothing else is there");
        assert!(error.to_string().contains("alias") && !error.remedy().is_empty());
        let package = (r"C:\Program Files\WindowsApps\Microsoft.X_1\x.exe", File);
        assert_eq!(find(package.0, "", &[package]).map_err(|error| error.code()), Err("run.store-alias"));
    }
}
