//! Policy → [`WindowsPlan`]: what will be done on a Windows host, as plain data. Pure, on every platform.
//!
//! [`plan`] reads a policy and the [`Facts`](facts::Facts) of a host. [`prove`](crate::prove) asks the security model whether
//! the plan keeps the policy, [`explain`](crate::explain) why one path is as it is. Rules: docs/windows-plan.md.

use std::collections::BTreeSet;

use nt_security::Sid;

pub use codex_sandbox_policy::{Access, GitMode, Mode, Policy};

pub mod apply;
mod capable;
pub mod context;
pub mod data;
mod deny_read;
mod error;
pub mod facts;
mod gaps;
mod grants;
pub mod inherit;
pub(crate) mod intent;
pub mod launch;
pub mod locate;
pub mod network;
mod open;
pub mod path;
mod placeholders;
mod reads;
pub mod refuse;
pub mod rules;
pub mod schema;
pub mod sid_text;
mod sids;
mod text;
mod tier;
pub mod tokens;
pub mod tree;
pub mod wanted;
pub mod words;
pub(crate) mod worktree;

pub use data::{Tier, WindowsPlan};
pub use error::PlanError;
pub use facts::Facts;
pub use path::WinPath;
pub use reads::{SECRETS, is_secret};
pub use sids::MAX_ROOTS;

use apply::{Edit, Editors, LabelEdit, NodeChanges, walk};
use context::{Context, Granted};
use data::{
    AceChange, By, Change, HostPolicy, LabelChange, Placeholder, RootPlan, RootState, Walls, WriteSidPlan,
};
use intent::Intent;
use placeholders::Missing;
use sids::Sids;
use tree::Tree;

/// Plans `policy` on the host that `facts` describe.
///
/// # Errors
/// [`PlanError`]: facts that cannot be used, a tier that is not there, names that belong to someone else, a deny-read path that
/// cannot be kept. A root that cannot be granted is no error: it is read-only, and the plan says so.
pub fn plan(policy: &Policy, facts: &Facts) -> Result<WindowsPlan, PlanError> {
    if policy.mode == Mode::DangerFullAccess {
        return Err(PlanError::NoSandbox);
    }
    let mut tree = Tree::new(facts)?;
    let (tier, mut notices) = tier::choose(policy, facts)?;
    if tier == Tier::Elevated {
        tier::names_are_ours(policy, facts)?;
    }
    let Intent { policy: host, mut roots, notices: heard } = intent::resolve(policy, facts, &tree)?;
    notices.extend(heard);
    let editors = Editors::new(facts);
    let folders = make_folders(&host, tier, facts, &mut tree, &editors);
    let mut sids = Sids::new(facts);
    let grantable = grantable(&mut roots, &host, tier, facts, &tree, &editors);
    let write_sids = write_sids(&grantable, &host, &mut sids)?;
    let marker = sids.of(&facts.folders.state, "marker")?;
    let run_sid = sids.fresh()?;
    let labels_missing: Vec<String> = grantable.iter().filter_map(|root| root.no_label.clone()).collect();
    let paths: Vec<WinPath> = grantable.iter().map(|root| root.path.clone()).collect();
    let missing = placeholders::missing(&host, &host.rules(), &paths, &tree);
    for placeholder in &missing.placeholders {
        tree.make(&placeholder.path, placeholder.kind, &editors.launcher);
    }
    let account = launch::account(policy, tier, facts);
    let mut context = Context {
        facts,
        user_tree: tree.clone(),
        tree,
        policy: &host,
        rules: host.rules(),
        tier,
        granted: innermost_first(&grantable, &write_sids),
        labels: labels_missing.is_empty(),
        editors,
        baseline: tokens::baseline(facts),
        group: account.group.map(|group| group.0),
        account: account.sid.0,
        marker: marker.sid.0,
        pinned: BTreeSet::new(),
    };
    context.pinned = pinned(&context);
    context.user_tree = user_tree(&context);
    notices.extend(root_notices(&roots));
    let parts = Parts {
        policy,
        roots,
        folders,
        write_sids,
        marker,
        run_sid,
        missing,
        labels_missing,
        notices,
        account,
    };
    assemble(&context, parts)
}

/// A root that will be granted, before it has a SID.
struct Grantable {
    path: WinPath,
    relabel: bool,
    no_label: Option<String>,
}

/// What was decided before the objects are looked at.
struct Parts<'a> {
    policy: &'a Policy,
    roots: Vec<RootPlan>,
    folders: Vec<WinPath>,
    write_sids: Vec<WriteSidPlan>,
    marker: WriteSidPlan,
    run_sid: Sid,
    missing: Missing,
    labels_missing: Vec<String>,
    notices: Vec<String>,
    account: data::AccountPlan,
}

/// The private temporary folder and the folder of the stubs, with what is missing above them.
fn make_folders(
    host: &HostPolicy,
    tier: Tier,
    facts: &Facts,
    tree: &mut Tree,
    editors: &Editors,
) -> Vec<WinPath> {
    let stubs = (!host.network_access && tier == Tier::Unelevated).then(|| network::stub_folder(facts));
    let wanted = host.private.iter().cloned().chain(stubs);
    wanted.flat_map(|path| tree.make(&path, facts::NodeKind::Folder, &editors.launcher)).collect()
}

/// Which roots the machine lets us grant; the others become read-only.
fn grantable(
    roots: &mut [RootPlan],
    host: &HostPolicy,
    tier: Tier,
    facts: &Facts,
    tree: &Tree,
    editors: &Editors,
) -> Vec<Grantable> {
    let mut granted = Vec::new();
    for root in roots.iter_mut().filter(|root| root.state == RootState::Granted) {
        let Some(path) = root.path.clone() else { continue };
        match capable::check(&path, host, facts, tree, &editors.launcher, tier) {
            Ok(capable) => {
                granted.push(Grantable { path, relabel: capable.relabel, no_label: capable.no_label });
            }
            Err(refusal) => root.state = RootState::ReadOnly(refusal),
        }
    }
    granted
}

fn write_sids(
    granted: &[Grantable],
    host: &HostPolicy,
    sids: &mut Sids<'_>,
) -> Result<Vec<WriteSidPlan>, PlanError> {
    if granted.len() > MAX_ROOTS {
        return Err(PlanError::TooManyRoots { count: granted.len(), most: MAX_ROOTS });
    }
    let variant = |path: &WinPath| {
        if host.private.contains(path) { "private".to_owned() } else { sids::variant(path, host) }
    };
    granted.iter().map(|root| sids.of(&root.path, &variant(&root.path))).collect()
}

fn innermost_first(granted: &[Grantable], sids: &[WriteSidPlan]) -> Vec<Granted> {
    let mut list: Vec<Granted> = granted
        .iter()
        .zip(sids)
        .map(|(root, sid)| Granted { path: root.path.clone(), sid: sid.sid.0, relabel: root.relabel })
        .collect();
    list.sort_by_key(|root| std::cmp::Reverse(root.path.depth()));
    list
}

/// Every folder from a root down to something closed, without the roots, which stay in place anyway.
fn pinned(context: &Context<'_>) -> BTreeSet<WinPath> {
    let mut pinned = BTreeSet::new();
    for (path, _) in context.tree.iter() {
        let Some(root) = context.root_of(path) else { continue };
        let stays = match context.role(path) {
            context::Role::Closed { top, .. } => top,
            context::Role::GitDir(_) | context::Role::Root(_) => true,
            _ => context.policy.roots.contains(path),
        };
        if stays {
            // A root inside another keeps the folders of the outer one in place too.
            let outermost =
                context.granted.iter().filter(|outer| path.is_in(&outer.path)).map(|outer| &outer.path);
            let top = outermost.min_by_key(|outer| outer.depth()).unwrap_or(&root.path);
            pinned.extend(path.ancestors().skip(1).take_while(|folder| folder.is_below(top)));
        }
    }
    pinned
}

/// The described tree once the user keeps full control of his roots.
fn user_tree(context: &Context<'_>) -> Tree {
    walk(&context.tree, &context.editors, |step| {
        let wanted = wanted::wanted(context, step);
        let keeps = |purpose: &data::Purpose| *purpose == data::Purpose::UserKeeps;
        let add = wanted.aces.iter().filter(|(_, purpose)| keeps(purpose));
        let add = add.map(|(spec, _)| Edit { ace: spec.ace(step.node.kind), by: By::Run }).collect();
        NodeChanges { add, ..NodeChanges::default() }
    })
}

fn root_notices(roots: &[RootPlan]) -> Vec<String> {
    let notice = |root: &RootPlan| match &root.state {
        RootState::ReadOnly(refusal) | RootState::Refused(refusal) => {
            Some(format!("{} is read-only: {}; {}", root.typed, refusal.reason, refusal.remedy))
        }
        RootState::Granted | RootState::Covered { .. } => None,
    };
    roots.iter().filter_map(notice).collect()
}

/// Looks at every described object and puts the plan together.
fn assemble(context: &Context<'_>, parts: Parts<'_>) -> Result<WindowsPlan, PlanError> {
    let mut grants = grants::grants(context);
    let mut stricter = gaps::limits(context, &parts.roots, &grants);
    stricter.append(&mut grants.limits);
    let mut aces = grants.aces;
    if context.tier == Tier::Elevated {
        let reads = reads::reads(context);
        aces.extend(reads.aces);
        stricter.extend(reads.limits);
    }
    mark_present(&mut aces, &context.tree);
    let mut gaps = gaps::gaps(context, parts.policy, &parts.missing);
    let after = changed(&context.tree, &context.editors, &aces, &grants.labels, &grants.skipped);
    grants.labels.retain(|label| takes_effect(label, &after));
    let open = open::open(context, &after, &grants.skipped);
    gaps.extend(open.gaps());
    stricter.extend(open.limit());
    aces.extend(open.aces);
    deny_read::holds(context, &aces, &grants.labels, &grants.skipped)?;
    let mut write_sids = parts.write_sids;
    write_sids.push(parts.marker);
    let policy = parts.policy;
    Ok(WindowsPlan {
        version: data::PLAN_VERSION,
        tier: context.tier,
        account: parts.account,
        policy: context.policy.clone(),
        run_sid: parts.run_sid.into(),
        folders: parts.folders,
        placeholders: parts.missing.placeholders,
        pins: context.pinned.iter().cloned().collect(),
        aces,
        labels: grants.labels,
        skipped: grants.skipped,
        token: launch::token(context, parts.run_sid),
        default_dacl: launch::default_dacl(context, parts.run_sid),
        environment: network::environment(context.policy, &parts.roots, context.tier, context.facts),
        stubs: network::stubs(context.policy, context.tier, context.facts),
        job: launch::job(policy),
        desktop: launch::desktop(policy, context, parts.run_sid),
        network: network::network(policy, context.policy, context.tier, context.facts),
        watch: parts.missing.watch,
        walls: Walls { labels: context.labels, labels_missing: parts.labels_missing, single: open.single },
        not_enforced: gaps,
        stricter,
        notices: parts.notices,
        roots: parts.roots,
        write_sids,
    })
}

/// Whether a label could be set: it takes WRITE_OWNER on the object.
fn takes_effect(label: &LabelChange, after: &Tree) -> bool {
    let own = after.get(&label.path).and_then(wanted::own_label);
    if label.change == Change::Remove { own.is_none() } else { own.as_ref() == Some(&label.label) }
}

/// An ACE that is there already is kept, not added.
fn mark_present(aces: &mut [AceChange], tree: &Tree) {
    for change in aces.iter_mut().filter(|change| change.change == Change::Add) {
        let Some(node) = tree.get(&change.path) else { continue };
        let ace = change.ace.ace(node.kind);
        if node.descriptor.dacl().is_some_and(|acl| acl.aces.contains(&ace)) {
            change.change = Change::Keep;
        }
    }
}

/// The tree after these changes.
pub fn changed(
    tree: &Tree,
    editors: &Editors,
    aces: &[AceChange],
    labels: &[LabelChange],
    skipped: &[data::Skipped],
) -> Tree {
    let mut by_path: std::collections::HashMap<&WinPath, (Vec<&AceChange>, Option<&LabelChange>)> =
        Default::default();
    for ace in aces {
        by_path.entry(&ace.path).or_default().0.push(ace);
    }
    for label in labels {
        by_path.entry(&label.path).or_default().1 = Some(label);
    }
    walk(tree, editors, |step| {
        let skip = skipped.iter().any(|skipped| !skipped.refuses && skipped.path == *step.path);
        let Some((aces, label)) = by_path.get(step.path) else {
            return NodeChanges { skip, ..NodeChanges::default() };
        };
        let kind = step.node.kind;
        let (removed, added): (Vec<&AceChange>, Vec<&AceChange>) =
            aces.iter().partition(|ace| ace.change == Change::Remove);
        NodeChanges {
            add: added.iter().map(|ace| Edit { ace: ace.ace.ace(kind), by: ace.by }).collect(),
            remove: removed.iter().map(|ace| ace.ace.ace(kind)).collect(),
            label: match label {
                None => LabelEdit::Leave,
                Some(label) if label.change == Change::Remove => LabelEdit::Remove,
                Some(label) => LabelEdit::Set(label.label.ace(kind)),
            },
            skip,
        }
    })
}

/// What is made before anything else: the tree of the host with the plan's folders and placeholders.
pub fn with_new_objects(plan: &WindowsPlan, facts: &Facts) -> Result<Tree, tree::FactsError> {
    let mut tree = Tree::new(facts)?;
    let launcher = tokens::launcher(facts);
    for folder in &plan.folders {
        tree.make(folder, facts::NodeKind::Folder, &launcher);
    }
    for Placeholder { path, kind } in &plan.placeholders {
        tree.make(path, *kind, &launcher);
    }
    Ok(tree)
}
