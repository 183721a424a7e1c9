//! Write SIDs: one for each root and variant, random, never used for another.

use codex_sandbox_policy::GitMode;
use nt_security::Sid;

use super::data::{HostPolicy, WriteSidPlan};
use super::error::PlanError;
use super::facts::Facts;
use super::path::{WinPath, fold};

/// How many roots may be active at once: each costs a SID in the token (field report 39).
pub const MAX_ROOTS: usize = 64;

/// Gives out SIDs: those that the state database knows, then unused ones from the facts, front to back.
pub struct Sids<'a> {
    facts: &'a Facts,
    unused: std::slice::Iter<'a, super::sid_text::SidText>,
}

impl<'a> Sids<'a> {
    /// Starts with all unused SIDs.
    pub fn new(facts: &'a Facts) -> Self {
        Self { facts, unused: facts.random_sids.iter() }
    }

    /// A SID that was never used.
    ///
    /// # Errors
    /// [`PlanError::TooFewSids`].
    pub fn fresh(&mut self) -> Result<Sid, PlanError> {
        let too_few = PlanError::TooFewSids { have: self.facts.random_sids.len() };
        self.unused.next().map(|sid| sid.0).ok_or(too_few)
    }

    /// The SID of a root for a variant of the policy.
    ///
    /// # Errors
    /// [`PlanError::TooFewSids`].
    pub fn of(&mut self, root: &WinPath, variant: &str) -> Result<WriteSidPlan, PlanError> {
        let known = self.facts.state.write_sids.iter();
        let known = known.clone().find(|known| known.root == *root && known.variant == variant);
        let (sid, new) = match known {
            Some(known) => (known.sid, false),
            None => (self.fresh()?.into(), true),
        };
        Ok(WriteSidPlan { root: root.clone(), variant: variant.to_owned(), sid, new })
    }
}

/// What of the policy decides which denies name a root's SID. Runs whose policies differ in it may be active at once,
/// so they cannot share the SID: a deny for one would be a deny for the other.
pub fn variant(root: &WinPath, policy: &HostPolicy) -> String {
    let mut names: Vec<String> = policy.protected.iter().map(|name| fold(name)).collect();
    names.sort();
    let git = if policy.git == GitMode::Commit { "commit" } else { "protect" };
    let mut denied: Vec<&str> = policy
        .deny_read
        .iter()
        .map(|denied| &denied.path)
        .filter(|path| path.is_in(root))
        .map(WinPath::key)
        .collect();
    denied.sort_unstable();
    let mut text = format!("git={git} protected={}", names.join(","));
    if !denied.is_empty() {
        text.push_str(" deny_read=");
        text.push_str(&denied.join(","));
    }
    text
}
