//! What an attempt says about itself, and the line in which it says it.

use std::fmt;
use std::io;
use std::str::FromStr;

/// How an attempt went, seen from inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The forbidden thing was done; how.
    Succeeded(String),
    /// Something refused.
    Denied {
        /// The error number of the step that was refused, where there is one.
        errno: Option<i32>,
        /// Which step, and the system's words.
        detail: String,
    },
    /// It could not be tried here; why.
    Skipped(String),
    /// The preparation inside failed, so the verdict proves nothing.
    Broken(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |text: &str| text.replace(['\n', '\r'], " ");
        match self {
            Self::Succeeded(detail) => write!(f, "SUCCEEDED {}", line(detail)),
            Self::Denied { errno: Some(errno), detail } => write!(f, "DENIED errno={errno} {}", line(detail)),
            Self::Denied { errno: None, detail } => write!(f, "DENIED {}", line(detail)),
            Self::Skipped(reason) => write!(f, "SKIPPED {}", line(reason)),
            Self::Broken(reason) => write!(f, "BROKEN {}", line(reason)),
        }
    }
}

/// The text is not a verdict's line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a verdict: {0:?}")]
pub struct ParseVerdictError(String);

impl FromStr for Verdict {
    type Err = ParseVerdictError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let (word, rest) =
            line.trim_end().split_once(' ').ok_or_else(|| ParseVerdictError(line.to_owned()))?;
        let text = rest.to_owned();
        match word {
            "SUCCEEDED" => Ok(Self::Succeeded(text)),
            "SKIPPED" => Ok(Self::Skipped(text)),
            "BROKEN" => Ok(Self::Broken(text)),
            "DENIED" => Ok(denied(rest)),
            _ => Err(ParseVerdictError(line.to_owned())),
        }
    }
}

fn denied(rest: &str) -> Verdict {
    let numbered = rest.strip_prefix("errno=").and_then(|rest| rest.split_once(' '));
    match numbered.and_then(|(number, detail)| Some((number.parse().ok()?, detail))) {
        Some((errno, detail)) => Verdict::Denied { errno: Some(errno), detail: detail.to_owned() },
        None => Verdict::Denied { errno: None, detail: rest.to_owned() },
    }
}

/// Why an attempt ended before it succeeded.
#[derive(Debug)]
pub(super) struct Stop(Verdict);

/// What an attempt's function returns: what it did, or why it stopped.
pub(super) type Tried = Result<String, Stop>;

impl Stop {
    /// Refused without an error number.
    pub(super) fn denied(detail: impl Into<String>) -> Self {
        Self(Verdict::Denied { errno: None, detail: detail.into() })
    }

    /// Not possible here.
    pub(super) fn skipped(reason: impl Into<String>) -> Self {
        Self(Verdict::Skipped(reason.into()))
    }

    /// Refused with an error of the system.
    pub(super) fn refused(error: &io::Error, what: impl fmt::Display) -> Self {
        Self(Verdict::Denied { errno: error.raw_os_error(), detail: format!("{what}: {error}") })
    }

    /// A preparation that did not work.
    pub(super) fn broken(reason: impl Into<String>) -> Self {
        Self(Verdict::Broken(reason.into()))
    }
}

impl From<Tried> for Verdict {
    fn from(tried: Tried) -> Self {
        match tried {
            Ok(detail) => Self::Succeeded(detail),
            Err(Stop(verdict)) => verdict,
        }
    }
}

/// Tells the steps that must be refused from those that only prepare: a preparation that fails proves nothing.
pub(super) trait Step<T> {
    /// The forbidden step; its failure is the sandbox' doing.
    fn attack(self, what: impl fmt::Display) -> Result<T, Stop>;
    /// A lawful step before it.
    fn ready(self, what: impl fmt::Display) -> Result<T, Stop>;
}

impl<T> Step<T> for io::Result<T> {
    fn attack(self, what: impl fmt::Display) -> Result<T, Stop> {
        self.map_err(|error| Stop::refused(&error, what))
    }

    fn ready(self, what: impl fmt::Display) -> Result<T, Stop> {
        self.map_err(|error| Stop(Verdict::Broken(format!("preparing: {what}: {error}"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_survives_its_line() {
        let denied = |errno, detail: &str| Verdict::Denied { errno, detail: detail.to_owned() };
        for verdict in [
            Verdict::Succeeded("wrote".into()),
            denied(Some(1), "open: Operation not permitted (os error 1)"),
            denied(None, "nothing arrived"),
            denied(None, "errno=x is not a number"),
            Verdict::Skipped("no such device".into()),
            Verdict::Broken("preparing: mkdir".into()),
        ] {
            assert_eq!(verdict.to_string().parse(), Ok(verdict.clone()));
        }
        assert_eq!(Verdict::Succeeded("a\nb".into()).to_string(), "SUCCEEDED a b");
        assert!("".parse::<Verdict>().is_err());
        assert!("HELD well".parse::<Verdict>().is_err());
    }

    #[test]
    fn preparation_and_attack_fail_differently() {
        let failed = || Err::<(), _>(io::Error::from_raw_os_error(libc::EROFS));
        let attack = Verdict::from(failed().attack("open").map(|()| String::new()));
        assert!(matches!(attack, Verdict::Denied { errno: Some(libc::EROFS), .. }), "{attack}");
        let ready = Verdict::from(failed().ready("open").map(|()| String::new()));
        assert!(matches!(ready, Verdict::Broken(_)), "{ready}");
    }
}
