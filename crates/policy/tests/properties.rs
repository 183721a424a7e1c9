//! What holds for every policy and every tree.

use std::path::{Path, PathBuf};

use codex_sandbox_policy::names::ProtectedNames;
use codex_sandbox_policy::policy::{Origin, WrittenPath};
use codex_sandbox_policy::resolve::{MemoryPaths, PathFacts, Place, resolve};
use codex_sandbox_policy::rules::Entry;
use codex_sandbox_policy::{Access, GitMode, PathRules, Policy, Resolved, config};
use proptest::prelude::*;

/// Few names, so that paths meet.
fn component() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just("a"), 4 => Just("b"), 2 => Just("c"), 1 => Just(".git"), 1 => Just(".codex"), 1 => Just(".GIT")]
}

fn relative(max: usize) -> impl Strategy<Value = PathBuf> {
    prop::collection::vec(component(), 0..max).prop_map(|parts| parts.iter().collect())
}

fn absolute(max: usize) -> impl Strategy<Value = PathBuf> {
    relative(max).prop_map(|path| Path::new("/w").join(path))
}

fn entry() -> impl Strategy<Value = Entry> {
    (absolute(4), 0..5).prop_map(|(path, kind)| match kind {
        0 => Entry::Root(path),
        1 => Entry::Private(path),
        2 => Entry::GitDir(path),
        3 => Entry::Sealed { path, name: ".codex".to_owned() },
        _ => Entry::DenyRead(path),
    })
}

fn entry_path(entry: &Entry) -> &Path {
    match entry {
        Entry::Root(path)
        | Entry::Private(path)
        | Entry::GitDir(path)
        | Entry::Sealed { path, .. }
        | Entry::DenyRead(path) => path,
    }
}

fn names() -> ProtectedNames {
    ProtectedNames::new([".git", ".codex"])
}

/// The rules said a second time, by walking up from the path.
fn expected(entries: &[Entry], path: &Path) -> Access {
    for at in path.ancestors() {
        let here =
            |wanted: fn(&Entry) -> bool| entries.iter().any(|entry| entry_path(entry) == at && wanted(entry));
        if here(|entry| matches!(entry, Entry::DenyRead(_))) {
            return Access::DenyRead;
        }
        if here(|entry| matches!(entry, Entry::GitDir(_) | Entry::Sealed { .. })) {
            return Access::Read;
        }
        if here(|entry| matches!(entry, Entry::Root(_))) {
            let below = path.strip_prefix(at).expect("an ancestor");
            let own = at.file_name().into_iter();
            let protected =
                own.chain(below.iter()).any(|name| names().find(name.as_encoded_bytes()).is_some());
            return if protected { Access::Read } else { Access::Write };
        }
        if here(|entry| matches!(entry, Entry::Private(_))) {
            return Access::Write;
        }
    }
    Access::Read
}

/// A step that builds a tree below /w, of which links and pointers lead anywhere in it.
#[derive(Debug, Clone)]
enum Step {
    Folder(PathBuf),
    Link(PathBuf, PathBuf),
    Pointer(PathBuf, PathBuf),
    Common(PathBuf, PathBuf),
}

fn target() -> impl Strategy<Value = PathBuf> {
    prop_oneof![absolute(3), relative(3), relative(2).prop_map(|path| Path::new("..").join(path))]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => absolute(4).prop_map(Step::Folder),
        1 => (absolute(3), target()).prop_map(|(path, target)| Step::Link(path, target)),
        1 => (absolute(3), target()).prop_map(|(path, target)| Step::Link(path.join(".git"), target)),
        2 => (absolute(3), target()).prop_map(|(path, target)| Step::Pointer(path.join(".git"), target)),
        1 => (absolute(3), target()).prop_map(|(path, target)| Step::Pointer(path, target)),
        1 => (absolute(3), target()).prop_map(|(path, target)| Step::Common(path, target)),
    ]
}

/// A step is left out where it would put something into a file or link, or in the place of something.
fn build(steps: &[Step]) -> MemoryPaths {
    let mut tree = MemoryPaths::new().folder("/w").folder("/home/u");
    for step in steps {
        let path = match step {
            Step::Folder(path) | Step::Link(path, _) | Step::Pointer(path, _) => path.clone(),
            Step::Common(path, _) => path.join("commondir"),
        };
        let free =
            tree.kind(&path).is_none()
                && path.ancestors().skip(1).filter(|at| tree.kind(at).is_some()).all(|at| {
                    tree.canonical(at).is_ok_and(|real| real == at) && tree.read_small(at).is_err()
                });
        if !free {
            continue;
        }
        tree = match step {
            Step::Folder(_) => tree.folder(path),
            Step::Link(_, target) => tree.link(path, target),
            Step::Pointer(_, target) => tree.file(path, format!("gitdir: {}\n", target.display())),
            Step::Common(_, target) => tree.file(path, format!("{}\n", target.display())),
        };
    }
    tree
}

fn place(cwd: &Path) -> Place {
    Place {
        cwd: cwd.to_path_buf(),
        home: Some("/home/u".into()),
        tmpdir: Some("/tmp".into()),
        state: "/home/u/.cache/s".into(),
        config: Some("/home/u/.codex/config.toml".into()),
    }
}

fn written(paths: &[PathBuf]) -> Vec<WrittenPath> {
    paths.iter().map(|path| WrittenPath { path: path.clone(), origin: Origin::Library }).collect()
}

fn policy(roots: &[PathBuf], deny_read: &[PathBuf], git: GitMode) -> Policy {
    Policy { writable_roots: written(roots), deny_read: written(deny_read), git, ..Policy::default() }
}

fn git_mode() -> impl Strategy<Value = GitMode> {
    prop_oneof![Just(GitMode::Protect), Just(GitMode::Commit)]
}

/// The rules without the merging of roots.
fn unmerged(resolved: &Resolved, roots: &[PathBuf], tree: &MemoryPaths) -> PathRules {
    let real = roots.iter().map(|root| tree.canonical(root).expect("it resolved"));
    let mut entries: Vec<Entry> = real.chain([resolved.cwd.clone()]).map(Entry::Root).collect();
    entries.extend(resolved.git_dirs.iter().map(|dir| Entry::GitDir(dir.path.clone())));
    entries.extend(resolved.pins.iter().cloned().map(Entry::GitDir));
    entries.extend(resolved.sealed.iter().cloned().map(|(path, name)| Entry::Sealed { path, name }));
    entries.extend(resolved.deny_read.iter().cloned().map(Entry::DenyRead));
    PathRules::new(entries, ProtectedNames::new(resolved.protected.iter().cloned()), resolved.git)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_most_specific_rule_wins(entries in prop::collection::vec(entry(), 0..8), path in absolute(6)) {
        let wanted = expected(&entries, &path);
        let rules = PathRules::new(entries, names(), GitMode::Protect);
        prop_assert_eq!(rules.decide(&path).access, wanted);
    }

    #[test]
    fn deny_beats_at_its_path_and_below(entries in prop::collection::vec(entry(), 0..8), path in absolute(3), below in relative(3)) {
        let deeper = |entry: &Entry| entry_path(entry).starts_with(&path) && entry_path(entry) != path;
        let mut entries: Vec<Entry> = entries.into_iter().filter(|entry| !deeper(entry)).collect();
        entries.push(Entry::DenyRead(path.clone()));
        let rules = PathRules::new(entries, names(), GitMode::Commit);
        prop_assert_eq!(rules.decide(&path.join(below)).access, Access::DenyRead);
    }

    #[test]
    fn the_order_of_entries_does_not_matter(entries in prop::collection::vec(entry(), 0..8), path in absolute(6)) {
        let forward = PathRules::new(entries.clone(), names(), GitMode::Commit);
        let backward = PathRules::new(entries.into_iter().rev().collect(), names(), GitMode::Commit);
        prop_assert_eq!(forward.decide(&path), backward.decide(&path));
    }

    #[test]
    fn resolving_again_changes_nothing(
        steps in prop::collection::vec(step(), 0..20),
        cwd in absolute(3),
        roots in prop::collection::vec(absolute(4), 0..5),
        denied in prop::collection::vec(absolute(4), 0..3),
        git in git_mode(),
    ) {
        let tree = build(&steps);
        let Ok(first) = resolve(&policy(&roots, &denied, git), &place(&cwd), &tree) else { return Ok(()) };
        let again: Vec<PathBuf> = first.roots.iter().map(|root| root.path.clone()).collect();
        let second = resolve(&policy(&again, &first.deny_read, git), &place(&first.cwd), &tree).expect("resolved before");
        let paths = |resolved: &Resolved| -> Vec<PathBuf> { resolved.roots.iter().map(|root| root.path.clone()).collect() };
        prop_assert_eq!(paths(&first), paths(&second));
        // Of several pointers to one git directory, any may be named.
        let git_dirs = |resolved: &Resolved| -> Vec<PathBuf> { resolved.git_dirs.iter().map(|dir| dir.path.clone()).collect() };
        prop_assert_eq!(git_dirs(&first), git_dirs(&second));
        // Written canonically, a deny-read path has no link on its way any more.
        prop_assert!(second.pins.iter().all(|pin| first.pins.contains(pin)));
        prop_assert!(!denied.is_empty() || first.pins == second.pins);
        prop_assert_eq!(&first.deny_read, &second.deny_read);
        prop_assert_eq!(&first.temp, &second.temp);
        prop_assert_eq!(&first.cwd, &second.cwd);
    }

    #[test]
    fn merging_roots_changes_no_verdict(
        steps in prop::collection::vec(step(), 0..20),
        cwd in absolute(2),
        roots in prop::collection::vec(absolute(4), 0..5),
        denied in prop::collection::vec(absolute(4), 0..3),
        git in git_mode(),
        asked in prop::collection::vec(absolute(6), 1..20),
    ) {
        let tree = build(&steps);
        let Ok(resolved) = resolve(&policy(&roots, &denied, git), &place(&cwd), &tree) else { return Ok(()) };
        let (merged, all) = (resolved.rules(&[]), unmerged(&resolved, &roots, &tree));
        for path in asked.iter().chain(&roots).chain(&denied) {
            prop_assert_eq!(merged.decide(path).access, all.decide(path).access, "{:?}", path);
        }
    }

    #[test]
    fn what_a_pointer_leads_to_is_never_freely_writable(
        steps in prop::collection::vec(step(), 0..20),
        cwd in absolute(3),
        target in target(),
    ) {
        let tree = build(&steps);
        let Ok(real) = tree.canonical(&cwd) else { return Ok(()) };
        if tree.kind(&real.join(".git")).is_some() || target.as_os_str().is_empty() {
            return Ok(());
        }
        let tree = tree.file(real.join(".git"), format!("gitdir: {}", target.display()));
        let Ok(resolved) = resolve(&Policy::default(), &place(&cwd), &tree) else { return Ok(()) };
        // Where git would look, whether it exists or not.
        let aim = tree.canonical(&real.join(&target)).unwrap_or_else(|_| real.join(&target));
        if aim.components().any(|part| part.as_os_str() == "..") || tree.read_small(&aim).is_ok() {
            return Ok(());
        }
        for path in [aim.join("config"), aim.join("hooks/x")] {
            prop_assert_eq!(resolved.rules(&[]).decide(&path).access, Access::Read, "{:?}", path);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "(?s).{0,200}") {
        let _ = config::parse(text.as_bytes(), Path::new("/c.toml"));
        let _ = config::parse_override(&text);
    }
}
