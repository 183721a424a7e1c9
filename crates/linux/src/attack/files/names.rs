//! Making, moving and removing outside names.

use std::os::unix::fs::symlink;

use super::file;
use super::writing::link_descriptor;
use crate::attack::attempt::Attempt;
use crate::attack::call::sys;
use crate::attack::scene::Scene;
use crate::attack::tools::{CWD, c, done, open_and_mark, open_for_reading, open_path};
use crate::attack::verdict::{Step, Tried};

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    file("unlink", "remove an outside file", |s| {
        done(sys!(libc::SYS_unlinkat, CWD, &c(&s.file()), 0), "unlinkat")
    }),
    file("remove-folder", "remove an empty outside folder", |s| {
        done(sys!(libc::SYS_unlinkat, CWD, &c(&s.theirs("empty")), libc::AT_REMOVEDIR), "unlinkat")
    }),
    file("unlink-below-a-descriptor", "remove an outside file below a descriptor of its folder", |s| {
        let folder = open_path(&s.theirs("folder"))?;
        done(sys!(libc::SYS_unlinkat, &folder, c"inner", 0), "unlinkat")
    }),
    #[cfg(target_arch = "x86_64")]
    file("unlink-by-the-old-call", "remove an outside file by unlink(2) proper", |s| {
        done(sys!(libc::SYS_unlink, &c(&s.file())), "unlink")
    }),
    #[cfg(target_arch = "x86_64")]
    file("remove-folder-by-the-old-call", "remove an outside folder by rmdir(2)", |s| {
        done(sys!(libc::SYS_rmdir, &c(&s.theirs("empty"))), "rmdir")
    }),
    file("rename", "rename an outside file", |s| rename(s, "outside/file", "outside/new", 0)),
    file("rename-folder", "rename an outside folder", |s| rename(s, "outside/folder", "outside/new", 0)),
    file("steal", "move an outside file into the workspace", |s| {
        rename(s, "outside/file", "workspace/stolen", 0)
    }),
    file("plant", "move a file of the workspace out", |s| rename(s, "workspace/second", "outside/new", 0)),
    file("replace", "move a file of the workspace over an outside file", |s| {
        rename(s, "workspace/second", "outside/file", 0)
    }),
    file("exchange", "exchange a file of the workspace with an outside file", |s| {
        rename(s, "workspace/second", "outside/file", libc::RENAME_EXCHANGE)
    }),
    file("exchange-folders", "exchange a folder of the workspace with an outside folder", |s| {
        rename(s, "workspace/plain", "outside/folder", libc::RENAME_EXCHANGE)
    }),
    file("plant-without-replacing", "move a file of the workspace out with RENAME_NOREPLACE", |s| {
        rename(s, "workspace/second", "outside/new", libc::RENAME_NOREPLACE)
    }),
    file("whiteout", "rename an outside file leaving a whiteout", |s| {
        rename(s, "outside/file", "outside/new", libc::RENAME_WHITEOUT)
    }),
    file("rename-the-outside-folder", "rename the folder that holds the outside files", |s| {
        rename(s, "outside", "elsewhere", 0)
    }),
    file(
        "rename-the-root",
        "rename the workspace away, and put a link to the outside folder in its place",
        |s| {
            rename(s, "workspace", "elsewhere", 0)?;
            symlink(s.outside(), s.workspace()).attack("symlink")?;
            open_and_mark(&s.ours("file"), libc::O_WRONLY)
        },
    ),
    #[cfg(target_arch = "x86_64")]
    file("rename-by-the-old-call", "rename an outside file by rename(2) proper", |s| {
        done(sys!(libc::SYS_rename, &c(&s.file()), &c(&s.theirs("new"))), "rename")
    }),
    file("renameat", "rename an outside file by renameat(2)", |s| {
        done(sys!(libc::SYS_renameat, CWD, &c(&s.file()), CWD, &c(&s.theirs("new"))), "renameat")
    }),
    file("link-out", "give a file of the workspace a name outside", |s| {
        link(s, "workspace/second", "outside/new")
    }),
    file("link-outside", "give an outside file another outside name", |s| {
        link(s, "outside/file", "outside/new")
    }),
    file("link-in-and-write", "give an outside file a name in the workspace, and write through it", |s| {
        link(s, "outside/file", "workspace/new")?;
        open_and_mark(&s.ours("new"), libc::O_WRONLY)
    }),
    file(
        "link-in-a-descriptor",
        "give an outside file, by its descriptor, a name in the workspace, and write",
        |s| {
            let fd = open_for_reading(&s.file())?;
            link_descriptor(&fd, &s.ours("new"))?;
            open_and_mark(&s.ours("new"), libc::O_WRONLY)
        },
    ),
    file("link-in-an-empty-path", "the same with AT_EMPTY_PATH and an O_PATH descriptor", |s| {
        let fd = open_path(&s.file())?;
        let linked = sys!(libc::SYS_linkat, &fd, c"", CWD, &c(&s.ours("new")), libc::AT_EMPTY_PATH);
        linked.attack("linkat AT_EMPTY_PATH")?;
        open_and_mark(&s.ours("new"), libc::O_WRONLY)
    }),
    file("link-in-a-link", "hard-link through a symbolic link of the workspace, and write", |s| {
        let linked = sys!(
            libc::SYS_linkat,
            CWD,
            &c(&s.ours("to-file")),
            CWD,
            &c(&s.ours("new")),
            libc::AT_SYMLINK_FOLLOW
        );
        linked.attack("linkat")?;
        open_and_mark(&s.ours("new"), libc::O_WRONLY)
    }),
    file("symbolic-link", "make a symbolic link outside", |s| {
        symlink("file", s.theirs("new")).attack("symlink").map(|()| "made".into())
    }),
    file("hard-link-write", "write to a file of the workspace that has a second name outside", |s| {
        open_and_mark(&s.ours("linked"), libc::O_WRONLY)
    }),
    file("hard-link-truncate", "truncate a file of the workspace that has a second name outside", |s| {
        done(sys!(libc::SYS_truncate, &c(&s.ours("linked")), 0), "truncate")
    }),
    file("hard-link-renamed", "rename a file with a second name outside, then write to it", |s| {
        let renamed = sys!(libc::SYS_renameat, CWD, &c(&s.ours("linked-twice")), CWD, &c(&s.ours("moved")));
        let name = if renamed.is_ok() { "moved" } else { "linked-twice" };
        open_and_mark(&s.ours(name), libc::O_WRONLY | libc::O_APPEND)
    }),
    file(
        "hard-link-linked",
        "link a file with a second name outside once more, then write through that",
        |s| {
            let linked = sys!(libc::SYS_linkat, CWD, &c(&s.ours("linked")), CWD, &c(&s.ours("third")), 0);
            let name = if linked.is_ok() { "third" } else { "linked" };
            open_and_mark(&s.ours(name), libc::O_WRONLY | libc::O_TRUNC)
        },
    ),
    file("hard-link-mode", "change the mode of a file that has a second name outside", |s| {
        done(sys!(libc::SYS_fchmodat, CWD, &c(&s.ours("linked")), 0o777), "fchmodat")
    }),
];

fn rename(scene: &Scene, from: &str, to: &str, flags: u32) -> Tried {
    let base = std::path::Path::new(&scene.dir);
    let renamed = sys!(libc::SYS_renameat2, CWD, &c(&base.join(from)), CWD, &c(&base.join(to)), flags);
    done(renamed, "renameat2")
}

fn link(scene: &Scene, from: &str, to: &str) -> Tried {
    let base = std::path::Path::new(&scene.dir);
    done(sys!(libc::SYS_linkat, CWD, &c(&base.join(from)), CWD, &c(&base.join(to)), 0), "linkat")
}
