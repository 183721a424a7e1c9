//! Programs, arguments, environment, network settings.

use std::fs;

use super::harness::{Machine, finish};

#[test]
fn what_cannot_be_started_is_said() {
    let Some(machine) = Machine::new("what cannot be started") else { return };
    let ended = machine.run(["no-such-program"]);
    ended.expect_code(127);
    assert!(ended.err.contains("no-such-program: not found"), "{}", ended.err);
    fs::write(machine.work().join("script.ps1"), "x").expect("the workspace");
    machine.run([r".\script.ps1"]).expect_code(126);
    fs::write(machine.work().join("evil.exe"), "x").expect("the workspace");
    machine.run(["evil"]).expect_code(127);
    // The launcher's own line is shorter than the one that it would have to make: cmd.exe is told eight letters for each `%`.
    fs::write(machine.work().join("say.cmd"), "@echo %1\r\n").expect("the workspace");
    let ended = machine.run([r".\say.cmd".to_owned(), "%".repeat(5_000)]);
    ended.expect_code(125);
    assert!(ended.err.contains("UTF-16 units") && ended.err.contains("remedy"), "{}", ended.err);
}

#[test]
fn a_batch_file_gets_its_arguments_and_nothing_else_runs() {
    let Some(machine) = Machine::new("batch files") else { return };
    fs::write(machine.work().join("say.cmd"), "@echo [%1]\r\n").expect("the workspace");
    assert_eq!(machine.run([r".\say.cmd", "a b"]).expect_code(0).text(), "[\"a b\"]");
    // BatBadBut: a quote must not let `&` out.
    for argument in ["\"&echo x>pwned.txt&\"", "a&echo x>pwned.txt", "\\\"&echo x>pwned.txt&rem \\\""] {
        machine.run([r".\say.cmd", argument]);
        assert!(!machine.work().join("pwned.txt").exists(), "{argument}");
    }
    machine.run([r".\say.cmd", "a\nb"]).expect_code(125);
}

#[test]
fn the_network_is_discouraged_and_said_to_be() {
    let Some(machine) = Machine::new("advisory network settings") else { return };
    let ended = machine.run_with(&[], ["cmd", "/c", "echo %HTTPS_PROXY% %CARGO_NET_OFFLINE%"]);
    assert_eq!(ended.expect_code(0).text(), "http://127.0.0.1:9 true");
    assert_eq!(ended.err.matches("only discouraged").count(), 1, "{}", ended.err);
    let ended = machine.run(["cmd", "/c", "echo hi"]);
    assert_eq!((ended.text().as_str(), ended.err.as_str()), ("hi", ""));
    let ended = machine.run(["ssh", "git@example.org"]);
    ended.expect_code(1);
    assert!(ended.err.contains("the network is off"), "{}", ended.err);
    let ended = machine.run_with(&["--require", "network"], ["cmd", "/c", "echo hi"]);
    assert_eq!(ended.expect_code(125).text(), "");
    let ended = machine.run_with(&["--quiet", "--require", "deletion"], ["cmd", "/c", "echo hi"]);
    assert_eq!(ended.expect_code(0).text(), "hi");
}

#[test]
fn field_report_27_names_in_other_scripts_and_long_paths() {
    let Some(machine) = Machine::new("other scripts, long paths") else { return };
    let mut folder = machine.work().join("Прое́кт 工程 ü");
    fs::create_dir(&folder).expect("the workspace");
    let ended = finish(
        machine
            .command_in(&folder, ["run", "--quiet", "--", "cmd", "/c", "echo Ж> файл.txt"])
            .spawn()
            .expect("runs"),
        &[],
    );
    ended.expect_code(0);
    assert!(folder.join("файл.txt").exists());
    while folder.as_os_str().len() < 600 {
        folder = folder.join("a-name-of-some-length-to-get-there");
    }
    fs::create_dir_all(&folder).expect("Linux has longer paths");
    fs::write(folder.join("file.txt"), "x").expect("the folder");
    let ended = machine.run(["cmd", "/c", "echo in> in.txt"]);
    ended.expect_code(0);
}

#[test]
fn a_policy_that_is_read_only_lets_nothing_be_written() {
    let Some(machine) = Machine::new("read-only") else { return };
    machine.run_with(&["--quiet", "--mode", "read-only"], ["cmd", "/c", "echo x> in.txt"]);
    assert!(!machine.work().join("in.txt").exists());
    machine.run(["cmd", "/c", "echo x> in.txt"]).expect_code(0);
    assert!(machine.work().join("in.txt").exists());
}

#[test]
fn field_report_27_a_program_with_a_name_in_another_script() {
    let test = "program names in other scripts";
    let Some(machine) = Machine::new(test) else { return };
    let Some(child) = machine.c_file(test) else { return };
    let tools = machine.home().join("Werkzeuge ж");
    fs::create_dir(&tools).expect("the profile is writable");
    for name in ["прогр 工具.exe", "ünïcode.exe"] {
        fs::copy(&child, tools.join(name)).expect("the profile is writable");
    }
    let wanted = machine.outside([r"C:\users\user\Werkzeuge ж\ünïcode.exe", "args", "é", "工 具", "🙂"]);
    assert!(wanted.expect_code(0).text().starts_with("3 6 "), "{}", wanted.text());
    // By its path, and by its name through PATH without an extension.
    for program in [r"C:\users\user\Werkzeuge ж\прогр 工具.exe", "прогр 工具", "ünïcode"] {
        let mut command = machine.command(["run", "--quiet", "--", program, "args", "é", "工 具", "🙂"]);
        command.env("WINEPATH", r"C:\users\user\Werkzeuge ж");
        let ended = finish(command.spawn().expect("the runner runs"), &[]);
        assert_eq!(ended.expect_code(0).text(), wanted.text(), "{program}: {}", ended.err);
    }
}

#[test]
fn a_command_line_of_32_ki_arrives_whole_and_a_longer_one_is_refused() {
    let test = "long command lines";
    let Some(machine) = Machine::new(test) else { return };
    let Some(child) = machine.c_child(test) else { return };
    // The launcher's own line, which holds the same words and a few more, must fit too.
    let argument = |len: usize| format!("{}\"\\ ж%PATH%^&|", "a".repeat(len));
    let wanted = machine.outside([child.as_str(), "args", &argument(32_300), ""]);
    assert!(wanted.expect_code(0).text().starts_with("2 32"), "{}", wanted.text());
    let ended = machine.run([child.as_str(), "args", &argument(32_300), ""]);
    assert_eq!(ended.expect_code(0).text(), wanted.text());
}

#[test]
fn a_working_directory_that_is_not_there_or_no_folder_is_said() {
    let Some(machine) = Machine::new("working directories") else { return };
    fs::write(machine.work().join("file.txt"), "x").expect("the workspace is writable");
    for (folder, word) in [("no-such-folder", "no-such-folder"), ("file.txt", "file.txt")] {
        let ended = machine.run_with(&["--quiet", "-C", folder], ["cmd", "/c", "echo hi"]);
        ended.expect_code(125);
        assert!(ended.err.contains(word) && ended.err.contains("remedy"), "{}", ended.err);
    }
}
