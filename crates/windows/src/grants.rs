//! Carrying a plan's ACEs, labels, folders and placeholders out on a [`Host`], and nothing that is there already.
//!
//! Everything is journalled in the [`State`] before it is done. Whoever is killed in between leaves a machine that the next run,
//! or `teardown`, brings to the same end.

use nt_security::AccessMask;

use crate::host::{Host, HostError, HostErrorKind};
use crate::plan::data::{Change, RootState, WindowsPlan};
use crate::plan::facts::{NodeKind, WriteSid};
use crate::plan::path::WinPath;
use crate::plan::words::icacls_grant;
use crate::state::{KnownSid, Made, MadeKind, Record, State, What};

pub(crate) mod adopt;
mod frozen;
mod report;
mod targets;
pub(crate) mod undo;
mod visit;
pub(crate) mod walk;

pub use frozen::{Frozen, end_of_run};
pub use report::{Applied, Counts, Degraded, GrantError, LeftAlone, Progress, Quiet, Refused};

use targets::Targets;
use visit::Granting;
use walk::{Stop, Walk};

/// Carries out what of `plan` is not on the machine yet. A plan whose every change is `keep` costs one look at the state database.
///
/// A root that refuses is in [`Applied::degraded`] with the command that mends it; the others are granted. Objects that refuse, and
/// those that are left alone, are listed and stop nothing.
///
/// # Errors
/// [`GrantError`]: what must be noted cannot be, or a folder of the sandbox's own cannot be made.
pub fn apply<H: Host>(
    plan: &WindowsPlan,
    host: &H,
    state: &State,
    progress: &dyn Progress,
) -> Result<Applied, GrantError> {
    let unfinished = state.unfinished()?;
    if !changes_anything(plan) && unfinished.is_empty() {
        return Ok(Applied::default());
    }
    state.require_durable()?;
    let _changing = state.changing(&|| progress.waiting())?;
    let journal = state.journal()?;
    note_sids(plan, host, state)?;
    let mut applied = Applied::default();
    make_folders(plan, host, state)?;
    make_placeholders(plan, host, state, &mut applied)?;
    let targets = Targets::new(plan, &journal, &unfinished);
    let noted = note(&targets, &journal, host, state)?;
    // A copy that cannot be written takes nothing away from the journal, which was.
    let _only_one = state.back_up();
    let result = walk_all(plan, host, state, progress, &targets, &journal, &mut applied);
    match result {
        Ok(()) => {
            state.forget(&noted.removing)?;
            state.end_walks(&noted.walks)?;
        }
        Err(Stop::Cancelled) => applied.cancelled = true,
        Err(Stop::Host(error)) => return Err(error.into()),
        Err(Stop::State(error)) => return Err(error.into()),
    }
    let _older = state.back_up();
    applied.degraded = degraded(plan, host, &applied)?;
    Ok(applied)
}

/// Whether a plan asks for anything that is not there.
pub fn changes_anything(plan: &WindowsPlan) -> bool {
    use crate::plan::data::By;
    let ace = |ace: &crate::plan::data::AceChange| ace.change != Change::Keep && ace.by == By::Run;
    !plan.folders.is_empty()
        || !plan.placeholders.is_empty()
        || plan.write_sids.iter().any(|sid| sid.new)
        || plan.aces.iter().any(ace)
        || plan.labels.iter().any(|label| label.change != Change::Keep)
}

fn granted(plan: &WindowsPlan) -> impl Iterator<Item = &WinPath> {
    let granted = plan.roots.iter().filter(|root| root.state == RootState::Granted);
    granted.filter_map(|root| root.path.as_ref())
}

/// New write SIDs are noted before any ACE names them.
fn note_sids<H: Host>(plan: &WindowsPlan, host: &H, state: &State) -> Result<(), GrantError> {
    let known = |sid: &crate::plan::data::WriteSidPlan| KnownSid {
        sid: WriteSid { root: sid.root.clone(), variant: sid.variant.clone(), sid: sid.sid },
        file_id: host
            .open(&sid.root, AccessMask::NONE)
            .and_then(|root| host.info(&root))
            .map(|info| info.id)
            .ok(),
        retired: false,
    };
    let new: Vec<KnownSid> = plan.write_sids.iter().filter(|sid| sid.new).map(known).collect();
    if !new.is_empty() {
        state.add_write_sids(&new)?;
    }
    Ok(())
}

fn make_folders<H: Host>(plan: &WindowsPlan, host: &H, state: &State) -> Result<(), GrantError> {
    for path in &plan.folders {
        let made = Made { path: path.clone(), kind: MadeKind::Folder, file_id: None };
        make(&made, NodeKind::Folder, host, state)?;
    }
    Ok(())
}

fn make_placeholders<H: Host>(
    plan: &WindowsPlan,
    host: &H,
    state: &State,
    applied: &mut Applied,
) -> Result<(), GrantError> {
    for placeholder in &plan.placeholders {
        match make_placeholder(&placeholder.path, placeholder.kind, host, state) {
            Err(GrantError::Host(error)) if !error.is_killed() => applied.refused.push(Refused::of(error)),
            result => result?,
        }
    }
    Ok(())
}

/// A placeholder, and the folders above it that are missing, which are placeholders too.
fn make_placeholder<H: Host>(
    path: &WinPath,
    kind: NodeKind,
    host: &H,
    state: &State,
) -> Result<(), GrantError> {
    let is_missing = |at: &WinPath| host.open(at, AccessMask::NONE).is_err_and(|error| error.is_not_found());
    let mut missing: Vec<WinPath> = path.ancestors().skip(1).take_while(is_missing).collect();
    missing.reverse();
    let folders = missing.into_iter().map(|at| (at, NodeKind::Folder));
    for (path, kind) in folders.chain([(path.clone(), kind)]) {
        make(&Made { path, kind: MadeKind::Placeholder(kind), file_id: None }, kind, host, state)?;
    }
    Ok(())
}

/// Makes one object, noted before and (with its id) after. One that is there already is somebody else's.
fn make<H: Host>(made: &Made, kind: NodeKind, host: &H, state: &State) -> Result<(), GrantError> {
    let path = &made.path;
    let no_parent = || HostError::new(HostErrorKind::NotFound, "create", path);
    let (parent, name) = (path.parent().ok_or_else(no_parent)?, path.name().ok_or_else(no_parent)?);
    let right =
        if kind == NodeKind::File { AccessMask::FILE_ADD_FILE } else { AccessMask::FILE_ADD_SUBDIRECTORY };
    let folder = host.open(&parent, right)?;
    let known = state.made()?.into_iter().any(|known| known.path == *path);
    state.note_made(made)?;
    match host.create(&folder, name, kind) {
        Ok(handle) => {
            let file_id = Some(host.info(&handle)?.id);
            state.note_made(&Made { file_id, ..made.clone() })?;
        }
        Err(error) if error.kind == HostErrorKind::Exists => {
            if !known {
                state.forget_made(path)?;
            }
        }
        Err(error) => {
            if !known && !error.is_killed() {
                state.forget_made(path)?;
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// What was noted and is to be cleared at the end.
struct Noted {
    removing: Vec<Record>,
    walks: Vec<WinPath>,
}

/// Notes every explicit ACE and label, and every walk, before the first one is made.
fn note<H: Host>(
    targets: &Targets<'_>,
    journal: &[Record],
    host: &H,
    state: &State,
) -> Result<Noted, GrantError> {
    let (mut adding, mut noted) = (Vec::new(), Noted { removing: Vec::new(), walks: Vec::new() });
    for (path, target) in targets.iter().filter(|(_, target)| !target.is_skipped()) {
        if target.spreads() {
            noted.walks.push(path.clone());
        }
        let (add, mut remove) = target.records(path, NodeKind::Folder);
        let going = target.removing().iter().cloned().map(What::Ace);
        let going = going.map(|what| Record { path: path.clone(), file_id: None, what, removing: true });
        noted.removing.extend(going);
        if add.is_empty() && remove.is_empty() {
            continue;
        }
        let Some((kind, id, present)) = look_at(path, host)? else { continue };
        let (add, more) = if kind == NodeKind::File { target.records(path, kind) } else { (add, Vec::new()) };
        if kind == NodeKind::File {
            remove = more;
        }
        let is_known =
            |record: &Record| journal.iter().any(|known| known.path == *path && known.what == record.what);
        // What somebody else put there meanwhile is not ours to take away.
        let is_there = |record: &Record| match &record.what {
            What::Ace(ace) => present.contains(ace),
            What::Label { .. } => false,
        };
        let new = add.into_iter().filter(|record| is_known(record) || !is_there(record));
        adding.extend(new.map(|record| Record {
            what: first_replaced(record.what, path, journal),
            file_id: Some(id),
            ..record
        }));
        noted.removing.extend(remove.into_iter().map(|record| Record { file_id: Some(id), ..record }));
    }
    state.begin_walks(&noted.walks)?;
    state.note(&adding)?;
    state.note_removing(&noted.removing)?;
    Ok(noted)
}

/// A label that takes the place of one of ours goes back to what ours took the place of.
fn first_replaced(what: What, path: &WinPath, journal: &[Record]) -> What {
    let What::Label { label, replaces: Some(present) } = what else { return what };
    let ours = journal.iter().filter(|record| record.path == *path).find_map(|record| match &record.what {
        What::Label { label, replaces } if *label == present => Some(replaces.clone()),
        _ => None,
    });
    What::Label { label, replaces: ours.unwrap_or(Some(present)) }
}

type Present = (NodeKind, crate::host::FileId, Vec<nt_security::Ace>);

fn look_at<H: Host>(path: &WinPath, host: &H) -> Result<Option<Present>, GrantError> {
    let rights = [AccessMask::READ_CONTROL, AccessMask::NONE];
    let handle = match rights.iter().find_map(|right| host.open(path, *right).ok()) {
        Some(handle) => handle,
        // It is gone, or refuses everything; the walk will say so.
        None => return Ok(None),
    };
    let info = host.info(&handle)?;
    let aces = host.descriptor(&handle).ok();
    let aces = aces.and_then(|descriptor| descriptor.dacl().map(|acl| acl.aces.clone()));
    Ok(Some((info.kind, info.id, aces.unwrap_or_default())))
}

fn walk_all<H: Host>(
    plan: &WindowsPlan,
    host: &H,
    state: &State,
    progress: &dyn Progress,
    targets: &Targets<'_>,
    before: &[Record],
    applied: &mut Applied,
) -> Result<(), Stop> {
    let visitor = Granting::new(plan, host, state, targets, before)?;
    let walk = Walk::new(host, &visitor, progress, visitor.counters());
    let mut result = Ok(());
    for top in targets.tops() {
        let down = visitor.above(&top);
        result = walk.run(&top, &down);
        if result.is_err() {
            break;
        }
    }
    applied.counts = visitor.counters().read();
    let (refused, skipped) = visitor.lists();
    applied.refused.extend(refused);
    applied.skipped.extend(skipped);
    result
}

/// Roots among what refused.
fn degraded<H: Host>(plan: &WindowsPlan, host: &H, applied: &Applied) -> Result<Vec<Degraded>, GrantError> {
    let mut degraded = Vec::new();
    if applied.refused.is_empty() {
        return Ok(degraded);
    }
    let user = host.describe()?.user.sid.0;
    for root in granted(plan) {
        let refused =
            applied.refused.iter().find(|refused| WinPath::absolute(&refused.path).as_ref() == Ok(root));
        let sid = plan.write_sids.iter().find(|sid| sid.root == *root);
        if let (Some(Refused { error, .. }), Some(sid)) = (refused, sid) {
            let (root, error) = (root.clone(), error.clone());
            let remedy = format!("in an elevated prompt: {}", icacls_grant(&root, &user));
            degraded.push(Degraded { root, sid: sid.sid, error, remedy });
        }
    }
    Ok(degraded)
}
