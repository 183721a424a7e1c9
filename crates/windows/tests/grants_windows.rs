//! Grants and teardown on real files of a real Windows, or of the lab: `cargo test --test grants_windows` there.
#![cfg(windows)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use codex_sandbox_policy::Policy;
use codex_sandbox_policy::policy::WindowsTier;
use codex_sandbox_windows::grants::{Counts, Quiet, changes_anything, end_of_run};
use codex_sandbox_windows::host::Host;
use codex_sandbox_windows::plan::data::RootState;
use codex_sandbox_windows::plan::{WinPath, inherit};
use codex_sandbox_windows::prepare::{Prepared, prepare};
use codex_sandbox_windows::state::State;
use codex_sandbox_windows::teardown::{Scope, teardown};
use codex_sandbox_windows::win32::WindowsHost;
use nt_security::{AccessMask, SecurityDescriptor};

/// A workspace in the user's profile, gone when dropped.
struct Workspace {
    top: PathBuf,
    state: State,
}

impl Workspace {
    fn new(name: &str, folders: usize, files: usize) -> Self {
        let profile = std::env::var("USERPROFILE").expect("a profile");
        let top = Path::new(&profile).join(format!("grants-{name}-{}", std::process::id()));
        let root = top.join("w");
        fs::create_dir_all(root.join(r".git\hooks")).expect("a workspace");
        fs::write(root.join(r".git\config"), "[core]\n").expect("a file");
        for folder in 0..folders {
            let at = root.join(format!(r"src\müll{folder}"));
            fs::create_dir_all(&at).expect("a folder");
            for file in 0..files {
                fs::write(at.join(format!("{file}.txt")), "x").expect("a file");
            }
        }
        let state = State::open(&top.join("state"));
        assert!(state.notices().is_empty(), "{:?}", state.notices());
        Self { top, state }
    }

    fn root(&self) -> PathBuf {
        self.top.join("w")
    }

    fn root_path(&self) -> WinPath {
        WinPath::absolute(self.root().to_str().expect("Unicode")).expect("a drive path")
    }

    fn prepare(&self) -> Prepared {
        let policy = Policy { windows_tier: WindowsTier::Unelevated, ..Policy::default() };
        let environment: BTreeMap<String, String> = std::env::vars().collect();
        let root = self.root();
        let cwd = root.to_str().expect("Unicode");
        let prepared = prepare(&policy, cwd, environment, &WindowsHost, &self.state, &Quiet);
        prepared.unwrap_or_else(|error| panic!("{error}"))
    }

    fn teardown(&self) {
        let removed = teardown(&WindowsHost, &self.state, &Scope::All, false, &Quiet);
        let removed = removed.unwrap_or_else(|error| panic!("{error}"));
        assert!(removed.is_complete(), "{removed:#?}");
    }

    /// Every object of the workspace with its descriptor.
    fn texts(&self) -> BTreeMap<WinPath, String> {
        let mut texts = BTreeMap::new();
        let mut folders = vec![self.root_path()];
        while let Some(folder) = folders.pop() {
            let rights = AccessMask::READ_CONTROL | AccessMask::FILE_LIST_DIRECTORY;
            let handle = WindowsHost.open(&folder, rights).unwrap_or_else(|error| panic!("{error}"));
            texts.insert(folder.clone(), text(&WindowsHost.descriptor(&handle).expect("a descriptor")));
            for entry in WindowsHost.list(&handle).expect("names") {
                let path = folder.join(&entry.name);
                if entry.kind == codex_sandbox_windows::plan::facts::NodeKind::Folder {
                    folders.push(path);
                } else {
                    let file = WindowsHost.open_child(&handle, &entry.name, AccessMask::READ_CONTROL);
                    let file = file.unwrap_or_else(|error| panic!("{error}"));
                    texts.insert(path, text(&WindowsHost.descriptor(&file).expect("a descriptor")));
                }
            }
        }
        texts
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.top);
    }
}

fn text(descriptor: &SecurityDescriptor) -> String {
    let labels: Vec<_> = inherit::label_aces(descriptor).iter().map(ToString::to_string).collect();
    let dacl = SecurityDescriptor { sacl: Default::default(), ..descriptor.clone() };
    format!("{} {labels:?}", dacl.to_sddl())
}

fn assert_same(left: &BTreeMap<WinPath, String>, right: &BTreeMap<WinPath, String>) {
    let differ = left.iter().filter(|(path, text)| right.get(*path) != Some(*text));
    let rows: Vec<String> =
        differ.map(|(path, text)| format!("{path}\n  {text}\n  {:?}", right.get(path))).collect();
    assert!(rows.is_empty(), "{} objects differ:\n{}", rows.len(), rows[..rows.len().min(5)].join("\n"));
}

#[test]
fn a_workspace_is_granted_and_taken_back() {
    let workspace = Workspace::new("whole", 5, 10);
    let before = workspace.texts();
    let first = workspace.prepare();
    println!("{:?}", first.applied);
    println!("walls {:?}; notices {:?}", first.plan.walls, first.plan.notices);
    let root = first.plan.roots.iter().find(|root| root.path.as_ref() == Some(&workspace.root_path()));
    assert_eq!(root.map(|root| &root.state), Some(&RootState::Granted), "{:#?}", first.plan.roots);
    assert!(first.applied.degraded.is_empty() && first.applied.refused.is_empty(), "{:#?}", first.applied);
    let sid =
        first.plan.write_sids.iter().find(|sid| sid.root == workspace.root_path()).expect("granted").sid;
    let granted = workspace.texts();
    assert!(granted.values().all(|text| text.contains(&sid.to_string())), "{granted:#?}");
    // New files inherit.
    let new = workspace.root().join(r"src\new.txt");
    fs::write(&new, "x").expect("a file");
    let new = WinPath::absolute(new.to_str().expect("Unicode")).expect("a path");
    assert!(workspace.texts()[&new].contains(&sid.to_string()));
    // The second run.
    let second = workspace.prepare();
    assert_eq!(second.applied.counts, Counts::default());
    assert!(!changes_anything(&second.plan), "{:#?}", second.plan.aces);
    fs::remove_file(new.as_str()).expect("the file goes");
    workspace.teardown();
    assert_same(&before, &workspace.texts());
    assert!(!workspace.root().join(".codex").exists());
}

#[test]
fn a_repository_born_in_the_run_is_frozen() {
    let workspace = Workspace::new("born", 1, 1);
    let prepared = workspace.prepare();
    let git = workspace.root().join(r"sub\.git\hooks");
    fs::create_dir_all(&git).expect("a folder");
    fs::write(git.join("pre-commit"), "#!/bin/sh\n").expect("a file");
    let frozen = end_of_run(&prepared.plan, &WindowsHost, &workspace.state, &Quiet);
    let frozen = frozen.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(frozen.len(), 1, "{frozen:#?}");
    assert!(frozen[0].is_frozen && frozen[0].runs_code.len() == 1, "{frozen:#?}");
    workspace.teardown();
    let texts = workspace.texts();
    let sid = prepared.plan.write_sids[0].sid.to_string();
    assert!(texts.values().all(|text| !text.contains(&sid)), "{texts:#?}");
}

#[test]
fn a_hard_link_to_a_file_outside_is_left_alone() {
    let workspace = Workspace::new("link", 1, 1);
    let outside = workspace.top.join("outside.txt");
    fs::write(&outside, "x").expect("a file");
    let inside = workspace.root().join("inside.txt");
    if let Err(error) = fs::hard_link(&outside, &inside) {
        println!("SKIPPED a_hard_link_to_a_file_outside_is_left_alone: {error}");
        return;
    }
    let before = workspace.texts();
    let prepared = workspace.prepare();
    let inside = WinPath::absolute(inside.to_str().expect("Unicode")).expect("a path");
    assert_eq!(before[&inside], workspace.texts()[&inside]);
    assert!(prepared.applied.skipped.iter().any(|skipped| skipped.path == inside), "{:#?}", prepared.applied);
    workspace.teardown();
    assert_same(&before, &workspace.texts());
}

#[test]
fn many_files_and_the_time_that_they_take() {
    let workspace = Workspace::new("many", 40, 50);
    let before = workspace.texts();
    let times = |what: &str, work: &dyn Fn() -> u64| {
        let start = Instant::now();
        let writes = work();
        println!("{what}: {:.1} ms, {writes} descriptor writes", start.elapsed().as_secs_f64() * 1e3);
    };
    times("first grant of 2,000 files", &|| workspace.prepare().applied.counts.written);
    times("second run", &|| workspace.prepare().applied.counts.written);
    times("third run", &|| workspace.prepare().applied.counts.written);
    assert_eq!(workspace.prepare().applied.counts.written, 0);
    times("teardown", &|| {
        workspace.teardown();
        0
    });
    assert_same(&before, &workspace.texts());
}
