//! Git in the sandbox: reading always, committing with `--git commit`, and never what runs code later.
#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::path::Path;

use codex_sandbox_tests::{Output, Place, User, each_user, have, op};

/// A workspace that is a repository with one commit.
fn repository(user: &User) -> Place {
    let place = Place::new(user);
    settings(&place);
    place.prepare("git init -q -b main && echo one > file && git add . && git commit -q -m first");
    place
}

fn settings(place: &Place) {
    let text = "[user]\n\tname = Tester\n\temail = tester@example.com\n[protocol \"file\"]\n\tallow = always\n[advice]\n\tdetachedHead = false\n";
    place.write(place.home().join(".gitconfig"), text);
}

fn commit_mode(place: &Place, script: &str) -> Output {
    place.sandboxed(["sh", "-ec", script]).flags(["--git", "commit"]).output()
}

fn in_commit_mode(place: &Place, ops: &[Vec<OsString>]) -> Vec<String> {
    place.try_with(&["--git", "commit"], ops)
}

#[track_caller]
fn expect_refused(ops: &[Vec<OsString>], answers: &[String]) {
    for (op, answer) in ops.iter().zip(answers) {
        let exists = answer == "EEXIST" && (op[0] == "mkdir" || op[0] == "create" || op[0] == "symlink");
        assert!(
            exists || ["EROFS", "EACCES", "EPERM", "EBUSY", "EXDEV"].contains(&answer.as_str()),
            "{op:?}: {answer}"
        );
    }
}

#[test]
fn reading_works_and_writing_fails_by_default() {
    if !have(&["git"]) {
        return;
    }
    each_user(|user| {
        let place = repository(user);
        place.write("file", "two\n");
        let script = "git status --short && git log --oneline --format=%s && git diff --stat && git blame -s file && git grep -c one HEAD";
        let inside = place.sh(script);
        inside.expect_code(0);
        let outside = place.outside(["sh", "-c", script]).output();
        assert_eq!(inside.out(), outside.out());
        assert_eq!(inside.err(), "", "no warning either: {inside}");
        let head = place.prepare("git rev-parse HEAD").out();
        for command in [
            "git add file",
            "git commit -qam x",
            "git branch x",
            "git stash",
            "git config a.b c",
            "git init -q",
        ] {
            let output = place.sh(command);
            assert_ne!(output.code(), Some(0), "{output}");
        }
        assert_eq!(
            place.prepare("git rev-parse HEAD && git branch --format='%(refname:short)'").out(),
            format!("{head}\nmain")
        );
        // A new repository cannot be made inside.
        assert_ne!(place.sh("git clone -q . copy").code(), Some(0));
    });
}

#[test]
fn everyday_work_succeeds_in_commit_mode() {
    if !have(&["git"]) {
        return;
    }
    each_user(|user| {
        let place = repository(user);
        let steps = [
            "echo two >> file; git add file; git commit -q -m second",
            "git commit -q --amend -m 'second, better'",
            "git branch side; git switch -q side; echo side > other; git add .; git commit -q -m side",
            "git switch -q main; echo three > third; git add .; git commit -q -m third; git merge -q -m merged side",
            "git tag v1; git tag -a v2 -m annotated",
            "echo draft >> file; git stash -q; test \"$(git stash list | wc -l)\" = 1; git stash pop -q; git checkout -q file",
            "git mv third moved; git rm -q other; git commit -q -m 'moved and removed'",
            "git reset -q --hard HEAD~1; git restore --source HEAD~1 file; git checkout -q -- file",
            "git switch -q -c feature; git switch -q -; git branch -d feature",
            "git worktree add -q tree side; cd tree; echo w > w; git add w; git commit -q -m 'in the worktree'; git status --short",
            "git rebase -q HEAD 2>/dev/null || true; git gc -q; git fsck --no-dangling",
            "test -z \"$(git status --short | grep -v '?? tree/')\"",
        ];
        for step in steps {
            commit_mode(&place, step).expect_code(0);
        }
        let log = place.prepare("git log --format=%s; git log -1 --format=%s side; git fsck 2>&1").out();
        for subject in ["merged", "third", "second, better", "first", "in the worktree"] {
            assert!(log.contains(subject), "{log}");
        }
    });
}

#[test]
fn a_merge_with_a_conflict_can_be_ended() {
    if !have(&["git"]) {
        return;
    }
    each_user(|user| {
        let place = repository(user);
        let script = "git switch -q -c side; echo side > file; git commit -qam side; git switch -q main; echo main > file; \
                      git commit -qam main; git merge side >/dev/null && exit 9; git merge --abort; \
                      git merge side >/dev/null && exit 9; echo both > file; git add file; git commit -q -m resolved; git log -1 --format=%s";
        commit_mode(&place, script).expect_code(0).expect_out("resolved");
    });
}

/// Everything by which git runs code later, below a git directory.
fn dangerous(dir: &str) -> Vec<Vec<OsString>> {
    let at = |name: &str| format!("{dir}/{name}");
    vec![
        op!("append", at("config")),
        op!("write", at("config")),
        op!("create", at("config.lock")),
        op!("rename", "evil", at("config")),
        op!("exchange", "evil", at("config")),
        op!("unlink", at("config")),
        op!("create", at("config.worktree")),
        op!("create", at("CONFIG.worktree")),
        op!("create", at("hooks/pre-commit")),
        op!("create", at("hooks/x/y")),
        op!("rename", "evil", at("hooks/post-checkout")),
        op!("symlink", "/tmp/evil", at("hooks/pre-push")),
        op!("rename", at("hooks"), at("no-hooks")),
        op!("rename", "evil-folder", at("hooks")),
        op!("symlink", "../evil-folder", at("Hooks")),
        op!("create", at("info/attributes")),
        op!("rename", "evil", at("info/attributes")),
        op!("create", at("commondir")),
        op!("symlink", "../evil", at("commondir")),
        op!("mkdir", at("rebase-merge")),
        op!("mkdir", at("rebase-apply")),
        op!("mkdir", at("sequencer")),
        op!("rename", "evil-folder", at("rebase-merge")),
        op!("create", at("objects/info/alternates")),
        op!("mkdir", at("remotes")),
        op!("mkdir", at("branches")),
        op!("mkdir", at("modules/evil/hooks")),
        op!("rename", dir, "elsewhere"),
        op!("exchange", "evil-folder", dir),
        op!("mkdir", at("refs/hooks/x")),
        op!("rename", at("refs"), at("hooks2")),
        op!("rename", "evil-folder", at("refs/heads")),
    ]
}

fn evil(place: &Place) {
    place.script("evil", "#!/bin/sh\ntouch /tmp/cst-evil-ran\n");
    place.script("evil-folder/pre-commit", "#!/bin/sh\ntouch /tmp/cst-evil-ran\n");
    place.script("evil-folder/config", "[core]\n");
}

#[test]
fn what_runs_code_later_stays_read_only_in_commit_mode() {
    if !have(&["git"]) {
        return;
    }
    each_user(|user| {
        let place = repository(user);
        evil(&place);
        // With the folders there, as `git init` makes them, and without.
        for prepare in ["mkdir -p .git/hooks .git/info", "rm -rf .git/hooks .git/info .git/branches"] {
            place.prepare(prepare);
            let before = place.list(".git");
            let config = place.read(".git/config");
            let ops = dangerous(".git");
            let answers = in_commit_mode(&place, &ops);
            for (op, answer) in ops.iter().zip(&answers) {
                assert_ne!(answer, "ok", "{op:?}");
            }
            assert_eq!(place.list(".git"), before, "after `{prepare}`");
            assert_eq!(place.read(".git/config"), config);
        }
        // Data is free.
        let ops = [
            op!("create", ".git/refs/heads/new"),
            op!("mkdir", ".git/refs/heads/feature"),
            op!("write", ".git/COMMIT_EDITMSG"),
            op!("create", ".git/objects/x"),
            op!("unlink", ".git/objects/x"),
            op!("unlink", ".git/refs/heads/new"),
        ];
        assert!(in_commit_mode(&place, &ops).iter().all(|answer| answer == "ok"));
        for command in
            ["git config core.pager evil", "git config core.fsmonitor ./evil", "git remote add x y"]
        {
            assert_ne!(commit_mode(&place, command).code(), Some(0), "{command}");
        }
        assert!(!place.prepare("git config -l").out().contains("evil"));
    });
}

#[test]
fn the_other_protected_names_stay_protected_in_commit_mode() {
    each_user(|user| {
        let place = Place::new(user);
        let ops = [op!("mkdir", ".codex"), op!("mkdir", "a.git"), op!("mkdir", ".agents"), op!("mkdir", "n")];
        assert_eq!(in_commit_mode(&place, &ops), ["EROFS", "ok", "EROFS", "ok"]);
        // A repository that does not exist yet is not for a command to make: it would bring a configuration.
        let ops = [
            op!("mkdir", ".git"),
            op!("mkdir", "n/.git"),
            op!("create", "n/.git"),
            op!("symlink", "../a.git", "n/.git"),
        ];
        expect_refused(&ops, &in_commit_mode(&place, &ops));
    });
}

#[test]
fn a_nested_repository_has_the_same_rules() {
    if !have(&["git"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        settings(&place);
        place.prepare("mkdir -p a/b && cd a/b && git init -q -b main && echo one > file && git add . && git commit -q -m first");
        evil(&place);
        let script = "cd a/b; echo two > file; git commit -qam second; git log --format=%s";
        commit_mode(&place, script).expect_code(0).expect_out("second\nfirst");
        assert_ne!(
            place.sh("cd a/b; git commit -q --allow-empty -m x").code(),
            Some(0),
            "protected by default"
        );
        let before = place.list("a/b/.git");
        for (op, answer) in dangerous("a/b/.git").iter().zip(in_commit_mode(&place, &dangerous("a/b/.git"))) {
            assert_ne!(answer, "ok", "{op:?}");
        }
        assert_eq!(place.list("a/b/.git"), before);
    });
}

#[test]
fn a_pointer_to_a_git_directory_inside_the_workspace() {
    if !have(&["git"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        settings(&place);
        place.prepare("git init -q -b main --separate-git-dir real && echo one > file && git add file && git commit -q -m first");
        evil(&place);
        let pointer = place.read(".git");
        let ops = [
            op!("append", "real/config"),
            op!("create", "real/hooks/pre-commit"),
            op!("create", "real/x"),
            op!("append", "real/HEAD"),
            op!("rename", "real", "moved"),
            op!("append", ".git"),
            op!("unlink", ".git"),
            op!("rename", "evil", ".git"),
        ];
        expect_refused(&ops, &place.try_inside(&ops));
        let answers = in_commit_mode(&place, &dangerous("real"));
        for (op, answer) in dangerous("real").iter().zip(answers) {
            assert_ne!(answer, "ok", "{op:?}");
        }
        expect_refused(&ops[5..], &in_commit_mode(&place, &ops[5..]));
        assert_eq!(place.read(".git"), pointer);
        commit_mode(&place, "git commit -q --allow-empty -m second; git log -1 --format=%s")
            .expect_code(0)
            .expect_out("second");
    });
}

#[test]
fn submodules_can_be_committed_in_and_their_code_stays() {
    if !have(&["git"]) {
        return;
    }
    each_user(|user| {
        let place = repository(user);
        place.prepare(
            "git init -q -b main ../lib && cd ../lib && echo lib > lib && git add . && git commit -q -m lib",
        );
        place.prepare("git submodule --quiet add ../lib sub && git commit -q -m submodule");
        evil(&place);
        let script = "cd sub; echo more >> lib; git commit -qam 'more lib'; cd ..; git add sub; git commit -q -m 'newer lib'; \
                      git submodule status; git log -1 --format=%s; git -C sub log -1 --format=%s";
        let output = commit_mode(&place, script);
        output.expect_code(0);
        assert!(output.out().ends_with("newer lib\nmore lib"), "{output}");
        for (op, answer) in
            dangerous(".git/modules/sub").iter().zip(in_commit_mode(&place, &dangerous(".git/modules/sub")))
        {
            assert_ne!(answer, "ok", "{op:?}");
        }
        let ops = [op!("append", "sub/.git"), op!("unlink", "sub/.git"), op!("rename", "evil", "sub/.git")];
        expect_refused(&ops, &in_commit_mode(&place, &ops));
    });
}

#[test]
fn a_linked_worktree_as_the_workspace() {
    if !have(&["git"]) {
        return;
    }
    each_user(|user| {
        let place = repository(user);
        place.prepare("git worktree add -q -b wt ../wt");
        let tree = place.base().join("wt");
        let run = |flags: &[&str], script: &str| {
            place.sandboxed(["sh", "-ec", script]).flags(flags).cwd(&tree).output()
        };
        run(&[], "git status --short; git log --format=%s").expect_code(0).expect_out("first");
        assert_ne!(run(&[], "git commit -q --allow-empty -m x").code(), Some(0));
        let script = "echo w > w; git add w; git commit -q -m 'from the worktree'; git log -1 --format=%s";
        run(&["--git", "commit"], script).expect_code(0).expect_out("from the worktree");
        evil(&place);
        // The main repository's code stays, and its files are not part of the workspace.
        let main = place.work();
        for path in [
            ".git/config",
            ".git/hooks/pre-commit",
            ".git/worktrees/wt/config.worktree",
            ".git/info/attributes",
            "file",
        ] {
            let output = run(&["--git", "commit"], &format!("echo x >> {}", main.join(path).display()));
            output.expect_err(&["Read-only file system"]);
        }
        let out = run(&["--git", "commit"], "echo 'gitdir: /tmp' > .git; rm .git; mv .git x; true");
        assert!(tree.join(".git").is_file(), "{out}");
        assert!(place.prepare("git worktree list").out().contains("wt"));
    });
}

#[test]
fn a_forged_pointer_opens_nothing() {
    each_user(|user| {
        let place = Place::new(user);
        // A workspace from anywhere may come with a `.git` that names some folder of the user's.
        let target = place.outside_dir();
        for name in ["HEAD", "objects/x", "refs/x", "worktrees/w/gitdir", "keep"] {
            place.write(target.join(name), "x\n");
        }
        for pointer in [target.clone(), target.join("worktrees/w"), Path::new("../outside").to_path_buf()] {
            place.write(".git", format!("gitdir: {}\n", pointer.display()));
            let ops = [
                op!("create", target.join("new")),
                op!("append", target.join("keep")),
                op!("append", target.join("refs/x")),
            ];
            assert_eq!(in_commit_mode(&place, &ops), ["EROFS", "EROFS", "EROFS"], "{}", pointer.display());
        }
    });
}

/// Git trusts the names in an index that it reads: `git checkout .` of the user would write wherever they lead.
#[test]
fn an_index_with_names_that_git_would_not_write_is_refused() {
    if !have(&["git", "python3"]) {
        return;
    }
    let forge = r#"
import hashlib, os, struct, subprocess
oid = subprocess.run(["git", "hash-object", "-w", "--stdin"], input=b"evil\n", capture_output=True, check=True).stdout.strip()
def entry(path):
    e = struct.pack(">10I", 0, 0, 0, 0, 0, 0, 0o100755, 0, 0, 0) + bytes.fromhex(oid.decode()) + struct.pack(">H", len(path)) + path
    return e + b"\0" * (8 - len(e) % 8)
paths = [b"../cst-victim", b".git/hooks/post-checkout"]
index = b"DIRC" + struct.pack(">II", 2, len(paths)) + b"".join(map(entry, paths))
open(".git/index.lock", "wb").write(index + hashlib.sha1(index).digest())
"#;
    each_user(|user| {
        for (how, taken) in [
            ("os.rename('.git/index.lock', '.git/index')", false),
            ("open('.git/index', 'wb').write(open('.git/index.lock', 'rb').read())", false),
            ("os.unlink('.git/index'); os.link('.git/index.lock', '.git/index')", false),
            ("os.unlink('.git/index'); os.symlink('index.lock', '.git/index')", false),
            (
                "os.rename('.git/index', '.git/x'); os.link('.git/x', '.git/y'); f = open('.git/y', 'r+b'); os.rename('.git/x', '.git/index'); f.write(open('.git/index.lock', 'rb').read())",
                true,
            ),
        ] {
            let place = repository(user);
            let script = format!("{forge}\n{how}\n");
            place.write("forge.py", &script);
            let forged = place.sandboxed(["python3", "forge.py"]).flags(["--git", "commit"]).output();
            assert_eq!(forged.code() == Some(0), taken, "{how}: {forged}");
            place.prepare("git checkout . || true; git status || true");
            assert!(!place.path("../cst-victim").exists(), "{how}: written outside: {forged}");
            assert!(!place.path(".git/hooks/post-checkout").exists(), "{how}: a hook: {forged}");
        }
        let place = repository(user);
        place.write("forge.py", format!("{forge}\nos.rename('.git/index.lock', '.git/index')\n"));
        place.outside(["python3", "forge.py"]).output().expect_code(0);
        place.prepare("git checkout . || true");
        assert!(place.path("../cst-victim").exists(), "without the sandbox it works");
    });
}

/// Git does not look at a blob's checksum when it reads one: what was committed would become what a command says.
#[test]
fn objects_are_made_and_then_stay() {
    if !have(&["git"]) {
        return;
    }
    each_user(|user| {
        let place = repository(user);
        let object =
            place.prepare("git rev-parse HEAD:file | sed 's,^..,.git/objects/&/,'").out().trim().to_owned();
        let ops = [
            op!("overwrite", &object),
            op!("append", &object),
            op!("unlink", &object),
            op!("rename", &object, ".git/x"),
            op!("link", &object, ".git/x"),
            op!("mkdir", ".git/refs/replace"),
            op!("create", ".git/info/grafts"),
        ];
        expect_refused(&ops, &in_commit_mode(&place, &ops));
        assert!(place.path(&object).exists(), "{object}");
        // New ones are made as ever, and tidying up is left to the user.
        commit_mode(&place, "echo two > file && git commit -qam two && git gc --auto && git fsck --strict")
            .expect_code(0);
        assert_eq!(
            place.outside(["sh", "-c", &format!("rm -f {object}; test ! -e {object}")]).output().code(),
            Some(0)
        );
    });
}

/// What lies in a workspace before the run is its author's: a FIFO in the place of the configuration holds nobody up.
#[test]
fn a_fifo_as_configuration_holds_no_run_up() {
    if !have(&["git"]) {
        return;
    }
    each_user(|user| {
        let place = Place::new(user);
        place.prepare("git init -q . && rm .git/config && mkfifo .git/config && echo x > .git/x.lock");
        let run = place.sandboxed(["mv", ".git/x.lock", ".git/index"]).flags([
            "--git",
            "commit",
            "--timeout",
            "20",
        ]);
        assert_ne!(run.output().code(), Some(124), "it ends before its time limit");
    });
}
