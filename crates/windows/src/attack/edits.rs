//! Ten kinds of edits in one folder, as a build tool or an editor makes them: each is tried whatever became of the others.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Puts into `folder` what [`edit`] edits.
///
/// # Errors
/// The system's.
pub fn set_out(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.join("empty"))?;
    fs::create_dir_all(folder.join("folder"))?;
    for name in ["append", "full", "over", "old", "from", "onto", "gone", r"folder\file"] {
        fs::write(folder.join(format!("{name}.txt")), name)?;
    }
    Ok(())
}

/// Makes the edits.
///
/// # Errors
/// The first failure, if each failed; none if one got through.
pub fn edit(folder: &Path) -> io::Result<()> {
    let at = |name: &str| folder.join(name);
    let outcomes = [
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(at("new.txt"))
            .and_then(|mut file| file.write_all(b"new")),
        OpenOptions::new().append(true).open(at("append.txt")).and_then(|mut file| file.write_all(b"more")),
        OpenOptions::new().write(true).truncate(true).open(at("full.txt")).map(drop),
        fs::write(at("over.txt"), "other"),
        fs::rename(at("old.txt"), at("renamed.txt")),
        fs::rename(at("from.txt"), at("onto.txt")),
        fs::remove_file(at("gone.txt")),
        fs::create_dir(at("made")),
        fs::remove_dir(at("empty")),
        fs::rename(at("folder"), at("moved")),
    ];
    let through = outcomes.iter().any(Result::is_ok);
    let first = outcomes.into_iter().find_map(Result::err);
    first.filter(|_| !through).map_or(Ok(()), Err)
}
