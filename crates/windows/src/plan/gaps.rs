//! What the plan does not enforce, and where it is stricter: said before the run, never found out by accident.

use codex_sandbox_policy::{GitMode, Policy};
use nt_security::ace::AceKind;
use nt_security::well_known;

use super::context::Context;
use super::data::{Applies, Gap, GapKind, Limit, LimitKind, Purpose, RootPlan, RootState, Tier};
use super::grants::Grants;
use super::path::WinPath;
use super::placeholders::Missing;

/// The gaps that do not come from single objects.
pub fn gaps(context: &Context<'_>, policy: &Policy, missing: &Missing) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut gap = |kind, what: &str, paths: Vec<WinPath>, remedy: &str| {
        gaps.push(Gap { kind, what: what.to_owned(), paths, remedy: remedy.to_owned() });
    };
    if !context.labels {
        gap(
            GapKind::DeletionOutside,
            "files outside the roots, and the roots themselves, can be deleted and renamed where you have FILE_DELETE_CHILD on \
             their folder",
            Vec::new(),
            "move the roots to a volume with labels, or get WRITE_OWNER on them; --require deletion refuses such runs",
        );
    }
    let watched: Vec<WinPath> = missing.watch.iter().map(|watch| watch.folder.clone()).collect();
    let names: Vec<WinPath> =
        watched.iter().filter(|path| !missing.git_dirs.contains(path)).cloned().collect();
    if !names.is_empty() && !policy.protected.is_empty() {
        gap(
            GapKind::MissingName,
            "a protected name that does not exist yet can be created; what appears is frozen and reported when the run ends",
            names,
            "run `git init` before the command, not in it",
        );
    }
    if policy.git == GitMode::Commit && !missing.git_dirs.is_empty() {
        gap(
            GapKind::MissingGitCode,
            "files that redirect git or list commands for it (commondir, rebase todo lists) can be created where they are \
             missing; what appears is frozen and reported when the run ends",
            missing.git_dirs.clone(),
            "use sandbox.git = \"protect\"",
        );
    }
    let absent: Vec<WinPath> = context
        .policy
        .deny_read
        .iter()
        .map(|denied| denied.path.clone())
        .filter(|path| context.tree.get(path).is_none())
        .collect();
    if !absent.is_empty() {
        gap(
            GapKind::MissingName,
            "these deny_read paths do not exist, so nothing is denied",
            absent,
            "correct the path",
        );
    }
    if context.tier == Tier::Elevated {
        creator_owner(context, &mut gap);
    }
    everywhere(context, policy, &mut gap);
    gaps
}

type Sink<'a> = dyn FnMut(GapKind, &str, Vec<WinPath>, &str) + 'a;

/// What the account creates in a root that passes CREATOR OWNER on is the account's for good.
fn creator_owner(context: &Context<'_>, gap: &mut Sink<'_>) {
    let passes_on = |path: &WinPath| {
        let aces =
            context.tree.get(path).and_then(|node| node.descriptor.dacl()).map_or(&[][..], |acl| &acl.aces);
        aces.iter().any(|ace| {
            ace.kind() == AceKind::Allow
                && ace.sid() == Some(&well_known::CREATOR_OWNER)
                && ace.flags().intersects(nt_security::AceFlags::INHERIT_ALL)
        })
    };
    let roots: Vec<WinPath> =
        context.granted.iter().map(|root| root.path.clone()).filter(|path| passes_on(path)).collect();
    if !roots.is_empty() {
        gap(
            GapKind::CreatorOwner,
            "these folders pass CREATOR OWNER on, so what a command creates there stays writable to later commands of \
             the same account that do not have the root",
            roots,
            "remove the CREATOR OWNER entry from the folder",
        );
    }
}

/// What holds on every machine.
fn everywhere(context: &Context<'_>, policy: &Policy, gap: &mut Sink<'_>) {
    if !policy.network_access {
        match context.tier {
            Tier::Unelevated => gap(
                GapKind::Network,
                "the network is only discouraged, by environment variables and stubs",
                Vec::new(),
                "run `codex-sandbox setup` for the elevated tier",
            ),
            Tier::Elevated => gap(
                GapKind::NetworkServices,
                "system services answer for the account: DNS lookups, SMB and WebDAV shares, BITS jobs",
                Vec::new(),
                "none on this machine; a firewall outside it can",
            ),
        }
    }
    if context.tier == Tier::Elevated {
        gap(
            GapKind::AccountRights,
            "what the machine lets Users or the sandbox account itself read, and in a root write, it may, also where it is \
             denied to you",
            Vec::new(),
            "name it in sandbox.deny_read",
        );
    }
    if context.tier == Tier::Unelevated {
        gap(
            GapKind::SameUser,
            "programs of the same user are within reach: they can be ended, and those that act on request (scheduled tasks, \
             WMI, COM servers) are not stopped",
            Vec::new(),
            "run `codex-sandbox setup` for the elevated tier",
        );
    }
    if !policy.windows_private_desktop {
        gap(
            GapKind::Desktop,
            "the command shares your desktop: it sees windows, the clipboard and keystrokes",
            Vec::new(),
            "set windows.private_desktop = true",
        );
    }
}

/// Where the plan refuses what the policy allows, besides single objects.
pub fn limits(context: &Context<'_>, roots: &[RootPlan], grants: &Grants) -> Vec<Limit> {
    let mut limits = Vec::new();
    let mut limit = |kind, what: &str, paths: Vec<WinPath>| {
        limits.push(Limit { kind, what: what.to_owned(), paths });
    };
    let not_granted: Vec<WinPath> = roots
        .iter()
        .filter(|root| matches!(root.state, RootState::ReadOnly(_) | RootState::Refused(_)))
        .filter_map(|root| root.path.clone())
        .collect();
    if !not_granted.is_empty() {
        limit(LimitKind::RootNotGranted, "these roots are read-only in this run", not_granted);
    }
    let folders: Vec<WinPath> = grants
        .aces
        .iter()
        .filter(|ace| ace.purpose == Purpose::DeleteChild && ace.ace.applies == Applies::Folders)
        .map(|ace| ace.path.clone())
        .collect();
    if !folders.is_empty() {
        limit(
            LimitKind::DeleteNeedsOwnRight,
            "deleting and renaming take DELETE on the thing itself; FILE_DELETE_CHILD on its folder is not enough",
            folders,
        );
    }
    everywhere_stricter(context, &mut limit);
    limits
}

fn everywhere_stricter(context: &Context<'_>, limit: &mut dyn FnMut(LimitKind, &str, Vec<WinPath>)) {
    if context.tier == Tier::Unelevated {
        limit(
            LimitKind::OwnerOnlyFolder,
            "a folder that the command makes for its owner alone (mkdir 0o700 of Python 3.13 and later) cannot be \
             written by the command itself",
            Vec::new(),
        );
        limit(
            LimitKind::DefaultPipes,
            "named pipes with default security cannot be opened for writing (ninja, some Node programs)",
            Vec::new(),
        );
        limit(
            LimitKind::RestrictedToken,
            "MSYS2 and Cygwin programs (Git Bash) and Schannel do not work under the restricted token",
            Vec::new(),
        );
    } else {
        limit(
            LimitKind::RestrictedToken,
            "Schannel does not work under the restricted token; OpenSSL does",
            Vec::new(),
        );
    }
}
