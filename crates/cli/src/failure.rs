//! What the user reads when something of ours fails.

use std::io::Write;
use std::process::ExitCode;

use codex_sandbox::Error;
use codex_sandbox_policy::error::PolicyError;
use codex_sandbox_policy::shown::line;

/// A failure, and the exit code for it.
#[derive(Debug)]
pub enum Failure {
    /// Of the library.
    Sandbox(Error),
    /// An argument of this program; the text says which, and what it takes.
    Argument(String),
    /// Output could not be written.
    Output(std::io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sandbox(error)
    }
}

impl From<PolicyError> for Failure {
    fn from(error: PolicyError) -> Self {
        Self::Sandbox(error.into())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

impl Failure {
    /// Prints it on standard error, as text or as one line of JSON, and gives the exit code.
    pub fn report(&self, json: bool) -> ExitCode {
        let text = if json { format!("{}\n", self.as_json()) } else { self.as_text() };
        let _unprintable = std::io::stderr().write_all(text.as_bytes());
        ExitCode::from(match self {
            Self::Sandbox(error) => error.exit_code(),
            // A reader that went away (| head) is no failure worth a code of its own.
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
            Self::Argument(_) | Self::Output(_) => 125,
        })
    }

    fn as_text(&self) -> String {
        match self {
            Self::Sandbox(error) => {
                format!("codex-sandbox: {}\n  remedy: {}\n", line(&error.to_string()), line(&error.remedy()))
            }
            Self::Argument(text) => format!("codex-sandbox: {}\n", line(text)),
            Self::Output(error) => {
                format!("codex-sandbox: cannot write the output: {}\n", line(&error.to_string()))
            }
        }
    }

    fn as_json(&self) -> serde_json::Value {
        match self {
            Self::Sandbox(error) => serde_json::json!({"error": {
                "code": error.code(),
                "stage": error.stage(),
                "object": error.object().map(|path| path.to_string_lossy()),
                "os_error": error.os_error().and_then(std::io::Error::raw_os_error),
                "message": error.to_string(),
                "remedy": error.remedy(),
            }}),
            Self::Argument(text) => {
                serde_json::json!({"error": {"code": "usage", "stage": "arguments", "message": text}})
            }
            Self::Output(error) => {
                serde_json::json!({"error": {"code": "output", "stage": "output", "message": error.to_string()}})
            }
        }
    }
}
