//! New namespaces, and entering others.

use std::ffi::c_long;

use super::kernel;
use crate::attack::attempt::{Attempt, Group, Need};
use crate::attack::call::{own, sys, words};
use crate::attack::tools::{MARK, done, in_child_done, open};
use crate::attack::verdict::{Step, Tried};

/// CLONE_NEWTIME.
const CLONE_NEWTIME: i32 = 0x80;

const ROOT: &[Need] = &[Need::Root];
const USERS: &[Need] = &[Need::UserNamespaces];

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    kernel("unshare-user", "make a user namespace", |_| unshare(libc::CLONE_NEWUSER)).needs(USERS),
    kernel("unshare-user-and-mount", "make a user and a mount namespace at once", |_| {
        unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)
    })
    .needs(USERS),
    kernel("unshare-user-and-net", "make a user and a network namespace at once", |_| {
        unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)
    })
    .needs(USERS),
    kernel("unshare-mount", "make a mount namespace", |_| unshare(libc::CLONE_NEWNS)).needs(ROOT),
    kernel("unshare-pid", "make a pid namespace", |_| unshare(libc::CLONE_NEWPID)).needs(ROOT),
    kernel("unshare-net", "make a network namespace", |_| unshare(libc::CLONE_NEWNET)).needs(ROOT),
    kernel("unshare-ipc", "make an IPC namespace", |_| unshare(libc::CLONE_NEWIPC)).needs(ROOT),
    kernel("unshare-uts", "make a UTS namespace", |_| unshare(libc::CLONE_NEWUTS)).needs(ROOT),
    kernel("unshare-cgroup", "make a cgroup namespace", |_| unshare(libc::CLONE_NEWCGROUP)).needs(ROOT),
    kernel("unshare-time", "make a time namespace", |_| unshare(CLONE_NEWTIME))
        .needs(&[Need::Root, Need::Facility]),
    kernel("clone-user", "make a process in a new user namespace by clone(2)", |_| {
        clone_into("clone", libc::SYS_clone, libc::CLONE_NEWUSER)
    })
    .needs(USERS),
    kernel("clone3-user", "make a process in a new user namespace by clone3(2)", |_| {
        clone_into("clone3", libc::SYS_clone3, libc::CLONE_NEWUSER)
    })
    .needs(USERS),
    kernel("clone3-everything", "make a process in a new set of all namespaces by clone3(2)", |_| {
        let all = libc::CLONE_NEWUSER
            | libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC;
        clone_into("clone3", libc::SYS_clone3, all)
    })
    .needs(USERS),
    kernel("setns-mount", "enter a mount namespace", |_| enter("mnt", libc::CLONE_NEWNS)).needs(ROOT),
    kernel("setns-net", "enter a network namespace", |_| enter("net", libc::CLONE_NEWNET)).needs(ROOT),
    kernel("setns-uts", "enter a UTS namespace", |_| enter("uts", libc::CLONE_NEWUTS)).needs(ROOT),
    kernel(
        "parent-user-namespace",
        "get hold of the parent user namespace (NS_GET_PARENT), and enter it",
        |_| {
            const NS_GET_USERNS: u32 = 0xb701;
            let own_net = open("/proc/self/ns/uts".as_ref(), libc::O_RDONLY).ready("open")?;
            let owner = own(sys!(libc::SYS_ioctl, &own_net, NS_GET_USERNS, 0).attack("NS_GET_USERNS")?);
            // Entering one's own user namespace is refused with EINVAL, after the check whether one may.
            crate::attack::tools::probe(
                sys!(libc::SYS_setns, &owner, libc::CLONE_NEWUSER),
                &[libc::EINVAL],
                "setns",
            )
        },
    )
    .needs(ROOT),
    Attempt::seen_outside(
        Group::Kernel,
        "write-from-a-new-namespace",
        "write to an outside file with the power of a new user and mount namespace",
        |s| {
            sys!(libc::SYS_unshare, libc::CLONE_NEWUSER | libc::CLONE_NEWNS).attack("unshare")?;
            let fd = open(&s.file(), libc::O_WRONLY).attack("open")?;
            done(sys!(libc::SYS_write, &fd, MARK, MARK.len()), "write")
        },
    )
    .needs(USERS),
];

fn unshare(flags: i32) -> Tried {
    in_child_done("unshare", || sys!(libc::SYS_unshare, flags))
}

/// A child that ends at once.
fn clone_into(name: &str, number: c_long, flags: i32) -> Tried {
    let made = if number == libc::SYS_clone3 {
        let arguments = words(&[flags as u64, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0]);
        sys!(number, &arguments, arguments.len())
    } else {
        sys!(number, flags | libc::SIGCHLD, 0, 0, 0, 0)
    };
    if matches!(made, Ok(0)) {
        // SAFETY: _exit does not return.
        unsafe { libc::_exit(0) }
    }
    done(made, name)
}

/// The namespaces of one's parent: entering even one's own needs the right to enter.
fn enter(kind: &str, flag: i32) -> Tried {
    let path = format!("/proc/self/ns/{kind}");
    let namespace = open(path.as_ref(), libc::O_RDONLY).ready(&path)?;
    in_child_done("setns", || sys!(libc::SYS_setns, &namespace, flag))
}
