//! Where user namespaces are refused: Landlock and seccomp, saying what is weaker; never nothing.
#![cfg(target_os = "linux")]

use std::ffi::OsString;

use codex_sandbox_tests::{Marker, Place, Run, User, each_user, op, probe, skip};

/// How the machine refuses, by words that start the launcher.
fn refusals() -> Vec<(&'static str, Vec<OsString>)> {
    let probe = probe().as_os_str();
    // In a namespace of the test's own, whose limit is then zero.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    vec![
        ("sysctl", op!("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh")),
        ("filter", op!(probe, "without-namespaces", "--")),
    ]
}

/// The test, in every way, as every user. The place is new each time.
fn each_refusal(test: impl Fn(&Place, &dyn Fn(Run) -> Run)) {
    each_user(|user: &User| {
        for (name, words) in refusals() {
            let place = Place::new(user);
            let works = place.outside(["true"]).wrapped(&words).output();
            if works.code() != Some(0) {
                skip(&format!("by {name} as {}: {}", user.name, works.err()));
                continue;
            }
            let refused = place.outside(["unshare", "--user", "true"]).wrapped(&words).output();
            assert_ne!(refused.code(), Some(0), "{name} does not refuse: {refused}");
            test(&place, &|run: Run| run.wrapped(&words));
        }
    });
}

fn answers(place: &Place, refuse: &dyn Fn(Run) -> Run, flags: &[&str], ops: &[Vec<OsString>]) -> Vec<String> {
    let mut words = vec![probe().as_os_str().to_owned()];
    for op in ops {
        words.extend(op.iter().cloned());
        words.push(",".into());
    }
    let output = refuse(place.sandboxed(words).flags(flags)).output();
    output.expect_code(0);
    output.out().lines().map(str::to_owned).collect()
}

#[test]
fn it_runs_and_one_line_says_what_is_weaker() {
    each_refusal(|place, refuse| {
        let output = refuse(place.sandboxed(["sh", "-c", "cat; exit 3"]).stdin("input")).output();
        output.expect_code(3).expect_out("input");
        assert_eq!(output.err().lines().count(), 1, "{output}");
        output.expect_err(&["codex-sandbox: weaker here", "user namespaces"]);
        let quiet = refuse(place.sandboxed(["true"]).flags(["--quiet"])).output();
        assert_eq!(quiet.expect_code(0).err(), "");
    });
}

#[test]
fn require_full_refuses() {
    each_refusal(|place, refuse| {
        let output = refuse(place.sandboxed(["touch", "made"]).flags(["--require", "full"])).output();
        output.expect_code(125).expect_err(&["full enforcement is required", "remedy"]);
        assert!(!place.path("made").exists(), "{output}");
    });
    each_user(|user| {
        let place = Place::new(user);
        place.sandboxed(["touch", "made"]).flags(["--require", "full"]).output().expect_code(0);
        assert!(place.path("made").exists());
    });
}

#[test]
fn the_workspace_can_be_written_and_nothing_else() {
    each_refusal(|place, refuse| {
        let keep = place.write(place.outside_dir().join("keep"), "keep\n");
        let outside = place.outside_dir();
        let good = [
            op!("create", "a"),
            op!("rename", "a", "b"),
            op!("mkdir", "d"),
            op!("create", "d/x"),
            op!("symlink", "b", "soft"),
            op!("link", "b", "hard"),
            op!("chmod", "b"),
            op!("utime", "b"),
            op!("unlink", "b"),
            op!("tmpfile-link", ".", "later"),
            op!("write", "/dev/null"),
            op!("pair-talk"),
        ];
        for (op, answer) in good.iter().zip(answers(place, refuse, &[], &good)) {
            assert_eq!(answer, "ok", "{op:?}");
        }
        let bad = [
            op!("create", outside.join("new")),
            op!("append", &keep),
            op!("truncate", &keep),
            op!("unlink", &keep),
            op!("rename", &keep, outside.join("moved")),
            op!("rename", &keep, "taken"),
            op!("link", &keep, "second"),
            op!("mkdir", outside.join("d")),
            op!("symlink", "x", outside.join("s")),
            op!("mkfifo", outside.join("f")),
            op!("chmod", &keep),
            op!("utime", &keep),
            op!("setxattr", &keep),
            op!("chown", &keep),
            op!("create", "/tmp/cst-probe"),
        ];
        for (op, answer) in bad.iter().zip(answers(place, refuse, &[], &bad)) {
            assert!(["EROFS", "EACCES", "EPERM", "EXDEV"].contains(&answer.as_str()), "{op:?}: {answer}");
        }
        assert_eq!(place.read(&keep), b"keep\n");
        assert_eq!(place.list(&outside).len(), 1);
        let tmp = refuse(place.sandboxed(["sh", "-c", "echo x > $TMPDIR/x && cat $TMPDIR/x"])).output();
        tmp.expect_code(0).expect_out("x");
    });
}

#[test]
fn protected_names_are_protected() {
    each_refusal(|place, refuse| {
        place.write(".git/config", "original\n");
        place.write("nested/.git/config", "original\n");
        place.write("file", "x\n");
        place.mkdir("folder");
        let ops = [
            op!("append", ".git/config"),
            op!("create", ".git/new"),
            op!("unlink", ".git/config"),
            op!("rename", ".git", "moved"),
            op!("exchange", "folder", ".git"),
            op!("chmod", ".git/config"),
            op!("append", "nested/.git/config"),
            op!("rename", "nested/.git", "nested/git"),
            op!("create", "nested/.git/new"),
            op!("mkdir", ".codex"),
            op!("create", ".agents"),
            op!("mkdir", ".CODEX"),
            op!("mkdir", "folder/.git"),
            op!("rename", "folder", ".codex"),
            op!("symlink", "folder", ".codex"),
            op!("link", "file", ".codex"),
            op!("tmpfile-link", ".", ".codex"),
        ];
        let before = place.list("");
        for (op, answer) in ops.iter().zip(answers(place, refuse, &[], &ops)) {
            assert!(
                ["EROFS", "EACCES", "EPERM", "EXDEV", "EBUSY"].contains(&answer.as_str()),
                "{op:?}: {answer}"
            );
        }
        assert_eq!(place.list(""), before);
        assert_eq!(place.read(".git/config"), b"original\n");
        assert_eq!(place.read("nested/.git/config"), b"original\n");
    });
}

#[test]
fn there_is_no_network_and_no_outsiders_socket() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let address = listener.local_addr().expect("a bound socket has an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _peer_went_away = stream.and_then(|mut stream| std::io::Write::write_all(&mut stream, b"!"));
        }
    });
    each_refusal(|place, refuse| {
        let socket = place.outside_dir().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("the folder can be written");
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&socket, everybody).expect("the test made it");
        let ops = [op!("connect-tcp", &address), op!("send-udp", &address), op!("connect-unix", &socket)];
        for (op, answer) in ops.iter().zip(answers(place, refuse, &[], &ops)) {
            assert_ne!(answer, "ok", "{op:?}");
        }
        assert_eq!(place.try_outside(&ops), ["ok", "ok", "ok"]);
    });
}

#[test]
fn secrets_stay_unread() {
    each_refusal(|place, refuse| {
        let secret = place.write(place.outside_dir().join("secret"), "secret\n");
        place.write(place.outside_dir().join("beside"), "x\n");
        let flags = ["--deny-read", secret.to_str().expect("ASCII")];
        let ops = [op!("read", &secret), op!("read", place.outside_dir().join("beside"))];
        assert_eq!(answers(place, refuse, &flags, &ops), ["EACCES", "ok"]);
        assert_eq!(place.try_outside(&ops), ["ok", "ok"]);
    });
}

#[test]
fn outsiders_processes_cannot_be_touched() {
    each_refusal(|place, refuse| {
        let marker = Marker::new();
        let victim = place.outside(["sleep", marker.as_str()]).start();
        marker.wait_for_sleepers(1);
        let script = format!("kill -TERM {}", victim.id());
        let output = refuse(place.sandboxed(["sh", "-c", &script])).output();
        assert_ne!(output.code(), Some(0), "{output}");
        assert_eq!(marker.sleepers().len(), 1);
        place.prepare(&script);
        victim.wait();
        marker.expect_gone();
    });
}

#[test]
fn the_tree_ends_with_the_command_and_with_the_launcher() {
    each_refusal(|place, refuse| {
        let marker = Marker::new();
        let script = format!(
            "(setsid sleep {m} >/dev/null 2>&1 &); sleep {m} >/dev/null 2>&1 & exit 4",
            m = marker.as_str()
        );
        refuse(place.sandboxed(["sh", "-c", &script])).output().expect_code(4);
        marker.expect_gone();
        let script = format!("(setsid sleep {m} &); echo ready; exec sleep {m}", m = marker.as_str());
        let mut live = refuse(place.sandboxed(["sh", "-c", &script])).start();
        live.wait_for_out("ready");
        marker.wait_for_sleepers(2);
        live.signal(rustix::process::Signal::KILL);
        live.wait_only();
        marker.expect_gone();
    });
}

#[test]
fn without_anything_to_enforce_with_nothing_runs() {
    each_user(|user| {
        let place = Place::new(user);
        let run = place.sandboxed(["touch", "made"]).wrapped(op!(probe(), "without-sandboxing", "--"));
        let output = run.output();
        output.expect_code(125).expect_err(&["remedy"]);
        assert!(!place.path("made").exists(), "it ran unprotected: {output}");
    });
}
