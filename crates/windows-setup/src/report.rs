//! What whoever waits hears: lines of JSON on standard output, and in a file of the machine's state folder, which only
//! administrators write. A process that was elevated has no other way to say something to the one that asked.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;

use codex_sandbox_windows::setup::MachineFolder;
use codex_sandbox_windows::setup::engine::{Events, StepReport};

/// Says what happens.
pub struct Reporter {
    run: String,
    folder: MachineFolder,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// What could not be written because the folder is not there yet.
    waiting: String,
    file: Option<File>,
}

impl Reporter {
    /// For a run.
    pub fn new(run: &str, folder: &MachineFolder) -> Self {
        Self { run: run.to_owned(), folder: folder.clone(), state: RefCell::default() }
    }

    /// Says one thing.
    pub fn say(&self, mut value: serde_json::Value) {
        value["run"] = serde_json::json!(self.run);
        let line = format!("{value}\n");
        let _unprintable = std::io::stdout().write_all(line.as_bytes());
        let mut state = self.state.borrow_mut();
        state.waiting.push_str(&line);
        if state.file.is_none() && std::fs::exists(self.folder.0.as_str()).unwrap_or(false) {
            // The last run's lines are gone with the first of this one's.
            state.file = File::create(self.folder.progress().as_str()).ok();
        }
        let State { waiting, file } = &mut *state;
        if file.as_mut().is_some_and(|file| file.write_all(waiting.as_bytes()).is_ok()) {
            waiting.clear();
        }
    }
}

impl Events for Reporter {
    fn step(&self, number: usize, count: usize, report: &StepReport) {
        self.say(serde_json::json!({ "number": number, "count": count, "step": report }));
    }
}
