//! Terminals and signals: what the user's keys and `kill` do.
#![cfg(target_os = "linux")]

use codex_sandbox_tests::{Marker, Place, Terminal, each_user, eventually, have};
use rustix::process::Signal;

/// Counts signals, ends by the third line on its input or after the first signal is counted, with code 7.
const COUNTER: &str = r#"
n=0
trap 'n=$((n + 1))' INT
echo ready
i=0
while test $n -eq 0 && test $i -lt 2000; do sleep 0.01; i=$((i + 1)); done
sleep 0.3
echo "signals: $n"
exit 7
"#;

#[test]
fn ctrl_c_reaches_the_command_once_and_its_code_comes_back() {
    each_user(|user| {
        let place = Place::new(user);
        let mut terminal = Terminal::start(&place.sandboxed(["sh", "-c", COUNTER]));
        terminal.wait_for("ready");
        terminal.type_in("\x03");
        let (status, text) = terminal.wait();
        assert!(text.contains("signals: 1"), "{text}");
        assert_eq!(status.code(), Some(7), "{text}");
    });
}

#[test]
fn ctrl_c_ends_a_command_that_does_not_care() {
    each_user(|user| {
        let place = Place::new(user);
        let marker = Marker::new();
        let mut terminal = Terminal::start(&place.sandboxed(["sleep", marker.as_str()]));
        marker.wait_for_sleepers(1);
        terminal.type_in("\x03");
        let (status, text) = terminal.wait();
        assert!(
            status.code() == Some(130) || std::os::unix::process::ExitStatusExt::signal(&status) == Some(2),
            "{status} {text}"
        );
        marker.expect_gone();
    });
}

#[test]
fn ctrl_backslash_and_hangup_end_the_tree() {
    each_user(|user| {
        let place = Place::new(user);
        let marker = Marker::new();
        let script = format!("ulimit -c 0; sleep {m} & exec sleep {m}", m = marker.as_str());
        let mut terminal = Terminal::start(&place.sandboxed(["sh", "-c", &script]));
        marker.wait_for_sleepers(2);
        terminal.type_in("\x1c");
        let (status, text) = terminal.wait();
        assert!(!status.success(), "{text}");
        marker.expect_gone();
        // The window is closed.
        let terminal = Terminal::start(&place.sandboxed(["sh", "-c", &script]));
        marker.wait_for_sleepers(2);
        terminal.hang_up();
        marker.expect_gone();
    });
}

#[test]
fn the_windows_size_is_seen_and_its_changes_too() {
    each_user(|user| {
        let place = Place::new(user);
        let script = "trap 'stty size; exit 0' WINCH; stty size; echo ready; i=0; \
                      while test $i -lt 2000; do sleep 0.01; i=$((i + 1)); done; exit 9";
        let terminal = Terminal::start(&place.sandboxed(["sh", "-c", script]));
        terminal.wait_for("24 80");
        terminal.wait_for("ready");
        terminal.resize(50, 132);
        let (status, text) = terminal.wait();
        assert!(text.contains("50 132"), "{text}");
        assert_eq!(status.code(), Some(0), "{text}");
    });
}

#[test]
fn the_terminal_is_the_commands_own() {
    each_user(|user| {
        let place = Place::new(user);
        let script = "test -t 0 && test -t 1 && test -t 2 && echo all three; echo by name > /dev/tty; tty && read line && echo \"got $line\"";
        let mut terminal = Terminal::start(&place.sandboxed(["sh", "-c", script]));
        terminal.wait_for("by name");
        terminal.type_in("typed\n");
        let (status, text) = terminal.wait();
        assert!(text.contains("all three") && text.contains("got typed"), "{text}");
        assert_eq!(status.code(), Some(0), "{text}");
    });
}

#[test]
fn the_terminals_modes_are_as_before() {
    each_user(|user| {
        let place = Place::new(user);
        // Raw mode set inside is what the user sees outside too, as without a sandbox; nothing of ours changes it.
        let script = "stty -g; \"$1\" run -- sh -c 'stty -g; stty raw; stty sane'; stty -g";
        let run = place.outside(["sh", "-c", script, "sh"]).arg(codex_sandbox_tests::program());
        let (_, text) = Terminal::start(&run).wait();
        let modes: Vec<&str> = text.lines().map(str::trim).filter(|line| line.contains(':')).collect();
        assert_eq!(modes.len(), 3, "{text}");
        assert_eq!(modes[0], modes[1], "{text}");
    });
}

#[test]
fn an_interactive_shell_has_job_control() {
    if !have(&["bash"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let mut terminal = Terminal::start(
            &place.sandboxed(["bash", "--norc", "-i"]).env("PS1", "prompt> ").env("TERM", "dumb"),
        );
        terminal.wait_for("prompt> ");
        let marker = Marker::new();
        terminal.type_in(&format!("sleep {}\n", marker.as_str()));
        wait_for_foreground(&marker);
        terminal.type_in("\x1a");
        terminal.wait_for("Stopped");
        terminal.type_in("fg\n");
        wait_for_foreground(&marker);
        terminal.type_in("\x03");
        marker.expect_gone();
        terminal.type_in("echo code $?\n");
        terminal.wait_for("code 130");
        terminal.type_in("exit 3\n");
        let (status, text) = terminal.wait();
        assert!(!text.contains("no job control"), "{text}");
        assert_eq!(status.code(), Some(3), "{text}");
    });
}

#[test]
fn ctrl_z_stops_the_run_and_it_can_go_on() {
    if !have(&["bash"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let marker = Marker::new();
        let shell = place.outside(["bash", "--norc", "-i"]).env("PS1", "prompt> ").env("TERM", "dumb");
        let mut terminal = Terminal::start(&shell);
        terminal.wait_for("prompt> ");
        let line = format!("{} run -- sleep {}\n", codex_sandbox_tests::program().display(), marker.as_str());
        terminal.type_in(&line);
        wait_for_foreground(&marker);
        terminal.type_in("\x1a");
        terminal.wait_for("Stopped");
        terminal.type_in("echo still $((20 + 22)); kill %1; fg\n");
        terminal.wait_for("still 42");
        terminal.type_in("exit 0\n");
        let (_, _text) = terminal.wait();
        marker.expect_gone();
    });
}

#[test]
fn sigterm_is_forwarded_and_the_commands_code_comes_back() {
    each_user(|user| {
        let place = Place::new(user);
        let script = "trap 'echo cleaned up; exit 9' TERM; echo ready; i=0; \
                      while test $i -lt 2000; do sleep 0.01; i=$((i + 1)); done";
        for signal in [Signal::TERM, Signal::HUP, Signal::USR1, Signal::QUIT] {
            let script = script.replace("TERM", signal_name(signal));
            let live = place.sandboxed(["sh", "-c", &script]).start();
            live.wait_for_out("ready");
            live.signal(signal);
            live.wait().expect_code(9).expect_out("ready\ncleaned up");
        }
    });
}

#[test]
fn sigterm_reaches_the_command_from_its_first_moment() {
    each_user(|user| {
        let place = Place::new(user);
        for _ in 0..20 {
            let live = place
                .sandboxed(["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"])
                .start();
            live.wait_for_out("ready");
            live.signal(Signal::TERM);
            live.wait().expect_code(9);
        }
    });
}

#[test]
fn sigterm_to_a_command_that_dies_of_it() {
    each_user(|user| {
        let place = Place::new(user);
        let live = place.sandboxed(["sh", "-c", "echo ready; while :; do sleep 0.01; done"]).start();
        live.wait_for_out("ready");
        live.signal(Signal::TERM);
        let output = live.wait();
        assert!(output.code() == Some(143) || output.signal() == Some(15), "{output}");
    });
}

#[test]
fn ignored_signals_stay_ignored() {
    each_user(|user| {
        let place = Place::new(user);
        // nohup(1) works by this.
        let run = place.sandboxed(["sh", "-c", "grep SigIgn /proc/self/status"]);
        let inside = run.clone().wrapped(["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]).output();
        let mask = inside.out().split_whitespace().last().and_then(|mask| u64::from_str_radix(mask, 16).ok());
        assert_eq!(mask.map(|mask| mask & 1), Some(1), "SIGHUP is ignored inside: {inside}");
        // And none of ours is passed on: the command has what the launcher itself was started with (posix_spawn(3) of whoever
        // started it ignores signals that the C library keeps for itself).
        let signals = "grep -E 'Sig(Ign|Blk)' /proc/self/status";
        let both = place.sandboxed(["sh", "-c", signals]);
        let script = format!("{signals}; exec \"$@\"");
        let both = both.wrapped(["sh", "-c", script.as_str(), "sh"]).output();
        let lines: Vec<_> = both.out().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 4, "{both}");
        assert_eq!(lines[..2], lines[2..], "{both}");
    });
}

/// Waits until the sleeper runs and its process group has the terminal: shells see to that a moment after the start.
fn wait_for_foreground(marker: &Marker) {
    let in_foreground = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // proc_pid_stat(5): after the name come state, ppid, pgrp, session, tty_nr, tpgid.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.len() > 5 && fields[0] != "T" && fields[2] == fields[5]
    };
    let ready = eventually(|| marker.sleepers().into_iter().any(in_foreground));
    assert!(ready, "never in the foreground: {:?}", marker.processes());
}

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::TERM => "TERM",
        Signal::HUP => "HUP",
        Signal::USR1 => "USR1",
        _ => "QUIT",
    }
}
