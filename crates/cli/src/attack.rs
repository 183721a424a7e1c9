//! `codex-sandbox doctor --attack`: the escape attempts on this machine, each in a sandbox of its own, and the table of how
//! they end. Also their inside half, a command that help does not show.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use codex_sandbox::linux::attack::{self, Attempt, Driver, Outcome, Place};
use serde::Serialize;

use crate::args::AttackArgs;
use crate::failure::Failure;

/// Makes one attempt in this process, which runs inside the sandbox.
pub fn inside(args: &AttackArgs) -> Result<ExitCode, Failure> {
    let verdict = attack::run_inside(&args.name, &args.scene);
    writeln!(std::io::stdout(), "{verdict}")?;
    Ok(ExitCode::SUCCESS)
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum End {
    Held,
    Escaped,
    /// It got through, as the gaps of the backend without namespaces say.
    Gap,
    Skipped,
    /// It proves nothing.
    NotTried,
}

impl End {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Held, "held"),
        (Self::Escaped, "ESCAPED"),
        (Self::Gap, "gap"),
        (Self::Skipped, "skipped"),
        (Self::NotTried, "not tried"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(end, _)| *end == self).map_or("", |(_, word)| word)
    }
}

/// One line of the table.
#[derive(Debug, Serialize)]
pub struct Row {
    group: String,
    attempt: &'static str,
    what: &'static str,
    end: End,
    detail: String,
}

/// All attempts; prints a line for each as it ends, if `show`. `namespaces` says whether the backend has them.
pub fn table(show: bool, namespaces: bool) -> Result<Vec<Row>, Failure> {
    let stage = Folder::new();
    let driver = driver(&stage.0)?;
    let mut rows = Vec::new();
    for attempt in attack::all() {
        let row = row(attempt, driver.run(attempt, &stage.0.join("stage")), namespaces);
        if show {
            print(&row)?;
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Whether nothing got through that should not have, and every attempt was really made.
pub fn held(rows: &[Row]) -> bool {
    rows.iter().all(|row| !matches!(row.end, End::Escaped | End::NotTried))
}

/// The last line: how many ended in which way.
pub fn summary(rows: &[Row]) -> String {
    let count = |end| rows.iter().filter(|row| row.end == end).count();
    let ends = End::ALL.iter().map(|(end, word)| format!("{} {}", count(*end), word.to_lowercase()));
    format!("{} attempts: {}", rows.len(), ends.collect::<Vec<_>>().join(", "))
}

fn row(attempt: &Attempt, outcome: Result<Outcome, attack::DriveError>, namespaces: bool) -> Row {
    let (end, detail) = match outcome {
        Ok(Outcome::Held(how)) => (End::Held, how),
        Ok(Outcome::Escaped(how)) if attempt.open_without_namespaces && !namespaces => (End::Gap, how),
        Ok(Outcome::Escaped(how)) => (End::Escaped, how),
        Ok(Outcome::Skipped(why)) => (End::Skipped, why),
        Ok(Outcome::Broken(why)) => (End::NotTried, why),
        Err(error) => (End::NotTried, error.to_string()),
    };
    Row { group: attempt.group.to_string(), attempt: attempt.name, what: attempt.what, end, detail }
}

fn print(row: &Row) -> Result<(), Failure> {
    let Row { group, attempt, what, end, detail } = row;
    let mut out = std::io::stdout();
    writeln!(out, "{:<9} {group:<9} {attempt:<34} {what}", end.word())?;
    if *end != End::Held {
        writeln!(out, "{:<54} {detail}", "")?;
    }
    Ok(())
}

/// Starts this program twice: as the launcher, and inside, for the attempt. The user's configuration and state stay out of it.
fn driver(stage: &Path) -> Result<Driver, Failure> {
    let own: OsString = std::env::current_exe()?.into();
    let word = OsString::from;
    let folder = |name: &str| stage.join(name).into_os_string();
    Ok(Driver {
        place: Place::Inside,
        launcher: vec![own.clone(), word("run"), word("--quiet"), word("--")],
        program: vec![own, word("attack")],
        environment: vec![(word("XDG_CACHE_HOME"), folder("cache")), (word("CODEX_HOME"), folder("codex"))],
        setuid_program: None,
    })
}

/// A folder for the stage, removed at the end. Not below /tmp, where the sandbox shows a private copy and attempts would not
/// even reach the stage.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let home = std::env::home_dir();
        let state = codex_sandbox::state_dir(std::env::var_os("XDG_CACHE_HOME"), home.as_deref());
        let cache = state.parent().map_or_else(std::env::temp_dir, Path::to_owned);
        Self(cache.join(format!("codex-sandbox-attack-{}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Named by the process id; what resists is left for the user to see.
        let _left = codex_sandbox::remove_private_folder(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(outcome: Outcome, namespaces: bool) -> End {
        let attempt = attack::by_name("see-outsiders").expect("it is listed");
        row(attempt, Ok(outcome), namespaces).end
    }

    #[test]
    fn a_gap_is_an_escape_only_where_there_are_namespaces() {
        let through = || Outcome::Escaped("it is there".to_owned());
        assert_eq!(ends(through(), true), End::Escaped);
        assert_eq!(ends(through(), false), End::Gap);
    }

    #[test]
    fn what_was_not_tried_does_not_count_as_held() {
        let attempt = attack::by_name("write").expect("it is listed");
        let rows = [Outcome::Held(String::new()), Outcome::Broken("no launcher".to_owned())]
            .map(|outcome| row(attempt, Ok(outcome), true));
        assert!(held(&rows[..1]));
        assert!(!held(&rows));
        assert_eq!(summary(&rows), "2 attempts: 1 held, 0 escaped, 0 gap, 0 skipped, 1 not tried");
    }
}
