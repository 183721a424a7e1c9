//! Files that are levers of the kernel: /proc/sys, /sys, cgroups, device nodes.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::kernel;
use crate::attack::attempt::{Attempt, Need};
use crate::attack::call::{own, sys};
use crate::attack::tools::{CWD, c};
use crate::attack::verdict::{Step, Stop, Tried};

const ROOT: &[Need] = &[Need::Root];
const ROOT_AND_FILE: &[Need] = &[Need::Root, Need::File];

pub(in crate::attack) const ATTEMPTS: &[Attempt] = &[
    kernel(
        "core-pattern",
        "say which program the kernel runs, as root and outside, when a process dies",
        |_| rewrite("/proc/sys/kernel/core_pattern"),
    )
    .needs(ROOT),
    kernel("modprobe-path", "say which program the kernel runs to load a module", |_| {
        rewrite("/proc/sys/kernel/modprobe")
    })
    .needs(ROOT_AND_FILE),
    kernel("kernel-host-name-file", "set the host name through /proc/sys", |_| {
        rewrite("/proc/sys/kernel/hostname")
    })
    .needs(ROOT),
    kernel("core-pattern-by-root", "open core_pattern through /proc/self/root", |_| {
        rewrite("/proc/self/root/proc/sys/kernel/core_pattern")
    })
    .needs(ROOT),
    kernel("drop-caches", "open /proc/sys/vm/drop_caches for writing", |_| {
        writable("/proc/sys/vm/drop_caches")
    })
    .needs(ROOT_AND_FILE),
    kernel("network-settings", "open a network setting for writing", |_| {
        writable("/proc/sys/net/ipv4/ping_group_range")
    })
    .needs(ROOT_AND_FILE),
    kernel("sysrq", "open /proc/sysrq-trigger for writing", |_| writable("/proc/sysrq-trigger"))
        .needs(ROOT_AND_FILE),
    kernel("kcore", "open the kernel's memory (/proc/kcore)", |_| readable("/proc/kcore"))
        .needs(ROOT_AND_FILE),
    kernel("kernel-messages", "open /proc/kmsg", |_| readable("/proc/kmsg")).needs(ROOT_AND_FILE),
    kernel("uevent-helper", "say which program the kernel runs when a device appears", |_| {
        writable("/sys/kernel/uevent_helper")
    })
    .needs(ROOT_AND_FILE),
    kernel("sysfs", "open a file of /sys for writing", |_| {
        let files = ["/sys/kernel/profiling", "/sys/power/state", "/sys/module/printk/parameters/time"];
        first_of(files.map(PathBuf::from).to_vec(), true)
    })
    .needs(ROOT_AND_FILE),
    kernel("debugfs", "open a file of debugfs or tracefs for writing", |_| {
        let files = ["/sys/kernel/tracing/trace_marker", "/sys/kernel/debug/tracing/trace_marker"];
        first_of(files.map(PathBuf::from).to_vec(), true)
    })
    .needs(ROOT_AND_FILE),
    kernel("cgroup", "open a cgroup's list of processes for writing", |_| {
        first_of(cgroup_files("cgroup.procs"), true)
    })
    .needs(ROOT_AND_FILE),
    kernel(
        "cgroup-release-agent",
        "say which program the kernel runs, as root and outside, when a cgroup is empty",
        |_| first_of(cgroup_files("release_agent"), true),
    )
    .needs(ROOT_AND_FILE),
    kernel("make-cgroup", "make a cgroup", |_| {
        let Some(procs) = cgroup_files("cgroup.procs").into_iter().next() else {
            return first_of(Vec::new(), true);
        };
        let new = procs.with_file_name("codex-attack");
        let made = std::fs::create_dir(&new);
        let _gone = std::fs::remove_dir(&new);
        made.attack("mkdir").map(|()| "made".into())
    })
    .needs(ROOT_AND_FILE),
    kernel("kernel-memory-device", "open /dev/mem or /dev/kmsg", |_| {
        first_of(["/dev/mem", "/dev/kmsg", "/dev/port"].map(PathBuf::from).to_vec(), true)
    })
    .needs(ROOT_AND_FILE),
    kernel("disk", "open a disk", |_| {
        let disks = ["vda", "sda", "nvme0n1", "xvda", "mmcblk0", "loop0", "dm-0"];
        first_of(disks.map(|disk| Path::new("/dev").join(disk)).to_vec(), false)
    })
    .needs(ROOT_AND_FILE)
    .open_without_namespaces(),
    kernel("device", "open a device that makes file systems, networks or machines", |_| {
        let devices =
            ["fuse", "net/tun", "kvm", "vsock", "vhost-vsock", "vhost-net", "loop-control", "uinput"];
        first_of(devices.map(|device| Path::new("/dev").join(device)).to_vec(), true)
    })
    .needs(ROOT_AND_FILE),
    kernel("disk-by-a-new-node", "make a node of a disk in the workspace, and open it", |s| {
        let node = c(&s.ours("disk"));
        // Device 1:3 is /dev/null: harmless, and as much a device as a disk.
        sys!(libc::SYS_mknodat, CWD, &node, libc::S_IFCHR | 0o600, 0x103).attack("mknodat")?;
        let opened = sys!(libc::SYS_openat, CWD, &node, libc::O_RDWR | libc::O_CLOEXEC, 0);
        opened.map(own).attack("open").map(|_| "opened".into())
    })
    .needs(ROOT),
];

/// Reads the file and writes the same back.
fn rewrite(path: &str) -> Tried {
    let content = std::fs::read(path).attack(path)?;
    std::fs::write(path, content).attack(path).map(|()| format!("{path} was written"))
}

fn writable(path: &str) -> Tried {
    first_of(vec![path.into()], true)
}

fn readable(path: &str) -> Tried {
    first_of(vec![path.into()], false)
}

/// Opens the first of these files that opens; what stopped the last that exists, else.
fn first_of(files: Vec<PathBuf>, write: bool) -> Tried {
    let mut stop =
        Stop::refused(&std::io::Error::from_raw_os_error(libc::ENOENT), "none of these files is there");
    for file in files {
        let opened = OpenOptions::new()
            .read(!write)
            .write(write)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&file);
        match opened {
            Ok(_) => return Ok(format!("{} was opened", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => stop = Stop::refused(&error, file.display()),
        }
    }
    Err(stop)
}

/// Files of this name at the top of each mounted cgroup hierarchy.
fn cgroup_files(name: &str) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let cgroups = fields.filter(|fields| fields.get(2).is_some_and(|kind| kind.starts_with("cgroup")));
    cgroups.map(|fields| Path::new(fields[1]).join(name)).filter(|file| file.exists()).collect()
}
