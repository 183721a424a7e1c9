//! What the state database could not do.

use std::fmt;
use std::path::Path;

use rusqlite::ErrorCode;

/// A failure of the state database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateError {
    code: &'static str,
    stage: &'static str,
    path: String,
    reason: String,
    remedy: &'static str,
}

impl StateError {
    pub(super) fn new(stage: &'static str, file: Option<&Path>, source: &rusqlite::Error) -> Self {
        let (code, remedy) = sort(source);
        let path = file.map_or_else(|| "memory".to_owned(), |file| file.display().to_string());
        Self { code, stage, path, reason: source.to_string(), remedy }
    }

    pub(super) fn io(stage: &'static str, path: &Path, source: &std::io::Error) -> Self {
        let code = match source.kind() {
            std::io::ErrorKind::StorageFull => "state-disk-full",
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                "state-read-only"
            }
            _ => "state-unusable",
        };
        let remedy = "make the folder writable for you";
        Self { code, stage, path: path.display().to_string(), reason: source.to_string(), remedy }
    }

    pub(super) fn ended(stage: &'static str, file: Option<&Path>) -> Self {
        let path = file.map_or_else(|| "memory".to_owned(), |file| file.display().to_string());
        let reason = "this process is taken to have ended".to_owned();
        Self { code: "state-unusable", stage, path, reason, remedy: "run the command again" }
    }

    pub(super) fn busy(stage: &'static str, path: &Path) -> Self {
        let reason = "another process holds it".to_owned();
        let remedy = "wait for the other codex-sandbox, or end it";
        Self { code: "state-busy", stage, path: path.display().to_string(), reason, remedy }
    }

    /// A stable word: `state-busy`, `state-disk-full`, `state-read-only`, `state-damaged`, `state-unusable`.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whether the file itself is at fault, so that a new one helps.
    pub fn is_damage(&self) -> bool {
        self.code == "state-damaged"
    }
}

fn sort(source: &rusqlite::Error) -> (&'static str, &'static str) {
    let usual = ("state-unusable", "report this with the text of the error");
    let Some(code) = source.sqlite_error_code() else {
        // A row that is not what the tables say: somebody else wrote it.
        return ("state-damaged", "run the command again: the file is set aside and begun anew");
    };
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            ("state-busy", "another process holds the state database: wait for it, or end it")
        }
        ErrorCode::DiskFull => ("state-disk-full", "free some space on the volume of the state folder"),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => {
            ("state-read-only", "make the state folder writable for you")
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch => {
            ("state-damaged", "run the command again: the file is set aside and begun anew")
        }
        ErrorCode::SystemIoFailure => {
            ("state-unusable", "check the volume of the state folder: it may be full, or damaged")
        }
        _ => usual,
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stage, path, reason, remedy } = self;
        write!(f, "{code}: cannot {stage} the state database {path}: {reason}; {remedy}")
    }
}

impl std::error::Error for StateError {}
