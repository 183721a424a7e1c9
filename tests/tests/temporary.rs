//! Temporary folders: private by default, and what the configuration makes of them.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use codex_sandbox_tests::{Place, each_user, have, op};

#[test]
fn writes_to_tmp_stay_private_and_are_there_in_the_next_run() {
    each_user(|user| {
        for place in [Place::new(user), Place::in_tmp(user)] {
            for dir in ["/tmp", "/var/tmp"] {
                let path = format!("{dir}/cst-kept");
                let script =
                    format!("echo one > {path} && mkdir -p {dir}/cst-d/e && echo two > {dir}/cst-d/e/f");
                place.sh(&script).expect_code(0);
                assert!(!Path::new(&path).exists(), "not on the host");
                place
                    .sh(&format!("cat {path} {dir}/cst-d/e/f && rm -r {path} {dir}/cst-d"))
                    .expect_code(0)
                    .expect_out("one\ntwo");
                place.sh(&format!("test ! -e {path} && test ! -e {dir}/cst-d")).expect_code(0);
            }
            // The same without the sandbox lands on the host.
            let path = format!("/tmp/cst-host-{}", user.name);
            place.prepare(&format!("echo x > {path}"));
            assert!(Path::new(&path).exists());
            fs::remove_file(&path).expect("it was just seen");
        }
    });
}

#[test]
fn workspaces_do_not_share_their_temporary_folder() {
    each_user(|user| {
        let (one, other) = (Place::new(user), Place::new(user));
        let at = |place: &Place, script: &str| {
            place.sandboxed(["sh", "-c", script]).env("HOME", one.home()).output()
        };
        at(&one, "echo x > /tmp/cst-one; echo x > $TMPDIR/one").expect_code(0);
        at(&other, "test ! -e $TMPDIR/one && test ! -e /tmp/cst-one").expect_code(0);
        // Nor can it reach to where the host keeps the other's.
        let cache = one.home().join(".cache");
        let kept =
            one.list(&cache).into_iter().find(|path| path.ends_with("cst-one")).expect("a run keeps it");
        let kept = cache.join(kept);
        assert_eq!(other.try_inside(&[op!("overwrite", &kept), op!("unlink", &kept)]), ["EROFS", "EROFS"]);
    });
}

#[test]
fn host_files_in_tmp_are_readable_and_stay_as_they_are() {
    each_user(|user| {
        let place = Place::in_tmp(user);
        let file = place.write(place.work().with_file_name("beside"), "host\n");
        let path = file.display().to_string();
        let script = format!(
            "cat {path}; echo changed > {path}; cat {path}; rm {path}; test ! -e {path}; ls -d {path}"
        );
        let output = place.sh(&script);
        assert!(output.out().starts_with("host\n"), "{output}");
        assert_eq!(fs::read(&file).expect("the host's file is there"), b"host\n", "{output}");
    });
}

#[test]
fn tmpdir_names_a_folder_that_can_be_written() {
    each_user(|user| {
        let place = Place::new(user);
        let script = "for v in TMPDIR TMP TEMP; do eval d=\\$$v; test -d \"$d\" && touch \"$d/$v\" && rm \"$d/$v\" || exit 1; done; \
                      test \"$TMPDIR\" = \"$TMP\" && mktemp >/dev/null && mktemp -d >/dev/null && \
                      printf '#!/bin/sh\\necho executed\\n' > $TMPDIR/s && chmod +x $TMPDIR/s && $TMPDIR/s";
        place
            .sandboxed(["sh", "-c", script])
            .env("TMPDIR", "/nowhere")
            .output()
            .expect_code(0)
            .expect_out("executed");
    });
}

#[test]
fn slash_tmp_can_be_read_only_or_the_hosts() {
    each_user(|user| {
        let place = Place::new(user);
        let path = format!("/tmp/cst-open-{}", user.name);
        let ops = [op!("create", &path), op!("create", path.replace("/tmp", "/var/tmp"))];
        let with = |value: &str| {
            place.try_with(&["-c", &format!("sandbox_workspace_write.exclude_slash_tmp={value}")], &ops)
        };
        assert_eq!(with("true"), ["EROFS", "EROFS"]);
        assert!(!Path::new(&path).exists());
        assert_eq!(with("false"), ["ok", "ok"]);
        for made in [path.clone(), path.replace("/tmp", "/var/tmp")] {
            fs::remove_file(&made).unwrap_or_else(|error| panic!("not on the host: {made}: {error}"));
        }
    });
}

#[test]
fn the_hosts_tmpdir_can_be_opened_or_given_up() {
    each_user(|user| {
        let place = Place::new(user);
        let tmp = place.mkdir(place.base().join("my-tmp"));
        let run = |value: &str| {
            place
                .sandboxed(["sh", "-c", "echo $TMPDIR; echo x > $TMPDIR/made"])
                .env("TMPDIR", &tmp)
                .flags(["-c", &format!("sandbox_workspace_write.exclude_tmpdir_env_var={value}")])
                .output()
        };
        run("false").expect_code(0).expect_out(tmp.to_str().expect("ASCII"));
        assert!(tmp.join("made").exists());
        fs::remove_file(tmp.join("made")).expect("it was just seen");
        run("true");
        assert!(!tmp.join("made").exists());
    });
}

#[test]
fn shared_memory_is_private_and_works() {
    each_user(|user| {
        let place = Place::new(user);
        let name = format!("cst-shm-{}", user.name);
        place.sh(&format!("echo x > /dev/shm/{name} && cat /dev/shm/{name}")).expect_code(0).expect_out("x");
        assert!(!Path::new("/dev/shm").join(&name).exists());
        // What outsiders have there is not seen.
        place.prepare(&format!("echo secret > /dev/shm/{name}"));
        let inside = place.sh(&format!("cat /dev/shm/{name}"));
        fs::remove_file(Path::new("/dev/shm").join(&name)).expect("the test made it");
        inside.expect_code(1);
        assert!(!inside.out().contains("secret"), "{inside}");
    });
}

/// A link from the workspace to what a command made in its private /tmp would be followed by tools that run outside later.
#[test]
fn the_place_behind_the_private_tmp_cannot_be_found_out_inside() {
    each_user(|user| {
        let place = Place::new(user);
        place.run(["sh", "-c", "mkdir /tmp/made && touch /tmp/made/marker"]).expect_code(0);
        let search =
            "find \"$HOME\" -name marker 2>/dev/null; grep -c '/overlay/' /proc/self/mountinfo; ls /tmp/made";
        let inside = place.run(["sh", "-c", search]);
        assert_eq!(inside.out().lines().collect::<Vec<_>>(), ["0", "marker"], "{inside}");
        let outside = place.outside(["sh", "-c", "find \"$HOME\" -name marker"]).output();
        assert_eq!(outside.out().lines().count(), 1, "the search finds it outside: {outside}");
    });
}

#[test]
fn teardown_removes_what_is_too_deep_for_a_path() {
    if !have(&["python3"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        let script =
            "import os\nos.chdir('/tmp')\nfor _ in range(98): os.mkdir('0' * 40); os.chdir('0' * 40)";
        place.run(["python3", "-c", script]).expect_code(0);
        let teardown = place.sandboxed(["--all"]).subcommand("teardown").output();
        teardown.expect_code(0);
        let left =
            place.outside(["sh", "-c", "find \"$HOME/.cache/codex-sandbox\" -name '000*' | wc -l"]).output();
        assert_eq!(left.out().trim(), "0", "{teardown}");
    });
}
