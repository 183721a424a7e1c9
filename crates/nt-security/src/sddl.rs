//! SDDL: descriptors as text (\[MS-DTYP\] 2.5.1.1).
//!
//! Three things go beyond Windows' own text, so that every ACE has one and none loses bytes: an ACE type without letters is
//! `#` and two hexadecimal digits, the body of an unknown ACE is `#` and its bytes, and so are bytes after the SID
//! that are no condition or claim in the form that this crate writes. All of them are read back as they were.

use std::fmt;

use crate::ace::Ace;
use crate::acl::Acl;
use crate::descriptor::SecurityDescriptor;
use crate::sid::Sid;

mod ace;
mod claim;
mod condition;
mod cursor;
mod descriptor;
mod names;

/// Where the SIDs of an SDDL text's domain aliases (`DA`, `LA`, …) come from. Without them such an alias is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Domains {
    /// The machine's account domain, `S-1-5-21-a-b-c`.
    pub machine: Option<Sid>,
    /// The domain that the machine is joined to.
    pub joined: Option<Sid>,
    /// The root domain of the forest.
    pub root: Option<Sid>,
}

/// Where and why a text is not SDDL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset} of the SDDL text: {kind}")]
pub struct SddlError {
    /// Bytes from the start of the text.
    pub offset: usize,
    /// What is wrong there.
    pub kind: SddlErrorKind,
}

/// What is wrong with an SDDL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SddlErrorKind {
    /// Something that belongs here is missing.
    #[error("{0} expected")]
    Expected(&'static str),
    /// A part that may occur once occurs twice.
    #[error("this part occurs twice")]
    Twice,
    /// Not a SID and not a SID alias.
    #[error("not a SID: {0}")]
    Sid(crate::sid::SidError),
    /// Two letters that stand for no SID.
    #[error("no SID alias of these letters")]
    UnknownAlias,
    /// An alias of a domain that was not given.
    #[error("this alias needs a domain SID, and none was given")]
    NoDomain,
    /// Letters that stand for no ACE type.
    #[error("no ACE type of these letters")]
    AceType,
    /// Letters that stand for no ACE or ACL flag.
    #[error("no flag of these letters")]
    Flag,
    /// Letters that stand for no right, or a number that is none.
    #[error("no access right of these letters")]
    Right,
    /// Not a GUID, or one in an ACE that carries none.
    #[error("not a GUID, or a GUID where none belongs")]
    Guid,
    /// Bytes that are not pairs of hexadecimal digits.
    #[error("not an even number of hexadecimal digits")]
    Hex,
    /// A condition or a claim is malformed.
    #[error("malformed {0}")]
    Extra(&'static str),
    /// A condition is nested deeper than the parser goes.
    #[error("nested too deeply")]
    TooDeep,
    /// The list would exceed the 64 KiB that an ACL may have.
    #[error("the access control list would exceed 64 KiB")]
    TooLarge,
    /// There is text after the descriptor.
    #[error("text after the end")]
    Trailing,
}

impl SddlErrorKind {
    /// A stable word for programs that act on the error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Expected(_) => "sddl-expected",
            Self::Twice => "sddl-twice",
            Self::Sid(_) => "sddl-sid",
            Self::UnknownAlias => "sddl-alias",
            Self::NoDomain => "sddl-no-domain",
            Self::AceType => "sddl-ace-type",
            Self::Flag => "sddl-flag",
            Self::Right => "sddl-right",
            Self::Guid => "sddl-guid",
            Self::Hex => "sddl-hex",
            Self::Extra(_) => "sddl-extra",
            Self::TooDeep => "sddl-too-deep",
            Self::TooLarge => "sddl-too-large",
            Self::Trailing => "sddl-trailing",
        }
    }
}

impl SecurityDescriptor {
    /// Reads an SDDL text such as `O:SYG:SYD:PAI(A;OICI;FA;;;BA)`.
    ///
    /// # Errors
    /// [`SddlError`]; aliases of a domain are errors here, see [`from_sddl_in`](Self::from_sddl_in).
    pub fn from_sddl(text: &str) -> Result<Self, SddlError> {
        Self::from_sddl_in(text, &Domains::default())
    }

    /// Reads an SDDL text, with the domains that its aliases refer to.
    ///
    /// # Errors
    /// [`SddlError`].
    pub fn from_sddl_in(text: &str, domains: &Domains) -> Result<Self, SddlError> {
        descriptor::parse(text, domains)
    }

    /// The descriptor as SDDL, with SIDs and masks as numbers. What SDDL has no words for is left out: the defaulted bits,
    /// the resource manager's byte, and the flags of a list that is absent.
    pub fn to_sddl(&self) -> String {
        let mut out = String::new();
        self.write_sddl(&mut out);
        out
    }

    /// Appends the descriptor as SDDL.
    pub fn write_sddl(&self, out: &mut String) {
        descriptor::print(self, out);
    }
}

impl fmt::Display for SecurityDescriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_sddl())
    }
}

impl Ace {
    /// Reads one ACE such as `(A;OICI;FA;;;BA)`.
    ///
    /// # Errors
    /// [`SddlError`].
    pub fn from_sddl(text: &str) -> Result<Self, SddlError> {
        let mut cursor = cursor::Cursor::new(text);
        let ace = ace::parse(&mut cursor, &Domains::default())?;
        cursor.finish()?;
        Ok(ace)
    }
}

impl fmt::Display for Ace {
    /// The ACE in SDDL, with parentheses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        ace::print(self, &mut out);
        f.write_str(&out)
    }
}

impl Acl {
    /// Reads the ACEs of a list, such as `(A;;FA;;;BA)(A;;FR;;;WD)`, without `D:` and flags.
    ///
    /// # Errors
    /// [`SddlError`].
    pub fn from_sddl(text: &str) -> Result<Self, SddlError> {
        let mut cursor = cursor::Cursor::new(text);
        let acl = descriptor::aces(&mut cursor, &Domains::default())?;
        cursor.finish()?;
        Ok(acl)
    }
}

impl fmt::Display for Acl {
    /// The ACEs in SDDL, without `D:` and flags.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.aces.iter().for_each(|ace| ace::print(ace, &mut out));
        f.write_str(&out)
    }
}

/// Reads a SID or a SID alias that needs no domain, such as `BA`.
///
/// # Errors
/// [`SddlError`].
pub fn parse_sid(text: &str) -> Result<Sid, SddlError> {
    cursor::Cursor::new(text).sid_of(text.as_bytes(), 0, &Domains::default())
}
