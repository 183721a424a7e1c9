//! Any policy on any tree: resolved or refused, never a panic; and what was resolved resolves to itself.
#![no_main]

use std::path::PathBuf;

use arbitrary::Arbitrary;
use codex_sandbox_policy::policy::{Origin, WrittenPath};
use codex_sandbox_policy::resolve::{MemoryPaths, Place, resolve};
use codex_sandbox_policy::{GitMode, Mode, Policy, Resolved};
use libfuzzer_sys::fuzz_target;

/// A path of few names, so that paths meet.
#[derive(Debug, Arbitrary)]
struct Names {
    absolute: bool,
    parts: Vec<u8>,
}

impl Names {
    fn path(&self) -> PathBuf {
        let names = [
            "a",
            "b",
            ".git",
            ".codex",
            "..",
            "commondir",
            "gitdir",
            "worktrees",
            "w.git",
            "HEAD",
            "objects",
            "refs",
            "~",
        ];
        let parts = self.parts.iter().take(12).map(|part| names[usize::from(*part) % names.len()]);
        let start = if self.absolute { "/w" } else { "" };
        std::iter::once(start).chain(parts).filter(|part| !part.is_empty()).collect()
    }

    /// The same without `..`, below /w: a place in the tree.
    fn place(&self) -> PathBuf {
        PathBuf::from("/w").join(self.path()).iter().filter(|part| *part != "..").collect()
    }
}

#[derive(Debug, Arbitrary)]
enum Step {
    Folder(Names),
    Link(Names, Names),
    Pointer(Names, Names),
    File(Names, Vec<u8>),
    Line(Names, Names),
}

#[derive(Debug, Arbitrary)]
struct Input {
    steps: Vec<Step>,
    cwd: Names,
    home: Option<Names>,
    state: Names,
    tmpdir: Option<Names>,
    roots: Vec<Names>,
    deny_read: Vec<Names>,
    read_only: bool,
    commit: bool,
    tmpdir_open: Option<bool>,
    slash_tmp: Option<bool>,
}

fn tree(steps: &[Step]) -> MemoryPaths {
    steps.iter().take(64).fold(MemoryPaths::new().folder("/w").folder("/tmp"), |tree, step| match step {
        Step::Folder(at) => tree.folder(at.place()),
        Step::Link(at, to) => tree.link(at.place(), to.path()),
        Step::Pointer(at, to) => tree.file(at.place(), format!("gitdir: {}\n", to.path().display())),
        Step::File(at, content) => tree.file(at.place(), content.clone()),
        Step::Line(at, to) => tree.file(at.place(), format!("{}\n", to.path().display())),
    })
}

fn written(names: &[Names]) -> Vec<WrittenPath> {
    names.iter().map(|names| WrittenPath { path: names.path(), origin: Origin::Flag("--x".into()) }).collect()
}

fn roots(resolved: &Resolved) -> Vec<PathBuf> {
    resolved.roots.iter().map(|root| root.path.clone()).collect()
}

fuzz_target!(|input: Input| {
    let tree = tree(&input.steps);
    let mut place = Place {
        cwd: input.cwd.place(),
        home: input.home.as_ref().map(Names::place),
        tmpdir: input.tmpdir.as_ref().map(Names::place),
        state: input.state.place(),
        config: input.home.as_ref().map(|home| home.place().join(".codex/config.toml")),
    };
    let mut policy = Policy {
        mode: if input.read_only { Mode::ReadOnly } else { Mode::WorkspaceWrite },
        git: if input.commit { GitMode::Commit } else { GitMode::Protect },
        writable_roots: written(&input.roots),
        deny_read: written(&input.deny_read),
        exclude_tmpdir_env_var: input.tmpdir_open,
        exclude_slash_tmp: input.slash_tmp,
        ..Policy::default()
    };
    let first = match resolve(&policy, &place, &tree) {
        Ok(first) => first,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.remedy().is_empty());
            return;
        }
    };
    let absolute = |path: &PathBuf| WrittenPath { path: path.clone(), origin: Origin::Flag("--x".into()) };
    policy.writable_roots = first.roots.iter().map(|root| absolute(&root.path)).collect();
    policy.deny_read = first.deny_read.iter().map(absolute).collect();
    place.cwd.clone_from(&first.cwd);
    let second = resolve(&policy, &place, &tree).expect("it resolved before");
    assert_eq!(roots(&first), roots(&second));
    // Written canonically, a deny-read path has no link on its way any more.
    assert!(second.pins.iter().all(|pin| first.pins.contains(pin)));
    assert!(!input.deny_read.is_empty() || first.pins == second.pins);
    assert_eq!((first.git_dirs, first.deny_read), (second.git_dirs, second.deny_read));
    assert_eq!((first.temp, first.cwd), (second.temp, second.cwd));
});
