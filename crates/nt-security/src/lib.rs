//! Windows' security model as data: SIDs, ACLs, descriptors, SDDL, tokens, access checks, inheritance.
//!
//! Pure and portable: nothing here calls Windows, and nothing here is unsafe. What it answers is what the published sources say
//! that Windows answers; docs/nt-security.md names them rule by rule.
//!
//! ```
//! use nt_security::{AccessMask, ObjectType, Query, Readings, SecurityDescriptor, Sid, Token, access_check};
//!
//! let descriptor = SecurityDescriptor::from_sddl("O:SYG:SYD:(A;;FR;;;BU)")?;
//! let mut token = Token::new(Sid::parse("S-1-5-21-1-2-3-1001").expect("a SID"));
//! let query = Query::new(&descriptor, &token, AccessMask::FILE_READ_DATA, ObjectType::File.mapping());
//! let decision = access_check(&query, &Readings::default());
//! assert!(!decision.outcome.is_allowed());
//! # Ok::<(), nt_security::sddl::SddlError>(())
//! ```
#![forbid(unsafe_code)]

pub mod ace;
pub mod acl;
pub mod check;
pub mod descriptor;
pub mod file_rules;
mod flags;
pub mod guid;
pub mod inherit;
pub mod mask;
pub mod object_type;
pub mod sddl;
#[cfg(feature = "serde")]
mod serialize;
pub mod sid;
pub mod token;
pub mod wire;

pub use ace::{Ace, AceFlags, AceKind, LabelPolicy};
pub use acl::Acl;
pub use check::{
    Decision, Outcome, Query, Readings, Status, Verdict, access_check, certain_verdict, verdict,
};
pub use descriptor::{AclField, Control, Label, SecurityDescriptor};
pub use mask::{AccessMask, GenericMapping};
pub use object_type::ObjectType;
pub use sid::{Sid, well_known};
pub use token::{Group, Privilege, Privileges, Restriction, Token};
