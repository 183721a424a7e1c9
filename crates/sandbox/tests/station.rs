//! Later commands of one `Sandbox`, which start at a station: what they share, what they do not, and when they end.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command as Bare, Stdio as BareStdio};
use std::time::{Duration, Instant};

use codex_sandbox::{Child, Command, Exit, Limits, Policy, Sandbox, Stdio};

/// The part that this program plays when it is started by one of its own tests.
const PART: &str = "CODEX_SANDBOX_TEST_PART";

struct Place {
    _dir: tempfile::TempDir,
    base: PathBuf,
    workspace: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let base = std::fs::canonicalize(dir.path()).expect("canonical");
    let workspace = base.join("workspace");
    std::fs::create_dir(&workspace).expect("made");
    Place { _dir: dir, base, workspace }
}

/// A sandbox whose next command starts at a station.
fn warm(base: &Path, policy: Policy) -> Sandbox {
    let sandbox = Sandbox::builder(policy).current_dir(base.join("workspace")).state_dir(base.join("state"));
    let sandbox = sandbox.build().expect("a sandbox");
    for _ in 0..2 {
        assert_eq!(sandbox.command("true").status().expect("runs").exit, Exit::Code(0));
    }
    sandbox
}

fn shell<'s>(sandbox: &'s Sandbox, script: &str) -> Command<'s> {
    let mut command = sandbox.command("sh");
    command.args(["-c", script]);
    command
}

fn says(sandbox: &Sandbox, script: &str) -> String {
    let output = shell(sandbox, script).output().expect("runs");
    assert_eq!(output.outcome.exit, Exit::Code(0), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// This program again, as `part`.
fn own_program() -> PathBuf {
    std::env::current_exe().expect("a running program has a file")
}

const PART_ARGS: [&str; 3] = ["--exact", "part", "--nocapture"];

/// Not a test of its own: the other side of some of them.
#[test]
fn part() {
    match std::env::var(PART).as_deref() {
        Ok("serve") => serve(),
        Ok("ask") => ask(),
        Ok("launch") => launch_and_wait(),
        _ => {}
    }
}

/// Writes its port into the workspace, and answers one connection.
fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is up");
    let port = listener.local_addr().expect("bound").port();
    std::fs::write("port.new", port.to_string()).expect("the workspace is writable");
    std::fs::rename("port.new", "port").expect("the workspace is writable");
    let (mut stream, _) = listener.accept().expect("a client");
    stream.write_all(b"from inside").expect("written");
}

fn ask() {
    let port: u16 = std::fs::read_to_string("port").expect("the server wrote it").parse().expect("a port");
    let mut said = String::new();
    let stream = TcpStream::connect(("127.0.0.1", port));
    stream.expect("it listens").read_to_string(&mut said).expect("read");
    assert_eq!(said, "from inside");
}

fn spawn_part(sandbox: &Sandbox, part: &str) -> Child {
    let mut command = sandbox.command(own_program());
    command.args(PART_ARGS).env(PART, part).spawn().expect("starts")
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn later_commands_share_the_loopback_interface_which_nobody_outside_reaches() {
    let place = place();
    let sandbox = warm(&place.base, Policy::default());
    let mut server = spawn_part(&sandbox, "serve");
    wait_for("the server's port", || place.workspace.join("port").exists());
    let port: u16 =
        std::fs::read_to_string(place.workspace.join("port")).expect("read").parse().expect("a port");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the host's loopback is another");
    assert_eq!(spawn_part(&sandbox, "ask").wait().expect("ended").exit, Exit::Code(0));
    assert_eq!(server.wait().expect("ended").exit, Exit::Code(0));
}

#[test]
fn no_later_command_sees_or_signals_anothers_processes() {
    let place = place();
    let sandbox = warm(&place.base, Policy::default());
    let mut other = sandbox.command("sleep").arg("30").spawn().expect("starts");
    assert!(!says(&sandbox, "cat /proc/[0-9]*/cmdline").contains("sleep"));
    says(&sandbox, "kill -9 -1; true");
    assert_eq!(other.try_wait().expect("asked"), None, "the other still runs");
    other.kill();
    assert_eq!(other.wait().expect("ended").exit, Exit::Signal(9));
}

#[test]
fn a_tree_ends_with_its_command_while_another_goes_on() {
    let place = place();
    let sandbox = warm(&place.base, Policy::default());
    let mut other = shell(&sandbox, "sleep 1.5; touch other").spawn().expect("starts");
    says(&sandbox, "(setsid sh -c 'sleep 1; touch late' &) ; true");
    assert_eq!(other.wait().expect("ended").exit, Exit::Code(0));
    assert!(place.workspace.join("other").exists());
    assert!(!place.workspace.join("late").exists(), "it outlived its command");
}

#[test]
fn streams_signals_limits_and_failures_are_those_of_a_first_command() {
    let place = place();
    let limits = Limits { wall_clock: Some(Duration::from_secs(20)), ..Limits::default() };
    let sandbox = warm(&place.base, Policy { limits, ..Policy::default() });
    let mut child = sandbox.command("cat").stdin(Stdio::Piped).stdout(Stdio::Piped).spawn().expect("starts");
    child.stdin.take().expect("piped").write_all(b"hello").expect("written");
    let mut said = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut said).expect("read");
    assert_eq!((said.as_str(), child.wait().expect("ended").exit), ("hello", Exit::Code(0)));
    let mut child = shell(&sandbox, "trap 'exit 5' TERM; touch ready; while :; do sleep 0.05; done").spawn();
    wait_for("the trap", || place.workspace.join("ready").exists());
    let child = child.as_mut().expect("starts");
    child.signal(15);
    assert_eq!(child.wait().expect("ended").exit, Exit::Code(5));
    let plain = place.workspace.join("plain");
    std::fs::write(&plain, "text").expect("written");
    let error = sandbox.command(&plain).status().expect_err("not executable");
    assert_eq!(error.code(), "run.not-executable");
    let error = sandbox.command("true").current_dir("missing").status().expect_err("no such folder");
    assert_eq!(error.exit_code(), 125, "{error}");
    // Refused, or swallowed by the private /tmp.
    shell(&sandbox, "echo x > ../outside").status().expect("runs");
    assert!(!place.base.join("outside").exists());
}

#[test]
fn what_changes_outside_between_commands_is_seen() {
    let place = place();
    let sandbox = warm(&place.base, Policy::default());
    // A repository that appears is protected.
    std::fs::create_dir(place.workspace.join(".git")).expect("made");
    std::fs::write(place.workspace.join(".git/config"), "[core]\n").expect("written");
    assert_ne!(shell(&sandbox, "echo x > .git/config").status().expect("runs").exit, Exit::Code(0));
    assert_eq!(std::fs::read_to_string(place.workspace.join(".git/config")).expect("read"), "[core]\n");
    // A workspace that is replaced is the new one.
    std::fs::rename(&place.workspace, place.base.join("old")).expect("renamed");
    std::fs::create_dir(&place.workspace).expect("made");
    assert_eq!(says(&sandbox, "echo new > file; ls").trim(), "file");
    assert!(place.workspace.join("file").exists());
    assert!(!place.base.join("old/file").exists());
    // A link that takes its place leads nowhere.
    std::fs::rename(&place.workspace, place.base.join("older")).expect("renamed");
    std::os::unix::fs::symlink(place.base.join("old"), &place.workspace).expect("linked");
    assert!(sandbox.command("touch").arg("x").status().is_err());
    assert!(!place.base.join("old/x").exists());
}

#[test]
fn temporary_files_stay_between_commands() {
    let place = place();
    let sandbox = warm(&place.base, Policy::default());
    says(&sandbox, "echo kept > \"$TMPDIR/kept\"; echo kept > /var/tmp/kept-too");
    assert_eq!(says(&sandbox, "cat \"$TMPDIR/kept\" /var/tmp/kept-too"), "kept\nkept\n");
    drop(sandbox);
    let again = warm(&place.base, Policy::default());
    assert_eq!(says(&again, "cat \"$TMPDIR/kept\""), "kept\n");
}

#[test]
fn a_command_goes_on_when_its_sandbox_is_dropped() {
    let place = place();
    let sandbox = warm(&place.base, Policy::default());
    let mut child = shell(&sandbox, "sleep 0.3; touch done").spawn().expect("starts");
    drop(sandbox);
    assert_eq!(child.wait().expect("ended").exit, Exit::Code(0));
    assert!(place.workspace.join("done").exists());
}

/// The children of all threads of a process.
fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    threads.flat_map(|thread| children_of(&thread.path())).collect()
}

fn children_of(thread: &Path) -> Vec<u32> {
    let list = std::fs::read_to_string(thread.join("children")).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Whether a process runs `sleep SECONDS`.
fn sleeps(seconds: &str) -> bool {
    let wanted = format!("sleep\0{seconds}\0");
    let processes = std::fs::read_dir("/proc").expect("readable").flatten();
    processes
        .map(|entry| entry.path().join("cmdline"))
        .any(|path| std::fs::read(path).is_ok_and(|line| line == wanted.as_bytes()))
}

/// Plays the launcher that is killed: a command at its station sleeps for the time in the environment.
fn launch_and_wait() {
    let base = PathBuf::from(std::env::var_os("BASE").expect("the test sets it"));
    let sandbox = warm(&base, Policy::default());
    let seconds = std::env::var("SECONDS").expect("the test sets it");
    let mut child = sandbox.command("sleep").arg(seconds).spawn().expect("starts");
    let mut out = std::io::stdout();
    out.write_all(b"\nstarted\n").and_then(|()| out.flush()).expect("the test reads it");
    let _killed_before = child.wait();
}

#[test]
fn nothing_outlives_a_launcher_that_is_killed_and_a_killed_station_is_replaced() {
    let place = place();
    let seconds = format!("3{}.5", std::process::id());
    let start = || {
        let mut launcher = Bare::new(own_program());
        launcher.args(PART_ARGS).env(PART, "launch").env("BASE", &place.base).env("SECONDS", &seconds);
        let mut launcher = launcher.stdout(BareStdio::piped()).spawn().expect("starts");
        let lines = BufReader::new(launcher.stdout.take().expect("piped")).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == "started"));
        launcher
    };
    let mut launcher = start();
    assert!(sleeps(&seconds));
    launcher.kill().expect("killed");
    launcher.wait().expect("reaped");
    wait_for("the end of the tree", || !sleeps(&seconds));

    // The station alone: its command dies with it.
    let mut launcher = start();
    let station = children(launcher.id());
    assert!(!station.is_empty(), "the launcher has a station");
    for pid in station {
        Bare::new("kill").args(["-9", &pid.to_string()]).status().expect("kill(1) runs");
    }
    wait_for("the end of the command", || !sleeps(&seconds));
    launcher.wait().expect("it saw its command die");
}

#[test]
fn a_station_that_was_killed_is_replaced() {
    let place = place();
    let sandbox = warm(&place.base, Policy::default());
    // Other tests of this process have stations too, in other threads.
    let stations = children_of(Path::new("/proc/thread-self"));
    assert!(!stations.is_empty(), "it is a child of the thread that started it");
    for pid in stations {
        Bare::new("kill").args(["-9", &pid.to_string()]).status().expect("kill(1) runs");
    }
    assert_eq!(says(&sandbox, "echo again").trim(), "again");
}
