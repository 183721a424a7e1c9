//! Why a command could not be started on Windows.

use crate::host::SystemError;

/// A failure of ours before the command runs: nothing is left running.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// No such program.
    #[error("{program}: not found{}", looked(.folders))]
    NotFound {
        /// As it was given.
        program: String,
        /// How many folders of PATH were looked through; 0 for a path.
        folders: usize,
    },
    /// Only an app execution alias of the Store was found.
    #[error(
        "{path} is an app execution alias: Windows starts packaged programs only for the user's own token, not for a restricted one"
    )]
    StoreAlias {
        /// The alias.
        path: String,
    },
    /// Something that no process can be made of.
    #[error("{path}: {why}")]
    NotExecutable {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// The system does not start it.
    #[error("{path}: {} (Win32 error {})", .system.text, .system.code)]
    Refused {
        /// The program.
        path: String,
        /// What the system said.
        system: SystemError,
    },
    /// A program's name with a quote in it.
    #[error("{program:?}: a program's name cannot hold a quote")]
    QuoteInProgram {
        /// The name.
        program: String,
    },
    /// An argument that cannot be given to a batch file.
    #[error(
        "{script} is a batch file, and the argument {argument:?} has a line break: cmd.exe would cut it there"
    )]
    BatchArgument {
        /// The batch file.
        script: String,
        /// The argument.
        argument: String,
    },
    /// More than Windows takes.
    #[error("the command line is {units} UTF-16 units long, Windows takes {most}")]
    CommandLineTooLong {
        /// Its length, the NUL included.
        units: usize,
        /// The limit.
        most: usize,
    },
    /// A NUL.
    #[error("{what} holds a NUL character")]
    NulInside {
        /// Where.
        what: &'static str,
    },
    /// Text that is not Unicode.
    #[error("{what} is not valid Unicode: {shown:?}")]
    NotUnicode {
        /// What.
        what: &'static str,
        /// As far as it can be shown.
        shown: String,
    },
    /// A step of the launch failed.
    #[error("{stage}{}: {} (Win32 error {})", of(.object), .system.text, .system.code)]
    Step {
        /// What was being done.
        stage: &'static str,
        /// To what, if it has a name.
        object: Option<String>,
        /// What the system said.
        system: SystemError,
        /// What to do.
        remedy: &'static str,
    },
    /// The token is not as the plan wants it.
    #[error("the token of the command {what}: nothing is started with it")]
    WrongToken {
        /// In what it differs.
        what: String,
    },
}

fn looked(folders: &usize) -> String {
    match folders {
        0 => String::new(),
        1 => " in the one folder of PATH".to_owned(),
        many => format!(" in the {many} folders of PATH"),
    }
}

fn of(object: &Option<String>) -> String {
    object.as_ref().map_or_else(String::new, |object| format!(" {object}"))
}

impl LaunchError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "run.not-found",
            Self::StoreAlias { .. } => "run.store-alias",
            Self::NotExecutable { .. } | Self::Refused { .. } => "run.not-executable",
            Self::QuoteInProgram { .. } => "run.program-name",
            Self::BatchArgument { .. } => "run.batch-argument",
            Self::CommandLineTooLong { .. } => "run.command-line-too-long",
            Self::NulInside { .. } => "run.nul",
            Self::NotUnicode { .. } => "run.not-unicode",
            Self::Step { .. } => "run.system",
            Self::WrongToken { .. } => "run.wrong-token",
        }
    }

    /// The step that failed.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::StoreAlias { .. } | Self::NotExecutable { .. } => {
                "find the program"
            }
            Self::Refused { .. } => "start the program",
            Self::Step { stage, .. } => stage,
            Self::WrongToken { .. } => "check the token",
            _ => "prepare the command line",
        }
    }

    /// The path or object that it is about.
    pub fn object(&self) -> Option<&str> {
        match self {
            Self::NotFound { program, .. } | Self::QuoteInProgram { program } => Some(program),
            Self::StoreAlias { path } | Self::NotExecutable { path, .. } | Self::Refused { path, .. } => {
                Some(path)
            }
            Self::BatchArgument { script, .. } => Some(script),
            Self::Step { object, .. } => object.as_deref(),
            _ => None,
        }
    }

    /// What the system said.
    pub fn system(&self) -> Option<&SystemError> {
        match self {
            Self::Refused { system, .. } | Self::Step { system, .. } => Some(system),
            _ => None,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => {
                "check the name and PATH; a program in the working directory is .\\NAME, a command of the shell is cmd /c NAME"
            }
            Self::StoreAlias { .. } => {
                "install the program outside the Store (for PowerShell: the MSI, or `winget install --id Microsoft.PowerShell \
                 --source winget`; for Python: python.org), or name another one by its full path"
            }
            Self::NotExecutable { .. } => "name the program that runs such files, and give it the file",
            Self::Refused { .. } => {
                "start it outside the sandbox: what fails there too is no matter of the sandbox"
            }
            Self::QuoteInProgram { .. } => "give the name without quotes",
            Self::BatchArgument { .. } => "pass it on standard input or in a file",
            Self::CommandLineTooLong { .. } => {
                "pass data on standard input, or in a file (many programs take @FILE)"
            }
            Self::NulInside { .. } => "remove the NUL",
            Self::NotUnicode { .. } => "rename it",
            Self::Step { remedy, .. } => remedy,
            Self::WrongToken { .. } => "`codex-sandbox doctor` shows the token of this process",
        }
    }
}
