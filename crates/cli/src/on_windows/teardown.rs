//! `teardown`, `revoke` and `status` on Windows.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use codex_sandbox::Error;
use codex_sandbox::windows::{Quiet, Session};
use codex_sandbox_windows::plan::WinPath;
use codex_sandbox_windows::teardown::{Removed, Scope};

use super::setup;
use crate::args::{RevokeArgs, StatusArgs, TeardownArgs};
use crate::failure::Failure;

/// Takes back what runs have granted, everywhere or in one folder.
pub fn run(args: &TeardownArgs) -> Result<ExitCode, Failure> {
    let scope = match &args.root {
        Some(root) => Scope::Root(real(root)?),
        None => return everything(args),
    };
    undo(&scope, args.dry_run, args.json)
}

/// The user's grants, and then what the set-up made for all users of this machine.
fn everything(args: &TeardownArgs) -> Result<ExitCode, Failure> {
    let session = Session::open().map_err(Error::from)?;
    let removed = session.teardown(&Scope::All, args.dry_run, &Quiet).map_err(Error::from)?;
    if !args.json {
        std::io::stdout().write_all(as_text(&removed, args.dry_run).as_bytes())?;
    }
    let (complete, machine) = setup::teardown(args)?;
    if args.json {
        let grants: serde_json::Value =
            serde_json::from_str(&as_json(&removed, args.dry_run)).unwrap_or_default();
        let mut value = grants;
        value["machine"] = machine;
        writeln!(std::io::stdout(), "{value}")?;
    }
    Ok(if removed.is_complete() && complete { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Takes back what runs have granted in one folder.
pub fn revoke(args: &RevokeArgs) -> Result<ExitCode, Failure> {
    undo(&Scope::Root(real(&args.folder)?), args.dry_run, args.json)
}

fn undo(scope: &Scope, dry_run: bool, json: bool) -> Result<ExitCode, Failure> {
    let session = Session::open().map_err(Error::from)?;
    let removed = session.teardown(scope, dry_run, &Quiet).map_err(Error::from)?;
    let text = if json { as_json(&removed, dry_run) } else { as_text(&removed, dry_run) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(if removed.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The folder by its real name; one that is gone is named as it was.
fn real(path: &Path) -> Result<WinPath, Failure> {
    let absolute = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path))?;
    let text = absolute.to_string_lossy();
    let text = text.strip_prefix(r"\\?\").unwrap_or(&text);
    WinPath::absolute(text).map_err(|error| Failure::Argument(format!("{}: {error}", path.display())))
}

fn as_json(removed: &Removed, dry_run: bool) -> String {
    let paths = |list: &[WinPath]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let refused: Vec<String> = removed.refused.iter().map(|refused| refused.error.to_string()).collect();
    let value = serde_json::json!({
        "dry_run": dry_run,
        "complete": removed.is_complete(),
        "descriptors": removed.counts.written,
        "stated": removed.stated.iter().map(|(path, what)| serde_json::json!({"path": path.to_string(), "what": what})).collect::<Vec<_>>(),
        "removed": paths(&removed.made),
        "kept": paths(&removed.kept),
        "refused": refused,
    });
    format!("{value}\n")
}

fn as_text(removed: &Removed, dry_run: bool) -> String {
    let (verb, changed) = if dry_run { ("would remove", "would be changed") } else { ("removed", "changed") };
    let mut text = String::new();
    for (path, what) in &removed.stated {
        let _ = writeln!(text, "{verb} {what} from {path}");
    }
    for path in &removed.made {
        let _ = writeln!(text, "{verb} {path}");
    }
    for path in &removed.kept {
        let _ = writeln!(text, "kept    {path}: it holds something now");
    }
    for refused in &removed.refused {
        let _ = writeln!(text, "refused {}", refused.error);
    }
    if text.is_empty() && removed.counts.written == 0 {
        return "nothing to remove\n".to_owned();
    }
    let _ = writeln!(text, "{} descriptors {changed}", removed.counts.written);
    text
}

/// What stands on this machine because of runs.
pub fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let session = Session::open().map_err(Error::from)?;
    let state = session.state();
    let fail = |error: codex_sandbox_windows::state::StateError| {
        Failure::Argument(format!("the state database cannot be read: {error}"))
    };
    let sids = state.write_sids().map_err(fail)?;
    let unfinished = state.unfinished().map_err(fail)?;
    let made = state.made().map_err(fail)?;
    let journal = state.journal().map_err(fail)?;
    let (machine, about_machine) = setup::status(args.json)?;
    let mut text = String::new();
    if args.json {
        let value = serde_json::json!({
            "machine": machine,
            "database": state.file().map(|file| file.display().to_string()),
            "notices": session.notices(),
            "roots": sids.iter().filter(|sid| !sid.retired && sid.sid.variant != "marker").map(|sid| serde_json::json!({
                "root": sid.sid.root.to_string(), "variant": sid.sid.variant, "sid": sid.sid.sid.to_string(),
            })).collect::<Vec<_>>(),
            "unfinished": unfinished.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "made": made.iter().map(|made| made.path.to_string()).collect::<Vec<_>>(),
            "entries": journal.len(),
        });
        text = format!("{value:#}\n");
    } else {
        let file = state.file().map_or_else(|| "none on disk".to_owned(), |file| file.display().to_string());
        let _ = writeln!(text, "database    {file}");
        for notice in session.notices() {
            let _ = writeln!(text, "notice      {notice}");
        }
        for sid in sids.iter().filter(|sid| !sid.retired && sid.sid.variant != "marker") {
            let _ = writeln!(text, "root        {} by {}", sid.sid.root, sid.sid.sid);
        }
        for path in &unfinished {
            let _ = writeln!(
                text,
                "unfinished  {path}: the next run goes on, `codex-sandbox revoke` takes it back"
            );
        }
        for made in &made {
            let _ = writeln!(text, "made        {}", made.path);
        }
        let _ = writeln!(text, "journal     {} ACEs and labels", journal.len());
        text.push_str(&about_machine);
    }
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
