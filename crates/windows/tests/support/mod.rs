//! Hosts for tests: the described examples, a small host to start from, and generated ones.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::Path;

use codex_sandbox_policy::Policy;
use codex_sandbox_policy::policy::{Origin, WindowsTier, WrittenPath};
use codex_sandbox_windows::plan::facts::{Facts, Node, NodeKind};
use codex_sandbox_windows::plan::{WinPath, WindowsPlan, plan};
use codex_sandbox_windows::prove::{Proof, Row, prove};

pub mod generate;
pub mod machine;
pub mod schema;

/// The described hosts of docs/examples.
pub const EXAMPLES: [&str; 3] = ["developer-laptop", "managed-domain", "administrators-drive"];

/// A described host.
pub fn example(name: &str) -> Facts {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    let text =
        std::fs::read_to_string(folder.join(format!("{name}.facts.json"))).expect("the example is there");
    serde_json::from_str(&text).expect("the example is in the format")
}

/// A path of the tests' own.
pub fn path(text: &str) -> WinPath {
    WinPath::absolute(text).expect("a path of the tests")
}

/// A path as a user would have written it.
pub fn written(text: &str) -> WrittenPath {
    WrittenPath { path: text.into(), origin: Origin::Library }
}

/// The default policy in the unelevated tier.
pub fn unelevated() -> Policy {
    Policy { windows_tier: WindowsTier::Unelevated, ..Policy::default() }
}

/// The default policy in the elevated tier.
pub fn elevated() -> Policy {
    Policy { windows_tier: WindowsTier::Elevated, ..Policy::default() }
}

/// A plan that the test needs.
pub fn planned(policy: &Policy, facts: &Facts) -> WindowsPlan {
    plan(policy, facts).expect("a plan")
}

/// The proof of a plan.
pub fn proved(plan: &WindowsPlan, facts: &Facts) -> Proof {
    prove(plan, facts).expect("facts that were planned with")
}

/// Fails with every row that speaks against the plan.
pub fn assert_holds(plan: &WindowsPlan, facts: &Facts) {
    let proof = proved(plan, facts);
    let rows: Vec<&Row> = proof.violations().collect();
    assert!(rows.is_empty(), "{rows:#?}");
}

/// The row of an object and operation.
pub fn find<'a>(proof: &'a Proof, object: &str, op: &str) -> &'a Row {
    let found = proof.rows.iter().find(|row| row.object.eq_ignore_ascii_case(object) && row.op == op);
    found.unwrap_or_else(|| panic!("no row {object} {op}"))
}

/// Sets the descriptor of a node, adding it if it is not there.
pub fn describe(facts: &mut Facts, at: &str, kind: NodeKind, sddl: Option<&str>) {
    let at = path(at);
    facts.nodes.retain(|node| node.path != at);
    facts.nodes.push(Node { sddl: sddl.map(str::to_owned), ..Node::new(at, kind) });
}

/// Adds a folder that inherits.
pub fn folder(facts: &mut Facts, at: &str) {
    describe(facts, at, NodeKind::Folder, None);
}

/// Adds a file that inherits.
pub fn file(facts: &mut Facts, at: &str) {
    describe(facts, at, NodeKind::File, None);
}
