//! Exit codes of `codex-sandbox setup` and of the set-up program, for Intune, SCCM and scripts.

use super::engine::Outcome;
use super::error::SetupError;

/// The machine is set up, as well as it lets itself be; or everything was taken back.
pub const COMPLETE: u8 = 0;
/// Some steps failed; running it again goes on.
pub const INCOMPLETE: u8 = 1;
/// There was no elevation: it was declined, or there is nobody to ask.
pub const NOT_ELEVATED: u8 = 3;
/// A name is somebody else's: another `windows.account_prefix` is needed.
pub const NAME_TAKEN: u8 = 4;
/// A policy of the machine or its domain is against it.
pub const POLICY: u8 = 5;
/// Nothing was done.
pub const FAILED: u8 = 125;

/// Of a run that came to its end.
pub fn of_outcome(outcome: &Outcome) -> u8 {
    if outcome.is_complete() {
        return COMPLETE;
    }
    let codes: Vec<u8> = outcome.failures().map(of).collect();
    [NOT_ELEVATED, NAME_TAKEN, POLICY].into_iter().find(|code| codes.contains(code)).unwrap_or(INCOMPLETE)
}

/// Of a failure that ended everything.
pub fn of(error: &SetupError) -> u8 {
    match error.code {
        "setup-not-elevated" | "setup-access-denied" | "setup-elevation-declined" => NOT_ELEVATED,
        "setup-name-taken" | "setup-rule-taken" | "setup-other-prefix" => NAME_TAKEN,
        "setup-policy"
        | "setup-password-policy"
        | "setup-domain-controller"
        | "setup-logon-type"
        | "setup-logon-restricted"
        | "setup-firewall-policy" => POLICY,
        _ => FAILED,
    }
}
