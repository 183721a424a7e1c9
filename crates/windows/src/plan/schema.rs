//! JSON schemas of what programs read and write: the description of a host, the plan, the proof. They are kept in docs/ and
//! generated from the types, so that they cannot say anything else than the code does.

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;

use super::WindowsPlan;
use super::facts::Facts;
use crate::prove::Proof;

/// The operating system of a document.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DocumentOs {
    /// The only one here.
    Windows,
}

/// What `codex-sandbox plan --os windows --json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PlanDocument {
    /// `windows`.
    pub os: DocumentOs,
    /// The plan.
    pub plan: WindowsPlan,
}

/// What `codex-sandbox plan --os windows --prove --json` prints.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ProofDocument {
    /// `windows`.
    pub os: DocumentOs,
    /// Whether there is no violation.
    pub holds: bool,
    /// The table.
    pub proof: Proof,
}

/// Each schema with the name of its file in docs/.
pub fn all() -> [(&'static str, Schema); 3] {
    [
        ("windows-facts.schema.json", schema_for!(Facts)),
        ("windows-plan.schema.json", schema_for!(PlanDocument)),
        ("windows-proof.schema.json", schema_for!(ProofDocument)),
    ]
}
