//! What happened during a check, in words for programs; and, for each right, which step settled it.

use crate::ace::{Ace, AceEffect};
use crate::descriptor::Label;
use crate::mask::AccessMask;
use crate::sid::Sid;
use crate::token::{IntegrityLevel, Privilege};

/// Which of the two walks over the DACL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Pass {
    /// With the token's user and groups.
    First,
    /// With the restricting SIDs.
    Second,
}

/// An ACE of the list that was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub struct AceRef {
    /// Its place, counted from 0.
    pub index: usize,
    /// The ACE in SDDL.
    pub text: String,
}

impl AceRef {
    pub(super) fn new(index: usize, ace: &Ace) -> Self {
        Self { index, text: ace.to_string() }
    }
}

/// Why an ACE had no part in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum SkipReason {
    /// It only speaks of children.
    InheritOnly,
    /// It speaks of no right that was still open.
    NothingOpen,
    /// Its SID is not among those of this pass, or not in a way that counts for such an ACE.
    NotMatched,
    /// It is of a kind that a DACL is not searched for.
    OtherKind,
    /// A condition that is not evaluated, read as not applying.
    Condition,
    /// An allow ACE for one object type, asked about without one.
    ObjectType,
}

/// What the owner's implicit rights came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum OwnerRole {
    /// The token has the owner's SID: READ_CONTROL and WRITE_DAC are granted.
    Owner,
    /// The token has not the owner's SID, or only for denying.
    NotOwner,
    /// The token has the owner's SID, but it is restricted and the SID is not a restricting one.
    NotRestricting,
    /// An OWNER RIGHTS ACE says what the owner may do.
    OwnerRightsAce,
    /// The descriptor names no owner.
    NoOwner,
}

/// One step of a check, in the order in which it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Event {
    /// Generic rights were replaced.
    Request {
        /// What was asked.
        desired: AccessMask,
        /// What that means for the object's type.
        mapped: AccessMask,
    },
    /// The process trust label let only some rights pass.
    TrustLabel {
        /// The rights that passed.
        allowed: AccessMask,
    },
    /// A central policy or access filter was met; the rights that passed by the caller's reading.
    Policy {
        /// The ACE of the SACL.
        ace: AceRef,
        /// The rights that passed.
        allowed: AccessMask,
    },
    /// The mandatory label was compared.
    Label {
        /// The object's.
        label: Label,
        /// The token's level.
        token_level: IntegrityLevel,
        /// The rights that passed; all if the token is not below the label.
        allowed: AccessMask,
    },
    /// A privilege granted a right.
    Privilege {
        /// Which.
        privilege: Privilege,
        /// The right.
        granted: AccessMask,
    },
    /// ACCESS_SYSTEM_SECURITY was asked for without SeSecurityPrivilege.
    PrivilegeNotHeld {
        /// Which one it would take.
        privilege: Privilege,
    },
    /// The owner's implicit rights.
    Owner {
        /// The owner.
        owner: Option<Sid>,
        /// What it came to.
        role: OwnerRole,
        /// The rights granted, of those that were open.
        granted: AccessMask,
    },
    /// There is no DACL, or it is NULL: everything is granted.
    NullDacl {
        /// The rights granted.
        granted: AccessMask,
    },
    /// A pass over the DACL begins.
    PassStart {
        /// Which.
        pass: Pass,
        /// The rights that it is to settle.
        open: AccessMask,
    },
    /// An ACE settled rights.
    Ace {
        /// In which pass.
        pass: Pass,
        /// The ACE.
        ace: AceRef,
        /// Whether it granted or refused.
        effect: AceEffect,
        /// The rights, of those that were still open.
        settled: AccessMask,
    },
    /// An ACE was passed over.
    Skipped {
        /// In which pass.
        pass: Pass,
        /// The ACE.
        ace: AceRef,
        /// Why.
        reason: SkipReason,
    },
    /// A pass ended.
    PassEnd {
        /// Which.
        pass: Pass,
        /// Granted by an ACE.
        granted: AccessMask,
        /// Refused by an ACE.
        denied: AccessMask,
        /// Settled by no ACE, which refuses them.
        missing: AccessMask,
    },
    /// Whether a WRITE_RESTRICTED token is checked a second time.
    Gate {
        /// The writing rights of the type.
        gate: AccessMask,
        /// The rights that were open.
        open: AccessMask,
        /// Whether the second pass runs.
        second_pass: bool,
    },
}

/// What settled one right.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Reason {
    /// The process trust label keeps it away.
    TrustLabel,
    /// A central policy or access filter keeps it away.
    Policy,
    /// The mandatory label keeps it away.
    Label,
    /// The privilege gives it.
    Privilege(Privilege),
    /// Only the privilege gives it, and the token does not hold it.
    PrivilegeNotHeld(Privilege),
    /// The owner has it.
    Owner,
    /// Without a DACL everyone has it.
    NullDacl,
    /// The ACE grants or refuses it.
    Ace {
        /// In which pass.
        pass: Pass,
        /// Which.
        ace: AceRef,
    },
    /// No ACE of the DACL grants it.
    NoAce {
        /// In which pass.
        pass: Pass,
    },
}

/// How one pass settled one right.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub struct PassFinding {
    /// Whether the right was granted.
    pub granted: bool,
    /// The ACE that did; `None` if no ACE spoke of it, which refuses it.
    pub ace: Option<AceRef>,
}

/// One right and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub struct RightReason {
    /// A single bit.
    pub right: AccessMask,
    /// Whether it would be granted if it alone counted. A request is granted if all of its rights are.
    pub granted: bool,
    /// The step that settled it. For a right that both passes granted, that of the first.
    pub reason: Reason,
    /// What the first pass found, if the right came to it.
    pub first: Option<PassFinding>,
    /// What the second pass found, if it ran for the right.
    pub second: Option<PassFinding>,
}
