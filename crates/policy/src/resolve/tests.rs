use super::*;
use crate::policy::WrittenPath;
use crate::rules::Access;

fn tree() -> MemoryPaths {
    MemoryPaths::new()
        .folder("/home/u/p/src")
        .folder("/home/u/lib")
        .folder("/home/u/.cache")
        .file("/home/u/.ssh/id", "key")
        .folder("/etc/nginx")
        .folder("/usr/local/src/x")
        .folder("/tmp")
        .folder("/var/tmp")
        .link("/home/u/to-lib", "lib")
}

fn place(cwd: &str) -> Place {
    Place {
        cwd: cwd.into(),
        home: Some("/home/u".into()),
        tmpdir: Some("/tmp".into()),
        state: "/home/u/.cache/codex-sandbox".into(),
        config: Some("/home/u/.codex/config.toml".into()),
    }
}

fn written(path: &str) -> WrittenPath {
    WrittenPath { path: path.into(), origin: Origin::Flag(format!("--writable {path}")) }
}

fn with_roots(roots: &[&str]) -> Policy {
    Policy { writable_roots: roots.iter().map(|root| written(root)).collect(), ..Policy::default() }
}

fn paths(resolved: &Resolved) -> Vec<&str> {
    resolved.roots.iter().filter_map(|root| root.path.to_str()).collect()
}

fn ok(policy: &Policy, tree: &MemoryPaths) -> Resolved {
    resolve(policy, &place("/home/u/p"), tree).expect("resolves")
}

fn code(policy: &Policy, place: &Place) -> &'static str {
    resolve(policy, place, &tree()).expect_err("refused").code()
}

#[test]
fn the_working_directory_is_the_root() {
    let resolved = ok(&Policy::default(), &tree());
    assert_eq!(paths(&resolved), ["/home/u/p"]);
    assert!(resolved.temp.overlay);
    let private = resolved.temp.private.expect("private folder");
    assert_eq!(private.parent(), Some(Path::new("/home/u/.cache/codex-sandbox/tmp")));
    assert_eq!(private, private_temp(Path::new("/home/u/.cache/codex-sandbox"), Path::new("/home/u/p")));
    assert_ne!(private, private_temp(Path::new("/home/u/.cache/codex-sandbox"), Path::new("/home/u/q")));
}

#[test]
fn read_only_has_no_root_and_takes_any_folder() {
    let policy = Policy { mode: Mode::ReadOnly, ..Policy::default() };
    for cwd in ["/", "/home/u", "/etc"] {
        assert!(resolve(&policy, &place(cwd), &tree()).expect(cwd).roots.is_empty());
    }
}

#[test]
fn danger_has_no_rules_and_says_so() {
    let policy = Policy { mode: Mode::DangerFullAccess, ..with_roots(&["/none"]) };
    let resolved = resolve(&policy, &place("/"), &tree()).expect("resolves");
    assert!(resolved.roots.is_empty() && resolved.network_access);
    assert_eq!(resolved.notices.len(), 1);
}

#[test]
fn relative_paths_count_from_where_they_are_written() {
    let from_file = WrittenPath {
        path: "../lib".into(),
        origin: Origin::File { path: "/home/u/.codex/config.toml".into(), line: 3 },
    };
    let policy = Policy { writable_roots: vec![from_file], ..Policy::default() };
    let tree = tree().folder("/home/u/.codex");
    assert_eq!(paths(&ok(&policy, &tree)), ["/home/u/lib", "/home/u/p"]);
    assert_eq!(paths(&ok(&with_roots(&["../lib"]), &tree)), ["/home/u/lib", "/home/u/p"]);
    assert_eq!(paths(&ok(&with_roots(&["~/lib"]), &tree)), ["/home/u/lib", "/home/u/p"]);
}

#[test]
fn a_root_that_is_a_link_is_what_it_leads_to() {
    assert_eq!(paths(&ok(&with_roots(&["/home/u/to-lib"]), &tree())), ["/home/u/lib", "/home/u/p"]);
}

#[test]
fn roots_inside_roots_go_unless_a_rule_lies_between() {
    let tree = tree().folder("/home/u/p/a/b/c").folder("/home/u/p/.agents/x");
    assert_eq!(paths(&ok(&with_roots(&["src", "a/b", "."]), &tree)), ["/home/u/p"]);
    let mut policy = with_roots(&["a/b/c"]);
    policy.deny_read = vec![written("a/b")];
    assert_eq!(paths(&ok(&policy, &tree)), ["/home/u/p", "/home/u/p/a/b/c"]);
    assert_eq!(paths(&ok(&with_roots(&[".agents/x"]), &tree)), ["/home/u/p", "/home/u/p/.agents/x"]);
}

#[test]
fn roots_that_are_refused() {
    let tree = tree().file("/home/u/file", "").folder("/home/u/p/.git/hooks").folder("/home/u/.codex/w");
    let refused = |root: &str| {
        let error = resolve(&with_roots(&[root]), &place("/home/u/p"), &tree).expect_err(root);
        format!("{error}\n  remedy: {}\n  code: {}\n", error.remedy(), error.code())
    };
    let roots = [
        "/none",
        "/home/u/file",
        "/",
        "~",
        "/home",
        "/home/u/.cache",
        "/etc",
        "/etc/nginx",
        "/usr",
        ".git",
        ".git/hooks",
        "/home/u/.codex",
    ];
    let tree_has = ["/usr/local/src/x", "/home/u/.codex/w", "/tmp"];
    for root in tree_has {
        assert!(resolve(&with_roots(&[root]), &place("/home/u/p"), &tree).is_ok(), "{root}");
    }
    let shown: Vec<String> = roots.iter().map(|root| refused(root)).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn working_directories_that_are_refused() {
    let tree = tree().folder("/home/u/p/.git");
    let refused = |cwd: &str| {
        let error = resolve(&Policy::default(), &place(cwd), &tree).expect_err(cwd);
        format!("{error}\n  remedy: {}\n  code: {}\n", error.remedy(), error.code())
    };
    let shown: Vec<String> = ["/", "/home/u", "/etc", "/gone", "relative", "/home/u/p/.git"]
        .iter()
        .map(|cwd| refused(cwd))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn contradictions() {
    let mut denied = with_roots(&["/home/u/lib"]);
    denied.deny_read = vec![written("~/lib")];
    assert_eq!(code(&denied, &place("/home/u/p")), "root.denied");
    denied.deny_read = vec![written("~")];
    assert_eq!(code(&denied, &place("/home/u/p")), "deny-read.cwd");
    let library = WrittenPath { path: "/home/u/lib".into(), origin: Origin::Library };
    let policy = Policy { mode: Mode::ReadOnly, writable_roots: vec![library], ..Policy::default() };
    assert_eq!(code(&policy, &place("/home/u/p")), "policy.contradiction");
    let policy = Policy { protected: vec!["a/b".into()], ..Policy::default() };
    assert_eq!(code(&policy, &place("/home/u/p")), "policy.bad-value");
    let homeless = Place { home: None, ..place("/home/u/p") };
    assert_eq!(code(&with_roots(&["~/lib"]), &homeless), "path.no-home");
}

#[test]
fn deny_read_is_canonical_as_far_as_it_exists() {
    let policy = Policy {
        deny_read: ["~/to-lib/x/../y", "~/.ssh", "/none/z", "~/.ssh", "~/gone/../to-lib/w", "~/later/key"]
            .map(written)
            .to_vec(),
        ..Policy::default()
    };
    let resolved = ok(&policy, &tree().link("/home/u/later", "/srv/later"));
    let expected = ["/home/u/.ssh", "/home/u/lib/w", "/home/u/lib/y", "/none/z", "/srv/later/key"];
    assert_eq!(resolved.deny_read, expected.map(PathBuf::from));
}

#[test]
fn temporary_folders_open_only_in_so_many_words() {
    let tree = tree().folder("/scratch");
    let mut policy = Policy { exclude_slash_tmp: Some(false), ..Policy::default() };
    let resolved = ok(&policy, &tree);
    assert_eq!(paths(&resolved), ["/home/u/p", "/tmp", "/var/tmp"]);
    assert!(!resolved.temp.overlay && resolved.temp.private.is_some());
    policy.exclude_slash_tmp = Some(true);
    policy.exclude_tmpdir_env_var = Some(true);
    let resolved = ok(&policy, &tree);
    assert_eq!(paths(&resolved), ["/home/u/p"]);
    assert_eq!(resolved.temp, Temp { private: None, overlay: false });
    policy.exclude_tmpdir_env_var = Some(false);
    let at = |tmpdir: &str| Place { tmpdir: Some(tmpdir.into()), ..place("/home/u/p") };
    let resolved = resolve(&policy, &at("/scratch"), &tree).expect("resolves");
    assert_eq!((paths(&resolved), &resolved.temp.private), (vec!["/home/u/p", "/scratch"], &None));
    let resolved = resolve(&policy, &at("/home/u"), &tree).expect("resolves");
    assert_eq!(paths(&resolved), ["/home/u/p"]);
    assert!(resolved.temp.private.is_some() && resolved.notices.len() == 1);
}

#[test]
fn a_list_of_hosts_is_shown_and_not_run() {
    let hosts = vec![AllowedHost { host: "crates.io".into(), port: None }];
    let resolved = ok(&Policy { network_allow: hosts, ..Policy::default() }, &tree());
    assert_eq!(resolved.check_runnable().expect_err("no proxy").code(), "network.proxy-missing");
    assert_eq!(resolved.notices.len(), 1);
    assert!(ok(&Policy::default(), &tree()).check_runnable().is_ok());
}

fn git_dirs(resolved: &Resolved) -> Vec<&str> {
    resolved.git_dirs.iter().filter_map(|dir| dir.path.to_str()).collect()
}

fn pins(resolved: &Resolved) -> Vec<&str> {
    resolved.pins.iter().filter_map(|pin| pin.to_str()).collect()
}

fn access(resolved: &Resolved, path: &str) -> Access {
    resolved.rules(&[]).decide(Path::new(path)).access
}

#[test]
fn a_git_directory_behind_a_file_or_link_is_protected() {
    for tree in [
        tree().file("/home/u/p/.git", "gitdir: store\n").folder("/home/u/p/store"),
        tree().file("/home/u/p/.git", "gitdir: /home/u/p/src/../store\r\n").folder("/home/u/p/store"),
        tree().link("/home/u/p/.git", "store").folder("/home/u/p/store"),
    ] {
        let resolved = ok(&Policy::default(), &tree);
        assert_eq!(git_dirs(&resolved), ["/home/u/p/store"]);
        assert!(resolved.pins.is_empty(), "{:?}", resolved.pins);
        assert_eq!(access(&resolved, "/home/u/p/store/config"), Access::Read);
        assert_eq!(access(&resolved, "/home/u/p/src/x"), Access::Write);
    }
}

#[test]
fn what_a_pointer_goes_through_is_pinned() {
    let tree = tree()
        .link("/home/u/p/.git", "a")
        .link("/home/u/p/a", "b/c")
        .link("/home/u/p/b", "/home/u/p/real")
        .file("/home/u/p/real/c", "gitdir: store")
        .folder("/home/u/p/store");
    let resolved = ok(&Policy::default(), &tree);
    assert_eq!(git_dirs(&resolved), ["/home/u/p/store"]);
    assert_eq!(pins(&resolved), ["/home/u/p/a", "/home/u/p/b", "/home/u/p/real/c"]);
    assert_eq!(access(&resolved, "/home/u/p/real/c"), Access::Read);
    assert_eq!(access(&resolved, "/home/u/p/real/d"), Access::Write);
}

#[test]
fn a_git_directory_that_is_missing_cannot_be_made() {
    for (tree, missing) in [
        (tree().link("/home/u/p/.git", "store/deep"), "/home/u/p/store/deep"),
        (tree().file("/home/u/p/.git", "gitdir: store"), "/home/u/p/store"),
        (tree().file("/home/u/p/.git", "gitdir: t").file("/home/u/p/t/commondir", "../c"), "/home/u/p/c"),
    ] {
        let resolved = ok(&Policy::default(), &tree);
        assert_eq!(pins(&resolved), [missing]);
        assert_eq!(access(&resolved, missing), Access::Read);
        assert_eq!(access(&resolved, &format!("{missing}/config")), Access::Read);
    }
}

#[test]
fn pointers_that_mean_nothing() {
    for content in ["", "gitdir:", "gitdir: ", "gitdir: \n", "store", "gitdir: a\0b"] {
        let resolved = ok(&Policy::default(), &tree().file("/home/u/p/.git", content));
        assert!(resolved.git_dirs.is_empty(), "{content:?}");
    }
    let circle = tree().file("/home/u/p/.git", "gitdir: x").file("/home/u/p/x", "gitdir: x");
    let resolved = ok(&Policy::default(), &circle);
    assert_eq!((git_dirs(&resolved), pins(&resolved)), (vec![], vec!["/home/u/p/x"]));
    let knot = tree().link("/home/u/p/.git", "k").link("/home/u/p/k", ".git");
    assert_eq!(pins(&ok(&Policy::default(), &knot))[0], "/home/u/p/k");
}

/// A repository with a linked worktree at /home/u/p, as git lays it out.
fn worktree() -> MemoryPaths {
    tree()
        .file("/home/u/p/.git", "gitdir: /home/u/repo/.git/worktrees/p\n")
        .file("/home/u/repo/.git/worktrees/p/gitdir", "/home/u/p/.git\n")
        .file("/home/u/repo/.git/worktrees/p/commondir", "../..\n")
        .file("/home/u/repo/.git/HEAD", "ref: refs/heads/main\n")
        .folder("/home/u/repo/.git/objects")
        .folder("/home/u/repo/.git/refs")
}

fn commit() -> Policy {
    Policy { git: GitMode::Commit, ..Policy::default() }
}

#[test]
fn a_linked_worktree_may_commit_to_its_repository() {
    let resolved = ok(&commit(), &worktree());
    assert_eq!(git_dirs(&resolved), ["/home/u/repo/.git", "/home/u/repo/.git/worktrees/p"]);
    assert!(resolved.notices.is_empty(), "{:?}", resolved.notices);
    for (path, expected) in [
        ("/home/u/repo/.git/objects/aa/bb", Access::Write),
        ("/home/u/repo/.git/refs/heads/x.lock", Access::Write),
        ("/home/u/repo/.git/worktrees/p/index", Access::Write),
        ("/home/u/repo/.git/config", Access::Read),
        ("/home/u/repo/.git/hooks/pre-commit", Access::Read),
        ("/home/u/repo/.git/worktrees/p/config.worktree", Access::Read),
        ("/home/u/repo/.git/worktrees/p/commondir", Access::Read),
        ("/home/u/repo/README", Access::Read),
        ("/home/u/p/.git", Access::Read),
    ] {
        assert_eq!(access(&resolved, path), expected, "{path}");
    }
    assert!(ok(&Policy::default(), &worktree()).git_dirs.is_empty());
}

#[test]
fn a_workspace_cannot_open_folders_outside_by_a_forged_worktree() {
    let forged = [
        // The repository does not know of this worktree.
        worktree().file("/home/u/repo/.git/worktrees/p/gitdir", "/home/u/other/.git\n"),
        // The common folder is not where git would have it.
        worktree().file("/home/u/repo/.git/worktrees/p/commondir", "/home/u\n"),
        worktree().file("/home/u/repo/.git/worktrees/p/commondir", "../../..\n"),
        // It does not look like a git directory.
        worktree().file("/home/u/repo/.git/objects", ""),
        // The pointer is a link.
        worktree().link("/home/u/p/.git", "/home/u/repo/.git/worktrees/p"),
        // A folder that holds more than a repository.
        tree()
            .file("/home/u/p/.git", "gitdir: /home/u/down/worktrees/p\n")
            .file("/home/u/down/worktrees/p/gitdir", "/home/u/p/.git\n")
            .file("/home/u/down/worktrees/p/commondir", "../..\n")
            .file("/home/u/down/HEAD", "")
            .folder("/home/u/down/objects")
            .folder("/home/u/down/refs"),
        // A submodule whose module folder is outside.
        tree().file("/home/u/p/.git", "gitdir: ../.git/modules/p\n").file("/home/u/.git/modules/p/HEAD", ""),
    ];
    for tree in forged {
        let resolved = ok(&commit(), &tree);
        assert!(resolved.git_dirs.is_empty(), "{:?}", resolved.git_dirs);
        assert_eq!(resolved.notices.len(), 1, "{:?}", resolved.notices);
    }
}

#[test]
fn a_submodule_inside_its_superproject_may_commit() {
    let tree =
        tree().file("/home/u/p/sub/.git", "gitdir: ../.git/modules/sub").folder("/home/u/p/.git/modules/sub");
    let policy = Policy { writable_roots: vec![written("sub")], ..commit() };
    let resolved = ok(&policy, &tree);
    assert_eq!(git_dirs(&resolved), ["/home/u/p/.git/modules/sub"]);
    assert_eq!(access(&resolved, "/home/u/p/.git/modules/sub/index"), Access::Write);
    assert_eq!(access(&resolved, "/home/u/p/.git/modules/sub/config"), Access::Read);
}

#[test]
fn a_link_that_commands_own_does_not_choose_a_root() {
    // A command replaced its folder `build`, which the configuration names, by a link to the user's programs.
    let tree =
        tree().folder("/home/u/bin").link("/home/u/p/build", "/home/u/bin").link("/home/u/p/here", "src");
    let place = place("/home/u/p");
    let error = resolve(&with_roots(&["build"]), &place, &tree).expect_err("refused");
    assert_eq!(error.code(), "root.through-link");
    assert_eq!(error.remedy(), "name the folder itself if it is the one you mean: /home/u/bin");
    assert_eq!(paths(&ok(&with_roots(&["here"]), &tree)), ["/home/u/p"]);
    assert_eq!(paths(&ok(&with_roots(&["build", "/home/u/bin"]), &tree)), ["/home/u/bin", "/home/u/p"]);
    // Two roots whose links lie in each other open nothing either.
    let knot = tree.folder("/x/a").folder("/y/b").link("/x/a/l", "/y/b").link("/y/b/l", "/x/a");
    assert!(resolve(&with_roots(&["/x/a/l", "/y/b/l"]), &place, &knot).is_err());
}

#[test]
fn links_to_hidden_paths_stay() {
    let tree = tree().link("/home/u/p/keys", "../.ssh");
    let policy = Policy { deny_read: vec![written("keys/id")], ..Policy::default() };
    let resolved = ok(&policy, &tree);
    assert_eq!(resolved.deny_read, [PathBuf::from("/home/u/.ssh/id")]);
    assert_eq!(pins(&resolved), ["/home/u/p/keys"]);
    assert_eq!(access(&resolved, "/home/u/p/keys"), Access::Read);
}

#[test]
fn a_configuration_that_commands_could_write_is_told_apart() {
    let tree = tree()
        .file("/home/u/.codex/config.toml", "")
        .file("/home/u/p/c.toml", "")
        .link("/home/u/p/out.toml", "/home/u/.codex/config.toml")
        .link("/home/u/in.toml", "p/c.toml")
        .link("/home/u/hop", "p/back")
        .link("/home/u/p/back", "/home/u/.codex");
    let workspace = workspace(&place("/home/u/p"), &tree).expect("a workspace");
    let folders = [workspace];
    let through = |path: &str| reached_through(Path::new(path), &folders, &tree);
    for path in [
        "/home/u/p/c.toml",
        "/home/u/p/out.toml",
        "/home/u/in.toml",
        "/home/u/hop/config.toml",
        "/home/u/p/none",
    ] {
        assert_eq!(through(path), Some(Path::new("/home/u/p")), "{path}");
    }
    assert_eq!(through("/home/u/.codex/config.toml"), None);
    assert_eq!(super::workspace(&place("/home/u"), &tree), None);
}

#[test]
fn what_a_protected_link_leads_to_is_as_read_only_as_the_name() {
    let tree = tree().folder("/home/u/p/conf").link("/home/u/p/.codex", "conf");
    let policy = Policy { git: GitMode::Commit, ..Policy::default() };
    let resolved = ok(&policy, &tree);
    assert_eq!(resolved.sealed, [(PathBuf::from("/home/u/p/conf"), ".codex".to_owned())]);
    let access = |path: &str| resolved.rules(&[]).decide(Path::new(path)).access;
    assert_eq!(access("/home/u/p/conf/config.toml"), Access::Read);
    assert_eq!(access("/home/u/p/other"), Access::Write);
}

#[test]
fn a_root_below_what_a_protected_link_leads_to_stays_a_root() {
    let tree = tree().folder("/home/u/p/conf/data").link("/home/u/p/.codex", "conf");
    let wanted = vec![written("/home/u/p/conf/data")];
    let resolved = ok(&Policy { writable_roots: wanted, ..Policy::default() }, &tree);
    let access = |path: &str| resolved.rules(&[]).decide(Path::new(path)).access;
    assert_eq!(access("/home/u/p/conf/config.toml"), Access::Read);
    assert_eq!(access("/home/u/p/conf/data/file"), Access::Write);
}

#[test]
fn the_users_configuration_is_read_only_where_it_lies_behind_links_in_a_root() {
    let dotfiles = tree().folder("/home/u/p/codex").link("/home/u/.codex", "p/codex");
    let resolved = ok(&Policy::default(), &dotfiles);
    let rules = resolved.rules(&[]);
    for path in ["/home/u/p/codex", "/home/u/p/codex/config.toml", "/home/u/p/codex/auth.json"] {
        assert_eq!(rules.decide(Path::new(path)).access, Access::Read, "{path}");
    }
    assert_eq!(rules.decide(Path::new("/home/u/p/other")).access, Access::Write);
    // A workspace without such a link is as before.
    assert!(ok(&Policy::default(), &tree()).sealed.is_empty());
}
