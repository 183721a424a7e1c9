//! The two known holes of a write-restricted token, each open once its fix is switched off and closed with it.

mod support;

use std::collections::BTreeSet;

use codex_sandbox_windows::plan::data::{Change, Purpose, Wall};
use codex_sandbox_windows::plan::{Facts, Policy, WinPath, WindowsPlan};
use codex_sandbox_windows::prove::{Row, Status, SubjectKind};
use nt_security::token::integrity;
use support::{elevated, example, planned, proved, unelevated};

const APP: &str = r"C:\Users\mia\src\app";

fn with(host: &str, policy: &Policy) -> (Facts, WindowsPlan) {
    let facts = example(host);
    let plan = planned(policy, &facts);
    (facts, plan)
}

fn violations(plan: &WindowsPlan, facts: &Facts) -> Vec<Row> {
    proved(plan, facts).violations().cloned().collect()
}

fn holes(rows: &[Row]) -> Vec<&Row> {
    rows.iter().filter(|row| row.status == Status::Hole).collect()
}

/// openai/codex 32915: a write-restricted token of the same user deletes whatever lies in a folder on which the user has
/// FILE_DELETE_CHILD, because the second check does not look at that right. The integrity level is what refuses it.
#[test]
fn deletion_through_file_delete_child_without_the_integrity_level() {
    let (facts, mut plan) = with("developer-laptop", &unelevated());
    assert!(violations(&plan, &facts).is_empty(), "with the level there is no hole");
    plan.token.integrity = integrity::MEDIUM;
    let rows = violations(&plan, &facts);
    let holes = holes(&rows);
    // Every hole in a file is a removal, but for folders that Everyone may write, where the plan says that the label holds alone.
    let open: Vec<_> = plan.walls.single.iter().filter(|single| single.holds == Wall::Label).collect();
    let is_open = |row: &Row| {
        WinPath::absolute(&row.object).is_ok_and(|path| open.iter().any(|open| path.is_in(&open.path)))
    };
    let of_files = holes.iter().filter(|row| row.kind != SubjectKind::KernelObject && !is_open(row));
    let ops: BTreeSet<&str> = of_files.map(|row| row.op.as_str()).collect();
    // To replace a file takes the right to add one to its folder, which the second check looks at.
    assert_eq!(ops, BTreeSet::from(["delete", "rename-away"]));
    // What is left is memory of the user's other programs, which the level keeps too.
    let of_objects = holes.iter().filter(|row| row.kind == SubjectKind::KernelObject);
    let ops: BTreeSet<&str> = of_objects.map(|row| row.op.as_str()).collect();
    assert_eq!(ops, BTreeSet::from(["read-memory"]));
    let inside = |row: &&&Row| row.object.starts_with(&format!("{APP}\\"));
    assert_eq!(holes.iter().find(inside), None, "inside the root the DACLs hold");
    for (object, op) in [
        (r"C:\Users\mia\.ssh\id_ed25519", "delete"),
        (r"C:\Users\mia\.gitconfig", "rename-away"),
        (r"C:\Users\mia\Documents", "rename-away"),
        (APP, "rename-away"),
    ] {
        assert!(holes.iter().any(|row| row.object == object && row.op == op), "{op} {object}");
    }
    // Nothing else is wrong, but for the wall that was taken down.
    for row in rows.iter().filter(|row| row.status != Status::Hole) {
        assert_eq!(row.status, Status::WallMissing { wall: "label".to_owned() }, "{row:?}");
    }
}

/// In the elevated tier the account has no such right, so the level is a second wall and no more.
#[test]
fn deletion_in_the_elevated_tier_does_not_hang_on_the_level() {
    let (facts, mut plan) = with("managed-domain", &elevated());
    assert!(violations(&plan, &facts).is_empty());
    plan.token.integrity = integrity::MEDIUM;
    assert_eq!(holes(&violations(&plan, &facts)), Vec::<&Row>::new());
}

/// Inside a root, where the command's level may write, the deny of FILE_DELETE_CHILD keeps `.git` from being deleted.
#[test]
fn deletion_of_git_through_the_root_without_level_and_without_the_deny() {
    let (facts, mut plan) = with("developer-laptop", &unelevated());
    plan.token.integrity = integrity::MEDIUM;
    plan.aces.retain(|ace| ace.purpose != Purpose::DeleteChild);
    let rows = violations(&plan, &facts);
    let git = format!(r"{APP}\.git");
    assert!(holes(&rows).iter().any(|row| row.object == git && row.op == "rename-away"), "{rows:#?}");
}

/// A folder with a protected name somewhere below could be renamed away as a whole, and another one put in its place.
#[test]
fn renaming_a_parent_of_a_nested_protected_name_without_the_pins() {
    let (facts, mut plan) = with("developer-laptop", &unelevated());
    assert!(violations(&plan, &facts).is_empty(), "with the pins there is no hole");
    let pinned: BTreeSet<String> = plan.pins.iter().map(ToString::to_string).collect();
    assert_eq!(pinned, BTreeSet::from([format!(r"{APP}\vendor"), format!(r"{APP}\vendor\lib")]));
    plan.aces.retain(|ace| ace.purpose != Purpose::Pin || !plan.pins.contains(&ace.path));
    let rows = violations(&plan, &facts);
    let found: BTreeSet<(String, String)> =
        rows.iter().map(|row| (row.object.clone(), row.op.clone())).collect();
    let wanted =
        pinned.iter().flat_map(|path| ["delete", "rename-away"].map(|op| (path.clone(), op.to_owned())));
    assert_eq!(found, wanted.collect(), "{rows:#?}");
    for row in &rows {
        assert_eq!((row.kind, &row.status), (SubjectKind::Pinned, &Status::Hole));
    }
}

/// Each pin is needed by itself.
#[test]
fn renaming_one_parent_without_its_pin() {
    let (facts, plan) = with("developer-laptop", &unelevated());
    for pin in &plan.pins {
        let mut plan = plan.clone();
        plan.aces.retain(|ace| ace.purpose != Purpose::Pin || ace.path != *pin);
        let rows = violations(&plan, &facts);
        assert!(!rows.is_empty() && rows.iter().all(|row| row.object == pin.as_str()), "{rows:#?}");
    }
}

/// The tests above take away what the plan adds, not what was there.
#[test]
fn pins_and_denies_are_the_plans_own() {
    let (_, plan) = with("developer-laptop", &unelevated());
    let ours = [Purpose::Pin, Purpose::DeleteChild];
    let all: Vec<_> = plan.aces.iter().filter(|ace| ours.contains(&ace.purpose)).collect();
    assert!(all.len() >= 4 && all.iter().all(|ace| ace.change == Change::Add), "{all:#?}");
}
