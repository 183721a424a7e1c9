//! The simulated host: before the plan, after it, and the tokens that ask.

use std::collections::HashSet;

use codex_sandbox_policy::Access;
use nt_security::token::{MandatoryPolicy, RestrictOptions};
use nt_security::{AccessMask, Acl, Restriction, SecurityDescriptor, Sid, Token};

use crate::plan::apply::{Editors, allows};
use crate::plan::data::{
    Change, Purpose, RestrictingKind, RootState, Tier, TokenFlag, TokenRecipe, WindowsPlan, WriteSidPlan,
};
use crate::plan::facts::{Facts, JournalEntry, Node, NodeKind, WriteSid};
use crate::plan::launch::RUNNER_LOGON;
use crate::plan::path::WinPath;
use crate::plan::rules::Rules;
use crate::plan::sid_text::SidText;
use crate::plan::tree::{FactsError, Tree, TreeNode};
use crate::plan::{changed, inherit, tokens, with_new_objects};

/// The name of the file that stands for any file of a folder that the facts do not list.
pub const PROBE_FILE: &str = "~probe.txt";
/// The same for folders.
pub const PROBE_FOLDER: &str = "~probe";

/// A host on which a plan was carried out.
pub struct World<'a> {
    /// The plan.
    pub plan: &'a WindowsPlan,
    /// The facts.
    pub facts: &'a Facts,
    /// The policy's rules.
    pub rules: Rules,
    /// Before the plan, with its new objects.
    pub before: Tree,
    /// Before the plan, once the user keeps full control of his roots: "as you may" is measured here.
    pub user_tree: Tree,
    /// Before the plan, without what it takes away: what the machine itself says.
    pub bare: Tree,
    /// After the plan.
    pub after: Tree,
    /// The user without elevation.
    pub user: Token,
    /// The launcher.
    pub launcher: Token,
    /// The token that the command's is made from.
    pub plain: Token,
    /// The command.
    pub child: Token,
    /// The command if labels were not enforced: the DACL's wall alone.
    pub by_dacl: Token,
    /// The command if it were not restricted: the label's wall alone.
    pub by_label: Token,
    /// The roots that were granted.
    pub granted: Vec<WinPath>,
    /// Folders of writable roots that hold something that is not writable.
    pub holders: HashSet<WinPath>,
}

impl<'a> World<'a> {
    /// Carries `plan` out.
    ///
    /// # Errors
    /// [`FactsError`].
    pub fn new(plan: &'a WindowsPlan, facts: &'a Facts) -> Result<Self, FactsError> {
        let editors = Editors::new(facts);
        let mut before = with_new_objects(plan, facts)?;
        add_probes(&mut before, facts);
        let after = changed(&before, &editors, &plan.aces, &plan.labels, &plan.skipped);
        let keeps: Vec<_> =
            plan.aces.iter().filter(|ace| ace.purpose == Purpose::UserKeeps).cloned().collect();
        let user_tree = changed(&before, &editors, &keeps, &[], &plan.skipped);
        let removed = |change: Change| change == Change::Remove;
        let aces: Vec<_> = plan.aces.iter().filter(|ace| removed(ace.change)).cloned().collect();
        let labels: Vec<_> = plan.labels.iter().filter(|label| removed(label.change)).cloned().collect();
        let bare = changed(&before, &editors, &aces, &labels, &plan.skipped);
        let plain = plain_token(plan, facts);
        let child = restricted(&plain, plan);
        let is_granted = |state: &RootState| *state == RootState::Granted;
        let granted = plan.roots.iter().filter(|root| is_granted(&root.state));
        let granted = granted.filter_map(|root| root.path.clone()).collect();
        let unlabelled = MandatoryPolicy::NONE;
        Ok(Self {
            by_dacl: Token { mandatory_policy: unlabelled, ..child.clone() },
            by_label: Token { restriction: Restriction::None, ..child.clone() },
            holders: holders(plan, &after),
            rules: plan.policy.rules(),
            user: tokens::baseline(facts),
            launcher: editors.launcher,
            granted,
            plan,
            facts,
            plain,
            before,
            bare,
            user_tree,
            after,
            child,
        })
    }

    /// The innermost granted root that holds `path`.
    pub fn root_of(&self, path: &WinPath) -> Option<&WinPath> {
        self.granted.iter().filter(|root| path.is_in(root)).max_by_key(|root| root.depth())
    }

    /// A folder to which the command may move things, and a file in it: in a root if there is one.
    pub fn landing(&self) -> Option<(&TreeNode, &TreeNode)> {
        let private = self.granted.iter().find(|root| self.plan.policy.private.contains(root));
        let root = private.or_else(|| self.granted.first())?;
        Some((self.after.get(root)?, self.after.get(&root.join(PROBE_FILE))?))
    }

    /// The token of a command of another run with the same recipe: other roots, another run SID.
    pub fn another_run(&self) -> Token {
        let own = [RestrictingKind::WriteSid, RestrictingKind::RunSid];
        let other = Sid::constant(5, [21, 9, 9, 9, 9]);
        let mut token = self.child.clone();
        if let Restriction::Write(sids) = &mut token.restriction {
            let recipe = &self.plan.token.restricting;
            let of_run = |sid: &Sid| {
                recipe
                    .iter()
                    .any(|entry| own.contains(&entry.kind) && entry.sid.is_some_and(|own| own.0 == *sid))
            };
            sids.retain(|sid| !of_run(sid));
            sids.push(other);
        }
        token
    }

    /// What the user may have of one object, bit by bit, before the plan and after it.
    pub fn user_rights(&self, path: &WinPath) -> Option<(AccessMask, AccessMask)> {
        let of = |tree: &Tree| {
            let node = tree.get(path)?;
            let rights = AccessMask::FILE_ALL_ACCESS.bits();
            let has = rights.filter(|right| allows(&self.user, &node.descriptor, *right));
            Some(has.fold(AccessMask::NONE, |all, right| all | right))
        };
        Some((of(&self.before)?, of(&self.after)?))
    }

    /// Whether the plan takes ACEs away from the object.
    pub fn loses_aces(&self, path: &WinPath) -> bool {
        self.plan.aces.iter().any(|ace| ace.change == Change::Remove && path.is_in(&ace.path))
    }
}

/// The facts of the host once `plan` was carried out: what the next plan would be made from.
///
/// # Errors
/// [`FactsError`].
pub fn facts_after(plan: &WindowsPlan, facts: &Facts) -> Result<Facts, FactsError> {
    let editors = Editors::new(facts);
    let before = with_new_objects(plan, facts)?;
    let after = changed(&before, &editors, &plan.aces, &plan.labels, &plan.skipped);
    let mut facts = facts.clone();
    for (path, node) in after.iter() {
        let sddl = Some(node.descriptor.to_sddl());
        match facts.nodes.iter_mut().find(|known| known.path == *path) {
            Some(known) => known.sddl = sddl,
            None => facts.nodes.push(Node { sddl, ..Node::new(path.clone(), node.kind) }),
        }
    }
    for WriteSidPlan { root, variant, sid, .. } in plan.write_sids.iter().filter(|sid| sid.new) {
        let (root, variant, sid) = (root.clone(), variant.clone(), *sid);
        facts.state.write_sids.push(WriteSid { root, variant, sid });
    }
    let used = |sid: &SidText| plan.run_sid == *sid || plan.write_sids.iter().any(|used| used.sid == *sid);
    facts.random_sids.retain(|sid| !used(sid));
    let kind = |path: &WinPath| after.get(path).map_or(NodeKind::Folder, |node| node.kind);
    for ace in plan.aces.iter().filter(|ace| ace.change == Change::Add) {
        let text = ace.ace.ace(kind(&ace.path)).to_string();
        facts.state.journal.push(JournalEntry { path: ace.path.clone(), ace: text });
    }
    for label in plan.labels.iter().filter(|label| label.change == Change::Add) {
        let text = label.label.ace(kind(&label.path)).to_string();
        facts.state.journal.push(JournalEntry { path: label.path.clone(), ace: text });
    }
    Ok(facts)
}

fn holders(plan: &WindowsPlan, tree: &Tree) -> HashSet<WinPath> {
    let rules = plan.policy.rules();
    let roots: Vec<&WinPath> = plan.policy.roots.iter().chain(&plan.policy.git_dirs).collect();
    let is_closed =
        |path: &WinPath| rules.access(path) != Access::Write && roots.iter().any(|root| path.is_in(root));
    let closed = tree.iter().map(|(path, _)| path).filter(|path| is_closed(path));
    closed.flat_map(|path| path.ancestors().skip(1)).collect()
}

/// The token that the recipe starts from.
fn plain_token(plan: &WindowsPlan, facts: &Facts) -> Token {
    match plan.tier {
        Tier::Unelevated => tokens::launcher(facts),
        Tier::Elevated => {
            tokens::account(plan.account.sid.0, plan.account.group.map(|group| group.0), RUNNER_LOGON)
        }
    }
}

/// Follows the recipe.
fn restricted(plain: &Token, plan: &WindowsPlan) -> Token {
    let TokenRecipe { flags, restricting, integrity, .. } = &plan.token;
    let options = RestrictOptions {
        disable_max_privilege: flags.contains(&TokenFlag::DisableMaxPrivilege),
        lua_token: flags.contains(&TokenFlag::LuaToken),
        write_restricted: flags.contains(&TokenFlag::WriteRestricted),
        restricting_sids: restricting
            .iter()
            .map(|entry| entry.sid.map_or(RUNNER_LOGON, |sid| sid.0))
            .collect(),
        ..RestrictOptions::default()
    };
    // Only a token that is restricted already can make this fail, and neither of ours is.
    let mut token = plain.restricted(&options).unwrap_or_else(|_| plain.clone());
    token.integrity = token.integrity.min(*integrity);
    let dacl = plan.default_dacl.iter().map(|spec| spec.ace(NodeKind::File));
    token.default_dacl = Some(dacl.collect::<Acl>());
    token
}

/// Objects that the facts do not list, and that inheritance describes.
fn add_probes(tree: &mut Tree, facts: &Facts) {
    let baseline = tokens::baseline(facts);
    let setup = tokens::setup(facts);
    let folders: Vec<(WinPath, SecurityDescriptor)> = tree
        .iter()
        .filter(|(_, node)| node.kind == NodeKind::Folder)
        .map(|(path, node)| (path.clone(), node.descriptor.clone()))
        .collect();
    for (folder, descriptor) in folders {
        let creator = inherit::likely_creator(&descriptor, &baseline, &setup);
        for (name, kind) in [(PROBE_FILE, NodeKind::File), (PROBE_FOLDER, NodeKind::Folder)] {
            let path = folder.join(name);
            if tree.get(&path).is_none() {
                let descriptor = inherit::created(&descriptor, kind, creator);
                tree.insert(path, TreeNode::plain(kind, descriptor));
            }
        }
    }
}
