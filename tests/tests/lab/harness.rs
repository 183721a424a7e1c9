//! A Windows machine of one test's own.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Longer than any of these runs takes on a busy machine; a guard against hanging.
const MOST: Duration = Duration::from_secs(600);

/// As whom programs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// An elevated administrator.
    Elevated,
    /// The same one, not elevated.
    Filtered,
    /// A user who is no administrator.
    Standard,
}

/// A prefix of the lab, with a user's profile.
pub struct Machine {
    runner: PathBuf,
    program: PathBuf,
    prefix: tempfile::TempDir,
    user: User,
    /// Which rights count as writing for a write-restricted token; empty for the lab's default. See lab/README.md.
    reading: &'static str,
}

/// How a program ended.
pub struct Ended {
    /// As Linux sees it: the low eight bits of the exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: String,
}

impl Machine {
    /// A fresh one, as an elevated administrator; `None`, and said so, where there is no lab.
    pub fn new(test: &str) -> Option<Self> {
        Self::reading(test, "")
    }

    /// One whose server takes the other reading of "write" (`strict`, `generic`).
    pub fn reading(test: &str, reading: &'static str) -> Option<Self> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let (Some(runner), Some(program)) = (variable("CODEX_SANDBOX_LAB"), variable("CODEX_SANDBOX_EXE"))
        else {
            skipped(test, "CODEX_SANDBOX_LAB and CODEX_SANDBOX_EXE say no lab and no program");
            return None;
        };
        // Extended attributes, which hold the descriptors, need a file system that keeps them.
        let parent = program.parent().expect("the program lies in a folder");
        let prefix =
            tempfile::Builder::new().prefix("lab-").tempdir_in(parent).expect("a folder beside the program");
        let made = Command::new(&runner).arg("-n").arg(prefix.path()).status().expect("the runner runs");
        assert!(made.success(), "a prefix is made");
        let machine = Self { runner, program, prefix, user: User::Elevated, reading };
        std::fs::create_dir(machine.work()).expect("the profile is there");
        // The lab's server and services keep the standard streams of whoever starts them: not those that a test reads to their end.
        let streams = || Stdio::null();
        let mut first = machine.command(["--version"]);
        let started = first.stdout(streams()).stderr(streams()).status().expect("the runner runs");
        assert!(started.success(), "the program starts in the lab");
        Some(machine)
    }

    /// The same machine, as another kind of user.
    pub fn user(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    /// The profile, as Linux sees it.
    pub fn home(&self) -> PathBuf {
        self.prefix.path().join("drive_c/users/user")
    }

    /// The workspace, as Linux sees it: `C:\users\user\work`.
    pub fn work(&self) -> PathBuf {
        self.home().join("work")
    }

    /// The state folder, as Linux sees it.
    pub fn state(&self) -> PathBuf {
        self.home().join("AppData/Local/codex-sandbox")
    }

    /// The program in the workspace, to be started.
    pub fn command<S: Into<OsString>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.command_in(&self.work(), args)
    }

    /// The program in another folder.
    pub fn command_in<S: Into<OsString>>(&self, folder: &Path, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.any(folder);
        command.arg(&self.program).args(args.into_iter().map(Into::into));
        command
    }

    /// Winlab, without a program yet.
    pub fn any(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.runner);
        match self.user {
            User::Elevated => {}
            User::Filtered => _ = command.arg("-l"),
            User::Standard => _ = command.arg("-u"),
        }
        command.arg("-k").arg("-p").arg(self.prefix.path()).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("WINLAB_TIMEOUT", MOST.as_secs().to_string());
        if !self.reading.is_empty() {
            command.env("WINLAB_WRITE_RESTRICTED", self.reading);
        }
        command
    }

    /// Any command, without the sandbox, in the workspace.
    pub fn outside<S: Into<OsString>>(&self, words: impl IntoIterator<Item = S>) -> Ended {
        let mut command = self.any(&self.work());
        command.args(words.into_iter().map(Into::into));
        finish(command.spawn().expect("the runner runs"), &[])
    }

    /// Runs the program in the workspace.
    pub fn program<S: Into<OsString>>(&self, args: impl IntoIterator<Item = S>) -> Ended {
        finish(self.command(args).spawn().expect("the runner runs"), &[])
    }

    /// `run --quiet -- …` in the workspace.
    pub fn run<S: Into<OsString>>(&self, words: impl IntoIterator<Item = S>) -> Ended {
        self.run_with(&["--quiet"], words)
    }

    /// `run OPTIONS -- …` in the workspace.
    pub fn run_with<S: Into<OsString>>(&self, options: &[&str], words: impl IntoIterator<Item = S>) -> Ended {
        let options = std::iter::once("run").chain(options.iter().copied()).chain(["--"]).map(OsString::from);
        self.program(options.chain(words.into_iter().map(Into::into)))
    }

    /// The same for commands that leave something running, which in the lab keeps their standard streams.
    pub fn outside_unheard<S: Into<OsString>>(&self, words: impl IntoIterator<Item = S>) -> Option<i32> {
        let mut command = self.any(&self.work());
        command.args(words.into_iter().map(Into::into)).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("the runner runs").code()
    }

    /// The program's own path, as Windows sees it.
    pub fn own_path(&self) -> String {
        seen_by_windows(&self.program)
    }

    /// A child that is no Rust program (see child/child.c): its path as Windows sees it. `None`, and said so, without a compiler.
    pub fn c_child(&self, test: &str) -> Option<String> {
        let path = self.c_file(test)?;
        Some(seen_by_windows(&path))
    }

    /// The same, as Linux sees it.
    pub fn c_file(&self, test: &str) -> Option<PathBuf> {
        static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let folder = self.program.parent().expect("the program lies in a folder");
        match BUILT.get_or_init(|| build_child(folder)) {
            Ok(path) => Some(path.clone()),
            Err(reason) => {
                skipped(test, reason);
                None
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _gone_already = Command::new(&self.runner).arg("-s").arg(self.prefix.path()).status();
    }
}

/// Says that a test, or a part of it, cannot run here.
#[expect(clippy::print_stdout, reason = "`cargo xtask test` counts these lines")]
pub fn skipped(test: &str, reason: &str) {
    println!("SKIPPED {test}: {reason}");
}

/// A path on Z:, which is the host's `/`.
fn seen_by_windows(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', "\\")
}

/// Compiles child/child.c; once for all tests of this process, and whole or not at all for those of others.
fn build_child(folder: &Path) -> Result<PathBuf, String> {
    const COMPILER: &str = "x86_64-w64-mingw32-gcc";
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/child/child.c");
    let (own, shared) =
        (folder.join(format!("child-{}.exe", std::process::id())), folder.join("lab-child.exe"));
    let made = Command::new(COMPILER)
        .args(["-municode", "-O1", "-Wall", "-o"])
        .args([&own, &source])
        .arg("-ladvapi32")
        .output();
    let made = made.map_err(|error| format!("no C child: {COMPILER}: {error}"))?;
    assert!(made.status.success(), "child.c: {}", String::from_utf8_lossy(&made.stderr));
    std::fs::rename(&own, &shared).expect("both are in one folder");
    Ok(shared)
}

/// Gives it its input and waits for its end. Its output is what has come by then and a little later: a server of the lab that
/// it started holds the pipes open for as long as it lives.
pub fn finish(mut child: Child, input: &[u8]) -> Ended {
    const LATE: Duration = Duration::from_secs(5);
    let stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take().map(Reading::of), child.stderr.take().map(Reading::of));
    let status = std::thread::scope(|scope| {
        scope.spawn(|| {
            if let Some(mut stdin) = stdin {
                // A program that ends early reads no more.
                let _closed = stdin.write_all(input);
            }
        });
        child.wait().expect("it ends")
    });
    let [out, err] =
        [stdout, stderr].map(|reading| reading.map_or_else(Vec::new, |reading| reading.end(LATE)));
    Ended { code: status.code(), out, err: String::from_utf8_lossy(&err).into_owned() }
}

/// A pipe that a thread reads.
struct Reading {
    read: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Reading {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let read = Arc::new(Mutex::new(Vec::new()));
        let (end, ended) = std::sync::mpsc::channel();
        let all = Arc::clone(&read);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                all.lock().expect("no panic").extend_from_slice(&buffer[..length]);
            }
            end.send(())
        });
        Self { read, ended }
    }

    /// What was read when the pipe has ended, or after `late`.
    fn end(self, late: Duration) -> Vec<u8> {
        let _held_open = self.ended.recv_timeout(late);
        std::mem::take(&mut *self.read.lock().expect("no panic"))
    }
}

impl Ended {
    /// Standard output as text, without space around it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).trim().replace("\r\n", "\n")
    }

    /// Checks the code, and shows everything if it is another one.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.text(), self.err);
        self
    }

    /// The whole exit code that `--json` tells.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let line = self.err.lines().rev().find(|line| line.starts_with('{'));
        let line = line.unwrap_or_else(|| panic!("no JSON in {}", self.err));
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}
