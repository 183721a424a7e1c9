//! `doctor --attack` on Windows: each escape attempt without the sandbox, where it must succeed, and in a sandbox of its own; and
//! their inside half, a command that help does not show.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use codex_sandbox::windows::{Quiet, Session};
use codex_sandbox::{Error, Policy, Sandbox};
use codex_sandbox_windows::attack::{self, Attempt, LEAKED, OFFERED, Offered, Scene, Verdict, Wanted};
use codex_sandbox_windows::plan::WinPath;
use codex_sandbox_windows::teardown::Scope;
use serde::Serialize;

use crate::args::AttackArgs;
use crate::failure::Failure;

/// Makes one attempt in this process.
pub fn inside(args: &AttackArgs) -> Result<ExitCode, Failure> {
    let verdict = attack::make(&args.name, &args.scene);
    writeln!(std::io::stdout(), "{verdict}")?;
    Ok(ExitCode::SUCCESS)
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// As it must: an escape was refused, everyday work was done.
    Held,
    /// An escape got through.
    Escaped,
    /// Everyday work was refused.
    Hindered,
    /// It does not succeed without the sandbox either, or something else went wrong: it proves nothing.
    NotTried,
}

impl End {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Held, "held"),
        (Self::Escaped, "ESCAPED"),
        (Self::Hindered, "HINDERED"),
        (Self::NotTried, "not tried"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(end, _)| *end == self).map_or("", |(_, word)| word)
    }
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    attempt: &'static str,
    what: &'static str,
    end: End,
    detail: String,
}

/// All attempts; prints a line for each as it ends, if `show`.
pub fn table(show: bool) -> Result<Vec<Row>, Failure> {
    let stage = Stage::new()?;
    let mut rows = Vec::new();
    for attempt in attack::all() {
        let row = stage.row(attempt)?;
        if show {
            print(&row)?;
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Whether nothing got through and nothing was hindered. What could not be tried on this machine does not count against it.
pub fn held(rows: &[Row]) -> bool {
    rows.iter().all(|row| matches!(row.end, End::Held | End::NotTried))
}

/// The last line.
pub fn summary(rows: &[Row]) -> String {
    let count = |end| rows.iter().filter(|row| row.end == end).count();
    let ends = End::ALL.iter().map(|(end, word)| format!("{} {}", count(*end), word.to_lowercase()));
    format!("{} attempts: {}", rows.len(), ends.collect::<Vec<_>>().join(", "))
}

fn print(row: &Row) -> Result<(), Failure> {
    let Row { attempt, what, end, detail } = row;
    let mut out = std::io::stdout();
    writeln!(out, "{:<9} {attempt:<26} {what}", end.word())?;
    if *end != End::Held {
        writeln!(out, "{:<36} {detail}", "")?;
    }
    out.flush()?;
    Ok(())
}

fn judge(attempt: &Attempt, outside: &Verdict, inside: &Verdict) -> (End, String) {
    match (outside, inside, attempt.wanted) {
        (Verdict::Denied(why) | Verdict::Broken(why), _, _) => {
            (End::NotTried, format!("it fails without the sandbox too: {why}"))
        }
        (_, Verdict::Broken(why), Wanted::Denied) => (End::NotTried, why.clone()),
        (_, Verdict::Done, Wanted::Denied) => (End::Escaped, "it got through".to_owned()),
        (_, Verdict::Denied(how) | Verdict::Broken(how), Wanted::Done) => (End::Hindered, how.clone()),
        (_, Verdict::Denied(how), Wanted::Denied) => (End::Held, how.clone()),
        (_, Verdict::Done, Wanted::Done) => (End::Held, String::new()),
    }
}

/// A folder in the profile, where the user may do anything; taken away at the end with all that was granted in it.
struct Stage {
    folder: PathBuf,
    /// Name of the objects of this process that attempts are made on.
    offer: String,
}

impl Stage {
    fn new() -> Result<Self, Failure> {
        let home = std::env::home_dir().unwrap_or_else(std::env::temp_dir);
        let folder = home.join(format!("codex-sandbox-attack-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let offer = format!("codex-sandbox-offered-{}", std::process::id());
        Ok(Self { folder, offer })
    }

    fn row(&self, attempt: &Attempt) -> Result<Row, Failure> {
        let outside =
            self.without_sandbox(attempt, &self.folder.join(format!("{}-outside", attempt.name)))?;
        let top = self.folder.join(format!("{}-inside", attempt.name));
        let inside = match outside {
            Verdict::Done => self.in_sandbox(attempt, &top)?,
            // It will not be looked at.
            _ => Verdict::Broken(String::new()),
        };
        self.clear(&top);
        let (end, detail) = judge(attempt, &outside, &inside);
        Ok(Row { attempt: attempt.name, what: attempt.what, end, detail })
    }

    /// Takes back what was granted for one attempt: else each would find more folders and grants of others beside its own.
    fn clear(&self, top: &Path) {
        let scope = top.to_str().and_then(|text| WinPath::absolute(text).ok()).map(Scope::Root);
        if let (Some(scope), Ok(session)) = (scope, Session::open()) {
            // What stays is taken back at the end.
            let _stays = session.teardown(&scope, false, &Quiet);
        }
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let _stays = fs::remove_dir_all(entry.path());
        }
    }

    fn without_sandbox(&self, attempt: &Attempt, top: &Path) -> Result<Verdict, Failure> {
        let scene = Scene::build(top)?;
        let leaked = leaked(&scene)?;
        // Of each attempt's own: a pipe takes one client.
        let _offered = Offered::all(&self.offer)?;
        let output = std::process::Command::new(std::env::current_exe()?)
            .args(["attack", attempt.name])
            .arg(top)
            .current_dir(top)
            .env(LEAKED, leaked.1.to_string())
            .env(OFFERED, &self.offer)
            .stdin(Stdio::null())
            .output()?;
        Ok(Verdict::read(&String::from_utf8_lossy(&output.stdout)))
    }

    fn in_sandbox(&self, attempt: &Attempt, top: &Path) -> Result<Verdict, Failure> {
        let scene = Scene::build(top)?;
        let leaked = leaked(&scene)?;
        // Of each attempt's own: a pipe takes one client.
        let _offered = Offered::all(&self.offer)?;
        let sandbox = Sandbox::builder(Policy::default()).current_dir(scene.work()).build()?;
        let mut command = sandbox.command(std::env::current_exe()?);
        command.arg("attack").arg(attempt.name).arg(top).env(LEAKED, leaked.1.to_string());
        command.env(OFFERED, &self.offer);
        // A folder that is somebody's current one cannot be renamed by anybody.
        command.current_dir(top);
        let output = command.output().map_err(|error: Error| Failure::from(error))?;
        let verdict = Verdict::read(&String::from_utf8_lossy(&output.stdout));
        Ok(match verdict {
            Verdict::Broken(why) => Verdict::Broken(format!(
                "{why} {}",
                String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")
            )),
            verdict => verdict,
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear(&self.folder);
        let _stays = fs::remove_dir_all(&self.folder);
    }
}

/// A handle to a file outside the roots that any child may inherit.
fn leaked(scene: &Scene) -> Result<(std::os::windows::io::OwnedHandle, usize), Failure> {
    let file = OpenOptions::new().append(true).open(scene.outside().join("file.txt"))?;
    Ok(attack::leak(&file)?)
}
