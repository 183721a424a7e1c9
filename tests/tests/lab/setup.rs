//! The real set-up in the lab: accounts, logons with the sealed password, firewall, read grants, and back; asked by a probe that
//! shares no line with the project (setup/probe.c).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::harness::{Ended, Machine, User, skipped};

const STATE: &str = r"C:\ProgramData\codex-sandbox";
const OFFLINE: &str = r"C:\ProgramData\codex-sandbox\credentials\offline.bin";
const ONLINE: &str = r"C:\ProgramData\codex-sandbox\credentials\online.bin";
/// WSAEACCES
const REFUSED: &str = "10013";
/// ERROR_ACCESS_DENIED
const DENIED: &str = "5";

/// A machine, and the probe as Windows sees it. `None`, and said so, without a lab or a compiler.
fn machine(test: &str) -> Option<(Machine, String)> {
    let machine = Machine::new(test)?;
    let programs = PathBuf::from(std::env::var_os("CODEX_SANDBOX_EXE")?);
    let programs = programs.parent()?;
    for program in ["codex-windows-sandbox-setup.exe", "codex-command-runner.exe"] {
        if !programs.join(program).exists() {
            skipped(test, &format!("{program} does not lie beside the program"));
            return None;
        }
    }
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    match BUILT.get_or_init(|| build(programs)) {
        // Copied onto the machine: the sandbox accounts read no Z:.
        Some(probe) => {
            let target = machine.home().join("../../probe.exe");
            std::fs::copy(probe, target).expect("the drive is ours");
            Some((machine, r"C:\probe.exe".to_owned()))
        }
        None => {
            skipped(test, "no mingw compiler for the probe");
            None
        }
    }
}

fn build(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/setup/probe.c");
    let (own, shared) =
        (folder.join(format!("probe-{}.exe", std::process::id())), folder.join("lab-probe.exe"));
    let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
    compiler.args(["-municode", "-O1", "-s", "-o"]).args([&own, &source]);
    let made = compiler.args(["-lws2_32", "-lcrypt32", "-lnetapi32", "-ladvapi32"]).output().ok()?;
    assert!(made.status.success(), "probe.c: {}", String::from_utf8_lossy(&made.stderr));
    std::fs::rename(&own, &shared).expect("both are in one folder");
    Some(shared)
}

fn ask(machine: &Machine, probe: &str, words: &[&str]) -> String {
    machine.outside(std::iter::once(probe).chain(words.iter().copied())).text()
}

/// What an account is told.
fn ask_as(machine: &Machine, probe: &str, credentials: &str, words: &[&str]) -> String {
    let all = ["as", credentials].into_iter().chain(words.iter().copied());
    ask(machine, probe, &all.collect::<Vec<_>>())
}

fn set_up(machine: &Machine) -> Ended {
    let ended = machine.program(["setup", "--wait"]);
    ended.expect_code(0);
    ended
}

/// The steps by how they ended.
fn steps(ended: &Ended, word: &str) -> Vec<String> {
    let text = ended.text();
    let lines = text.lines().filter(|line| line.starts_with('['));
    let ends = lines.filter_map(|line| line.split_once("] ").map(|(_, rest)| rest));
    ends.filter_map(|rest| rest.strip_prefix(word)).map(|title| title.trim().to_owned()).collect()
}

#[test]
fn accounts_log_on_with_what_was_sealed_and_from_elsewhere_they_do_not() {
    let Some((machine, probe)) = machine("setup: accounts") else { return };
    let ended = set_up(&machine);
    // Needs real Windows: the filtering platform.
    assert_eq!(steps(&ended, "limited").len(), 1, "{}", ended.text());
    assert!(ended.text().contains("setup-no-wfp"), "{}", ended.text());
    for (file, name) in [(OFFLINE, "CodexSandboxOffline"), (ONLINE, "CodexSandboxOnline")] {
        let sealed = ask(&machine, &probe, &["unseal", file]);
        assert!(sealed.starts_with(&format!(". {name} S-1-5-21-")) && sealed.contains(" 32\n"), "{sealed}");
        let sid = sealed.split_whitespace().nth(2).expect("a SID");
        assert_eq!(ask(&machine, &probe, &["logon", file, "2"]), "0", "interactive");
        // ERROR_LOGON_TYPE_NOT_GRANTED
        for (kind, what) in [("3", "network"), ("4", "batch"), ("5", "service")] {
            assert_eq!(ask(&machine, &probe, &["logon", file, kind]), "1385", "{what}");
        }
        let rights = ask(&machine, &probe, &["rights", sid]);
        assert_eq!(rights.lines().count(), 4, "{rights}");
        assert!(rights.contains("SeDenyRemoteInteractiveLogonRight"), "{rights}");
    }
    let status = machine.program(["status"]);
    assert!(status.expect_code(0).text().contains("set-up      ready"), "{}", status.text());
    assert!(status.text().contains("reading     all given"), "{}", status.text());
}

#[test]
fn the_account_without_a_network_has_none_and_the_other_one_does() {
    let Some((machine, probe)) = machine("setup: firewall") else { return };
    let send = ["udp", "192.0.2.1", "9"];
    let before = ask(&machine, &probe, &send);
    assert_ne!(before, REFUSED, "the user sends before the set-up");
    set_up(&machine);
    assert_eq!(ask_as(&machine, &probe, OFFLINE, &send), REFUSED);
    assert_eq!(ask_as(&machine, &probe, OFFLINE, &["tcp", "192.0.2.1", "9"]), REFUSED);
    assert_ne!(ask_as(&machine, &probe, ONLINE, &send), REFUSED);
    assert_eq!(ask(&machine, &probe, &send), before, "the user sends as before");
    machine.program(["teardown", "--all"]).expect_code(0);
    assert_eq!(ask(&machine, &probe, &send), before);
}

/// The whole way: policy, plan, the sealed password, the runner, the restricted token, the block; asked by `doctor` of itself.
#[test]
fn runs_are_the_accounts_and_doctor_tries_the_network_as_the_one_without() {
    let Some((machine, probe)) = machine("setup: a run, and doctor") else { return };
    set_up(&machine);
    let ended = machine.run(["cmd", "/c", "whoami& echo x> in.txt& echo x> ..\\out.txt"]);
    assert!(ended.text().contains("CodexSandboxOffline"), "{} {}", ended.text(), ended.err);
    assert!(machine.work().join("in.txt").exists() && !machine.home().join("out.txt").exists());
    let ended = machine.run([probe.as_str(), "udp", "192.0.2.1", "9"]);
    assert_eq!(ended.text(), REFUSED, "{}", ended.err);
    let ended = machine.run_with(&["--quiet", "--network"], [probe.as_str(), "udp", "192.0.2.1", "9"]);
    assert_ne!(ended.text(), REFUSED, "{}", ended.err);
    let doctor = machine.program(["doctor", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&doctor.text()).expect("JSON");
    let network = value["machine"]["network"].as_array().expect("it was tried");
    let end = |trial: &str| network.iter().find(|row| row["trial"] == trial).map(|row| row["end"].clone());
    assert_eq!(end("udp"), Some("blocked".into()), "{network:#?}");
    // Needs real Windows: loopback is the filtering platform's part.
    assert_eq!(end("tcp-loopback"), Some("open".into()), "{network:#?}");
}

#[test]
fn the_accounts_read_the_profile_except_secrets_and_write_nothing() {
    let Some((machine, probe)) = machine("setup: read grants") else { return };
    let make = |name: &str| {
        let path = machine.home().join(name);
        std::fs::create_dir_all(path.parent().expect("in the profile")).expect("the profile is ours");
        std::fs::write(&path, "x").expect("the profile is ours");
    };
    for name in ["Documents/notes.txt", "tools/tool.txt", ".ssh/id_ed25519", ".aws/credentials"] {
        make(name);
    }
    make("AppData/Roaming/app/settings.txt");
    make("AppData/Local/Google/Chrome/User Data/Cookies");
    set_up(&machine);
    let at = |name: &str| format!(r"C:\users\user\{name}");
    let open = [at(r"Documents\notes.txt"), at(r"tools\tool.txt"), at(r"AppData\Roaming\app\settings.txt")];
    let closed = [
        at(r".ssh\id_ed25519"),
        at(r".aws\credentials"),
        at(r"AppData\Local\Google\Chrome\User Data\Cookies"),
        OFFLINE.to_owned(),
        ONLINE.to_owned(),
    ];
    for credentials in [OFFLINE, ONLINE] {
        for path in &open {
            assert_eq!(ask_as(&machine, &probe, credentials, &["read", path]), "0", "{path}");
            for change in ["write", "delete"] {
                assert_eq!(ask_as(&machine, &probe, credentials, &[change, path]), DENIED, "{change} {path}");
            }
        }
        for path in &closed {
            assert_eq!(ask_as(&machine, &probe, credentials, &["read", path]), DENIED, "{path}");
        }
        let folders = [at(""), at("AppData"), at(r"AppData\Local")];
        for folder in folders.iter().map(|folder| folder.trim_end_matches('\\')) {
            assert_eq!(ask_as(&machine, &probe, credentials, &["list", folder]), "0", "{folder}");
        }
        let runner = format!(r"{STATE}\bin\{}\codex-command-runner.exe", env!("CARGO_PKG_VERSION"));
        assert_eq!(ask_as(&machine, &probe, credentials, &["read", &runner]), "0");
        for change in ["write", "delete"] {
            assert_eq!(
                ask_as(&machine, &probe, credentials, &[change, &runner]),
                DENIED,
                "{change} {runner}"
            );
        }
    }
}

#[test]
fn a_second_set_up_changes_nothing_and_what_others_changed_is_repaired() {
    let Some((machine, probe)) = machine("setup: again") else { return };
    let first = set_up(&machine);
    assert!(steps(&first, "done").len() > 20, "{}", first.text());
    let everything = ask(&machine, &probe, &["sddl", STATE]);
    let sealed = ask(&machine, &probe, &["unseal", OFFLINE]);
    let second = set_up(&machine);
    assert_eq!(steps(&second, "done"), Vec::<String>::new(), "{}", second.text());
    assert_eq!(ask(&machine, &probe, &["sddl", STATE]), everything);
    assert_eq!(ask(&machine, &probe, &["flags", "CodexSandboxOffline"]), "0");
    assert_eq!(ask(&machine, &probe, &["password", "CodexSandboxOnline"]), "0");
    assert_eq!(ask(&machine, &probe, &["logon", OFFLINE, "2"]), "1331", "disabled");
    assert_eq!(ask(&machine, &probe, &["logon", ONLINE, "2"]), "1326", "another password");
    let third = machine.program(["setup", "--repair", "--wait"]);
    let repaired = steps(third.expect_code(0), "done");
    assert_eq!(repaired.len(), 2, "{repaired:?}");
    for file in [OFFLINE, ONLINE] {
        assert_eq!(ask(&machine, &probe, &["logon", file, "2"]), "0", "{file}");
    }
    assert_eq!(ask(&machine, &probe, &["unseal", OFFLINE]), sealed, "no new account");
}

/// Descriptors of everything below a folder, without the lab's profiles of the accounts, which Windows makes at the first logon.
fn snapshot(machine: &Machine, probe: &str) -> BTreeMap<String, String> {
    let text = ["C:\\ProgramData", "C:\\users"].map(|top| ask(machine, probe, &["sddl", top])).join("\n");
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    let ours = |path: &str| path.contains("CodexSandbox") || path.contains(r"AppData\Local\codex-sandbox");
    lines.filter(|(path, _)| !ours(path)).map(|(path, sddl)| (path.to_owned(), sddl.to_owned())).collect()
}

/// Ends everything that runs on the machine.
fn stop(machine: &Machine) {
    let runner = std::env::var_os("CODEX_SANDBOX_LAB").expect("there is a lab");
    let prefix = machine.home().join("../../..");
    // Where nothing runs there is nothing to end.
    let _stopped = Command::new(runner).arg("-s").arg(prefix).stderr(Stdio::null()).status();
}

/// Starts it again: the server and its services keep the standard streams of the first program.
fn start(machine: &Machine) {
    let mut first = machine.command(["--version"]);
    let started = first.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("the runner runs");
    assert!(started.success(), "the program starts");
}

fn registry_names_us(machine: &Machine) -> bool {
    // The server writes it when it ends.
    stop(machine);
    let prefix = machine.home().join("../../..");
    ["system.reg", "user.reg"].iter().any(|file| {
        let bytes = std::fs::read(prefix.join(file)).expect("the registry");
        String::from_utf8_lossy(&bytes).contains("CodexSandbox")
    })
}

#[test]
fn teardown_leaves_nothing() {
    let Some((machine, probe)) = machine("setup: teardown") else { return };
    std::fs::write(machine.work().join("file.txt"), "x").expect("the workspace");
    let before = snapshot(&machine, &probe);
    set_up(&machine);
    assert_ne!(snapshot(&machine, &probe), before, "read grants are there");
    let dry = machine.program(["teardown", "--all", "--dry-run"]);
    assert!(
        dry.expect_code(0).text().contains("would remove local user CodexSandboxOnline"),
        "{}",
        dry.text()
    );
    assert_eq!(ask(&machine, &probe, &["logon", ONLINE, "2"]), "0", "a dry run removes nothing");
    machine.program(["teardown", "--all"]).expect_code(0);
    let after = snapshot(&machine, &probe);
    let differences: Vec<_> = before
        .iter()
        .filter(|(path, sddl)| after.get(*path) != Some(sddl))
        .map(|(path, sddl)| format!("{path}\n  {sddl}\n  {:?}", after.get(path)))
        .chain(after.keys().filter(|path| !before.contains_key(*path)).cloned())
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let status = machine.program(["status"]);
    assert!(status.expect_code(0).text().contains("set-up      not set up"), "{}", status.text());
    let again = machine.program(["teardown", "--all"]);
    assert_eq!(again.expect_code(0).text(), "nothing to remove");
    assert!(!registry_names_us(&machine), "the registry names us");
}

#[test]
fn a_dry_run_has_no_effect() {
    let Some((machine, probe)) = machine("setup: dry run") else { return };
    let before = snapshot(&machine, &probe);
    let dry = machine.program(["setup", "--dry-run"]);
    assert!(dry.expect_code(0).text().contains("28 to do, 0 that would fail"), "{}", dry.text());
    let json = machine.program(["setup", "--dry-run", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&json.expect_code(0).text()).expect("JSON");
    assert_eq!(value["steps"].as_array().map(Vec::len), Some(28));
    assert_eq!(snapshot(&machine, &probe), before);
    assert!(!registry_names_us(&machine), "the registry names us");
}

/// Everything in the prefix ends at some moment of a set-up, or of a teardown: the next one finishes.
#[test]
fn killed_at_any_moment_and_run_again_it_finishes() {
    let Some((machine, probe)) = machine("setup: kills") else { return };
    let before = snapshot(&machine, &probe);
    let mut cut_short = 0;
    for (round, milliseconds) in [60, 120, 180, 240, 300, 360, 420, 500].into_iter().enumerate() {
        let command = if round % 2 == 0 { ["setup", "--json"] } else { ["teardown", "--all"] };
        let mut started = machine.command(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        std::thread::sleep(Duration::from_millis(milliseconds));
        stop(&machine);
        let ended = started.as_mut().expect("the runner runs").wait().expect("it ends");
        cut_short += usize::from(!ended.success());
        start(&machine);
        set_up(&machine);
        for file in [OFFLINE, ONLINE] {
            assert_eq!(
                ask(&machine, &probe, &["logon", file, "2"]),
                "0",
                "{file} after {milliseconds} ms of {command:?}"
            );
        }
    }
    assert!(cut_short > 0, "every one of them had ended before");
    machine.program(["teardown", "--all"]).expect_code(0);
    assert_eq!(snapshot(&machine, &probe), before);
    assert!(!registry_names_us(&machine), "the registry names us");
}

#[test]
fn an_account_that_somebody_else_made_is_left_alone() {
    let Some((machine, probe)) = machine("setup: names") else { return };
    assert_eq!(ask(&machine, &probe, &["adduser", "CodexSandboxOnline"]), "0");
    let ended = machine.program(["setup", "--wait"]);
    ended.expect_code(4);
    assert!(
        ended.text().contains("setup-name-taken") && ended.text().contains("account_prefix"),
        "{}",
        ended.text()
    );
    std::fs::create_dir_all(machine.home().join(".codex")).expect("the profile is ours");
    let config = "[windows]\naccount_prefix = \"Other\"\n";
    // What was begun under the other name is taken back first.
    machine.program(["teardown", "--all"]).expect_code(0);
    std::fs::write(machine.home().join(".codex/config.toml"), config).expect("the profile is ours");
    set_up(&machine);
    assert!(ask(&machine, &probe, &["unseal", OFFLINE]).contains("OtherOffline"));
    machine.program(["teardown", "--all"]).expect_code(0);
    assert_eq!(ask(&machine, &probe, &["flags", "CodexSandboxOnline"]), "0", "it is still there");
}

#[test]
fn without_elevation_nothing_happens_and_the_exit_code_says_why() {
    let Some((machine, probe)) = machine("setup: standard user") else { return };
    let before = snapshot(&machine, &probe);
    let machine = machine.user(User::Standard);
    let ended = machine.program(["setup"]);
    ended.expect_code(3);
    assert!(ended.text().contains("takes an administrator"), "{} {}", ended.text(), ended.err);
    let status = machine.program(["status"]);
    assert!(status.expect_code(0).text().contains("set-up      not set up"), "{}", status.text());
    machine.program(["setup", "--dry-run"]).expect_code(0);
    let machine = machine.user(User::Elevated);
    assert_eq!(snapshot(&machine, &probe), before);
}

/// The administrator sets the machine up; the user, who is none, uses it and takes nothing away.
#[test]
fn a_user_who_is_no_administrator_uses_what_an_administrator_set_up() {
    let Some((machine, probe)) = machine("setup: for a standard user") else { return };
    let ended = machine.program(["setup", "--for", "user", "--wait"]);
    ended.expect_code(0);
    let machine = machine.user(User::Standard);
    let status = machine.program(["status"]);
    assert!(status.expect_code(0).text().contains("set-up      ready"), "{}", status.text());
    assert!(ask(&machine, &probe, &["unseal", OFFLINE]).starts_with(". CodexSandboxOffline"));
    let state = format!(r"{STATE}\state.db");
    for (change, path) in
        [("write", OFFLINE), ("delete", OFFLINE), ("write", state.as_str()), ("delete", &state)]
    {
        assert_eq!(ask(&machine, &probe, &[change, path]), DENIED, "{change} {path}");
    }
    machine.program(["teardown", "--all"]).expect_code(1);
    let machine = machine.user(User::Elevated);
    assert_eq!(ask(&machine, &probe, &["logon", OFFLINE, "2"]), "0");
}

/// The one who runs commands is an administrator who is not elevated: one prompt, which the lab agrees to.
#[test]
fn an_administrator_who_is_not_elevated_is_asked_once() {
    let Some((machine, probe)) = machine("setup: filtered administrator") else { return };
    let machine = machine.user(User::Filtered);
    let ended = machine.program(["setup", "--wait"]);
    if ended.code == Some(3) && ended.err.contains("1314") {
        skipped("setup: filtered administrator", "the lab has no elevation by `runas`: needs real Windows");
        return;
    }
    ended.expect_code(0);
    assert!(ask(&machine, &probe, &["unseal", OFFLINE]).starts_with(". CodexSandboxOffline"));
    let status = machine.program(["status"]);
    assert!(status.expect_code(0).text().contains("set-up      ready"), "{}", status.text());
    machine.program(["teardown", "--all"]).expect_code(0);
    let status = machine.program(["status"]);
    assert!(status.expect_code(0).text().contains("set-up      not set up"), "{}", status.text());
}
