//! Places that need care: what others left open, names that lead elsewhere, temporary folders, names that are protected before they
//! exist. Each is also shown to be writable without the sandbox.

use std::fs;
use std::path::Path;

use super::harness::{Ended, Machine, User, finish};

fn filtered(test: &str) -> Option<Machine> {
    Machine::new(test).map(|machine| machine.user(User::Filtered))
}

/// `echo x> PATH`, which a batch of the lab's cmd ends with exit code 0 even where it is refused: the file tells.
fn echo(machine: &Machine, path: &str) -> Ended {
    machine.run(["cmd", "/c", &format!("echo x> {path}")])
}

#[test]
fn folders_that_everyone_may_write_beside_the_workspace_and_on_path_are_closed_to_the_command_alone() {
    let test = "folders open to Everyone";
    let Some(machine) = filtered(test) else { return };
    let Some(child) = machine.c_child(test) else { return };
    let folders = [
        (machine.home().join("open"), r"C:\users\user\open", "D:(A;OICI;FA;;;WD)"),
        (machine.home().join("low"), r"C:\users\user\low", "D:(A;OICI;FA;;;WD)S:(ML;OICI;NW;;;LW)"),
        (
            machine.home().join("far/tools"),
            r"C:\users\user\far\tools",
            "D:(A;OICI;FA;;;WD)S:(ML;OICI;NW;;;LW)",
        ),
    ];
    for (folder, windows, sddl) in &folders {
        fs::create_dir_all(folder).expect("the profile is writable");
        machine.outside([child.as_str(), "sd", windows, sddl]).expect_code(0);
        fs::write(folder.join("there.txt"), "there").expect("the profile is writable");
        machine.outside(["cmd".to_owned(), "/c".to_owned(), format!(r"echo x> {windows}\outside.txt")]);
        assert!(folder.join("outside.txt").exists(), "{windows} is open without the sandbox");
    }
    let run = |line: String| {
        let mut command = machine.command(["run", "--quiet", "--", "cmd", "/c", &line]);
        command.env("WINEPATH", r"C:\users\user\far\tools");
        finish(command.spawn().expect("the runner runs"), &[])
    };
    let path = run("echo %PATH%".to_owned());
    assert!(path.text().contains(r"\far\tools"), "it is on PATH: {}", path.text());
    for (folder, windows, _) in &folders {
        run(format!(r"echo x> {windows}\inside.txt"));
        run(format!(r"del {windows}\there.txt"));
        assert!(!folder.join("inside.txt").exists(), "{windows} is closed");
        assert!(folder.join("there.txt").exists(), "what is in {windows} stays");
        // The user and his other programs notice nothing.
        machine.outside(["cmd".to_owned(), "/c".to_owned(), format!(r"echo x> {windows}\after.txt")]);
        assert!(folder.join("after.txt").exists(), "{windows} is open without the sandbox, as before");
    }
}

#[test]
fn a_hard_link_in_the_workspace_does_not_open_the_file_outside() {
    let Some(machine) = filtered("hard links") else { return };
    let outside = machine.home().join("outside.txt");
    fs::write(&outside, "outside").expect("the profile is writable");
    fs::hard_link(&outside, machine.work().join("link.txt")).expect("one file system");
    for _ in 0..2 {
        machine.run(["cmd", "/c", "echo x>> link.txt"]);
        machine.run(["cmd", "/c", r"echo x>> ..\outside.txt"]);
        assert_eq!(fs::read_to_string(&outside).expect("it stays"), "outside");
    }
    machine.outside(["cmd", "/c", "echo x>> link.txt"]);
    assert_ne!(
        fs::read_to_string(&outside).expect("it stays"),
        "outside",
        "without the sandbox it can be written"
    );
}

#[test]
fn temp_is_private_and_the_hosts_is_not_written() {
    let Some(machine) = filtered("temporary folders") else { return };
    let line = r"echo x> %TEMP%\mine.txt& echo x> %TMP%\too.txt& echo %TEMP%";
    let ended = machine.run(["cmd", "/c", line]);
    let temp = ended.expect_code(0).text();
    assert!(temp.contains(r"\codex-sandbox\tmp\"), "{temp}");
    let host = machine.home().join("AppData/Local/Temp");
    let private = machine.home().join(temp.trim_start_matches(r"C:\users\user\").replace('\\', "/"));
    assert!(private.join("mine.txt").exists() && private.join("too.txt").exists(), "{}", private.display());
    assert!(!host.join("mine.txt").exists());
    echo(&machine, r"C:\users\user\AppData\Local\Temp\inside.txt");
    assert!(!host.join("inside.txt").exists());
    machine.outside(["cmd", "/c", r"echo x> C:\users\user\AppData\Local\Temp\outside.txt"]);
    assert!(host.join("outside.txt").exists(), "without the sandbox it can be written");
    machine.run_with(
        &["--quiet", "-c", "sandbox_workspace_write.exclude_slash_tmp=false"],
        ["cmd", "/c", r"echo x> C:\users\user\AppData\Local\Temp\asked.txt"],
    );
    assert!(host.join("asked.txt").exists(), "asked for in so many words it is a root");
}

/// Each tries to make, replace, rename or fill a protected name that is not there yet.
const TRIES: [&str; 8] = [
    "md NAME",
    r"md NAME& echo x> NAME\config.toml",
    r"rd NAME& md NAME& echo x> NAME\config.toml",
    r"ren NAME old& md NAME& echo x> NAME\config.toml",
    r"md new& echo x> new\config.toml& move new NAME",
    r"copy nul NAME\config.toml",
    "echo x> NAME",
    r"echo x> \\?\C:\users\user\work\NAME\config.toml",
];

#[test]
fn missing_codex_and_agents_cannot_be_made() {
    let Some(machine) = filtered("missing .codex and .agents") else { return };
    for name in [".codex", ".agents", ".CODEX", ".Agents", "AGENTS"] {
        let protected = name.starts_with('.');
        for tried in TRIES {
            machine.run(["cmd".to_owned(), "/c".to_owned(), tried.replace("NAME", name)]);
        }
        let made = |name: &str| fs::read_dir(machine.work().join(name)).map(Iterator::count).unwrap_or(0);
        if protected {
            let lower = name.to_ascii_lowercase();
            assert!(machine.work().join(&lower).is_dir(), "the placeholder {lower} stays");
            assert_eq!(made(&lower), 0, "{name}");
        } else {
            assert_ne!(made(name), 0, "any other name can be made");
        }
        let _from_this_name = fs::remove_dir_all(machine.work().join("new"));
    }
}

#[test]
fn a_repository_that_the_user_adds_to_a_granted_workspace_is_frozen_and_reported() {
    let Some(machine) = filtered("a nested repository added later") else { return };
    machine.run(["cmd", "/c", "echo x> in.txt"]).expect_code(0);
    // As `git clone` by the user does between two runs.
    let hooks = machine.work().join("third/party/.git/hooks");
    fs::create_dir_all(&hooks).expect("the workspace is writable");
    fs::write(hooks.join("../config"), "[core]\n\tfsmonitor = x\n").expect("the workspace is writable");
    let ended = machine.run_with(&[], ["cmd", "/c", "echo hi"]);
    ended.expect_code(0);
    let closed_before = !ended.err.contains(r"third\party\.git");
    if !closed_before {
        assert!(ended.err.contains("core.fsmonitor"), "what runs code is named: {}", ended.err);
    }
    machine.run(["cmd", "/c", r"echo x> third\party\.git\hooks\post-commit"]);
    assert!(!hooks.join("post-commit").exists(), "from the next run on it is closed");
    machine.run(["cmd", "/c", "ren third fourth"]);
    assert!(hooks.is_dir(), "and stays where it is");
    machine.outside(["cmd", "/c", r"echo x> third\party\.git\hooks\post-commit"]);
    assert!(hooks.join("post-commit").exists(), "without the sandbox it can be written");
}

#[test]
fn a_git_file_and_a_bare_name_in_upper_case_are_protected_too() {
    let Some(machine) = filtered(".git as a file") else { return };
    let nested = machine.work().join("module");
    fs::create_dir(&nested).expect("the workspace is writable");
    fs::write(nested.join(".GIT"), "gitdir: ../elsewhere\n").expect("the workspace is writable");
    for line in [
        r"echo x> module\.git",
        r"del module\.git",
        r"ren module\.git x",
        "ren module other",
        r"move /y in.txt module\.git",
    ] {
        machine.run(["cmd", "/c", line]);
        let text = fs::read_to_string(nested.join(".GIT")).unwrap_or_default();
        assert_eq!(text, "gitdir: ../elsewhere\n", "{line}");
    }
    machine.outside(["cmd", "/c", r"echo x> module\.git"]);
    assert_ne!(fs::read_to_string(nested.join(".GIT")).expect("it stays"), "gitdir: ../elsewhere\n");
}

#[test]
fn paths_of_more_than_260_letters_are_written_inside_and_not_outside() {
    let test = "long paths";
    let Some(machine) = filtered(test) else { return };
    let Some(child) = machine.c_child(test) else { return };
    let long = |top: &Path| {
        let mut folder = top.to_path_buf();
        while folder.as_os_str().len() < top.as_os_str().len() + 400 {
            folder = folder.join("a-name-of-some-length-to-get-there");
        }
        fs::create_dir_all(&folder).expect("the profile is writable");
        folder
    };
    let beside = machine.home().join("beside");
    for (top, windows, is_open) in
        [(machine.work(), r"C:\users\user\work", true), (beside, r"C:\users\user\beside", false)]
    {
        let folder = long(&top);
        let rest = folder.strip_prefix(&top).expect("it lies in there").to_string_lossy().replace('/', "\\");
        let path = |name: &str| format!(r"\\?\{windows}\{rest}\{name}.txt");
        machine.outside([&child, "write", &path("outside")]);
        assert!(folder.join("outside.txt").exists(), "without the sandbox it can be written");
        machine.run([&child, "write", &path("inside")]);
        assert_eq!(folder.join("inside.txt").exists(), is_open, "{windows}");
    }
}
