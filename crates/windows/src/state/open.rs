//! Opening the state, whatever is in its place.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{BUSY, FILE_NAME, SCHEMA, SCHEMA_VERSION, State, StateError, copy, lock};

/// Files up to this size are checked page by page when they are opened.
const SMALL: u64 = 4 << 20;
/// Held while the file is opened and, if need be, set aside.
const LOCK: &str = "state.lock";

pub(super) fn open(folder: &Path) -> State {
    let file = folder.join(FILE_NAME);
    let mut notices = Vec::new();
    let failed = match open_durable(folder, &file, &mut notices) {
        Ok(connection) => {
            return State::new(connection, Some(file), None, notices);
        }
        Err(error) => error,
    };
    notices.push(format!("nothing can be noted on disk: {failed}"));
    let connection = readable_copy(&file).unwrap_or_else(empty);
    State::new(connection, Some(file), Some(failed), notices)
}

/// A state in memory with nothing in it.
fn empty() -> Connection {
    let connection = Connection::open_in_memory().expect("SQLite opens memory unless there is none");
    make_tables(&connection, false).expect("tables in memory");
    connection
}

fn open_durable(folder: &Path, file: &Path, notices: &mut Vec<String>) -> Result<Connection, StateError> {
    fs::create_dir_all(folder).map_err(|error| StateError::io("make the folder of", folder, &error))?;
    // Two processes that find the file damaged must not set aside each other's new one.
    let lock = folder.join(LOCK);
    let guard = File::options().create(true).truncate(false).write(true).open(&lock);
    let guard = guard.map_err(|error| StateError::io("lock", &lock, &error))?;
    lock::wait(&guard, &lock, Some(BUSY), &|| {})?;
    if size(file).is_none_or(|size| size == 0) && copy::is_there(file) {
        return rebuild(file, "it was lost", notices);
    }
    match open_checked(file) {
        Err(error) if error.is_damage() => rebuild(file, &error.to_string(), notices),
        result => result,
    }
}

/// Sets aside what is there, and goes on with the copy, or without anything.
fn rebuild(file: &Path, why: &str, notices: &mut Vec<String>) -> Result<Connection, StateError> {
    let aside = set_aside(file).map_err(|error| StateError::io("set aside", file, &error))?;
    let (connection, from) = match copy::restore(file) {
        Some(connection) => (connection, "what it knew is taken from its copy"),
        None => (open_checked(file)?, "begun anew from what is on the machine"),
    };
    let aside = aside.map_or_else(String::new, |aside| format!("set aside as {}, and ", aside.display()));
    notices.push(format!("the state database {}: {why}; {aside}{from}", file.display()));
    let mark = "INSERT OR REPLACE INTO meta VALUES ('rebuilt', '1')";
    connection.execute(mark, []).map_err(|error| StateError::new("mark", Some(file), &error))?;
    Ok(connection)
}

pub(super) fn open_checked(file: &Path) -> Result<Connection, StateError> {
    let error = |source: rusqlite::Error| StateError::new("open", Some(file), &source);
    let was_there = size(file);
    let connection = Connection::open(file).map_err(error)?;
    configure(&connection).map_err(error)?;
    let version = version(&connection).map_err(error)?;
    match version {
        // An empty file in place of a database: somebody cut it off.
        None => make_tables(&connection, was_there.is_some()).map_err(error)?,
        Some(SCHEMA_VERSION) if was_there.is_some_and(|size| size <= SMALL) => {
            check(&connection).map_err(error)?;
        }
        Some(SCHEMA_VERSION) => {}
        Some(_) => return Err(error(rusqlite::Error::InvalidQuery)),
    }
    Ok(connection)
}

/// How long a file is; asked by its end, since its metadata take long on some systems.
fn size(file: &Path) -> Option<u64> {
    File::open(file).and_then(|mut file| file.seek(SeekFrom::End(0))).ok()
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // A log of at most 256 KiB or so, also while processes that read hinder whoever would move it at its end.
    connection.pragma_update(None, "wal_autocheckpoint", 64)?;
    // Journal before effect holds only if the journal survives a power failure that the effect survives.
    connection.pragma_update(None, "synchronous", "full")
}

fn version(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let text = connection.query_row("SELECT value FROM meta WHERE key = 'version'", [], |row| row.get(0));
    let text: Option<String> = text.optional()?;
    Ok(Some(text.and_then(|text| text.parse().ok()).unwrap_or(0)))
}

fn check(connection: &Connection) -> rusqlite::Result<()> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(rusqlite::Error::InvalidQuery) }
}

/// Whether it is a state of this version, page by page.
pub(super) fn is_sound(connection: &Connection) -> bool {
    version(connection) == Ok(Some(SCHEMA_VERSION)) && check(connection).is_ok()
}

pub(super) fn make_tables(connection: &Connection, was_there: bool) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    // Another process may have been faster.
    if version(&transaction)?.is_none() {
        transaction.execute_batch(SCHEMA)?;
        let version = SCHEMA_VERSION.to_string();
        transaction.execute("INSERT INTO meta VALUES ('version', ?1)", [version])?;
        if was_there {
            transaction.execute("INSERT INTO meta VALUES ('rebuilt', '1')", [])?;
        }
    }
    transaction.commit()
}

/// Removes the file, its companions and the folder, if that is empty then.
pub(super) fn remove(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    let names = [
        FILE_NAME.to_owned(),
        format!("{FILE_NAME}-wal"),
        format!("{FILE_NAME}-shm"),
        LOCK.to_owned(),
        lock::NAME.to_owned(),
    ];
    for name in names.into_iter().chain(copy::NAMES.map(str::to_owned)) {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::DirectoryNotEmpty => Err(error),
        _ => Ok(()),
    }
}

/// Moves a damaged file and its companions away, under a name of the time; `None` if there is no file.
fn set_aside(file: &Path) -> std::io::Result<Option<PathBuf>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let with = |base: &Path, end: &str| {
        let mut name = base.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let aside = with(file, &format!(".damaged-{now}"));
    let moved = match fs::rename(file, &aside) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        result => Some(result.map(|()| aside.clone())?),
    };
    for end in ["-wal", "-shm"] {
        match fs::rename(with(file, end), with(&aside, end)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(moved)
}

/// What a file says that we may read and not write, copied to memory.
fn readable_copy(file: &Path) -> Option<Connection> {
    let text = file.to_str()?.replace('\\', "/").replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let lead = if text.starts_with('/') { "" } else { "/" };
    let name = format!("file://{lead}{text}?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let source = Connection::open_with_flags(name, flags).ok()?;
    if version(&source).ok()? != Some(SCHEMA_VERSION) {
        return None;
    }
    let mut copy = Connection::open_in_memory().ok()?;
    let backup = rusqlite::backup::Backup::new(&source, &mut copy).ok()?;
    backup.run_to_completion(1024, std::time::Duration::ZERO, None).ok()?;
    drop(backup);
    Some(copy)
}
