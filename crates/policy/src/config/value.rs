//! A TOML value with its place, read as a Rust type.

use std::path::{Path, PathBuf};

use toml::de::{DeInteger, DeValue};

use crate::config::keys::Key;
use crate::error::{PolicyError, Problem};
use crate::policy::{Origin, WrittenPath};

/// Where a text came from.
pub enum Source<'a> {
    /// A file.
    File {
        /// Its path.
        path: &'a Path,
        /// Byte offsets at which its lines begin, the first left out.
        lines: Vec<usize>,
    },
    /// `-c`, as typed.
    Override(&'a str),
}

impl<'a> Source<'a> {
    /// The file `path` with this content.
    pub fn file(path: &'a Path, content: &[u8]) -> Self {
        let newlines = content.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Self::File { path, lines: newlines.map(|(at, _)| at + 1).collect() }
    }

    /// The origin of what stands at byte `at`.
    pub fn origin(&self, at: usize) -> Origin {
        match self {
            Self::File { path, lines } => Origin::File {
                path: path.to_path_buf(),
                line: 1 + lines.partition_point(|start| *start <= at),
            },
            Self::Override(text) => Origin::Override((*text).to_owned()),
        }
    }
}

/// A value of a key, with its place.
pub struct Node<'a> {
    /// The value.
    pub value: &'a DeValue<'a>,
    /// Byte offset of its key (of the value itself, for a member of an array).
    pub at: usize,
    /// The text it stands in.
    pub source: &'a Source<'a>,
}

impl Node<'_> {
    /// Its origin.
    pub fn origin(&self) -> Origin {
        self.source.origin(self.at)
    }

    /// An error at this place.
    pub fn fail(&self, problem: Problem) -> PolicyError {
        PolicyError::new(self.origin(), problem)
    }

    /// An error that says what was expected and what is there.
    pub fn wrong_type(&self, key: &'static str, expected: &'static str) -> PolicyError {
        self.fail(Problem::WrongType { key, expected, got: describe(self.value) })
    }

    /// An error that says what was expected and shows the value.
    pub fn bad_value(&self, key: &Key) -> PolicyError {
        self.fail(Problem::BadValue { key: key.name, expected: key.expected, got: show(self.value) })
    }

    /// A boolean.
    pub fn boolean(&self, key: &Key) -> Result<bool, PolicyError> {
        match self.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.wrong_type(key.name, key.expected)),
        }
    }

    /// A string.
    pub fn string(&self, key: &Key) -> Result<&str, PolicyError> {
        match self.value {
            DeValue::String(value) => Ok(value),
            _ => Err(self.wrong_type(key.name, key.expected)),
        }
    }

    /// A string or integer, as text for [`crate::config::units`].
    pub fn quantity(&self, key: &Key) -> Result<String, PolicyError> {
        match self.value {
            DeValue::String(value) => Ok(value.to_string()),
            DeValue::Integer(value) => {
                integer(value).map(|value| value.to_string()).ok_or_else(|| self.bad_value(key))
            }
            DeValue::Float(value) => Ok(value.as_str().to_owned()),
            _ => Err(self.wrong_type(key.name, key.expected)),
        }
    }

    /// A non-negative integer.
    pub fn integer(&self, key: &Key) -> Result<u64, PolicyError> {
        match self.value {
            DeValue::Integer(value) => integer(value).ok_or_else(|| self.bad_value(key)),
            _ => Err(self.wrong_type(key.name, key.expected)),
        }
    }

    /// The members of an array.
    pub fn array(&self, key: &Key) -> Result<impl Iterator<Item = Node<'_>>, PolicyError> {
        match self.value {
            DeValue::Array(members) => Ok(members.iter().map(|member| Node {
                value: member.get_ref(),
                // Offsets inside -c count from another place, and its origin does not use them.
                at: member.span().start,
                source: self.source,
            })),
            _ => Err(self.wrong_type(key.name, key.expected)),
        }
    }

    /// An array of paths.
    pub fn paths(&self, key: &Key) -> Result<Vec<WrittenPath>, PolicyError> {
        let path = |member: Node<'_>| {
            let text = member.string(key)?;
            if text.is_empty() || text.contains('\0') {
                return Err(member.bad_value(key));
            }
            Ok(WrittenPath { path: PathBuf::from(text), origin: member.origin() })
        };
        self.array(key)?.map(path).collect()
    }
}

fn integer(value: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(value.as_str(), value.radix()).ok()
}

/// The type in words, with the value where it is short.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => format!("the string {}", show(value)),
        DeValue::Integer(_) => format!("the integer {}", show(value)),
        DeValue::Float(_) => format!("the number {}", show(value)),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The value as it could be written, cut where it is long.
fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() > 60 => {
            format!("{:?}…", text.chars().take(60).collect::<String>())
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(value) => value.to_string(),
        DeValue::Float(value) => value.as_str().to_owned(),
        other => describe(other),
    }
}
