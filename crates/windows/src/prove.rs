//! The proof: the plan carried out on a simulated host, and the security model asked about every kind of path and every
//! operation, whether its verdict is the policy's.
//!
//! Nothing here looks at why the plan is as it is. What the policy says is asked of its rules, what Windows would say of
//! `nt-security`; where published readings differ, a promise holds only if it holds under all of them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::plan::facts::Facts;
use crate::plan::tree::FactsError;
use crate::plan::{Tier, WindowsPlan};

mod expect;
mod judge;
mod launch;
mod objects;
pub mod ops;
pub mod subjects;
mod table;
pub mod world;

pub use expect::policy_allows;
pub use judge::says;
pub use ops::Op;
pub use subjects::{Subject, SubjectKind};
pub use table::Counts;
pub use world::{World, facts_after};

/// A verdict of the policy or of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// Yes.
    Allow,
    /// No.
    Deny,
    /// The published readings differ.
    Unknown,
}

impl Says {
    /// From a certain answer.
    pub fn from_bool(allowed: bool) -> Self {
        if allowed { Self::Allow } else { Self::Deny }
    }

    /// The word in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Unknown => "unknown",
        }
    }
}

/// How verdict and policy compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Status {
    /// They agree.
    Holds,
    /// They agree, and one of the two walls alone sees to it, as the plan says.
    OneWall {
        /// Why the other does not.
        why: String,
    },
    /// The plan says that it does not keep this.
    Declared {
        /// The kind of gap.
        gap: String,
    },
    /// The plan says that it is stricter here.
    Stricter {
        /// The kind of limit.
        limit: String,
    },
    /// The command can do what the policy forbids, and the plan does not say so.
    Hole,
    /// The command cannot do what the policy allows, and the plan does not say so.
    Refused,
    /// They agree, but a wall that should stand does not.
    WallMissing {
        /// Which.
        wall: String,
    },
}

impl Status {
    /// Whether the row speaks against the plan.
    pub fn is_violation(&self) -> bool {
        matches!(self, Self::Hole | Self::Refused | Self::WallMissing { .. })
    }
}

/// One question and its answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Row {
    /// What kind of thing.
    pub kind: SubjectKind,
    /// Which.
    pub object: String,
    /// What is done to it.
    pub op: String,
    /// What the policy says.
    pub policy: Says,
    /// The rule, in words.
    pub rule: String,
    /// What Windows says.
    pub verdict: Says,
    /// How they compare.
    pub status: Status,
}

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Proof {
    /// The plan's tier.
    pub tier: Tier,
    /// Every question.
    pub rows: Vec<Row>,
}

impl Proof {
    /// Rows that speak against the plan.
    pub fn violations(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.status.is_violation())
    }

    /// Whether the plan is proved.
    pub fn holds(&self) -> bool {
        self.violations().next().is_none()
    }
}

/// Carries `plan` out on the host that `facts` describe and asks about everything.
///
/// # Errors
/// [`FactsError`]: the facts are not usable.
pub fn prove(plan: &WindowsPlan, facts: &Facts) -> Result<Proof, FactsError> {
    let world = World::new(plan, facts)?;
    let mut rows = Vec::new();
    for subject in subjects::subjects(&world) {
        judge::subject(&world, &subject, &mut rows);
    }
    objects::rows(&world, &mut rows);
    launch::rows(&world, &mut rows);
    Ok(Proof { tier: plan.tier, rows })
}
