//! Moving what holds a protected name, and forging another at the old place.

use std::os::unix::fs::symlink;

use super::{make_folder, protected, rename};
use crate::attack::attempt::Attempt;
use crate::attack::call::sys;
use crate::attack::scene::Scene;
use crate::attack::tools::{CWD, c, done, mark, open_at};
use crate::attack::verdict::{Step, Tried};

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    protected(
        "forge-after-rename",
        "rename a nested repository's folder, and build a forged .git at the old name",
        |s| {
            rename(s, "nested", "moved", 0)?;
            make_folder(s, "nested")?;
            forge(s, "nested")
        },
    ),
    protected("forge-after-rename-of-grandparent", "the same with the folder above", |s| {
        rename(s, "deep", "moved", 0)?;
        make_folder(s, "deep")?;
        make_folder(s, "deep/er")?;
        forge(s, "deep/er")
    }),
    protected("forge-by-exchange", "exchange a nested repository's folder with a prepared one", |s| {
        rename(s, "nested", "plain", libc::RENAME_EXCHANGE)?;
        forge(s, "nested")
    }),
    protected(
        "forge-by-link",
        "rename a nested repository's folder, and put a symbolic link at the old name",
        |s| {
            rename(s, "nested", "moved", 0)?;
            symlink("plain", s.ours("nested")).attack("symlink")?;
            forge(s, "plain")
        },
    ),
    protected(
        "move-pointer-and-forge",
        "move the folder of a .git file to where it points to a forged git directory",
        |s| {
            rename(s, "pointer", "deep/pointer", 0)?;
            make_folder(s, "deep/git-dirs")?;
            make_folder(s, "deep/git-dirs/pointer")?;
            forge_config(s, "deep/git-dirs/pointer/config")
        },
    ),
    protected(
        "move-link-and-forge",
        "move the folder of a .git link to where it leads to a forged git directory",
        |s| {
            rename(s, "linked-repository", "deep/linked-repository", 0)?;
            make_folder(s, "deep/store")?;
            make_folder(s, "deep/store/git")?;
            forge_config(s, "deep/store/git/config")
        },
    ),
    protected(
        "move-above-pointed",
        "rename the folder above the git directory that a .git file points to, and forge",
        |s| {
            rename(s, "git-dirs", "moved", 0)?;
            make_folder(s, "git-dirs")?;
            make_folder(s, "git-dirs/pointer")?;
            forge_config(s, "git-dirs/pointer/config")
        },
    ),
    protected(
        "move-above-link-target",
        "rename the folder above the one that a .git link leads to, and forge",
        |s| {
            rename(s, "store", "moved", 0)?;
            make_folder(s, "store")?;
            make_folder(s, "store/git")?;
            forge_config(s, "store/git/config")
        },
    ),
    protected("remove-and-forge", "remove a nested .git file by file, and forge it", |s| {
        std::fs::remove_dir_all(s.ours("nested/.git")).attack("remove")?;
        forge(s, "nested")
    }),
    protected("rename-by-descriptor", "rename a nested repository's folder below descriptors", |s| {
        let folder = open_at(CWD, &s.workspace(), libc::O_PATH | libc::O_DIRECTORY, 0).ready("open")?;
        done(sys!(libc::SYS_renameat2, &folder, c"nested", &folder, c"moved", 0), "renameat2")?;
        make_folder(s, "nested")?;
        forge(s, "nested")
    }),
    protected(
        "move-into-the-temporary-folder",
        "move a nested repository's folder into the temporary folder",
        |s| {
            let to = std::env::temp_dir().join(format!("codex-attack-{}", std::process::id()));
            let moved = sys!(libc::SYS_renameat2, CWD, &c(&s.ours("nested")), CWD, &c(&to), 0);
            let _gone = std::fs::remove_dir_all(&to);
            done(moved, "renameat2")
        },
    )
    .needs(&[crate::attack::attempt::Need::Facility]),
];

/// Builds a `.git` with a config of ours in `folder`.
fn forge(scene: &Scene, folder: &str) -> Tried {
    make_folder(scene, &format!("{folder}/.git"))?;
    forge_config(scene, &format!("{folder}/.git/config"))
}

fn forge_config(scene: &Scene, name: &str) -> Tried {
    mark(&open_at(CWD, &scene.ours(name), libc::O_CREAT | libc::O_WRONLY, 0o644).attack("open O_CREAT")?)
}
