//! Answers of several checks put together, under each of the readings at once.

use crate::check::{Decision, Outcome, Readings};

/// What the strictest, the most generous and the caller's reading say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    strict: bool,
    generous: bool,
    chosen: bool,
}

impl Answer {
    /// Yes, whatever the readings.
    pub(super) const YES: Self = Self { strict: true, generous: true, chosen: true };
    /// No, whatever the readings.
    pub(super) const NO: Self = Self { strict: false, generous: false, chosen: false };

    /// Readings differ.
    pub(super) const fn unknown(chosen: bool) -> Self {
        Self { strict: false, generous: true, chosen }
    }

    /// Asks the same under each reading.
    pub(super) fn under_each(chosen: &Readings, ask: impl Fn(&Readings) -> bool) -> Self {
        Self { strict: ask(&Readings::STRICT), generous: ask(&Readings::GENEROUS), chosen: ask(chosen) }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            strict: self.strict && other.strict,
            generous: self.generous && other.generous,
            chosen: self.chosen && other.chosen,
        }
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self {
            strict: self.strict || other.strict,
            generous: self.generous || other.generous,
            chosen: self.chosen || other.chosen,
        }
    }

    pub(super) fn outcome(self) -> Outcome {
        match (self.strict, self.generous) {
            (true, true) => Outcome::Allowed,
            (false, false) => Outcome::Denied,
            _ => Outcome::Unknown { treated_as_allowed: self.chosen },
        }
    }
}

impl From<&Decision> for Answer {
    fn from(decision: &Decision) -> Self {
        Self {
            strict: decision.strict.is_allowed(),
            generous: decision.generous.is_allowed(),
            chosen: decision.verdict.is_allowed(),
        }
    }
}
