//! Which files of a git directory stay read-only under `git = "commit"`.
//!
//! Source: git's own documentation (gitrepository-layout(5), githooks(5), git-config(1), gitattributes(5),
//! git-worktree(1), git-rebase(1)). The list and its reasons are in docs/git.md.

use crate::names;

/// What a path inside a git directory is under `git = "commit"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitFile {
    /// Objects, refs, the index, logs: what a commit changes.
    Data,
    /// Git runs code, or takes configuration, from it: read-only, and it cannot be created.
    RunsCode(&'static str),
    /// `commondir` of a linked worktree: it may be created, with the one content that is right (`../..`).
    Commondir,
    /// The index: it gets its name only after it was looked through ([`crate::git_index`]).
    Index,
    /// A finished object or pack: git makes it once, under a name that is a checksum of it, and reads it without a look at
    /// that. It may be made, and then stays.
    Object,
}

/// Classifies `rel`, a path relative to a git directory with no empty component, `.` or `..`.
///
/// Names are compared in any letter case: a case-insensitive folder would give `Config` for `config`.
pub fn classify(rel: &[u8]) -> GitFile {
    let parts: Vec<&[u8]> = rel.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect();
    classify_parts(&parts)
}

fn classify_parts(parts: &[&[u8]]) -> GitFile {
    let Some(first) = parts.first() else {
        return GitFile::Data;
    };
    if is(first, "worktrees") {
        return worktree(parts.get(2..).unwrap_or_default());
    }
    if is(first, "modules") {
        // Where a module's name ends is not visible in the path (names may have slashes), so each suffix is looked at.
        let kinds = || (1..parts.len()).map(|at| own(&parts[at..]));
        let code = kinds().find(|kind| matches!(kind, GitFile::RunsCode(_)));
        let special = kinds().find(|kind| *kind != GitFile::Data);
        return code.or(special).unwrap_or(GitFile::Data);
    }
    own(parts)
}

/// A path inside `worktrees/<id>`.
fn worktree(rest: &[&[u8]]) -> GitFile {
    match rest {
        [name] if is(name, "commondir") => GitFile::Commondir,
        [name, ..] if is(name, "modules") => classify_parts(rest),
        _ => own(rest),
    }
}

/// A path directly inside a git directory, without regard to `worktrees` and `modules`.
fn own(parts: &[&[u8]]) -> GitFile {
    match parts {
        [first, ..] if starts_with(first, "config") => {
            GitFile::RunsCode("configuration: aliases, filters, pagers, fsmonitor, ssh and hook commands")
        }
        [first, ..] if is(first, "hooks") => GitFile::RunsCode("git runs hooks"),
        [first, ..] if is(first, "commondir") => GitFile::RunsCode("moves configuration and hooks elsewhere"),
        [first, ..] if is(first, "rebase-merge") || is(first, "rebase-apply") || is(first, "sequencer") => {
            GitFile::RunsCode("a todo list may hold exec lines")
        }
        [first, ..] if is(first, "remotes") || is(first, "branches") => {
            GitFile::RunsCode("legacy remotes: where fetch and push go")
        }
        [first, second, ..] if is(first, "info") && starts_with(second, "attributes") => {
            GitFile::RunsCode("attributes choose filter, diff and merge drivers")
        }
        [first, second, third, ..]
            if is(first, "objects")
                && is(second, "info")
                && third.len() >= 10
                && contains(third, "alternates") =>
        {
            GitFile::RunsCode("takes objects from elsewhere")
        }
        [first, ..] if starts_with(first, "sharedindex.") => {
            GitFile::RunsCode("an index that another one continues")
        }
        [first] if is(first, "index") => GitFile::Index,
        [first, second, ..] if is(first, "refs") && is(second, "replace") => {
            GitFile::RunsCode("shows other objects in the place of those that were committed")
        }
        [first, second] if is(first, "info") && starts_with(second, "grafts") => {
            GitFile::RunsCode("shows another history than was committed")
        }
        [first, folder, name] if is(first, "objects") && is_object(folder, name) => GitFile::Object,
        _ => GitFile::Data,
    }
}

/// `objects/ab/cdef…`, `objects/pack/pack-….idx` and what belongs to a pack. Names that git gives to files in the making
/// start with `tmp_` or a dot.
fn is_object(folder: &[u8], name: &[u8]) -> bool {
    let hex = |text: &[u8]| text.iter().all(u8::is_ascii_hexdigit);
    (folder.len() == 2 && hex(folder) && hex(name)) || (is(folder, "pack") && starts_with(name, "pack-"))
}

/// Whether a directory of this name, moved as a whole, could bring files that run code to where git looks for them.
/// Under `git = "commit"` directories may be renamed only below these.
pub fn may_move_directories_below(first: &[u8]) -> bool {
    ["refs", "logs"].iter().any(|name| is(first, name))
}

fn is(component: &[u8], name: &str) -> bool {
    folded(component) == name.as_bytes()
}

fn starts_with(component: &[u8], prefix: &str) -> bool {
    folded(component).starts_with(prefix.as_bytes())
}

fn contains(component: &[u8], needle: &str) -> bool {
    folded(component).windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// As a folder that ignores case could read the name.
fn folded(component: &[u8]) -> Vec<u8> {
    if component.is_ascii() { component.to_ascii_lowercase() } else { names::fold(component).into_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_commit_changes_is_data() {
        for path in [
            "index.lock",
            "HEAD",
            "HEAD.lock",
            "ORIG_HEAD",
            "COMMIT_EDITMSG",
            "MERGE_MSG",
            "refs/heads/main.lock",
            "refs/stash",
            "logs/HEAD",
            "objects/ab/tmp_obj_x",
            "objects/pack/tmp_pack_x",
            "objects/info/packs",
            "packed-refs",
            "info/exclude",
            "worktrees/wt/HEAD",
            "worktrees/wt/gitdir",
            "refs/heads/config",
            "refs/heads/hooks/x",
        ] {
            assert_eq!(classify(path.as_bytes()), GitFile::Data, "{path}");
        }
    }

    #[test]
    fn what_runs_code_is_named() {
        for path in [
            "config",
            "Config",
            "config.lock",
            "config.worktree",
            "hooks",
            "hooks/pre-commit",
            "HOOKS/x",
            "info/attributes",
            "info/attributes.lock",
            "commondir",
            "rebase-merge/git-rebase-todo",
            "rebase-apply",
            "sequencer/todo",
            "modules/lib/config",
            "modules/a/b/hooks/post-checkout",
            "modules/lib/info/attributes",
            "worktrees/wt/config.worktree",
            "worktrees/wt/rebase-merge/x",
            "worktrees/wt/modules/lib/config",
            "objects/info/alternates",
            "remotes/origin",
            "branches/x",
            "sharedindex.0123",
            "refs/replace/0123",
            "info/grafts",
            "hook\u{17f}/x",
            "con\u{fb01}g",
            "con\u{200d}fig",
            "rebase-merge\u{ad}/x",
        ] {
            assert!(matches!(classify(path.as_bytes()), GitFile::RunsCode(_)), "{path}");
        }
        assert_eq!(classify(b"worktrees/wt/commondir"), GitFile::Commondir);
        for path in ["index", "Index", "worktrees/wt/index", "modules/lib/index", "modules/a/b/index"] {
            assert_eq!(classify(path.as_bytes()), GitFile::Index, "{path}");
        }
        assert_eq!(classify(b"refs/heads/index"), GitFile::Data);
        for path in ["objects/ab/cdef", "objects/pack/pack-0a.pack", "modules/lib/objects/aa/bb"] {
            assert_eq!(classify(path.as_bytes()), GitFile::Object, "{path}");
        }
    }
}
