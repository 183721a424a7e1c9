//! The state database in every condition in which users have found one.

use std::fs;
use std::path::Path;

use codex_sandbox_windows::host::{FileId, ProcessId};
use codex_sandbox_windows::plan::WinPath;
use codex_sandbox_windows::plan::facts::WriteSid;
use codex_sandbox_windows::state::{FILE_NAME, KnownSid, Made, MadeKind, Record, State, Verified, What};
use nt_security::{AccessMask, Ace, Sid};
use tempfile::tempdir;

fn path(text: &str) -> WinPath {
    WinPath::absolute(text).expect("of the tests")
}

fn sid(n: u32) -> Sid {
    Sid::constant(5, [21, 1, 2, 3, n])
}

fn known(n: u32) -> KnownSid {
    let sid = WriteSid { root: path(r"C:\w"), variant: format!("v{n}"), sid: sid(n).into() };
    KnownSid { sid, file_id: Some(FileId { volume: 1, file: 1 << 90 }), retired: false }
}

fn record(n: u32) -> Record {
    let what = What::Ace(Ace::deny(AccessMask::DELETE, sid(n)));
    Record { path: path(r"C:\w\.git"), file_id: None, what, removing: false }
}

fn filled(folder: &Path) -> State {
    let state = State::open(folder);
    assert!(state.notices().is_empty(), "{:?}", state.notices());
    state.require_durable().expect("of the tests");
    state.add_write_sids(&[known(1), known(2)]).expect("of the tests");
    state.note(&[record(1), record(2)]).expect("of the tests");
    state
}

#[test]
fn what_is_noted_is_read_by_the_next_process() {
    let folder = tempdir().unwrap();
    drop(filled(folder.path()));
    let state = State::open(folder.path());
    assert_eq!(state.write_sids().unwrap(), [known(1), known(2)]);
    assert_eq!(state.journal().unwrap(), [record(1), record(2)]);
    assert!(!state.was_rebuilt().unwrap());
    state.note_removing(&[record(1)]).unwrap();
    assert!(state.journal().unwrap()[0].removing);
    state.forget(&[record(1)]).unwrap();
    assert_eq!(state.journal().unwrap(), [record(2)]);
    state.retire(&[sid(2).into()]).unwrap();
    assert_eq!(state.write_sids().unwrap().iter().map(|sid| sid.retired).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn the_first_label_that_ours_took_the_place_of_is_kept() {
    let state = State::in_memory().unwrap();
    let label = |replaces| {
        let label = Ace::from_sddl("(ML;OICI;NW;;;S-1-16-6144)").unwrap();
        Record { path: path(r"C:\w"), file_id: None, what: What::Label { label, replaces }, removing: false }
    };
    let low = Ace::from_sddl("(ML;;NW;;;LW)").ok();
    state.note(&[label(low.clone())]).unwrap();
    state.note(&[label(None)]).unwrap();
    assert_eq!(state.journal().unwrap(), [label(low)]);
}

#[test]
fn a_damaged_file_is_set_aside_and_begun_anew() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("filled with NUL", |bytes| bytes.fill(0)),
        ("cut in the middle", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut in the header", |bytes| bytes.truncate(50)),
        ("another program's", |bytes| *bytes = b"{\"deny_read\": []}".repeat(300)),
        ("filled with NUL behind the header", |bytes| bytes[100..].fill(0)),
    ];
    for (what, damage) in damages {
        let folder = tempdir().unwrap();
        drop(filled(folder.path()));
        let file = folder.path().join(FILE_NAME);
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let state = State::open(folder.path());
        state.require_durable().unwrap();
        assert!(state.was_rebuilt().unwrap(), "{what}");
        assert!(state.write_sids().unwrap().is_empty(), "{what}");
        assert_eq!(state.notices().len(), 1, "{what}");
        let aside = fs::read_dir(folder.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".damaged-"));
        assert!(aside.count() >= 1, "{what}");
        state.add_write_sids(&[known(3)]).unwrap();
        drop(state);
        assert_eq!(State::open(folder.path()).write_sids().unwrap(), [known(3)], "{what}");
    }
}

#[test]
fn an_empty_file_in_its_place_is_known_to_be_a_loss() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join(FILE_NAME), "").unwrap();
    assert!(State::open(folder.path()).was_rebuilt().unwrap());
}

#[test]
fn a_place_that_cannot_be_written_gives_a_state_that_knows_and_refuses() {
    let folder = tempdir().unwrap();
    drop(filled(folder.path()));
    // The lock's name is taken by a folder: nothing can be written, whoever runs the test.
    fs::remove_file(folder.path().join("state.lock")).unwrap();
    fs::create_dir(folder.path().join("state.lock")).unwrap();
    let state = State::open(folder.path());
    let error = state.require_durable().unwrap_err();
    assert!(["state-unusable", "state-read-only"].contains(&error.code()), "{error}");
    assert_eq!(state.write_sids().unwrap(), [known(1), known(2)]);
    assert_eq!(state.notices().len(), 1);
}

#[test]
fn a_full_disk_is_named_and_what_was_noted_stays() {
    let folder = tempdir().unwrap();
    let state = filled(folder.path());
    state.limit_pages(16).unwrap();
    let many: Vec<KnownSid> = (10..5000).map(known).collect();
    let error = state.add_write_sids(&many).unwrap_err();
    assert_eq!(error.code(), "state-disk-full");
    assert_eq!(state.write_sids().unwrap(), [known(1), known(2)]);
}

#[test]
fn a_lock_of_another_process_is_waited_for_and_then_named() {
    let folder = tempdir().unwrap();
    let state = filled(folder.path());
    state.wait_at_most(std::time::Duration::from_millis(50)).unwrap();
    let other = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE; DELETE FROM journal").unwrap();
    let error = state.note(&[record(7)]).unwrap_err();
    assert_eq!(error.code(), "state-busy");
    // Reading goes on beside a writer.
    assert_eq!(state.journal().unwrap().len(), 2);
    other.execute_batch("ROLLBACK").unwrap();
    state.note(&[record(7)]).unwrap();
    assert_eq!(state.journal().unwrap().len(), 3);
}

#[test]
fn many_processes_write_at_once() {
    let folder = tempdir().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let folder = folder.path();
            scope.spawn(move || {
                let state = State::open(folder);
                for n in 0..10 {
                    state.add_write_sids(&[known(100 + thread * 10 + n)]).unwrap();
                }
            });
        }
    });
    assert_eq!(State::open(folder.path()).write_sids().unwrap().len(), 80);
}

#[test]
fn runs_whose_process_is_gone_are_forgotten() {
    let state = State::in_memory().unwrap();
    let process = |pid| ProcessId { pid, created: u64::MAX - 5 };
    state.begin_run(process(1), &[path(r"C:\w")]).unwrap();
    state.begin_run(process(2), &[path(r"C:\v")]).unwrap();
    let active = state.active(process(9), |process| process.pid == 2).unwrap();
    assert_eq!(active.iter().map(|run| run.needs.clone()).collect::<Vec<_>>(), [vec![path(r"C:\v")]]);
    assert!(state.active(process(9), |_| true).unwrap().len() == 1);
    assert!(state.active(process(2), |_| true).unwrap().is_empty(), "a run does not hinder itself");
}

#[test]
fn roots_and_what_was_made_are_remembered_by_path_and_id() {
    let state = State::in_memory().unwrap();
    let verified = |file, at: &str| Verified {
        file_id: FileId { volume: 7, file },
        policy: "p".to_owned(),
        path: path(at),
        hash: "h".to_owned(),
        nodes: Vec::new(),
        looked: 5,
    };
    for root in [verified(1, r"C:\w"), verified(2, r"C:\w\sub"), verified(3, r"C:\other")] {
        state.set_verified(&root).unwrap();
    }
    state.unverify(&path(r"C:\w\sub\x")).unwrap();
    let left: Vec<bool> =
        (1..=3).map(|file| state.verified(FileId { volume: 7, file }, "p").unwrap().is_some()).collect();
    assert_eq!(left, [false, false, true]);
    let made = Made { path: path(r"C:\w\.codex"), kind: MadeKind::Folder, file_id: None };
    state.note_made(&made).unwrap();
    let made = Made { file_id: Some(FileId { volume: 7, file: 4 }), ..made };
    state.note_made(&made).unwrap();
    assert_eq!(state.made().unwrap(), [made]);
    state.forget_made(&path(r"c:\W\.CODEX")).unwrap();
    assert!(state.made().unwrap().is_empty());
    state.begin_walks(&[path(r"C:\w")]).unwrap();
    assert_eq!(state.unfinished().unwrap(), [path(r"C:\w")]);
    state.end_walks(&[path(r"C:\w")]).unwrap();
    assert!(state.unfinished().unwrap().is_empty());
}

#[test]
fn nothing_is_left_of_a_state_that_was_removed() {
    let top = tempdir().unwrap();
    let folder = top.path().join("state");
    filled(&folder).remove().unwrap();
    assert!(!folder.exists());
    let state = filled(&folder);
    fs::write(folder.join("notes.txt"), "of the user").unwrap();
    state.remove().unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}
