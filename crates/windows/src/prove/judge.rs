//! Compares what the policy says with what the model says, and with what the plan admits.

use nt_security::check::Outcome;
use nt_security::{AccessMask, Token};

use super::expect::{Expected, expect};
use super::ops::{Op, attempt};
use super::subjects::{Subject, SubjectKind, is_labelled_for_commands, owner_only};
use super::world::World;
use super::{Row, Says, Status};
use crate::plan::apply::allows;
use crate::plan::data::{Change, GapKind, LimitKind, Wall};
use crate::plan::facts::NodeKind;
use crate::plan::inherit;
use crate::plan::path::WinPath;
use crate::plan::tree::{Tree, TreeNode};
use crate::plan::{Access, Tier, is_secret};

/// All rows of one object.
pub fn subject(world: &World<'_>, subject: &Subject, rows: &mut Vec<Row>) {
    if !subject.exists {
        rows.extend(missing(world, subject));
        return;
    }
    for op in Op::ALL {
        // Whoever lists the folder above sees name, size and times: they are not promised to be hidden.
        if op == Op::ReadAttributes && subject.kind == SubjectKind::DenyRead {
            continue;
        }
        let Some(answer) = attempt(world, &world.after, &world.child, &subject.path, op) else { continue };
        let Some(expected) = expect(world, subject, op) else { continue };
        if op == Op::ReadAttributes && !expected.user {
            continue;
        }
        let verdict = says(answer.outcome);
        let status = Judge { world, subject, op }.status(expected, verdict);
        rows.push(row(subject, op, expected.allowed(), verdict, status));
    }
    rows.extend(you_keep(world, subject));
    if matches!(subject.kind, SubjectKind::Root | SubjectKind::PrivateTemp)
        && world.granted.contains(&subject.path)
    {
        new_objects(world, subject, rows);
    }
}

fn row(subject: &Subject, op: Op, policy: bool, verdict: Says, status: Status) -> Row {
    Row {
        kind: subject.kind,
        object: subject.path.to_string(),
        op: op.name().to_owned(),
        policy: Says::from_bool(policy),
        rule: subject.verdict.rule.words(),
        verdict,
        status,
    }
}

/// The model's answer.
pub fn says(outcome: Outcome) -> Says {
    match outcome {
        Outcome::Allowed => Says::Allow,
        Outcome::Denied => Says::Deny,
        Outcome::Unknown { .. } => Says::Unknown,
    }
}

struct Judge<'a> {
    world: &'a World<'a>,
    subject: &'a Subject,
    op: Op,
}

impl Judge<'_> {
    fn status(&self, expected: Expected, verdict: Says) -> Status {
        match (expected.allowed(), verdict) {
            (true, Says::Allow) => Status::Holds,
            (true, _) => self
                .limit()
                .map_or(Status::Refused, |limit| Status::Stricter { limit: limit.name().to_owned() }),
            (false, Says::Deny) => self.walls(expected),
            (false, _) => {
                self.gap(expected).map_or(Status::Hole, |gap| Status::Declared { gap: gap.name().to_owned() })
            }
        }
    }

    fn path(&self) -> &WinPath {
        &self.subject.path
    }

    /// The limit by which the plan says that this is refused.
    fn limit(&self) -> Option<LimitKind> {
        let covered = |paths: &[WinPath]| paths.iter().any(|path| self.path().is_in(path));
        let limits = &self.world.plan.stricter;
        if self.is_unlisted() && self.refuses_changes() {
            return Some(LimitKind::NotChanged);
        }
        if self.is_unlisted() && self.refuses_label() && self.only_label_refuses() {
            return Some(LimitKind::Labelled);
        }
        let fits = |kind: LimitKind, paths: &[WinPath]| match kind {
            LimitKind::RootNotGranted | LimitKind::Labelled => !self.op.is_reading() && covered(paths),
            // The sandbox account reads by ACEs that these objects do not get either.
            LimitKind::NotChanged => {
                (!self.op.is_reading() || self.world.plan.tier == Tier::Elevated) && covered(paths)
            }
            LimitKind::OtherPolicy | LimitKind::AccountDenied => covered(paths),
            LimitKind::NotYetReadable => self.op.is_reading() && self.is_new_in(paths),
            LimitKind::Secret | LimitKind::NotReadable => self.op.is_reading() && covered(paths),
            LimitKind::DeleteNeedsOwnRight => {
                self.op.is_removal() && covered(paths) && self.lacks_own_delete()
            }
            LimitKind::OwnerOnlyFolder | LimitKind::DefaultPipes | LimitKind::RestrictedToken => false,
        };
        limits.iter().find(|limit| fits(limit.kind, &limit.paths)).map(|limit| limit.kind)
    }

    fn is_unlisted(&self) -> bool {
        self.world.facts.nodes.iter().all(|node| node.path != *self.path())
    }

    /// Whether the launcher may not change the object's DACL: the enforcement meets it, and reports it.
    fn refuses_changes(&self) -> bool {
        let node = self.world.before.get(self.path());
        node.is_some_and(|node| !allows(&self.world.launcher, &node.descriptor, AccessMask::WRITE_DAC))
    }

    /// Whether the launcher may not label the object.
    fn refuses_label(&self) -> bool {
        let node = self.world.before.get(self.path());
        node.is_some_and(|node| !allows(&self.world.launcher, &node.descriptor, AccessMask::WRITE_OWNER))
    }

    /// Whether the command could do it, were it not for the label.
    fn only_label_refuses(&self) -> bool {
        let without = attempt(self.world, &self.world.after, &self.world.by_dacl, self.path(), self.op);
        without.is_some_and(|answer| answer.is_allowed())
    }

    /// Whether the object stands directly in one of these folders, and the facts do not list it.
    fn is_new_in(&self, folders: &[WinPath]) -> bool {
        self.is_unlisted() && self.path().parent().is_some_and(|parent| folders.contains(&parent))
    }

    /// Whether the user could remove the object only by his right on the folder.
    fn lacks_own_delete(&self) -> bool {
        lacks_own_delete(self.world, self.path())
    }

    /// The gap by which the plan says that this is not kept.
    fn gap(&self, expected: Expected) -> Option<GapKind> {
        let covered = |paths: &[WinPath]| paths.iter().any(|path| self.path().is_in(path));
        let outside = self.world.root_of(self.path()).is_none_or(|root| root == self.path());
        let fits = |kind: GapKind, paths: &[WinPath]| match kind {
            GapKind::DeletionOutside => outside && self.op.is_removal(),
            GapKind::OpenFolder | GapKind::Unreachable => covered(paths),
            GapKind::AccountRights => {
                let secret = self.op.is_reading() && is_secret(self.path(), self.world.facts);
                (expected.policy || secret) && self.account_could_before()
            }
            _ => false,
        };
        let gaps = &self.world.plan.not_enforced;
        gaps.iter().find(|gap| fits(gap.kind, &gap.paths)).map(|gap| gap.kind)
    }

    /// Whether the account itself could do it without the plan.
    fn account_could_before(&self) -> bool {
        let before = attempt(self.world, &self.world.bare, &self.world.plain, self.path(), self.op);
        before.is_some_and(|answer| answer.is_allowed())
    }

    /// Whether the walls stand that should. Where the user himself may not, the machine's own DACLs are wall enough.
    fn walls(&self, expected: Expected) -> Status {
        // A secret is not given; nothing more keeps it.
        let secret = self.op.is_reading() && self.subject.verdict.access != Access::DenyRead;
        if !expected.user || secret {
            return Status::Holds;
        }
        let (needs_dacl, needs_label) = self.needed_walls();
        let holds = |token: &Token| {
            let answer = attempt(self.world, &self.world.after, token, self.path(), self.op);
            answer.is_none_or(|answer| answer.outcome == Outcome::Denied)
        };
        let dacl = holds(&self.world.by_dacl);
        let label = self.world.plan.walls.labels && holds(&self.world.by_label);
        let (needed, stands) = match (needs_dacl && !dacl, needs_label && !label) {
            (false, false) => return if dacl && label { Status::Holds } else { self.one_wall(dacl, label) },
            (true, _) => (Wall::Dacl, Wall::Label),
            (false, true) => (Wall::Label, Wall::Dacl),
        };
        let declared = self
            .world
            .plan
            .walls
            .single
            .iter()
            .find(|single| single.holds == stands && self.path().is_in(&single.path));
        match declared {
            Some(single) => Status::OneWall { why: single.why.clone() },
            // What the facts do not list the plan cannot name; the enforcement meets it, and reports it.
            None if stands == Wall::Dacl && self.is_unlisted() && self.refuses_label() => {
                Status::OneWall { why: "its label cannot be set: WRITE_OWNER is not granted".to_owned() }
            }
            None => Status::WallMissing { wall: format!("{needed:?}").to_lowercase() },
        }
    }

    /// One wall where the design has no more.
    fn one_wall(&self, dacl: bool, label: bool) -> Status {
        let why = if !dacl && !label {
            "label and DACL hold it together"
        } else if dacl {
            if self.world.plan.walls.labels {
                "it is labelled for commands"
            } else {
                "labels are not enforced"
            }
        } else if self.op.is_reading() {
            "reading is not checked a second time"
        } else {
            "FILE_DELETE_CHILD is not checked a second time"
        };
        Status::OneWall { why: why.to_owned() }
    }

    /// Which walls this operation should meet here.
    fn needed_walls(&self) -> (bool, bool) {
        let world = self.world;
        let inside = world.root_of(self.path()).is_some();
        let closed = self.subject.verdict.access != Access::Write && self.subject.kind != SubjectKind::GitDir;
        let taken = |path: &WinPath| {
            let labels = &world.plan.labels;
            let removed =
                labels.iter().any(|label| label.change == Change::Remove && path.is_in(&label.path));
            removed && world.after.get(path).is_none_or(is_labelled_for_commands)
        };
        let labelled_open =
            |path: &WinPath| world.before.get(path).is_none_or(is_labelled_for_commands) || taken(path);
        let was_open = labelled_open(self.path());
        if self.op.is_removal() && world.granted.contains(self.path()) {
            // The label refuses the right on the folder above, the DACL the right on the root: neither would do alone.
            return (false, false);
        }
        let needs_label = world.plan.walls.labels && if inside { closed } else { !was_open };
        let needs_dacl = if self.op.is_reading() || self.subject.verdict.access == Access::DenyRead && !inside
        {
            world.plan.tier == Tier::Elevated && self.op.is_reading()
        } else if inside {
            true
        } else {
            // Outside, only the label stands between the command and FILE_DELETE_CHILD, unless there is none.
            let parent_was_open = self.path().parent().is_none_or(|parent| labelled_open(&parent));
            !self.op.is_removal() || was_open && parent_was_open && world.plan.walls.labels
        };
        (needs_dacl, needs_label)
    }
}

fn lacks_own_delete(world: &World<'_>, path: &WinPath) -> bool {
    let node = world.user_tree.get(path);
    node.is_some_and(|node| !allows(&world.user, &node.descriptor, AccessMask::DELETE))
}

/// A protected name that does not exist: can it be made?
fn missing(world: &World<'_>, subject: &Subject) -> Option<Row> {
    let folder = subject.path.parent()?;
    let answer = attempt(world, &world.after, &world.child, &folder, Op::CreateFolder)?;
    let verdict = says(answer.outcome);
    let wanted = match subject.kind {
        SubjectKind::MissingGitCode => GapKind::MissingGitCode,
        _ => GapKind::MissingName,
    };
    let watched = world
        .plan
        .not_enforced
        .iter()
        .any(|gap| gap.kind == wanted && gap.paths.iter().any(|path| subject.path.is_in(path)))
        && is_watched(world, &subject.path);
    let open = [GapKind::OpenFolder, GapKind::Unreachable];
    let open = world
        .plan
        .not_enforced
        .iter()
        .find(|gap| open.contains(&gap.kind) && gap.paths.iter().any(|path| folder.is_in(path)));
    let status = match verdict {
        Says::Deny => Status::Holds,
        _ if open.is_some() => Status::Declared { gap: open.map_or("", |gap| gap.kind.name()).to_owned() },
        // A name for which an empty object can stand in is never left to be created at the top of a root.
        _ if watched && !placeholder_is_due(world, subject) => {
            Status::Declared { gap: wanted.name().to_owned() }
        }
        _ => Status::Hole,
    };
    Some(row(subject, Op::CreateFolder, false, verdict, status))
}

/// Whether the end of the run looks for the name.
fn is_watched(world: &World<'_>, path: &WinPath) -> bool {
    let name = path.name().unwrap_or_default();
    world.plan.watch.iter().any(|watch| {
        let here = if watch.below {
            path.is_below(&watch.folder)
        } else {
            path.parent().as_ref() == Some(&watch.folder)
        };
        here && watch.names.iter().any(|watched| watched.eq_ignore_ascii_case(name))
    })
}

/// Whether the plan owes the name a placeholder: beside a `.git` and at the top of a root.
fn placeholder_is_due(world: &World<'_>, subject: &Subject) -> bool {
    let Some(folder) = subject.path.parent() else { return false };
    let name = subject.path.name().unwrap_or_default();
    if subject.kind == SubjectKind::MissingGitCode {
        return !["commondir", "rebase-merge"].contains(&name);
    }
    let at_top = world.plan.policy.roots.contains(&folder) || world.after.get(&folder.join(".git")).is_some();
    at_top && !name.eq_ignore_ascii_case(".git")
}

/// The user loses nothing but FILE_DELETE_CHILD.
fn you_keep(world: &World<'_>, subject: &Subject) -> Option<Row> {
    let (before, after) = world.user_rights(&subject.path)?;
    if before == after {
        return None;
    }
    let lost = before.without(after | AccessMask::FILE_DELETE_CHILD);
    // An ACE of ours that is taken back may have been what gave him a right.
    let keeps = lost.is_empty() || world.loses_aces(&subject.path);
    let status = if keeps { Status::Holds } else { Status::Refused };
    Some(Row {
        kind: SubjectKind::You,
        object: subject.path.to_string(),
        op: "keep-rights".to_owned(),
        policy: Says::Allow,
        rule: "you keep what you may do, but for FILE_DELETE_CHILD on folders of a root".to_owned(),
        verdict: Says::from_bool(keeps),
        status,
    })
}

/// What a command creates in a root: its own to change, and the user's.
fn new_objects(world: &World<'_>, root: &Subject, rows: &mut Vec<Row>) {
    let Some(parent) = world.after.get(&root.path) else { return };
    let paths = [root.path.join("~new"), root.path.join(r"~new\~new.txt")];
    let mut tree = with_new(&world.after, &paths, &world.child);
    // What the user could do with the same had he made it himself, before the plan.
    let users = with_new(&world.user_tree, &paths, &world.user);
    let private_path = root.path.join("~0o700");
    if let Some(descriptor) = owner_only(world, parent, NodeKind::Folder) {
        tree.insert(private_path.clone(), TreeNode::plain(NodeKind::Folder, descriptor));
    }
    for path in &paths {
        for op in Op::ALL {
            rows.extend(new_object(world, &tree, &users, path, op).into_iter().flatten());
        }
    }
    for op in [Op::List, Op::CreateFile] {
        rows.extend(owner_only_row(world, &tree, &private_path, op));
    }
}

/// The tree with a folder and a file in it, made by `creator`.
fn with_new(tree: &Tree, [folder, file]: &[WinPath; 2], creator: &Token) -> Tree {
    let mut tree = tree.clone();
    for (path, kind) in [(folder, NodeKind::Folder), (file, NodeKind::File)] {
        let parent =
            path.parent().and_then(|parent| tree.get(&parent)).map(|parent| parent.descriptor.clone());
        let descriptor = inherit::created(&parent.unwrap_or_default(), kind, creator);
        tree.insert(path.clone(), TreeNode::plain(kind, descriptor));
    }
    tree
}

/// The command's row and the user's.
fn new_object(world: &World<'_>, tree: &Tree, users: &Tree, path: &WinPath, op: Op) -> Option<[Row; 2]> {
    let subject = Subject {
        kind: SubjectKind::New,
        path: path.clone(),
        verdict: world.rules.decide(path),
        exists: true,
    };
    // Deleting takes a right on the thing itself, whoever made it.
    let own = users.get(path).is_some_and(|node| allows(&world.user, &node.descriptor, AccessMask::DELETE));
    let could = attempt(world, users, &world.user, path, op)?.is_allowed() && (own || !op.is_removal());
    let verdict = says(attempt(world, tree, &world.child, path, op)?.outcome);
    let expected = could && !op.is_control();
    let status = match (expected, verdict) {
        (true, Says::Allow) | (false, Says::Deny) => Status::Holds,
        (true, _) => {
            let limit = Judge { world, subject: &subject, op }.limit();
            limit.map_or(Status::Refused, |limit| Status::Stricter { limit: limit.name().to_owned() })
        }
        (false, _) if op.is_control() => Status::Hole,
        // Nobody promised to keep from the command what it made.
        (false, _) => Status::Holds,
    };
    let commands = row(&subject, op, expected, verdict, status);
    // Whoever made it, it lies in the user's folder. Ownership is the maker's.
    let yours = attempt(world, tree, &world.user, path, op)?;
    let keeps = yours.is_allowed() || !could || op == Op::TakeOwnership;
    let status = if keeps { Status::Holds } else { Status::Refused };
    let mut users = row(&subject, op, could, says(yours.outcome), status);
    users.kind = SubjectKind::You;
    Some([commands, users])
}

fn owner_only_row(world: &World<'_>, tree: &Tree, path: &WinPath, op: Op) -> Option<Row> {
    let answer = attempt(world, tree, &world.child, path, op)?;
    let verdict = says(answer.outcome);
    let declared = world.plan.stricter.iter().any(|limit| limit.kind == LimitKind::OwnerOnlyFolder);
    let status = match verdict {
        Says::Allow => Status::Holds,
        _ if declared => Status::Stricter { limit: LimitKind::OwnerOnlyFolder.name().to_owned() },
        _ => Status::Refused,
    };
    let kind = SubjectKind::NewOwnerOnly;
    let subject = Subject { kind, path: path.clone(), verdict: world.rules.decide(path), exists: true };
    Some(row(&subject, op, true, verdict, status))
}
