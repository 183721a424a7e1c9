//! A command behaves in the sandbox as it does outside: streams, exit codes, working directory, environment.
#![cfg(target_os = "linux")]

use codex_sandbox_tests::{Place, each_user, have};

#[test]
fn streams_pass_through_unchanged() {
    each_user(|user| {
        let place = Place::new(user);
        // More than any pipe holds, and every byte value.
        let input: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let output = place.sandboxed(["sh", "-c", "cat; echo problem >&2"]).stdin(input.clone()).output();
        output.expect_code(0);
        assert!(output.stdout == input, "standard output differs");
        assert_eq!(output.err(), "problem", "nothing of ours on standard error");
    });
}

#[test]
fn a_pipeline_ends_by_sigpipe() {
    each_user(|user| {
        let place = Place::new(user);
        let script = "codex=$1; $codex run -- sh -c 'while echo y; do :; done' | head -n 2";
        let output = place.outside(["sh", "-c", script, "sh"]).arg(codex_sandbox_tests::program()).output();
        output.expect_code(0).expect_out("y\ny");
    });
}

#[test]
fn exit_codes_are_the_commands_own() {
    each_user(|user| {
        let place = Place::new(user);
        for code in [0, 1, 2, 3, 42, 100, 124, 125, 126, 127, 128, 200, 255] {
            place.sh(&format!("exit {code}")).expect_code(code);
        }
    });
}

#[test]
fn a_signals_death_is_reported_as_128_and_its_number() {
    each_user(|user| {
        let place = Place::new(user);
        for (name, number) in [("HUP", 1), ("INT", 2), ("ABRT", 6), ("KILL", 9), ("SEGV", 11), ("TERM", 15)] {
            let output = place.sh(&format!("ulimit -c 0; kill -{name} $$"));
            output.expect_code(128 + number);
        }
    });
}

#[test]
fn a_program_that_is_not_there_gives_127() {
    each_user(|user| {
        let place = Place::new(user);
        for name in ["no-such-program", "./no-such-program", "/no/such/program"] {
            place.run([name]).expect_code(127).expect_err(&[name, "not found", "remedy"]);
        }
    });
}

#[test]
fn a_program_that_cannot_be_executed_gives_126() {
    each_user(|user| {
        let place = Place::new(user);
        place.write("plain", "text\n");
        place.mkdir("folder");
        place.script("bad-interpreter", "#!/no/such/interpreter\n");
        place.run(["./plain"]).expect_code(126).expect_err(&["plain", "ermission", "remedy"]);
        place.run(["./folder"]).expect_code(126).expect_err(&["folder", "remedy"]);
        // The interpreter is what is missing: shells say 126, env(1) and execvp say "not found".
        let output = place.run(["./bad-interpreter"]);
        assert!(matches!(output.code(), Some(126 | 127)), "{output}");
        output.expect_err(&["bad-interpreter", "interpreter"]);
    });
}

#[test]
fn the_time_limit_gives_124_and_kills_the_whole_tree() {
    each_user(|user| {
        let place = Place::new(user);
        let marker = codex_sandbox_tests::Marker::new();
        let script = format!("trap '' TERM; setsid sleep {m} & sleep {m}", m = marker.as_str());
        let output = place.sandboxed(["sh", "-c", &script]).flags(["--timeout", "300ms"]).output();
        output.expect_code(124).expect_err(&["time limit"]);
        marker.expect_gone();
        // One that ends in time is not touched.
        place.sandboxed(["sh", "-c", "exit 5"]).flags(["--timeout", "1h"]).output().expect_code(5);
    });
}

#[test]
fn a_program_is_found_by_path_and_in_the_working_directory() {
    each_user(|user| {
        let place = Place::new(user);
        let script = "#!/bin/sh\necho \"$0 $*\"\n";
        place.script("bin/tool", script);
        place.run(["bin/tool", "a b", "", "c"]).expect_code(0).expect_out("bin/tool a b  c");
        let path = format!("{}:/usr/bin:/bin", place.path("bin").display());
        let found = place.sandboxed(["tool"]).env("PATH", &path).output();
        found.expect_code(0).expect_out(place.path("bin/tool").to_str().expect("the path is ASCII"));
        // A script without `#!` is run by the shell, as execvp(3) does.
        place.script("plain-script", "echo by the shell\n");
        let inside = place.run(["./plain-script"]);
        let outside = place.outside(["env", "./plain-script"]).output();
        assert_eq!((inside.code(), inside.out()), (outside.code(), outside.out()), "{inside}");
    });
}

#[test]
fn arguments_arrive_as_they_were_given() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    each_user(|user| {
        let place = Place::new(user);
        let words: Vec<&OsStr> =
            [b"printf".as_slice(), b"%s|", b"--json", b"-c", b"--", b"a\nb", b"\xff\xfe", b""]
                .map(OsStr::from_bytes)
                .into();
        let output = place.run(words);
        output.expect_code(0);
        assert_eq!(output.stdout, b"--json|-c|--|a\nb|\xff\xfe||");
    });
}

#[test]
fn the_working_directory_is_the_callers() {
    each_user(|user| {
        for place in [Place::new(user), Place::in_tmp(user)] {
            place.mkdir("deep/er");
            let shown = place.path("deep/er").display().to_string();
            let run = place.sandboxed(["pwd", "-P"]);
            run.clone().cwd("deep/er").output().expect_code(0).expect_out(&shown);
            run.clone().flags(["--cwd", "deep/er"]).output().expect_code(0).expect_out(&shown);
            run.clone().flags(["-C", &shown]).cwd("/").output().expect_code(0).expect_out(&shown);
            // PWD must not keep the caller's folder.
            let pwd =
                place.sandboxed(["sh", "-c", "echo $PWD"]).flags(["-C", &shown]).env("PWD", "/").output();
            pwd.expect_out(&shown);
        }
    });
}

#[test]
fn the_folder_given_by_cwd_is_the_workspace() {
    each_user(|user| {
        let place = Place::new(user);
        place.mkdir("inner");
        let run = place.sandboxed(["sh", "-c", "touch here; touch ../above"]).flags(["--cwd", "inner"]);
        run.output().expect_code(1).expect_err(&["above", "Read-only file system"]);
        assert!(place.path("inner/here").exists());
        assert!(!place.path("above").exists());
    });
}

#[test]
fn the_environment_passes_on_and_can_be_chosen() {
    each_user(|user| {
        let place = Place::new(user);
        let run = place.sandboxed(["env"]).env("KEPT", "1").env("CHANGED", "old");
        let lines = |run: codex_sandbox_tests::Run| -> Vec<String> {
            run.output().expect_code(0).out().lines().map(str::to_owned).collect()
        };
        let seen = lines(run.clone().flags(["--env", "CHANGED=new=value", "-e", "EMPTY="]));
        for line in ["KEPT=1", "CHANGED=new=value", "EMPTY="] {
            assert!(seen.iter().any(|seen| seen == line), "{line} is missing: {seen:?}");
        }
        let seen = lines(run.flags(["--clear-env", "--env", "KEPT", "--env", "NOT_SET", "--env", "A=b"]));
        for line in ["KEPT=1", "A=b"] {
            assert!(seen.iter().any(|seen| seen == line), "{line} is missing: {seen:?}");
        }
        for name in ["CHANGED=", "NOT_SET", "LANG="] {
            assert!(!seen.iter().any(|seen| seen.starts_with(name)), "{name} is there: {seen:?}");
        }
    });
}

#[test]
fn the_environment_is_in_no_command_line() {
    each_user(|user| {
        let place = Place::new(user);
        let marker = codex_sandbox_tests::Marker::new();
        let live = place.sandboxed(["sleep", marker.as_str()]).env("SECRET", "hunter2hunter2").start();
        marker.wait_for_sleepers(1);
        for entry in std::fs::read_dir("/proc").expect("/proc can be listed").flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            assert!(!line.contains("hunter2hunter2"), "{}: {line}", entry.path().display());
        }
        live.signal(rustix::process::Signal::KILL);
        drop(live);
        marker.expect_gone();
    });
}

#[test]
fn it_runs_as_from_cron_without_home_or_terminal() {
    each_user(|user| {
        let place = Place::new(user);
        let script = "echo $((40 + 2)) > result; test -n \"$TMPDIR\" && echo x > \"$TMPDIR/f\" && echo ready";
        let run = place.sandboxed(["sh", "-c", script]).env_remove("HOME").env_remove("LANG");
        run.clone().output().expect_code(0).expect_out("ready");
        assert_eq!(place.read("result"), b"42\n");
        // HOME that is empty, relative, or not there.
        for home in ["", "relative", "/no/such/home"] {
            run.clone().env("HOME", home).output().expect_code(0).expect_out("ready");
        }
    });
}

#[test]
fn an_empty_environment_is_enough() {
    each_user(|user| {
        let place = Place::new(user);
        place.sandboxed(["/bin/sh", "-c", "echo ready"]).wrapped(["env", "-i"]).output().expect_out("ready");
    });
}

#[test]
fn closed_standard_streams_do_no_harm() {
    each_user(|user| {
        let place = Place::new(user);
        // What is closed must not become some file of ours, and must not stop the command.
        let script = "ls -l /proc/self/fd >fds 2>&1; echo done >done";
        for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
            let start = format!("exec \"$@\" {closed}");
            let words = ["sh", "-c", &start, "sh"].map(str::to_owned);
            let output = place.sandboxed(["sh", "-c", script]).wrapped(words).output();
            assert_eq!(output.code(), Some(0), "{closed}: {output}");
            assert_eq!(place.read("done"), b"done\n", "{closed}");
            std::fs::remove_file(place.path("done")).expect("the command made it");
        }
    });
}

#[test]
fn descriptors_of_a_careless_caller_are_closed() {
    each_user(|user| {
        let place = Place::new(user);
        let secret = place.write(place.outside_dir().join("secret"), "secret\n");
        let start = format!("exec \"$@\" 7<>'{}' 9<'{}'", secret.display(), place.outside_dir().display());
        let script = "ls /proc/self/fd; cat <&7; echo overwritten >&7";
        let words = ["sh", "-c", &start, "sh"].map(str::to_owned);
        let inside = place.sandboxed(["sh", "-c", script]).wrapped(words.clone()).output();
        assert!(!inside.out().contains("secret"), "{inside}");
        assert_eq!(place.read(&secret), b"secret\n");
        // The same outside reaches it.
        place.outside(["sh", "-c", script]).wrapped(words).output();
        assert_ne!(place.read(&secret), b"secret\n");
    });
}

#[test]
fn quiet_and_json_say_how_it_ended() {
    each_user(|user| {
        let place = Place::new(user);
        let output = place.sandboxed(["sh", "-c", "kill -9 $$"]).flags(["--json"]).output();
        output.expect_code(137);
        let line = output.err();
        let report: serde_json::Value = serde_json::from_str(&line).expect("one line of JSON");
        assert_eq!(report["exit_code"], 137, "{line}");
        assert_eq!(report["outcome"]["exit"]["how"], "signal", "{line}");
        assert_eq!(report["outcome"]["exit"]["value"], 9, "{line}");
        assert!(report["outcome"]["enforcement"]["strength"].is_string(), "{line}");
    });
}

#[test]
fn two_runs_at_once_share_a_workspace() {
    each_user(|user| {
        let place = Place::new(user);
        let script = "echo $1 > from-$1; i=0; until test -s from-$2; do i=$((i+1)); test $i -lt 1000 || exit 9; \
                      sleep 0.01; done; echo $1 > $TMPDIR/$1; cat from-$2";
        let one = place.sandboxed(["sh", "-c", script, "sh", "one", "two"]).start();
        let two = place.sandboxed(["sh", "-c", script, "sh", "two", "one"]).start();
        one.wait().expect_code(0).expect_out("two");
        two.wait().expect_code(0).expect_out("one");
    });
}

#[test]
fn many_runs_at_once() {
    each_user(|user| {
        let place = Place::new(user);
        let runs: Vec<_> = (0..20)
            .map(|number| {
                let name = format!("/tmp/cst-many-{number}");
                place
                    .sandboxed([
                        "sh",
                        "-c",
                        "echo $1 > f$1; echo x > $2; cat f$1",
                        "sh",
                        &number.to_string(),
                        &name,
                    ])
                    .start()
            })
            .collect();
        for (number, live) in runs.into_iter().enumerate() {
            live.wait().expect_code(0).expect_out(&number.to_string());
        }
    });
}

#[test]
fn a_run_inside_a_run_is_refused() {
    each_user(|user| {
        let place = Place::new(user);
        let words = [
            codex_sandbox_tests::program().to_str().expect("the path is ASCII"),
            "run",
            "--",
            "touch",
            "made",
        ];
        let output = place.run(words);
        output.expect_code(125).expect_err(&["sandbox", "remedy"]);
        assert!(!place.path("made").exists(), "it ran: {output}");
    });
}

#[test]
fn limits_hold() {
    each_user(|user| {
        let place = Place::new(user);
        if !have(&["python3"]) {
            return;
        }
        let script = "b = bytearray(400 << 20)\nprint(len(b))";
        let run = place.sandboxed(["python3", "-c", script]);
        run.clone().output().expect_code(0).expect_out("419430400");
        let output = run.flags(["--memory", "200M"]).output();
        assert_ne!(output.code(), Some(0), "{output}");
        let script = "import os, sys, time\nfor n in range(60):\n  try:\n    pid = os.fork()\n  except OSError:\n    print('refused'); break\n  if pid == 0:\n    time.sleep(60); os._exit(0)\nelse:\n  print('all')";
        let run = place.sandboxed(["python3", "-c", script]);
        run.clone().output().expect_out("all");
        let limited = run.flags(["--processes", "20"]).output();
        // rlimits do not bind root: without a cgroup the run has to say so.
        let said = limited.err().contains("process limit");
        assert!(limited.out() == "refused" || (user.is_root() && said), "{limited}");
    });
}

#[test]
fn danger_full_access_says_that_there_is_no_sandbox() {
    each_user(|user| {
        let place = Place::new(user);
        let target = place.outside_dir().join("made");
        let target = target.to_str().expect("the path is ASCII");
        let output = place.sandboxed(["touch", target]).flags(["--mode", "danger-full-access"]).output();
        output.expect_code(0).expect_err(&["danger-full-access"]);
        assert!(std::path::Path::new(target).exists());
    });
}

/// glibc's pthread_setname_np writes this file.
#[test]
fn a_thread_names_another() {
    if !have(&["python3"]) {
        return;
    }
    let script = "import threading\n\
        stop = threading.Event(); other = threading.Thread(target=stop.wait); other.start()\n\
        try:\n    \
            path = '/proc/self/task/%d/comm' % other.native_id\n    \
            open(path, 'w').write('worker'); print(open(path).read().strip())\n\
        finally: stop.set()\n";
    each_user(|user| {
        let place = Place::new(user);
        place.write("name.py", script);
        assert_eq!(place.outside(["python3", "name.py"]).output().out(), "worker", "it works outside");
        place.run(["python3", "name.py"]).expect_code(0).expect_out("worker");
    });
}
