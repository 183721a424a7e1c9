//! How far the first grant of a large folder is: one line on a console's standard error, from the first second on.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use codex_sandbox::windows::{Counts, Progress};

const FIRST: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(250);

/// The line.
#[derive(Debug)]
pub struct Bar {
    shown: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    begun: Instant,
    last: Option<Instant>,
}

impl Bar {
    /// Begins now.
    pub fn new(loud: bool) -> Self {
        let shown = loud && std::io::stderr().is_terminal();
        Self { shown, state: Mutex::new(State { begun: Instant::now(), last: None }) }
    }

    /// Takes the line away.
    pub fn end(&self) {
        let state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if state.last.is_some() {
            let _unprintable = write!(std::io::stderr(), "\r{:78}\r", "");
        }
    }
}

impl Progress for Bar {
    fn step(&self, counts: &Counts) -> ControlFlow<()> {
        if let (true, Ok(mut state)) = (self.shown, self.state.try_lock()) {
            let now = Instant::now();
            let due = state.last.map_or(state.begun + FIRST, |last| last + EVERY);
            if now >= due {
                state.last = Some(now);
                let text =
                    format!("preparing the workspace: {} objects, {} changed", counts.looked, counts.written);
                let _unprintable = write!(std::io::stderr(), "\rcodex-sandbox: {text} ");
            }
        }
        ControlFlow::Continue(())
    }
}
