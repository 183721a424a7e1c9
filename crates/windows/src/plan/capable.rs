//! What this machine lets the launcher do to a root: its DACL, its label.

use nt_security::AccessMask;

use super::Access;
use super::apply::allows;
use super::data::{HostPolicy, Refusal};
use super::facts::Facts;
use super::path::WinPath;
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
    launcher: &nt_security::Token,
) -> Result<Capable, Refusal> {
    let refusal = |code: &str, reason: String, remedy: String| Refusal { code: code.to_owned(), reason, remedy };
    let rules = policy.rules();
    let is_git_dir = policy.git_dirs.contains(path);
    if rules.access(path) != Access::Write && !is_git_dir {
        let reason = format!("the policy closes it: {}", rules.decide(path).rule.words());
        return Err(refusal("root-is-closed", reason, "take it off the list that closes it".to_owned()));
    }
    let Some(node) = tree.get(path) else {
        return Err(refusal("root-missing", format!("{path} does not exist"), "create it".to_owned()));
    };
    let remedy = || format!("in an elevated prompt: {}", icacls_grant(path, &facts.user.sid.0));
    if node.has_null_dacl() {
        let reason = format!("{path} has no DACL: everyone may do everything there, and one ACE would end that");
        return Err(refusal("root-null-dacl", reason, remedy()));
    }
    if !allows(launcher, &node.descriptor, AccessMask::WRITE_DAC) {
        let owner = node.descriptor.owner.map_or("nobody".to_owned(), |owner| sid_name(&owner, facts));
        let reason = format!("{path} is owned by {owner}, and {} may not change its DACL (WRITE_DAC)", facts.user.name);
        return Err(refusal("root-no-write-dac", reason, remedy()));
    }
    Ok(label(path, facts, node, launcher))
}

/// Setting a label takes WRITE_OWNER; an owner who lacks it may give it to himself.
fn label(path: &WinPath, facts: &Facts, node: &TreeNode, launcher: &nt_security::Token) -> Capable {
    let volume = facts.volumes.iter().find(|volume| volume.root.drive() == path.drive());
    if volume.is_some_and(|volume| !volume.labels) {
        let no_label = Some(format!("{path} is on a volume that stores no labels"));
        return Capable { no_label, relabel: false };
    }
    if allows(launcher, &node.descriptor, AccessMask::WRITE_OWNER) {
        return Capable { no_label: None, relabel: false };
    }
    let is_owner = node.descriptor.owner == Some(facts.user.sid.0);
    let no_label = (!is_owner).then(|| format!("{path} cannot be labelled: WRITE_OWNER is not granted"));
    Capable { no_label, relabel: is_owner }
}
