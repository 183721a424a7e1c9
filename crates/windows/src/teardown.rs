//! Taking back what was granted: every ACE, label, placeholder and folder of ours, and nothing else.
//!
//! Killed anywhere and run again, it finishes: what is journalled is forgotten only once the tree below is clean.

use std::collections::{HashMap, HashSet};

use nt_security::{AccessMask, Ace, Acl, AclField, Control, Sid};

use crate::grants::walk::{Stop, Walk};
use crate::grants::{Counts, GrantError, Progress, Refused, adopt};
use crate::host::{Described, Entry, FileId, Host, HostError, HostErrorKind, Parts};
use crate::plan::facts::NodeKind;
use crate::plan::path::WinPath;
use crate::plan::sid_text::SidText;
use crate::state::{KnownSid, Made, MadeKind, Original, Record, State, What};

mod visit;

use visit::Undoing;

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// What stands in one folder.
    Root(WinPath),
    /// Everything that the state knows.
    All,
}

impl Scope {
    fn holds(&self, path: &WinPath) -> bool {
        match self {
            Self::Root(root) => path.is_in(root),
            Self::All => true,
        }
    }
}

/// What was taken back, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// How much was done; in a dry run `written` counts what would be.
    pub counts: Counts,
    /// Explicit ACEs and labels that the journal knew.
    pub stated: Vec<(WinPath, String)>,
    /// Folders and placeholders.
    pub made: Vec<WinPath>,
    /// Folders and placeholders of ours that hold something now, and stay.
    pub kept: Vec<WinPath>,
    /// Objects that refused; what stands on them stays noted.
    pub refused: Vec<Refused>,
    /// The user ended it.
    pub cancelled: bool,
}

impl Removed {
    /// Whether nothing of ours is left in the scope.
    pub fn is_complete(&self) -> bool {
        !self.cancelled && self.refused.is_empty()
    }
}

/// What the state knows about the scope.
struct Known {
    sids: Vec<KnownSid>,
    journal: Vec<Record>,
    made: Vec<Made>,
    originals: Vec<Original>,
}

/// Takes back what is ours in `scope`; with `dry_run` only says what that would be.
///
/// # Errors
/// [`GrantError`]. An object that refuses is no error: it is listed.
pub fn teardown<H: Host>(
    host: &H,
    state: &State,
    scope: &Scope,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<Removed, GrantError> {
    if !dry_run {
        state.require_durable()?;
    }
    let _changing = state.changing(&|| progress.waiting())?;
    let mut known = known(state, scope)?;
    if let (Scope::Root(root), true) = (scope, state.was_rebuilt()?) {
        known.find_lost(host, state, root, dry_run)?;
    }
    let mut removed = Removed { stated: known.journal.iter().map(in_words).collect(), ..Removed::default() };
    if !dry_run {
        begin(&known, scope, state)?;
    }
    // Placeholders first: what is removed needs no other descriptor before.
    made(host, state, &known, dry_run, &mut removed)?;
    let refused_ids = match walk(host, state, &known, dry_run, progress, &mut removed) {
        Ok(ids) => ids,
        Err(Stop::Cancelled) => {
            removed.cancelled = true;
            return Ok(removed);
        }
        Err(Stop::Host(error)) => return Err(error.into()),
        Err(Stop::State(error)) => return Err(error.into()),
    };
    if !dry_run {
        finish(state, &known, &removed, &refused_ids)?;
        let _older = state.back_up();
    }
    Ok(removed)
}

fn in_words(record: &Record) -> (WinPath, String) {
    let ace = match &record.what {
        What::Ace(ace) => ace,
        What::Label { label, .. } => label,
    };
    (record.path.clone(), ace.to_string())
}

fn known(state: &State, scope: &Scope) -> Result<Known, GrantError> {
    let mut sids = state.write_sids()?;
    sids.retain(|known| scope.holds(&known.sid.root));
    let mut journal = state.journal()?;
    journal.retain(|record| scope.holds(&record.path));
    let mut made = state.made()?;
    made.retain(|made| scope.holds(&made.path));
    let mut originals = state.originals(None)?;
    originals.retain(|original| scope.holds(&original.path));
    Ok(Known { sids, journal, made, originals })
}

impl Known {
    /// What stands on a root and a lost state knew. A dry run notes nothing.
    fn find_lost<H: Host>(
        &mut self,
        host: &H,
        state: &State,
        root: &WinPath,
        dry_run: bool,
    ) -> Result<(), GrantError> {
        let found = adopt::find(host, root, &state.write_sids()?, host.describe()?.user.sid.0)?;
        if !dry_run && !found.sids.is_empty() {
            state.add_write_sids(&found.sids)?;
            state.note(&found.records)?;
        }
        self.sids.extend(found.sids);
        self.journal.extend(found.records);
        Ok(())
    }
}

/// From now on no run takes what stands there for granted.
fn begin(known: &Known, scope: &Scope, state: &State) -> Result<(), GrantError> {
    let sids: Vec<SidText> = known.sids.iter().map(|known| known.sid.sid).collect();
    state.retire(&sids)?;
    match scope {
        Scope::Root(root) => state.unverify(root)?,
        Scope::All => {
            for known in &known.sids {
                state.unverify(&known.sid.root)?;
            }
        }
    }
    Ok(())
}

/// Where something of ours may stand: the outermost of all paths that the state knows.
fn tops(known: &Known) -> Vec<WinPath> {
    let roots = known.sids.iter().map(|known| &known.sid.root);
    let paths = roots
        .chain(known.journal.iter().map(|record| &record.path))
        .chain(known.originals.iter().map(|original| &original.path));
    let mut paths: Vec<&WinPath> = paths.collect();
    paths.sort();
    let mut tops: Vec<WinPath> = Vec::new();
    for path in paths {
        if !tops.last().is_some_and(|top| path.is_in(top)) {
            tops.push(path.clone());
        }
    }
    tops
}

fn walk<H: Host>(
    host: &H,
    state: &State,
    known: &Known,
    dry_run: bool,
    progress: &dyn Progress,
    removed: &mut Removed,
) -> Result<HashSet<FileId>, Stop> {
    let sids: HashSet<Sid> = known.sids.iter().map(|known| known.sid.sid.0).collect();
    let roots: Vec<WinPath> = known.sids.iter().map(|known| known.sid.root.clone()).collect();
    let visitor = Undoing::new(host, state, sids, roots, &known.journal, &known.originals, dry_run);
    let walk = Walk::new(host, &visitor, progress, visitor.counters());
    let mut result = Ok(());
    for top in tops(known) {
        result = walk.run(&top, &visitor.above(&top));
        if result.is_err() {
            break;
        }
    }
    let (refused, ids, would) = visitor.lists();
    removed.counts = visitor.counters().read();
    removed.counts.written += would;
    removed.refused.extend(refused);
    result.map(|()| ids)
}

/// Removes placeholders and folders of ours, the last made first.
fn made<H: Host>(
    host: &H,
    state: &State,
    known: &Known,
    dry_run: bool,
    removed: &mut Removed,
) -> Result<(), GrantError> {
    if known.made.is_empty() {
        return Ok(());
    }
    let Described { folders, user, .. } = host.describe()?;
    for made in known.made.iter().rev() {
        let own = [&folders.state, &folders.machine_state].iter().any(|state| made.path.is_in(state));
        let with_content = own && made.kind == MadeKind::Folder;
        match remove(host, made, user.sid.0, with_content, dry_run) {
            Ok(true) => removed.made.push(made.path.clone()),
            Ok(false) => {}
            Err(error) if error.kind == HostErrorKind::NotEmpty => removed.kept.push(made.path.clone()),
            Err(error) if error.is_killed() => return Err(error.into()),
            Err(error) => {
                removed.refused.push(Refused::of(error));
                continue;
            }
        }
        if !dry_run {
            state.forget_made(&made.path)?;
        }
    }
    Ok(())
}

/// Removes one object of ours; `false` when it is gone, or when another one has its name.
fn remove<H: Host>(
    host: &H,
    made: &Made,
    user: Sid,
    with_content: bool,
    dry_run: bool,
) -> Result<bool, HostError> {
    let rights = AccessMask::DELETE | AccessMask::FILE_LIST_DIRECTORY;
    let handle = match host.open(&made.path, rights) {
        Err(error) if error.is_not_found() => return Ok(false),
        Err(error) if error.is_denied() && !dry_run => {
            give_yourself(host, made, user)?;
            host.open(&made.path, rights)?
        }
        result => result?,
    };
    let info = host.info(&handle)?;
    let is_ours = made.file_id.is_none_or(|id| id == info.id);
    let expected = match made.kind {
        MadeKind::Folder => NodeKind::Folder,
        MadeKind::Placeholder(kind) => kind,
    };
    if !is_ours || info.kind != expected {
        return Ok(false);
    }
    let not_empty = || HostError::new(HostErrorKind::NotEmpty, "remove", &made.path);
    let holds = info.kind == NodeKind::Folder && !host.list(&handle)?.is_empty();
    if !with_content && (holds || info.size > 0) {
        return Err(not_empty());
    }
    if dry_run {
        return Ok(true);
    }
    if holds {
        empty(host, &handle, user)?;
    }
    host.remove(&handle)?;
    Ok(true)
}

/// What we made inherits what the folder above denies the user; he owns it, so he may give himself the right to remove it.
fn give_yourself<H: Host>(host: &H, made: &Made, user: Sid) -> Result<(), HostError> {
    let handle = host.open(&made.path, AccessMask::READ_CONTROL | AccessMask::WRITE_DAC)?;
    if made.file_id.is_some_and(|id| host.info(&handle).map(|info| info.id) != Ok(id)) {
        return Err(HostError::new(HostErrorKind::AccessDenied, "remove", &made.path));
    }
    give_full_control(host, &handle, user)
}

fn give_full_control<H: Host>(host: &H, handle: &H::Handle, user: Sid) -> Result<(), HostError> {
    let full = Ace::allow(AccessMask::FILE_ALL_ACCESS, user);
    let mut descriptor = host.descriptor(handle)?;
    descriptor.dacl = AclField::List(Acl::new(vec![full]));
    descriptor.control |= Control::DACL_PROTECTED;
    host.set_security(handle, &descriptor, Parts { dacl: true, label: false })
}

/// Removes what a folder of our own holds, by handle; links are removed, never followed. Not by calling itself: a command may have
/// nested folders deeper than our stack.
fn empty<H: Host>(host: &H, folder: &H::Handle, user: Sid) -> Result<(), HostError> {
    let mut open: Vec<(Option<H::Handle>, Vec<Entry>)> = vec![(None, host.list(folder)?)];
    while let Some((handle, entries)) = open.last_mut() {
        let Some(entry) = entries.pop() else {
            if let Some(handle) = handle {
                host.remove(handle)?;
            }
            open.pop();
            continue;
        };
        let above = handle.as_ref().unwrap_or(folder);
        let is_folder = entry.kind == NodeKind::Folder;
        let list = if is_folder { AccessMask::FILE_LIST_DIRECTORY } else { AccessMask::NONE };
        let child = open_to_remove(host, above, &entry.name, AccessMask::DELETE | list, user)?;
        if is_folder {
            let entries = host.list(&child)?;
            open.push((Some(child), entries));
        } else {
            host.remove(&child)?;
        }
    }
    Ok(())
}

/// What a command made in its own folder may deny the user; he owns it.
fn open_to_remove<H: Host>(
    host: &H,
    folder: &H::Handle,
    name: &str,
    rights: AccessMask,
    user: Sid,
) -> Result<H::Handle, HostError> {
    match host.open_child(folder, name, rights) {
        Err(error) if error.is_denied() => {
            let change = AccessMask::READ_CONTROL | AccessMask::WRITE_DAC;
            let handle = host.open_child(folder, name, change).map_err(|_| error)?;
            give_full_control(host, &handle, user)?;
            host.open_child(folder, name, rights)
        }
        result => result,
    }
}

/// Forgets what is gone; what stands on objects that refused stays noted.
fn finish(
    state: &State,
    known: &Known,
    removed: &Removed,
    refused: &HashSet<FileId>,
) -> Result<(), GrantError> {
    let paths: HashSet<WinPath> =
        removed.refused.iter().filter_map(|refused| WinPath::absolute(&refused.path).ok()).collect();
    let stays = |path: &WinPath, id: Option<FileId>| {
        paths.contains(path) || id.is_some_and(|id| refused.contains(&id))
    };
    let by_fate: HashMap<bool, Vec<Record>> =
        known.journal.iter().cloned().fold(HashMap::new(), |mut map: HashMap<_, Vec<_>>, record| {
            map.entry(stays(&record.path, record.file_id)).or_default().push(record);
            map
        });
    state.forget(by_fate.get(&false).map_or(&[][..], Vec::as_slice))?;
    let ids: Vec<FileId> = known
        .originals
        .iter()
        .filter(|original| !stays(&original.path, Some(original.file_id)))
        .map(|original| original.file_id)
        .collect();
    state.forget_originals(&ids)?;
    let walks: Vec<WinPath> = known.sids.iter().map(|known| known.sid.root.clone()).collect();
    let walks: Vec<WinPath> =
        walks.into_iter().chain(known.journal.iter().map(|record| record.path.clone())).collect();
    state.end_walks(&walks)?;
    Ok(())
}
