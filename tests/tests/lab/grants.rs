//! Grants of many files: ended in the middle, resumed, and taken back.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::Machine;
use super::marks::{descriptor, marks};

/// Files of the workspace: enough that a grant takes a second here.
const FILES: usize = 3000;

fn fill(machine: &Machine) {
    for n in 0..FILES {
        let folder = machine.work().join(format!("src/{}/{}", n % 7, n % 61));
        fs::create_dir_all(&folder).expect("the workspace");
        fs::write(folder.join(format!("{n}.txt")), "x").expect("the workspace");
    }
}

/// What is below the workspace, each with its descriptor as the lab keeps it.
fn descriptors(machine: &Machine) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut todo = vec![machine.work()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("a name").path()));
        }
        found.insert(path.clone(), descriptor(&path));
    }
    found
}

fn status(machine: &Machine) -> serde_json::Value {
    let ended = machine.program(["status", "--json"]);
    serde_json::from_str(&ended.expect_code(0).text()).expect("status speaks JSON")
}

/// Starts a first run and kills it once it has changed some files and not all; `false` if it was too fast.
fn kill_in_the_middle(machine: &Machine) -> bool {
    // Not by pipes: whatever of the lab outlives the program would keep them open.
    let mut run = machine.command(["run", "--quiet", "--", "cmd", "/c", "echo x> done.txt"]);
    let run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut run = run.expect("the runner runs");
    let begun = Instant::now();
    let watched = [machine.work().join("src/0/0"), machine.work().join("src/6/5")];
    let is_begun = || watched.iter().any(|folder| !marks(folder).is_empty());
    while begun.elapsed() < Duration::from_secs(60) && !is_begun() {
        std::thread::sleep(Duration::from_millis(5));
    }
    // The runner first: it would take a killed program for one whose time is up, and end the lab's server too.
    let _gone_already = run.kill();
    for pid in processes_of(machine) {
        let _gone_already = Command::new("kill").args(["-9", &pid]).status();
    }
    run.wait().expect("it ends");
    !machine.work().join("done.txt").exists()
}

/// The program in this machine, by the prefix in its environment.
fn processes_of(machine: &Machine) -> Vec<String> {
    let home = machine.home();
    let prefix = home.ancestors().nth(3).expect("drive_c/users/user").display().to_string();
    let prefix = format!("WINEPREFIX={prefix}\0");
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").expect("Linux has it").flatten() {
        let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
        let is_program = String::from_utf8_lossy(&read("cmdline")).contains("codex-sandbox.exe");
        if is_program && String::from_utf8_lossy(&read("environ")).contains(&prefix) {
            found.push(process.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn a_grant_that_was_killed_is_shown_resumed_and_taken_back() {
    let Some(machine) = Machine::new("a grant that was killed") else { return };
    fill(&machine);
    // What the lab writes for a file on its own account it writes at the first grant: so the second one is compared.
    machine.run(["cmd", "/c", "exit 0"]).expect_code(0);
    machine.program(["teardown", "--all"]).expect_code(0);
    assert!(marks(&machine.work()).is_empty());
    let before = descriptors(&machine);
    assert!(kill_in_the_middle(&machine), "the grant takes longer than the test needs to see it");
    let marked = marks(&machine.work()).len();
    assert!(marked > 0 && marked < FILES, "{marked} of {FILES} are granted");
    let shown = status(&machine);
    assert!(shown["unfinished"].as_array().is_some_and(|paths| !paths.is_empty()), "{shown:#}");
    machine.run(["cmd", "/c", "echo x> done.txt"]).expect_code(0);
    assert!(machine.work().join("done.txt").exists());
    assert!(marks(&machine.work()).len() > FILES);
    let shown = status(&machine);
    assert!(shown["unfinished"].as_array().is_some_and(Vec::is_empty), "{shown:#}");
    machine.program(["teardown", "--all"]).expect_code(0);
    let after = descriptors(&machine);
    let differ: Vec<_> = before.iter().filter(|(path, kept)| after.get(*path) != Some(kept)).collect();
    assert!(differ.is_empty(), "{} objects, the first {:?}", differ.len(), differ[0].0);
}

#[test]
fn a_grant_that_was_killed_can_be_taken_back_at_once() {
    let Some(machine) = Machine::new("a killed grant taken back") else { return };
    fill(&machine);
    assert!(kill_in_the_middle(&machine), "the grant takes longer than the test needs to see it");
    assert!(!marks(&machine.work()).is_empty());
    machine.program(["teardown", "--all"]).expect_code(0);
    let left = marks(&machine.work());
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_second_run_changes_no_descriptor() {
    let Some(machine) = Machine::new("no descriptor twice") else { return };
    fill(&machine);
    machine.run(["cmd", "/c", "exit 0"]).expect_code(0);
    let before = descriptors(&machine);
    machine.run(["cmd", "/c", "exit 0"]).expect_code(0);
    assert_eq!(before, descriptors(&machine));
}
