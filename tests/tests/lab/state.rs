//! What runs leave behind, share, and find damaged.

use std::fs;
use std::process::Child;

use super::harness::{Machine, finish};

#[test]
fn a_git_folder_that_is_born_in_a_run_is_frozen_and_reported() {
    let Some(machine) = Machine::new("a .git born in the run") else { return };
    let ended =
        machine.run_with(&[], ["cmd", "/c", "md .git& md .git\\hooks& echo x> .git\\hooks\\pre-commit"]);
    ended.expect_code(0);
    assert!(ended.err.contains(".git was made by this run"), "{}", ended.err);
    assert!(machine.work().join(".git/hooks/pre-commit").exists());
    machine.run(["cmd", "/c", "echo x> .git\\hooks\\post-commit"]);
    assert!(!machine.work().join(".git/hooks/post-commit").exists());
}

#[test]
fn teardown_leaves_nothing_and_says_so() {
    let Some(machine) = Machine::new("teardown") else { return };
    machine.run(["cmd", "/c", "echo x> in.txt"]).expect_code(0);
    assert!(machine.work().join(".codex").exists());
    let status = machine.program(["status"]);
    assert!(status.expect_code(0).text().contains(r"C:\users\user\work by S-1-5-21-"), "{}", status.text());
    let dry = machine.program(["teardown", "--all", "--dry-run"]);
    assert!(dry.expect_code(0).text().contains("would remove"), "{}", dry.text());
    machine.program(["teardown", "--all"]).expect_code(0);
    assert!(!machine.work().join(".codex").exists() && machine.work().join("in.txt").exists());
    let again = machine.program(["teardown", "--all"]);
    assert_eq!(again.expect_code(0).text(), "nothing to remove");
}

#[test]
fn field_report_6_a_damaged_state_database_stops_no_run() {
    let Some(machine) = Machine::new("damaged state") else { return };
    machine.run(["cmd", "/c", "echo 1> in.txt"]).expect_code(0);
    let file = machine.state().join("state.db");
    let whole = fs::read(&file).expect("the database");
    let damages: [Vec<u8>; 4] =
        [Vec::new(), vec![0; whole.len()], whole[..whole.len() / 2].to_vec(), b"not a database".repeat(300)];
    for (n, damage) in damages.into_iter().enumerate() {
        for more in ["state.db-wal", "state.db-shm"] {
            let _not_there = fs::remove_file(machine.state().join(more));
        }
        fs::write(&file, damage).expect("our own");
        let name = format!("in{n}.txt");
        machine.run(["cmd".to_owned(), "/c".to_owned(), format!("echo x> {name}")]).expect_code(0);
        assert!(machine.work().join(&name).exists(), "damage {n}");
    }
}

#[test]
fn runs_at_once_on_one_root_and_on_nested_roots() {
    let Some(machine) = Machine::new("runs at once") else { return };
    let nested = machine.work().join("nested");
    fs::create_dir(&nested).expect("the workspace");
    let children: Vec<(String, Child)> = (0..6)
        .map(|n| {
            let folder = if n % 2 == 0 { machine.work() } else { nested.clone() };
            let line = format!("echo x> by-{n}.txt");
            let command = ["run", "--quiet", "--", "cmd", "/c", &line];
            (line.clone(), machine.command_in(&folder, command).spawn().expect("the runner runs"))
        })
        .collect();
    for (line, child) in children {
        let ended = finish(child, &[]);
        assert_eq!(ended.code, Some(0), "{line}: {}", ended.err);
    }
    for n in 0..6 {
        let folder = if n % 2 == 0 { machine.work() } else { nested.clone() };
        assert!(folder.join(format!("by-{n}.txt")).exists(), "run {n}");
    }
}
