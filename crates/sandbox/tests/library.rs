//! The library as its users see it: real commands under real enforcement.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::path::PathBuf;

use codex_sandbox::{Exit, Limits, Mode, Policy, Sandbox, Stdio, Strength};

/// A workspace with a state folder of its own beside it.
struct Place {
    _dir: tempfile::TempDir,
    workspace: PathBuf,
    state: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let base = std::fs::canonicalize(dir.path()).expect("canonical");
    let (workspace, state) = (base.join("workspace"), base.join("state"));
    std::fs::create_dir(&workspace).expect("made");
    Place { _dir: dir, workspace, state }
}

fn sandbox(place: &Place, policy: Policy) -> Sandbox {
    Sandbox::builder(policy).current_dir(&place.workspace).state_dir(&place.state).build().expect("a sandbox")
}

#[test]
fn output_is_captured_and_writes_stay_inside() {
    let place = place();
    let sandbox = sandbox(&place, Policy::default());
    let script = "echo out; echo err >&2; echo x > inside; echo x > ../outside; exit 7";
    let output = sandbox.command("sh").args(["-c", script]).output().expect("runs");
    assert_eq!(output.outcome.exit, Exit::Code(7));
    assert_eq!(output.outcome.enforcement.strength, Strength::Full);
    assert_eq!(output.stdout, b"out\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("err"));
    assert!(place.workspace.join("inside").exists());
    assert!(!place.workspace.join("../outside").exists());
}

#[test]
fn one_sandbox_starts_commands_from_several_threads() {
    let place = place();
    let sandbox = sandbox(&place, Policy::default());
    std::thread::scope(|scope| {
        for number in 0..4 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                for round in 0..5 {
                    let name = format!("file-{number}-{round}");
                    let outcome = sandbox.command("touch").arg(&name).status().expect("runs");
                    assert_eq!(outcome.exit, Exit::Code(0));
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(&place.workspace).expect("read").count(), 20);
}

#[test]
fn streams_are_pipes_and_the_command_can_be_killed() {
    let place = place();
    let sandbox = sandbox(&place, Policy::default());
    let mut child = sandbox.command("cat").stdin(Stdio::Piped).stdout(Stdio::Piped).spawn().expect("starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"hello").expect("written");
    let mut first = [0; 5];
    child.stdout.as_mut().expect("piped").read_exact(&mut first).expect("read");
    assert_eq!(&first, b"hello");
    assert_eq!(child.try_wait().expect("still there"), None);
    child.kill();
    assert_eq!(child.wait().expect("ended").exit, Exit::Signal(9));
}

#[test]
fn the_wall_clock_limit_ends_the_whole_tree() {
    let place = place();
    let limits = Limits { wall_clock: Some(std::time::Duration::from_millis(200)), ..Limits::default() };
    let sandbox = sandbox(&place, Policy { limits, ..Policy::default() });
    let script = "(sleep 30; touch late) & sleep 30";
    let outcome = sandbox.command("sh").args(["-c", script]).status().expect("runs");
    assert_eq!(outcome.exit, Exit::TimedOut);
    assert!(!place.workspace.join("late").exists());
}

#[test]
fn the_environment_is_what_was_asked_for() {
    let place = place();
    let sandbox = sandbox(&place, Policy::default());
    let output = sandbox
        .command("/usr/bin/env")
        .env_clear()
        .env("A", "1")
        .env("B", "2")
        .env_remove("A")
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut names: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    // Where this user has a cache of npm's already, it is covered instead.
    names.retain(|name| *name != "npm_config_cache");
    assert_eq!(names, ["B", "CCACHE_DIR", "GOCACHE", "TEMP", "TMP", "TMPDIR", "UV_CACHE_DIR"]);
}

#[test]
fn errors_name_code_object_and_remedy() {
    let place = place();
    let sandbox = sandbox(&place, Policy::default());
    let error = sandbox.command("no-such-program-anywhere").status().expect_err("not found");
    assert_eq!((error.code(), error.exit_code()), ("run.not-found", 127));
    assert!(!error.remedy().is_empty());
}

#[test]
fn without_a_sandbox_only_when_the_policy_says_so() {
    let place = place();
    let sandbox = sandbox(&place, Policy { mode: Mode::DangerFullAccess, ..Policy::default() });
    let outcome = sandbox.command("touch").arg("../outside").status().expect("runs");
    assert_eq!(outcome.enforcement.strength, Strength::None);
    assert!(place.workspace.join("../outside").exists());
}
