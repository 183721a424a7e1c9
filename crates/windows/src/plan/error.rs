//! Why there is no plan.

use super::locate::LocateError;
use super::path::WinPath;
use super::tree::FactsError;

/// A policy that cannot be planned on a host. Every message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The facts are not usable.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// `danger-full-access` has no sandbox to plan.
    #[error("sandbox_mode = \"danger-full-access\" runs without a sandbox, so there is nothing to plan")]
    NoSandbox,
    /// The elevated tier was asked for and is not there.
    #[error("the elevated tier cannot be used: {reason}; {remedy}")]
    ElevatedUnavailable {
        /// A stable word for the cause.
        code: &'static str,
        /// Why.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// An account or rule of our name belongs to someone else.
    #[error(
        "{what} {name:?} exists and was not made by this program; choose other names with \
         windows.account_prefix, nothing of it will be touched"
    )]
    NotOurs {
        /// `account` or `firewall rule`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A deny-read path cannot be kept from the command.
    #[error("deny_read {path}: {reason}; {remedy}")]
    DenyRead {
        /// The path.
        path: WinPath,
        /// Why.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// A deny-read path does not lead to a local file.
    #[error("deny_read: {0}")]
    DenyReadPath(LocateError),
    /// A path of the policy is not Unicode.
    #[error("path {path:?} of the policy is not Unicode")]
    NotUnicode {
        /// What of it can be shown.
        path: String,
    },
    /// There are more roots than a token should carry.
    #[error(
        "{count} writable roots; at most {most} can be active at once, because each adds a SID to the token"
    )]
    TooManyRoots {
        /// How many.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// The facts hold too few unused SIDs.
    #[error("the facts hold {have} unused random SIDs and the plan needs more; gather them again")]
    TooFewSids {
        /// How many there were.
        have: usize,
    },
}

impl PlanError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Facts(error) => error.code(),
            Self::NoSandbox => "windows-no-sandbox",
            Self::ElevatedUnavailable { code, .. } => code,
            Self::NotOurs { .. } => "windows-not-ours",
            Self::DenyRead { .. } => "windows-deny-read",
            Self::DenyReadPath(_) => "windows-deny-read-path",
            Self::NotUnicode { .. } => "windows-not-unicode",
            Self::TooManyRoots { .. } => "windows-too-many-roots",
            Self::TooFewSids { .. } => "windows-too-few-sids",
        }
    }

    /// The stage at which it is found.
    pub fn stage(&self) -> &'static str {
        "plan"
    }
}
