//! A command that runs, to its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::error::Win32Error;
use super::launch::{Machine, Stream};
use crate::launch::steps::{Recipe, begin, write_stubs};
use crate::launch::{LaunchError, Prepared, Started};
use crate::plan::WindowsPlan;

/// Exit code of what is killed: what TerminateProcess callers use by custom.
const KILLED: u32 = 1;
/// A killed process is gone within milliseconds, unless a driver holds it.
const GOING: Duration = Duration::from_secs(10);

pub use crate::runner::Ended;

/// A command that runs. Dropping it kills the whole tree.
#[derive(Debug)]
pub struct Running {
    started: Started<Machine>,
    deadline: Option<Instant>,
    /// Whether what the command leaves running goes on after its end.
    leaves: bool,
    /// Whether it was let go.
    left: AtomicBool,
}

impl Running {
    /// Starts a command; `without` are the write SIDs of roots that could not be granted.
    ///
    /// # Errors
    /// [`LaunchError`]: then nothing of it runs.
    pub fn start(
        plan: &WindowsPlan,
        without: &[nt_security::Sid],
        command: &Prepared,
        stdio: [Stream; 3],
    ) -> Result<Self, LaunchError> {
        write_stubs(&Machine, plan)?;
        Self::begin(&Recipe::new(plan, without)?, command, stdio)
    }

    /// Starts a command by a recipe.
    ///
    /// # Errors
    /// [`LaunchError`]: then nothing of it runs.
    pub fn begin(recipe: &Recipe, command: &Prepared, stdio: [Stream; 3]) -> Result<Self, LaunchError> {
        let started = begin(&Machine, recipe, command, stdio)?;
        let limit = recipe.job.wall_clock_ms.map(Duration::from_millis);
        let deadline = limit.and_then(|time| Instant::now().checked_add(time));
        Ok(Self { started, deadline, leaves: false, left: AtomicBool::new(false) })
    }

    /// When the command ends by itself, what it leaves running goes on, in the same sandbox. Whatever ends it before ends all.
    pub fn leave_the_rest(&mut self) {
        self.leaves = true;
    }

    /// The process id of the command.
    pub fn id(&self) -> u32 {
        self.started.process.id()
    }

    /// Waits for its end, then ends what it left running.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&self) -> Result<Ended, Win32Error> {
        loop {
            // A deadline further away than the longest wait is waited for in pieces.
            let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if let Some(ended) = self.look(left)? {
                return Ok(ended);
            }
        }
    }

    /// Looks whether it has ended.
    ///
    /// # Errors
    /// The system's.
    pub fn try_wait(&self) -> Result<Option<Ended>, Win32Error> {
        self.look(Some(Duration::ZERO))
    }

    fn look(&self, most: Option<Duration>) -> Result<Option<Ended>, Win32Error> {
        let ended = if self.started.process.wait(most)? {
            let code = self.started.process.exit_code()?;
            if self.leaves && !self.left.swap(true, Ordering::SeqCst) {
                self.started.job.release()?;
            }
            Ended::Code(code)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Ended::TimedOut
        } else {
            return Ok(None);
        };
        self.kill();
        if !self.left.load(Ordering::SeqCst) {
            self.started.job.wait_empty(GOING);
        }
        Ok(Some(ended))
    }

    /// Kills the whole tree, unless the command has ended and left it running on purpose.
    pub fn kill(&self) {
        if !self.left.load(Ordering::SeqCst) {
            self.started.job.kill(KILLED);
        }
    }

    /// Ends the whole tree as Ctrl-C does where no process has a handler of its own.
    pub fn interrupt(&self) {
        /// STATUS_CONTROL_C_EXIT
        const CONTROL_C: u32 = 0xC000_013A;
        self.started.job.kill(CONTROL_C);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::launch::{Asked, Environment, prepare};
    use crate::plan::{Facts, Policy, plan};
    use crate::win32::programs::Disks;
    use crate::win32::token::Token;

    /// A plan whose token is right for this process, and whose roots are elsewhere: nothing is writable.
    fn planned(change: impl FnOnce(&mut Facts)) -> WindowsPlan {
        let text = include_str!("../../../../docs/examples/developer-laptop.facts.json");
        let mut facts: Facts = serde_json::from_str(text).expect("an example that other tests read too");
        facts.user.sid = Token::own().and_then(|own| own.user()).expect("a token has a user").into();
        change(&mut facts);
        let mut plan = plan(&Policy::default(), &facts).expect("it can be planned");
        plan.stubs.clear();
        plan.environment = crate::plan::data::EnvironmentPlan {
            set: [("FROM_PLAN".to_owned(), "yes".to_owned())].into(),
            path_first: Vec::new(),
            path_removed: Vec::new(),
        };
        plan
    }

    fn run(plan: &WindowsPlan, arguments: &[&str]) -> (Ended, String) {
        let mut environment = Environment::default();
        for (name, value) in std::env::vars() {
            environment.set(&name, &value);
        }
        let asked = Asked {
            program: "cmd".to_owned(),
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            cwd: r"C:\windows".to_owned(),
            environment,
        };
        let prepared = prepare(plan, asked, r"C:\windows", &Disks).expect("cmd is there");
        let (mut ours, theirs) = std::io::pipe().expect("a pipe");
        let errors = theirs.try_clone().expect("another handle");
        let stdio = [Stream::Null, Stream::Handle(theirs.into()), Stream::Handle(errors.into())];
        let running = Running::start(plan, &[], &prepared, stdio).expect("it starts");
        let mut text = String::new();
        let reader = std::thread::spawn(move || {
            ours.read_to_string(&mut text).expect("text");
            text
        });
        let ended = running.wait().expect("it ends");
        (ended, reader.join().expect("the reader"))
    }

    #[test]
    fn a_command_speaks_and_its_exit_code_has_32_bits() {
        let plan = planned(|_| ());
        let (ended, text) = run(&plan, &["/c", "echo", "hi"]);
        assert_eq!((ended, text.trim()), (Ended::Code(0), "hi"));
        let (ended, text) = run(&plan, &["/c", "echo %FROM_PLAN%& exit 305419896"]);
        assert_eq!((ended, text.trim()), (Ended::Code(0x1234_5678), "yes"));
    }

    #[test]
    fn a_child_of_a_child_is_restricted_too() {
        let file = std::env::temp_dir().join(format!("launch-{}.txt", std::process::id()));
        let write = format!("cmd /c cmd /c echo x > {}", file.display());
        let plain = std::process::Command::new("cmd").args(["/c", &write]).status().expect("cmd");
        assert!(plain.success() && file.exists(), "outside it can be written");
        std::fs::remove_file(&file).expect("our own");
        let plan = planned(|_| ());
        run(&plan, &["/c", &write]);
        assert!(!file.exists(), "inside it cannot");
    }

    #[test]
    fn the_time_limit_ends_the_tree() {
        let mut plan = planned(|_| ());
        plan.job.wall_clock_ms = Some(300);
        let begun = Instant::now();
        let (ended, _) = run(&plan, &["/c", "cmd /c pause < CON & for /l %i in (0,0,1) do @rem"]);
        assert_eq!(ended, Ended::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
