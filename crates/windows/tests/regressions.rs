//! Cases that the properties found once, each under the name of what was wrong.

mod support;

use codex_sandbox_windows::plan::facts::Facts;
use codex_sandbox_windows::plan::{PlanError, Policy, WindowsPlan, plan};
use codex_sandbox_windows::prove::{Says, Status, facts_after};
use support::generate::{Case, Twist, build, run_elsewhere};
use support::{assert_holds, find, path, planned, proved};

/// A root in the profile, nothing special about it.
fn plain() -> Case {
    Case {
        place: 0,
        nodes: Vec::new(),
        root: (Twist::None, Twist::None),
        elevated_user: false,
        elevated_tier: false,
        labels: true,
        commit: false,
        deny_read: 0,
        roots: 0,
        read_only: false,
    }
}

const SECRET: u8 = 17;
const SECRET_KEY: u8 = 18;
const SECRET_OPEN_CODEX: u8 = 20;

/// The root of place 1, and a folder in it.
const D_SECRET: &str = r"D:\w\secret";

fn refused(facts: &Facts, policy: &Policy) -> (String, String) {
    match plan(policy, facts) {
        Err(PlanError::DenyRead { path, reason, .. }) => (path.to_string(), reason),
        other => panic!("no refusal: {other:?}"),
    }
}

fn second(first: &WindowsPlan, facts: &Facts, other: &Case) -> (Facts, WindowsPlan) {
    let mut after = facts_after(first, facts).expect("facts that were planned with");
    let policy = run_elsewhere(&mut after, other);
    let plan = planned(&policy, &after);
    (after, plan)
}

/// "You keep what you may do" failed: a deny-read label of Medium took the place of an inherited High one, which opened the folder
/// to every program of the user; when a later run took our label away, the user lost what the first run had given him.
#[test]
fn a_label_above_medium_is_not_replaced_by_ours() {
    let high = Twist::Label { level: 3, protected: false };
    let unelevated = Case {
        place: 1,
        nodes: vec![(SECRET, Twist::None)],
        root: (high, Twist::None),
        elevated_user: true,
        deny_read: 1,
        ..plain()
    };
    let (facts, policy) = build(&unelevated);
    let (at, reason) = refused(&facts, &policy);
    assert_eq!(at, D_SECRET);
    assert!(reason.contains("labelled High"), "{reason}");

    // The elevated tier keeps it by its DACL alone, and says so.
    let elevated = Case { elevated_tier: true, ..unelevated };
    let (facts, policy) = build(&elevated);
    let first = planned(&policy, &facts);
    assert!(first.labels.iter().all(|label| label.path != path(D_SECRET)), "{:#?}", first.labels);
    assert_holds(&first, &facts);
    let (after, second) = second(&first, &facts, &Case { place: 0, ..elevated });
    assert_holds(&second, &after);
}

/// The deny of a deny-read path reaches objects below an earlier root of another policy in front of what that root allows, although
/// an equal deny from further up is there already.
#[test]
fn a_nearer_deny_is_copied_though_an_equal_one_comes_from_further_up() {
    let one = Case {
        nodes: vec![(SECRET_OPEN_CODEX, Twist::None)],
        elevated_tier: true,
        labels: false,
        deny_read: 1,
        roots: 2,
        ..plain()
    };
    let (facts, policy) = build(&one);
    let first = planned(&policy, &facts);
    let (after, second) = second(&first, &facts, &Case { nodes: Vec::new(), roots: 0, ..one });
    assert_holds(&second, &after);
}

/// A file that the facts do not list, that an administrator made, and whose descriptor the launcher may not change, would have been
/// read: there is no plan.
#[test]
fn files_that_the_launcher_cannot_close_are_no_plan() {
    let case = Case {
        place: 1,
        nodes: vec![(SECRET, Twist::Owner { who: 3 })],
        root: (Twist::Ace { who: 0, mask: 0, scope: 1, deny: true }, Twist::None),
        elevated_tier: true,
        labels: false,
        deny_read: 1,
        ..plain()
    };
    let (facts, policy) = build(&case);
    let (at, reason) = refused(&facts, &policy);
    assert_eq!(at, D_SECRET);
    assert!(reason.starts_with("of what lies in it"), "{reason}");
}

/// A folder that inherits nothing gets a read grant of its own, which came down to a file that the user denies himself.
#[test]
fn what_you_may_not_read_is_not_given_below_a_folder_that_inherits_nothing() {
    let own_deny = Twist::Ace { who: 0, mask: 8, scope: 0, deny: true };
    let case = Case {
        nodes: vec![(SECRET_KEY, own_deny), (SECRET, Twist::Protected { who: 0, mask: 0, copy: false })],
        root: (Twist::Null, Twist::Null),
        elevated_tier: true,
        labels: false,
        ..plain()
    };
    let (facts, policy) = build(&case);
    assert_holds(&planned(&policy, &facts), &facts);
}

/// What you make in `.git\hooks` you deny yourself, so that the launcher cannot label it: the DACL alone keeps it, and the proof says so
/// of files that the facts do not list too.
#[test]
fn files_that_the_launcher_cannot_label_are_kept_by_their_dacl() {
    let (hooks, deny) = (2, Twist::Ace { who: 7, mask: 8, scope: 1, deny: true });
    let low = Twist::Label { level: 0, protected: false };
    let case = Case { nodes: vec![(hooks, deny)], root: (low, Twist::None), labels: false, ..plain() };
    let (facts, policy) = build(&case);
    let plan = planned(&policy, &facts);
    assert_holds(&plan, &facts);
    let row = find(&proved(&plan, &facts), r"C:\Users\mia\w\.git\hooks\~probe", "change-dacl").clone();
    assert_eq!((row.policy, row.verdict), (Says::Deny, Says::Deny));
    assert!(matches!(row.status, Status::OneWall { .. }), "{row:?}");
}

/// Where you have Modify by a group, you may not label what you make: files that inherited the label of a deny-read path keep it when
/// the path is not denied any more. Those that the facts do not list the enforcement meets.
#[test]
fn labels_that_cannot_be_taken_back_are_no_surprise() {
    let deny = Twist::Ace { who: 0, mask: 0, scope: 0, deny: true };
    let allow = Twist::Ace { who: 0, mask: 0, scope: 0, deny: false };
    let one = Case {
        place: 1,
        nodes: vec![(SECRET, allow)],
        root: (Twist::None, deny),
        elevated_tier: true,
        deny_read: 1,
        ..plain()
    };
    let (facts, policy) = build(&one);
    let first = planned(&policy, &facts);
    let (after, second) = second(&first, &facts, &Case { labels: false, ..plain() });
    assert_holds(&second, &after);
    let row = find(&proved(&second, &after), r"D:\w\secret\~probe.txt", "read").clone();
    assert_eq!(row.status, Status::Stricter { limit: "labelled".to_owned() });
}
