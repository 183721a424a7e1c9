//! Mistakes: a clear error that names the place and the remedy, the documented exit code, and no effect.
#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use codex_sandbox_tests::{Place, Run, each_user, have};

/// Runs `touch made` and asserts that it was refused with these words, and that nothing at all has changed.
#[track_caller]
fn expect_refused(place: &Place, change: impl Fn(Run) -> Run, words: &[&str]) {
    let before = place.list(place.base());
    let output = change(place.sandboxed(["touch", "made"])).output();
    output.expect_code(125).expect_err(words);
    assert_eq!(place.list(place.base()), before, "an effect; {output}");
    assert!(!output.err().contains("panicked"), "{output}");
}

#[track_caller]
fn flags_refused(place: &Place, flags: &[&str], words: &[&str]) {
    expect_refused(place, |run| run.flags(flags), words);
}

/// A line of a configuration, and what the error has to say.
const CONFIGURATIONS: [(&str, &[&str]); 16] = [
    (
        "[sandbox_workspace_write]\nnetwork_acces = true\n",
        &["config.toml:2", "unknown key", "network_access", "remedy"],
    ),
    ("[sandbox]\ndeny-read = []\n", &["config.toml:2", "unknown key", "sandbox.deny_read"]),
    ("\n\n[sandbox.limits]\nmemroy = 1\n", &["config.toml:4", "unknown key", "sandbox.limits.memory"]),
    ("sandbox_mod = \"read-only\"\n", &["config.toml:1", "unknown key", "sandbox_mode"]),
    ("sandbox_mode = 3\n", &["config.toml:1", "sandbox_mode", "integer", "remedy"]),
    ("sandbox_mode = \"read-all\"\n", &["config.toml:1", "sandbox_mode", "read-all", "workspace-write"]),
    ("[sandbox_workspace_write]\nnetwork_access = \"yes\"\n", &["config.toml:2", "network_access", "string"]),
    (
        "[sandbox_workspace_write]\nwritable_roots = \"/srv\"\n",
        &["config.toml:2", "writable_roots", "remedy"],
    ),
    ("[sandbox_workspace_write]\nwritable_roots = [1]\n", &["config.toml:2", "writable_roots", "integer"]),
    ("sandbox = 1\n", &["config.toml:1", "sandbox", "integer"]),
    ("[sandbox]\ngit = \"push\"\n", &["config.toml:2", "sandbox.git", "push", "commit"]),
    ("[sandbox.limits]\nwall_clock = \"soon\"\n", &["config.toml:2", "wall_clock", "soon"]),
    ("[sandbox]\nprotected = [\"a/b\"]\n", &["config.toml:2", "protected", "a/b"]),
    ("[sandbox\n", &["config.toml:1", "not valid TOML", "remedy"]),
    ("[network]\nallow = [\"example.com\"]\n", &["config.toml:2", "network.allow", "proxy"]),
    ("sandbox_mode = \"read-only\"\nsandbox_mode = \"read-only\"\n", &["config.toml:2", "not valid TOML"]),
];

#[test]
fn mistakes_in_a_configuration_name_the_line_and_the_remedy() {
    each_user(|user| {
        let place = Place::new(user);
        for (text, words) in CONFIGURATIONS {
            let path = place.write(place.home().join(".codex/config.toml"), text);
            expect_refused(&place, |run| run, words);
            // Named by a flag, or through CODEX_HOME.
            let other = place.write(place.outside_dir().join("config.toml"), text);
            fs::remove_file(path).expect("it was just written");
            expect_refused(&place, |run| run.flags([OsStr::new("--config"), other.as_os_str()]), words);
            expect_refused(&place, |run| run.env("CODEX_HOME", place.outside_dir()), words);
        }
        // Other programs' keys in the shared file are not ours to judge.
        place.write(
            place.home().join(".codex/config.toml"),
            "model = \"x\"\n[tui]\nsandbox = 1\n[mcp_servers.a]\nb = 2\n",
        );
        place.run(["touch", "made"]).expect_code(0);
    });
}

#[test]
fn configurations_that_are_no_text() {
    each_user(|user| {
        let place = Place::new(user);
        let path = place.write(place.home().join(".codex/config.toml"), "");
        let long = "# ten megabytes\n".repeat(700_000);
        for (content, words) in [
            (long.as_bytes(), &["config.toml", "larger than 1 MiB", "remedy"][..]),
            (b"a = \"\xff\"\n", &["config.toml:1", "UTF-8", "remedy"]),
            (b"a = 1\nb = \"\0\"\n", &["config.toml:2", "NUL", "remedy"]),
        ] {
            fs::write(&path, content).expect("the test's file can be written");
            expect_refused(&place, |run| run, words);
        }
        fs::remove_file(&path).expect("the test's file can be removed");
        // A folder, a FIFO that nobody writes, a link to itself.
        fs::create_dir(&path).expect("the name is free");
        expect_refused(&place, |run| run, &["config.toml", "cannot read", "remedy"]);
        fs::remove_dir(&path).expect("it is empty");
        place.prepare(&format!("mkfifo '{}'", path.display()));
        expect_refused(&place, |run| run.guard(60), &["config.toml", "cannot read", "remedy"]);
        fs::remove_file(&path).expect("the test's file can be removed");
        std::os::unix::fs::symlink(&path, &path).expect("the name is free");
        expect_refused(&place, |run| run, &["config.toml", "cannot read", "remedy"]);
    });
}

#[test]
fn a_configuration_that_may_not_be_read() {
    each_user(|user| {
        let place = Place::new(user);
        let path = place.write(place.home().join(".codex/config.toml"), "sandbox_mode = \"read-only\"\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000))
            .expect("the test's file can be changed");
        if user.is_root() {
            // Root may read it, so it has to count.
            assert_ne!(place.run(["touch", "made"]).code(), Some(0));
        } else {
            expect_refused(&place, |run| run, &["config.toml", "Permission denied", "remedy"]);
        }
    });
}

#[test]
fn a_configuration_that_is_missing() {
    each_user(|user| {
        let place = Place::new(user);
        flags_refused(&place, &["--config", "../no-such.toml"], &["no-such.toml", "No such file", "remedy"]);
        flags_refused(&place, &["--config", ""], &["--config"]);
        // The default file need not be there.
        place.run(["touch", "made"]).expect_code(0);
    });
}

#[test]
fn a_configuration_in_the_workspace_is_not_trusted() {
    each_user(|user| {
        let place = Place::new(user);
        place.write("mine.toml", "sandbox_mode = \"danger-full-access\"\n");
        flags_refused(&place, &["--config", "mine.toml"], &["mine.toml", "inside the workspace", "remedy"]);
        place.write("config.toml", "sandbox_mode = \"danger-full-access\"\n");
        // The default one is passed over, or refused; in no case does it open the sandbox.
        let output = place.sandboxed(["touch", "../outside/made"]).env("CODEX_HOME", place.work()).output();
        assert_ne!(output.code(), Some(0), "{output}");
        output.expect_err(&["not trusted"]);
        assert!(!place.outside_dir().join("made").exists());
    });
}

#[test]
fn roots_that_cannot_be() {
    each_user(|user| {
        let place = Place::new(user);
        place.write("file", "x\n");
        place.write(".git/config", "x\n");
        let home = place.home();
        let home = home.to_str().expect("ASCII");
        let cases: [(&str, &[&str]); 11] = [
            ("no-such-folder", &["--writable no-such-folder", "No such file", "mkdir -p"]),
            ("/no/such/folder", &["/no/such/folder", "No such file", "remedy"]),
            ("file", &["file", "not a folder", "remedy"]),
            ("/dev/null", &["/dev/null", "remedy"]),
            ("/", &["too wide", "remedy"]),
            ("//", &["too wide", "remedy"]),
            ("/usr/..", &["too wide", "remedy"]),
            (home, &["too wide", "home folder", "remedy"]),
            ("~/", &["too wide", "home folder", "remedy"]),
            ("/etc", &["too wide", "operating system", "remedy"]),
            (".git", &["protected name", "remedy"]),
        ];
        for (root, words) in cases {
            flags_refused(&place, &["--writable", root], words);
        }
        expect_refused(&place, |run| run.flags(["--writable", ""]), &["--writable"]);
        expect_refused(
            &place,
            |run| run.flags(["--writable", "~/x"]).env_remove("HOME"),
            &["HOME", "remedy"],
        );
        let config = place.write(
            place.outside_dir().join("c.toml"),
            "[sandbox_workspace_write]\nwritable_roots = [\n  \"relative/missing\",\n]\n",
        );
        expect_refused(
            &place,
            |run| run.flags([OsStr::new("--config"), config.as_os_str()]),
            &["c.toml:", "outside/relative/missing", "No such file", "remedy"],
        );
    });
}

#[test]
fn workspaces_that_cannot_be() {
    each_user(|user| {
        let place = Place::new(user);
        place.write(".git/hooks/x", "x\n");
        place.write("file", "x\n");
        let cases: [(&str, &[&str]); 5] = [
            ("/", &["too wide", "read-only", "remedy"]),
            ("/usr", &["too wide", "remedy"]),
            (".git", &["protected name", "remedy"]),
            (".git/hooks", &["protected name", "remedy"]),
            ("../home", &["home folder", "remedy"]),
        ];
        for (dir, words) in cases {
            expect_refused(&place, |run| run.cwd(dir), words);
            flags_refused(&place, &["--cwd", dir], words);
        }
        flags_refused(&place, &["--cwd", "no-such"], &["no-such", "No such file", "remedy"]);
        flags_refused(&place, &["--cwd", "file"], &["file", "remedy"]);
        // Reading from there is fine.
        place.sandboxed(["true"]).cwd("/").flags(["--mode", "read-only"]).output().expect_code(0);
    });
}

#[test]
fn a_working_directory_that_was_deleted() {
    each_user(|user| {
        let place = Place::new(user);
        place.mkdir("gone");
        let words = ["sh", "-c", "cd gone && rmdir \"$PWD\" && exec \"$@\"", "sh"];
        let output = place.sandboxed(["touch", "made"]).wrapped(words).output();
        output.expect_code(125).expect_err(&["working directory", "remedy"]);
        assert_eq!(place.list(""), Vec::<PathBuf>::new());
    });
}

#[test]
fn flags_that_contradict() {
    each_user(|user| {
        let place = Place::new(user);
        place.mkdir("sub");
        let cases: [(&[&str], &[&str]); 7] = [
            (&["--mode", "read-only", "--writable", "sub"], &["--writable", "read-only", "remedy"]),
            (&["--mode", "read-only", "--git", "commit"], &["--git", "read-only", "remedy"]),
            (
                &["--mode", "danger-full-access", "--deny-read", "sub"],
                &["--deny-read", "danger-full-access", "remedy"],
            ),
            (
                &["--mode", "danger-full-access", "--memory", "1G"],
                &["--memory", "danger-full-access", "remedy"],
            ),
            (&["--writable", "sub", "--deny-read", "sub"], &["sub", "deny-read", "remedy"]),
            (&["--deny-read", "."], &["working directory", "remedy"]),
            (&["--deny-read", "/"], &["working directory", "remedy"]),
        ];
        for (flags, words) in cases {
            flags_refused(&place, flags, words);
        }
    });
}

#[test]
fn values_that_mean_nothing() {
    each_user(|user| {
        let place = Place::new(user);
        for (flag, value) in [
            ("--mode", "everything"),
            ("--mode", ""),
            ("--git", "maybe"),
            ("--timeout", "soon"),
            ("--timeout", "0"),
            ("--timeout", "-1s"),
            ("--timeout", "99999999999999999999d"),
            ("--memory", "lots"),
            ("--memory", "0"),
            ("--memory", "99999999999999999999T"),
            ("--processes", "0"),
            ("--processes", "many"),
            ("--processes", "99999999999999999999999"),
        ] {
            let joined = format!("{flag}={value}");
            flags_refused(&place, &[&joined], &[flag, "remedy"]);
        }
        for (text, words) in [
            ("sandbox.gti=commit", &["unknown key", "sandbox.git", "remedy"][..]),
            ("no_such_key=1", &["unknown key", "remedy"]),
            ("sandbox.git", &["KEY=VALUE", "remedy"]),
            ("=commit", &["KEY=VALUE", "remedy"]),
            ("sandbox.git=push", &["sandbox.git", "push", "remedy"]),
            ("sandbox_workspace_write.network_access=perhaps", &["network_access", "remedy"]),
        ] {
            flags_refused(&place, &["-c", text], words);
        }
        for text in ["", "=", "=value"] {
            flags_refused(&place, &["--env", text], &["--env", "name"]);
        }
    });
}

#[test]
fn a_command_line_that_is_wrong() {
    each_user(|user| {
        let place = Place::new(user);
        let program = codex_sandbox_tests::program();
        let cases: [(&[&str], &[&str]); 8] = [
            (&["run", "touch", "made"], &["--", "codex-sandbox run"]),
            (&["run"], &["CMD"]),
            (&["run", "--"], &["CMD"]),
            (&["run", "--no-such-flag", "--", "touch", "made"], &["--no-such-flag"]),
            (&["run", "--mode", "read-only", "--mode", "read-only", "--", "touch", "made"], &["--mode"]),
            (&["run", "--writable"], &["--writable"]),
            (&["walk", "--", "touch", "made"], &["walk"]),
            (&[], &["Usage"]),
        ];
        for (words, parts) in cases {
            let before = place.list(place.base());
            let mut run = place.outside([program]);
            for word in words {
                run = run.arg(word);
            }
            run.output().expect_code(125).expect_err(parts);
            assert_eq!(place.list(place.base()), before);
        }
    });
}

#[test]
fn commands_that_cannot_be_run_leave_nothing() {
    each_user(|user| {
        let place = Place::new(user);
        place.write("plain", "x\n");
        let before = place.list("");
        place.run(["no-such-command"]).expect_code(127).expect_err(&[
            "no-such-command",
            "not found",
            "remedy",
        ]);
        place.run(["./plain"]).expect_code(126).expect_err(&["plain", "remedy"]);
        place.run([""]).expect_code(127).expect_err(&["remedy"]);
        assert_eq!(place.list(""), before);
    });
}

#[test]
fn errors_for_programs_are_one_line_of_json() {
    each_user(|user| {
        let place = Place::new(user);
        for (flags, words, exit, code) in [
            (&["--json", "--writable", "missing"][..], &["true"][..], 125, "root.missing"),
            (&["--json", "--mode", "x"], &["true"], 125, "policy.bad-value"),
            (&["--json"], &["no-such-command"], 127, "run.not-found"),
            (&["--json"], &["/etc/passwd"], 126, "run.not-executable"),
        ] {
            let output = place.sandboxed(words).flags(flags).output();
            output.expect_code(exit);
            let text = output.err();
            let error: serde_json::Value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output}"));
            assert_eq!(error["error"]["code"], code, "{text}");
            for key in ["message", "remedy", "stage"] {
                assert!(error["error"][key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {text}");
            }
        }
    });
}

#[test]
fn plan_and_explain_refuse_the_same_and_change_nothing() {
    each_user(|user| {
        let place = Place::new(user);
        let nothing: [&str; 0] = [];
        let before = place.list(place.base());
        let run = place.sandboxed(nothing).flags(["--writable", "missing"]).subcommand("plan").output();
        run.expect_code(125).expect_err(&["missing", "remedy"]);
        let explain = place.sandboxed(["--writable", "missing", "/etc"]).subcommand("explain").output();
        explain.expect_code(125).expect_err(&["missing", "remedy"]);
        // Nor do they change anything when all is right.
        place.sandboxed(nothing).subcommand("plan").output().expect_code(0);
        place.sandboxed(["--json"]).subcommand("plan").output().expect_code(0);
        place.sandboxed(["file"]).subcommand("explain").output().expect_code(0);
        place.sandboxed(["file", "/etc/x"]).subcommand("explain").output().expect_code(1);
        place.sandboxed([".git/config"]).subcommand("explain").output().expect_code(1);
        place.sandboxed(["--op", "read", "/etc/passwd"]).subcommand("explain").output().expect_code(0);
        place.sandboxed(["example.com:443"]).subcommand("explain").output().expect_code(1);
        place.sandboxed(["--network", "example.com:443"]).subcommand("explain").output().expect_code(0);
        assert_eq!(place.list(place.base()), before);
    });
}

#[test]
fn an_environment_entry_without_an_equals_sign_does_no_harm() {
    if !have(&["gcc"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let program = "#include <unistd.h>\nint main(int n, char **a) {\n\
                       char *e[] = {\"BROKEN\", \"\", \"=odd\", \"GOOD=1\", \"PATH=/usr/bin:/bin\", \"DOUBLE=1\", \"DOUBLE=2\", 0};\n\
                       execve(a[1], a + 1, e); return 99; }\n";
        let source = place.write(place.outside_dir().join("odd.c"), program);
        let odd = place.outside_dir().join("odd");
        place.prepare(&format!("gcc -o '{}' '{}'", odd.display(), source.display()));
        let output = place.sandboxed(["sh", "-c", "echo $GOOD; touch made"]).wrapped([&odd]).output();
        output.expect_code(0).expect_out("1");
        assert!(place.path("made").exists());
    });
}

#[test]
fn arguments_near_the_systems_limit() {
    each_user(|user| {
        let place = Place::new(user);
        // A short name becomes a long path, which the interpreter gets as an argument: so there are sizes that the launcher
        // can be started with and the command cannot.
        let mut deep = place.work().to_path_buf();
        for _ in 0..16 {
            deep = place.mkdir(deep.join("d".repeat(200)));
        }
        place.script(deep.join("s"), "#!/bin/sh\n");
        let path = format!("{}:/usr/bin:/bin", deep.display());
        let chunk = "x".repeat(100_000);
        let mut refused = 0;
        for size in (0..24_u32).map(|step| 2_097_152 - 500 * step) {
            let size = usize::try_from(size).expect("it is small");
            let mut words = vec!["s"];
            words.resize(1 + size / chunk.len(), &chunk);
            words.push(&chunk[..size % chunk.len()]);
            let Ok(live) = place.sandboxed(&words).env("PATH", &path).try_start() else { continue };
            let output = live.wait();
            match output.code() {
                Some(0) => {}
                Some(125 | 126) => {
                    output.expect_err(&["ong", "remedy"]);
                    refused += 1;
                }
                _ => panic!("{} {}", output.status, output.err()),
            }
        }
        assert!(refused > 0, "no size was between the limits");
    });
}
