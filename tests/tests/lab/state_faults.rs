//! A state database that is damaged, read-only, locked or on a full disk: a clear error or a rebuild, never less protection, and
//! teardown finishes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::harness::{Ended, Machine, finish, skipped};
use super::marks::marks;

/// Something is mounted over the state folder until this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// A disk of `kib` KiB, all ours.
    fn disk(machine: &Machine, test: &str, kib: u32) -> Option<Self> {
        fs::create_dir_all(machine.state()).expect("a folder in the profile");
        let size = format!("size={kib}k");
        Self::mount(machine, test, &["-t", "tmpfs", "-o", &size, "tmpfs"])
    }

    /// What is there, read-only.
    fn read_only(machine: &Machine, test: &str) -> Option<Self> {
        let state = machine.state();
        let from = state.to_str().expect("Unicode").to_owned();
        let mounted = Self::mount(machine, test, &["--bind", &from])?;
        let again = Command::new("mount").args(["-o", "remount,bind,ro"]).arg(&state).status();
        assert!(again.is_ok_and(|status| status.success()), "what is mounted becomes read-only");
        Some(mounted)
    }

    fn mount(machine: &Machine, test: &str, args: &[&str]) -> Option<Self> {
        let done = Command::new("mount").args(args).arg(machine.state()).output();
        if done.is_ok_and(|done| done.status.success()) {
            return Some(Self(machine.state()));
        }
        skipped(test, "nothing can be mounted here");
        None
    }

    /// Nothing more fits, but for what SQLite has reserved already.
    fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let mut size = 1 << 20;
        let mut bytes = Vec::new();
        while size >= 1024 {
            bytes.extend(vec![1; size]);
            // A file that is cut short stays as long as it could become.
            if fs::write(&filler, &bytes).is_err() {
                bytes.truncate(bytes.len() - size);
                size /= 2;
            }
        }
        fs::write(&filler, &bytes).unwrap_or_else(|error| panic!("what fitted before: {error}"));
        filler
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _lazily = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The command cannot write what is protected, and nothing outside.
#[track_caller]
fn assert_protected(machine: &Machine) {
    machine.run(["cmd", "/c", "echo x> .codex\\evil.txt"]);
    assert!(!machine.work().join(".codex/evil.txt").exists(), ".codex is protected");
    machine.run(["cmd", "/c", "echo x> ..\\evil.txt"]);
    assert!(!machine.home().join("evil.txt").exists(), "the profile is protected");
}

#[track_caller]
fn assert_says(ended: &Ended, code: i32, words: &[&str]) {
    ended.expect_code(code);
    assert!(words.iter().all(|word| ended.err.contains(word)), "{words:?} in {}", ended.err);
}

/// SQLite says "full" for its file, and "I/O error" for what it keeps beside.
fn is_full(ended: &Ended) -> bool {
    ended.err.contains("state-disk-full") || ended.err.contains("it may be full")
}

#[track_caller]
fn assert_torn_down(machine: &Machine) {
    machine.program(["teardown", "--all"]).expect_code(0);
    let left = marks(&machine.work());
    assert!(left.is_empty(), "{left:?}");
}

fn fill_with_nul(file: &Path) {
    let len = fs::metadata(file).expect("the database").len();
    fs::write(file, vec![0; usize::try_from(len).expect("small")]).expect("our own");
}

#[test]
fn teardown_finishes_after_the_database_was_damaged() {
    let Some(machine) = Machine::new("teardown after damage") else { return };
    fs::create_dir(machine.work().join("src")).expect("the workspace");
    fs::write(machine.work().join("src/a.txt"), "a").expect("the workspace");
    let file = machine.state().join("state.db");
    let damages: [fn(&Path); 3] = [
        fill_with_nul,
        |file| {
            let bytes = fs::read(file).expect("the database");
            fs::write(file, &bytes[..bytes.len() / 3]).expect("our own");
        },
        |file| fs::remove_file(file).expect("our own"),
    ];
    for damage in damages {
        machine.run(["cmd", "/c", "echo 1> in.txt"]).expect_code(0);
        assert!(!marks(&machine.work()).is_empty(), "the workspace is granted");
        for more in ["state.db-wal", "state.db-shm"] {
            let _not_there = fs::remove_file(machine.state().join(more));
        }
        damage(&file);
        assert_torn_down(&machine);
    }
    // Without the copy too, where the folder is named.
    machine.run(["cmd", "/c", "echo 1> in.txt"]).expect_code(0);
    fs::remove_file(machine.state().join("state.db.copy")).expect("there is a copy");
    fill_with_nul(&file);
    machine.program(["teardown", "--root", "."]).expect_code(0);
    let left = marks(&machine.work());
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_read_only_database_lets_granted_runs_go_on_and_refuses_others() {
    let Some(machine) = Machine::new("read-only state") else { return };
    machine.run(["cmd", "/c", "echo 1> in.txt"]).expect_code(0);
    let Some(mounted) = Mounted::read_only(&machine, "read-only state") else { return };
    let ended = machine.run_with(&[], ["cmd", "/c", "echo 2> two.txt"]);
    assert_says(&ended, 0, &["nothing can be noted on disk", "state-read-only"]);
    assert!(machine.work().join("two.txt").exists());
    assert_protected(&machine);
    let other = machine
        .run_with(&["-c", "sandbox.protected=[\".git\",\"keys\"]"], ["cmd", "/c", "echo 3> three.txt"]);
    assert_says(&other, 125, &["state-read-only", "make the folder writable"]);
    assert!(!machine.work().join("three.txt").exists(), "what cannot be noted is not done");
    let teardown = machine.program(["teardown", "--all"]);
    assert_ne!(teardown.code, Some(0));
    assert!(teardown.err.contains("state-read-only"), "{}", teardown.err);
    drop(mounted);
    assert_torn_down(&machine);
}

#[test]
fn a_database_that_another_process_has_locked_is_named_and_nothing_is_granted() {
    let Some(machine) = Machine::new("locked state") else { return };
    machine.run(["cmd", "/c", "echo 1> in.txt"]).expect_code(0);
    let before = marks(&machine.work());
    let other = rusqlite::Connection::open(machine.state().join("state.db")).expect("the database");
    other
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; DELETE FROM journal")
        .expect("a lock");
    let fresh = machine.home().join("fresh");
    fs::create_dir(&fresh).expect("a folder");
    let run = machine.command_in(&fresh, ["run", "--", "cmd", "/c", "echo 2> two.txt"]).spawn();
    let ended = finish(run.expect("the runner runs"), &[]);
    assert_says(&ended, 125, &["state-busy"]);
    assert!(!fresh.join("two.txt").exists() && marks(&fresh).is_empty());
    let teardown = machine.program(["teardown", "--all"]);
    assert_ne!(teardown.code, Some(0));
    assert!(teardown.err.contains("state-busy"), "{}", teardown.err);
    assert_eq!(marks(&machine.work()), before);
    other.execute_batch("ROLLBACK").expect("our own");
    drop(other);
    assert_torn_down(&machine);
}

#[test]
fn a_full_disk_stops_grants_before_they_begin() {
    let Some(machine) = Machine::new("full disk") else { return };
    let Some(disk) = Mounted::disk(&machine, "full disk", 1024) else { return };
    let filler = disk.fill();
    let ended = machine.run_with(&[], ["cmd", "/c", "echo 1> in.txt"]);
    ended.expect_code(125);
    assert!(is_full(&ended), "{}", ended.err);
    assert!(!machine.work().join("in.txt").exists() && marks(&machine.work()).is_empty());
    fs::remove_file(&filler).expect("our own");
    machine.run(["cmd", "/c", "echo 1> in.txt"]).expect_code(0);
    disk.fill();
    // A granted run goes on, or says why not; what is protected stays so.
    let again = machine.run_with(&[], ["cmd", "/c", "echo 2> two.txt"]);
    assert!(again.code == Some(0) || is_full(&again), "{:?} {}", again.code, again.err);
    assert_protected(&machine);
    let teardown = machine.program(["teardown", "--all"]);
    if teardown.code != Some(0) {
        assert!(is_full(&teardown), "{}", teardown.err);
        fs::remove_file(&filler).expect("our own");
    }
    assert_torn_down(&machine);
}

#[test]
#[ignore = "fails now and then with state-disk-full while it makes room again: cause unknown"]
fn a_disk_that_fills_up_in_the_middle_is_taken_back_when_there_is_room() {
    let Some(machine) = Machine::new("disk that fills up") else { return };
    let Some(disk) = Mounted::disk(&machine, "disk that fills up", 6144) else { return };
    machine.run(["cmd", "/c", "echo 1> in.txt"]).expect_code(0);
    machine.program(["teardown", "--all"]).expect_code(0);
    // Files with descriptors of their own are noted one by one.
    for n in 0..20 {
        let folder = machine.work().join(format!("f{n}"));
        fs::create_dir(&folder).expect("the workspace");
        fs::write(folder.join("a.txt"), "a").expect("the workspace");
    }
    // Below 40 KiB the lab cannot map what SQLite keeps beside the file: Linux finds out at the first access that there is no room.
    for room in [40, 48, 56, 64, 80, 112] {
        let filler = disk.fill();
        let bytes = fs::metadata(&filler).expect("our own").len();
        let file = fs::File::options().write(true).open(&filler).expect("our own");
        file.set_len(bytes.saturating_sub(room << 10)).expect("our own");
        let ended = machine.run_with(&[], ["cmd", "/c", "echo x> in.txt"]);
        assert!(ended.code == Some(0) || is_full(&ended), "{room} KiB: {:?} {}", ended.code, ended.err);
        fs::remove_file(&filler).expect("our own");
        assert_torn_down(&machine);
    }
}

#[test]
fn runs_and_teardowns_at_once_end_well_and_leave_nothing() {
    let Some(machine) = Machine::new("runs and teardowns at once") else { return };
    let children: Vec<(usize, Child)> = (0..8)
        .map(|n| {
            let line = format!("echo x> by-{n}.txt");
            let mut command = match n {
                3 | 6 => machine.command(["teardown", "--all"]),
                _ => machine.command(["run", "--quiet", "--", "cmd", "/c", &line]),
            };
            (n, command.spawn().expect("the runner runs"))
        })
        .collect();
    for (n, child) in children {
        let ended = finish(child, &[]);
        // A teardown may take a root from under a run; then its command may write nothing, which is not less protection.
        assert!(matches!(ended.code, Some(0 | 1)), "{n}: {:?} {}", ended.code, ended.err);
    }
    assert_protected(&machine);
    machine.program(["teardown", "--all"]).expect_code(0);
    // Known gap: what a command makes after a teardown beside it took the root's label away keeps the command's level.
    let made_beside =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("by-"));
    let left: Vec<PathBuf> = marks(&machine.work()).into_iter().filter(|path| !made_beside(path)).collect();
    assert!(left.is_empty(), "{left:?}");
}
