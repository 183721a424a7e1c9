//! Elevated tier: what the sandbox accounts are given so that they read what the user reads, except secrets.

use nt_security::{AccessMask, AceFlags, Control, Token};

use super::apply::allows;
use super::context::{Context, READ_EXECUTE, Role, SEE_FOLDER};
use super::data::{AceChange, AceSpec, Applies, By, Change, Effect, Limit, LimitKind, Purpose};
use super::facts::{Facts, NodeKind};
use super::inherit;
use super::locate::locate;
use super::open::plain_token;
use super::path::WinPath;
use super::tree::TreeNode;
use super::wanted::{missing, user_rights};
use super::words::sid_name;

/// Secrets below the profile that the sandbox accounts do not get, whatever the user may read.
pub const SECRETS: [&str; 26] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".git-credentials",
    ".netrc",
    "_netrc",
    ".npmrc",
    ".pypirc",
    r".config\gcloud",
    r".config\gh",
    r"AppData\Local\Google\Chrome\User Data",
    r"AppData\Local\Microsoft\Edge\User Data",
    r"AppData\Local\BraveSoftware",
    r"AppData\Local\Microsoft\Credentials",
    r"AppData\Local\Microsoft\Vault",
    r"AppData\Roaming\Microsoft\Credentials",
    r"AppData\Roaming\Microsoft\Crypto",
    r"AppData\Roaming\Microsoft\Protect",
    r"AppData\Roaming\Microsoft\SystemCertificates",
    r"AppData\Roaming\Mozilla\Firefox\Profiles",
    r"AppData\Roaming\GitHub CLI",
    r"AppData\Roaming\gnupg",
    "NTUSER.DAT",
];

/// Whether a path is one of [`SECRETS`] of the user, or below an `.ssh` folder.
pub fn is_secret(path: &WinPath, facts: &Facts) -> bool {
    let profile = &facts.folders.profile;
    path.components().any(super::refuse::is_ssh)
        || SECRETS.iter().any(|secret| path.is_in(&profile.join(secret)))
}

/// The read grants and what they leave out.
#[derive(Debug, Default)]
pub struct Reads {
    /// ACEs.
    pub aces: Vec<AceChange>,
    /// What stays unreadable.
    pub limits: Vec<Limit>,
}

/// Plans the read grants of the elevated tier.
pub fn reads(context: &Context<'_>) -> Reads {
    let account = plain_token(context);
    let (out, none) = (Reads::default(), Vec::new);
    let (covered, granted, closed, split) = (none(), none(), none(), none());
    let mut planner = Planner { context, account, out, covered, granted, closed, split };
    let folders = &context.facts.folders;
    for system in folders.program_files.iter().chain([&folders.windows, &folders.program_data]) {
        planner.tree(system, By::Setup);
    }
    planner.folder(&folders.profiles, By::Setup);
    planner.folder(&folders.profile, By::Setup);
    planner.children(&folders.profile);
    planner.path_folders();
    planner.workspaces();
    planner.limits();
    planner.out
}

struct Planner<'a, 'c> {
    context: &'a Context<'c>,
    /// The account's token before restricting SIDs.
    account: Token,
    out: Reads,
    /// Trees that are readable as a whole.
    covered: Vec<WinPath>,
    /// Those of them that an ACE of ours makes readable.
    granted: Vec<WinPath>,
    /// Folders that are given for themselves alone, because they pass nothing on.
    closed: Vec<WinPath>,
    /// Folders of which only some content is given.
    split: Vec<WinPath>,
}

impl Planner<'_, '_> {
    /// A folder with everything below, unless it is readable already.
    fn tree(&mut self, path: &WinPath, by: By) {
        let Some(node) = self.context.tree.get(path) else { return };
        let is_root = self.context.role(path) != Role::Outside;
        let yours = allows(&self.context.baseline, &node.descriptor, READ_EXECUTE);
        if !self.context.is_readable(path) || self.is_covered(path) || is_root || !yours {
            return;
        }
        self.give(path, node, by);
        self.covered.push(path.clone());
        self.protected_below(path, by);
    }

    /// Below a tree: objects whose DACL is protected inherit nothing, and each is given what the user has (field report
    /// 7); objects that the user may not read are not given.
    fn protected_below(&mut self, path: &WinPath, by: By) {
        let tree = &self.context.tree;
        let within: Vec<(WinPath, &TreeNode)> = tree
            .within(path)
            .skip(1)
            .filter(|(at, node)| {
                let inside = self.context.role(at) != Role::Outside;
                !node.kind.is_link() && !inside && !self.is_secret(at) && self.context.is_readable(at)
            })
            .map(|(at, node)| (at.clone(), node))
            .collect();
        for (at, node) in within {
            let yours = allows(&self.context.baseline, &node.descriptor, READ_EXECUTE);
            let nothing_comes = node.descriptor.control.contains(Control::DACL_PROTECTED)
                || at.parent().is_some_and(|folder| self.closed.contains(&folder));
            if nothing_comes && yours {
                self.give(&at, node, by);
            } else if let Some(tree) = self.granted_tree(&at).filter(|_| !nothing_comes) {
                self.narrow(&tree, &at, node, by);
            }
        }
    }

    /// Reading for the accounts, unless they have it. What appears in a folder that passes nothing on gets the default DACL of
    /// whoever makes it; passing our ACE on would end that, so such a folder is given for itself alone.
    fn give(&mut self, path: &WinPath, node: &TreeNode, by: By) {
        let closed = node.is_folder() && !self.passes_on(node);
        let applies = if closed { Applies::This } else { Applies::Tree };
        let ours = self.is_given(node, READ_EXECUTE, applies);
        if !ours && allows(&self.account, &node.descriptor, READ_EXECUTE) {
            return;
        }
        self.ace(path, node, READ_EXECUTE, applies, Purpose::ReadGrant, by);
        if closed {
            self.closed.push(path.clone());
            self.split.push(path.clone());
        } else {
            self.granted.push(path.clone());
            self.narrow(path, path, node, by);
        }
    }

    /// Whether files and folders that appear in a folder inherit something that is not ours.
    fn passes_on(&self, node: &TreeNode) -> bool {
        let aces = node.descriptor.dacl().map_or(&[][..], |acl| &acl.aces);
        let others = |flag| {
            aces.iter().any(|ace| ace.flags().contains(flag) && ace.sid() != self.context.group.as_ref())
        };
        others(AceFlags::OBJECT_INHERIT) && others(AceFlags::CONTAINER_INHERIT)
    }

    /// The innermost tree that an ACE of ours makes readable and that holds `path`.
    fn granted_tree(&self, path: &WinPath) -> Option<WinPath> {
        self.granted.iter().filter(|tree| path.is_in(tree)).max_by_key(|tree| tree.depth()).cloned()
    }

    /// What the user may not read is not given either, here and on what the facts do not list below.
    fn narrow(&mut self, tree: &WinPath, path: &WinPath, node: &TreeNode, by: By) {
        let lacks = AccessMask::FILE_READ_DATA | AccessMask::FILE_READ_EA | AccessMask::FILE_EXECUTE;
        for (mask, applies) in missing(self.context, path).denies(lacks, node.is_folder()) {
            self.change(path, node, Effect::Deny, mask, applies, Purpose::Narrow, by);
        }
        let above = path.ancestors().skip(1).take_while(|at| at.is_in(tree));
        let narrowed =
            above.map(|at| missing(self.context, &at).below()).any(|below| below.intersects(lacks));
        let rights = user_rights(self.context, path) & READ_EXECUTE;
        if narrowed && rights.intersects(lacks) {
            self.ace(path, node, rights, Applies::Tree, Purpose::ReadGrant, by);
        }
    }

    /// A folder on the way: list, traverse, attributes, for it alone.
    fn folder(&mut self, path: &WinPath, by: By) {
        let Some(node) = self.context.tree.get(path) else { return };
        let ours = self.is_given(node, SEE_FOLDER, Applies::This);
        let has = !ours && allows(&self.account, &node.descriptor, SEE_FOLDER)
            || !allows(&self.context.baseline, &node.descriptor, SEE_FOLDER);
        let known = self.out.aces.iter().any(|ace| ace.path == *path);
        let inside = self.context.role(path) != Role::Outside;
        if !has && !known && !inside && !self.is_covered(path) && self.context.is_readable(path) {
            self.ace(path, node, SEE_FOLDER, Applies::This, Purpose::Ancestor, by);
        }
    }

    /// What stands in a folder: as a whole, or where a secret lies below, folder by folder.
    fn children(&mut self, folder: &WinPath) {
        self.split.push(folder.clone());
        let children: Vec<(WinPath, NodeKind, bool)> = self
            .context
            .tree
            .children(folder)
            .map(|(path, node)| (path.clone(), node.kind, node.cloud))
            .collect();
        for (path, kind, cloud) in children {
            let is_state = path == self.context.facts.folders.state;
            let left_alone = kind.is_link() || cloud || self.is_secret(&path) && !is_state;
            if left_alone {
                continue;
            }
            let holds_secret = self.secrets().any(|secret| secret.is_below(&path));
            let state = &self.context.facts.folders.state;
            let holds_state = state.is_in(&path) || path == state.join("tmp");
            if kind == NodeKind::Folder && (holds_secret || holds_state) {
                self.folder(&path, By::Setup);
                self.children(&path);
            } else {
                self.tree(&path, By::Setup);
            }
        }
    }

    /// Folders of PATH, per-user installations among them.
    fn path_folders(&mut self) {
        let path = self.context.facts.environment.iter().find(|(name, _)| name.eq_ignore_ascii_case("PATH"));
        let entries: Vec<&str> = path.map_or_else(Vec::new, |(_, value)| value.split(';').collect());
        for entry in entries.into_iter().filter(|entry| !entry.trim().is_empty()) {
            let Ok(found) = locate(entry, None, self.context.facts, &self.context.tree) else { continue };
            let is_file = self.context.tree.get(&found.path).is_none_or(|node| !node.is_folder());
            if !is_file && !self.is_secret(&found.path) {
                self.ancestors(&found.path, By::Setup);
                self.tree(&found.path, By::Setup);
            }
        }
    }

    /// The working directory and the roots, and the way to them.
    fn workspaces(&mut self) {
        let context = self.context;
        let cwd = WinPath::absolute(&context.policy.cwd).ok();
        let private = context.facts.folders.state.join("stubs");
        let all = cwd.into_iter().chain(context.policy.roots.iter().cloned()).chain([private]);
        let granted: Vec<WinPath> = context.granted.iter().map(|root| root.path.clone()).collect();
        for path in all.chain(granted.iter().cloned()) {
            self.ancestors(&path, By::Run);
            if !granted.contains(&path) && !self.is_secret(&path) {
                self.tree(&path, By::Run);
            }
        }
    }

    fn ancestors(&mut self, path: &WinPath, by: By) {
        let above: Vec<WinPath> = path.ancestors().skip(1).filter(|at| !at.is_drive_root()).collect();
        for folder in above {
            self.folder(&folder, by);
        }
    }

    fn is_covered(&self, path: &WinPath) -> bool {
        self.covered.iter().any(|tree| path.is_in(tree))
    }

    fn secrets(&self) -> impl Iterator<Item = WinPath> {
        let profile = self.context.facts.folders.profile.clone();
        SECRETS.iter().map(move |secret| profile.join(secret))
    }

    /// Secrets of the list, our own state, and any `.ssh`.
    fn is_secret(&self, path: &WinPath) -> bool {
        let state = &self.context.facts.folders.state;
        let open = [state.join("tmp"), state.join("stubs")];
        is_secret(path, self.context.facts) || path.is_in(state) && !open.iter().any(|open| path.is_in(open))
    }

    /// Whether an earlier plan gave this already.
    fn is_given(&self, node: &TreeNode, mask: AccessMask, applies: Applies) -> bool {
        let Some(group) = self.context.group else { return false };
        let ace = AceSpec::new(Effect::Allow, group.into(), "", mask, applies).ace(node.kind);
        node.descriptor.dacl().is_some_and(|acl| acl.aces.contains(&ace))
    }

    fn ace(
        &mut self,
        path: &WinPath,
        node: &TreeNode,
        mask: AccessMask,
        applies: Applies,
        purpose: Purpose,
        by: By,
    ) {
        self.change(path, node, Effect::Allow, mask, applies, purpose, by);
    }

    #[expect(clippy::too_many_arguments, reason = "one ACE has that many parts")]
    fn change(
        &mut self,
        path: &WinPath,
        node: &TreeNode,
        effect: Effect,
        mask: AccessMask,
        applies: Applies,
        purpose: Purpose,
        by: By,
    ) {
        let Some(group) = self.context.group else { return };
        let may = self.context.editors.may(by, &node.descriptor, AccessMask::WRITE_DAC);
        if !may || node.is_hard_linked() || node.has_null_dacl() {
            return;
        }
        let applies = if node.is_folder() { applies } else { Applies::This };
        let name = sid_name(&group, self.context.facts);
        let ace = AceSpec::new(effect, group.into(), &name, mask, applies);
        self.out.aces.push(AceChange { path: path.clone(), change: Change::Add, ace, purpose, by });
    }

    /// What stays unreadable: secrets, and what lies outside everything that is given.
    fn limits(&mut self) {
        let described: Vec<(WinPath, &TreeNode)> =
            self.context.tree.iter().map(|(path, node)| (path.clone(), node)).collect();
        let unreadable = |node: &TreeNode| {
            let read = AccessMask::FILE_READ_DATA;
            let user = allows(&self.context.baseline, &node.descriptor, read);
            user && !allows(&self.account, &node.descriptor, read)
        };
        let (mut secrets, mut others) = (Vec::new(), Vec::new());
        for (path, node) in described.iter().filter(|(_, node)| unreadable(node)) {
            if self.context.role(path) != Role::Outside || !self.context.is_readable(path) {
                continue;
            }
            let allows_it = |ace: &AceChange| ace.path == *path && ace.ace.effect == Effect::Allow;
            let given = self.out.aces.iter().any(allows_it);
            let list = if self.is_secret(path) { &mut secrets } else { &mut others };
            let reached = self.may_reach(path, node);
            if !given && !reached && !list.iter().any(|above: &WinPath| path.is_in(above)) {
                list.push(path.clone());
            }
        }
        for (path, node) in described.iter().filter(|(_, node)| node.kind == NodeKind::Folder) {
            let file = inherit::created(&node.descriptor, NodeKind::File, &self.context.baseline);
            let unlisted = TreeNode::plain(NodeKind::File, file);
            let is_root = self.context.role(path) != Role::Outside;
            if !is_root && unreadable(&unlisted) && !self.may_reach(path, node) && !self.split.contains(path)
            {
                self.split.push(path.clone());
            }
        }
        let limit = |kind, what: &str, paths| Limit { kind, what: what.to_owned(), paths };
        let secrets = limit(LimitKind::Secret, "the sandbox accounts are not given these secrets", secrets);
        let others = limit(
            LimitKind::NotReadable,
            "you may read these, and the sandbox accounts are not given them",
            others,
        );
        let new = limit(
            LimitKind::NotYetReadable,
            "what appears directly in these folders is readable when the worker has looked at it",
            self.split.clone(),
        );
        self.out.limits.extend([secrets, others, new].into_iter().filter(|limit| !limit.paths.is_empty()));
    }

    /// Whether an inherited grant comes to an object.
    fn may_reach(&self, path: &WinPath, node: &TreeNode) -> bool {
        let editors = &self.context.editors;
        let passes = |path: &WinPath, node: &TreeNode| {
            let may = |by| editors.may(by, &node.descriptor, AccessMask::WRITE_DAC);
            (may(By::Setup) || may(By::Run))
                && !node.has_null_dacl()
                && !node.is_hard_linked()
                && !path.components().any(super::refuse::is_ssh)
                && !node.descriptor.control.contains(Control::DACL_PROTECTED)
        };
        let Some(tree) = self.granted_tree(path) else { return false };
        let above = path.ancestors().take_while(|at| at.is_below(&tree));
        passes(path, node)
            && above
                .filter_map(|at| self.context.tree.get(&at).map(|n| (at, n)))
                .all(|(at, n)| passes(&at, n))
    }
}
