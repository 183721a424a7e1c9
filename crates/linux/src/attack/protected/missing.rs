//! Protected names that do not exist yet, made in every way in which a name can be made.

use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::{make_folder, protected, rename};
use crate::attack::attempt::{Attempt, Need};
use crate::attack::call::{own, sys, words};
use crate::attack::files::writing::link_descriptor;
use crate::attack::scene::Scene;
use crate::attack::tools::{CWD, c, done, mark, open_at, open_path, unix_address};
use crate::attack::verdict::{Step, Tried};

const NEW: i32 = libc::O_CREAT | libc::O_WRONLY;

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    protected("make-git", "make .git in a plain folder by mkdirat(2)", |s| make_folder(s, "plain/.git")),
    #[cfg(target_arch = "x86_64")]
    protected("make-git-by-the-old-call", "make .git by mkdir(2) proper", |s| {
        done(sys!(libc::SYS_mkdir, &c(&s.ours("plain/.git")), 0o755), "mkdir")
    }),
    protected("make-git-with-a-slash", "make `.git/`", |s| make_folder(s, "plain/.git/")),
    protected("make-git-with-dots", "make `x/../.git`", |s| make_folder(s, "plain/../other/./.git")),
    protected("make-git-in-capitals", "make .GIT", |s| make_folder(s, "plain/.GIT")),
    protected("make-git-in-mixed-case", "make .Git", |s| make_folder(s, "plain/.Git")),
    protected("make-codex", "make .codex at the top of the root", |s| make_folder(s, ".codex")),
    protected("make-agents", "make .agents at the top of the root", |s| make_folder(s, ".agents")),
    protected("make-agents-in-capitals", "make .AGENTS", |s| make_folder(s, "plain/.AGENTS")),
    protected("make-codex-below", "make .codex further down", |s| make_folder(s, "deep/er/.codex")),
    protected("make-git-in-a-new-folder", "make a folder, and .git in it", |s| {
        make_folder(s, "new")?;
        make_folder(s, "new/.git")
    }),
    protected("make-git-by-descriptor", "make .git below a descriptor of a folder", |s| {
        let folder = open_path(&s.ours("plain"))?;
        done(sys!(libc::SYS_mkdirat, &folder, c".git", 0o755), "mkdirat")
    }),
    protected("make-git-by-relative-name", "change into a folder and make .git", |s| {
        std::env::set_current_dir(s.ours("plain")).ready("chdir")?;
        done(sys!(libc::SYS_mkdirat, CWD, c".git", 0o755), "mkdirat")
    }),
    protected("make-git-by-proc", "make .git through /proc/self/fd", |s| {
        let folder = open_path(&s.ours("plain"))?;
        let path = format!("/proc/self/fd/{}/.git", folder.as_raw_fd());
        done(sys!(libc::SYS_mkdirat, CWD, &c(Path::new(&path)), 0o755), "mkdirat")
    }),
    protected(
        "make-git-through-a-folder-link",
        "make .git below a symbolic link to a folder of the workspace",
        |s| {
            symlink("plain", s.ours("link")).ready("symlink")?;
            make_folder(s, "link/.git")
        },
    ),
    protected("create-git-file", "make a .git file", |s| create(s, "plain/.git")),
    protected("create-codex-file", "make a .codex file at the top of the root", |s| create(s, ".codex")),
    protected("create-git-by-openat2", "make a .git file by openat2(2)", |s| {
        let how = words(&[(NEW | libc::O_CLOEXEC) as u64, 0o644, 0]);
        let made = sys!(libc::SYS_openat2, CWD, &c(&s.ours("plain/.git")), &how, how.len());
        mark(&made.map(own).attack("openat2")?)
    }),
    #[cfg(target_arch = "x86_64")]
    protected("create-git-by-creat", "make a .git file by creat(2)", |s| {
        done(sys!(libc::SYS_creat, &c(&s.ours("plain/.git")), 0o644), "creat")
    }),
    protected(
        "create-through-a-dangling-link",
        "make .agents by O_CREAT through a dangling symbolic link",
        |s| create(s, "to-agents"),
    ),
    protected(
        "create-git-through-a-dangling-link",
        "make a .git file by O_CREAT through a dangling link",
        |s| create(s, "to-new-git"),
    ),
    protected("rename-to-git", "rename a folder to .git", |s| rename(s, "folder", "plain/.git", 0)),
    protected("rename-to-codex", "rename a folder to .codex", |s| rename(s, "folder", ".codex", 0)),
    protected("rename-file-to-git", "rename a file to .git", |s| rename(s, "second", "plain/.git", 0)),
    protected("rename-to-git-carefully", "rename a folder to .git with RENAME_NOREPLACE", |s| {
        rename(s, "folder", "plain/.git", libc::RENAME_NOREPLACE)
    }),
    #[cfg(target_arch = "x86_64")]
    protected("rename-to-git-by-the-old-call", "rename a folder to .git by rename(2) proper", |s| {
        done(sys!(libc::SYS_rename, &c(&s.ours("folder")), &c(&s.ours("plain/.git"))), "rename")
    }),
    protected("link-to-git", "link a file to .git", |s| {
        let (from, to) = (c(&s.ours("second")), c(&s.ours("plain/.git")));
        done(sys!(libc::SYS_linkat, CWD, &from, CWD, &to, 0), "linkat")
    }),
    protected("symlink-to-git", "make .git a symbolic link", |s| {
        done(sys!(libc::SYS_symlinkat, c"../folder", CWD, &c(&s.ours("plain/.git"))), "symlinkat")
    }),
    protected("symlink-to-codex", "make .codex a symbolic link", |s| {
        done(sys!(libc::SYS_symlinkat, c"folder", CWD, &c(&s.ours(".codex"))), "symlinkat")
    }),
    protected("node-to-git", "make .git a FIFO", |s| {
        done(sys!(libc::SYS_mknodat, CWD, &c(&s.ours("plain/.git")), libc::S_IFIFO | 0o644, 0), "mknodat")
    }),
    protected("bind-to-git", "make .git a socket by bind(2)", |s| {
        let socket = own(sys!(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0).ready("socket")?);
        std::env::set_current_dir(s.ours("plain")).ready("chdir")?;
        let address = unix_address(".git".as_ref());
        done(sys!(libc::SYS_bind, &socket, &address, address.len()), "bind")
    }),
    protected("unnamed-to-git", "make an unnamed file and link it to .git", |s| {
        let made =
            open_at(CWD, &s.workspace(), libc::O_TMPFILE | libc::O_WRONLY, 0o644).ready("open O_TMPFILE")?;
        link_descriptor(&made, &s.ours("plain/.git"))
    }),
    protected(
        "git-from-the-temporary-folder",
        "make a repository in the temporary folder and move it in",
        |s| {
            let repository = std::env::temp_dir().join(format!("codex-attack-{}", std::process::id()));
            std::fs::create_dir(&repository).ready("mkdir")?;
            let made = std::fs::create_dir(repository.join(".git"));
            let (from, to) = (c(&repository), c(&s.ours("new")));
            let moved = made.and_then(|()| sys!(libc::SYS_renameat2, CWD, &from, CWD, &to, 0));
            let _gone = std::fs::remove_dir_all(&repository);
            done(moved, "renameat2")
        },
    )
    .needs(&[Need::Facility]),
];

fn create(scene: &Scene, name: &str) -> Tried {
    mark(&open_at(CWD, &scene.ours(name), NEW, 0o644).attack("open O_CREAT")?)
}
