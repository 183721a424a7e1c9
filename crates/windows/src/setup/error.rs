//! What went wrong in a set-up, in words for the user and in a code for programs.

use std::fmt;

use serde::Serialize;

use super::machine::MachineError;
use crate::host::SystemError;

/// A failure of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetupError {
    /// A stable word.
    pub code: &'static str,
    /// The step, such as `user-offline`.
    pub step: String,
    /// The account, rule, path or right that it is about.
    pub object: String,
    /// The Win32 error or HRESULT, 0 when the system said nothing.
    pub system_code: u32,
    /// The system's text for it.
    pub system_text: String,
    /// What to do.
    pub remedy: String,
    /// This process is being killed (in tests): nothing more is done.
    #[serde(skip)]
    pub killed: bool,
}

impl SetupError {
    /// A failure that no call reported.
    pub fn new(code: &'static str, step: &str, object: impl fmt::Display, remedy: &str) -> Self {
        Self {
            code,
            step: step.to_owned(),
            object: object.to_string(),
            system_code: 0,
            system_text: String::new(),
            remedy: remedy.to_owned(),
            killed: false,
        }
    }

    /// A failure of one of the machine's methods.
    pub fn of(step: &str, error: MachineError) -> Self {
        let killed = error.kind == super::machine::MachineErrorKind::Killed;
        let (code, remedy) = error.kind.code_and_remedy();
        let mut object = error.object;
        if !error.effect.is_empty() {
            object = format!("{object} ({})", error.effect);
        }
        let SystemError { code: system_code, text: system_text } =
            error.system.unwrap_or(SystemError { code: 0, text: String::new() });
        Self { system_code, system_text, killed, ..Self::new(code, step, object, remedy) }
    }

    /// The same failure under a code and with a remedy that say more.
    #[must_use]
    pub fn with(self, code: &'static str, remedy: &str) -> Self {
        if self.killed { self } else { Self { code, remedy: remedy.to_owned(), ..self } }
    }

    /// The same failure of another object.
    #[must_use]
    pub fn about(self, object: impl fmt::Display) -> Self {
        Self { object: object.to_string(), ..self }
    }

    /// With what the system said.
    #[must_use]
    pub fn with_system(self, system: &SystemError) -> Self {
        Self { system_code: system.code, system_text: system.text.clone(), ..self }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: step {}: {}", self.code, self.step, self.object)?;
        match self.system_code {
            0 => {}
            code if code > 0xFFFF => write!(f, ": {} (0x{code:08X})", self.system_text)?,
            code => write!(f, ": {} (Win32 error {code})", self.system_text)?,
        }
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl std::error::Error for SetupError {}
