//! Nothing of a run outlives it, whoever is killed, and nothing is left behind.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};

use codex_sandbox_tests::{Marker, Place, each_user, eventually, users};
use rustix::process::{Pid, Signal, kill_process};

/// A tree with everything that tries to get away: a child, a grandchild in a session of its own, a daemon.
fn tree(marker: &Marker) -> String {
    format!(
        "sleep {m} & (setsid sleep {m} &) ; (setsid sh -c 'trap \"\" HUP TERM INT; sleep {m} & exec sleep {m}' \
         </dev/null >/dev/null 2>&1 &) ; echo x > made; echo y > /tmp/cst-made; echo ready; sleep {m}",
        m = marker.as_str()
    )
}

const SLEEPERS: usize = 5;

#[test]
fn the_tree_ends_with_the_command() {
    each_user(|user| {
        let place = Place::new(user);
        let marker = Marker::new();
        let script = tree(&marker).replace(&format!("echo ready; sleep {}", marker.as_str()), "exit 4");
        place.sh(&script).expect_code(4);
        marker.expect_gone();
        expect_no_litter(&place);
    });
}

#[test]
fn the_tree_ends_with_the_launcher() {
    each_user(|user| {
        let place = Place::new(user);
        let marker = Marker::new();
        let mut live = place.sandboxed(["sh", "-c", &tree(&marker)]).start();
        live.wait_for_out("ready");
        marker.wait_for_sleepers(SLEEPERS);
        live.signal(Signal::KILL);
        live.wait_only();
        marker.expect_gone();
        expect_no_litter(&place);
    });
}

#[test]
fn the_tree_ends_when_the_launcher_dies_during_set_up() {
    each_user(|user| {
        let place = Place::new(user);
        let marker = Marker::new();
        // At many moments of the start: each round gets a little further.
        for round in 0..40_u64 {
            let mut live = place.sandboxed(["sh", "-c", &tree(&marker)]).start();
            std::thread::sleep(std::time::Duration::from_micros(round * 250));
            live.signal(Signal::KILL);
            live.wait_only();
        }
        marker.expect_gone();
        expect_no_litter(&place);
    });
}

#[test]
fn the_tree_ends_with_the_sandboxs_first_process() {
    each_user(|user| {
        let place = Place::new(user);
        let marker = Marker::new();
        let mut live = place.sandboxed(["sh", "-c", &tree(&marker)]).start();
        live.wait_for_out("ready");
        marker.wait_for_sleepers(SLEEPERS);
        for child in children(live.id()) {
            kill(child);
        }
        let status = live.wait_only();
        assert!(!status.success(), "{status}");
        marker.expect_gone();
        expect_no_litter(&place);
    });
}

#[test]
fn the_tree_ends_when_the_command_is_killed_from_outside() {
    each_user(|user| {
        let place = Place::new(user);
        let marker = Marker::new();
        let mut live = place.sandboxed(["sh", "-c", &tree(&marker)]).start();
        live.wait_for_out("ready");
        marker.wait_for_sleepers(SLEEPERS);
        let command = marker
            .processes()
            .into_iter()
            .find(|(_, line)| line.starts_with("sh -c sleep"))
            .expect("the command is among the processes");
        kill(command.0);
        let status = live.wait_only();
        assert_eq!(status.code(), Some(137));
        marker.expect_gone();
        expect_no_litter(&place);
    });
}

#[test]
fn the_tree_ends_when_any_process_of_the_chain_is_killed() {
    each_user(|user| {
        let place = Place::new(user);
        // Every process that belongs to us and not to the command, one after the other.
        let mut victim = 0;
        loop {
            let marker = Marker::new();
            let mut live = place.sandboxed(["sh", "-c", &tree(&marker)]).start();
            live.wait_for_out("ready");
            marker.wait_for_sleepers(SLEEPERS);
            let chain = chain(live.id());
            let Some(pid) = chain.get(victim) else { break };
            kill(*pid);
            live.wait_only();
            marker.expect_gone();
            victim += 1;
        }
        assert!(victim >= 2, "a launcher and a first process");
        expect_no_litter(&place);
    });
}

#[test]
fn nothing_is_left_in_the_workspace_when_protected_names_were_tried() {
    each_user(|user| {
        let place = Place::new(user);
        place.mkdir("nested/.git");
        let before = place.list("");
        let script = "mkdir .git; mkdir .codex .agents; echo x > .GIT; mkdir -p a/b/.git; rm -rf a; true";
        place.sh(script).expect_code(0);
        assert_eq!(place.list(""), before);
        let mut live = place.sandboxed(["sh", "-c", &format!("{script}; echo ready; sleep 1000")]).start();
        live.wait_for_out("ready");
        // While it runs, too.
        assert_eq!(place.list(""), before);
        live.signal(Signal::KILL);
        live.wait_only();
        assert_eq!(place.list(""), before);
    });
}

#[test]
fn teardown_removes_what_runs_leave_in_the_cache() {
    each_user(|user| {
        let place = Place::new(user);
        place.sh("echo x > /tmp/cst-made; echo y > $TMPDIR/made").expect_code(0);
        let cache = place.home().join(".cache");
        assert!(!place.list(&cache).is_empty(), "a run keeps its temporary files");
        let none: [&str; 0] = [];
        let run = place.sandboxed(none).subcommand("teardown");
        run.clone().flags(["--all", "--dry-run"]).output().expect_code(0);
        let before = place.list(&cache);
        assert!(before.iter().any(|path| path.ends_with("made")), "{before:?}");
        run.clone().flags(["--all"]).output().expect_code(0);
        let left: Vec<PathBuf> =
            place.list(&cache).into_iter().filter(|path| path.components().count() > 2).collect();
        assert_eq!(left, Vec::<PathBuf>::new());
        // Nothing to do is no failure, and a run works afterwards.
        run.flags(["--all"]).output().expect_code(0);
        place.sh("test ! -e /tmp/cst-made && test ! -e $TMPDIR/made").expect_code(0);
    });
}

/// The launcher and its descendants that are ours: they run our program, under whatever name.
fn chain(launcher: u32) -> Vec<u32> {
    let mut found = vec![launcher];
    for child in children(launcher) {
        if ours(child) {
            found.extend(chain(child));
        }
    }
    found
}

fn ours(pid: u32) -> bool {
    // /proc/PID/exe of a protected process cannot be read; its memory map's absence says the same.
    fs::read_link(format!("/proc/{pid}/exe")).map_or(true, |exe| exe == codex_sandbox_tests::program())
}

fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(path).into_iter().flatten().flatten();
    tasks
        .flat_map(|task| {
            let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        })
        .collect()
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id is a positive i32");
    kill_process(pid, Signal::KILL).expect("the process is there and may be killed");
}

/// No file of ours on the host, no mount, no control group.
fn expect_no_litter(place: &Place) {
    let mut here = place.list("");
    here.retain(|path| path != Path::new("made"));
    assert_eq!(here, Vec::<PathBuf>::new(), "the workspace");
    assert!(!Path::new("/tmp/cst-made").exists(), "/tmp is not the host's");
    let litter: Vec<PathBuf> = ["/tmp", "/var/tmp", "/dev/shm"].into_iter().flat_map(left_in).collect();
    assert_eq!(litter, Vec::<PathBuf>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts can be read");
    let base = place.base().to_str().expect("the path is ASCII");
    assert!(!mounts.contains(base), "a mount is left: {mounts}");
    assert!(
        eventually(|| control_groups(Path::new("/sys/fs/cgroup"), 0).is_empty()),
        "a control group is left"
    );
}

/// Files with a name of ours. Others may use the machine, and even the same user, at the same time.
fn left_in(dir: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Where runs without HOME keep their temporary files: state, which `teardown` removes.
            let state = users().iter().any(|user| name == format!("codex-sandbox-{}", user.uid));
            let other_tests = name.starts_with("codex-attack-") || name == "codex-sandbox-tests";
            (name.starts_with("codex-") || name.starts_with(".codex") || name == "cst-made")
                && !state
                && !other_tests
        })
        .map(|entry| entry.path())
        .collect()
}

fn control_groups(dir: &Path, depth: u32) -> Vec<PathBuf> {
    if depth > 6 {
        return Vec::new();
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .flat_map(|entry| {
            let ours = entry.file_name().to_string_lossy().contains("codex-sandbox");
            let mut found = control_groups(&entry.path(), depth + 1);
            found.extend(ours.then(|| entry.path()));
            found
        })
        .collect()
}

/// The broker of another run has the lock and does not go on (its user stopped it): commands that change nothing do not notice,
/// the others wait, and what ends a run still ends it.
#[test]
fn a_run_that_waits_for_another_can_be_ended() {
    each_user(|user| {
        let place = Place::new(user);
        place.sh("true").expect_code(0);
        let lock = place.home().join(".cache/codex-sandbox/lock");
        let lock = fs::OpenOptions::new().write(true).open(lock).expect("the first run made it");
        lock.lock().expect("no run has it");
        place.sh("cat /etc/passwd > /dev/null && echo read").expect_code(0).expect_out("read");
        place.sandboxed(["touch", "file"]).flags(["--timeout", "1"]).output().expect_code(124);
        let mut waiting = place.sandboxed(["touch", "file"]).start();
        std::thread::sleep(std::time::Duration::from_millis(300));
        waiting.signal(Signal::KILL);
        waiting.wait_only();
        assert!(!place.path("file").exists());
        let waiting = place.sandboxed(["touch", "file"]).start();
        std::thread::sleep(std::time::Duration::from_millis(300));
        lock.unlock().expect("it was locked");
        waiting.wait().expect_code(0);
        assert!(place.path("file").exists());
    });
}
