//! Why a line is no case.

use nt_security::sddl::SddlError;
use nt_security::wire::WireError;

/// A line that cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaseError {
    /// Not JSON, or not the fields of such a case.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Not text.
    #[error("{0}")]
    Utf8(#[from] std::str::Utf8Error),
    /// A field that is needed is missing.
    #[error("the case needs the field {0}")]
    Missing(&'static str),
    /// A descriptor that is no SDDL.
    #[error("{field}: {source}")]
    Sddl {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        source: SddlError,
    },
    /// A descriptor in bytes that is none.
    #[error("sd_hex: {0}")]
    Wire(#[from] WireError),
    /// Not hexadecimal digits.
    #[error("sd_hex is not an even number of hexadecimal digits")]
    Hex,
    /// A word that is none of those that may stand there.
    #[error("{field} is {found:?}, which is not one of {expected}")]
    Word {
        /// Which field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it may say.
        expected: &'static str,
    },
}

impl CaseError {
    /// A stable word for programs that act on the error.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Json(_) => "case-json",
            Self::Utf8(_) => "case-utf8",
            Self::Missing(_) => "case-missing-field",
            Self::Sddl { source, .. } => source.kind.code(),
            Self::Wire(error) => error.code(),
            Self::Hex => "case-hex",
            Self::Word { .. } => "case-word",
        }
    }
}
