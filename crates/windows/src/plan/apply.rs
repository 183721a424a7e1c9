//! What the described tree becomes when ACEs and labels are changed: the same walk for planning and for proving.
//!
//! It does what the enforcement does: from the root down, one object at a time, only our own ACEs; an inherited copy goes to
//! every child whose DACL is not protected; objects without a DACL and hard-linked files get nothing that they are not given
//! by name; objects that refuse are left as they are.

use std::collections::HashMap;

use nt_security::ace::Ace;
use nt_security::{AccessMask, AceFlags, Control, Query, Readings, SecurityDescriptor, Sid, Token, verdict};

use super::data::By;
use super::facts::Facts;
use super::inherit;
use super::path::WinPath;
use super::tokens;
use super::tree::{Tree, TreeNode};

/// An ACE and who makes or takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The ACE, explicit on the object.
    pub ace: Ace,
    /// Who.
    pub by: By,
}

/// What becomes of an object's own label.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LabelEdit {
    /// Nothing.
    #[default]
    Leave,
    /// It gets this one.
    Set(Ace),
    /// It loses its own, and has what the parent passes on.
    Remove,
}

/// What becomes of one object.
#[derive(Debug, Clone, Default)]
pub struct NodeChanges {
    /// ACEs that it gets, or has already.
    pub add: Vec<Edit>,
    /// ACEs that it loses.
    pub remove: Vec<Ace>,
    /// Its label.
    pub label: LabelEdit,
    /// Nothing reaches it, nor what is below.
    pub skip: bool,
}

/// Where the walk is.
#[derive(Debug)]
pub struct Step<'a> {
    /// The object.
    pub path: &'a WinPath,
    /// As it was.
    pub node: &'a TreeNode,
    /// Whether the launcher may change its DACL.
    pub editable: bool,
    /// What of ours the folder above passes on.
    pub coming: &'a [Edit],
    /// Whether a label of ours comes down to it.
    pub label_comes: bool,
}

impl Step<'_> {
    /// Whether ACEs of a root come down to it.
    pub fn aces_come(&self) -> bool {
        self.coming
            .iter()
            .any(|edit| edit.by == By::Run && edit.ace.flags().intersects(AceFlags::INHERIT_ALL))
    }

    /// Whether an ACE for this SID comes down to it.
    pub fn comes_for(&self, sid: &Sid) -> bool {
        let heirs = |ace: &Ace| ace.flags().intersects(AceFlags::INHERIT_ALL);
        self.coming.iter().any(|edit| heirs(&edit.ace) && edit.ace.sid() == Some(sid))
    }
}

/// Who changes descriptors.
#[derive(Debug, Clone)]
pub struct Editors {
    /// The launcher's token.
    pub launcher: Token,
    /// The elevated set-up's token.
    pub setup: Token,
    /// Drives that store no labels.
    pub unlabelled_drives: Vec<char>,
}

impl Editors {
    /// The editors of a host.
    pub fn new(facts: &Facts) -> Self {
        let unlabelled =
            facts.volumes.iter().filter(|volume| !volume.labels).map(|volume| volume.root.drive());
        Self {
            launcher: tokens::launcher(facts),
            setup: tokens::setup(facts),
            unlabelled_drives: unlabelled.collect(),
        }
    }

    /// Whether `by` may have these rights on an object.
    pub fn may(&self, by: By, descriptor: &SecurityDescriptor, right: AccessMask) -> bool {
        let token = match by {
            By::Run => &self.launcher,
            By::Setup => &self.setup,
        };
        allows(token, descriptor, right)
    }
}

/// Whether a token gets these rights on a file or folder by its own descriptor, for certain.
pub fn allows(token: &Token, descriptor: &SecurityDescriptor, right: AccessMask) -> bool {
    let query = Query::new(descriptor, token, right, nt_security::ObjectType::File.mapping());
    verdict(&query, &Readings::STRICT).is_allowed()
}

/// What an object passes on to what it holds.
#[derive(Debug, Clone, Default)]
pub struct Passed {
    /// ACEs of ours that stand on it.
    pub ours: Vec<Edit>,
    /// ACEs that it lost.
    pub gone: Vec<Ace>,
    /// Its label was changed, or may be.
    pub label: bool,
}

impl Passed {
    /// Whether nothing below can change because of it.
    pub fn is_empty(&self) -> bool {
        let heirs = |ace: &Ace| ace.flags().intersects(AceFlags::INHERIT_ALL);
        !self.label && !self.ours.iter().any(|edit| heirs(&edit.ace)) && !self.gone.iter().any(heirs)
    }
}

/// Whether a change of a descriptor is allowed: asked of the model when planning, of the machine when it is done.
pub trait May {
    /// Whether `by` may have this right on an object with this descriptor.
    fn may(&self, by: By, descriptor: &SecurityDescriptor, right: AccessMask) -> bool;
}

impl May for Editors {
    fn may(&self, by: By, descriptor: &SecurityDescriptor, right: AccessMask) -> bool {
        Self::may(self, by, descriptor, right)
    }
}

/// Changes a tree as `decide` says for each object, parents before children.
pub fn walk(before: &Tree, editors: &Editors, mut decide: impl FnMut(&Step<'_>) -> NodeChanges) -> Tree {
    let mut after = before.clone();
    let mut passed: HashMap<WinPath, Passed> = HashMap::new();
    for (path, node) in before.iter() {
        let nothing = Passed::default();
        let parent_path = path.parent();
        let from_parent = parent_path.as_ref().and_then(|parent| passed.get(parent)).unwrap_or(&nothing);
        let editable = editors.may(By::Run, &node.descriptor, AccessMask::WRITE_DAC);
        let coming = &from_parent.ours;
        let changes = decide(&Step { path, node, editable, coming, label_comes: from_parent.label });
        if changes.skip {
            continue;
        }
        let parent = parent_path.as_ref().and_then(|parent| after.get(parent)).map(|node| &node.descriptor);
        let labelled = !editors.unlabelled_drives.contains(&path.drive());
        let (descriptor, passes) = change(node, parent, from_parent, changes, labelled, editors);
        if let Some(changed) = after.get_mut(path) {
            changed.descriptor = descriptor;
        }
        passed.insert(path.clone(), passes);
    }
    after
}

/// What one object becomes, and what it passes on. `parent` is the folder as it is by now; `labelled` says whether its volume
/// stores labels.
pub fn change(
    node: &TreeNode,
    parent: Option<&SecurityDescriptor>,
    from_parent: &Passed,
    changes: NodeChanges,
    labelled: bool,
    editors: &dyn May,
) -> (SecurityDescriptor, Passed) {
    let mut object = Object { node, descriptor: node.descriptor.clone(), editors, passes: Passed::default() };
    object.change_dacl(parent, from_parent, &changes);
    if labelled {
        object.change_label(parent, from_parent.label, changes.label);
    }
    (object.descriptor, object.passes)
}

struct Object<'a> {
    node: &'a TreeNode,
    descriptor: SecurityDescriptor,
    editors: &'a dyn May,
    passes: Passed,
}

impl Object<'_> {
    fn may(&self, by: By, right: AccessMask) -> bool {
        self.editors.may(by, &self.node.descriptor, right)
    }

    /// Whether nothing comes down to the object: one ACE would end "everyone", or reach names that lie elsewhere.
    fn is_left_out(&self) -> bool {
        self.node.has_null_dacl() || self.node.is_hard_linked()
    }

    fn change_dacl(&mut self, parent: Option<&SecurityDescriptor>, passed: &Passed, changes: &NodeChanges) {
        let may_run = self.may(By::Run, AccessMask::WRITE_DAC);
        let may_setup = self.may(By::Setup, AccessMask::WRITE_DAC);
        let may = |by| if by == By::Run { may_run } else { may_setup };
        self.take(&changes.remove, may_run || may_setup);
        let coming: Vec<Edit> = passed.ours.iter().flat_map(|edit| self.copies(edit)).collect();
        if !self.descriptor.control.contains(Control::DACL_PROTECTED) && !self.is_left_out() {
            let gone = inherit::copies(passed.gone.clone(), self.node.kind);
            self.take(&gone, may_run || may_setup);
            let new: Vec<Ace> =
                coming.iter().filter(|edit| may(edit.by)).map(|edit| edit.ace.clone()).collect();
            if let Some(parent) = parent {
                inherit::add_inherited(&mut self.descriptor, parent, self.node.kind, &new);
            }
        }
        // In reverse, because each explicit deny goes to the front.
        for edit in changes.add.iter().rev().filter(|edit| may(edit.by)) {
            if !self.has(&edit.ace) {
                inherit::add_explicit(&mut self.descriptor, edit.ace.clone());
            }
        }
        let in_place = |edit: &&Edit| self.has(&edit.ace);
        let ours: Vec<Edit> = changes.add.iter().chain(&coming).filter(in_place).cloned().collect();
        self.passes.ours = ours;
    }

    fn copies(&self, edit: &Edit) -> Vec<Edit> {
        let copies = inherit::copies(vec![edit.ace.clone()], self.node.kind);
        copies.into_iter().map(|ace| Edit { ace, by: edit.by }).collect()
    }

    fn has(&self, ace: &Ace) -> bool {
        self.descriptor.dacl().is_some_and(|acl| acl.aces.contains(ace))
    }

    /// Takes ACEs away, and remembers which so that their copies go too.
    fn take(&mut self, aces: &[Ace], may: bool) {
        let nt_security::AclField::List(acl) = &mut self.descriptor.dacl else { return };
        if may {
            self.passes.gone.extend(aces.iter().filter(|ace| acl.aces.contains(ace)).cloned());
            acl.aces.retain(|ace| !aces.contains(ace));
        }
    }

    fn change_label(&mut self, parent: Option<&SecurityDescriptor>, comes: bool, edit: LabelEdit) {
        let edits = comes || edit != LabelEdit::Leave;
        if !edits || !self.editors.may(By::Run, &self.descriptor, AccessMask::WRITE_OWNER) {
            return;
        }
        let is_set = matches!(edit, LabelEdit::Set(_));
        let is_removed = edit == LabelEdit::Remove;
        match edit {
            LabelEdit::Leave => {}
            LabelEdit::Set(label) => inherit::set_label(&mut self.descriptor, Some(label)),
            LabelEdit::Remove => inherit::set_label(&mut self.descriptor, None),
        }
        let own = inherit::label_aces(&self.descriptor).iter().any(|ace| !ace.is_inherited());
        let is_protected = self.descriptor.control.contains(Control::SACL_PROTECTED);
        let inherits = !own && !is_protected && !self.is_left_out();
        if inherits {
            let inherited = parent.and_then(|parent| inherit::inherited_label(parent, self.node.kind));
            inherit::set_inherited_label(&mut self.descriptor, inherited);
        }
        // Where one goes without another in its place, the copies below go too.
        self.passes.label = is_set || is_removed || inherits && comes;
    }
}
