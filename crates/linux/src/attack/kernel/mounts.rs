//! Changing what is mounted where.

use std::ffi::c_long;
use std::path::Path;

use super::kernel;
use crate::attack::attempt::{Attempt, Group, Need};
use crate::attack::call::{own, sys, words};
use crate::attack::scene::Scene;
use crate::attack::tools::{CWD, c, done, in_child_done, open_and_mark, probe};
use crate::attack::verdict::{Step, Tried};

/// mount_setattr(2).
const MOUNT_SETATTR: c_long = 442;
/// open_tree_attr(2), Linux 6.15.
const OPEN_TREE_ATTR: c_long = 467;
/// OPEN_TREE_CLONE.
const OPEN_TREE_CLONE: u32 = 1;
const ROOT: &[Need] = &[Need::Root];
const ROOT_AND_NEW: &[Need] = &[Need::Root, Need::Facility];

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    kernel("mount", "mount a file system", |s| {
        let at = c(&s.ours("plain"));
        sys!(libc::SYS_mount, c"tmpfs", &at, c"tmpfs", 0, 0).attack("mount")?;
        let _gone = sys!(libc::SYS_umount2, &at, libc::MNT_DETACH);
        Ok("mounted".into())
    })
    .needs(ROOT),
    kernel("bind-mount", "bind the outside folder into the workspace, and write below it", |s| {
        let at = c(&s.ours("plain"));
        sys!(libc::SYS_mount, &c(&s.outside()), &at, 0, libc::MS_BIND, 0).attack("mount MS_BIND")?;
        let written = open_and_mark(&s.ours("plain/file"), libc::O_WRONLY);
        let _gone = sys!(libc::SYS_umount2, &at, libc::MNT_DETACH);
        written
    })
    .needs(ROOT),
    Attempt::seen_outside(Group::Kernel, "bind-over-git", "bind a folder over a nested .git", |s| {
        let at = c(&s.ours("nested/.git"));
        sys!(libc::SYS_mount, &c(&s.ours("plain")), &at, 0, libc::MS_BIND, 0).attack("mount MS_BIND")?;
        // The stage sees another folder there; it cannot remove a folder that holds a mount, so the mount goes when it looked.
        detach_later(s, "nested/.git")
    })
    .needs(ROOT),
    kernel("remount", "remount the root file system writable", |_| {
        // With the flags that it has, but for MS_RDONLY: nothing changes where it is writable already.
        let flags = rustix::fs::statvfs("/").map_err(std::io::Error::from).ready("statvfs")?.f_flag;
        let flags = flags.bits() & !u64::from(libc::ST_RDONLY as u32) & 0xffff;
        let kept =
            flags & u64::from((libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_NOATIME) as u32);
        let relatime = if flags & 0x1000 != 0 { libc::MS_RELATIME } else { 0 };
        let flags = kept | relatime | libc::MS_REMOUNT | libc::MS_BIND;
        done(sys!(libc::SYS_mount, 0, c"/", 0, flags, 0), "mount MS_REMOUNT")
    })
    .needs(ROOT),
    kernel("unmount", "unmount", |_| {
        probe(sys!(libc::SYS_umount2, c"/nonexistent", libc::MNT_DETACH), &[libc::ENOENT], "umount2")
    })
    .needs(ROOT),
    kernel("pivot-root", "change the root file system", |_| {
        probe(sys!(libc::SYS_pivot_root, 0, 0), &[libc::EFAULT, libc::ENOENT, libc::EINVAL], "pivot_root")
    })
    .needs(ROOT),
    kernel("chroot", "change the root folder", |s| {
        let to = c(&s.workspace());
        in_child_done("chroot", || sys!(libc::SYS_chroot, &to))
    })
    .needs(ROOT),
    kernel("open-tree", "clone a mount by open_tree(2)", |s| {
        let cloned = sys!(libc::SYS_open_tree, CWD, &c(&s.outside()), OPEN_TREE_CLONE);
        cloned.map(own).attack("open_tree").map(|_| "cloned".into())
    })
    .needs(ROOT),
    kernel("open-tree-attr", "clone a mount with other attributes by open_tree_attr(2)", |s| {
        let attributes = words(&[0; 4]);
        let cloned =
            sys!(OPEN_TREE_ATTR, CWD, &c(&s.outside()), OPEN_TREE_CLONE, &attributes, attributes.len());
        cloned.map(own).attack("open_tree_attr").map(|_| "cloned".into())
    })
    .needs(ROOT_AND_NEW),
    kernel("move-mount", "attach a mount by move_mount(2)", |_| {
        let nowhere = sys!(libc::SYS_move_mount, CWD, c"/nonexistent", CWD, c"/nonexistent", 0);
        probe(nowhere, &[libc::ENOENT], "move_mount")
    })
    .needs(ROOT),
    kernel("fsopen", "make a new file system by fsopen(2)", |_| {
        sys!(libc::SYS_fsopen, c"tmpfs", 1).map(own).attack("fsopen").map(|_| "made".into())
    })
    .needs(ROOT),
    kernel("fspick", "reconfigure a file system by fspick(2)", |_| {
        sys!(libc::SYS_fspick, CWD, c"/", 1).map(own).attack("fspick").map(|_| "picked".into())
    })
    .needs(ROOT),
    kernel("mount-setattr", "make the root mount writable by mount_setattr(2)", |_| {
        // MOUNT_ATTR_RDONLY to be cleared, on a mount that is writable already outside.
        let attributes = words(&[0, 1, 0, 0]);
        done(sys!(MOUNT_SETATTR, CWD, c"/", 0, &attributes, attributes.len()), "mount_setattr")
    })
    .needs(ROOT),
];

/// Leaves a process that takes the mount away when the stage has looked.
fn detach_later(scene: &Scene, name: &str) -> Tried {
    let at = c(&scene.ours(name));
    // SAFETY: one thread; the child only sleeps, unmounts and ends.
    if unsafe { libc::fork() } == 0 {
        std::thread::sleep(std::time::Duration::from_millis(150));
        let _gone = sys!(libc::SYS_umount2, &at, libc::MNT_DETACH);
        // SAFETY: _exit does not return.
        unsafe { libc::_exit(0) }
    }
    Ok(format!("mounted over {}", Path::new(name).display()))
}
