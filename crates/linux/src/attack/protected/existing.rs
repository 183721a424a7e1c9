//! Protected names that exist: at the top of the root, nested, behind a pointer file, behind a symbolic link.

use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{make_folder, protected, rename};
use crate::attack::attempt::Attempt;
use crate::attack::call::sys;
use crate::attack::scene::Scene;
use crate::attack::tools::{CWD, c, done, mark, open_and_mark, open_at, open_for_reading, open_path};
use crate::attack::verdict::{Step, Tried};

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    protected("git-config", "append to .git/config", |s| append(s, ".git/config")),
    protected("git-hook", "write a hook in .git/hooks", |s| append(s, ".git/hooks/pre-commit")),
    protected("git-new-hook", "make a hook in .git/hooks", |s| create(s, ".git/hooks/post-checkout")),
    protected("git-new-file", "make a file in .git", |s| create(s, ".git/info/attributes")),
    protected("git-new-folder", "make a folder in .git", |s| make_folder(s, ".git/worktrees")),
    protected("git-head", "replace .git/HEAD", |s| rename(s, "file", ".git/HEAD", 0)),
    protected("git-unlink", "remove .git/HEAD", |s| unlink(s, ".git/HEAD", 0)),
    protected("git-mode", "make a hook executable", |s| chmod(s, ".git/hooks/pre-commit")),
    protected("git-mode-by-descriptor", "make a hook executable by a descriptor for reading", |s| {
        let hook = open_for_reading(&s.ours(".git/hooks/pre-commit"))?;
        done(sys!(libc::SYS_fchmod, &hook, 0o755), "fchmod")
    }),
    protected("git-rename", "rename .git", |s| rename(s, ".git", "git-moved", 0)),
    protected("git-exchange", "exchange .git with another folder", |s| {
        rename(s, "plain", ".git", libc::RENAME_EXCHANGE)
    }),
    protected("git-link-out", "give a hook a second name outside .git, and write to that", |s| {
        let (from, to) = (c(&s.ours(".git/hooks/pre-commit")), c(&s.ours("hook")));
        sys!(libc::SYS_linkat, CWD, &from, CWD, &to, 0).attack("linkat")?;
        append(s, "hook")
    }),
    protected("git-link-in", "give a file of the workspace a second name in .git", |s| {
        let (from, to) = (c(&s.ours("file")), c(&s.ours(".git/hooks/post-merge")));
        done(sys!(libc::SYS_linkat, CWD, &from, CWD, &to, 0), "linkat")
    }),
    protected("git-through-a-link", "write below a symbolic link to .git", |s| {
        symlink(".git", s.ours("link")).ready("symlink")?;
        append(s, "link/config")
    }),
    protected("git-by-descriptor", "write below a descriptor of .git", |s| {
        let git = open_path(&s.ours(".git"))?;
        mark(
            &open_at(git.as_raw_fd(), Path::new("config"), libc::O_WRONLY | libc::O_APPEND, 0)
                .attack("openat")?,
        )
    }),
    protected("git-from-within", "change into .git and write there", |s| {
        std::env::set_current_dir(s.ours(".git")).ready("chdir")?;
        open_and_mark(Path::new("config"), libc::O_WRONLY | libc::O_APPEND)
    }),
    protected("git-through-dots", "write to .git through `..`", |s| append(s, "plain/../.git/config")),
    protected("git-by-proc", "write to .git through /proc/self/cwd", |_| {
        open_and_mark(Path::new("/proc/self/cwd/.git/config"), libc::O_WRONLY | libc::O_APPEND)
    }),
    protected("git-reopen", "open a descriptor of .git/config for writing through /proc/self/fd", |s| {
        let config = open_for_reading(&s.ours(".git/config"))?;
        let link = format!("/proc/self/fd/{}", config.as_raw_fd());
        open_and_mark(Path::new(&link), libc::O_WRONLY | libc::O_APPEND)
    }),
    protected("nested-config", "append to a nested repository's config", |s| append(s, "nested/.git/config")),
    protected("nested-hook", "make a hook in a nested repository", |s| {
        create(s, "nested/.git/hooks/post-checkout")
    }),
    protected("nested-remove", "remove a file of a nested .git", |s| unlink(s, "nested/.git/HEAD", 0)),
    protected("nested-rename", "rename a nested .git", |s| rename(s, "nested/.git", "nested/git", 0)),
    protected("nested-swap", "exchange a nested .git with another folder", |s| {
        rename(s, "nested/.git", "plain", libc::RENAME_EXCHANGE)
    }),
    protected("nested-codex", "append to a nested .codex/config.toml", |s| {
        append(s, "nested/.codex/config.toml")
    }),
    protected("nested-codex-new", "make a file in a nested .codex", |s| create(s, "nested/.codex/rules")),
    protected("deep-config", "append to the config of a repository further down", |s| {
        append(s, "deep/er/.git/config")
    }),
    protected("pointer-rewrite", "rewrite a .git file", |s| {
        mark(&open_at(CWD, &s.ours("pointer/.git"), libc::O_WRONLY | libc::O_TRUNC, 0).attack("open")?)
    }),
    protected("pointer-replace", "move another file over a .git file", |s| {
        rename(s, "file", "pointer/.git", 0)
    }),
    protected("pointer-remove", "remove a .git file", |s| unlink(s, "pointer/.git", 0)),
    protected(
        "pointed-config",
        "append to the config of the git directory that a .git file points to",
        |s| append(s, "git-dirs/pointer/config"),
    ),
    protected("pointed-hook", "make a hook in the git directory that a .git file points to", |s| {
        create(s, "git-dirs/pointer/hooks/post-checkout")
    }),
    protected("pointed-rename", "rename the git directory that a .git file points to", |s| {
        rename(s, "git-dirs/pointer", "git-dirs/moved", 0)
    }),
    protected(
        "pointed-by-descriptor",
        "write below a descriptor of the git directory that a .git file points to",
        |s| {
            let git = open_path(&s.ours("git-dirs/pointer"))?;
            mark(
                &open_at(git.as_raw_fd(), Path::new("config"), libc::O_WRONLY | libc::O_APPEND, 0)
                    .attack("openat")?,
            )
        },
    ),
    protected("linked-git-replace", "replace a .git that is a symbolic link", |s| {
        unlink(s, "linked-repository/.git", 0)?;
        symlink("../plain", s.ours("linked-repository/.git")).attack("symlink").map(|()| "replaced".into())
    }),
    protected("linked-git-config", "append to the config behind a .git that is a symbolic link", |s| {
        append(s, "linked-repository/.git/config")
    }),
    protected("linked-git-target", "append to the same config by the target's own name", |s| {
        append(s, "store/git/config")
    }),
    protected("linked-git-hook", "make a hook in the folder that a .git link leads to", |s| {
        create(s, "store/git/hooks/post-checkout")
    }),
    protected("linked-git-rename", "rename the folder that a .git link leads to", |s| {
        rename(s, "store/git", "store/moved", 0)
    }),
];

fn append(scene: &Scene, name: &str) -> Tried {
    open_and_mark(&scene.ours(name), libc::O_WRONLY | libc::O_APPEND)
}

fn create(scene: &Scene, name: &str) -> Tried {
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
    mark(&open_at(CWD, &scene.ours(name), flags, 0o755).attack("open O_CREAT")?)
}

fn unlink(scene: &Scene, name: &str, flags: i32) -> Tried {
    done(sys!(libc::SYS_unlinkat, CWD, &c(&scene.ours(name)), flags), "unlinkat")
}

fn chmod(scene: &Scene, name: &str) -> Tried {
    done(sys!(libc::SYS_fchmodat, CWD, &c(&scene.ours(name)), 0o755), "fchmodat")
}
