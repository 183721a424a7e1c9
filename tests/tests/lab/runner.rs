//! Commands of the elevated tier: another account, through a runner.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::harness::{Ended, Machine, finish, skipped};
use super::streams::{gone, noise, processes};

const RUNNER: &str = "codex-command-runner";

/// A machine that is set up; `None`, and said so, without a lab.
fn ready(test: &str) -> Option<Machine> {
    let machine = Machine::new(test)?;
    let beside =
        PathBuf::from(std::env::var_os("CODEX_SANDBOX_EXE")?).with_file_name("codex-command-runner.exe");
    if !beside.is_file() {
        skipped(test, "the runner's program is not beside the other one");
        return None;
    }
    let ended = machine.program(["setup", "--wait"]);
    let status = machine.program(["status"]);
    assert!(status.text().contains("ready"), "{}\n{}\n{}", ended.text(), ended.err, status.text());
    Some(machine)
}

/// The example `runner` of the library, as Windows sees it. `None`, and said so, where it is not built.
fn example(test: &str) -> Option<String> {
    let path =
        PathBuf::from(std::env::var_os("CODEX_SANDBOX_EXE")?).with_file_name("examples").join("runner.exe");
    if !path.is_file() {
        skipped(test, "the library's example `runner` is not built for Windows");
        return None;
    }
    Some(format!("Z:{}", path.display()).replace('/', "\\"))
}

fn run(machine: &Machine, line: &str) -> Ended {
    machine.run(["cmd", "/c", line])
}

#[test]
fn commands_are_the_sandbox_accounts_and_write_in_the_root_alone() {
    let Some(machine) = ready("the sandbox account's commands") else { return };
    let ended = run(&machine, "echo %USERNAME%& whoami& echo x> in.txt& type in.txt");
    let text = ended.expect_code(0).text();
    assert!(
        text.starts_with("CodexSandboxOffline\n") && text.ends_with("\\CodexSandboxOffline\nx"),
        "{text}"
    );
    assert!(machine.work().join("in.txt").is_file());
    let online = machine.run_with(&["--quiet", "--network"], ["whoami"]);
    assert!(online.expect_code(0).text().ends_with("\\CodexSandboxOnline"), "{}", online.text());
    // Where the account itself may write, and where everybody may: the restricting SIDs are in between.
    for outside in
        [r"C:\users\Public\evil.txt", r"C:\users\user\evil.txt", r"C:\evil.txt", r"C:\windows\temp\evil.txt"]
    {
        run(&machine, &format!("echo x> {outside}"));
        let path = machine.home().join("../..").join(outside.trim_start_matches(r"C:\").replace('\\', "/"));
        assert!(!path.exists(), "{outside}");
        let plain = machine.outside(["cmd", "/c", &format!("echo x> {outside}")]);
        assert!(path.exists(), "without the sandbox {outside} is written: {}", plain.err);
    }
    run(&machine, "mkdir .git\\hooks& mkdir .codex\\x");
    assert!(!machine.work().join(".codex/x").exists());
}

#[test]
fn streams_are_whole() {
    let Some(machine) = ready("the runner's streams") else { return };
    let own = machine.own_path();
    for len in [0, 1, 100 << 10] {
        let sent = noise(len);
        let words = ["run", "--quiet", "--", &own, "attack", "cat", "."];
        let ended = finish(machine.command(words).stdin(Stdio::piped()).spawn().expect("runs"), &sent);
        ended.expect_code(0);
        let (back, end) = ended.out.split_at(ended.out.len().min(len));
        assert!(back == sent && end == b"done\n", "{} of {len} bytes came back, or others", back.len());
    }
}

#[test]
fn exit_codes_have_32_bits() {
    let Some(machine) = ready("the runner's exit codes") else { return };
    run(&machine, "exit 7").expect_code(7);
    let ended = machine.run_with(&["--json"], ["cmd", "/c", "echo err>&2& exit -1073741819"]);
    assert_eq!(ended.json()["exit_code"], -1_073_741_819);
    assert!(ended.err.starts_with("err"), "{}", ended.err);
    let late =
        machine.run_with(&["--quiet", "--timeout", "1s"], ["cmd", "/c", "for /l %i in (0,0,1) do @rem"]);
    late.expect_code(124);
    machine.run(["no-such-program"]).expect_code(127);
}

/// The Linux processes of this machine's runners: their launcher's prefix is in their environment.
fn runners(machine: &Machine) -> Vec<i32> {
    let prefix = machine.home().join("../../..").canonicalize().expect("it is there");
    let here = |pid: i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&*prefix.to_string_lossy())
    };
    processes(RUNNER).into_iter().map(|(pid, _)| pid).filter(|pid| here(*pid)).collect()
}

/// Files and threads that a process has open, as Linux counts.
fn open(pid: i32) -> (usize, usize) {
    let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, Iterator::count);
    (count("fd"), count("task"))
}

#[test]
fn one_runner_serves_many_commands_and_grows_no_fatter() {
    let test = "many commands through one runner";
    let Some(machine) = ready(test) else { return };
    let Some(example) = example(test) else { return };
    // CODEX_SANDBOX_LAB_COMMANDS=1000 for all of them.
    let count = std::env::var("CODEX_SANDBOX_LAB_COMMANDS").unwrap_or_else(|_| "200".to_owned());
    let mut command = machine.any(&machine.work());
    let child = command.args([&example, "many", &count]).spawn().expect("runs");
    let (mut seen, mut counts) = (BTreeSet::new(), Vec::new());
    let sampler = std::thread::spawn(move || finish(child, &[]));
    while !sampler.is_finished() {
        for pid in runners(&machine) {
            seen.insert(pid);
            counts.push(open(pid));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let ended = sampler.join().expect("no panic");
    ended.expect_code(0);
    assert!(ended.text().contains(&format!("{count} handles")), "{}", ended.text());
    assert_eq!(seen.len(), 1, "runners: {seen:?}");
    let most = |part: &[(usize, usize)]| {
        part.iter().fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)))
    };
    let (first, last) = (most(&counts[..counts.len() / 4]), most(&counts[counts.len() * 3 / 4..]));
    println!(
        "{count} commands: at most {first:?} files and threads in the first quarter, {last:?} in the last"
    );
    assert!(last.0 <= first.0 + 3 && last.1 <= first.1 + 3, "{first:?}, then {last:?}");
    assert!(gone_runners(&machine), "the runner ends with its launcher");
}

#[test]
fn commands_at_a_time_share_a_runner() {
    let test = "parallel commands through one runner";
    let Some(machine) = ready(test) else { return };
    let Some(example) = example(test) else { return };
    let ended = machine.outside([&*example, "parallel", "24"]);
    assert_eq!(ended.expect_code(0).text(), "24 at a time, runners: 1");
}

fn gone_runners(machine: &Machine) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    while !runners(machine).is_empty() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// A command that goes round for ever with a child of its own, and its launcher.
fn endless(machine: &Machine, marker: &str) -> Child {
    let forever = format!("for /l %i in (0,0,1) do @rem {marker}");
    // Winlab takes a killed program for one whose time is up, and ends the lab's server; the next one keeps the streams of its starter.
    let started = machine.outside_unheard(["cmd", "/c", "exit 0"]);
    assert_eq!(started, Some(0));
    let mut command = machine.command(["run", "--quiet", "--", "cmd", "/c", "cmd", "/c", &forever]);
    command.spawn().expect("runs")
}

fn until_it_runs(marker: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while commands(marker).len() < 2 {
        assert!(Instant::now() < end, "the tree is there: {:?}", processes(marker));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn commands(marker: &str) -> Vec<i32> {
    let all = processes(marker).into_iter();
    all.filter(|(_, text)| !text.contains("--quiet") && text.contains("cmd")).map(|(pid, _)| pid).collect()
}

fn launchers(marker: &str) -> Vec<i32> {
    let all = processes(marker).into_iter();
    all.filter(|(_, text)| text.contains("--quiet") && !text.contains("/bin/sh"))
        .map(|(pid, _)| pid)
        .collect()
}

#[test]
fn whoever_is_killed_nothing_is_left() {
    let Some(machine) = ready("killing launcher, runner, command") else { return };
    // The launcher, from before its runner is there until long after.
    for pause in [0, 50, 150, 300, 600, 1500] {
        let marker = format!("launcher{pause}x{}", std::process::id());
        let mut child = endless(&machine, &marker);
        let end = Instant::now() + Duration::from_secs(30);
        while launchers(&marker).is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(pause));
        launchers(&marker).into_iter().for_each(kill);
        child.wait().expect("it is dead");
        assert!(gone(&marker), "after {pause} ms: {:?}", processes(&marker));
        assert!(gone_runners(&machine), "after {pause} ms a runner is left");
    }
    // The runner: its launcher says so.
    let marker = format!("runner{}", std::process::id());
    let child = endless(&machine, &marker);
    until_it_runs(&marker);
    runners(&machine).into_iter().for_each(kill);
    let ended = finish(child, &[]);
    ended.expect_code(125);
    assert!(ended.err.contains("the runner of the sandbox account ended"), "{}", ended.err);
    assert!(gone(&marker), "{:?}", processes(&marker));
    // The command.
    let marker = format!("command{}", std::process::id());
    let child = endless(&machine, &marker);
    until_it_runs(&marker);
    commands(&marker).into_iter().for_each(kill);
    let ended = finish(child, &[]);
    assert_ne!(ended.code, Some(0), "{}", ended.err);
    assert!(gone(&marker) && gone_runners(&machine), "{:?}", processes(&marker));
}

/// The lab keeps its accounts in the registry.
fn change_account(machine: &Machine, value: &str, kind: &str, data: &str) {
    let key = r"HKLM\Software\Wine\Lab\Accounts\CodexSandboxOffline";
    let ended = machine.outside(["reg", "add", key, "/v", value, "/t", kind, "/d", data, "/f"]);
    ended.expect_code(0);
}

#[test]
fn what_keeps_the_runner_from_starting_is_said_and_nothing_runs_in_its_place() {
    let Some(machine) = ready("no logon, no runner") else { return };
    let refused = |code: &str| {
        for options in [&["--json"][..], &["--json", "-c", "windows.sandbox=\"elevated\""]] {
            let ended = machine.run_with(options, ["cmd", "/c", "echo x> ran.txt"]);
            ended.expect_code(125);
            assert!(ended.err.contains(code), "{code}: {}", ended.err);
            assert!(!machine.work().join("ran.txt").exists(), "no step down to the unelevated tier");
        }
    };
    run(&machine, "echo x> before.txt").expect_code(0);
    let flags = machine.outside([
        "reg",
        "query",
        r"HKLM\Software\Wine\Lab\Accounts\CodexSandboxOffline",
        "/v",
        "Flags",
    ]);
    let flags = flags.text().rsplit("0x").next().and_then(|text| u32::from_str_radix(text.trim(), 16).ok());
    let flags = flags.expect("the lab's account has flags");
    change_account(&machine, "Flags", "REG_DWORD", &(flags | 2).to_string());
    refused("runner.account-disabled");
    change_account(&machine, "Flags", "REG_DWORD", &flags.to_string());
    run(&machine, "echo x> again.txt").expect_code(0);
    change_account(&machine, "Password", "REG_BINARY", &"ab".repeat(16));
    refused("runner.password");
}

#[test]
fn the_account_without_a_network_has_none() {
    let test = "the Offline account's network";
    let Some(machine) = ready(test) else { return };
    let Some(example) = example(test) else { return };
    // Another address of this machine than loopback: no packet leaves it, and loopback is let through by Windows Firewall.
    let Some(address) = own_address() else {
        return skipped(test, "this machine has no address but loopback");
    };
    let listener = TcpListener::bind((address, 0)).expect("an address of ours");
    let to = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        listener.incoming().for_each(|stream| _ = stream.map(|mut stream| stream.write_all(b"x")));
    });
    let outside = machine.outside([&*example, "connect", &to]);
    assert_eq!(outside.expect_code(0).text(), "connected", "without the sandbox");
    let offline = machine.run([&*example, "connect", &to]);
    assert!(
        offline.code == Some(1) && offline.text().contains("10013"),
        "{} {}",
        offline.text(),
        offline.err
    );
    let online = machine.run_with(&["--quiet", "--network"], [&*example, "connect", &to]);
    assert_eq!(online.expect_code(0).text(), "connected", "as the Online account");
}

/// By a route that is looked up and not used.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}
