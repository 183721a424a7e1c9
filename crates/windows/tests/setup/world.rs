//! A machine that a test sets up.

use std::collections::BTreeMap;

use codex_sandbox_windows::grants::Quiet;
use codex_sandbox_windows::memory::machine::{Contents, MemoryMachine};
use codex_sandbox_windows::memory::{Fault, MemoryHost};
use codex_sandbox_windows::plan::facts::NodeKind;
use codex_sandbox_windows::plan::tokens;
use codex_sandbox_windows::plan::{Facts, WinPath};
use codex_sandbox_windows::setup::engine::{Outcome, Silent, StepState, carry_out};
use codex_sandbox_windows::setup::names::{RUNNER, SETUP};
use codex_sandbox_windows::setup::undo::Undo;
use codex_sandbox_windows::setup::{MachineFolder, Names, RealUser, Request, SetupError};
use codex_sandbox_windows::state::State;
use nt_security::{SecurityDescriptor, Sid};

use crate::support::{example, path};

/// A machine, its journal, and what is asked for.
pub struct World {
    pub facts: Facts,
    pub machine: MemoryMachine,
    pub state: State,
    pub request: Request,
}

/// Everything that a machine holds: what must be as before in the end.
pub type Everything = (Contents, BTreeMap<WinPath, (NodeKind, SecurityDescriptor)>);

impl World {
    /// The laptop of docs/examples, with our programs installed on it.
    pub fn new() -> Self {
        let facts = example("developer-laptop");
        let host = MemoryHost::new(&facts).expect("an example").with_token(tokens::setup(&facts));
        let machine = MemoryMachine::new(&host, facts.user.sid.0);
        let programs = path(r"C:\Program Files\codex-sandbox");
        let read = "O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)";
        let folder = SecurityDescriptor::from_sddl(read).expect("SDDL");
        host.put(&programs, codex_sandbox_windows::plan::tree::TreeNode::plain(NodeKind::Folder, folder));
        for program in [RUNNER, SETUP] {
            machine.put_file(&programs.join(program), format!("the bytes of {program}").as_bytes());
        }
        let profile = facts.folders.profile.clone();
        machine.change(|contents| {
            contents.profiles.insert(facts.user.sid.0, profile.clone());
        });
        let request = Request {
            names: Names::new("CodexSandbox").expect("a prefix"),
            folder: MachineFolder(facts.folders.machine_state.clone()),
            user: RealUser { sid: facts.user.sid, name: facts.user.name.clone(), profile: Some(profile) },
            programs,
        };
        let state = State::in_memory().expect("memory");
        Self { facts, machine, state, request }
    }

    pub fn everything(&self) -> Everything {
        (self.machine.contents(), self.machine.host().snapshot())
    }

    pub fn set_up(&self) -> Outcome {
        carry_out(&self.machine, &self.request, |_| &self.state, &Silent)
    }

    /// Sets up, and fails if anything does.
    pub fn must_set_up(&self) -> Outcome {
        let outcome = self.set_up();
        assert!(outcome.is_complete(), "{outcome:#?}");
        outcome
    }

    /// Takes back, with the last two steps of whoever calls it.
    pub fn tear_down(&self) -> Result<Outcome, SetupError> {
        let undo = Undo {
            machine: &self.machine,
            host: self.machine.host(),
            state: &self.state,
            request: &self.request,
            progress: &Quiet,
        };
        let outcome = undo.everything(&Silent)?;
        if outcome.is_complete() {
            use codex_sandbox_windows::setup::Machine;
            let removed = self.machine.remove(&self.request.folder.0);
            removed.map_err(|error| SetupError::of("teardown", error))?;
        }
        Ok(outcome)
    }

    pub fn must_tear_down(&self) {
        let outcome = self.tear_down().expect("a journal");
        assert!(outcome.is_complete(), "{outcome:#?}");
    }

    pub fn fault(&self, fault: Option<Fault>) {
        self.machine.set_fault(fault);
    }
}

/// What a step came to.
pub fn state_of(outcome: &Outcome, id: &str) -> StepState {
    let step = outcome.steps.iter().find(|step| step.id == id);
    step.unwrap_or_else(|| panic!("no step {id} in {outcome:#?}")).state
}

/// The only failure.
pub fn failure(outcome: &Outcome) -> &SetupError {
    let failures: Vec<&SetupError> = outcome.failures().collect();
    let [failure] = failures[..] else { panic!("{failures:#?}") };
    assert!(
        !failure.code.is_empty() && !failure.object.is_empty() && !failure.remedy.is_empty(),
        "{failure:?}"
    );
    failure
}

/// The SID of somebody of a domain.
pub fn somebody(rid: u32) -> Sid {
    Sid::constant(5, [21, 7, 8, 9, rid])
}

/// Fails with what differs, and nothing else.
#[track_caller]
pub fn assert_same(left: &Everything, right: &Everything, when: &str) {
    let empty = "nothing".to_owned();
    let shown = |of: &Everything| -> BTreeMap<WinPath, String> {
        of.1.iter().map(|(path, (_, descriptor))| (path.clone(), descriptor.to_sddl())).collect()
    };
    let (before, after) = (shown(left), shown(right));
    let paths = before.keys().chain(after.keys().filter(|path| !before.contains_key(*path)));
    let of = |map: &BTreeMap<WinPath, String>, path: &WinPath| map.get(path).unwrap_or(&empty).clone();
    let differences: Vec<String> = paths
        .filter(|path| of(&before, path) != of(&after, path))
        .map(|path| format!("{path}\n  {}\n  {}", of(&before, path), of(&after, path)))
        .collect();
    assert!(differences.is_empty(), "{when}: {}", differences.join("\n"));
    assert_eq!(left.0, right.0, "{when}");
}
