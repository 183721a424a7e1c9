//! What a logon that failed means, and what to do. Source: winerror.h, and "Account logon" in Microsoft's documentation.

/// What is to be done about a failed test logon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// A new password.
    NewPassword,
    /// Nothing that we may do.
    None,
}

/// Why a logon failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// A stable word.
    pub code: &'static str,
    /// In words.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// What the set-up can do itself.
    pub cure: Cure,
}

const MANAGED: &str = "ask whoever manages this machine, or use windows.sandbox = \"unelevated\"";
const AGAIN: &str = "run `codex-sandbox setup --repair`";

/// Explains the Win32 error of LogonUserW.
pub fn explain(error: u32) -> Explained {
    let said = |code, why, remedy, cure| Explained { code, why, remedy, cure };
    match error {
        // ERROR_LOGON_FAILURE
        1326 => {
            said("setup-logon-password", "the sealed password is not the account's", AGAIN, Cure::NewPassword)
        }
        // ERROR_PASSWORD_EXPIRED, ERROR_PASSWORD_MUST_CHANGE
        1330 | 1907 => {
            said("setup-logon-expired", "the account's password counts as expired", AGAIN, Cure::NewPassword)
        }
        // ERROR_ACCOUNT_RESTRICTION
        1327 => said(
            "setup-logon-restricted",
            "an account policy keeps it from logging on (empty passwords, hours, or \"smart card required\")",
            MANAGED,
            Cure::None,
        ),
        // ERROR_INVALID_LOGON_HOURS, ERROR_INVALID_WORKSTATION
        1328 | 1329 => {
            said("setup-logon-restricted", "logon hours or workstations are limited", MANAGED, Cure::None)
        }
        // ERROR_ACCOUNT_DISABLED
        1331 => said("setup-logon-disabled", "the account is disabled", AGAIN, Cure::None),
        // ERROR_LOGON_TYPE_NOT_GRANTED
        1385 => said(
            "setup-logon-type",
            "a policy denies it \"Allow log on locally\" (SeInteractiveLogonRight), which running programs as an account needs",
            "give the group of the sandbox accounts that right: secpol.msc, Local Policies, User Rights Assignment",
            Cure::None,
        ),
        // ERROR_ACCOUNT_LOCKED_OUT
        1909 => said(
            "setup-logon-locked",
            "the account is locked after failed logons",
            "wait until the lock passes (net accounts), then run `codex-sandbox setup --repair`",
            Cure::None,
        ),
        // ERROR_ACCOUNT_EXPIRED
        1793 => said("setup-logon-expired", "the account has expired", AGAIN, Cure::None),
        // ERROR_TRUSTED_RELATIONSHIP_FAILURE, ERROR_NO_LOGON_SERVERS
        1789 | 1311 => said(
            "setup-logon-domain",
            "Windows asked a domain about a local account",
            "use a name that no account of the domain has: windows.account_prefix = \"…\"",
            Cure::None,
        ),
        // ERROR_PRIVILEGE_NOT_HELD
        1314 => said("setup-logon-privilege", "this process may not log anybody on", MANAGED, Cure::None),
        _ => said("setup-logon-failed", "the account cannot log on", AGAIN, Cure::None),
    }
}
