//! A workspace for one test.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::binary::probe;
use crate::run::{Output, Run};
use crate::user::User;

/// Temporary folders of tests begin with this.
const PREFIX: &str = "cst-";

/// Folders of one test, which belong to its user and vanish with it.
///
/// ```text
/// BASE/home       HOME of the commands
/// BASE/outside    a folder that is no root
/// WORK            the workspace: BASE/work, or a folder in /tmp
/// ```
#[derive(Debug)]
pub struct Place {
    user: User,
    base: TempDir,
    work: PathBuf,
    /// What holds the workspace, if the base does not.
    in_tmp: Option<TempDir>,
}

impl Place {
    /// With the workspace under the user's home folder.
    pub fn new(user: &User) -> Self {
        let base = base(user);
        let work = base.path().join("work");
        Self::finish(user, base, work, None)
    }

    /// With the workspace in `/tmp`, where the sandbox lays a folder of its own over the host's.
    pub fn in_tmp(user: &User) -> Self {
        let base = base(user);
        let tmp = temp_dir(Path::new("/tmp"), user);
        let work = tmp.path().join("work");
        Self::finish(user, base, work, Some(tmp))
    }

    fn finish(user: &User, base: TempDir, work: PathBuf, in_tmp: Option<TempDir>) -> Self {
        let place = Self { user: user.clone(), base, work, in_tmp };
        for dir in [place.home(), place.outside_dir(), place.work.clone()] {
            place.mkdir(dir);
        }
        place
    }

    /// The user whom commands run as.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The workspace.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// The commands' home folder.
    pub fn home(&self) -> PathBuf {
        self.base.path().join("home")
    }

    /// A folder that belongs to the user and is no root.
    pub fn outside_dir(&self) -> PathBuf {
        self.base.path().join("outside")
    }

    /// The folder that holds the others, unless the workspace is in `/tmp`.
    pub fn base(&self) -> &Path {
        self.base.path()
    }

    /// A path in the workspace; absolute paths stay what they are.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.work.join(name)
    }

    /// Tests run as root: a path by mistake must not land on the machine.
    fn mine(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.path(name);
        let holders = [Some(&self.base), self.in_tmp.as_ref()];
        let of_the_test = holders.into_iter().flatten().any(|dir| path.starts_with(dir.path()));
        assert!(of_the_test, "{} is no path of the test", path.display());
        path
    }

    /// Makes a folder with its parents, relative to the workspace; it belongs to the user.
    pub fn mkdir(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.path(name);
        if !path.is_dir() {
            let path = self.mine(&path);
            if let Some(parent) = path.parent() {
                self.mkdir(parent);
            }
            fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            self.give(&path);
        }
        path
    }

    /// Writes a file, relative to the workspace, with its folders; it belongs to the user.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.mine(name);
        if let Some(parent) = path.parent() {
            self.mkdir(parent);
        }
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.give(&path);
        path
    }

    /// Writes an executable file.
    pub fn script(&self, name: impl AsRef<Path>, content: &str) -> PathBuf {
        let path = self.write(name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .expect("a file just written can be changed");
        path
    }

    /// Reads a file, relative to the workspace.
    pub fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Every name in a folder (relative to the workspace) and below, sorted.
    pub fn list(&self, name: impl AsRef<Path>) -> Vec<PathBuf> {
        let top = self.path(name);
        let mut found = Vec::new();
        collect(&top, &top, &mut found);
        found.sort();
        found
    }

    fn give(&self, path: &Path) {
        if !self.user.is_me() {
            chown(path, Some(self.user.uid), Some(self.user.gid)).expect("root can give files away");
        }
    }

    /// A command in the sandbox, started in the workspace.
    pub fn sandboxed<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Run {
        Run::new(&self.user, self.home().as_os_str(), self.work.clone(), words)
    }

    /// The same command without the sandbox.
    pub fn outside<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Run {
        self.sandboxed(words).without_sandbox()
    }

    /// Runs a command in the sandbox to its end.
    pub fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Output {
        self.sandboxed(words).output()
    }

    /// Runs a shell script in the sandbox to its end.
    pub fn sh(&self, script: &str) -> Output {
        self.run(["sh", "-c", script])
    }

    /// Runs a shell script without the sandbox, and asserts that it succeeds: for setting the scene.
    #[track_caller]
    pub fn prepare(&self, script: &str) -> Output {
        let output = self.outside(["sh", "-ec", script]).output();
        output.expect_code(0);
        output
    }

    /// Operations of the probe in the sandbox: `ok` or an error's name for each. See `src/bin/probe`.
    #[track_caller]
    pub fn try_inside(&self, ops: &[Vec<OsString>]) -> Vec<String> {
        self.try_with(&[], ops)
    }

    /// The same with options of `codex-sandbox run`.
    #[track_caller]
    pub fn try_with(&self, flags: &[&str], ops: &[Vec<OsString>]) -> Vec<String> {
        answers(ops, &self.sandboxed(probe_words(ops)).flags(flags).output())
    }

    /// The same operations without the sandbox.
    #[track_caller]
    pub fn try_outside(&self, ops: &[Vec<OsString>]) -> Vec<String> {
        answers(ops, &self.outside(probe_words(ops)).output())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Processes of a test that failed may need a moment to die, and write meanwhile. What stays all the same is left to
        // the temporary folder's own removal.
        let base = self.base.path();
        for _ in 0..20 {
            // The kernel leaves a folder of mode 000 in an overlay's work folder, which only root can list.
            let _best_effort =
                Command::new("chmod").args(["-R", "u+rwX"]).arg(base).stderr(Stdio::null()).status();
            if fs::remove_dir_all(base).is_ok() || !base.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn base(user: &User) -> TempDir {
    temp_dir(&user.home, user)
}

fn temp_dir(parent: &Path, user: &User) -> TempDir {
    let dir = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(parent)
        .unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
    if !user.is_me() {
        chown(dir.path(), Some(user.uid), Some(user.gid)).expect("root can give files away");
    }
    dir
}

fn collect(top: &Path, dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let entry = entry.expect("a folder can be listed to its end");
        let path = entry.path();
        found.push(path.strip_prefix(top).expect("it was found below").to_path_buf());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(top, &path, found);
        }
    }
}

/// Operations follow each other, with a comma between.
fn probe_words(ops: &[Vec<OsString>]) -> Vec<OsString> {
    let mut words = vec![probe().as_os_str().to_owned()];
    for op in ops {
        words.extend(op.iter().cloned());
        words.push(",".into());
    }
    words
}

#[track_caller]
fn answers(ops: &[Vec<OsString>], output: &Output) -> Vec<String> {
    output.expect_code(0);
    let lines: Vec<String> = output.out().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), ops.len(), "one answer for each operation; {output}");
    lines
}
