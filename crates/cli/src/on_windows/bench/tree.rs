//! Grants of one tree: the first, those after it, teardown, and what the system needs for the same tree.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use codex_sandbox::Policy;
use codex_sandbox_policy::policy::WindowsTier;
use codex_sandbox_windows::gather::{Request, gather};
use codex_sandbox_windows::grants::Quiet;
use codex_sandbox_windows::host::Host;
use codex_sandbox_windows::plan::{WinPath, plan};
use codex_sandbox_windows::prepare::{Prepared, prepare};
use codex_sandbox_windows::state::State;
use codex_sandbox_windows::teardown::{Scope, teardown};
use codex_sandbox_windows::win32::security_tree::{peak_memory, set_named_security};
use codex_sandbox_windows::win32::{WindowsHost, state_folder};
use nt_security::{AccessMask, Ace, AceFlags};
use serde::{Deserialize, Serialize};

use super::{Spread, failed, since, work};
use crate::failure::Failure;

/// Files in one folder, and folders in one above.
const IN_ONE: u32 = 50;
/// How often a granted tree is prepared again.
const AGAIN: u32 = 20;

/// What was measured; times in milliseconds, memory in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Files.
    pub files: u32,
    /// Files and folders.
    pub objects: u32,
    /// The first grant, facts and plan included.
    pub first: f64,
    /// Descriptors that it wrote.
    pub first_writes: u64,
    /// The most memory that the process had until then.
    pub peak: u64,
    /// Preparing a granted tree.
    pub second: Spread,
    /// Descriptors that this wrote, in all runs together.
    pub second_writes: u64,
    /// Taking it back.
    pub teardown: f64,
    /// `SetNamedSecurityInfoW` of one more ACE on the same tree.
    pub system: f64,
    /// Parts of preparing it again.
    pub parts: Vec<(String, Spread)>,
}

/// Measures a tree of so many files.
pub fn measure(files: u32) -> Result<Figures, Failure> {
    let work = work()?;
    let objects = fill(&work, files)?;
    let system = by_the_system(&work)?;
    let state = State::open(&state_folder().map_err(|error| failed(&error))?);
    let begun = Instant::now();
    let first_writes = granted(&work, &state)?.applied.counts.written;
    let first = since(begun);
    let peak = peak_memory().map_err(|error| failed(&error))?;
    let (mut times, mut second_writes) = (Vec::new(), 0);
    for _ in 0..AGAIN {
        let begun = Instant::now();
        second_writes += granted(&work, &state)?.applied.counts.written;
        times.push(since(begun));
    }
    let second = Spread::of(times);
    let parts = parts(files, &work, &state)?;
    let begun = Instant::now();
    let removed = teardown(&WindowsHost, &state, &Scope::All, false, &Quiet);
    let teardown = since(begun);
    if !removed.map_err(|error| failed(&error))?.is_complete() {
        return Err(failed(&"something of ours is left"));
    }
    // Nothing holds the database any more when the folder goes.
    state.remove()?;
    Ok(Figures { files, objects, first, first_writes, peak, second, second_writes, teardown, system, parts })
}

/// What preparing a granted tree consists of.
fn parts(files: u32, work: &Path, state: &State) -> Result<Vec<(String, Spread)>, Failure> {
    let (mut describing, mut gathering, mut planning) = (Vec::new(), Vec::new(), Vec::new());
    let (mut noting, mut forgetting) = (Vec::new(), Vec::new());
    let own = WindowsHost.process();
    let policy = policy();
    for _ in 0..AGAIN {
        let begun = Instant::now();
        WindowsHost.describe().map_err(|error| failed(&error))?;
        describing.push(since(begun));
        let begun = Instant::now();
        let request =
            Request { policy: &policy, cwd: text(work)?, environment: environment(), rescan: false };
        let facts = gather(&WindowsHost, state, &request).map_err(|error| failed(&error))?;
        gathering.push(since(begun));
        let begun = Instant::now();
        plan(&policy, &facts).map_err(|error| failed(&error))?;
        planning.push(since(begun));
        let begun = Instant::now();
        state.begin_run(own, &[]).map_err(|error| failed(&error))?;
        noting.push(since(begun));
        let begun = Instant::now();
        state.end_run(own).map_err(|error| failed(&error))?;
        forgetting.push(since(begun));
    }
    let parts = [
        ("the machine alone", describing),
        ("all facts", gathering),
        ("the plan", planning),
        ("noting the run", noting),
        ("forgetting the run", forgetting),
    ];
    let named = |(what, times)| (format!("preparing {files} files again: {what}"), Spread::of(times));
    Ok(parts.into_iter().map(named).collect())
}

/// Makes the files; says how many objects the tree has.
fn fill(work: &Path, files: u32) -> Result<u32, Failure> {
    std::fs::create_dir_all(work.join(r".git\objects"))?;
    std::fs::write(work.join(r".git\HEAD"), "ref: refs/heads/main\n")?;
    let mut folders = 3;
    for folder in 0..files.div_ceil(IN_ONE) {
        let at = work.join(format!(r"src\{}\{}", folder / IN_ONE, folder % IN_ONE));
        std::fs::create_dir_all(&at)?;
        folders += 1 + u32::from(folder % IN_ONE == 0);
        for file in 0..IN_ONE.min(files - folder * IN_ONE) {
            std::fs::write(at.join(format!("{file}.txt")), "")?;
        }
    }
    Ok(files + folders + 2)
}

fn policy() -> Policy {
    Policy { windows_tier: WindowsTier::Unelevated, ..Policy::default() }
}

fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| failed(&"the profile's path is not Unicode"))
}

fn granted(work: &Path, state: &State) -> Result<Prepared, Failure> {
    let prepared = prepare(&policy(), text(work)?, environment(), &WindowsHost, state, &Quiet);
    prepared.map_err(|error| failed(&error))
}

/// One more inheritable ACE on the root, and away again: the same number of descriptors each time, of which the first is timed.
fn by_the_system(work: &Path) -> Result<f64, Failure> {
    let root = WinPath::absolute(text(work)?).map_err(|error| failed(&error))?;
    let host = WindowsHost;
    let look = |path: &WinPath| -> Result<Vec<Ace>, Failure> {
        let handle = host.open(path, AccessMask::READ_CONTROL).map_err(|error| failed(&error))?;
        let descriptor = host.descriptor(&handle).map_err(|error| failed(&error))?;
        Ok(descriptor.dacl().map_or_else(Vec::new, |acl| acl.aces.clone()))
    };
    let before: Vec<Ace> = look(&root)?.into_iter().filter(|ace| !ace.is_inherited()).collect();
    let sid = host.random_sid().map_err(|error| failed(&error))?;
    let more = Ace::allow(AccessMask::FILE_MODIFY, sid.0).with_flags(AceFlags::INHERIT_ALL);
    let with: Vec<Ace> = std::iter::once(more).chain(before.iter().cloned()).collect();
    let begun = Instant::now();
    set_named_security(&root, with).map_err(|error| failed(&error))?;
    let time = since(begun);
    // The system says nothing of objects that it passed by.
    let last = root.join(r"src\0\0\0.txt");
    if !look(&last)?.iter().any(|ace| ace.sid() == Some(&sid.0)) {
        return Err(failed(&"SetNamedSecurityInfoW did not reach the last file"));
    }
    set_named_security(&root, before).map_err(|error| failed(&error))?;
    Ok(time)
}
