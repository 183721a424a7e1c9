//! `.git`, `.codex` and `.agents`: read-only at any depth, whether they exist or not.
#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use codex_sandbox_tests::{Place, each_user, op};

/// Every way to make a name, from things that are there: `file`, `folder`.
fn ways_to_make(name: &str) -> Vec<Vec<OsString>> {
    vec![
        op!("create", name),
        op!("write", name),
        op!("mkdir", name),
        op!("mkdir-private", name),
        op!("mkdir", format!("{name}/")),
        op!("symlink", "folder", name),
        op!("link", "file", name),
        op!("rename", "file", name),
        op!("rename", "folder", name),
        op!("rename-noreplace", "folder", name),
        op!("exchange", "folder", name),
        op!("mkfifo", name),
        op!("mkfile", name),
        op!("bind-unix", name),
        op!("tmpfile-link", ".", name),
        op!("mkdir", format!("./folder/../{name}")),
        op!("mkdir", format!("/proc/self/cwd/{name}")),
    ]
}

fn furnish(place: &Place, dir: &str) {
    place.write(Path::new(dir).join("file"), "[core]\n\thooksPath = /tmp\n");
    place.write(Path::new(dir).join("folder/config"), "forged\n");
}

#[test]
fn a_protected_name_cannot_be_made() {
    each_user(|user| {
        for place in [Place::new(user), Place::in_tmp(user)] {
            for dir in [".", "deep/er"] {
                let work = place.mkdir(dir);
                furnish(&place, dir);
                let before = place.list("");
                for name in [".git", ".codex", ".agents"] {
                    let mut ops = vec![op!("chdir", &work)];
                    ops.extend(ways_to_make(name));
                    let answers = place.try_inside(&ops);
                    assert_eq!(answers[0], "ok");
                    expect_refused(&ops[1..], &answers[1..]);
                    assert_eq!(place.list(""), before);
                }
            }
            // The same ways make a name that is not protected, here and outside.
            for way in ways_to_make("free") {
                // `exchange` needs both names.
                let missing = way[0] == "exchange";
                furnish_again(&place);
                let inside = place.try_inside(std::slice::from_ref(&way));
                furnish_again(&place);
                let outside = place.try_outside(std::slice::from_ref(&way));
                assert_eq!(inside, outside, "{way:?}");
                assert_eq!(outside[0] == "ok", !missing, "{way:?}: {outside:?}");
            }
        }
    });
}

fn furnish_again(place: &Place) {
    place.prepare("rm -rf free file folder");
    furnish(place, ".");
}

#[test]
fn letter_case_does_not_matter() {
    each_user(|user| {
        let place = Place::new(user);
        for name in [".GIT", ".Git", ".giT", ".CODEX", ".Codex", ".AGENTS", ".aGents"] {
            let ops = [op!("mkdir", name), op!("create", name), op!("symlink", "x", name)];
            expect_refused(&ops, &place.try_inside(&ops));
        }
        // Names that only look alike are free.
        let free = [".gitignore", ".github", "git", ".git2", "x.git", ".agent", "..git"];
        for name in free {
            assert_eq!(place.try_inside(&[op!("mkdir", name)]), ["ok"], "{name}");
        }
    });
}

#[test]
fn a_dangling_link_is_no_detour() {
    each_user(|user| {
        let place = Place::new(user);
        let ops = [
            op!("symlink", ".git", "innocent"),
            op!("create", "innocent"),
            op!("write", "innocent"),
            op!("mkdir", "innocent"),
            op!("symlink", ".git/hooks", "hooks"),
            op!("mkdir", "hooks"),
            op!("mkdir", "sub"),
            op!("symlink", "../.codex", "sub/up"),
            op!("write", "sub/up"),
            op!("symlink", place.path(".agents"), "absolute"),
            op!("write", "absolute"),
        ];
        let answers = place.try_inside(&ops);
        for (op, answer) in ops.iter().zip(&answers) {
            let harmless = op[0] == "symlink" || op[1] == "sub";
            // O_EXCL does not follow, and a folder is not made through a link.
            assert_eq!(answer == "ok", harmless, "{op:?}: {answer}");
        }
        for name in [".git", ".codex", ".agents"] {
            assert!(!place.path(name).exists(), "{name}");
        }
    });
}

/// What must not change a protected folder that exists; `NAME/file` and `NAME/sub/file` are there.
fn ways_to_change(name: &str) -> Vec<Vec<OsString>> {
    let at = |inner: &str| format!("{name}/{inner}");
    vec![
        op!("create", at("new")),
        op!("overwrite", at("file")),
        op!("append", at("file")),
        op!("truncate", at("file")),
        op!("append", at("sub/file")),
        op!("mkdir", at("made")),
        op!("symlink", "x", at("soft")),
        op!("link", "file", at("linked")),
        op!("link", at("file"), "stolen"),
        op!("tmpfile-link", name, at("later")),
        op!("chmod", at("file")),
        op!("utime", at("file")),
        op!("setxattr", at("file")),
        op!("chmod", name),
        op!("utime", name),
        op!("setxattr", name),
        op!("rename", "file", at("file")),
        op!("rename", at("file"), "taken"),
        op!("rename", at("file"), at("renamed")),
        op!("exchange", "file", at("file")),
        op!("exchange", "folder", name),
        op!("rename", name, "away"),
        op!("rename", "folder", name),
        op!("unlink", at("file")),
        op!("unlink", at("sub/file")),
        op!("rmdir", at("empty")),
    ]
}

#[test]
fn a_protected_folder_cannot_be_changed() {
    each_user(|user| {
        for place in [Place::new(user), Place::in_tmp(user)] {
            for name in [".git", ".codex", ".agents", "nested/.git", "a/b/c/.Git"] {
                furnish(&place, ".");
                for file in ["file", "sub/file"] {
                    place.write(format!("{name}/{file}"), "original\n");
                }
                place.mkdir(format!("{name}/empty"));
                let before = place.list("");
                let ops = ways_to_change(name);
                expect_refused(&ops, &place.try_inside(&ops));
                assert_eq!(place.list(""), before, "{name}");
                for file in ["file", "sub/file"] {
                    assert_eq!(place.read(format!("{name}/{file}")), b"original\n");
                }
                // From within, by relative names; and reading is free.
                let ops = [
                    op!("chdir", name),
                    op!("read", "file"),
                    op!("list", "."),
                    op!("create", "new"),
                    op!("append", "file"),
                    op!("unlink", "sub/file"),
                ];
                let answers = place.try_inside(&ops);
                assert_eq!(answers[..3], ["ok", "ok", "ok"]);
                expect_refused(&ops[3..], &answers[3..]);
                let outside = place.try_outside(&[
                    op!("append", format!("{name}/file")),
                    op!("create", format!("{name}/new")),
                ]);
                assert_eq!(outside, ["ok", "ok"]);
            }
        }
    });
}

#[test]
fn a_protected_file_or_link_cannot_be_replaced() {
    each_user(|user| {
        let place = Place::new(user);
        place.write("git-dir/config", "original\n");
        place.write("other/config", "forged\n");
        place.write("nested/.git", "gitdir: ../git-dir\n");
        place.write(".codex", "a file\n");
        symlink("git-dir", place.path(".git")).expect("the workspace can be written");
        let before = place.list("");
        let ops = [
            op!("unlink", ".git"),
            op!("rename", ".git", "moved"),
            op!("rename", "other", ".git"),
            op!("exchange", "other", ".git"),
            op!("append", ".git/config"),
            op!("create", ".git/new"),
            op!("append", "nested/.git"),
            op!("unlink", "nested/.git"),
            op!("append", ".codex"),
            op!("unlink", ".codex"),
            // Where the link at the root's top leads.
            op!("append", "git-dir/config"),
            op!("rename", "git-dir", "moved"),
        ];
        expect_refused(&ops, &place.try_inside(&ops));
        assert_eq!(place.list(""), before);
        assert_eq!(place.read("git-dir/config"), b"original\n");
    });
}

#[test]
fn moving_the_parent_gains_nothing() {
    each_user(|user| {
        let place = Place::new(user);
        place.write("nested/.git/config", "original\n");
        place.write("forged/config", "forged\n");
        // The parent may move; a forged one cannot take the old place, and the real one is protected where it went.
        let ops = [
            op!("rename", "nested", "elsewhere"),
            op!("mkdir", "nested"),
            op!("mkdir", "nested/.git"),
            op!("rename", "forged", "nested/.git"),
            op!("append", "elsewhere/.git/config"),
            op!("append", "nested/.git/config"),
            op!("rename", "elsewhere/.git", "elsewhere/git"),
        ];
        let answers = place.try_inside(&ops);
        for (op, answer) in ops.iter().zip(&answers).skip(2) {
            assert_ne!(answer, "ok", "{op:?}");
        }
        let found: Vec<PathBuf> =
            place.list("").into_iter().filter(|path| path.ends_with(".git/config")).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(place.read(&found[0]), b"original\n");
    });
}

#[test]
fn the_root_of_a_workspace_cannot_be_moved() {
    each_user(|user| {
        let place = Place::new(user);
        place.write(".git/config", "original\n");
        let other = place.mkdir(place.base().join("other"));
        let work = place.work();
        let ops = [
            op!("rename", work, place.base().join("gone")),
            op!("rename", work, "inside-itself"),
            op!("exchange", work, &other),
            op!("rename", "../work", "../gone"),
            op!("rmdir", work),
            op!("chdir", "/"),
            op!("rename", work, other.join("gone")),
        ];
        let flags = ["--writable", other.to_str().expect("ASCII")];
        for (op, answer) in ops.iter().zip(place.try_with(&flags, &ops)) {
            assert_eq!(answer == "ok", op[0] == "chdir", "{op:?}: {answer}");
        }
        assert_eq!(place.read(".git/config"), b"original\n");
    });
}

#[test]
fn further_roots_are_protected_alike() {
    each_user(|user| {
        let place = Place::new(user);
        let other = place.mkdir(place.base().join("other"));
        place.write(other.join("n/.git/config"), "original\n");
        let ops = [
            op!("mkdir", other.join(".git")),
            op!("mkdir", other.join("n/.codex")),
            op!("append", other.join("n/.git/config")),
            op!("create", other.join("free")),
        ];
        let answers = place.try_with(&["--writable", other.to_str().expect("ASCII")], &ops);
        expect_refused(&ops[..3], &answers[..3]);
        assert_eq!(answers[3], "ok");
    });
}

#[test]
fn the_list_of_names_can_be_chosen() {
    each_user(|user| {
        let place = Place::new(user);
        let ops = [
            op!("mkdir", "secrets"),
            op!("create", "sub/.envrc"),
            op!("mkdir", ".git"),
            op!("mkdir", ".codex"),
        ];
        place.mkdir("sub");
        let flags = ["-c", "sandbox.protected=[\".git\", \"secrets\", \".envrc\"]"];
        let answers = place.try_with(&flags, &ops);
        expect_refused(&ops[..3], &answers[..3]);
        assert_eq!(answers[3], "ok");
    });
}

#[test]
fn the_temporary_folders_are_not_workspaces() {
    each_user(|user| {
        // Test suites of git and its friends make repositories there.
        let place = Place::new(user);
        let script = "mkdir -p /tmp/cst-r/.git \"$TMPDIR/r/.git\" && echo x > /tmp/cst-r/.git/config && rm -r /tmp/cst-r";
        place.sh(script).expect_code(0);
    });
}

fn expect_refused(ops: &[Vec<OsString>], answers: &[String]) {
    const HONEST: [&str; 6] = ["EROFS", "EACCES", "EPERM", "EBUSY", "EXDEV", "ENOTDIR"];
    for (op, answer) in ops.iter().zip(answers) {
        let exists = answer == "EEXIST" && op.len() > 1;
        // `exchange` and links need both names: where there is none, that comes first.
        let missing = answer == "ENOENT" && op[0] == "exchange";
        assert!(HONEST.contains(&answer.as_str()) || exists || missing, "{op:?}: {answer}");
    }
}

/// `~/.codex` as a link into a folder of dotfiles: a run there must not decide how the next one is held.
#[test]
fn the_users_configuration_behind_a_link_into_the_workspace_stays() {
    each_user(|user| {
        let place = Place::new(user);
        let real = place.mkdir("codex");
        let _none = std::fs::remove_dir_all(place.home().join(".codex"));
        place.prepare(&format!("ln -s '{}' '{}'", real.display(), place.home().join(".codex").display()));
        let ops = [
            op!("create", "codex/config.toml"),
            op!("create", "codex/other"),
            op!("rename", "codex", "moved"),
            op!("create", "other"),
        ];
        assert_eq!(place.try_inside(&ops), ["EROFS", "EROFS", "EROFS", "ok"]);
        place.prepare("echo x > codex/config.toml");
        assert!(place.path("codex/config.toml").exists(), "outside it works");
    });
}
