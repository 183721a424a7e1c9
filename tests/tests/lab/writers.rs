//! Ten kinds of edits, by each kind of child, inside the roots and outside of them; what became of them is read from the disk, not
//! from what the child says. Each is done without the sandbox too, where all of them must succeed in every place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::harness::{Ended, Machine, User, skipped};

/// A folder's content: files by name with their text, folders with `None`.
type Content = BTreeMap<String, Option<String>>;

/// Makes the folder that the edits are made in.
fn set_out(folder: &Path) -> Content {
    fs::create_dir_all(folder.join("empty")).expect("the profile is writable");
    fs::create_dir_all(folder.join("folder")).expect("the profile is writable");
    for name in ["append", "full", "over", "old", "from", "onto", "gone", "folder/file"] {
        fs::write(folder.join(format!("{name}.txt")), name).expect("the profile is writable");
    }
    content(folder)
}

/// What must be there when each edit was made. cmd.exe ends its lines with CR LF.
fn edited() -> Content {
    let file = |name: &str, text: &str| (name.to_owned(), Some(text.to_owned()));
    let folder = |name: &str| (name.to_owned(), None);
    Content::from([
        file("append.txt", "appendmore"),
        file("full.txt", ""),
        file("over.txt", "other"),
        file("renamed.txt", "old"),
        file("onto.txt", "from"),
        file("new.txt", "new"),
        folder("made"),
        folder("moved"),
        file("moved/file.txt", "folder/file"),
    ])
}

fn content(folder: &Path) -> Content {
    let mut found = Content::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).expect("the folder is there").flatten() {
            let path = entry.path();
            let name =
                path.strip_prefix(folder).expect("it was found in there").to_string_lossy().into_owned();
            if path.is_dir() {
                found.insert(name, None);
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("text");
                found.insert(name, Some(text.trim_end_matches(['\r', '\n']).to_owned()));
            }
        }
    }
    found
}

/// Where edits are made: its name, the folder above as Windows sees it, and whether the sandbox lets them be made.
struct Spot {
    windows: &'static str,
    linux: PathBuf,
    is_open: bool,
}

fn spots(machine: &Machine) -> Vec<Spot> {
    let home = machine.home();
    let spot = |windows, linux, is_open| Spot { windows, linux, is_open };
    vec![
        spot(r"C:\users\user\work", machine.work(), true),
        spot(r"C:\users\user\work\deep\er", machine.work().join("deep/er"), true),
        spot(r"C:\users\user\work\.git", machine.work().join(".git"), false),
        spot(r"C:\users\user\work\sub\.git", machine.work().join("sub/.git"), false),
        spot(r"C:\users\user\beside", home.join("beside"), false),
        spot(r"C:\users\public", home.join("../Public"), false),
        spot(r"C:\users\user\AppData\Local\Temp", home.join("AppData/Local/Temp"), false),
    ]
}

/// The edits as a batch file, for cmd.exe. Each line goes on whatever became of the one before.
const SCRIPT: &str = "@cd /d %1\r\n\
    @echo new> new.txt\r\n\
    @<nul set /p =more>> append.txt\r\n\
    @type nul> full.txt\r\n\
    @echo other> over.txt\r\n\
    @ren old.txt renamed.txt\r\n\
    @move /y from.txt onto.txt\r\n\
    @del gone.txt\r\n\
    @md made\r\n\
    @rd empty\r\n\
    @ren folder moved\r\n";

/// A kind of child: its name, and its words, to which the folder is added.
fn writers(machine: &Machine, test: &str) -> Vec<(&'static str, Vec<String>)> {
    let script = machine.home().join("edit.cmd");
    fs::write(&script, SCRIPT).expect("the profile is writable");
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let own = machine.own_path();
    let script = r"C:\users\user\edit.cmd";
    let mut writers = vec![
        ("cmd", words(&["cmd", "/c", script])),
        ("cmd, cmd, cmd, cmd", words(&["cmd", "/c", "cmd", "/c", "cmd", "/c", "cmd", "/c", script])),
        ("Rust", words(&[&own, "attack", "edits"])),
        ("cmd, Rust", words(&["cmd", "/c", &own, "attack", "edits"])),
    ];
    if let Some(child) = machine.c_child(test) {
        writers.push(("C", words(&[&child, "edit"])));
        writers.push(("C, C, C, C", words(&[&child, "chain", "3", &child, "edit"])));
        writers.push(("cmd, C, C, cmd", words(&["cmd", "/c", &child, "chain", "1", "cmd", "/c", script])));
    }
    skipped(&format!("{test}: Python"), "Wine brings none, and none is installed in the lab");
    writers
}

fn every_writer(test: &'static str, user: User) {
    let Some(machine) = Machine::new(test) else { return };
    let machine = machine.user(user);
    for repository in [machine.work().join(".git"), machine.work().join("sub/.git")] {
        fs::create_dir_all(&repository).expect("the workspace is writable");
        fs::write(repository.join("HEAD"), "ref: refs/heads/main\n").expect("the workspace is writable");
    }
    let writers = writers(&machine, test);
    let mut wrong = Vec::new();
    let mut judge = |name: &str, spot: &Spot, how: &str, ended: &Ended, found: &Content, wanted: &Content| {
        if found != wanted {
            let said = format!("{} {}", ended.text(), ended.err.trim());
            wrong.push(format!(
                "{name} {how} in {}: {found:?} in place of {wanted:?}; it said {said}",
                spot.windows
            ));
        }
    };
    for (at, (name, words)) in writers.iter().enumerate() {
        for spot in spots(&machine) {
            for (how, inside) in [("outside", false), ("inside", true)] {
                // Each in a folder of its own, whose name is new, so that nothing is inherited from an earlier one.
                let above = format!("{how}-{at}");
                let folder = spot.linux.join(&above).join("edits");
                let before = set_out(&folder);
                // The Rust child takes the folder above, as attempts do.
                let path = format!(r"{}\{above}", spot.windows);
                let path = if name.ends_with("Rust") { path } else { format!(r"{path}\edits") };
                let words = words.iter().cloned().chain([path]);
                let ended = if inside { machine.run(words) } else { machine.outside(words) };
                let open = !inside || spot.is_open;
                let wanted = if open { edited() } else { before };
                judge(name, &spot, how, &ended, &content(&folder), &wanted);
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), writers.len() * 14, wrong.join("\n"));
}

#[test]
fn every_writer_edits_inside_and_not_outside_as_a_filtered_administrator() {
    every_writer("writers, filtered administrator", User::Filtered);
}

#[test]
fn every_writer_edits_inside_and_not_outside_as_a_standard_user() {
    every_writer("writers, standard user", User::Standard);
}
