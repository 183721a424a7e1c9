//! An explanation as text: each check of the operation, and each step of the check, in the order in which Windows takes
//! them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use nt_security::ace::{Ace, AceEffect};
use nt_security::check::{AceRef, Event, OwnerRole, Pass, SkipReason};
use nt_security::file_rules::{FileDecision, Need, Obstacle, Part};
use nt_security::{AccessMask, ObjectType};

use super::Explanation;
use crate::plan::words::{level_name, sid_name};
use crate::prove::{Says, World};

/// What the SIDs of a decision are called.
pub(super) fn names(world: &World<'_>, decision: &FileDecision) -> BTreeMap<String, String> {
    let plan = world.plan;
    let mut names = BTreeMap::new();
    let aces = decision.needs.iter().flat_map(|need| &need.decision.events).filter_map(ace_of);
    for sid in aces.filter_map(|ace| Ace::from_sddl(&ace.text).ok()?.sid().copied()) {
        let write = plan.write_sids.iter().find(|write| write.sid.0 == sid);
        let name = match write {
            Some(write) if write.variant == "marker" => "marker SID".to_owned(),
            Some(write) => format!("write SID of {}", write.root),
            None if plan.account.group.is_some_and(|group| group.0 == sid) => "sandbox accounts".to_owned(),
            None if plan.account.sid.0 == sid => plan.account.name.clone(),
            None => sid_name(&sid, world.facts),
        };
        names.insert(sid.to_string(), name);
    }
    names
}

fn ace_of(event: &Event) -> Option<&AceRef> {
    match event {
        Event::Ace { ace, .. } | Event::Skipped { ace, .. } | Event::Policy { ace, .. } => Some(ace),
        _ => None,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Says::Allow if self.frozen_at_end => "allowed until the run ends, then frozen and reported",
            Says::Allow => "allowed",
            Says::Deny => "denied",
            Says::Unknown => "unclear: the published readings differ",
        };
        writeln!(f, "{word}  {} {}", self.op.name(), self.located.path)?;
        if self.located.typed != self.located.path.as_str() {
            writeln!(f, "  typed    {}", self.located.typed)?;
        }
        self.located.steps.iter().try_for_each(|step| writeln!(f, "           {step}"))?;
        if let Some(stream) = &self.located.stream {
            writeln!(f, "           stream {stream}: checked like the file itself")?;
        }
        writeln!(f, "  policy   {}: {}", self.policy.word(), self.rule.words())?;
        if !self.user {
            writeln!(f, "           you may not do it without the sandbox either")?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(f, "  plan     {remark}"))?;
        self.decision.needs.iter().try_for_each(|need| f.write_str(&self.need(need)))?;
        if let Some(obstacle) = self.decision.obstacle {
            writeln!(f, "  besides  {}", obstacle_words(obstacle))?;
        }
        if !self.decision.by_parent.is_empty() {
            let lent = self.decision.by_parent.names(ObjectType::File);
            writeln!(f, "  besides  the folder above lends {lent}")?;
        }
        Ok(())
    }
}

fn obstacle_words(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::ReadOnlyAttribute => "the read-only attribute of the file refuses it",
        Obstacle::ReplacedReadOnlyAttribute => "what would be replaced has the read-only attribute",
        Obstacle::ReplacedIsFolder => "a folder cannot be replaced",
        Obstacle::LinkToFolder => "a folder cannot have a second name",
    }
}

impl Explanation {
    /// One access check of the operation.
    fn need(&self, need: &Need) -> String {
        let mut out = String::new();
        let part = match need.part {
            Part::Object => format!("on {}", self.object),
            Part::Parent => "on the folder above".to_owned(),
            Part::TargetFolder => "on the folder that it goes to".to_owned(),
            Part::Replaced => "on what it replaces".to_owned(),
            Part::Ancestor(at) => format!("on folder {at} of the path"),
        };
        let verdict = if need.decision.verdict.is_allowed() { "granted" } else { "refused" };
        let rights = need.decision.requested.names(ObjectType::File);
        let counts = if need.counts { "" } else { " (made up for by another check)" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  check    {rights} {part}: {verdict}{counts}");
        for event in &need.decision.events {
            self.event(&mut out, event);
        }
        for doubt in need.decision.doubts.descriptions() {
            let _ = writeln!(out, "    doubt  {doubt}");
        }
        out
    }

    fn event(&self, out: &mut String, event: &Event) {
        let words = rights;
        let _ = match event {
            Event::Label { label, token_level, allowed } => {
                let held = if label.level > *token_level { "holds" } else { "does not hold" };
                let kind = if label.is_explicit { "" } else { ", by default" };
                let (object, token) = (level_name(label.level), level_name(*token_level));
                let left = if label.level > *token_level {
                    format!(", leaves {}", words(*allowed))
                } else {
                    String::new()
                };
                writeln!(out, "    label  {object}{kind}; the command is {token}: the label {held}{left}")
            }
            Event::Owner { owner, role, granted } => {
                let owner = owner.map_or("nobody".to_owned(), |owner| self.name(&owner.to_string()));
                let why = owner_words(*role);
                writeln!(out, "    owner  {owner}: {why}, grants {}", words(*granted))
            }
            Event::NullDacl { granted } => {
                writeln!(out, "    dacl   there is none: grants {}", words(*granted))
            }
            Event::PassStart { pass, open } => {
                let (number, whose) = match pass {
                    Pass::First => (1, "user and groups"),
                    Pass::Second => (2, "restricting SIDs"),
                };
                writeln!(out, "    pass {number} with {whose}, for {}", words(*open))
            }
            Event::Ace { ace, effect, settled, .. } => {
                let verb = if *effect == AceEffect::Allow { "grants" } else { "refuses" };
                writeln!(out, "      {} {verb} {}", self.ace(ace), words(*settled))
            }
            Event::Skipped { ace, reason, .. } => {
                writeln!(out, "      {} {}", self.ace(ace), skip_words(*reason))
            }
            Event::PassEnd { missing, .. } if !missing.is_empty() => {
                writeln!(out, "      no ACE grants {}", words(*missing))
            }
            Event::Gate { second_pass, .. } => {
                let why = if *second_pass {
                    "it asks for writing: checked a second time"
                } else {
                    "no writing right: no second check"
                };
                writeln!(out, "    gate   {why}")
            }
            Event::Privilege { privilege, granted } => {
                writeln!(out, "    right  {} grants {}", privilege.name(), words(*granted))
            }
            Event::PrivilegeNotHeld { privilege } => {
                writeln!(out, "    right  {} is not held", privilege.name())
            }
            Event::TrustLabel { allowed } => {
                writeln!(out, "    trust  the trust label leaves {}", words(*allowed))
            }
            Event::Policy { ace, allowed } => {
                writeln!(out, "    policy {} leaves {}", self.ace(ace), words(*allowed))
            }
            Event::Request { .. } | Event::PassEnd { .. } => Ok(()),
        };
    }

    fn ace(&self, ace: &AceRef) -> String {
        let sid = Ace::from_sddl(&ace.text).ok().and_then(|ace| ace.sid().map(ToString::to_string));
        let name = sid.map_or(String::new(), |sid| format!(" [{}]", self.name(&sid)));
        format!("#{} {}{name}", ace.index, ace.text)
    }

    fn name(&self, sid: &str) -> String {
        self.names.get(sid).cloned().unwrap_or_else(|| sid.to_owned())
    }
}

fn rights(mask: AccessMask) -> String {
    if mask == AccessMask(u32::MAX) { "everything".to_owned() } else { mask.names(ObjectType::File) }
}

fn owner_words(role: OwnerRole) -> &'static str {
    match role {
        OwnerRole::Owner => "the command is the owner",
        OwnerRole::NotOwner => "the command is not the owner",
        OwnerRole::NotRestricting => "the owner is no restricting SID",
        OwnerRole::OwnerRightsAce => "an OWNER RIGHTS ACE says what the owner may",
        OwnerRole::NoOwner => "there is no owner",
    }
}

fn skip_words(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::InheritOnly => "speaks of what is below only",
        SkipReason::NothingOpen => "speaks of no right that is open",
        SkipReason::NotMatched => "is for someone else",
        SkipReason::OtherKind => "is no allow or deny",
        SkipReason::Condition => "has a condition that is not evaluated",
        SkipReason::ObjectType => "is for one object type",
    }
}
