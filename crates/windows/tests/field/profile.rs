//! What the command reads of the profile, what the user keeps, and temporary folders.

use codex_sandbox_policy::Policy;
use codex_sandbox_windows::plan::apply::allows;
use codex_sandbox_windows::plan::data::{By, LimitKind, Purpose, RootState, Tier};
use codex_sandbox_windows::plan::facts::{Facts, Node, NodeKind};
use codex_sandbox_windows::plan::{WindowsPlan, inherit};
use codex_sandbox_windows::prove::{Says, Status, SubjectKind, World};
use nt_security::AccessMask;

use super::support::{
    assert_holds, describe, elevated, example, find, folder, path, planned, proved, unelevated, written,
};

const LEDGER: &str = r"C:\dev\ledger";
const PROFILE: &str = r"C:\Users\j.müller";

#[test]
fn field_5_what_the_account_creates_stays_yours() {
    let facts = example("managed-domain");
    let plan = planned(&elevated(), &facts);
    let world = World::new(&plan, &facts).expect("facts that were planned with");
    for kind in [NodeKind::Folder, NodeKind::File] {
        let root = &world.after.get(&path(LEDGER)).expect("the root").descriptor;
        let made = inherit::created(root, kind, &world.child);
        assert_eq!(made.owner, Some(plan.account.sid.0), "another account owns it");
        for right in
            [AccessMask::WRITE_DAC, AccessMask::DELETE, AccessMask::WRITE_OWNER, AccessMask::FILE_WRITE_DATA]
        {
            assert!(allows(&world.user, &made, right), "you have no {right:?} on a new {kind:?}");
        }
        assert!(!allows(&world.child, &made, AccessMask::WRITE_DAC), "the command rewrites DACLs");
    }
    assert_holds(&plan, &facts);
}

#[test]
fn field_5_a_git_folder_that_the_account_owns_since_an_earlier_run() {
    let mut facts = example("managed-domain");
    let account = facts.setup.offline.expect("set up");
    let git = format!(r"{LEDGER}\.git");
    let user = facts.user.sid;
    let sddl = format!("O:{account}D:AI(A;OICIID;FA;;;{user})(A;OICIID;FA;;;SY)(A;OICIID;0x1301bf;;;AU)");
    describe(&mut facts, &git, NodeKind::Folder, Some(&sddl));
    let plan = planned(&elevated(), &facts);
    let proof = proved(&plan, &facts);
    assert_eq!(find(&proof, &git, "change-dacl").verdict, Says::Deny);
    assert_eq!(find(&proof, &git, "list").verdict, Says::Allow);
    assert!(proof.holds(), "{:#?}", proof.violations().collect::<Vec<_>>());
    // Git refuses repositories of another owner, unless it is told.
    let told = plan
        .environment
        .set
        .iter()
        .any(|(name, value)| name.starts_with("GIT_CONFIG_VALUE") && value == "C:/dev/ledger");
    assert!(told, "{:?}", plan.environment.set);
}

#[test]
fn field_7_tools_in_the_profile_run_and_the_way_to_them_is_seen() {
    let facts = example("managed-domain");
    let plan = planned(&elevated(), &facts);
    let proof = proved(&plan, &facts);
    let python = format!(r"{PROFILE}\AppData\Local\Programs\Python\python.exe");
    for op in ["read", "execute"] {
        assert_eq!(find(&proof, &python, op).verdict, Says::Allow, "{op}");
    }
    for above in [PROFILE.to_owned(), format!(r"{PROFILE}\AppData"), format!(r"{PROFILE}\AppData\Local")] {
        assert_eq!(find(&proof, &above, "read-attributes").verdict, Says::Allow, "{above}");
        let seen = plan.aces.iter().find(|ace| ace.path == path(&above)).expect("a right on the way");
        assert_eq!((seen.purpose, seen.by), (Purpose::Ancestor, By::Setup));
    }
    assert_eq!(find(&proof, &python, "write").verdict, Says::Deny);
}

#[test]
fn field_7_a_folder_that_inherits_nothing_is_given_by_name() {
    let facts = example("managed-domain");
    let proof = proved(&planned(&elevated(), &facts), &facts);
    assert_eq!(find(&proof, &format!(r"{PROFILE}\private\diary.txt"), "read").verdict, Says::Allow);
}

#[test]
fn field_7_secrets_are_not_given_and_that_is_said() {
    let facts = example("managed-domain");
    let plan = planned(&elevated(), &facts);
    let proof = proved(&plan, &facts);
    for secret in [r".ssh\id_ed25519", r"AppData\Local\Google\Chrome\User Data\Cookies"] {
        assert_eq!(find(&proof, &format!(r"{PROFILE}\{secret}"), "read").verdict, Says::Deny, "{secret}");
    }
    assert!(plan.stricter.iter().any(|limit| limit.kind == LimitKind::Secret));
}

#[test]
fn field_7_the_unelevated_tier_reads_what_you_read() {
    let facts = example("developer-laptop");
    let proof = proved(&planned(&unelevated(), &facts), &facts);
    for name in [".gitconfig", r".ssh\id_ed25519"] {
        assert_eq!(find(&proof, &format!(r"C:\Users\mia\{name}"), "read").verdict, Says::Allow, "{name}");
    }
}

/// A read grant that a folder passes on would have ended the default DACL of what you make there later.
#[test]
fn field_7_a_read_grant_takes_nothing_from_what_you_make_later() {
    let mut facts = example("managed-domain");
    let user = facts.user.sid;
    let own = format!(r"{PROFILE}\own");
    describe(&mut facts, &own, NodeKind::Folder, Some(&format!("O:{user}D:P(A;;FA;;;{user})")));
    let plan = planned(&elevated(), &facts);
    let world = World::new(&plan, &facts).expect("facts that were planned with");
    let made = inherit::created(
        &world.after.get(&path(&own)).expect("it is there").descriptor,
        NodeKind::File,
        &world.user,
    );
    assert!(allows(&world.user, &made, AccessMask::FILE_WRITE_DATA), "{}", made.to_sddl());
    assert_eq!(find(&proved(&plan, &facts), &own, "list").verdict, Says::Allow);
    assert_holds(&plan, &facts);
}

/// Paths below an `.ssh` folder that a plan would touch.
fn touched_ssh(plan: &WindowsPlan) -> Vec<String> {
    let aces = plan.aces.iter().map(|ace| &ace.path);
    let all = aces.chain(plan.labels.iter().map(|label| &label.path));
    let ssh = all.filter(|path| path.components().any(|name| name.eq_ignore_ascii_case(".ssh")));
    ssh.map(ToString::to_string).collect()
}

#[test]
fn field_28_nothing_is_added_below_ssh() {
    for (host, policy) in [
        ("developer-laptop", unelevated()),
        ("managed-domain", unelevated()),
        ("managed-domain", elevated()),
        ("administrators-drive", unelevated()),
    ] {
        let mut facts = example(host);
        let root = if host == "managed-domain" { LEDGER } else { r"C:\Users\mia\src\app" };
        if host != "administrators-drive" {
            folder(&mut facts, &format!(r"{root}\.SSH"));
            describe(&mut facts, &format!(r"{root}\.SSH\deploy_key"), NodeKind::File, None);
        }
        let plan = planned(&policy, &facts);
        assert_eq!(touched_ssh(&plan), Vec::<String>::new(), "{host}");
        assert_holds(&plan, &facts);
    }
}

#[test]
fn field_28_a_link_to_ssh_is_no_way_round() {
    let mut facts = example("developer-laptop");
    let link = path(r"C:\Users\mia\src\keys");
    let target = Some(r"C:\Users\mia\.ssh".to_owned());
    facts.nodes.push(Node { target, ..Node::new(link, NodeKind::Junction) });
    let policy = Policy { writable_roots: vec![written(r"C:\Users\mia\src\keys")], ..unelevated() };
    let plan = planned(&policy, &facts);
    let root = plan.roots.iter().find(|root| root.typed.ends_with("keys")).expect("it was asked for");
    assert!(matches!(&root.state, RootState::Refused(refusal) if refusal.code == "root-in-ssh"), "{root:?}");
    assert_eq!(touched_ssh(&plan), Vec::<String>::new());
}

fn temp_of(facts: &Facts, plan: &WindowsPlan) -> String {
    let private = plan.policy.private[0].to_string();
    for name in ["TEMP", "TMP", "TMPDIR"] {
        assert_eq!(plan.environment.set.get(name), Some(&private));
    }
    assert!(!private.eq_ignore_ascii_case(facts.folders.temp.as_str()));
    private
}

#[test]
fn field_29_temporary_files_are_made_replaced_and_removed() {
    for (host, policy) in [("developer-laptop", unelevated()), ("managed-domain", elevated())] {
        let facts = example(host);
        let plan = planned(&policy, &facts);
        let private = temp_of(&facts, &plan);
        let proof = proved(&plan, &facts);
        for op in ["create-file", "create-folder"] {
            assert_eq!(find(&proof, &private, op).verdict, Says::Allow, "{host} {op}");
        }
        let nested = format!(r"{private}\~new\~new.txt");
        for op in ["write", "delete", "rename-away", "rename-over"] {
            assert_eq!(find(&proof, &nested, op).verdict, Says::Allow, "{host} {op}");
        }
        // The host's own stays as it is.
        let own = facts.folders.temp.as_str();
        assert_eq!(find(&proof, own, "create-file").verdict, Says::Deny, "{host}");
    }
}

#[test]
fn field_29_a_folder_for_its_owner_alone() {
    for (host, policy, verdict) in
        [("developer-laptop", unelevated(), Says::Deny), ("managed-domain", elevated(), Says::Allow)]
    {
        let facts = example(host);
        let plan = planned(&policy, &facts);
        let proof = proved(&plan, &facts);
        let row =
            proof.rows.iter().find(|row| row.kind == SubjectKind::NewOwnerOnly && row.op == "create-file");
        let row = row.expect("it is asked about");
        assert_eq!(row.verdict, verdict, "{host}");
        // Where it does not work the plan says so.
        assert_eq!(matches!(row.status, Status::Stricter { .. }), plan.tier == Tier::Unelevated, "{row:?}");
        assert!(!row.status.is_violation(), "{row:?}");
    }
}
