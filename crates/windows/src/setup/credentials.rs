//! The passwords of the sandbox accounts: made, sealed, and unsealed.

use std::fmt;

use nt_security::Sid;
use zeroize::Zeroizing;

use super::error::SetupError;
use super::machine::{Machine, MachineErrorKind};
use super::names::{MachineFolder, Which};
use crate::plan::sid_text::SidText;

/// The local accounts of this machine, whatever it is called: a renamed machine changes nothing.
pub const THIS_MACHINE: &str = ".";
/// Characters of a password.
pub const PASSWORD_LENGTH: usize = 32;
/// What the sealed bytes are bound to besides the machine: what another program seals does not pass for ours.
pub const ENTROPY: &[u8] = b"codex-sandbox credentials 1";
/// The first line of what is sealed.
const FORM: &str = "codex-sandbox-credentials-1";

/// A password, zeroed when dropped; not shown by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<Vec<u16>>);

impl Password {
    /// From text without a NUL.
    pub fn new(text: &str) -> Self {
        let mut units = Zeroizing::new(Vec::with_capacity(text.len() + 1));
        units.extend(text.encode_utf16().filter(|unit| *unit != 0).chain([0]));
        Self(units)
    }

    /// Makes one: [`PASSWORD_LENGTH`] characters from the system's generator, of all four sorts that Windows' complexity
    /// policy counts (it wants three), and without a part of the account's name, which has no digit or mark in it.
    ///
    /// # Errors
    /// The generator failed.
    pub fn random(machine: &impl Machine) -> Result<Self, SetupError> {
        loop {
            let mut text = Zeroizing::new(String::with_capacity(PASSWORD_LENGTH));
            while text.len() < PASSWORD_LENGTH {
                let mut bytes = Zeroizing::new([0u8; 64]);
                machine.random(&mut bytes[..]).map_err(|error| SetupError::of("credentials", error))?;
                for byte in bytes.iter() {
                    // The alphabet has 64 characters, so that each is as likely as another.
                    let next = ALPHABET[usize::from(byte & 63)];
                    if text.len() < PASSWORD_LENGTH {
                        text.push(char::from(next));
                    }
                }
            }
            if is_complex(&text) {
                return Ok(Self::new(&text));
            }
        }
    }

    /// UTF-16 with a NUL at its end, as Win32 takes it.
    pub fn units(&self) -> &[u16] {
        &self.0
    }

    /// As text, zeroed when dropped.
    fn text(&self) -> Zeroizing<String> {
        let units = &self.0[..self.0.len() - 1];
        Zeroizing::new(String::from_utf16_lossy(units))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789!#%+-=?@";

fn is_complex(text: &str) -> bool {
    let has = |test: fn(&u8) -> bool| text.as_bytes().iter().any(test);
    has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_punctuation)
}

/// How to log on as a sandbox account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// [`THIS_MACHINE`].
    pub domain: String,
    /// The account's name.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// Its SID: a new account of the same name is another one.
    pub sid: SidText,
}

impl Credentials {
    /// Reads and unseals what the set-up sealed for an account.
    ///
    /// # Errors
    /// `setup-credentials-missing`, `setup-credentials-unreadable` (this user was not set up), `setup-credentials-damaged`.
    pub fn load<M: Machine>(machine: &M, folder: &MachineFolder, which: Which) -> Result<Self, SetupError> {
        let path = folder.credential(which);
        let failed = |code, remedy| move |error| SetupError::of("credentials", error).with(code, remedy);
        let sealed = machine.read_file(&path).map_err(|error| {
            let denied = error.kind == MachineErrorKind::AccessDenied;
            let code = if denied { "setup-credentials-unreadable" } else { "setup-credentials-missing" };
            let remedy = if denied {
                "run `codex-sandbox setup` as this user: the machine was set up for others"
            } else {
                REPAIR
            };
            SetupError::of("credentials", error).with(code, remedy)
        })?;
        let sealed = sealed
            .ok_or_else(|| SetupError::new("setup-credentials-missing", "credentials", &path, REPAIR))?;
        let damaged = "setup-credentials-damaged";
        let bytes = machine.unseal(&sealed, ENTROPY).map_err(failed(damaged, REPAIR))?;
        let found = Self::decode(&bytes);
        found.ok_or_else(|| SetupError::new(damaged, "credentials", &path, REPAIR))
    }

    /// Seals for the file of an account.
    ///
    /// # Errors
    /// The system could not.
    pub fn seal<M: Machine>(&self, machine: &M) -> Result<Vec<u8>, SetupError> {
        machine.seal(&self.encode(), ENTROPY).map_err(|error| SetupError::of("credentials", error))
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(512));
        let (sid, password) = (self.sid.to_string(), self.password.text());
        for line in [FORM, &self.domain, &self.user, &sid, &password] {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        let [FORM, domain, user, sid, password] = lines[..] else { return None };
        let sid = Sid::parse(sid).ok()?.into();
        let (domain, user) = (domain.to_owned(), user.to_owned());
        Some(Self { domain, user, password: Password::new(password), sid })
    }
}

const REPAIR: &str = "run `codex-sandbox setup --repair`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_back_and_nothing_else_is() {
        let sid = Sid::constant(5, [21, 1, 2, 3, 1001]).into();
        let password = Password::new("aB3!ü");
        let credentials =
            Credentials { domain: THIS_MACHINE.to_owned(), user: "XOffline".to_owned(), password, sid };
        let bytes = credentials.encode();
        assert_eq!(Credentials::decode(&bytes).as_ref(), Some(&credentials));
        for end in 0..bytes.len() - 1 {
            assert_eq!(Credentials::decode(&bytes[..end]).filter(|other| *other == credentials), None);
        }
        assert_eq!(Credentials::decode(b""), None);
        assert!(!format!("{credentials:?}").contains("aB3"));
    }
}
