//! The access check: may this token have these rights to an object with this descriptor, and why.
//!
//! Order of the steps, with their sources, is in docs/nt-security.md. [`verdict`] gives the answer alone and
//! allocates nothing; [`access_check`] gives the answer with its reasons. Both run the same steps.

use crate::descriptor::SecurityDescriptor;
use crate::mask::{AccessMask, GenericMapping};
use crate::sid::Sid;
use crate::token::Token;

mod dacl;
mod decision;
mod evaluate;
mod event;
mod label;
mod reading;
mod reasons;

pub use decision::{Decision, Outcome, Status, Verdict};
pub use event::{AceRef, Event, OwnerRole, Pass, PassFinding, Reason, RightReason, SkipReason};
pub use reading::{Doubt, MaximumReading, MixedReading, PolicyReading, Readings, Treat};

/// One question to the model.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The object's descriptor.
    pub descriptor: &'a SecurityDescriptor,
    /// Who asks.
    pub token: &'a Token,
    /// What is asked for; generic rights and MAXIMUM_ALLOWED may be among it.
    pub desired: AccessMask,
    /// What generic rights mean for the object's type.
    pub mapping: GenericMapping,
    /// The SID that stands in for PRINCIPAL SELF, for objects that are principals.
    pub principal_self: Option<Sid>,
}

impl<'a> Query<'a> {
    /// A question about an object that is no principal.
    pub fn new(
        descriptor: &'a SecurityDescriptor,
        token: &'a Token,
        desired: AccessMask,
        mapping: GenericMapping,
    ) -> Self {
        Self { descriptor, token, desired, mapping, principal_self: None }
    }

    /// The same question about other rights.
    #[must_use]
    pub fn with_desired(self, desired: AccessMask) -> Self {
        Self { desired, ..self }
    }
}

/// The answer alone, by the caller's choice of readings. Allocates nothing.
pub fn verdict(query: &Query<'_>, readings: &Readings) -> Verdict {
    evaluate::evaluate(query, readings, &mut evaluate::NoTrace).verdict
}

/// The answer and how sure it is, without reasons. Allocates nothing. The third value is the answer with every open point
/// read for access.
pub fn certain_verdict(query: &Query<'_>, readings: &Readings) -> (Verdict, Outcome, Verdict) {
    let answers = decision::answers(query, readings, &mut evaluate::NoTrace);
    (answers.chosen, answers.outcome(), answers.generous)
}

/// The answer with what it rests on.
///
/// Where the published sources leave a point open, the question is asked under the strictest and under the most
/// generous reading. When both say the same the outcome is certain; when they do not it is [`Outcome::Unknown`], and
/// `readings` says as what it is treated.
pub fn access_check(query: &Query<'_>, readings: &Readings) -> Decision {
    decision::decide(query, readings)
}
