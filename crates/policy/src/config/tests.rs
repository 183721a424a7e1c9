use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::policy::{GitMode, WindowsTier, WrittenPath};

const FILE: &str = "/home/u/.codex/config.toml";

fn read(text: &str) -> Result<Policy, PolicyError> {
    assemble([&parse(text.as_bytes(), Path::new(FILE))?])
}

fn message(text: &str) -> String {
    let error = read(text).expect_err(text);
    format!("{error}\n  remedy: {}\n  code: {}", error.remedy(), error.code())
}

fn line(number: usize) -> Origin {
    Origin::File { path: FILE.into(), line: number }
}

#[test]
fn every_key_has_its_field() {
    let text = r#"
sandbox_mode = "read-only"
model = "somebody's"
[sandbox_workspace_write]
writable_roots = ["../x", "~/y"]
network_access = true
exclude_tmpdir_env_var = false
exclude_slash_tmp = true
[sandbox]
protected = [".git", ".hg"]
git = "commit"
deny_read = [
  "~/.ssh",
]
[sandbox.limits]
memory = "2 GiB"
processes = 64
wall_clock = "5m"
[network]
allow = ["Crates.io:443"]
[windows]
sandbox = "unelevated"
private_desktop = false
account_prefix = "Box"
[mcp_servers.x]
command = "y"
"#;
    let policy = read(text).expect("valid");
    let written = |path: &str, at| WrittenPath { path: path.into(), origin: line(at) };
    assert_eq!(policy.mode, Mode::ReadOnly);
    assert_eq!(policy.writable_roots, [written("../x", 5), written("~/y", 5)]);
    assert_eq!(policy.exclude_tmpdir_env_var, Some(false));
    assert_eq!(policy.exclude_slash_tmp, Some(true));
    assert_eq!(policy.protected, [".git", ".hg"]);
    assert_eq!(policy.git, GitMode::Commit);
    assert_eq!(policy.deny_read, [written("~/.ssh", 13)]);
    assert_eq!(policy.limits.memory, Some(2 << 30));
    assert_eq!(policy.limits.processes, Some(64));
    assert_eq!(policy.limits.wall_clock, Some(Duration::from_secs(300)));
    assert_eq!(policy.network_allow[0].to_string(), "crates.io:443");
    assert_eq!(policy.windows_tier, WindowsTier::Unelevated);
    assert!(!policy.windows_private_desktop);
    assert_eq!(policy.windows_account_prefix, "Box");
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(read("").expect("empty"), Policy::default());
    assert_eq!(read("\u{feff}# only a comment\r\n").expect("comment"), Policy::default());
}

#[test]
fn foreign_names_are_passed_over() {
    for text in [
        "networks = 1",
        "sandbox_permissions = []",
        "[profiles.x]\nsandbox_mode = 7",
        "\"sandbox.git\" = 7",
        "window = true",
    ] {
        assert_eq!(read(text).expect(text), Policy::default(), "{text}");
    }
}

#[test]
fn the_table_of_workspace_write_does_not_open_the_network_of_read_only() {
    let table = "[sandbox_workspace_write]\nnetwork_access = true";
    assert!(read(table).expect("valid").network_access);
    assert!(!read(&format!("sandbox_mode = \"read-only\"\n{table}")).expect("valid").network_access);
    let mut flags = Layer::new();
    flags.set(Setting::NetworkAccess(true), Origin::Flag("--network".into()));
    let file = parse(b"sandbox_mode = \"read-only\"", Path::new(FILE)).expect("valid");
    assert!(assemble([&file, &flags]).expect("valid").network_access);
}

#[test]
fn later_layers_win_and_flags_add() {
    let first = parse(b"[sandbox]\ngit = \"commit\"\ndeny_read = [\"/a\"]", Path::new(FILE)).expect("valid");
    let second = parse_override("sandbox.deny_read=[\"/b\"]").expect("valid");
    let mut flags = Layer::new();
    let added = WrittenPath { path: "/c".into(), origin: Origin::Flag("--deny-read /c".into()) };
    flags.set(Setting::AddDenyRead(added), Origin::Flag("--deny-read /c".into()));
    let policy = assemble([&first, &second, &flags]).expect("valid");
    assert_eq!(policy.git, GitMode::Commit);
    let paths: Vec<PathBuf> = policy.deny_read.into_iter().map(|written| written.path).collect();
    assert_eq!(paths, [PathBuf::from("/b"), PathBuf::from("/c")]);
}

#[test]
fn overrides_take_toml_or_bare_words() {
    let policy = |text: &str| assemble([&parse_override(text).expect(text)]).expect(text);
    assert_eq!(policy("sandbox_mode=read-only").mode, Mode::ReadOnly);
    assert_eq!(policy("sandbox_mode = \"read-only\"").mode, Mode::ReadOnly);
    assert_eq!(policy("sandbox.limits.wall_clock=30s").limits.wall_clock, Some(Duration::from_secs(30)));
    assert_eq!(policy("sandbox.limits.wall_clock=0.5").limits.wall_clock, Some(Duration::from_millis(500)));
    assert_eq!(policy("sandbox.limits.processes=8").limits.processes, Some(8));
    assert_eq!(policy("sandbox.limits={memory=4096}").limits.memory, Some(4096));
    let none = assemble([
        &parse_override("sandbox.limits.memory=1G").expect("valid"),
        &parse_override("sandbox.limits.memory=none").expect("valid"),
    ]);
    assert_eq!(none.expect("valid").limits.memory, None);
}

#[test]
fn mistakes_name_line_and_remedy() {
    let cases = [
        "\n[sandbox_workspace_write]\nnetwork_acess = true",
        "[sandbox]\nwritable_roots = []",
        "[sandbox]\nmode = \"read-only\"",
        "[sandbox.limits]\ntime = 3",
        "sanbox_mode = \"read-only\"",
        "Sandbox_Mode = \"read-only\"",
        "[sandbox_workspace_wrte]",
        "sandbox_mode = \"readonly\"",
        "sandbox_mode = 3",
        "\n\nsandbox = true",
        "[[sandbox]]\ngit = \"commit\"",
        "[sandbox_workspace_write]\nwritable_roots = \"/x\"",
        "[sandbox_workspace_write]\nwritable_roots = [\"/x\",\n  7]",
        "[sandbox_workspace_write]\nwritable_roots = [\"\"]",
        "[sandbox]\ndeny_read = [\"a\\u0000b\"]",
        "[sandbox]\nprotected = [\"a/b\"]",
        "[sandbox.limits]\nmemory = \"lots\"",
        "[sandbox.limits]\nmemory = -1",
        "[sandbox.limits]\nprocesses = 0",
        "[sandbox.limits]\nprocesses = 1.5",
        "[sandbox.limits]\nwall_clock = 2026-01-01",
        "[network]\nallow = [\"http://x\"]",
        "[windows]\naccount_prefix = \"far too long a prefix\"",
        "[sandbox]\ngit = commit",
        "[sandbox]\ngit = \"commit\"\ngit = \"protect\"",
        "[sandbox",
    ];
    let shown: Vec<String> = cases.iter().map(|text| format!("{}\n{}\n", text, message(text))).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn overrides_that_mean_nothing() {
    let cases =
        ["", "x", "=1", "sandbox_mode=", "model=o3", "sandbox.gti=commit", "sandbox.git=[", "sandbox_mode=3"];
    let shown: Vec<String> = cases
        .iter()
        .map(|text| {
            let error = parse_override(text).expect_err(text);
            format!("{error}\n  remedy: {}\n  code: {}\n", error.remedy(), error.code())
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn flags_that_contradict_the_mode() {
    let flag = |setting: Setting, text: &str| (setting, Origin::Flag(text.to_owned()));
    let path = || WrittenPath { path: "/x".into(), origin: Origin::Flag("--writable /x".into()) };
    let cases = [
        (Mode::ReadOnly, flag(Setting::AddWritableRoot(path()), "--writable /x")),
        (Mode::ReadOnly, flag(Setting::Git(GitMode::Commit), "--git commit")),
        (Mode::DangerFullAccess, flag(Setting::NetworkAccess(true), "--network")),
        (Mode::DangerFullAccess, flag(Setting::AddDenyRead(path()), "--deny-read /x")),
        (Mode::DangerFullAccess, flag(Setting::Memory(Some(1)), "--memory 1")),
    ];
    let shown: Vec<String> = cases
        .into_iter()
        .map(|(mode, (setting, origin))| {
            let file = parse(format!("sandbox_mode = \"{}\"", mode.name()).as_bytes(), Path::new(FILE));
            let mut flags = Layer::new();
            flags.set(setting, origin);
            let error = assemble([&file.expect("valid"), &flags]).expect_err("contradiction");
            format!("{error}\n  remedy: {}\n  code: {}\n", error.remedy(), error.code())
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_configuration_for_another_mode_is_no_contradiction() {
    let text = "sandbox_mode = \"read-only\"\n[sandbox_workspace_write]\nwritable_roots = [\"/x\"]\n[sandbox]\ngit = \"commit\"";
    assert_eq!(read(text).expect("valid").mode, Mode::ReadOnly);
}

#[test]
fn bytes_that_are_no_text() {
    let fail = |bytes: &[u8]| parse(bytes, Path::new(FILE)).expect_err("no text");
    let error = fail(b"a = 1\nb = \xff");
    assert_eq!((error.code(), &error.origin), ("config.not-utf8", &line(2)));
    let error = fail(b"a = 1\n\n\0");
    assert_eq!((error.code(), &error.origin), ("config.nul-byte", &line(3)));
    let error = fail(&vec![b'#'; 10 << 20]);
    assert_eq!(error.code(), "config.too-large");
}

#[test]
fn deep_nesting_and_long_keys_end_quickly() {
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(read(&deep).expect_err("too deep").code(), "config.syntax");
    let long = format!("[sandbox]\n{} = 1", "x".repeat(500_000));
    assert_eq!(read(&long).expect_err("unknown").code(), "policy.unknown-key");
    let many = format!("[sandbox]\ndeny_read = [{}]", "\"/x\",\n".repeat(100_000));
    assert_eq!(read(&many).expect("valid").deny_read.len(), 100_000);
}

#[test]
fn the_manual_lists_every_key_and_no_other() {
    let manual = include_str!("../../../../docs/config.md");
    let headings: Vec<&str> =
        manual.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    let names: Vec<&str> = keys().iter().map(|key| key.name).collect();
    assert_eq!(headings, names);
}

#[test]
fn the_examples_of_the_manual_are_valid() {
    let manual = include_str!("../../../../docs/config.md");
    let examples: Vec<&str> =
        manual.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() > 10, "{}", examples.len());
    for example in examples {
        read(example).expect(example);
    }
}
