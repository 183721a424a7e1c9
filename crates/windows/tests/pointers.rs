//! Spellings, links and pointers by which a path could come to mean another one than the policy's.

mod support;

use codex_sandbox_policy::{GitMode, Policy};
use codex_sandbox_windows::plan::data::{RootKind, RootState};
use codex_sandbox_windows::plan::facts::{Facts, Node, NodeKind, Volume, VolumeKind, WriteSid};
use codex_sandbox_windows::plan::path::{Parsed, parse};
use codex_sandbox_windows::plan::{PlanError, WinPath, WindowsPlan, plan};
use codex_sandbox_windows::prove::Says;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use support::{assert_holds, example, find, folder, path, planned, proved, unelevated, written};

const APP: &str = r"C:\Users\mia\src\app";
const WORKTREE: &str = r"C:\Users\mia\src\topic";
const REPOSITORY: &str = r"C:\Users\mia\src\app\.git";

fn laptop() -> Facts {
    example("developer-laptop")
}

/// A file with these words in it.
fn says(facts: &mut Facts, at: &str, content: &str) {
    let at = path(at);
    facts.nodes.retain(|node| node.path != at);
    facts.nodes.push(Node { content: Some(content.to_owned()), ..Node::new(at, NodeKind::File) });
}

fn link(facts: &mut Facts, at: &str, target: &str) {
    let at = path(at);
    facts.nodes.retain(|node| node.path != at);
    facts.nodes.push(Node { target: Some(target.to_owned()), ..Node::new(at, NodeKind::Junction) });
}

fn refusal_code(plan: &WindowsPlan, typed: &str) -> String {
    let root = plan.roots.iter().find(|root| root.typed == typed).expect("it was asked for");
    match &root.state {
        RootState::ReadOnly(refusal) | RootState::Refused(refusal) => refusal.code.clone(),
        other => panic!("{typed} is {other:?}"),
    }
}

#[test]
fn every_spelling_of_a_deny_read_path_means_the_same() {
    let facts = laptop();
    for spelling in [
        "secrets",
        r".\x\..\secrets",
        r"C:\Users\mia\src\app\SECRETS",
        "C:/Users/mia/src/app/secrets/",
        r"C:\Users\mia\src\app\secrets. . ",
        r"C:\Users\mia\src\app.\secrets",
        r"C:\Users\mia\src\app\secrets::$INDEX_ALLOCATION",
        r"C:\Users\mia\src\app\secrets:$I30:$INDEX_ALLOCATION",
        r"\\?\C:\Users\mia\src\app\secrets",
        r"\\.\C:\Users\mia\src\app\secrets",
        r"\??\C:\Users\mia\src\app\secrets",
        "//?/C:/Users/mia/src/app/secrets",
        r"\\?\Volume{6f1d2c7a-0000-0000-0000-100000000000}\Users\mia\src\app\secrets",
        r"\Users\mia\src\app\secrets",
        "C:secrets",
        r"~\src\app\secrets",
        r"~/current/secrets",
        r"C:\Users\mia\current\secrets",
    ] {
        let policy = Policy { deny_read: vec![written(spelling)], ..unelevated() };
        let plan = planned(&policy, &facts);
        assert_eq!(plan.policy.deny_read[0].path, path(&format!(r"{APP}\secrets")), "{spelling}");
    }
}

#[test]
fn a_deny_read_path_that_is_no_local_file_is_an_error() {
    for spelling in [
        r"\\localhost\C$\Users\mia\src\app\secrets",
        r"\\?\UNC\localhost\C$\Users",
        r"\\?\GLOBALROOT\Device\HarddiskVolume3\Users",
        r"\\?\Volume{00000000-0000-0000-0000-000000000000}\Users",
        r"\\wsl$\Ubuntu\home",
        r"\\.\PhysicalDrive0",
        r"\\.\C:",
        r"C:\Users\mia\NUL",
        "con.txt",
        r"Q:\secrets",
        r"D:secrets",
        r"\\?\C:\Users\..\secrets",
        r"C:\Users\mia\a:b\c",
        r"C:\Users\mia\sec*",
    ] {
        let policy = Policy { deny_read: vec![written(spelling)], ..unelevated() };
        let answer = plan(&policy, &laptop());
        assert!(matches!(answer, Err(PlanError::DenyReadPath(_))), "{spelling}: {answer:?}");
    }
}

#[test]
fn roots_that_are_no_folders_of_their_own_are_refused() {
    let mut facts = laptop();
    facts.volumes.push(Volume {
        root: path("S:\\"),
        kind: VolumeKind::Subst,
        target: None,
        guid: None,
        ..facts.volumes[0].clone()
    });
    support::describe(&mut facts, "S:\\", NodeKind::Folder, Some("O:BAD:(A;OICI;FA;;;AU)"));
    folder(&mut facts, r"S:\w");
    for (typed, code) in [
        (r"C:\Users\mia\src\app:stream", "root-is-stream"),
        (r"S:\w", "root-no-drive"),
        (r"C:\Users\mia\src\app\README.md", "root-is-file"),
        (r"C:\Users\mia\src\APPLIC~1", "root-missing"),
    ] {
        let plan = planned(&Policy { writable_roots: vec![written(typed)], ..unelevated() }, &facts);
        assert_eq!(refusal_code(&plan, typed), code, "{typed}");
    }
}

/// A command that empties its root can turn it into a junction; the next run must not open what that leads to.
#[test]
fn a_link_where_commands_could_write_leads_to_no_root() {
    let mut facts = laptop();
    link(&mut facts, r"C:\Users\mia\src\old", r"C:\Users\mia\Documents");
    let typed = r"C:\Users\mia\src\old";
    let policy = Policy { writable_roots: vec![written(typed)], ..unelevated() };
    // Made by the user, as far as anyone knows.
    let plan = planned(&policy, &facts);
    let root = plan.roots.iter().find(|root| root.typed == typed).expect("it was asked for");
    assert_eq!(root.state, RootState::Granted);
    // It was a root of an earlier run, or lies in one.
    for earlier in [typed, r"C:\Users\mia\src"] {
        let sid = nt_security::Sid::constant(5, [21, 9, 8, 7, 6]).into();
        let known = WriteSid { root: path(earlier), variant: String::new(), sid };
        let mut facts = facts.clone();
        facts.state.write_sids.push(known);
        let plan = planned(&policy, &facts);
        assert_eq!(refusal_code(&plan, typed), "root-through-planted-link");
        assert_eq!(
            find(&proved(&plan, &facts), r"C:\Users\mia\Documents", "create-file").verdict,
            Says::Deny
        );
    }
}

#[test]
fn a_private_temporary_folder_that_became_a_link_is_not_granted() {
    let facts = laptop();
    let private = planned(&unelevated(), &facts).policy.private[0].clone();
    let mut facts = facts;
    link(&mut facts, private.as_str(), r"C:\Users\mia\Documents");
    let plan = planned(&unelevated(), &facts);
    assert_eq!(refusal_code(&plan, private.as_str()), "root-is-link");
    assert!(plan.aces.iter().all(|ace| ace.path != private));
    assert!(!plan.environment.set.contains_key("TEMP"));
}

/// A linked worktree beside its repository, as git lays it out; the workspace is the worktree.
fn worktree() -> Facts {
    let mut facts = Facts { cwd: WORKTREE.to_owned(), ..laptop() };
    folder(&mut facts, WORKTREE);
    says(&mut facts, &format!(r"{WORKTREE}\.git"), "gitdir: C:/Users/mia/src/app/.git/worktrees/topic\n");
    says(&mut facts, &format!(r"{REPOSITORY}\worktrees\topic\gitdir"), "C:/Users/mia/src/topic/.git\n");
    says(&mut facts, &format!(r"{REPOSITORY}\worktrees\topic\commondir"), "../..\n");
    facts
}

fn commit() -> Policy {
    Policy { git: GitMode::Commit, ..unelevated() }
}

fn opened(plan: &WindowsPlan) -> Vec<String> {
    let git_dirs = plan.roots.iter().filter(|root| root.kind == RootKind::GitDir);
    git_dirs.filter_map(|root| root.path.as_ref()).map(ToString::to_string).collect()
}

#[test]
fn a_linked_worktree_may_commit_to_its_repository() {
    let facts = worktree();
    let plan = planned(&commit(), &facts);
    assert_eq!(opened(&plan), [REPOSITORY]);
    let proof = proved(&plan, &facts);
    for (object, op, verdict) in [
        (r".git\refs\heads\main", "write", Says::Allow),
        (r".git\objects", "create-folder", Says::Allow),
        (r".git\config", "write", Says::Deny),
        (r".git\hooks", "create-file", Says::Deny),
        (r".git\worktrees\topic\commondir", "write", Says::Deny),
        ("README.md", "write", Says::Deny),
    ] {
        assert_eq!(find(&proof, &format!(r"{APP}\{object}"), op).verdict, verdict, "{op} {object}");
    }
    assert_holds(&plan, &facts);
    assert_eq!(opened(&planned(&unelevated(), &facts)), Vec::<String>::new());
}

/// The workspace is not trusted: what its `.git` says opens nothing outside that git itself did not lay out so.
#[test]
fn a_workspace_cannot_open_folders_outside_by_a_forged_worktree() {
    type Forge = fn(&mut Facts);
    let forged: [(&str, Forge); 8] = [
        ("it leads to any folder", |facts| {
            says(facts, &format!(r"{WORKTREE}\.git"), "gitdir: C:/Users/mia/Documents");
        }),
        ("it leads to the repository itself", |facts| {
            says(facts, &format!(r"{WORKTREE}\.git"), "gitdir: C:/Users/mia/src/app/.git");
        }),
        ("the repository knows of another worktree", |facts| {
            says(facts, &format!(r"{REPOSITORY}\worktrees\topic\gitdir"), "C:/Users/mia/src/other/.git");
        }),
        ("the repository knows of none", |facts| {
            facts.nodes.retain(|node| node.path != path(&format!(r"{REPOSITORY}\worktrees\topic\gitdir")));
        }),
        ("commondir leads elsewhere", |facts| {
            says(facts, &format!(r"{REPOSITORY}\worktrees\topic\commondir"), "../../../..");
        }),
        ("it does not look like a git directory", |facts| {
            facts.nodes.retain(|node| !node.path.is_in(&path(&format!(r"{REPOSITORY}\objects"))));
        }),
        ("the pointer is a link", |facts| {
            link(facts, &format!(r"{WORKTREE}\.git"), &format!(r"{REPOSITORY}\worktrees\topic"));
        }),
        ("it leads to a share", |facts| {
            says(facts, &format!(r"{WORKTREE}\.git"), "gitdir: //server/share/.git/worktrees/topic");
        }),
    ];
    for (what, forge) in forged {
        let mut facts = worktree();
        forge(&mut facts);
        let plan = planned(&commit(), &facts);
        assert_eq!(opened(&plan), Vec::<String>::new(), "{what}");
        let proof = proved(&plan, &facts);
        assert_eq!(find(&proof, &format!(r"{REPOSITORY}\index"), "write").verdict, Says::Deny, "{what}");
        assert!(proof.holds(), "{what}: {:#?}", proof.violations().collect::<Vec<_>>());
    }
}

#[test]
fn names_that_win32_would_change_are_written_so_that_they_lead_back() {
    for (name, written) in [
        (r"\\?\C:\w\.git.", r"\\?\C:\w\.git."),
        (r"\\?\C:\w\a \b", r"C:\w\a \b"),
        (r"\\?\C:\w\a.\b", r"\\?\C:\w\a.\b"),
        (r"\\?\C:\w\nul", r"\\?\C:\w\nul"),
        (r"\\?\C:\w\a. \..b", r"C:\w\a. \..b"),
        (r"C:\w\.git. ", r"C:\w\.git"),
    ] {
        let there = path(name);
        let json = serde_json::to_string(&there).expect("a path is text");
        assert_eq!(serde_json::from_str::<String>(&json).expect("text"), written);
        let back: WinPath = serde_json::from_str(&json).expect("a path");
        assert_eq!(back.as_str(), there.as_str());
    }
    assert_ne!(path(r"\\?\C:\w\.git."), path(r"C:\w\.git."));
}

/// Texts of the characters that mean something in a path.
fn spelling() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just(r"\\?\"),
        Just(r"\\.\"),
        Just(r"\??\"),
        Just("C:"),
        Just("d:"),
        Just(r"\"),
        Just("/"),
        Just("."),
        Just(".."),
        Just(" "),
        Just("~1"),
        Just("nul"),
        Just("COM1"),
        Just("ä"),
        Just("ß"),
        Just(":s"),
        Just("::$DATA"),
        Just("a"),
        Just(".git"),
        Just("UNC"),
        Just("wsl$"),
        Just("Volume{0}"),
        Just("\u{212a}"),
        Just("*"),
    ];
    prop::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(20_261_124), cases: 2_000, ..ProptestConfig::default() })]

    /// No text makes the parser panic, and whatever it reads is in normal form: it reads itself the same again.
    #[test]
    fn what_is_read_reads_itself_the_same(text in spelling()) {
        let base = path(r"C:\Users\mia");
        if let Ok(Parsed::Drive { path, .. }) = parse(&text, Some(&base)) {
            let exact = path.exact().into_owned();
            let again = WinPath::absolute(&exact);
            prop_assert!(again.as_ref().is_ok_and(|again| again.as_str() == path.as_str()), "{text:?} {path:?} {exact:?} {again:?}");
            prop_assert!(path.components().all(|name| !matches!(name, "" | "." | "..") && !name.contains(['/', ':'])), "{path}");
            prop_assert!(path.parent().is_none_or(|parent| path.is_below(&parent)));
        }
    }
}
