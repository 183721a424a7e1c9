//! A folder in an ordinary user's home, and commands that run there as that user.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::machine::{self, USER};
use crate::process;

/// The folder. Removed when dropped, with the private temporary folders that runs made.
#[derive(Debug)]
pub struct Place {
    dir: PathBuf,
}

impl Place {
    /// Makes the folder: as root in the home of the tests' ordinary user, else in one's own.
    ///
    /// # Errors
    /// There is no such home, or the folder cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let home = if machine::is_root() { machine::user_home() } else { std::env::home_dir() };
        let home = home.with_context(|| format!("no home folder (as root: of the user {USER})"))?;
        let dir = home.join(".cache").join(format!("codex-sandbox-{name}-{}", std::process::id()));
        let place = Self { dir };
        let mut mkdir = as_user("mkdir");
        mkdir.arg("-p").arg(&place.dir).current_dir("/");
        process::output(&mut mkdir)?;
        Ok(place)
    }

    /// A copy of a program that this repository built: the user may not be able to read the repository.
    ///
    /// # Errors
    /// The system's.
    pub fn program(&self, built: &Path) -> Result<PathBuf> {
        let copy = self.dir.join(built.file_name().context("a program has a name")?);
        std::fs::copy(built, &copy).with_context(|| format!("cannot copy {}", built.display()))?;
        Ok(copy)
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A new workspace, with an empty `.git`.
    ///
    /// # Errors
    /// The system's.
    pub fn workspace(&self, name: &str) -> Result<PathBuf> {
        let dir = self.path(name);
        std::fs::create_dir_all(dir.join(".git"))
            .with_context(|| format!("cannot create {}", dir.display()))?;
        self.hand_over(&dir)?;
        Ok(dir)
    }

    /// Makes the user and its group the owners of the whole tree: a group that does not exist in the sandbox would be shown
    /// as another one, and git would read every file again.
    ///
    /// # Errors
    /// `chown` failed.
    pub fn hand_over(&self, dir: &Path) -> Result<()> {
        if machine::is_root() {
            process::output(Command::new("chown").args(["-R", &format!("{USER}:")]).arg(dir))?;
        }
        Ok(())
    }

    /// The program, as the ordinary user, in `cwd`, with an environment that is the same on every machine.
    pub fn command(&self, cwd: &Path, program: impl AsRef<OsStr>) -> Command {
        let mut command = as_user(program);
        command.current_dir(cwd).env_clear();
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8");
        command.env("HOME", &self.dir).env("XDG_CACHE_HOME", self.path("cache"));
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Programs leave folders without permissions behind, which only `chmod` opens for those who are not root.
        let _opened = Command::new("chmod").args(["-R", "u+rwX"]).arg(&self.dir).output();
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            println!("note: {} is left behind: {error}", self.dir.display());
        }
    }
}

fn as_user(program: impl AsRef<OsStr>) -> Command {
    if !machine::is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={USER}"))
        .arg(format!("--regid={USER}"))
        .arg("--init-groups")
        .arg("--")
        .arg(program);
    command
}
