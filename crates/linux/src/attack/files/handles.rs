//! Handles and descriptors instead of paths.

use std::path::Path;

use super::file;
use crate::attack::attempt::{Attempt, Group, Need};
use crate::attack::call::{own, sys, words};
use crate::attack::scene::Scene;
use crate::attack::tools::{CWD, MARK, c, done, mark, open_at, open_for_reading};
use crate::attack::verdict::{Step, Stop, Tried};

/// `struct file_handle` with room for any handle.
const HANDLE_SIZE: usize = 8 + 128;

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    file("file-handle", "open an outside file for writing by its handle", |s| by_handle(s, libc::O_WRONLY))
        .needs(&[Need::Root, Need::Facility]),
    file("file-handle-of-a-folder", "open the outside folder by its handle, and write below it", |s| {
        let handle = handle(&s.outside())?;
        let mount = open_for_reading(&s.workspace())?;
        let folder =
            sys!(libc::SYS_open_by_handle_at, &mount, &handle, libc::O_RDONLY | libc::O_CLOEXEC).map(own);
        let folder = folder.attack("open_by_handle_at")?;
        let opened = sys!(libc::SYS_openat, &folder, c"file", libc::O_WRONLY | libc::O_CLOEXEC, 0);
        mark(&opened.map(own).attack("openat")?)
    })
    .needs(&[Need::Root, Need::Facility]),
    file("forgotten-file", "write to a descriptor that the caller forgot to close", |s| {
        done(sys!(libc::SYS_write, s.forgotten_file, MARK, MARK.len()), "write")
    }),
    file("forgotten-file-by-any-number", "write to every descriptor above 2 that leads to the stage", |s| {
        let leads_there = |fd: &i32| {
            std::fs::read_link(format!("/proc/self/fd/{fd}"))
                .is_ok_and(|target| target.starts_with(s.outside()))
        };
        let written = |fd: &i32| sys!(libc::SYS_write, *fd, MARK, MARK.len()).is_ok();
        match (3..1024).filter(leads_there).filter(written).count() {
            0 => Err(Stop::denied("none is open for writing")),
            count => Ok(format!("wrote to {count}")),
        }
    }),
    file("forgotten-folder", "write below a folder that the caller forgot to close", |s| {
        mark(&open_at(s.forgotten_folder, Path::new("file"), libc::O_WRONLY, 0).attack("openat")?)
    }),
    file("forgotten-folder-by-proc", "write below every folder among /proc/self/fd", |_| {
        for fd in 3..1024 {
            let opened = open_at(CWD, Path::new(&format!("/proc/self/fd/{fd}/file")), libc::O_WRONLY, 0);
            if let Ok(opened) = opened {
                return mark(&opened);
            }
        }
        Err(Stop::denied("no folder is open"))
    }),
    file("forgotten-socket", "send on a connected socket that the caller forgot to close", |s| {
        done(sys!(libc::SYS_write, s.forgotten_socket, MARK, MARK.len()), "write")
    }),
    file(
        "descriptors-of-the-parent",
        "write to descriptors of the parent, pid 1, through /proc/PPID/fd",
        |_| descriptors_of(std::os::unix::process::parent_id() as i32),
    ),
    Attempt::seen_inside(
        Group::Files,
        "lease",
        "take a lease on an outside file, which stalls outsiders that open it",
        |s| {
            done(
                sys!(libc::SYS_fcntl, &open_for_reading(&s.file())?, libc::F_SETLEASE, libc::F_RDLCK),
                "F_SETLEASE",
            )
        },
    ),
];

fn handle(path: &Path) -> Result<Vec<u8>, Stop> {
    let mut handle = words(&[128]);
    handle.resize(HANDLE_SIZE, 0);
    let mut mount_id = [0; 4];
    let made =
        sys!(libc::SYS_name_to_handle_at, CWD, &c(path), handle.as_mut_slice(), mount_id.as_mut_slice(), 0);
    made.attack("name_to_handle_at")?;
    Ok(handle)
}

fn by_handle(scene: &Scene, flags: i32) -> Tried {
    let handle = handle(&scene.file())?;
    let mount = open_for_reading(&scene.workspace())?;
    let opened = sys!(libc::SYS_open_by_handle_at, &mount, &handle, flags | libc::O_CLOEXEC);
    mark(&opened.map(own).attack("open_by_handle_at")?)
}

/// Opens each descriptor of the process once more for writing. Only files: pipes and terminals are lawful outputs.
fn descriptors_of(pid: i32) -> Tried {
    let folder = format!("/proc/{pid}/fd");
    let names = std::fs::read_dir(&folder).map_err(|error| Stop::refused(&error, &folder))?;
    for name in names.flatten() {
        let link = name.path();
        let target = std::fs::read_link(&link).unwrap_or_default();
        if !target.ends_with("second") {
            continue;
        }
        if let Ok(opened) = open_at(CWD, &link, libc::O_WRONLY | libc::O_APPEND, 0) {
            return mark(&opened);
        }
    }
    Err(Stop::denied("none leads to an outside file"))
}
