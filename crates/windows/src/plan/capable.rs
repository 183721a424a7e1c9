//! What this machine lets the launcher do to a root: its DACL, its label.

use nt_security::{AccessMask, Ace, AceFlags, AceKind, AclField, ObjectType, Sid, Token, well_known};

use super::Access;
use super::apply::allows;
use super::context::READ_EXECUTE;
use super::data::{Applies, HostPolicy, Refusal, Tier};
use super::facts::{Facts, NodeKind};
use super::inherit;
use super::path::WinPath;
use super::tokens;
use super::tree::{Tree, TreeNode};
use super::words::{icacls_grant, sid_name};

/// A root that can be granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capable {
    /// Why it cannot be labelled.
    pub no_label: Option<String>,
    /// It can be labelled once the user lets himself.
    pub relabel: bool,
}

/// Whether `path` can be made writable.
///
/// # Errors
/// A [`Refusal`]: the root is read-only in this run, and the run goes on.
pub fn check(
    path: &WinPath,
    policy: &HostPolicy,
    facts: &Facts,
    tree: &Tree,
    launcher: &Token,
    tier: Tier,
) -> Result<Capable, Refusal> {
    let refusal =
        |code: &str, reason: String, remedy: String| Refusal { code: code.to_owned(), reason, remedy };
    let rules = policy.rules();
    let is_git_dir = policy.git_dirs.contains(path);
    if rules.access(path) != Access::Write && !is_git_dir {
        let reason = format!("the policy closes it: {}", rules.decide(path).rule.words());
        return Err(refusal("root-is-closed", reason, "take it off the list that closes it".to_owned()));
    }
    let Some(node) = tree.get(path) else {
        return Err(refusal("root-missing", format!("{path} does not exist"), "create it".to_owned()));
    };
    if node.kind.is_link() {
        // Roots that were asked for are followed to where they lead; what is ours is never a link.
        let reason = format!("{path} is a {}: it leads elsewhere", node.kind.name());
        return Err(refusal("root-is-link", reason, "remove it".to_owned()));
    }
    let remedy = || format!("in an elevated prompt: {}", icacls_grant(path, &facts.user.sid.0));
    if node.has_null_dacl() {
        let reason =
            format!("{path} has no DACL: everyone may do everything there, and one ACE would end that");
        return Err(refusal("root-null-dacl", reason, remedy()));
    }
    let everyones = [well_known::EVERYONE, facts.user.logon_sid.0];
    if let Some(owner) = node.descriptor.owner.filter(|owner| everyones.contains(owner)) {
        let reason = format!("{path} is owned by {}, so every command owns it", sid_name(&owner, facts));
        return Err(refusal("root-is-everyones", reason, format!("take ownership: takeown /f \"{path}\"")));
    }
    if !allows(launcher, &node.descriptor, AccessMask::WRITE_DAC) {
        let owner = node.descriptor.owner.map_or("nobody".to_owned(), |owner| sid_name(&owner, facts));
        let reason = format!(
            "{path} is owned by {owner}, and {} may not change its DACL (WRITE_DAC)",
            facts.user.name
        );
        return Err(refusal("root-no-write-dac", reason, remedy()));
    }
    let use_it = READ_EXECUTE | AccessMask::FILE_ADD_FILE | AccessMask::FILE_ADD_SUBDIRECTORY;
    let baseline = tokens::baseline(facts);
    if tier == Tier::Elevated && owner_depends_on_owning(node, &baseline) {
        let reason = format!(
            "an ACE of {path} denies you READ_CONTROL or WRITE_DAC, which you have as its owner only"
        );
        return Err(refusal("root-denies-you", reason, "remove that deny entry from the folder".to_owned()));
    }
    if !allows(&baseline, &node.descriptor, use_it) {
        let reason = format!("{} may not read and write in {path} without elevation", facts.user.name);
        return Err(refusal("root-not-yours", reason, remedy()));
    }
    Ok(label(path, facts, node, launcher, tier))
}

/// Whether the user has READ_CONTROL or WRITE_DAC only because he owns the object, or will own what he makes in it: an ACE denies
/// them. OWNER RIGHTS, which the elevated tier needs, would end what the owner has without an ACE.
pub fn owner_depends_on_owning(node: &TreeNode, baseline: &Token) -> bool {
    let rights = AccessMask::READ_CONTROL | AccessMask::WRITE_DAC;
    let mapping = ObjectType::File.mapping();
    let counts = |ace: &Ace| {
        let heirs = ace.flags().intersects(AceFlags::INHERIT_ALL);
        let yours = |sid: &Sid| *sid == well_known::CREATOR_OWNER && heirs || baseline.denies(sid);
        ace.kind() == AceKind::Deny
            && mapping.map(ace.mask()).intersects(rights)
            && ace.sid().is_some_and(yours)
    };
    let owns = node.descriptor.owner.is_some_and(|owner| baseline.allows(&owner));
    (owns || node.is_folder()) && node.descriptor.dacl().is_some_and(|acl| acl.aces.iter().any(counts))
}

/// Setting a label takes WRITE_OWNER; an owner who lacks it may give it to himself.
fn label(path: &WinPath, facts: &Facts, node: &TreeNode, launcher: &Token, tier: Tier) -> Capable {
    let volume = facts.volumes.iter().find(|volume| volume.root.drive() == path.drive());
    if volume.is_some_and(|volume| !volume.labels) {
        let no_label = Some(format!("{path} is on a volume that stores no labels"));
        return Capable { no_label, relabel: false };
    }
    let mut node = node.clone();
    if tier == Tier::Elevated {
        // The user keeps full control there, so he has that right.
        let full = Ace::allow(AccessMask::FILE_ALL_ACCESS, facts.user.sid.0);
        inherit::add_explicit(&mut node.descriptor, full.with_flags(AceFlags::INHERIT_ALL));
    }
    let relabel = needs_right_to_label(&node, facts, launcher);
    let no_label =
        relabel.is_none().then(|| format!("{path} cannot be labelled: WRITE_OWNER is not granted"));
    Capable { no_label, relabel: relabel == Some(true) }
}

/// Whether the user must give himself WRITE_OWNER before an object and what lies below can be labelled; `None` if that
/// would not help.
pub fn needs_right_to_label(node: &TreeNode, facts: &Facts, launcher: &Token) -> Option<bool> {
    let mut descriptor = node.descriptor.clone();
    // What an earlier plan gave him is not counted, so that this one wants it too.
    let given = Ace::allow(AccessMask::WRITE_OWNER, facts.user.sid.0);
    let given = given.with_flags(Applies::Tree.flags(node.kind));
    if let AclField::List(acl) = &mut descriptor.dacl {
        acl.aces.retain(|ace| inherit::without_mark(ace) != given);
    }
    let has = allows(launcher, &descriptor, AccessMask::WRITE_OWNER);
    // What lies below is labelled object by object, so the right must come down too.
    let passes_on = !node.is_folder()
        || [NodeKind::File, NodeKind::Folder].iter().all(|kind| {
            let child = inherit::created(&descriptor, *kind, launcher);
            allows(launcher, &child, AccessMask::WRITE_OWNER)
        });
    if has && passes_on {
        return Some(false);
    }
    // In front of the ACE that gives it stand the denies that are there.
    let is_owner = descriptor.owner == Some(facts.user.sid.0);
    inherit::add_explicit(&mut descriptor, given);
    let may_give = (is_owner || has) && allows(launcher, &descriptor, AccessMask::WRITE_OWNER);
    may_give.then_some(true)
}
