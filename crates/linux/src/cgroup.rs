//! Limits of a whole tree by cgroup v2, where a folder is delegated to us.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::facts::Cgroups;
use crate::plan::{LimitsPlan, Means};

/// Looks for a cgroup v2 folder in which this process may make children with the memory and pids controllers.
pub fn find() -> Cgroups {
    match delegated() {
        Ok(found) => found,
        Err(why) => Cgroups::None { why },
    }
}

fn delegated() -> Result<Cgroups, String> {
    let mount = v2_mount().ok_or("no cgroup v2 hierarchy is mounted")?;
    let own =
        fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
    let path =
        own.lines().find_map(|line| line.strip_prefix("0::")).ok_or("this process is in no cgroup v2")?;
    let own_dir = mount.join(path.trim_start_matches('/'));
    // A cgroup with processes cannot hand controllers to children, so ours go beside this process' own.
    let dir = own_dir.parent().filter(|parent| parent.starts_with(&mount)).unwrap_or(&mount).to_path_buf();
    let controllers = fs::read_to_string(dir.join("cgroup.subtree_control"))
        .map_err(|error| format!("{}: {error}", dir.display()))?;
    let has = |name: &str| controllers.split_ascii_whitespace().any(|controller| controller == name);
    if !has("memory") && !has("pids") {
        return Err(format!("{} hands no memory or pids controller on", dir.display()));
    }
    let writable = |file: &Path| rustix::fs::access(file, rustix::fs::Access::WRITE_OK).is_ok();
    if !writable(&dir) || !writable(&dir.join("cgroup.procs")) {
        return Err(format!("{} is not delegated to this user", dir.display()));
    }
    Ok(Cgroups::V2 { memory: has("memory"), pids: has("pids"), dir })
}

fn v2_mount() -> Option<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        right.starts_with("cgroup2 ").then(|| left.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// A cgroup of one run; removed when dropped.
#[derive(Debug)]
pub struct RunCgroup {
    dir: PathBuf,
}

/// Prefix of our folders; the rest is the launcher's pid and a counter.
const PREFIX: &str = "codex-sandbox-";

impl RunCgroup {
    /// Makes the cgroup that `limits` ask for, if any, and removes what killed launchers left.
    ///
    /// # Errors
    /// The system's, with the file that refused.
    pub fn create(limits: &LimitsPlan) -> Result<Option<Self>, (PathBuf, io::Error)> {
        let in_cgroup = |limit: &Option<crate::plan::Limit>| match limit {
            Some(crate::plan::Limit { value, means: Means::Cgroup { dir } }) => Some((*value, dir.clone())),
            _ => None,
        };
        let (memory, processes) = (in_cgroup(&limits.memory), in_cgroup(&limits.processes));
        let Some((_, parent)) = memory.as_ref().or(processes.as_ref()) else { return Ok(None) };
        sweep(parent);
        let dir = parent.join(unique_name());
        fs::create_dir(&dir).map_err(|error| (dir.clone(), error))?;
        let group = Self { dir };
        if let Some((bytes, _)) = memory {
            group.write("memory.max", &bytes.to_string())?;
            // Without this the tree would be throttled into swap instead of stopped.
            let _no_swap_controller = group.write("memory.swap.max", "0");
        }
        if let Some((count, _)) = processes {
            // Our own pid 1 lives in the cgroup too.
            group.write("pids.max", &(count + 1).to_string())?;
        }
        Ok(Some(group))
    }

    /// Moves a process, and so what it starts, into the cgroup.
    ///
    /// # Errors
    /// The system's, with the file that refused.
    pub fn add(&self, pid: i32) -> Result<(), (PathBuf, io::Error)> {
        self.write("cgroup.procs", &pid.to_string())
    }

    fn write(&self, file: &str, value: &str) -> Result<(), (PathBuf, io::Error)> {
        let path = self.dir.join(file);
        fs::write(&path, value).map_err(|error| (path, error))
    }
}

impl Drop for RunCgroup {
    fn drop(&mut self) {
        // The last process may still be on its way out.
        for _ in 0..50 {
            match fs::remove_dir(&self.dir) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                _ => return,
            }
        }
    }
}

fn unique_name() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!("{PREFIX}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Removes empty cgroups of launchers that are gone. A busy one refuses to go, which is right.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let alive = rest.split('-').next().is_some_and(|pid| Path::new("/proc").join(pid).exists());
        if !alive {
            let _busy = fs::remove_dir(entry.path());
        }
    }
}
