//! The users as whom tests run.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::skip::skip;

/// The ordinary user that tests started by root also run as; made when missing.
const ORDINARY: &str = "codexsb-test";

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name, or the number where there is none.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The home folder.
    pub home: PathBuf,
}

impl User {
    /// Whether this is root.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether this is the user whom this process runs as.
    pub fn is_me(&self) -> bool {
        self.uid == rustix::process::getuid().as_raw()
    }
}

/// Runs the test as every user that there is to run as: the current one, and when that is root, an ordinary one too.
pub fn each_user(test: impl Fn(&User)) {
    for user in users() {
        say(&format!("as {}", user.name));
        test(user);
    }
    if rustix::process::getuid().is_root() && users().len() == 1 {
        skip(&format!("as an ordinary user: cannot make the user {ORDINARY}"));
    }
}

/// The users that tests run as.
pub fn users() -> &'static [User] {
    static USERS: OnceLock<Vec<User>> = OnceLock::new();
    USERS.get_or_init(find_users)
}

/// Seen when the test fails: the runner prints what a failed test wrote.
#[expect(clippy::print_stderr, reason = "the runner captures it")]
fn say(line: &str) {
    eprintln!("-- {line}");
}

fn find_users() -> Vec<User> {
    let mut users = vec![current()];
    if users[0].is_root() {
        users.extend(named(ORDINARY).or_else(|| {
            make_ordinary();
            named(ORDINARY)
        }));
    }
    users
}

fn current() -> User {
    let uid = rustix::process::getuid().as_raw();
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    entry(|fields| fields[2] == uid.to_string()).unwrap_or_else(|| User {
        name: uid.to_string(),
        uid,
        gid: rustix::process::getgid().as_raw(),
        home,
    })
}

fn named(name: &str) -> Option<User> {
    entry(|fields| fields[0] == name)
}

/// The first line of passwd(5) that fits.
fn entry(fits: impl Fn(&[&str]) -> bool) -> Option<User> {
    let table = std::fs::read_to_string("/etc/passwd").ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        if fields.len() != 7 || !fits(&fields) {
            return None;
        }
        let (uid, gid) = (fields[2].parse().ok()?, fields[3].parse().ok()?);
        Some(User { name: fields[0].to_owned(), uid, gid, home: PathBuf::from(fields[5]) })
    })
}

fn make_ordinary() {
    // shadow's program first, then busybox' one.
    let tries: [&[&str]; 2] = [&["useradd", "-m", "-s", "/bin/sh", ORDINARY], &["adduser", "-D", ORDINARY]];
    for words in tries {
        let made = Command::new(words[0]).args(&words[1..]).stderr(Stdio::null()).status();
        if made.is_ok_and(|status| status.success()) {
            return;
        }
    }
}
