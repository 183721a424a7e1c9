//! Other ways to the same outside file: links, `..`, /proc.

use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::file;
use super::metadata::magic;
use crate::attack::attempt::Attempt;
use crate::attack::call::{own, sys, words};
use crate::attack::scene::Scene;
use crate::attack::tools::{
    CWD, c, done, in_child, mark, open_and_mark, open_at, open_for_reading, open_path,
};
use crate::attack::verdict::{Step, Stop, Tried};

const WRITE: i32 = libc::O_WRONLY;

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    file("through-a-link", "write through a symbolic link of the workspace", |s| {
        open_and_mark(&s.ours("to-file"), WRITE)
    }),
    file("through-a-folder-link", "write below a symbolic link to an outside folder", |s| {
        open_and_mark(&s.ours("to-folder/inner"), WRITE)
    }),
    file("through-a-new-link", "make a symbolic link and write through it", |s| {
        let link = s.ours("link");
        symlink(s.outside(), &link).ready("symlink")?;
        open_and_mark(&link.join("file"), WRITE)
    }),
    file("through-a-chain", "write through a chain of ten symbolic links", |s| {
        let mut target = s.file();
        for number in 0..10 {
            let link = s.ours(format!("chain-{number}"));
            symlink(&target, &link).ready("symlink")?;
            target = link;
        }
        open_and_mark(&target, WRITE)
    }),
    file("create-through-a-link", "make an outside file through a dangling symbolic link", |s| {
        let flags = libc::O_CREAT | WRITE;
        mark(&open_at(CWD, &s.ours("to-nothing"), flags, 0o644).attack("open O_CREAT")?)
    }),
    file("truncate-through-a-link", "truncate(2) through a symbolic link", |s| {
        done(sys!(libc::SYS_truncate, &c(&s.ours("to-file")), 0), "truncate")
    }),
    file("mode-through-a-link", "change a mode through a symbolic link", |s| {
        done(sys!(libc::SYS_fchmodat, CWD, &c(&s.ours("to-file")), 0o777), "fchmodat")
    }),
    file("unlink-through-a-link", "remove a file below a symbolic link to an outside folder", |s| {
        done(sys!(libc::SYS_unlinkat, CWD, &c(&s.ours("to-folder/inner")), 0), "unlinkat")
    }),
    file("make-through-a-link", "make a folder below a symbolic link to an outside folder", |s| {
        done(sys!(libc::SYS_mkdirat, CWD, &c(&s.ours("to-folder/new")), 0o755), "mkdirat")
    }),
    file(
        "rename-through-a-link",
        "move a file of the workspace below a symbolic link to an outside folder",
        |s| {
            let (from, to) = (c(&s.ours("second")), c(&s.ours("to-folder/new")));
            done(sys!(libc::SYS_renameat2, CWD, &from, CWD, &to, 0), "renameat2")
        },
    ),
    file("dots", "write through `..` from the workspace", |s| {
        open_and_mark(&s.ours("folder/../../outside/file"), WRITE)
    }),
    file("dots-by-descriptor", "write through `..` of a descriptor of the workspace", |s| {
        let folder = open_for_reading(&s.workspace())?;
        let opened = open_at(folder.as_raw_fd(), Path::new("../outside/file"), WRITE, 0);
        mark(&opened.attack("openat ..")?)
    }),
    file("relative-dots", "write by a relative name with `..`", |_| {
        open_and_mark(Path::new("../outside/file"), WRITE)
    }),
    file(
        "moved-away-working-folder",
        "write through `..` of a working folder that was moved meanwhile",
        |s| {
            std::env::set_current_dir(s.ours("folder")).ready("chdir")?;
            let (from, to) = (c(&s.ours("folder")), c(&s.ours("deep/folder")));
            sys!(libc::SYS_renameat2, CWD, &from, CWD, &to, 0).ready("renameat2")?;
            open_and_mark(Path::new("../../../outside/file"), WRITE)
        },
    ),
    file("proc-root", "write through /proc/self/root", |s| through(s, "/proc/self/root")),
    file("proc-thread-root", "write through /proc/thread-self/root", |s| {
        through(s, "/proc/thread-self/root")
    }),
    file("proc-cwd", "write through /proc/self/cwd and `..`", |_| {
        open_and_mark(Path::new("/proc/self/cwd/../outside/file"), WRITE)
    }),
    file("proc-parent-root", "write through the root of the parent process", |s| {
        through(s, &format!("/proc/{}/root", std::os::unix::process::parent_id()))
    }),
    file("proc-init-root", "write through the root of pid 1", |s| {
        through(s, &format!("/proc/{}/root", s.init))
    }),
    file("proc-init-cwd", "write through the working folder of pid 1", |s| {
        // The launcher's working folder, and pid 1's, may be the workspace or the root.
        let way = format!("/proc/{}/cwd", s.init);
        let target = std::fs::read_link(&way).map_err(|error| Stop::refused(&error, &way))?;
        let up = "../".repeat(target.components().count() + 1);
        open_and_mark(&Path::new(&way).join(up).join(relative(&s.file())), WRITE)
    }),
    file("child-root", "write through the root of a child process", |s| {
        let file = relative(&s.file());
        let parent = std::process::id();
        let status = in_child(|| {
            let way = PathBuf::from(format!("/proc/{parent}/root")).join(&file);
            i32::from(open_and_mark(&way, WRITE).is_err())
        });
        match status.ready("fork")? {
            0 => Ok("a child wrote".into()),
            _ => Err(Stop::denied("the child could not open it")),
        }
    }),
    file("reopen", "open a descriptor for reading once more, for writing, through /proc/self/fd", |s| {
        let fd = open_for_reading(&s.file())?;
        reopen(&format!("/proc/self/fd/{}", fd.as_raw_fd()))
    }),
    file("reopen-by-pid", "the same through /proc/PID/fd", |s| {
        let fd = open_for_reading(&s.file())?;
        reopen(&format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()))
    }),
    file("reopen-by-task", "the same through /proc/self/task", |s| {
        let fd = open_for_reading(&s.file())?;
        let id = std::process::id();
        reopen(&format!("/proc/self/task/{id}/fd/{}", fd.as_raw_fd()))
    }),
    file("reopen-by-dev", "the same through /dev/fd", |s| {
        let fd = open_for_reading(&s.file())?;
        reopen(&format!("/dev/fd/{}", fd.as_raw_fd()))
    }),
    file("reopen-a-path", "open an O_PATH descriptor for writing through /proc/self/fd", |s| {
        let fd = open_path(&s.file())?;
        reopen(&format!("/proc/self/fd/{}", fd.as_raw_fd()))
    }),
    file("reopen-a-path-by-openat2", "the same by openat2(2)", |s| {
        let fd = open_path(&s.file())?;
        let how = words(&[(WRITE | libc::O_CLOEXEC) as u64, 0, 0]);
        mark(&sys!(libc::SYS_openat2, CWD, &magic(&fd), &how, how.len()).map(own).attack("openat2")?)
    }),
    file("below-a-path", "write below an O_PATH descriptor of the outside folder", |s| {
        let folder = open_path(&s.outside())?;
        mark(&open_at(folder.as_raw_fd(), Path::new("file"), WRITE, 0).attack("openat")?)
    }),
    file("folder-by-proc", "write below the magic link of a descriptor of the outside folder", |s| {
        let folder = open_path(&s.outside())?;
        open_and_mark(&PathBuf::from(format!("/proc/self/fd/{}/file", folder.as_raw_fd())), WRITE)
    }),
    file("truncate-by-proc", "truncate(2) through /proc/self/fd", |s| {
        let fd = open_path(&s.file())?;
        done(sys!(libc::SYS_truncate, &magic(&fd), 0), "truncate")
    }),
    file("link-to-proc", "write through a symbolic link of the workspace to /proc/self/root", |s| {
        let link = s.ours("root");
        symlink("/proc/self/root", &link).ready("symlink")?;
        open_and_mark(&link.join(relative(&s.file())), WRITE)
    }),
    file("many-slashes", "write by a path with empty and `.` components", |s| {
        let outside = s.outside();
        let mut odd = std::ffi::OsString::from("//.//");
        odd.push(relative(&outside));
        odd.push("//././/file");
        open_and_mark(Path::new(&odd), WRITE)
    }),
    file("very-long-path", "write by a path of nearly 4096 bytes", |s| {
        let file = s.file();
        let room = (libc::PATH_MAX as usize - 8).saturating_sub(file.as_os_str().len()) / 2;
        let mut long = std::ffi::OsString::from("/");
        long.push("./".repeat(room));
        long.push(relative(&file));
        open_and_mark(Path::new(&long), WRITE)
    }),
];

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix("/").unwrap_or(path).to_owned()
}

fn through(scene: &Scene, root: &str) -> Tried {
    open_and_mark(&Path::new(root).join(relative(&scene.file())), WRITE)
}

fn reopen(link: &str) -> Tried {
    open_and_mark(Path::new(link), WRITE | libc::O_APPEND)
}
