//! What a run enforces: part of every outcome.

use serde::Serialize;

/// What carries the policy out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Linux: namespaces, mounts, Landlock, seccomp and the broker.
    LinuxNative,
    /// Linux: Landlock, seccomp and the broker, without namespaces.
    LinuxLandlock,
    /// Nothing: the policy says `danger-full-access`.
    None,
}

/// How much of the policy is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// All of it.
    Full,
    /// Less; the gaps say what.
    Partial,
    /// Nothing, as the policy asked.
    None,
}

/// Something that is weaker than the policy asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Stable name.
    pub code: String,
    /// What is weaker.
    pub what: String,
    /// What can be done about it.
    pub remedy: String,
}

impl From<&codex_sandbox_linux::plan::Gap> for Gap {
    fn from(gap: &codex_sandbox_linux::plan::Gap) -> Self {
        Self { code: gap.code.clone(), what: gap.what.clone(), remedy: gap.remedy.clone() }
    }
}

/// What was enforced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enforcement {
    /// By what.
    pub backend: Backend,
    /// How much.
    pub strength: Strength,
    /// What not.
    pub gaps: Vec<Gap>,
}

impl Enforcement {
    /// `danger-full-access`.
    pub(crate) fn nothing() -> Self {
        Self { backend: Backend::None, strength: Strength::None, gaps: Vec::new() }
    }

    /// Something turned out weaker than planned.
    pub(crate) fn weaken(&mut self, gap: &codex_sandbox_linux::plan::Gap) {
        self.strength = Strength::Partial;
        self.gaps.push(gap.into());
    }
}

impl From<&codex_sandbox_linux::plan::LinuxPlan> for Enforcement {
    fn from(plan: &codex_sandbox_linux::plan::LinuxPlan) -> Self {
        use codex_sandbox_linux::plan;
        Self {
            backend: match plan.backend {
                plan::Backend::Native => Backend::LinuxNative,
                plan::Backend::Landlock => Backend::LinuxLandlock,
            },
            strength: match plan.strength {
                plan::Strength::Full => Strength::Full,
                plan::Strength::Partial => Strength::Partial,
            },
            gaps: plan.gaps.iter().map(Gap::from).collect(),
        }
    }
}
