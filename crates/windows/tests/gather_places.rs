//! What gathering finds on a machine by other names than the policy's: spellings of a root, and where `.git` files lead.

mod support;

use codex_sandbox_policy::GitMode;
use codex_sandbox_windows::explain::{Question, explain};
use codex_sandbox_windows::gather::{Request, gather};
use codex_sandbox_windows::memory::MemoryHost;
use codex_sandbox_windows::plan::data::{Purpose, RootKind, RootState};
use codex_sandbox_windows::plan::facts::{Facts, Node, NodeKind};
use codex_sandbox_windows::plan::{WinPath, WindowsPlan, plan};
use codex_sandbox_windows::prove::prove;
use support::machine::Machine;
use support::path;

/// The workspace of the example, by its real name.
const APP: &str = r"C:\Users\mia\src\app";

/// A linked worktree of that repository, beside it.
const TOPIC: &str = r"C:\Users\mia\src\topic";

fn says(machine: &Machine, at: &str, content: &str) {
    let made = machine.add_at(&path(at), NodeKind::File);
    let mut node = machine.host.node(&made).expect("it was made");
    node.content = Some(content.to_owned());
    machine.host.put(&made, node);
}

/// The example with a linked worktree, in which the run takes place. `back` is what the repository says of it.
fn worktree(back: &str) -> Machine {
    let mut machine = Machine::new();
    let own = format!(r"{APP}\.git\worktrees\topic");
    says(&machine, &format!(r"{APP}\.git\HEAD"), "ref: refs/heads/main\n");
    says(&machine, &format!(r"{APP}\.git\objects\ab\cd"), "x");
    says(&machine, &format!(r"{APP}\.git\refs\heads\main"), "x");
    says(&machine, &format!(r"{own}\commondir"), "../..\n");
    says(&machine, &format!(r"{own}\gitdir"), back);
    says(&machine, &format!(r"{TOPIC}\.git"), &format!("gitdir: {}\n", own.replace('\\', "/")));
    TOPIC.clone_into(&mut machine.facts.cwd);
    machine.policy.git = GitMode::Commit;
    machine
}

fn looked(machine: &Machine) -> (Facts, WindowsPlan) {
    let request = Request {
        policy: &machine.policy,
        cwd: &machine.facts.cwd,
        environment: machine.facts.environment.clone(),
        rescan: false,
    };
    let facts = gather(&machine.host, &machine.state, &request).expect("the machine answers");
    let plan = plan(&machine.policy, &facts).expect("a plan");
    (facts, plan)
}

#[test]
fn the_repository_of_a_linked_worktree_that_knows_of_it_takes_commits_and_keeps_its_code() {
    let machine = worktree(r"C:\Users\mia\src\topic\.git");
    let before = machine.texts();
    let (facts, plan) = looked(&machine);
    let git = plan.roots.iter().find(|root| root.kind == RootKind::GitDir);
    let git = git.unwrap_or_else(|| panic!("no git directory: {:#?} {:?}", plan.roots, plan.notices));
    assert_eq!((git.path.as_ref(), &git.state), (Some(&path(&format!(r"{APP}\.git"))), &RootState::Granted));
    let protected = |at: &str| {
        let at = path(&format!(r"{APP}\.git\{at}"));
        plan.aces.iter().any(|ace| ace.path == at && ace.purpose == Purpose::Protect)
    };
    assert!(protected("hooks") && protected("config"), "{:#?}", plan.aces);
    let proof = prove(&plan, &facts).expect("facts that were planned with");
    assert_eq!(proof.violations().count(), 0);
    machine.prepare();
    machine.prepare();
    assert_eq!(machine.host.descriptor_writes(), 0);
    machine.teardown(&codex_sandbox_windows::teardown::Scope::All);
    support::machine::assert_same(&before, &machine.texts());
}

#[test]
fn a_pointer_that_a_command_could_have_written_opens_nothing() {
    for back in [r"C:\Users\mia\src\other\.git", "", r"..\..\..\..\topic\.git\x"] {
        let machine = worktree(back);
        let (_, plan) = looked(&machine);
        assert!(plan.roots.iter().all(|root| root.kind != RootKind::GitDir), "{back}: {:#?}", plan.roots);
        assert!(plan.notices.iter().any(|notice| notice.contains("commits are not possible")), "{back}");
        let inside = path(&format!(r"{APP}\.git"));
        assert!(plan.aces.iter().all(|ace| !ace.path.is_in(&inside)), "{back}");
    }
}

#[test]
fn a_worktree_inside_the_root_is_protected_with_its_repository() {
    let machine = worktree(r"C:\Users\mia\src\topic\.git");
    let mut machine = machine;
    machine.facts.cwd = r"C:\Users\mia\src".to_owned();
    machine.policy.git = GitMode::Protect;
    let (facts, plan) = looked(&machine);
    for at in [format!(r"{APP}\.git"), format!(r"{TOPIC}\.git")] {
        let at = path(&at);
        assert!(
            plan.aces.iter().any(|ace| ace.path == at && ace.purpose == Purpose::Protect),
            "{at}: {:#?}",
            plan.aces
        );
    }
    assert_eq!(prove(&plan, &facts).expect("facts that were planned with").violations().count(), 0);
}

#[test]
fn a_root_by_any_spelling_is_the_same_root() {
    let mut machine = Machine::new();
    let mut facts = machine.facts.clone();
    let app = facts.nodes.iter_mut().find(|node| node.path == path(APP)).expect("the example has it");
    *app = Node { short_name: Some("APP~1".to_owned()), ..app.clone() };
    machine.host = MemoryHost::new(&facts).expect("the example is complete");
    let first = machine.prepare();
    machine.prepare();
    let sid = first.plan.write_sids.iter().find(|sid| sid.root == path(APP)).expect("granted").sid;
    for spelling in [
        r"c:\users\MIA\src\APP",
        r"C:\Users\mia\src\APP~1",
        r"\\?\C:\Users\mia\src\app",
        r"\\.\C:\Users\mia\src\app",
        "C:/Users/mia/src/app/",
        r"C:\Users\mia\src\app.",
        r"C:\Users\mia\src\.\x\..\app. .",
        r"C:\Users\mia\current",
        r"\\?\Volume{6f1d2c7a-0000-0000-0000-100000000000}\Users\mia\src\app",
    ] {
        spelling.clone_into(&mut machine.facts.cwd);
        let again = machine.prepare();
        assert_eq!(machine.host.descriptor_writes(), 0, "{spelling}");
        assert_eq!(machine.host.effects(), 0, "{spelling}");
        let same = again.plan.write_sids.iter().find(|sid| sid.root == path(APP));
        assert_eq!(same.map(|same| same.sid), Some(sid), "{spelling}: {:#?}", again.plan.roots);
    }
}

#[test]
fn what_becomes_of_a_git_folder_that_does_not_exist_is_said() {
    let facts = support::example("managed-domain");
    let policy = codex_sandbox_policy::Policy { git: GitMode::Protect, ..support::unelevated() };
    let mut facts = facts;
    let root = WinPath::absolute(&facts.cwd).expect("the example's own");
    let git = root.join(".git");
    facts.nodes.retain(|node| !node.path.is_in(&git));
    let plan = support::planned(&policy, &facts);
    let answer = |at: &str| explain(&plan, &facts, at, Question::Write).expect("a path of the example");
    let born = answer(".git");
    assert!(born.frozen_at_end, "{born}");
    let text = born.to_string();
    assert!(text.starts_with("allowed until the run ends, then frozen and reported"), "{text}");
    assert!(serde_json::json!(born)["frozen_at_end"].as_bool() == Some(true));
    assert!(!answer("new.txt").frozen_at_end);
    assert!(answer("new.txt").to_string().starts_with("allowed "));
    // A missing name that gets a placeholder is simply denied.
    assert!(answer(r".codex\config.toml").to_string().starts_with("denied"));
}
