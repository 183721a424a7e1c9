//! Each part of a plan is needed: plans with one part changed, each of which the proof must find.

mod support;

use std::path::Path;

use codex_sandbox_policy::{GitMode, Policy};
use codex_sandbox_windows::plan::data::{
    Applies, Change, Effect, GapKind, MaskText, Purpose, RestrictingKind, TokenFlag, WfpCondition,
};
use codex_sandbox_windows::plan::facts::{Facts, NodeKind};
use codex_sandbox_windows::plan::{WinPath, WindowsPlan};
use nt_security::{AccessMask, Sid, well_known};
use support::{describe, elevated, example, path, planned, proved, unelevated, written};

/// Where a mutant is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    /// The laptop, unelevated, with a deny-read path.
    Laptop,
    /// The same with `git = commit`.
    Commit,
    /// The laptop of an elevated administrator.
    Administrator,
    /// A root that grants Everyone full control, with an explicit grant further down.
    Shared,
    /// The domain machine, elevated tier.
    Domain,
    /// The domain machine as it is: you have Modify by a group, and what you have as the owner.
    DomainModify,
    /// The domain machine with a root that grants Everyone full control.
    DomainShared,
    /// The domain machine with a network.
    Online,
}

fn host(host: Host) -> (Facts, Policy) {
    match host {
        Host::Laptop => (example("developer-laptop"), laptop_policy()),
        Host::Commit => (example("developer-laptop"), Policy { git: GitMode::Commit, ..laptop_policy() }),
        Host::Administrator => {
            let mut facts = example("developer-laptop");
            facts.user.integrity = nt_security::token::integrity::HIGH;
            facts.user.privileges.push("SeTakeOwnershipPrivilege".to_owned());
            facts.user.groups.iter_mut().for_each(|group| group.deny_only = false);
            (facts, laptop_policy())
        }
        Host::Shared => (shared(), unelevated()),
        Host::Domain => (domain(), domain_policy()),
        Host::DomainModify => (example("managed-domain"), elevated()),
        Host::DomainShared => {
            let mut facts = domain();
            let user = facts.user.sid;
            let open = format!("O:{user}D:PAI(A;OICI;FA;;;{user})(A;OICI;FA;;;SY)(A;OICI;FA;;;WD)");
            describe(&mut facts, LEDGER, NodeKind::Folder, Some(&open));
            (facts, elevated())
        }
        Host::Online => (domain(), Policy { network_access: true, ..domain_policy() }),
    }
}

fn laptop_policy() -> Policy {
    Policy { deny_read: vec![written("secrets")], ..unelevated() }
}

fn shared() -> Facts {
    let mut facts = example("developer-laptop");
    let user = facts.user.sid;
    let open = format!("O:{user}D:PAI(A;OICI;FA;;;{user})(A;OICI;FA;;;SY)(A;OICI;FA;;;WD)");
    describe(&mut facts, r"C:\Users\mia\src\app", NodeKind::Folder, Some(&open));
    facts
}

/// The domain machine with a file that the user may not write, a deny-read path and a folder of another user's making.
fn domain() -> Facts {
    let mut facts = example("managed-domain");
    let user = facts.user.sid;
    let own = format!("O:{user}D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{user})");
    describe(&mut facts, r"C:\dev", NodeKind::Folder, Some(&own));
    let frozen = format!("O:{user}D:AI(D;;0x116;;;{user})(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;{user})");
    describe(&mut facts, r"C:\dev\ledger\frozen.txt", NodeKind::File, Some(&frozen));
    describe(&mut facts, r"C:\dev\ledger\keys", NodeKind::Folder, None);
    facts
}

fn domain_policy() -> Policy {
    Policy { deny_read: vec![written("keys")], ..elevated() }
}

/// A change to a plan.
type Mutate = fn(&mut WindowsPlan);

const APP: &str = r"C:\Users\mia\src\app";
const LEDGER: &str = r"C:\dev\ledger";

fn at(end: &str) -> WinPath {
    if end.is_empty() { path(APP) } else { path(APP).join(end) }
}

fn ledger(end: &str) -> WinPath {
    if end.is_empty() { path(LEDGER) } else { path(LEDGER).join(end) }
}

fn drop_ace(plan: &mut WindowsPlan, path: &WinPath, purpose: Purpose) {
    let before = plan.aces.len();
    plan.aces.retain(|ace| ace.path != *path || ace.purpose != purpose);
    assert!(plan.aces.len() < before, "nothing to drop at {path} for {purpose:?}");
}

fn change_ace(plan: &mut WindowsPlan, path: &WinPath, purpose: Purpose, change: impl Fn(&mut AceChangeOf)) {
    let mut changed = 0;
    for ace in plan.aces.iter_mut().filter(|ace| ace.path == *path && ace.purpose == purpose) {
        let mut of = AceChangeOf { mask: ace.ace.mask.0, applies: ace.ace.applies, effect: ace.ace.effect };
        change(&mut of);
        (ace.ace.mask, ace.ace.applies, ace.ace.effect) = (MaskText(of.mask), of.applies, of.effect);
        changed += 1;
    }
    assert!(changed > 0, "nothing to change at {path} for {purpose:?}");
}

/// What of an ACE is changed.
struct AceChangeOf {
    mask: AccessMask,
    applies: Applies,
    effect: Effect,
}

fn without(plan: &mut WindowsPlan, path: &WinPath, purpose: Purpose, rights: AccessMask) {
    change_ace(plan, path, purpose, |ace| {
        assert!(ace.mask.contains(rights));
        ace.mask = ace.mask.without(rights);
    });
}

fn drop_label(plan: &mut WindowsPlan, path: &WinPath) {
    let before = plan.labels.len();
    plan.labels.retain(|label| label.path != *path);
    assert!(plan.labels.len() < before, "no label at {path}");
}

fn set_level(plan: &mut WindowsPlan, path: &WinPath, level: u32) {
    let label = plan.labels.iter_mut().find(|label| label.path == *path).expect("a label");
    label.label.level = level;
}

fn restrict_by(plan: &mut WindowsPlan, sid: Sid) {
    let mut entry = plan.token.restricting[0].clone();
    entry.sid = Some(sid.into());
    plan.token.restricting.push(entry);
}

fn do_not_restrict_by(plan: &mut WindowsPlan, kind: RestrictingKind) {
    plan.token.restricting.retain(|entry| entry.kind != kind);
}

fn drop_flag(plan: &mut WindowsPlan, flag: TokenFlag) {
    plan.token.flags.retain(|other| *other != flag);
}

/// The grant of the whole profile: adds it as a root would have it.
fn read_all(plan: &mut WindowsPlan, at: &WinPath) {
    change_ace(plan, at, Purpose::Ancestor, |ace| ace.applies = Applies::Tree);
}

const MUTANTS: &[(&str, Host, Mutate)] = &[
    ("no deny on .git", Host::Laptop, |plan| drop_ace(plan, &at(".git"), Purpose::Protect)),
    ("no deny on a nested .git", Host::Laptop, |plan| {
        drop_ace(plan, &at(r"vendor\lib\.git"), Purpose::Protect);
    }),
    ("no deny on the placeholder .codex", Host::Laptop, |plan| {
        drop_ace(plan, &at(".codex"), Purpose::Protect);
    }),
    ("deny on .git for it alone", Host::Laptop, |plan| {
        change_ace(plan, &at(".git"), Purpose::Protect, |ace| ace.applies = Applies::This);
    }),
    ("deny on .git without DELETE", Host::Laptop, |plan| {
        without(plan, &at(".git"), Purpose::Protect, AccessMask::DELETE);
    }),
    ("deny on .git without FILE_WRITE_ATTRIBUTES", Host::Laptop, |plan| {
        without(plan, &at(".git"), Purpose::Protect, AccessMask::FILE_WRITE_ATTRIBUTES);
    }),
    ("deny on .git without FILE_WRITE_EA", Host::Laptop, |plan| {
        without(plan, &at(".git"), Purpose::Protect, AccessMask::FILE_WRITE_EA);
    }),
    ("deny on .git without FILE_APPEND_DATA", Host::Laptop, |plan| {
        without(plan, &at(".git"), Purpose::Protect, AccessMask::FILE_APPEND_DATA);
    }),
    ("deny on .git without FILE_WRITE_DATA", Host::Laptop, |plan| {
        without(plan, &at(".git"), Purpose::Protect, AccessMask::FILE_WRITE_DATA);
    }),
    ("deny on .git for you, with SYNCHRONIZE and READ_CONTROL", Host::Laptop, |plan| {
        change_ace(plan, &at(".git"), Purpose::Protect, |ace| ace.mask |= AccessMask::FILE_GENERIC_WRITE);
        plan.aces.iter_mut().filter(|ace| ace.path == at(".git")).for_each(|ace| ace.ace.who = user());
    }),
    ("no label on .git", Host::Laptop, |plan| drop_label(plan, &at(".git"))),
    ("no label on the placeholder .agents", Host::Laptop, |plan| drop_label(plan, &at(".agents"))),
    ("no label on the root", Host::Laptop, |plan| drop_label(plan, &at(""))),
    ("root labelled Low", Host::Laptop, |plan| set_level(plan, &at(""), 4096)),
    ("root labelled Medium", Host::Laptop, |plan| set_level(plan, &at(""), 8192)),
    ("label of the root for it alone", Host::Laptop, |plan| {
        plan.labels
            .iter_mut()
            .filter(|label| label.path == at(""))
            .for_each(|label| label.label.applies = Applies::This);
    }),
    ("no label on a deny-read path", Host::Laptop, |plan| drop_label(plan, &at("secrets"))),
    ("label of a deny-read path without no-read-up", Host::Laptop, |plan| {
        plan.labels.iter_mut().filter(|label| label.path == at("secrets")).for_each(|label| {
            label.label.no_read_up = false;
        });
    }),
    ("no deny of FILE_DELETE_CHILD on the root", Host::Laptop, |plan| {
        drop_ace(plan, &at(""), Purpose::DeleteChild);
    }),
    ("deny of FILE_DELETE_CHILD on the root for it alone", Host::Laptop, |plan| {
        change_ace(plan, &at(""), Purpose::DeleteChild, |ace| ace.applies = Applies::This);
    }),
    ("no pin on the parent of a nested .git", Host::Laptop, |plan| {
        drop_ace(plan, &at(r"vendor\lib"), Purpose::Pin);
    }),
    ("no pin further up", Host::Laptop, |plan| drop_ace(plan, &at("vendor"), Purpose::Pin)),
    ("no pin on the root", Host::Laptop, |plan| drop_ace(plan, &at(""), Purpose::Pin)),
    ("no grant on the root", Host::Laptop, |plan| drop_ace(plan, &at(""), Purpose::Grant)),
    ("grant on the root for it alone", Host::Laptop, |plan| {
        change_ace(plan, &at(""), Purpose::Grant, |ace| ace.applies = Applies::This);
    }),
    ("grant without DELETE", Host::Laptop, |plan| without(plan, &at(""), Purpose::Grant, AccessMask::DELETE)),
    ("grant without reading (mixed requests)", Host::Laptop, |plan| {
        without(plan, &at(""), Purpose::Grant, AccessMask::FILE_READ_DATA);
    }),
    ("grant without SYNCHRONIZE", Host::Laptop, |plan| {
        without(plan, &at(""), Purpose::Grant, AccessMask::SYNCHRONIZE);
    }),
    ("grant without FILE_WRITE_ATTRIBUTES", Host::Laptop, |plan| {
        without(plan, &at(""), Purpose::Grant, AccessMask::FILE_WRITE_ATTRIBUTES);
    }),
    ("grant with full control and no deny of WRITE_DAC", Host::Laptop, |plan| {
        drop_ace(plan, &at(""), Purpose::Control);
        change_ace(plan, &at(""), Purpose::Grant, |ace| ace.mask = AccessMask::FILE_ALL_ACCESS);
    }),
    ("no deny of WRITE_DAC in a root of Everyone's", Host::Shared, |plan| {
        drop_ace(plan, &at(""), Purpose::Control);
    }),
    ("no pin on a root of Everyone's", Host::Shared, |plan| drop_ace(plan, &at("vendor"), Purpose::Pin)),
    ("Medium integrity", Host::Laptop, |plan| plan.token.integrity = 8192),
    ("Low integrity", Host::Laptop, |plan| plan.token.integrity = 4096),
    ("no WRITE_RESTRICTED", Host::Laptop, |plan| drop_flag(plan, TokenFlag::WriteRestricted)),
    ("no DISABLE_MAX_PRIVILEGE", Host::Laptop, |plan| drop_flag(plan, TokenFlag::DisableMaxPrivilege)),
    ("no LUA_TOKEN for an elevated administrator", Host::Administrator, |plan| {
        drop_flag(plan, TokenFlag::LuaToken);
    }),
    ("Users among the restricting SIDs", Host::Laptop, |plan| restrict_by(plan, well_known::USERS)),
    ("Authenticated Users among the restricting SIDs", Host::Domain, |plan| {
        restrict_by(plan, well_known::AUTHENTICATED_USERS);
    }),
    ("INTERACTIVE among the restricting SIDs", Host::Laptop, |plan| {
        restrict_by(plan, well_known::INTERACTIVE);
    }),
    ("the user among the restricting SIDs", Host::Laptop, |plan| restrict_by(plan, user().0)),
    ("no write SID in the token", Host::Laptop, |plan| do_not_restrict_by(plan, RestrictingKind::WriteSid)),
    ("no Everyone in the token", Host::Laptop, |plan| do_not_restrict_by(plan, RestrictingKind::Everyone)),
    ("no logon SID in the token", Host::Laptop, |plan| do_not_restrict_by(plan, RestrictingKind::Logon)),
    ("no run SID in the token", Host::Laptop, |plan| do_not_restrict_by(plan, RestrictingKind::RunSid)),
    ("default DACL without the run SID", Host::Laptop, |plan| {
        let run = plan.run_sid;
        plan.default_dacl.retain(|ace| ace.who != run);
    }),
    ("default DACL without the user", Host::Laptop, |plan| plan.default_dacl.retain(|ace| ace.who != user())),
    ("default DACL with the logon SID", Host::Laptop, |plan| {
        let logon = plan.token.restricting.iter().find(|entry| entry.kind == RestrictingKind::Logon);
        let who = logon.and_then(|entry| entry.sid).expect("known");
        let mut ace = plan.default_dacl[0].clone();
        ace.who = who;
        plan.default_dacl.push(ace);
    }),
    ("default DACL without OWNER RIGHTS", Host::Domain, |plan| {
        plan.default_dacl.retain(|ace| ace.who.0 != well_known::OWNER_RIGHTS);
    }),
    ("desktop open to Everyone", Host::Laptop, |plan| {
        let sddl = plan.desktop.sddl.as_mut().expect("private");
        *sddl = sddl.replace("(A;;GA;;;SY)", "(A;;GA;;;WD)");
    }),
    ("desktop without the run SID", Host::Laptop, |plan| {
        let run = format!("(A;;GA;;;{})", plan.run_sid);
        let sddl = plan.desktop.sddl.as_mut().expect("private");
        *sddl = sddl.replace(&run, "");
    }),
    ("job that survives its launcher", Host::Laptop, |plan| plan.job.kill_on_close = false),
    ("job with breakaway", Host::Laptop, |plan| plan.job.no_breakaway = false),
    ("stub that succeeds", Host::Laptop, |plan| {
        plan.stubs.iter_mut().for_each(|stub| stub.content = stub.content.replace("/b 1", "/b 0"));
    }),
    ("stubs not first on PATH", Host::Laptop, |plan| plan.environment.path_first.clear()),
    ("no dead proxy", Host::Laptop, |plan| {
        plan.environment.set.remove("HTTPS_PROXY");
    }),
    ("no placeholder for .codex", Host::Laptop, |plan| {
        plan.placeholders.retain(|made| made.path != at(".codex"));
    }),
    ("missing names are not watched", Host::Laptop, |plan| plan.watch.clear()),
    ("missing names are not admitted", Host::Laptop, |plan| {
        plan.not_enforced.retain(|gap| gap.kind != GapKind::MissingName);
    }),
    ("Everyone's folder is not admitted to have one wall", Host::Laptop, |plan| plan.walls.single.clear()),
    ("Low folder without a deny of FILE_DELETE_CHILD", Host::Laptop, |plan| {
        drop_ace(plan, &path(r"C:\Users\mia\AppData\LocalLow"), Purpose::OpenFolder);
    }),
    ("propagation into a hard-linked file not admitted", Host::Laptop, |plan| plan.stricter.clear()),
    ("git = commit: no deny on config", Host::Commit, |plan| {
        drop_ace(plan, &at(r".git\config"), Purpose::Protect);
    }),
    ("git = commit: no label on hooks", Host::Commit, |plan| drop_label(plan, &at(r".git\hooks"))),
    ("git = commit: .git not pinned", Host::Commit, |plan| drop_ace(plan, &at(".git"), Purpose::Pin)),
    ("git = commit: info not pinned", Host::Commit, |plan| drop_ace(plan, &at(r".git\info"), Purpose::Pin)),
    ("git = commit: no placeholder for info/attributes", Host::Commit, |plan| {
        plan.placeholders.retain(|made| made.path != at(r".git\info\attributes"));
    }),
    ("git = commit: missing files are not admitted", Host::Commit, |plan| {
        plan.not_enforced.retain(|gap| gap.kind != GapKind::MissingGitCode);
    }),
    ("no grant for the accounts", Host::Domain, |plan| drop_ace(plan, &ledger(""), Purpose::GrantAccount)),
    ("grant for the accounts with full control", Host::Domain, |plan| {
        change_ace(plan, &ledger(""), Purpose::GrantAccount, |ace| ace.mask = AccessMask::FILE_ALL_ACCESS);
        drop_ace(plan, &ledger(""), Purpose::DeleteChild);
    }),
    ("no OWNER RIGHTS on the root", Host::Domain, |plan| drop_ace(plan, &ledger(""), Purpose::OwnerRights)),
    ("OWNER RIGHTS as a deny (locks you out)", Host::DomainModify, |plan| {
        change_ace(plan, &ledger(""), Purpose::OwnerRights, |ace| {
            (ace.effect, ace.mask) = (Effect::Deny, AccessMask(0xC_0000));
        });
    }),
    ("you do not keep full control", Host::DomainModify, |plan| {
        drop_ace(plan, &ledger(""), Purpose::UserKeeps);
    }),
    ("the account writes what you may not", Host::Domain, |plan| {
        drop_ace(plan, &ledger("frozen.txt"), Purpose::Narrow);
    }),
    ("deny-read without a deny for the accounts", Host::Domain, |plan| {
        drop_ace(plan, &ledger("keys"), Purpose::DenyRead);
    }),
    ("no deny of FILE_DELETE_CHILD for the accounts", Host::DomainShared, |plan| {
        drop_ace(plan, &ledger(""), Purpose::DeleteChild);
    }),
    ("no read grant on Documents", Host::Domain, |plan| {
        drop_ace(plan, &path(r"C:\Users\j.müller\Documents"), Purpose::ReadGrant);
    }),
    ("no read grant on a protected folder", Host::Domain, |plan| {
        drop_ace(plan, &path(r"C:\Users\j.müller\private"), Purpose::ReadGrant);
    }),
    ("nothing seen on the way into the profile", Host::Domain, |plan| {
        drop_ace(plan, &path(r"C:\Users\j.müller\AppData"), Purpose::Ancestor);
    }),
    ("the whole profile is read, secrets too", Host::Domain, |plan| {
        read_all(plan, &path(r"C:\Users\j.müller"));
    }),
    ("the folder of Chrome is read, its profile too", Host::Domain, |plan| {
        read_all(plan, &path(r"C:\Users\j.müller\AppData\Local\Google\Chrome"));
    }),
    ("no filter for IPv6", Host::Domain, |plan| {
        let wfp = plan.network.wfp.as_mut().expect("elevated");
        wfp.filters.retain(|filter| !filter.layer.ends_with("V6"));
    }),
    ("the proxy's permit is for everywhere", Host::Domain, |plan| {
        for filter in &mut plan.network.wfp.as_mut().expect("elevated").filters {
            filter.conditions.retain(|condition| matches!(condition, WfpCondition::User { .. }));
        }
    }),
    ("filters for the wrong account", Host::Domain, |plan| {
        for filter in &mut plan.network.wfp.as_mut().expect("elevated").filters {
            filter.conditions =
                vec![WfpCondition::User { sddl: "O:LSD:(A;;CC;;;S-1-5-21-1-2-3-4)".to_owned() }];
        }
    }),
    ("no firewall rule", Host::Domain, |plan| plan.network.firewall.clear()),
    ("the online account is blocked too", Host::Online, |plan| {
        let sddl = format!("D:(A;;CC;;;{})", plan.account.sid);
        plan.network.firewall.iter_mut().for_each(|rule| rule.local_user_authorized_list.clone_from(&sddl));
    }),
    ("an ACE that is taken for present and is not", Host::Laptop, |plan| {
        plan.aces.iter_mut().filter(|ace| ace.path == at(".git")).for_each(|ace| ace.change = Change::Remove);
    }),
];

fn user() -> codex_sandbox_windows::plan::sid_text::SidText {
    example("developer-laptop").user.sid
}

/// What the proof says to a mutant: its line of the table, or nothing.
fn line((name, on, mutate): &(&str, Host, Mutate)) -> Option<String> {
    let (facts, policy) = host(*on);
    let mut plan = planned(&policy, &facts);
    mutate(&mut plan);
    let proof = proved(&plan, &facts);
    let count = proof.violations().count();
    let first = proof.violations().next()?;
    let object = first.object.replace('|', "\\|");
    let (policy, windows) = (first.policy.word(), first.verdict.word());
    Some(format!(
        "| {name} | {on:?} | {count} | {} {object}: policy {policy}, windows {windows} |\n",
        first.op
    ))
}

/// The table of the mutants, as docs/windows-plan.md has it, and the names of those that were not found.
fn table() -> (String, Vec<&'static str>) {
    let mut text = String::from("| mutant | host | rows against it | the first one |\n|---|---|---|---|\n");
    let half = MUTANTS.len() / 2;
    let lines = |mutants: &'static [(&str, Host, Mutate)]| mutants.iter().map(line).collect::<Vec<_>>();
    let lines = std::thread::scope(|scope| {
        let second = scope.spawn(|| lines(&MUTANTS[half..]));
        let mut all = lines(&MUTANTS[..half]);
        all.extend(second.join().expect("a panic of a mutant is the test's"));
        all
    });
    text.extend(lines.iter().flatten().map(String::as_str));
    let lost = MUTANTS.iter().zip(&lines).filter(|(_, line)| line.is_none());
    (text, lost.map(|((name, _, _), _)| *name).collect())
}

#[test]
fn the_plans_that_mutants_are_made_of_are_proved() {
    for on in [
        Host::Laptop,
        Host::Commit,
        Host::Administrator,
        Host::Shared,
        Host::Domain,
        Host::DomainModify,
        Host::DomainShared,
        Host::Online,
    ] {
        let (facts, policy) = host(on);
        support::assert_holds(&planned(&policy, &facts), &facts);
    }
}

/// Where docs/windows-plan.md has the table.
const BEGIN: &str = "<!-- mutants: written by crates/windows/tests/mutants.rs -->\n";
const END: &str = "<!-- end of mutants -->";

/// The page with this table in the place of the old one.
fn page_with(page: &str, table: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (_, after) = rest.split_once(END).expect("the place has an end");
    format!("{before}{BEGIN}{table}{END}{after}")
}

#[test]
fn every_mutant_is_found() {
    let (table, survivors) = table();
    assert!(survivors.is_empty(), "not found: {survivors:#?}");
    assert!(MUTANTS.len() >= 30);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/windows-plan.md");
    let page = std::fs::read_to_string(&file).expect("the page is there");
    let wanted = page_with(&page, &table);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &wanted).expect("docs can be written");
    } else {
        assert!(page == wanted, "the table in docs/windows-plan.md is old: run this test with UPDATE_DOCS=1");
    }
}
