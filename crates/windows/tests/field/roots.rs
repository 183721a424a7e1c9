//! Which folders become writable, what stays closed in them, and what is left behind.

use codex_sandbox_policy::{GitMode, Policy};
use codex_sandbox_windows::plan::data::{Change, Purpose, Refusal, RootState};
use codex_sandbox_windows::plan::facts::{Facts, NodeKind, Volume, VolumeKind};
use codex_sandbox_windows::plan::{MAX_ROOTS, PlanError, WinPath, WindowsPlan, plan};
use codex_sandbox_windows::prove::{Says, facts_after};
use nt_security::{Ace, Sid};

use super::support::{
    assert_holds, describe, elevated, example, file, find, folder, path, planned, proved, unelevated, written,
};

/// The workspace of the laptop.
const APP: &str = r"C:\Users\mia\src\app";
/// The workspace on D:.
const ENGINE: &str = r"D:\work\engine";

/// Why a folder is no writable root; fails if it is one.
fn refusal<'a>(plan: &'a WindowsPlan, typed: &str) -> &'a Refusal {
    let root = plan.roots.iter().find(|root| root.typed == typed).expect("the root was asked for");
    match &root.state {
        RootState::ReadOnly(refusal) | RootState::Refused(refusal) => refusal,
        other => panic!("{typed} is {other:?}"),
    }
}

fn granted(plan: &WindowsPlan) -> Vec<&WinPath> {
    let granted = plan.roots.iter().filter(|root| root.state == RootState::Granted);
    granted.filter_map(|root| root.path.as_ref()).collect()
}

fn laptop_at(cwd: &str) -> Facts {
    Facts { cwd: cwd.to_owned(), ..example("developer-laptop") }
}

#[test]
fn field_4_a_root_of_administrators_is_read_only_and_named_with_its_remedy() {
    let facts = example("administrators-drive");
    let policy = Policy { writable_roots: vec![written(r"D:\out")], ..unelevated() };
    let plan = planned(&policy, &facts);
    let refusal = refusal(&plan, ENGINE);
    assert_eq!(refusal.code, "root-no-write-dac");
    assert!(refusal.reason.contains(ENGINE) && refusal.reason.contains("WRITE_DAC"), "{refusal:?}");
    assert!(refusal.reason.contains("Administrators"), "{refusal:?}");
    assert!(refusal.remedy.contains("icacls") && refusal.remedy.contains(ENGINE), "{refusal:?}");
    assert!(plan.notices.iter().any(|notice| notice.contains(ENGINE)), "{:?}", plan.notices);
    // One failing path does not stop the rest.
    assert!(granted(&plan).contains(&&path(r"D:\out")));
    assert_eq!(find(&proved(&plan, &facts), r"D:\out\report.txt", "write").verdict, Says::Allow);
    assert_holds(&plan, &facts);
}

#[test]
fn field_4_a_root_that_belongs_to_a_sid_of_another_computer() {
    let mut facts = laptop_at(r"C:\old");
    let sddl = "O:S-1-5-21-77-88-99-1001D:PAI(A;OICI;FA;;;S-1-5-21-77-88-99-1001)(A;OICI;0x1301bf;;;BU)";
    describe(&mut facts, r"C:\old", NodeKind::Folder, Some(sddl));
    let plan = planned(&unelevated(), &facts);
    let refusal = refusal(&plan, r"C:\old");
    assert_eq!(refusal.code, "root-no-write-dac");
    assert!(refusal.reason.contains("S-1-5-21-77-88-99-1001"), "{refusal:?}");
    assert!(plan.aces.iter().all(|ace| !ace.path.is_in(&path(r"C:\old"))));
    assert_holds(&plan, &facts);
}

#[test]
fn field_4_one_object_that_refuses_does_not_stop_the_others() {
    let mut facts = laptop_at(APP);
    let stubborn = format!(r"{APP}\stubborn.txt");
    describe(&mut facts, &stubborn, NodeKind::File, Some("O:BAD:P(A;;FA;;;BA)(A;;0x1301bf;;;BU)"));
    let plan = planned(&unelevated(), &facts);
    let skipped = plan.skipped.iter().find(|skipped| skipped.path == path(&stubborn)).expect("it is listed");
    assert!(skipped.refuses && skipped.reason.contains("WRITE_DAC"), "{skipped:?}");
    let proof = proved(&plan, &facts);
    assert_eq!(find(&proof, &stubborn, "write").verdict, Says::Deny);
    assert_eq!(find(&proof, &format!(r"{APP}\README.md"), "write").verdict, Says::Allow);
    assert!(proof.holds());
}

#[test]
fn field_8_drive_and_profile_roots_are_refused() {
    for (cwd, code) in [
        ("C:\\", "root-is-drive"),
        (r"C:\Users", "root-holds-profile"),
        (r"C:\Users\mia", "root-is-profile"),
        (r"c:\users\MIA\.", "root-is-profile"),
        (r"C:\Users\other", "root-is-profile"),
        (r"C:\Users\mia\AppData", "root-holds-state"),
        (r"C:\Users\mia\AppData\Roaming", "root-is-profile"),
        (r"C:\Users\mia\AppData\Local", "root-holds-state"),
        (r"C:\Users\mia\AppData\Local\codex-sandbox\tmp", "root-in-state"),
        (r"C:\Windows\Temp", "root-is-system"),
        (r"C:\PROGRA~1", "root-is-system"),
        (r"C:\ProgramData", "root-holds-state"),
    ] {
        let facts = laptop_at(cwd);
        let plan = planned(&unelevated(), &facts);
        assert_eq!(refusal(&plan, cwd).code, code, "{cwd}");
        let private = &plan.policy.private[0];
        let grants = plan.aces.iter().filter(|ace| ace.purpose == Purpose::Grant);
        assert!(grants.clone().all(|ace| ace.path == *private), "{cwd}: {:?}", grants.collect::<Vec<_>>());
    }
}

#[test]
fn field_8_what_a_retired_sid_left_behind_is_taken_away() {
    let mut facts = laptop_at(APP);
    let retired = Sid::constant(5, [21, 1, 2, 3, 4]);
    let own = format!("O:{user}D:AI(A;OICI;0x1301bf;;;{retired})(A;OICI;FA;;;{user})", user = facts.user.sid);
    describe(&mut facts, APP, NodeKind::Folder, Some(&own));
    facts.state.retired_sids.push(retired.into());
    let plan = planned(&unelevated(), &facts);
    let stale: Vec<_> = plan.aces.iter().filter(|ace| ace.change == Change::Remove).collect();
    assert_eq!(stale.len(), 1, "{stale:#?}");
    assert_eq!((stale[0].path.as_str(), stale[0].ace.who.0), (APP, retired));
    let after = facts_after(&plan, &facts).expect("facts that were planned with");
    let left = after
        .nodes
        .iter()
        .filter_map(|node| node.sddl.as_ref())
        .any(|sddl| sddl.contains(&retired.to_string()));
    assert!(!left, "an ACE of the retired SID is left");
}

/// A host whose letters lead to everything that is no local NTFS volume.
fn many_volumes() -> Facts {
    let mut facts = example("developer-laptop");
    let local = facts.volumes[0].clone();
    let volume = |letter: char, kind, file_system: &str, acls, target: Option<&str>| Volume {
        root: path(&format!("{letter}:\\")),
        kind,
        file_system: file_system.to_owned(),
        persistent_acls: acls,
        target: target.map(str::to_owned),
        guid: None,
        ..local.clone()
    };
    facts.volumes.extend([
        volume('G', VolumeKind::Virtual, "FAT32", true, None),
        volume('H', VolumeKind::Network, "NTFS", true, None),
        volume('J', VolumeKind::Network, "NTFS", true, Some(r"\\files\home\mia")),
        volume('R', VolumeKind::Fixed, "CryptoFS", false, None),
        volume('S', VolumeKind::Subst, "NTFS", true, Some(r"C:\Users\mia\src")),
        volume('W', VolumeKind::Network, "9P", false, Some(r"\\wsl.localhost\Ubuntu")),
    ]);
    for letter in ["E", "G", "H", "R"] {
        let root = format!("{letter}:\\");
        describe(&mut facts, &root, NodeKind::Folder, Some("O:BAD:(A;OICI;FA;;;WD)"));
        folder(&mut facts, &format!("{root}w"));
    }
    folder(&mut facts, r"C:\Users\mia\OneDrive");
    facts.nodes.last_mut().expect("just added").cloud = true;
    folder(&mut facts, r"C:\Users\mia\OneDrive\w");
    facts
}

#[test]
fn field_9_folders_without_local_acls_are_refused_at_once_with_a_reason() {
    let facts = many_volumes();
    for (typed, code) in [
        (r"\\files\home\w", "root-is-share"),
        (r"\\?\UNC\files\home\w", "root-is-share"),
        (r"\\host@SSL\DavWWWRoot\w", "root-is-share"),
        (r"\\wsl$\Ubuntu\home\w", "root-is-wsl"),
        (r"\\wsl.localhost\Ubuntu\home\w", "root-is-wsl"),
        (r"W:\home\w", "root-is-wsl"),
        (r"E:\w", "root-on-fat"),
        (r"G:\w", "root-is-virtual"),
        (r"H:\w", "root-is-share"),
        (r"J:\w", "root-is-share"),
        (r"R:\w", "root-without-acls"),
        (r"Q:\w", "root-no-drive"),
        (r"C:\Users\mia\OneDrive\w", "root-is-cloud"),
        (r"\\.\pipe\w", "root-is-device"),
        (r"C:\w\nul", "root-is-device"),
    ] {
        let facts = Facts { cwd: typed.to_owned(), ..facts.clone() };
        let plan = planned(&unelevated(), &facts);
        let refusal = refusal(&plan, typed);
        assert_eq!(refusal.code, code, "{typed}: {refusal:?}");
        assert!(!refusal.remedy.is_empty());
        assert!(plan.notices.iter().any(|notice| notice.contains(typed)), "{typed}: {:?}", plan.notices);
    }
}

#[test]
fn field_9_a_subst_drive_is_the_folder_that_it_stands_for() {
    let facts = Facts { cwd: r"S:\app".to_owned(), ..many_volumes() };
    let plan = planned(&unelevated(), &facts);
    assert!(granted(&plan).contains(&&path(APP)), "{:#?}", plan.roots);
    assert_eq!(find(&proved(&plan, &facts), &format!(r"{APP}\.git\config"), "write").verdict, Says::Deny);
}

#[test]
fn field_12_several_roots_work_in_both_tiers() {
    for (host, policy, roots) in [
        ("developer-laptop", unelevated(), [APP, r"C:\Users\mia\Documents"]),
        ("managed-domain", elevated(), [r"C:\dev\ledger", r"C:\dev\other"]),
    ] {
        let mut facts = example(host);
        if host == "managed-domain" {
            folder(&mut facts, roots[1]);
        }
        facts.cwd = roots[0].to_owned();
        let plan = planned(&Policy { writable_roots: vec![written(roots[1])], ..policy }, &facts);
        for root in roots {
            assert!(granted(&plan).contains(&&path(root)), "{host}: {:#?}", plan.roots);
        }
        let mut sids: Vec<_> = plan.write_sids.iter().map(|sid| sid.sid).collect();
        sids.sort_by_key(ToString::to_string);
        sids.dedup();
        assert_eq!(sids.len(), plan.write_sids.len(), "each root has a SID of its own");
        assert_holds(&plan, &facts);
    }
}

#[test]
fn field_17_commits_are_possible_and_what_runs_code_stays() {
    let facts = example("developer-laptop");
    let plan = planned(&Policy { git: GitMode::Commit, ..unelevated() }, &facts);
    let proof = proved(&plan, &facts);
    for (name, op, verdict) in [
        ("index", "write", Says::Allow),
        ("index", "rename-over", Says::Allow),
        ("HEAD", "write", Says::Allow),
        (r"refs\heads", "create-file", Says::Allow),
        (r"refs\heads\main", "rename-over", Says::Allow),
        ("objects", "create-folder", Says::Allow),
        ("config", "write", Says::Deny),
        ("config", "rename-over", Says::Deny),
        ("hooks", "create-file", Says::Deny),
        ("hooks", "rename-away", Says::Deny),
        (r"info\attributes", "write", Says::Deny),
        (r"objects\info\alternates", "write", Says::Deny),
    ] {
        assert_eq!(find(&proof, &format!(r"{APP}\.git\{name}"), op).verdict, verdict, "{op} {name}");
    }
    assert!(proof.holds());
}

#[test]
fn field_17_a_change_of_policy_takes_effect_both_ways() {
    let facts = example("developer-laptop");
    let protect = planned(&unelevated(), &facts);
    let facts = facts_after(&protect, &facts).expect("facts that were planned with");
    let commit = planned(&Policy { git: GitMode::Commit, ..unelevated() }, &facts);
    let index = format!(r"{APP}\.git\index");
    assert_eq!(find(&proved(&commit, &facts), &index, "write").verdict, Says::Allow);
    assert_holds(&commit, &facts);
    let facts = facts_after(&commit, &facts).expect("facts that were planned with");
    let protect = planned(&unelevated(), &facts);
    assert_eq!(find(&proved(&protect, &facts), &index, "write").verdict, Says::Deny);
    assert_holds(&protect, &facts);
}

#[test]
fn field_39_the_token_has_one_sid_for_each_root_and_there_is_a_limit() {
    let mut facts = example("developer-laptop");
    facts.random_sids = (1..200).map(|n| Sid::constant(5, [21, 7, 7, 7, n]).into()).collect();
    let roots: Vec<String> = (0..MAX_ROOTS).map(|n| format!(r"C:\Users\mia\src\root{n:02}")).collect();
    for root in &roots {
        folder(&mut facts, root);
    }
    let policy = |count: usize| Policy {
        writable_roots: roots[..count].iter().map(|root| written(root)).collect(),
        ..unelevated()
    };
    let few = planned(&policy(1), &facts).token.restricting.len();
    let more = planned(&policy(11), &facts).token.restricting.len();
    assert_eq!(more - few, 10);
    // The workspace and the private folder are roots too.
    let error = plan(&policy(MAX_ROOTS), &facts).expect_err("too many");
    assert_eq!(error, PlanError::TooManyRoots { count: MAX_ROOTS + 2, most: MAX_ROOTS });
}

#[test]
fn field_39_a_hundred_runs_leave_as_many_aces_as_two() {
    let mut facts = example("developer-laptop");
    file(&mut facts, &format!(r"{APP}\x.txt"));
    facts.random_sids = (1..300).map(|n| Sid::constant(5, [21, 7, 7, 7, n]).into()).collect();
    let aces = |facts: &Facts| {
        let all = facts.nodes.iter().filter(|node| node.path.is_in(&path(APP)));
        all.map(|node| node.sddl.as_ref().map_or(0, |sddl| sddl.matches("(").count())).collect::<Vec<_>>()
    };
    let mut after_two = None;
    for run in 0..100 {
        let git = if run % 2 == 0 { GitMode::Protect } else { GitMode::Commit };
        let plan = planned(&Policy { git, ..unelevated() }, &facts);
        facts = facts_after(&plan, &facts).expect("facts that were planned with");
        if run == 3 {
            after_two = Some((aces(&facts), facts.state.write_sids.len()));
        }
    }
    assert_eq!(Some((aces(&facts), facts.state.write_sids.len())), after_two);
}

#[test]
fn field_39_aces_of_ours_are_told_from_those_of_others_by_their_sid() {
    let facts = example("developer-laptop");
    let plan = planned(&unelevated(), &facts);
    let given: Vec<Sid> = plan.write_sids.iter().map(|sid| sid.sid.0).collect();
    let mine = facts.user.sid.0;
    for ace in plan.aces.iter().filter(|ace| ace.ace.who.0 != mine) {
        assert!(given.contains(&ace.ace.who.0), "{ace:?}");
        assert!(Ace::from_sddl(&ace.ace.ace(NodeKind::Folder).to_string()).is_ok());
    }
}
