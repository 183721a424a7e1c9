//! `codex-sandbox teardown`: removes what runs leave on purpose, the private temporary folders.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use codex_sandbox::{Error, private_folders, remove_private_folder, state_dir};

use crate::args::TeardownArgs;
use crate::failure::Failure;

/// Removes, or shows, the folders.
pub fn run(args: &TeardownArgs) -> Result<ExitCode, Failure> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let state = state_dir(std::env::var_os("XDG_CACHE_HOME"), home.as_deref());
    let fail = |path: &PathBuf| {
        let path = path.clone();
        move |source| Failure::from(Error::State { path, source })
    };
    let mut folders = private_folders(&state).map_err(fail(&state))?;
    if let Some(root) = &args.root {
        let real = std::fs::canonicalize(root).unwrap_or_else(|_| root.clone());
        let own = codex_sandbox::policy::resolve::private_temp(&state, &real);
        folders.retain(|folder| folder.file_name() == own.file_name());
    }
    if !args.dry_run {
        for folder in &folders {
            remove_private_folder(folder).map_err(fail(folder))?;
        }
        for kind in ["tmp", "overlay", ""] {
            // Only when nothing is left in it.
            let _others_left = std::fs::remove_dir(state.join(kind));
        }
    }
    print(args, &folders)?;
    Ok(ExitCode::SUCCESS)
}

fn print(args: &TeardownArgs, folders: &[PathBuf]) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    if args.json {
        let paths: Vec<_> = folders.iter().map(|path| path.to_string_lossy()).collect();
        writeln!(out, "{}", serde_json::json!({ "dry_run": args.dry_run, "folders": paths }))?;
        return Ok(());
    }
    let verb = if args.dry_run { "would remove" } else { "removed" };
    for folder in folders {
        writeln!(out, "{verb} {}", codex_sandbox_policy::shown::path(folder))?;
    }
    if folders.is_empty() {
        writeln!(out, "nothing to remove")?;
    }
    Ok(())
}
