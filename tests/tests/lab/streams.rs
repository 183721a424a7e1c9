//! What goes through standard streams, and how runs end.

use std::process::Stdio;

use super::harness::{Machine, finish};

/// Bytes that no code page and no line ending leaves alone.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(len)
    .collect()
}

/// Copies its input to its output and says `done`.
fn through(machine: &Machine, input: &[u8]) {
    let own = machine.own_path();
    let words = ["run", "--quiet", "--", &own, "attack", "cat", "."];
    let child = machine.command(words).stdin(Stdio::piped()).spawn().expect("the runner runs");
    let ended = finish(child, input);
    ended.expect_code(0);
    let end = ended.out.len().min(input.len());
    assert!(ended.out[..end] == *input, "{} of {} bytes came back, or others", ended.out.len(), input.len());
    assert_eq!(&ended.out[end..], b"done\n");
}

#[test]
fn field_report_15_a_patch_of_100_kib_on_stdin() {
    let Some(machine) = Machine::new("100 KiB on stdin") else { return };
    through(&machine, &noise(100 * 1024));
}

/// CODEX_SANDBOX_LAB_BYTES=1073741824 for the whole GiB.
#[test]
fn output_is_neither_lost_nor_cut() {
    let Some(machine) = Machine::new("much output, byte for byte") else { return };
    let asked = std::env::var("CODEX_SANDBOX_LAB_BYTES").ok().and_then(|text| text.parse().ok());
    through(&machine, &noise(asked.unwrap_or(32 << 20)));
}

#[test]
fn exit_codes_have_32_bits() {
    let Some(machine) = Machine::new("exit codes") else { return };
    machine.run(["cmd", "/c", "exit 7"]).expect_code(7);
    let ended = machine.run_with(&["--json"], ["cmd", "/c", "exit 305419896"]);
    assert_eq!(ended.json()["exit_code"], 0x1234_5678);
    // STATUS_ACCESS_VIOLATION, as a crashed program ends with.
    let ended = machine.run_with(&["--json"], ["cmd", "/c", "exit -1073741819"]);
    assert_eq!(ended.json()["exit_code"], -1_073_741_819);
}

#[test]
fn the_time_limit_is_124() {
    let Some(machine) = Machine::new("time limit") else { return };
    let ended =
        machine.run_with(&["--quiet", "--timeout", "1s"], ["cmd", "/c", "for /l %i in (0,0,1) do @rem"]);
    ended.expect_code(124);
    assert!(ended.err.contains("the time limit is over"), "{}", ended.err);
}

/// Ends when `marker` is in no process' command line any more.
pub fn gone(marker: &str) -> bool {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while std::time::Instant::now() < end {
        if processes(marker).is_empty() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    false
}

/// Wine shows a program's command line as Linux' own.
pub fn processes(marker: &str) -> Vec<(i32, String)> {
    let all = std::fs::read_dir("/proc").expect("Linux").flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let line = |pid| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = numbers.map(|pid| (pid, String::from_utf8_lossy(&line(pid)).replace('\0', " ")));
    text.filter(|(_, text)| text.contains(marker)).collect()
}

#[test]
fn field_report_30_killing_the_launcher_kills_the_tree() {
    let Some(machine) = Machine::new("killing the launcher") else { return };
    let marker = format!("marker{}", std::process::id());
    let forever = format!("for /l %i in (0,0,1) do @rem {marker}");
    // A loop that its own child of a child goes round in.
    let mut runner =
        machine.command(["run", "--quiet", "--", "cmd", "/c", "cmd", "/c", &forever]).spawn().expect("runs");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let is_loop = |text: &str| !text.contains("--quiet") && text.contains("cmd");
    while processes(&marker).iter().filter(|(_, text)| is_loop(text)).count() < 2 {
        assert!(std::time::Instant::now() < end, "the tree is there: {:?}", processes(&marker));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for (pid, _) in
        processes(&marker).iter().filter(|(_, text)| text.contains("--quiet") && !text.contains("/bin/sh"))
    {
        let pid = rustix::process::Pid::from_raw(*pid).expect("a process");
        let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    runner.wait().expect("it is dead");
    assert!(gone(&marker), "left: {:?}", processes(&marker));
}
