//! The answer, with what it rests on.

use super::evaluate::{Evaluation, NoTrace, Trace, evaluate};
use super::event::{Event, RightReason};
use super::reading::{Doubt, Readings};
use super::{Query, reasons};
use crate::mask::AccessMask;

/// What an access check returns, by the name of its NTSTATUS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// STATUS_SUCCESS
    Success,
    /// STATUS_ACCESS_DENIED
    AccessDenied,
    /// STATUS_PRIVILEGE_NOT_HELD: ACCESS_SYSTEM_SECURITY without SeSecurityPrivilege
    PrivilegeNotHeld,
}

impl Status {
    /// The name in Windows' headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "STATUS_SUCCESS",
            Self::AccessDenied => "STATUS_ACCESS_DENIED",
            Self::PrivilegeNotHeld => "STATUS_PRIVILEGE_NOT_HELD",
        }
    }
}

/// The answer of a check under one choice of readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub struct Verdict {
    /// The rights granted: what was asked for, or for MAXIMUM_ALLOWED all that can be had. None if refused.
    pub granted: AccessMask,
    /// Granted, or why not.
    pub status: Status,
}

impl Verdict {
    /// Whether the request is granted.
    pub const fn is_allowed(&self) -> bool {
        matches!(self.status, Status::Success)
    }
}

/// How sure an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Outcome {
    /// Granted under every published reading.
    Allowed,
    /// Refused under every published reading.
    Denied,
    /// The readings differ.
    Unknown {
        /// The answer by the caller's choice.
        treated_as_allowed: bool,
    },
}

impl Outcome {
    /// The answer by the caller's choice, sure or not.
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed | Self::Unknown { treated_as_allowed: true })
    }

    /// Whether all readings agree.
    pub const fn is_certain(self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }
}

/// An answer with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub struct Decision {
    /// What was asked for, generic rights mapped; MAXIMUM_ALLOWED stays in it.
    pub requested: AccessMask,
    /// The answer by the caller's readings.
    pub verdict: Verdict,
    /// Whether other readings answer the same.
    pub outcome: Outcome,
    /// The answer with every open point read against access. Equal to `verdict` where there is none.
    pub strict: Verdict,
    /// The answer with every open point read for access.
    pub generous: Verdict,
    /// The open points that the check came upon, whether or not they changed anything.
    pub doubts: Doubt,
    /// Each right that was asked for, lowest bit first, and which step settled it. For MAXIMUM_ALLOWED, each right of
    /// the object's type.
    pub rights: Vec<RightReason>,
    /// Every step, in order. Where a step settled the answer the later ones are recorded all the same, to show what else
    /// stands in the way.
    pub events: Vec<Event>,
}

impl Decision {
    /// The rights asked for that were refused, by the caller's readings.
    pub fn refused(&self) -> impl Iterator<Item = &RightReason> {
        self.rights.iter().filter(|right| !right.granted)
    }
}

/// The answers under each of the readings that matter.
pub(super) struct Answers {
    pub(super) chosen: Verdict,
    strict: Verdict,
    pub(super) generous: Verdict,
    doubts: Doubt,
}

impl Answers {
    pub(super) fn outcome(&self) -> Outcome {
        match (self.strict == self.generous, self.chosen.is_allowed()) {
            (true, true) => Outcome::Allowed,
            (true, false) => Outcome::Denied,
            (false, treated_as_allowed) => Outcome::Unknown { treated_as_allowed },
        }
    }
}

/// Asks under the caller's readings, and under the extreme ones if an open point was met.
pub(super) fn answers<T: Trace>(query: &Query<'_>, readings: &Readings, trace: &mut T) -> Answers {
    let Evaluation { verdict, doubts } = evaluate(query, readings, trace);
    if doubts.is_empty() {
        return Answers { chosen: verdict, strict: verdict, generous: verdict, doubts };
    }
    let ask = |readings| evaluate(query, &readings, &mut NoTrace);
    let (strict, generous) = (ask(Readings::STRICT), ask(Readings::GENEROUS));
    Answers {
        chosen: verdict,
        strict: strict.verdict,
        generous: generous.verdict,
        doubts: doubts | strict.doubts | generous.doubts,
    }
}

/// See [`access_check`](super::access_check).
pub(super) fn decide(query: &Query<'_>, readings: &Readings) -> Decision {
    let mut events = Vec::new();
    let answers = answers(query, readings, &mut events);
    Decision {
        requested: query.mapping.map(query.desired),
        verdict: answers.chosen,
        outcome: answers.outcome(),
        strict: answers.strict,
        generous: answers.generous,
        doubts: answers.doubts,
        rights: reasons::rights(query, &events),
        events,
    }
}
