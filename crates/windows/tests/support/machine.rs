//! A machine in memory on which runs are prepared and taken back.

use std::collections::BTreeMap;

use codex_sandbox_policy::Policy;
use codex_sandbox_windows::grants::{Progress, Quiet};
use codex_sandbox_windows::memory::MemoryHost;
use codex_sandbox_windows::plan::facts::{Facts, NodeKind};
use codex_sandbox_windows::plan::tree::TreeNode;
use codex_sandbox_windows::plan::{WinPath, inherit, tokens};
use codex_sandbox_windows::prepare::{PrepareError, Prepared, prepare};
use codex_sandbox_windows::state::State;
use codex_sandbox_windows::teardown::{Scope, teardown};
use nt_security::SecurityDescriptor;

use super::{example, path, unelevated};

/// The developer's laptop of the examples, with a state of its own.
pub struct Machine {
    pub host: MemoryHost,
    pub state: State,
    pub facts: Facts,
    pub policy: Policy,
}

impl Machine {
    pub fn new() -> Self {
        let facts = example("developer-laptop");
        let host = MemoryHost::new(&facts).expect("the example is complete");
        Self { host, state: State::in_memory().expect("memory"), facts, policy: unelevated() }
    }

    /// Where the working directory, which is a junction, leads.
    pub fn root(&self) -> WinPath {
        path(r"C:\Users\mia\src\app")
    }

    pub fn try_prepare(&self, progress: &dyn Progress) -> Result<Prepared, PrepareError> {
        let environment: BTreeMap<String, String> = self.facts.environment.clone();
        self.host.set_fault(None);
        prepare(&self.policy, &self.facts.cwd, environment, &self.host, &self.state, progress)
    }

    pub fn prepare(&self) -> Prepared {
        self.try_prepare(&Quiet).expect("the example can be granted")
    }

    pub fn add(&self, name: &str, kind: NodeKind) -> WinPath {
        self.add_at(&self.root().join(name), kind)
    }

    /// The same anywhere on the machine.
    pub fn add_at(&self, at: &WinPath, kind: NodeKind) -> WinPath {
        for above in at.ancestors().collect::<Vec<_>>().iter().rev() {
            if self.host.node(above).is_none() {
                let folder =
                    above.parent().and_then(|folder| self.host.node(&folder)).expect("a folder above");
                let kind = if above == at { kind } else { NodeKind::Folder };
                let creator = tokens::launcher(&self.facts);
                let descriptor = inherit::created(&folder.descriptor, kind, &creator);
                self.host.put(above, TreeNode::plain(kind, descriptor));
            }
        }
        at.clone()
    }

    pub fn texts(&self) -> BTreeMap<WinPath, String> {
        let text = |descriptor: &SecurityDescriptor| {
            let labels: Vec<_> = inherit::label_aces(descriptor).iter().map(ToString::to_string).collect();
            let dacl = SecurityDescriptor { sacl: Default::default(), ..descriptor.clone() };
            format!("{} {labels:?}", dacl.to_sddl())
        };
        self.host.snapshot().iter().map(|(path, (_, sd))| (path.clone(), text(sd))).collect()
    }

    pub fn teardown(&self, scope: &Scope) {
        let removed = teardown(&self.host, &self.state, scope, false, &Quiet).expect("nothing fails");
        assert!(removed.is_complete(), "{removed:#?}");
    }
}

/// Fails with every object whose descriptor is another one.
pub fn assert_same(left: &BTreeMap<WinPath, String>, right: &BTreeMap<WinPath, String>) {
    let paths = left.keys().chain(right.keys().filter(|path| !left.contains_key(*path)));
    let differ = paths.filter(|path| left.get(*path) != right.get(*path));
    let rows: Vec<String> =
        differ.map(|path| format!("{path}\n  {:?}\n  {:?}", left.get(path), right.get(path))).collect();
    assert!(rows.is_empty(), "{}", rows.join("\n"));
}
