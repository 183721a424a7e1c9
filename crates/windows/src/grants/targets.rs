//! The objects that a plan names, by path, and from where to walk.

use std::collections::{BTreeMap, BTreeSet};

use nt_security::AceFlags;
use nt_security::ace::Ace;

use crate::plan::apply::{Edit, LabelEdit, NodeChanges};
use crate::plan::data::{AceChange, By, Change, LabelChange, WindowsPlan};
use crate::plan::facts::NodeKind;
use crate::plan::path::WinPath;
use crate::state::{Record, What};

/// What an earlier run began.
#[derive(Debug, Default)]
struct Begun {
    aces: Vec<Ace>,
    label: Option<Ace>,
}

impl Begun {
    fn of(path: &WinPath, journal: &[Record]) -> Self {
        let mut begun = Self::default();
        for record in journal.iter().filter(|record| record.path == *path && !record.removing) {
            match &record.what {
                What::Ace(ace) => begun.aces.push(ace.clone()),
                What::Label { label, .. } => begun.label = Some(label.clone()),
            }
        }
        begun
    }
}

/// What a plan wants of one object.
#[derive(Debug, Default)]
pub(crate) struct Target<'a> {
    aces: Vec<&'a AceChange>,
    label: Option<&'a LabelChange>,
    /// ACEs whose removal an earlier run began.
    removing: Vec<Ace>,
    /// A walk from here was not finished: what it was for, as the journal knows it.
    unfinished: Option<Begun>,
    skip: bool,
}

impl Target<'_> {
    /// As the walk of the plan takes it.
    pub(crate) fn changes(&self, kind: NodeKind) -> NodeChanges {
        let is_removed = |ace: &&&AceChange| ace.change == Change::Remove;
        let (removed, added): (Vec<&AceChange>, Vec<&AceChange>) = self.aces.iter().partition(is_removed);
        let mut add: Vec<Edit> =
            added.iter().map(|ace| Edit { ace: ace.ace.ace(kind), by: ace.by }).collect();
        let remove: Vec<Ace> =
            removed.iter().map(|ace| ace.ace.ace(kind)).chain(self.removing.iter().cloned()).collect();
        let begun = self.unfinished.iter().flat_map(|begun| &begun.aces);
        for ace in begun.filter(|ace| !remove.contains(ace)) {
            if !add.iter().any(|edit| edit.ace == *ace) {
                add.push(Edit { ace: ace.clone(), by: By::Run });
            }
        }
        let begun = self.unfinished.as_ref().and_then(|begun| begun.label.clone());
        NodeChanges {
            add,
            remove,
            label: match self.label {
                None => begun.map_or(LabelEdit::Leave, LabelEdit::Set),
                Some(label) if label.change == Change::Remove => LabelEdit::Remove,
                Some(label) => LabelEdit::Set(label.label.ace(kind)),
            },
            skip: self.skip,
        }
    }

    /// ACEs that are taken away, whether or not they are still there.
    pub(crate) fn removing(&self) -> &[Ace] {
        &self.removing
    }

    /// Whether what lies below changes because of it.
    pub(crate) fn spreads(&self) -> bool {
        let heirs = |ace: &&&AceChange| {
            let flags = ace.ace.applies.flags(NodeKind::Folder);
            ace.change != Change::Keep && ace.by == By::Run && flags.intersects(AceFlags::INHERIT_ALL)
        };
        self.unfinished.is_some()
            || self.aces.iter().any(|ace| heirs(&ace))
            || !self.removing.is_empty()
            || self.label.is_some_and(|label| label.change != Change::Keep)
    }

    /// Whether anything changes.
    fn changes_anything(&self) -> bool {
        let changes = |ace: &&&AceChange| ace.change != Change::Keep && ace.by == By::Run;
        self.spreads() || self.aces.iter().any(|ace| changes(&ace))
    }

    pub(crate) fn is_skipped(&self) -> bool {
        self.skip
    }

    pub(crate) fn has_label(&self) -> bool {
        self.label.is_some() || self.unfinished.as_ref().is_some_and(|begun| begun.label.is_some())
    }

    /// What is new on the object and goes into the journal.
    pub(crate) fn records(&self, path: &WinPath, kind: NodeKind) -> (Vec<Record>, Vec<Record>) {
        let record = |what| Record { path: path.clone(), file_id: None, what, removing: false };
        let ours = self.aces.iter().filter(|ace| ace.by == By::Run);
        let of = |change: Change| {
            ours.clone().filter(move |ace| ace.change == change).map(move |ace| What::Ace(ace.ace.ace(kind)))
        };
        let mut adding: Vec<Record> = of(Change::Add).map(record).collect();
        let removing: Vec<Record> = of(Change::Remove).map(record).collect();
        if let Some(label) = self.label.filter(|label| label.change == Change::Add) {
            let replaces = label.replaces.as_ref().map(|label| label.ace(kind));
            adding.push(record(What::Label { label: label.label.ace(kind), replaces }));
        }
        (adding, removing)
    }
}

/// Every object that a plan names.
#[derive(Debug, Default)]
pub(crate) struct Targets<'a> {
    by_path: BTreeMap<WinPath, Target<'a>>,
    /// Folders above something that changes: the way there.
    ways: BTreeSet<WinPath>,
}

impl<'a> Targets<'a> {
    /// Sorts a plan by object. `journal` and `unfinished` are what earlier runs left behind.
    pub(crate) fn new(plan: &'a WindowsPlan, journal: &[Record], unfinished: &[WinPath]) -> Self {
        let mut by_path: BTreeMap<WinPath, Target<'a>> = BTreeMap::new();
        for ace in &plan.aces {
            by_path.entry(ace.path.clone()).or_default().aces.push(ace);
        }
        for label in &plan.labels {
            by_path.entry(label.path.clone()).or_default().label = Some(label);
        }
        for skipped in plan.skipped.iter().filter(|skipped| !skipped.refuses) {
            by_path.entry(skipped.path.clone()).or_default().skip = true;
        }
        for record in journal.iter().filter(|record| record.removing) {
            if let What::Ace(ace) = &record.what {
                by_path.entry(record.path.clone()).or_default().removing.push(ace.clone());
            }
        }
        for path in unfinished {
            by_path.entry(path.clone()).or_default().unfinished = Some(Begun::of(path, journal));
        }
        let changing = by_path.iter().filter(|(_, target)| target.changes_anything());
        let ways = changing.flat_map(|(path, _)| path.ancestors().skip(1)).collect();
        Self { by_path, ways }
    }

    pub(crate) fn get(&self, path: &WinPath) -> Option<&Target<'a>> {
        self.by_path.get(path)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&WinPath, &Target<'a>)> {
        self.by_path.iter()
    }

    /// Whether something below a folder changes on its own account.
    pub(crate) fn lies_above(&self, path: &WinPath) -> bool {
        self.ways.contains(path)
    }

    /// The names in a folder that lead to something that changes.
    pub(crate) fn names_below(&self, folder: &WinPath) -> Vec<String> {
        let depth = folder.depth() + 1;
        let name = |path: &WinPath| path.components().nth(depth - 1).map(str::to_owned);
        let below = self.by_path.range(folder.clone()..).take_while(|(path, _)| path.is_in(folder));
        let mut names: Vec<String> = below
            .filter(|(_, target)| target.changes_anything())
            .filter_map(|(path, _)| name(path))
            .collect();
        names.dedup_by(|a, b| crate::plan::path::same_name(a, b));
        names
    }

    /// Where walks begin: the objects that the plan names and that lie in no other one, where something changes.
    pub(crate) fn tops(&self) -> Vec<WinPath> {
        let mut tops: Vec<WinPath> = Vec::new();
        let mut last: Option<&WinPath> = None;
        for path in self.by_path.keys() {
            if last.is_some_and(|top| path.is_in(top)) {
                continue;
            }
            last = Some(path);
            let changes = self.by_path[path].changes_anything() || self.lies_above(path);
            tops.extend(changes.then(|| path.clone()));
        }
        tops
    }
}
