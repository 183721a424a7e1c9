//! Roots, protected names and deny-read paths: which ACEs and labels change on which described object.

use nt_security::ace::{Ace, AceKind};
use nt_security::{AccessMask, Sid};

use super::apply::{Edit, LabelEdit, NodeChanges, Step, walk};
use super::capable::owner_depends_on_owning;
use super::context::{Context, EVERYTHING, Role};
use super::data::{
    AceChange, AceSpec, Applies, By, Change, Effect, LabelChange, LabelSpec, Limit, LimitKind, Purpose,
    Skipped, Tier,
};
use super::facts::NodeKind;
use super::inherit;
use super::open::plain_token;
use super::path::WinPath;
use super::refuse::is_ssh;
use super::tree::TreeNode;
use super::wanted::{Wanted, own_label, wanted};
use super::words::sid_name;

/// What the grants change.
#[derive(Debug, Default)]
pub struct Grants {
    /// ACEs.
    pub aces: Vec<AceChange>,
    /// Labels.
    pub labels: Vec<LabelChange>,
    /// Objects that are left alone.
    pub skipped: Vec<Skipped>,
    /// Where that makes the plan stricter.
    pub limits: Vec<Limit>,
    /// Objects that someone else denies to the sandbox account.
    denied: Vec<WinPath>,
}

/// Walks the described tree once and notes what each object must carry.
pub fn grants(context: &Context<'_>) -> Grants {
    let mut grants = Grants::default();
    walk(&context.tree, &context.editors, |step| grants.step(context, step));
    grants.sum_up_limits();
    grants
}

impl Grants {
    fn step(&mut self, context: &Context<'_>, step: &Step<'_>) -> NodeChanges {
        let inside = context.role(step.path) != Role::Outside;
        let reached = inside || context.tier == Tier::Elevated && step.path.components().any(is_ssh);
        let left_alone = left_alone(context, step).filter(|_| reached);
        if let Some(reason) = left_alone {
            self.skipped.push(Skipped { path: step.path.clone(), reason: reason.to_owned(), refuses: false });
            return NodeChanges { skip: true, ..NodeChanges::default() };
        }
        let Wanted { aces, label } = wanted(context, step);
        let stale = stale(context, step, &aces);
        if context.tier == Tier::Elevated && denied_to_account(context, step.node) {
            self.denied.push(step.path.clone());
        }
        if inside && !step.editable {
            let reason = "its descriptor cannot be changed: WRITE_DAC is not granted".to_owned();
            self.skipped.push(Skipped { path: step.path.clone(), reason, refuses: true });
        }
        let mut changes = NodeChanges::default();
        for spec in stale {
            changes.remove.push(spec.ace(step.node.kind));
            self.ace(step, spec, Purpose::Stale, Change::Remove);
        }
        // Without a DACL there is nothing to add an ACE to.
        let takes_aces = step.editable && !step.node.has_null_dacl();
        for (spec, purpose) in aces.into_iter().filter(|_| takes_aces) {
            let ace = spec.ace(step.node.kind);
            let change = if has(step.node, &ace) { Change::Keep } else { Change::Add };
            changes.add.push(Edit { ace, by: By::Run });
            self.ace(step, spec, purpose, change);
        }
        if let Some((label, purpose)) = label {
            changes.label = self.label(context, step, label, purpose);
        } else if !inside {
            changes.label = self.stale_label(context, step);
        }
        changes
    }

    fn ace(&mut self, step: &Step<'_>, ace: AceSpec, purpose: Purpose, change: Change) {
        self.aces.push(AceChange { path: step.path.clone(), change, ace, purpose, by: By::Run });
    }

    fn label(
        &mut self,
        context: &Context<'_>,
        step: &Step<'_>,
        label: LabelSpec,
        purpose: Purpose,
    ) -> LabelEdit {
        let own = own_label(step.node);
        let weaker =
            own.as_ref().is_some_and(|own| own.level > label.level || own.no_read_up && !label.no_read_up);
        if weaker && is_needed_elsewhere(context, step.path) {
            self.needed_elsewhere(step.path);
            return LabelEdit::Leave;
        }
        let change = if own.as_ref() == Some(&label) { Change::Keep } else { Change::Add };
        let ace = label.ace(step.node.kind);
        let replaces = own.filter(|_| change == Change::Add);
        self.labels.push(LabelChange { path: step.path.clone(), change, label, replaces, purpose });
        LabelEdit::Set(ace)
    }

    /// A label against reading that another policy left outside this one's roots: it goes, unless a run still needs it.
    fn stale_label(&mut self, context: &Context<'_>, step: &Step<'_>) -> LabelEdit {
        let ours = |label: &LabelSpec| {
            let text = label.ace(step.node.kind).to_string();
            label.no_read_up && is_journalled(context, step.path, &text)
        };
        let Some(label) = own_label(step.node).filter(|label| ours(label) && context.is_readable(step.path))
        else {
            return LabelEdit::Leave;
        };
        if is_needed_elsewhere(context, step.path) {
            self.needed_elsewhere(step.path);
            return LabelEdit::Leave;
        }
        let (path, change, purpose) = (step.path.clone(), Change::Remove, Purpose::Stale);
        self.labels.push(LabelChange { path, change, label, replaces: None, purpose });
        LabelEdit::Remove
    }

    fn needed_elsewhere(&mut self, path: &WinPath) {
        self.limits.push(Limit {
            kind: LimitKind::OtherPolicy,
            what: "it stays as closed as another run that is going on needs it".to_owned(),
            paths: vec![path.clone()],
        });
    }

    /// One limit for all objects that are left alone.
    fn sum_up_limits(&mut self) {
        let paths: Vec<WinPath> = self.skipped.iter().map(|skipped| skipped.path.clone()).collect();
        if !paths.is_empty() {
            let what = "these objects are left as they are, so the command does not write them".to_owned();
            self.limits.push(Limit { kind: LimitKind::NotChanged, what, paths });
        }
        if !self.denied.is_empty() {
            let what = "an ACE denies these to the sandbox account, or to everyone it belongs to".to_owned();
            let paths = std::mem::take(&mut self.denied);
            self.limits.push(Limit { kind: LimitKind::AccountDenied, what, paths });
        }
    }
}

/// Why propagation passes an object by.
fn left_alone(context: &Context<'_>, step: &Step<'_>) -> Option<&'static str> {
    if context.tier == Tier::Elevated && owner_depends_on_owning(step.node, &context.baseline) {
        return Some("you deny yourself the right to its descriptor, which you have as its owner only");
    }
    if !context.is_readable(step.path) {
        // What must not be read is closed whatever else it is: a label keeps out nobody but the command.
        return None;
    }
    if step.path.components().any(is_ssh) {
        return Some("OpenSSH refuses keys that another principal may read, so nothing is added below .ssh");
    }
    if step.node.is_hard_linked() {
        return Some("it has several names, and its descriptor is shared with names that may lie elsewhere");
    }
    if step.node.has_null_dacl() {
        return Some("it has no DACL: one ACE would turn \"everyone\" into \"only that SID\"");
    }
    None
}

/// Whether an explicit ACE that is not ours denies the sandbox account something.
fn denied_to_account(context: &Context<'_>, node: &TreeNode) -> bool {
    let account = plain_token(context);
    let counts = |ace: &Ace| {
        ace.kind() == AceKind::Deny
            && !ace.is_inherited()
            && ace.sid().is_some_and(|sid| account.denies(sid) && Some(*sid) != context.group)
    };
    node.descriptor.dacl().is_some_and(|acl| acl.aces.iter().any(counts))
}

fn has(node: &TreeNode, ace: &Ace) -> bool {
    node.descriptor.dacl().is_some_and(|acl| acl.aces.contains(ace))
}

fn is_needed_elsewhere(context: &Context<'_>, path: &WinPath) -> bool {
    let active = &context.facts.state.active;
    active.iter().flat_map(|run| &run.needs).any(|needed| path.is_in(needed) || needed.is_in(path))
}

/// ACEs of ours on an object that nothing wants any more: those of retired SIDs, and journalled ones that no policy needs.
/// ACEs of write SIDs that are not retired belong to other policies and do nothing without their SID.
fn stale(context: &Context<'_>, step: &Step<'_>, wanted: &[(AceSpec, Purpose)]) -> Vec<AceSpec> {
    if !step.editable {
        return Vec::new();
    }
    let state = &context.facts.state;
    let is_retired = |sid: &Sid| state.retired_sids.iter().any(|retired| retired.0 == *sid);
    let is_write_sid = |sid: &Sid| state.write_sids.iter().any(|known| known.sid.0 == *sid);
    let inside = context.role(step.path) != Role::Outside;
    let needed = is_needed_elsewhere(context, step.path);
    // Outside, what belongs to the root of another policy stays; what only kept that policy from reading goes.
    let denies_reading = |ace: &Ace| ace.kind() == AceKind::Deny && ace.mask() == EVERYTHING;
    let journalled = |ace: &Ace| is_journalled(context, step.path, &inherit::without_mark(ace).to_string());
    let is_wanted = |ace: &Ace| wanted.iter().any(|(spec, _)| spec.ace(step.node.kind) == *ace);
    let is_stale = |ace: &&Ace| {
        let Some(sid) = ace.sid() else { return false };
        !ace.is_inherited()
            && !is_wanted(ace)
            && (is_retired(sid)
                || (inside || denies_reading(ace)) && !needed && !is_write_sid(sid) && journalled(ace))
    };
    let aces = step.node.descriptor.dacl().map_or(&[][..], |acl| &acl.aces);
    aces.iter().filter(is_stale).filter_map(|ace| spec_of(ace, context)).collect()
}

fn is_journalled(context: &Context<'_>, path: &WinPath, ace: &str) -> bool {
    let journal = &context.facts.state.journal;
    journal.iter().any(|entry| entry.path == *path && same_ace(&entry.ace, ace))
}

fn same_ace(journalled: &str, present: &str) -> bool {
    Ace::from_sddl(journalled).is_ok_and(|ace| ace.to_string() == present)
}

/// The ACE as data of a plan; only plain ones are ever ours.
fn spec_of(ace: &Ace, context: &Context<'_>) -> Option<AceSpec> {
    let effect = match ace.kind() {
        AceKind::Allow => Effect::Allow,
        AceKind::Deny => Effect::Deny,
        _ => return None,
    };
    let sid = *ace.sid()?;
    let applies = Applies::ALL.into_iter().find(|applies| applies.flags(NodeKind::Folder) == ace.flags())?;
    Some(AceSpec::new(effect, sid.into(), &sid_name(&sid, context.facts), AccessMask(ace.mask().0), applies))
}
