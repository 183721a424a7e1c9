//! What a run enforces: part of every outcome.

use serde::Serialize;

#[cfg(any(target_os = "linux", windows))]
use crate::error::Error;

/// How much must be enforced for a command to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Require {
    /// The best that the machine can do, never nothing; the outcome says how much it was.
    #[default]
    Best,
    /// All of the policy, or no run.
    Full,
    /// What the policy says about the network, or no run.
    Network,
    /// That nothing outside the writable folders can be deleted or renamed, or no run.
    Deletion,
}

/// What carries the policy out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Linux: namespaces, mounts, Landlock, seccomp and the broker.
    LinuxNative,
    /// Linux: Landlock, seccomp and the broker, without namespaces.
    LinuxLandlock,
    /// Windows: the user himself, with a restricted token.
    WindowsUnelevated,
    /// Windows: an account of the sandbox, with a restricted token.
    WindowsElevated,
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
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) fn nothing() -> Self {
        Self { backend: Backend::None, strength: Strength::None, gaps: Vec::new() }
    }

    /// Whether it is as much as was required. On Linux no gap is about deletion, and the one about the network has its code.
    #[cfg(any(target_os = "linux", windows))]
    pub(crate) fn meets(&self, require: Require) -> Result<(), Error> {
        let has = |code: &str| self.gaps.iter().any(|gap| gap.code == code);
        let enough = match require {
            Require::Best => true,
            Require::Full => self.strength == Strength::Full,
            Require::Network => self.strength != Strength::None && !has("network"),
            Require::Deletion => self.strength != Strength::None && !has("deletion-outside"),
        };
        if enough { Ok(()) } else { Err(Error::TooWeak { require, enforcement: self.clone() }) }
    }

    /// Something turned out weaker than planned.
    #[cfg(target_os = "linux")]
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

#[cfg(windows)]
impl From<&codex_sandbox_windows::plan::WindowsPlan> for Enforcement {
    fn from(plan: &codex_sandbox_windows::plan::WindowsPlan) -> Self {
        use codex_sandbox_windows::plan::Tier;
        let gap = |gap: &codex_sandbox_windows::plan::data::Gap| Gap {
            code: gap.kind.name().to_owned(),
            what: gap.what.clone(),
            remedy: gap.remedy.clone(),
        };
        Self {
            backend: match plan.tier {
                Tier::Unelevated => Backend::WindowsUnelevated,
                Tier::Elevated => Backend::WindowsElevated,
            },
            strength: if plan.not_enforced.is_empty() { Strength::Full } else { Strength::Partial },
            gaps: plan.not_enforced.iter().map(gap).collect(),
        }
    }
}
