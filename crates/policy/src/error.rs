//! Failures of reading or resolving a policy: what, where it was written, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::policy::Origin;

/// A policy that cannot be used. Displays as `PLACE: what is wrong`.
#[derive(Debug, thiserror::Error)]
#[error("{}{problem}", Prefix(origin))]
pub struct PolicyError {
    /// Where the value was written.
    pub origin: Origin,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a policy.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A configuration file that cannot be read.
    #[error("cannot read this configuration file: {source}")]
    Unreadable {
        /// The system's error.
        source: io::Error,
    },
    /// A configuration file larger than [`crate::config::MAX_BYTES`].
    #[error("this configuration file is larger than 1 MiB")]
    TooLarge,
    /// Bytes that are not UTF-8.
    #[error("not UTF-8, which TOML has to be")]
    NotUtf8,
    /// A NUL byte.
    #[error("a NUL byte, which TOML cannot have")]
    NulByte,
    /// Not TOML.
    #[error("not valid TOML (column {column}): {message}")]
    Syntax {
        /// From 1, in characters.
        column: usize,
        /// The parser's words.
        message: String,
    },
    /// A configuration file that a sandboxed command could have written.
    #[error("this configuration file is inside the workspace {}, which is not trusted", .folder.display())]
    InWorkspace {
        /// The folder that makes it so.
        folder: PathBuf,
    },
    /// A key that does not exist in one of our tables, or a near miss of one of our names.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// The whole key, dotted.
        key: String,
        /// The key that was probably meant, dotted.
        nearest: Option<&'static str>,
    },
    /// A value of another type.
    #[error("`{key}` cannot be {got}")]
    WrongType {
        /// The whole key, dotted.
        key: &'static str,
        /// In words, with an article.
        expected: &'static str,
        /// In words, with an article.
        got: String,
    },
    /// A value of the right type that means nothing.
    #[error("`{key}` cannot be {got}")]
    BadValue {
        /// The whole key, dotted, or the flag.
        key: &'static str,
        /// In words, with an article.
        expected: &'static str,
        /// The value, quoted.
        got: String,
    },
    /// `-c` without `=`, or without a key.
    #[error("not of the form KEY=VALUE")]
    NotAnOverride,
    /// A flag that means nothing in the mode in force.
    #[error("{flag} has no meaning in mode {mode}{}", SetBy(.mode_origin))]
    Contradiction {
        /// The flag, or the key that it stands for.
        flag: &'static str,
        /// The mode.
        mode: &'static str,
        /// Where the mode was set.
        mode_origin: Origin,
    },
    /// The working directory is gone or cannot be reached.
    #[error("the working directory {} cannot be used: {source}", .path.display())]
    WorkingDirectory {
        /// As it was given.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A root that does not exist or cannot be reached.
    #[error("the writable root {} cannot be used: {source}", .path.display())]
    RootMissing {
        /// Absolute.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A root that is a file, a device, …
    #[error("the writable root {} is not a folder", .path.display())]
    RootNotAFolder {
        /// Canonical.
        path: PathBuf,
    },
    /// A root that takes in more than a workspace may.
    #[error("{} is too wide to be writable: {why}", .path.display())]
    RootTooWide {
        /// Canonical.
        path: PathBuf,
        /// Why.
        why: TooWide,
        /// Whether it is the working directory, for which nobody asked in words.
        implied: bool,
    },
    /// A root that is a protected name, or lies inside a `.git`.
    #[error("{} cannot be writable: {name} is a protected name", .path.display())]
    RootProtected {
        /// Canonical.
        path: PathBuf,
        /// The name, as the policy has it.
        name: String,
        /// Whether it is the working directory, for which nobody asked in words.
        implied: bool,
    },
    /// A root that is found through a link which commands may replace.
    #[error("the way to the writable root {} goes through {}, a link that a command could replace", .path.display(), .link.display())]
    RootThroughLink {
        /// Canonical.
        path: PathBuf,
        /// The link, inside a root.
        link: PathBuf,
    },
    /// A root that is a deny-read path.
    #[error("{} is both a writable root and a deny-read path", .path.display())]
    RootDenied {
        /// Canonical.
        path: PathBuf,
    },
    /// A deny-read path that covers the working directory.
    #[error("the deny-read path {} covers the working directory {}", .path.display(), .cwd.display())]
    WorkingDirectoryDenied {
        /// Canonical.
        path: PathBuf,
        /// Canonical.
        cwd: PathBuf,
    },
    /// `~/` without a home folder.
    #[error("{} needs a home folder, and there is none", .path.display())]
    NoHome {
        /// As written.
        path: PathBuf,
    },
    /// `network.allow` needs the proxy, which this version does not have.
    #[error("`network.allow` names hosts, but this version has no proxy that could let them through")]
    ProxyMissing,
}

/// Why a folder is too wide to be a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TooWide {
    /// `/`, or a drive.
    FileSystem,
    /// The home folder.
    Home,
    /// A parent of the home folder.
    AboveHome,
    /// It contains, or lies in, the folder of our private temporary folders.
    State(PathBuf),
    /// A folder of the operating system.
    System,
}

impl fmt::Display for TooWide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileSystem => f.write_str("it is the root of a file system"),
            Self::Home => f.write_str("it is the home folder, whose start-up files run code"),
            Self::AboveHome => f.write_str("it contains the home folder, whose start-up files run code"),
            Self::State(state) => {
                write!(f, "it shares files with the sandbox's own folder {}", state.display())
            }
            Self::System => f.write_str("it is a folder of the operating system"),
        }
    }
}

impl PolicyError {
    /// Joins a problem and its place.
    pub fn new(origin: Origin, problem: Problem) -> Self {
        Self { origin, problem }
    }

    /// A stable name for programs; docs/messages.md lists them.
    pub fn code(&self) -> &'static str {
        match &self.problem {
            Problem::Unreadable { .. } => "config.unreadable",
            Problem::TooLarge => "config.too-large",
            Problem::NotUtf8 => "config.not-utf8",
            Problem::NulByte => "config.nul-byte",
            Problem::Syntax { .. } => "config.syntax",
            Problem::InWorkspace { .. } => "config.in-workspace",
            Problem::UnknownKey { .. } => "policy.unknown-key",
            Problem::WrongType { .. } => "policy.wrong-type",
            Problem::BadValue { .. } => "policy.bad-value",
            Problem::NotAnOverride => "policy.not-an-override",
            Problem::Contradiction { .. } => "policy.contradiction",
            Problem::WorkingDirectory { .. } => "cwd.unusable",
            Problem::RootMissing { .. } => "root.missing",
            Problem::RootNotAFolder { .. } => "root.not-a-folder",
            Problem::RootTooWide { .. } => "root.too-wide",
            Problem::RootProtected { .. } => "root.protected",
            Problem::RootThroughLink { .. } => "root.through-link",
            Problem::RootDenied { .. } => "root.denied",
            Problem::WorkingDirectoryDenied { .. } => "deny-read.cwd",
            Problem::NoHome { .. } => "path.no-home",
            Problem::ProxyMissing => "network.proxy-missing",
        }
    }

    /// `FILE:LINE`, `-c KEY=VALUE`, a flag; `None` where nobody wrote it.
    pub fn place(&self) -> Option<String> {
        match &self.origin {
            Origin::Default => None,
            origin => Some(origin.to_string()),
        }
    }

    /// The path that it is about, where it is about one.
    pub fn object(&self) -> Option<&Path> {
        match &self.problem {
            Problem::WorkingDirectory { path, .. }
            | Problem::RootMissing { path, .. }
            | Problem::RootNotAFolder { path }
            | Problem::RootTooWide { path, .. }
            | Problem::RootProtected { path, .. }
            | Problem::RootThroughLink { path, .. }
            | Problem::RootDenied { path }
            | Problem::WorkingDirectoryDenied { path, .. }
            | Problem::NoHome { path } => Some(path),
            _ => match &self.origin {
                Origin::File { path, .. } => Some(path),
                _ => None,
            },
        }
    }

    /// The system's error behind it, where there is one.
    pub fn os_error(&self) -> Option<&io::Error> {
        match &self.problem {
            Problem::Unreadable { source }
            | Problem::WorkingDirectory { source, .. }
            | Problem::RootMissing { source, .. } => Some(source),
            _ => None,
        }
    }

    /// What the user can do about it: one sentence without a full stop.
    pub fn remedy(&self) -> String {
        match &self.problem {
            Problem::Unreadable { .. } => "make the file readable, or name another with --config".into(),
            Problem::TooLarge => "a configuration is a few lines: check that this is the right file".into(),
            Problem::NotUtf8 | Problem::NulByte => "save the file as UTF-8 text".into(),
            Problem::Syntax { .. } => {
                "correct the line (strings need quotes; docs/config.md has examples)".into()
            }
            Problem::InWorkspace { .. } => {
                "keep the configuration outside every folder that commands may write".into()
            }
            Problem::UnknownKey { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Problem::UnknownKey { nearest: None, .. } => "docs/config.md lists every key".into(),
            Problem::WrongType { expected, .. } | Problem::BadValue { expected, .. } => {
                format!("it takes {expected}")
            }
            Problem::NotAnOverride => "write it as -c sandbox.git=commit".into(),
            Problem::Contradiction { flag, .. } => format!("leave {flag} out, or choose another --mode"),
            Problem::WorkingDirectory { .. } => "cd to a folder that exists, or name one with --cwd".into(),
            Problem::RootMissing { path, .. } => {
                format!("create it (mkdir -p {}), or take it out of the policy", path.display())
            }
            Problem::RootNotAFolder { .. } => "name the folder that holds it".into(),
            Problem::RootTooWide { implied: true, .. } | Problem::RootProtected { implied: true, .. } => {
                "cd into a project folder, or add --mode read-only".into()
            }
            Problem::RootTooWide { .. } => "name the folders inside it that the command has to write".into(),
            Problem::RootProtected { .. } => {
                "leave it out, or take the name out of `sandbox.protected`".into()
            }
            Problem::RootThroughLink { path, .. } => {
                format!("name the folder itself if it is the one you mean: {}", path.display())
            }
            Problem::RootDenied { .. } => "take it out of one of the two lists".into(),
            Problem::WorkingDirectoryDenied { .. } => {
                "cd elsewhere, or take the path out of `sandbox.deny_read`".into()
            }
            Problem::NoHome { .. } => "set HOME, or write the path in full".into(),
            Problem::ProxyMissing => {
                "take `network.allow` out, or open the whole network with --network and no list".into()
            }
        }
    }
}

/// `PLACE: `, or nothing where nobody wrote the value.
struct Prefix<'a>(&'a Origin);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Origin::Default => Ok(()),
            origin => write!(f, "{origin}: "),
        }
    }
}

/// ` (set by PLACE)`, or nothing for a default.
struct SetBy<'a>(&'a Origin);

impl fmt::Display for SetBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Origin::Default => Ok(()),
            origin => write!(f, " (set by {origin})"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the built-in default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Override(text) => write!(f, "-c {text}"),
            Self::Flag(text) => f.write_str(text),
            Self::Library => f.write_str("the calling program"),
        }
    }
}
