//! Which tier a run gets.

use codex_sandbox_policy::Policy;
use codex_sandbox_policy::policy::WindowsTier;

use super::data::Tier;
use super::error::PlanError;
use super::facts::{Account, Facts};

/// ERROR_LOGON_FAILURE
const LOGON_FAILURE: u32 = 1326;
/// ERROR_ACCOUNT_RESTRICTION
const ACCOUNT_RESTRICTION: u32 = 1327;
/// ERROR_PASSWORD_EXPIRED
const PASSWORD_EXPIRED: u32 = 1330;
/// ERROR_ACCOUNT_DISABLED
const ACCOUNT_DISABLED: u32 = 1331;
/// ERROR_LOGON_TYPE_NOT_GRANTED
const LOGON_TYPE_NOT_GRANTED: u32 = 1385;
/// ERROR_PASSWORD_MUST_CHANGE
const PASSWORD_MUST_CHANGE: u32 = 1907;
/// ERROR_ACCOUNT_LOCKED_OUT
const ACCOUNT_LOCKED_OUT: u32 = 1909;
/// ERROR_NOT_FOUND: what a broken ProfileList makes of a logon with profile
const NOT_FOUND: u32 = 1168;
/// ERROR_ACCESS_DENIED
const ACCESS_DENIED: u32 = 5;

/// Why the elevated tier is not there.
struct Missing {
    code: &'static str,
    reason: String,
    remedy: &'static str,
}

/// The tier of this run, and what to say about it. There is no retry and no quiet step down: `auto` steps down with one
/// warning, `elevated` does not step down at all.
///
/// # Errors
/// [`PlanError::ElevatedUnavailable`].
pub fn choose(policy: &Policy, facts: &Facts) -> Result<(Tier, Vec<String>), PlanError> {
    match (policy.windows_tier, missing(facts)) {
        (WindowsTier::Unelevated, _) => Ok((Tier::Unelevated, Vec::new())),
        (WindowsTier::Elevated | WindowsTier::Auto, None) => Ok((Tier::Elevated, Vec::new())),
        (WindowsTier::Elevated, Some(Missing { code, reason, remedy })) => {
            Err(PlanError::ElevatedUnavailable { code, reason, remedy: remedy.to_owned() })
        }
        (WindowsTier::Auto, Some(missing)) => {
            let warning =
                format!("unelevated tier, because {}: the network is only discouraged", missing.reason);
            Ok((Tier::Unelevated, vec![warning]))
        }
    }
}

fn missing(facts: &Facts) -> Option<Missing> {
    let found = |code, reason: &str, remedy| Some(Missing { code, reason: reason.to_owned(), remedy });
    let setup = &facts.setup;
    if facts.machine.is_domain_controller {
        return found(
            "windows-domain-controller",
            "this is a domain controller, which has no local accounts",
            "use windows.sandbox = \"unelevated\"",
        );
    }
    if setup.group.is_none() || setup.offline.is_none() || setup.online.is_none() {
        return found("windows-not-set-up", "it is not set up", "run `codex-sandbox setup`");
    }
    if !setup.helpers {
        return found(
            "windows-no-helper",
            "its helper program is missing",
            "run `codex-sandbox setup --repair`",
        );
    }
    if facts.machine.secondary_logon_disabled {
        return found(
            "windows-secondary-logon",
            "the Secondary Logon service (seclogon) is disabled",
            "set the service to Manual, or use windows.sandbox = \"unelevated\"",
        );
    }
    setup.logon_error.map(logon_failed)
}

/// What a failed test logon means.
fn logon_failed(error: u32) -> Missing {
    let repair =
        "run `codex-sandbox setup --repair`, which repairs the account's flags and sets a new password";
    let policy = "ask whoever manages the machine, or use windows.sandbox = \"unelevated\"";
    let (why, remedy) = match error {
        LOGON_FAILURE => ("the stored password is not the account's", repair),
        ACCOUNT_LOCKED_OUT => {
            ("the account is locked after failed logons; wait for the lock to pass", repair)
        }
        PASSWORD_EXPIRED | PASSWORD_MUST_CHANGE => ("the account's password counts as expired", repair),
        ACCOUNT_DISABLED => ("the account is disabled", repair),
        ACCOUNT_RESTRICTION => ("a policy keeps the account from logging on", policy),
        LOGON_TYPE_NOT_GRANTED => ("a policy denies the account \"Allow log on locally\"", policy),
        NOT_FOUND => ("the account's profile entry in the registry is broken", repair),
        ACCESS_DENIED => ("the Secondary Logon service refuses the caller", policy),
        _ => ("the account cannot log on", repair),
    };
    Missing { code: "windows-logon", reason: format!("{why} (Win32 error {error})"), remedy }
}

/// Whether an account that we need has a name that someone else took.
///
/// # Errors
/// [`PlanError::NotOurs`].
pub fn names_are_ours(policy: &Policy, facts: &Facts) -> Result<(), PlanError> {
    let prefix = &policy.windows_account_prefix;
    let ours =
        |name: &str| ["Users", "Offline", "Online"].iter().any(|end| same(name, &format!("{prefix}{end}")));
    let taken = |account: &&Account| ours(&account.name) && !account.ours;
    if let Some(account) = facts.accounts.iter().find(taken) {
        return Err(PlanError::NotOurs { what: "account", name: account.name.clone() });
    }
    let rule = facts.firewall_rules.iter().find(|rule| !rule.ours && rule.name.starts_with(prefix.as_str()));
    match rule {
        Some(rule) => Err(PlanError::NotOurs { what: "firewall rule", name: rule.name.clone() }),
        None => Ok(()),
    }
}

fn same(a: &str, b: &str) -> bool {
    super::path::same_name(a, b)
}
