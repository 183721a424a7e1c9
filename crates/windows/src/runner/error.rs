//! What can go wrong between launcher and runner.

use std::fmt;
use std::io;

use super::wire::{Put, Take};
use crate::host::SystemError;

/// The other side does not keep to the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A frame of this length.
    #[error("a frame of {0} bytes")]
    FrameLength(u32),
    /// A message that ends too early.
    #[error("a message that ends too early")]
    Short,
    /// A message with more behind it.
    #[error("a message with more behind its end")]
    Trailing,
    /// A kind of message that this side never gets.
    #[error("an unknown kind of message, {0:#04x}")]
    Kind(u8),
    /// More than this may be.
    #[error("{0} that is too long")]
    TooLong(&'static str),
    /// A value that this cannot have.
    #[error("{0} that is none")]
    Value(&'static str),
    /// Another version.
    #[error("version {0} of the protocol, in place of {version}", version = super::VERSION)]
    Version(u16),
    /// Not who was expected.
    #[error("{0} that is not the one that was agreed on")]
    Stranger(&'static str),
    /// A message out of its turn.
    #[error("{0} out of turn")]
    Turn(&'static str),
    /// More bytes of a stream than were asked for.
    #[error("more bytes of a stream than were asked for")]
    Credit,
}

impl From<ProtocolError> for io::Error {
    fn from(error: ProtocolError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Why a session ended.
#[derive(Debug)]
pub enum Broken {
    /// The other side closed its channel, or is gone.
    Closed,
    /// The channel failed.
    Io(io::Error),
    /// The other side broke the rules.
    Protocol(ProtocolError),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the other side is gone"),
            Self::Io(error) => write!(f, "the channel failed: {error}"),
            Self::Protocol(error) => write!(f, "the other side sent {error}"),
        }
    }
}

impl std::error::Error for Broken {}

impl From<ProtocolError> for Broken {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<io::Error> for Broken {
    /// A pipe whose other end is gone says so in several ways.
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionReset | ConnectionAborted | NotConnected | UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// A failure as it goes over the channel, and as callers get it: of a command that could not be started, or of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A stable word.
    pub code: String,
    /// The step.
    pub stage: String,
    /// The path or object.
    pub object: Option<Box<str>>,
    /// What the system said.
    pub system: Option<Box<SystemError>>,
    /// What to do.
    pub remedy: Box<str>,
    /// In words.
    pub message: String,
}

/// Longest code and stage, longest of the others: bytes.
const WORD: usize = 64;
const LINE: usize = 64 << 10;

impl Failure {
    /// A failure of the session itself.
    pub fn new(code: &str, stage: &str, message: impl Into<String>, remedy: &str) -> Self {
        Self {
            code: code.to_owned(),
            stage: stage.to_owned(),
            object: None,
            system: None,
            remedy: remedy.into(),
            message: message.into(),
        }
    }

    /// With what the system said.
    #[must_use]
    pub fn with_system(self, system: SystemError) -> Self {
        Self { system: Some(Box::new(system)), ..self }
    }

    /// The runner, or the channel to it, is gone.
    pub fn lost(why: &Broken) -> Self {
        Self::new(
            "runner.lost",
            "talk to the runner",
            format!("the runner of the sandbox account ended, and its commands with it: {why}"),
            "run the command again; if it happens again, `codex-sandbox doctor` checks the set-up",
        )
    }

    pub(super) fn put(&self, put: &mut Put) {
        // Cut rather than refused: a long path in an error must not end the session.
        for (text, most) in [(&self.code, WORD), (&self.stage, WORD)] {
            put.text(cut(text, most));
        }
        put.option(self.object.as_deref(), |put, text| put.text(cut(text, LINE)));
        put.option(self.system.as_deref(), |put, system| {
            put.u32(system.code);
            put.text(cut(&system.text, LINE));
        });
        put.text(cut(&self.remedy, LINE));
        put.text(cut(&self.message, LINE));
    }

    pub(super) fn take(take: &mut Take<'_>) -> Result<Self, ProtocolError> {
        Ok(Self {
            code: take.text(WORD, "an error's code")?,
            stage: take.text(WORD, "an error's stage")?,
            object: take.option(|take| take.text(LINE, "an error's object"))?.map(Into::into),
            system: take.option(|take| {
                Ok(Box::new(SystemError { code: take.u32()?, text: take.text(LINE, "a system's text")? }))
            })?,
            remedy: take.text(LINE, "an error's remedy")?.into(),
            message: take.text(LINE, "an error's text")?,
        })
    }
}

/// Whole letters, up to a NUL, which no text of the protocol holds.
fn cut(text: &str, most: usize) -> &str {
    let text = text.split('\0').next().unwrap_or_default();
    &text[..text.floor_char_boundary(most)]
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
