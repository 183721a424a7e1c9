//! The steps of a check, one after the other.

use super::Query;
use super::dacl::{Settled, Walk, Whose, walk};
use super::decision::{Status, Verdict};
use super::event::{Event, OwnerRole};
use super::label::ceiling;
use super::reading::{Doubt, MaximumReading, MixedReading, Readings};
use crate::ace::Ace;
use crate::mask::AccessMask;
use crate::sid::well_known;
use crate::token::{Privilege, Restriction};

/// Where steps are told to. The check of a caller who wants no reasons pays nothing for them.
pub(super) trait Trace {
    /// Whether anything is kept; if so the check goes on where its answer is settled already.
    const RECORDS: bool;

    /// Keeps an event, or drops it unmade.
    fn record(&mut self, event: impl FnOnce() -> Event);
}

/// Keeps nothing.
pub(super) struct NoTrace;

impl Trace for NoTrace {
    const RECORDS: bool = false;

    fn record(&mut self, _: impl FnOnce() -> Event) {}
}

impl Trace for Vec<Event> {
    const RECORDS: bool = true;

    fn record(&mut self, event: impl FnOnce() -> Event) {
        self.push(event());
    }
}

/// An answer under one choice of readings, and the open points that it met.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evaluation {
    pub(super) verdict: Verdict,
    pub(super) doubts: Doubt,
}

/// The rights that MAXIMUM_ALLOWED may turn up: all but the special bits.
const ORDINARY: AccessMask = AccessMask(0x00FF_FFFF);
/// What an owner has without any ACE.
const OWNER_IMPLICIT: AccessMask = AccessMask(0x0006_0000);

/// Runs the check. Order: windows-facts §2.
pub(super) fn evaluate<T: Trace>(query: &Query<'_>, readings: &Readings, trace: &mut T) -> Evaluation {
    let mut check = Check::new(query, readings, trace);
    let status = check.run();
    let granted = match status {
        Status::Success => check.granted,
        Status::AccessDenied | Status::PrivilegeNotHeld => AccessMask::NONE,
    };
    Evaluation { verdict: Verdict { granted, status }, doubts: check.doubts }
}

/// A check under way.
struct Check<'a, 'q, T> {
    query: &'a Query<'q>,
    readings: &'a Readings,
    trace: &'a mut T,
    /// The rights asked for by name, generic ones mapped.
    explicit: AccessMask,
    /// Whether MAXIMUM_ALLOWED was asked for.
    maximum: bool,
    granted: AccessMask,
    doubts: Doubt,
}

impl<'a, 'q, T: Trace> Check<'a, 'q, T> {
    fn new(query: &'a Query<'q>, readings: &'a Readings, trace: &'a mut T) -> Self {
        let mapped = query.mapping.map(query.desired);
        trace.record(|| Event::Request { desired: query.desired, mapped });
        Self {
            query,
            readings,
            trace,
            explicit: mapped.without(AccessMask::MAXIMUM_ALLOWED),
            maximum: mapped.contains(AccessMask::MAXIMUM_ALLOWED),
            granted: AccessMask::NONE,
            doubts: Doubt::NONE,
        }
    }

    fn run(&mut self) -> Status {
        if self.explicit.is_empty() && !self.maximum {
            return Status::AccessDenied;
        }
        let ceiling = ceiling(self.query, self.readings, &mut self.doubts, self.trace);
        let refused = self.explicit.without(ceiling);
        if !refused.is_empty() && !T::RECORDS {
            return Status::AccessDenied;
        }
        let privilege_missing = self.privileges();
        let open = if self.maximum { ORDINARY & ceiling } else { self.explicit & ceiling };
        self.owner(open.without(self.granted));
        let refusal = if !refused.is_empty() {
            Some(Status::AccessDenied)
        } else if privilege_missing {
            Some(Status::PrivilegeNotHeld)
        } else {
            None
        };
        if refusal.is_none() || T::RECORDS {
            self.discretionary(open.without(self.granted | AccessMask::ACCESS_SYSTEM_SECURITY));
        }
        refusal.unwrap_or_else(|| self.status())
    }

    /// Everything asked for by name must have been granted, and of MAXIMUM_ALLOWED something.
    fn status(&self) -> Status {
        if self.granted.contains(self.explicit) && !self.granted.is_empty() {
            Status::Success
        } else {
            Status::AccessDenied
        }
    }

    /// Privileges grant what they grant before any ACE is read. Returns whether one is missing that no ACE can stand
    /// in for. Source: windows-facts §2.4.
    fn privileges(&mut self) -> bool {
        let held = self.query.token.privileges;
        let mut missing = false;
        if self.explicit.contains(AccessMask::ACCESS_SYSTEM_SECURITY) {
            missing = !held.contains(Privilege::Security);
            if missing {
                self.trace.record(|| Event::PrivilegeNotHeld { privilege: Privilege::Security });
            } else {
                self.grant_by(Privilege::Security, AccessMask::ACCESS_SYSTEM_SECURITY);
            }
        }
        if self.explicit.contains(AccessMask::WRITE_OWNER) {
            let owners = [Privilege::TakeOwnership, Privilege::Relabel];
            if let Some(privilege) = owners.into_iter().find(|privilege| held.contains(*privilege)) {
                self.grant_by(privilege, AccessMask::WRITE_OWNER);
            }
        }
        missing
    }

    fn grant_by(&mut self, privilege: Privilege, right: AccessMask) {
        self.granted |= right;
        self.trace.record(|| Event::Privilege { privilege, granted: right });
    }

    /// The owner's implicit rights. Source: windows-facts §5.
    fn owner(&mut self, open: AccessMask) {
        let open = open & OWNER_IMPLICIT;
        if open.is_empty() {
            return;
        }
        let role = self.owner_role();
        let granted = if role == OwnerRole::Owner { open } else { AccessMask::NONE };
        self.granted |= granted;
        let owner = self.query.descriptor.owner;
        self.trace.record(|| Event::Owner { owner, role, granted });
    }

    fn owner_role(&mut self) -> OwnerRole {
        let token = self.query.token;
        let Some(owner) = &self.query.descriptor.owner else { return OwnerRole::NoOwner };
        if !token.allows(owner) {
            return OwnerRole::NotOwner;
        }
        if token.restriction.sids().is_some_and(|sids| !sids.contains(owner)) {
            return OwnerRole::NotRestricting;
        }
        if self.owner_rights_ace() { OwnerRole::OwnerRightsAce } else { OwnerRole::Owner }
    }

    /// Whether an ACE for OWNER RIGHTS takes the implicit rights away.
    fn owner_rights_ace(&mut self) -> bool {
        let mut inherit_only = false;
        for ace in dacl_aces(self.query).unwrap_or_default() {
            if ace.kind().effect().is_none() || ace.sid() != Some(&well_known::OWNER_RIGHTS) {
                continue;
            }
            if !ace.is_inherit_only() {
                return true;
            }
            inherit_only = true;
        }
        if inherit_only {
            self.doubts |= Doubt::INHERIT_ONLY_OWNER_RIGHTS;
        }
        inherit_only && self.readings.inherit_only_owner_rights
    }

    /// The DACL, once or twice, for the rights that are still open.
    fn discretionary(&mut self, open: AccessMask) {
        if open.is_empty() {
            return;
        }
        let Some(aces) = dacl_aces(self.query) else {
            let granted = if self.maximum { open & (self.query.mapping.all | self.explicit) } else { open };
            self.granted |= granted;
            self.trace.record(|| Event::NullDacl { granted });
            return;
        };
        let first = self.pass(aces, Whose::Token(self.query.token), open);
        if !self.maximum && first.granted != open && !T::RECORDS {
            return;
        }
        let granted = match &self.query.token.restriction {
            Restriction::None => first.granted,
            Restriction::Full(sids) => {
                first.granted & self.pass(aces, Whose::Restricting(sids), open).granted
            }
            Restriction::Write(sids) => self.write_restricted(aces, Whose::Restricting(sids), open, first),
        };
        self.granted |= granted;
    }

    fn pass(&mut self, aces: &[Ace], whose: Whose<'_>, open: AccessMask) -> Settled {
        let mut shared = Walk {
            readings: self.readings,
            stop_at_denial: !self.maximum,
            doubts: &mut self.doubts,
            trace: self.trace,
        };
        walk(self.query, aces, whose, open, &mut shared)
    }

    /// The second pass of a WRITE_RESTRICTED token, if the request reaches its gate. Source: windows-facts §4.
    fn write_restricted(
        &mut self,
        aces: &[Ace],
        whose: Whose<'_>,
        open: AccessMask,
        first: Settled,
    ) -> AccessMask {
        let gate = self.query.mapping.write_gate();
        let second_pass = open.intersects(gate);
        self.trace.record(|| Event::Gate { gate, open, second_pass });
        if !second_pass {
            return first.granted;
        }
        let beyond_gate = open.without(gate);
        let only_gate = if beyond_gate.is_empty() {
            false
        } else if self.maximum {
            self.doubts |= Doubt::MAXIMUM_ALLOWED;
            self.readings.maximum == MaximumReading::Gated
        } else {
            self.doubts |= Doubt::MIXED_REQUEST;
            self.readings.mixed == MixedReading::PerBit
        };
        if only_gate {
            let second = self.pass(aces, whose, open & gate);
            first.granted & (second.granted | beyond_gate)
        } else {
            first.granted & self.pass(aces, whose, open).granted
        }
    }
}

/// The ACEs of the DACL, or `None` without one, which grants everything.
fn dacl_aces<'a>(query: &Query<'a>) -> Option<&'a [Ace]> {
    query.descriptor.dacl().map(|acl| acl.aces.as_slice())
}
