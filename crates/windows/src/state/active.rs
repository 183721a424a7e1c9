//! Runs that are going on: what of their policies others must not undo.

use rusqlite::params;

use super::{State, StateError};
use crate::host::ProcessId;
use crate::plan::facts::ActiveRun;
use crate::plan::path::WinPath;

impl State {
    /// Runs of other processes that are still there; those whose process is gone are forgotten.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn active(
        &self,
        own: ProcessId,
        is_running: impl Fn(ProcessId) -> bool,
    ) -> Result<Vec<ActiveRun>, StateError> {
        let rows: Vec<(i64, i64, String)> = self.with("read", |connection| {
            let mut query = connection.prepare_cached("SELECT pid, created, needs FROM active")?;
            query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
        })?;
        let mut runs = Vec::new();
        for (pid, created, needs) in rows {
            let process = process(pid, created);
            if process == own {
                continue;
            }
            if is_running(process) {
                let needs: Vec<WinPath> = serde_json::from_str(&needs).unwrap_or_default();
                runs.push(ActiveRun { needs });
            } else {
                self.end_run(process)?;
            }
        }
        Ok(runs)
    }

    /// Notes what the run of a process needs.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn begin_run(&self, own: ProcessId, needs: &[WinPath]) -> Result<(), StateError> {
        let needs = serde_json::to_string(needs).unwrap_or_else(|_| "[]".to_owned());
        self.write_for_now("note a run in", |connection| {
            let insert = "INSERT INTO active (pid, created, needs) VALUES (?1, ?2, ?3)";
            connection.execute(insert, params![own.pid, own.created.cast_signed(), needs])?;
            Ok(())
        })
    }

    /// Notes that the runs of a process ended.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn end_run(&self, own: ProcessId) -> Result<(), StateError> {
        self.write_for_now("note a run in", |connection| {
            let delete = "DELETE FROM active WHERE pid = ?1 AND created = ?2";
            connection.execute(delete, params![own.pid, own.created.cast_signed()])?;
            Ok(())
        })
    }
}

fn process(pid: i64, created: i64) -> ProcessId {
    // Written by begin_run from a u32; anything else is no process and not running.
    ProcessId { pid: u32::try_from(pid).unwrap_or(u32::MAX), created: created.cast_unsigned() }
}
