//! What the elevated tier's accounts, folders and files are called.

use crate::plan::path::WinPath;

/// One of the two sandbox accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// The account without a network.
    Offline,
    /// The account with one.
    Online,
}

impl Which {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Offline, Self::Online];

    /// The end of the account's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "Offline",
            Self::Online => "Online",
        }
    }

    /// The account of a policy that allows the network, or does not.
    pub fn of(network_access: bool) -> Self {
        if network_access { Self::Online } else { Self::Offline }
    }
}

/// Names of local accounts have at most so many characters (LM20_UNLEN).
pub const LONGEST_ACCOUNT_NAME: usize = 20;

/// Why a prefix cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "windows.account_prefix {0:?}: it takes 1 to 13 letters and digits, because account names have at most 20 characters"
)]
pub struct BadPrefix(pub String);

/// The names that follow from `windows.account_prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// From a prefix of letters and digits.
    ///
    /// # Errors
    /// [`BadPrefix`]: empty, other characters, or too long for `…Offline` to be an account's name.
    pub fn new(prefix: &str) -> Result<Self, BadPrefix> {
        let fits = prefix.len() + Which::Offline.name().len() <= LONGEST_ACCOUNT_NAME;
        let plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if prefix.is_empty() || !fits || !plain {
            return Err(BadPrefix(prefix.to_owned()));
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// The prefix.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The group of the sandbox accounts. Names of groups may be longer than those of accounts.
    pub fn group(&self) -> String {
        format!("{}Users", self.prefix)
    }

    /// An account.
    pub fn account(&self, which: Which) -> String {
        format!("{}{}", self.prefix, which.name())
    }
}

/// The folder of the machine's own state, `%ProgramData%\codex-sandbox`, and what is where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineFolder(pub WinPath);

/// The runner's file name.
pub const RUNNER: &str = "codex-command-runner.exe";
/// The set-up program's file name.
pub const SETUP: &str = "codex-windows-sandbox-setup.exe";

impl MachineFolder {
    /// The folder with the sealed passwords: SYSTEM, Administrators and the real users, no sandbox account.
    pub fn credentials(&self) -> WinPath {
        self.0.join("credentials")
    }

    /// An account's sealed password.
    pub fn credential(&self, which: Which) -> WinPath {
        self.credentials().join(&format!("{}.bin", which.name().to_ascii_lowercase()))
    }

    /// The folder with the helper programs of every version.
    pub fn programs(&self) -> WinPath {
        self.0.join("bin")
    }

    /// The folder with the helper programs of this version.
    pub fn helpers(&self) -> WinPath {
        self.programs().join(env!("CARGO_PKG_VERSION"))
    }

    /// The runner of this version, which the sandbox accounts can run and not write.
    pub fn runner(&self) -> WinPath {
        self.helpers().join(RUNNER)
    }

    /// How far the worker is that gives the sandbox accounts what the user may read.
    pub fn worker(&self) -> WinPath {
        self.0.join("worker.json")
    }

    /// While it is there, the worker ends.
    pub fn stop(&self) -> WinPath {
        self.0.join("worker.stop")
    }

    /// Held by the set-up or teardown that is going on.
    pub fn lock(&self) -> WinPath {
        self.0.join("setup.lock")
    }

    /// What a set-up that is going on, or was the last, says.
    pub fn progress(&self) -> WinPath {
        self.0.join("setup.jsonl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_longer_than_windows_takes() {
        for prefix in ["C", "CodexSandbox", "Thirteen13Chr"] {
            let names = Names::new(prefix).unwrap();
            assert!(Which::ALL.iter().all(|which| names.account(*which).len() <= LONGEST_ACCOUNT_NAME));
        }
        for prefix in ["", "FourteenChars4", "a b", "ä", "a\\b"] {
            assert!(Names::new(prefix).is_err(), "{prefix}");
        }
    }
}
