//! Whether what must not be read is kept from the command. Where it is not, there is no plan: it fails closed (field report 23).

use nt_security::token::integrity;
use nt_security::{AccessMask, LabelPolicy};

use super::apply::allows;
use super::changed;
use super::context::Context;
use super::data::{AceChange, LabelChange, Skipped, Tier};
use super::error::PlanError;
use super::facts::NodeKind;
use super::inherit;
use super::open::plain_token;
use super::path::WinPath;
use super::tree::{Tree, TreeNode};
use super::words::level_name;

/// Carries the changes out on the described tree, and on what may lie in its closed folders without being listed.
///
/// # Errors
/// [`PlanError::DenyRead`].
pub fn holds(
    context: &Context<'_>,
    aces: &[AceChange],
    labels: &[LabelChange],
    skipped: &[Skipped],
) -> Result<(), PlanError> {
    let mut before = context.tree.clone();
    let denied: Vec<&WinPath> = context.policy.deny_read.iter().map(|denied| &denied.path).collect();
    for path in &denied {
        add_unlisted(context, path, &mut before);
    }
    let after = changed(&before, &context.editors, aces, labels, skipped);
    let all = denied.into_iter().flat_map(|path| after.within(path));
    for (path, node) in all.filter(|(path, node)| !context.is_readable(path) && !node.kind.is_link()) {
        if !is_kept(context, node) && is_at_stake(context, node) {
            return Err(not_kept(path, node));
        }
    }
    Ok(())
}

/// Names that no file system has, so that they are nobody's.
const UNLISTED: [(&str, NodeKind); 2] = [("*", NodeKind::File), ("?", NodeKind::Folder)];

/// In every folder, what an administrator may have put there: the launcher may not be able to change it.
fn add_unlisted(context: &Context<'_>, path: &WinPath, tree: &mut Tree) {
    let folders: Vec<(WinPath, TreeNode)> = context
        .tree
        .within(path)
        .filter(|(at, node)| node.kind == NodeKind::Folder && !context.is_readable(at))
        .map(|(at, node)| (at.clone(), node.clone()))
        .collect();
    for (folder, node) in folders {
        let creator = inherit::likely_creator(&node.descriptor, &context.baseline, &context.editors.setup);
        for (name, kind) in UNLISTED {
            let descriptor = inherit::created(&node.descriptor, kind, creator);
            tree.insert(folder.join(name), TreeNode::plain(kind, descriptor));
        }
    }
}

/// Whether label or DACL keep the command from reading the object, and from what is made in it.
fn is_kept(context: &Context<'_>, node: &TreeNode) -> bool {
    let label = node.descriptor.label();
    let by_label =
        context.labels && label.level >= integrity::MEDIUM && label.policy.contains(LabelPolicy::NO_READ_UP);
    by_label || context.tier == Tier::Elevated && !reads(context, node, &plain_token(context))
}

/// Whether there is anything to keep: the user reads it, or the account does.
fn is_at_stake(context: &Context<'_>, node: &TreeNode) -> bool {
    reads(context, node, &context.baseline)
        || context.tier == Tier::Elevated && reads(context, node, &plain_token(context))
}

/// Whether `token` reads the object. What the facts do not list in a folder is read through it, whether or not it can be listed.
fn reads(context: &Context<'_>, node: &TreeNode, token: &nt_security::Token) -> bool {
    let read = AccessMask::FILE_READ_DATA;
    let made_in_it = inherit::created(&node.descriptor, NodeKind::File, &context.baseline);
    allows(token, &node.descriptor, read) || node.is_folder() && allows(token, &made_in_it, read)
}

fn not_kept(path: &WinPath, node: &TreeNode) -> PlanError {
    let level = node.descriptor.label().level;
    let (path, listed) = match path.name() {
        Some("*" | "?") => (path.parent().unwrap_or_else(|| path.clone()), false),
        _ => (path.clone(), true),
    };
    let reason = if level > integrity::MEDIUM {
        format!(
            "it is labelled {}, which you can read: a label that keeps the command from reading would keep you from it too, or \
             open it to your other programs",
            level_name(level)
        )
    } else if listed {
        "neither its label nor its DACL can be set so that the command is kept out".to_owned()
    } else {
        "of what lies in it, neither label nor DACL can be set so that the command is kept out".to_owned()
    };
    let remedy = "get WRITE_DAC and WRITE_OWNER on it, or use the elevated tier".to_owned();
    PlanError::DenyRead { path, reason, remedy }
}
