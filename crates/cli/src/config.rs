//! Arguments as meant: configuration files, overrides and flags become one policy.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use codex_sandbox::linux::paths::HostPaths;
use codex_sandbox::policy::config::{self, Layer, Setting, units};
use codex_sandbox::policy::error::{PolicyError, Problem};
use codex_sandbox::policy::policy::{GitMode, Mode, Origin, WrittenPath};
use codex_sandbox::policy::resolve::{Place, reached_through, workspace};
use codex_sandbox::{Builder, Error, Policy, Sandbox};

use crate::args::PolicyArgs;
use crate::failure::Failure;

/// A policy with the workspace it is for.
pub struct Intent {
    policy: Policy,
    cwd: Option<PathBuf>,
    /// What the user should hear, one line each.
    pub notices: Vec<String>,
    files: Vec<PathBuf>,
}

impl Intent {
    /// What the user wrote, not yet resolved against any host.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether a configuration file that was read lies where the policy lets commands write: then a command would choose
    /// what the next one may do.
    pub fn check_files(&self, sandbox: &Sandbox) -> Result<(), Failure> {
        let roots = writable(sandbox);
        for file in &self.files {
            if let Some(folder) = reached_through(file, &roots, &HostPaths) {
                let origin = Origin::File { path: file.clone(), line: 1 };
                return Err(
                    PolicyError::new(origin, Problem::InWorkspace { folder: folder.to_path_buf() }).into()
                );
            }
        }
        Ok(())
    }

    /// A builder for the sandbox that was meant.
    pub fn builder(&self) -> Builder {
        let builder = Sandbox::builder(self.policy.clone());
        match &self.cwd {
            Some(cwd) => builder.current_dir(cwd),
            None => builder,
        }
    }
}

/// The folders in which commands may write.
#[cfg(target_os = "linux")]
fn writable(sandbox: &Sandbox) -> Vec<PathBuf> {
    sandbox.resolved().roots.iter().map(|root| root.path.clone()).collect()
}

/// The folders in which commands may write, as the system spells them when it resolves a path.
#[cfg(windows)]
fn writable(sandbox: &Sandbox) -> Vec<PathBuf> {
    let codex_sandbox::Plan::Windows(plan) = sandbox.plan() else { return Vec::new() };
    let roots = plan.policy.roots.iter().map(|root| PathBuf::from(root.to_string()));
    roots.map(|root| std::fs::canonicalize(&root).unwrap_or(root)).collect()
}

/// Nothing runs on a system without a backend.
#[cfg(not(any(target_os = "linux", windows)))]
fn writable(sandbox: &Sandbox) -> Vec<PathBuf> {
    match *sandbox {}
}

/// Reads everything that the policy is made of; later wins.
pub fn read(args: &PolicyArgs) -> Result<Intent, Failure> {
    let mut notices = Vec::new();
    let place = place(args)?;
    let mut layers = Vec::new();
    let mut files = Vec::new();
    let default = default_file(&place, &mut notices)?;
    let named = args.config.as_deref().map(|path| named_file(path, &place)).transpose()?;
    for (path, layer) in default.into_iter().chain(named) {
        files.push(path);
        layers.push(layer);
    }
    for text in &args.overrides {
        layers.push(config::parse_override(text)?);
    }
    layers.push(flags(args)?);
    Ok(Intent { policy: config::assemble(&layers)?, cwd: args.cwd.clone(), notices, files })
}

/// Where the run will happen: needed to tell whether a configuration file lies in the workspace.
fn place(args: &PolicyArgs) -> Result<Place, Failure> {
    let unusable = |source| Error::WorkingDirectory { path: PathBuf::from("."), source };
    let here = std::env::current_dir();
    let cwd = match (&args.cwd, here) {
        (Some(dir), Ok(here)) => here.join(dir),
        (Some(dir), Err(_)) if dir.is_absolute() => dir.clone(),
        (_, here) => here.map_err(unusable)?,
    };
    let home = home().filter(|home| home.is_absolute());
    let state = codex_sandbox::state_dir(std::env::var_os("XDG_CACHE_HOME"), home.as_deref());
    let config = codex_sandbox::config_file(home.as_deref()).map(|file| cwd.join(file));
    Ok(Place { cwd, home, tmpdir: None, state, config })
}

#[cfg(not(windows))]
fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

/// The profile. HOME, which git-bash sets, is not looked at by other programs.
#[cfg(windows)]
fn home() -> Option<PathBuf> {
    std::env::home_dir()
}

/// `$CODEX_HOME/config.toml`, `~/.codex/config.toml`. One that the workspace holds is not trusted, and passed over.
fn default_file(place: &Place, notices: &mut Vec<String>) -> Result<Option<(PathBuf, Layer)>, Failure> {
    let Some(path) = place.config.clone() else { return Ok(None) };
    if let Some(folder) = inside_workspace(&path, place) {
        if path.exists() {
            notices.push(format!(
                "{}: not read: it is inside the workspace {}, which is not trusted",
                path.display(),
                folder.display()
            ));
        }
        return Ok(None);
    }
    match read_file(&path) {
        Ok(bytes) => {
            let layer = config::parse(&bytes, &path)?;
            Ok(Some((path, layer)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(unreadable(path, source)),
    }
}

fn named_file(path: &Path, place: &Place) -> Result<(PathBuf, Layer), Failure> {
    // Relative to where the user typed it.
    let path =
        without_dots(&std::env::current_dir().map_or_else(|_| path.to_path_buf(), |here| here.join(path)));
    if let Some(folder) = inside_workspace(&path, place) {
        let origin = Origin::File { path, line: 1 };
        return Err(PolicyError::new(origin, Problem::InWorkspace { folder }).into());
    }
    let bytes = read_file(&path).map_err(|source| unreadable(path.clone(), source))?;
    let layer = config::parse(&bytes, &path)?;
    Ok((path, layer))
}

fn unreadable(path: PathBuf, source: io::Error) -> Failure {
    PolicyError::new(Origin::File { path, line: 1 }, Problem::Unreadable { source }).into()
}

/// The workspace, if the file lies in it, or a link on the way to it: commands may write there.
fn inside_workspace(path: &Path, place: &Place) -> Option<PathBuf> {
    let folder = workspace(place, &HostPaths)?;
    reached_through(path, &[folder], &HostPaths).map(Path::to_path_buf)
}

/// `work/../file` does not lie in `work`, whatever stands there.
fn without_dots(path: &Path) -> PathBuf {
    let dots = path.components().any(|part| part == std::path::Component::ParentDir);
    let real = path.parent().filter(|_| dots).and_then(|parent| std::fs::canonicalize(parent).ok());
    match (real, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_path_buf(),
    }
}

/// No more than the parser takes, and one byte, so that it notices. A FIFO or a device is not waited for.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(config::MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn flags(args: &PolicyArgs) -> Result<Layer, Failure> {
    let mut layer = Layer::new();
    let mut set = |setting: Setting, flag: String| layer.set(setting, Origin::Flag(flag));
    if let Some(text) = &args.mode {
        let flag = format!("--mode {text}");
        let mode = Mode::from_name(text).ok_or_else(|| bad_value(&flag, "--mode", MODES, text))?;
        set(Setting::Mode(mode), flag);
    }
    for dir in &args.writable {
        let flag = format!("--writable {}", dir.display());
        let path = WrittenPath { path: dir.clone(), origin: Origin::Flag(flag.clone()) };
        set(Setting::AddWritableRoot(path), flag);
    }
    if args.network {
        set(Setting::NetworkAccess(true), "--network".to_owned());
    }
    for path in &args.deny_read {
        let flag = format!("--deny-read {}", path.display());
        let path = WrittenPath { path: path.clone(), origin: Origin::Flag(flag.clone()) };
        set(Setting::AddDenyRead(path), flag);
    }
    if let Some(text) = &args.git {
        let flag = format!("--git {text}");
        let git = match text.as_str() {
            "protect" => GitMode::Protect,
            "commit" => GitMode::Commit,
            _ => return Err(bad_value(&flag, "--git", "protect or commit", text)),
        };
        set(Setting::Git(git), flag);
    }
    limits(args, &mut set)?;
    Ok(layer)
}

const MODES: &str = "read-only, workspace-write or danger-full-access";

fn limits(args: &PolicyArgs, set: &mut impl FnMut(Setting, String)) -> Result<(), Failure> {
    if let Some(text) = &args.timeout {
        let flag = format!("--timeout {text}");
        let time = units::duration(text)
            .ok_or_else(|| bad_value(&flag, "--timeout", "a time such as 30s or 5m", text))?;
        set(Setting::WallClock(Some(time)), flag);
    }
    if let Some(text) = &args.memory {
        let flag = format!("--memory {text}");
        let bytes = units::bytes(text)
            .ok_or_else(|| bad_value(&flag, "--memory", "a size such as 512M or 2GiB", text))?;
        set(Setting::Memory(Some(bytes)), flag);
    }
    if let Some(text) = &args.processes {
        let flag = format!("--processes {text}");
        let count = text.parse::<u64>().ok().filter(|count| *count > 0);
        let count = count.ok_or_else(|| bad_value(&flag, "--processes", "a whole number above 0", text))?;
        set(Setting::Processes(Some(count)), flag);
    }
    Ok(())
}

fn bad_value(flag: &str, key: &'static str, expected: &'static str, got: &str) -> Failure {
    let problem = Problem::BadValue { key, expected, got: format!("{got:?}") };
    PolicyError::new(Origin::Flag(flag.to_owned()), problem).into()
}
