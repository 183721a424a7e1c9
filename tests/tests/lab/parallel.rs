//! Many runs at once, runs that are killed, and what runs leave running.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::harness::{Machine, User, finish};
use super::streams::{gone, processes};

#[test]
fn fifty_runs_at_once() {
    let Some(machine) = Machine::new("50 runs at once") else { return };
    let machine = machine.user(User::Filtered);
    let nested = machine.work().join("nested");
    fs::create_dir(&nested).expect("the workspace is writable");
    let folder = |n: usize| if n.is_multiple_of(5) { nested.clone() } else { machine.work() };
    let start = |n: usize| -> (usize, Child) {
        let line = format!(r"echo x> by-{n}.txt& echo x> C:\users\user\outside-{n}.txt& echo {n}");
        let command = ["run", "--quiet", "--", "cmd", "/c", &line];
        (n, machine.command_in(&folder(n), command).spawn().expect("the runner runs"))
    };
    let children: Vec<(usize, Child)> = (0..50).map(start).collect();
    for (n, child) in children {
        let ended = finish(child, &[]);
        assert_eq!(
            (ended.code, ended.text().as_str()),
            (Some(0), n.to_string().as_str()),
            "run {n}: {}",
            ended.err
        );
        assert!(folder(n).join(format!("by-{n}.txt")).exists(), "run {n}");
        assert!(!machine.home().join(format!("outside-{n}.txt")).exists(), "run {n}");
    }
    let status = machine.program(["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.out).expect("JSON");
    let roots: Vec<&str> =
        status["roots"].as_array().expect("a list").iter().filter_map(|root| root["root"].as_str()).collect();
    let mut once = roots.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), roots.len(), "one write SID a root: {roots:?}");
    machine.program(["teardown", "--all"]).expect_code(0);
    assert_eq!(machine.program(["teardown", "--all"]).text(), "nothing to remove");
}

/// At moments from the launcher's first instructions to long after the command runs.
#[test]
fn a_launcher_that_is_killed_at_any_moment_leaves_no_process_and_no_damage() {
    let Some(machine) = Machine::new("killing the launcher at any moment") else { return };
    let machine = machine.user(User::Filtered);
    for n in 0..40 {
        fs::create_dir_all(machine.work().join(format!("folder-{n}/.git")))
            .expect("the workspace is writable");
    }
    let mut ran = 0;
    for n in 0..12_u32 {
        let marker = format!("killed{}x{n}", std::process::id());
        let line = format!("echo x> ran-{n}.txt& for /l %i in (0,0,1) do @rem {marker}");
        let words = ["run", "--quiet", "--", "cmd", "/c", "cmd", "/c", &line];
        let mut runner = machine.command(words).spawn().expect("the runner runs");
        let launcher = wait_for(&marker);
        // Longer from round to round: what a first grant and a start take on a busy machine lies in between.
        std::thread::sleep(Duration::from_millis(u64::from(n * n) * 25));
        kill(launcher);
        runner.wait().expect("it is dead");
        assert!(gone(&marker), "round {n}: {:?}", processes(&marker));
        ran += u32::from(machine.work().join(format!("ran-{n}.txt")).exists());
        let again = machine.run(["cmd".to_owned(), "/c".to_owned(), format!("echo x> after-{n}.txt")]);
        again.expect_code(0);
        assert!(machine.work().join(format!("after-{n}.txt")).exists(), "round {n}: {}", again.err);
        // What a killed grant began is finished: the protected names are closed.
        machine.run(["cmd".to_owned(), "/c".to_owned(), format!(r"echo x> folder-{n}\.git\hook")]);
        assert!(!machine.work().join(format!("folder-{n}/.git/hook")).exists(), "round {n}");
        if n % 4 == 0 {
            machine.program(["teardown", "--all"]).expect_code(0);
        }
    }
    assert!(ran > 0, "in some rounds the command ran before it was killed");
    machine.program(["teardown", "--all"]).expect_code(0);
    assert_eq!(machine.program(["teardown", "--all"]).text(), "nothing to remove");
}

/// The launcher's process id, as soon as it is there.
fn wait_for(marker: &str) -> i32 {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let launcher = processes(marker).into_iter().find(|(_, text)| is_launcher(text));
        match launcher {
            Some((pid, _)) => return pid,
            None => assert!(Instant::now() < end, "the launcher is there: {:?}", processes(marker)),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Wine's own process of the program, and neither the shell script nor what `-l` starts it with.
fn is_launcher(text: &str) -> bool {
    text.contains("--quiet")
        && !text.contains("/bin/sh")
        && !text.contains("limited")
        && !text.contains("timeout")
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[test]
fn what_the_command_leaves_running_ends_with_it() {
    let test = "background processes";
    let Some(machine) = Machine::new(test) else { return };
    let Some(child) = machine.c_child(test) else { return };
    let file = machine.work().join("dots.txt");
    let linger = [child.as_str(), "spawn", child.as_str(), "linger", "dots.txt", "600"];
    machine.run(linger).expect_code(0);
    let dots = || fs::metadata(&file).map_or(0, |file| file.len());
    let before = dots();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(dots(), before, "nothing writes any more");
    assert_eq!(machine.outside_unheard(linger), Some(0));
    let end = Instant::now() + Duration::from_secs(20);
    while dots() <= before {
        assert!(Instant::now() < end, "without the sandbox it goes on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn detach_leaves_running_what_the_command_started_in_the_same_sandbox() {
    let test = "--detach";
    let Some(machine) = Machine::new(test) else { return };
    let machine = machine.user(User::Filtered);
    let Some(child) = machine.c_child(test) else { return };
    let linger = |file: &'static str| {
        [child.clone(), "spawn".into(), child.clone(), "linger".into(), file.to_owned(), "600".into()]
    };
    let detached = |words: [String; 6]| {
        let options = ["run", "--quiet", "--detach", "--"].map(str::to_owned);
        let mut command = machine.command(options.into_iter().chain(words));
        // In the lab what goes on keeps the standard streams.
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("the runner runs").code()
    };
    assert_eq!(detached(linger("dots.txt")), Some(0));
    assert_eq!(detached(linger(r"..\outside.txt")), Some(0));
    let file = machine.work().join("dots.txt");
    let dots = || fs::metadata(&file).map_or(0, |file| file.len());
    let before = dots();
    let end = Instant::now() + Duration::from_secs(20);
    while dots() < before + 3 {
        assert!(Instant::now() < end, "it goes on after the launcher's end");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!machine.home().join("outside.txt").exists(), "it is still in the sandbox");
    // A launcher that is killed while its command runs takes it along all the same.
    let marker = format!("detached{}", std::process::id());
    let forever = format!("for /l %i in (0,0,1) do @rem {marker}");
    let words = ["run", "--quiet", "--detach", "--", "cmd", "/c", "cmd", "/c", &forever];
    let mut runner = machine.command(words).spawn().expect("the runner runs");
    let end = Instant::now() + Duration::from_secs(60);
    while processes(&marker).iter().filter(|(_, text)| !text.contains("--quiet")).count() < 2 {
        assert!(Instant::now() < end, "the tree is there: {:?}", processes(&marker));
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(wait_for(&marker));
    runner.wait().expect("it is dead");
    assert!(gone(&marker), "left: {:?}", processes(&marker));
}
