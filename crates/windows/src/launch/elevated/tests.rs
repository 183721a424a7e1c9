//! A door that opens, or does not, as a test wants it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::runner::message::{FromRunner, Hello};
use crate::setup::credentials::{Password, THIS_MACHINE};

/// What happens at the door: for each knock one entry, the last for all that follow.
struct Scripted {
    knocks: Mutex<VecDeque<Knock>>,
    passwords: Mutex<VecDeque<&'static str>>,
    asked: AtomicUsize,
}

#[derive(Clone, Copy)]
enum Knock {
    /// A runner that says so many bytes of nothing, and goes.
    Opens,
    Fails(u32),
}

fn next<T: Copy>(list: &Mutex<VecDeque<T>>) -> T {
    let mut list = list.lock().expect("no thread panics here");
    if list.len() > 1 {
        list.pop_front().expect("more than one")
    } else {
        *list.front().expect("one is left")
    }
}

impl Door for Scripted {
    type Runner = ();

    fn credentials(&self) -> Result<Credentials, Failure> {
        Ok(Credentials {
            domain: THIS_MACHINE.to_owned(),
            user: "CodexSandboxOffline".to_owned(),
            password: Password::new(next(&self.passwords)),
            sid: nt_security::Sid::constant(5, [21, 1, 2, 3, 1001]).into(),
        })
    }

    fn open(&self, _: &Credentials) -> Result<(Client, ()), Opening> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match next(&self.knocks) {
            Knock::Opens => {
                let hello = Hello::new(2, [1; 16]);
                let bytes = FromRunner::Hello(hello).frame().expect("short");
                let client = Client::connect(std::io::Cursor::new(bytes), std::io::sink(), hello, &hello);
                Ok((client.expect("it greets"), ()))
            }
            Knock::Fails(code) => {
                let system = SystemError { code, text: "refused".to_owned() };
                Err(logon_failure("CodexSandboxOffline", r"C:\runner.exe", system))
            }
        }
    }
}

fn session(knocks: &[Knock], passwords: &[&'static str]) -> Session<Scripted> {
    let list = |passwords: &[&'static str]| Mutex::new(passwords.iter().copied().collect());
    Session::new(Scripted {
        knocks: Mutex::new(knocks.iter().copied().collect()),
        passwords: list(passwords),
        asked: AtomicUsize::new(0),
    })
}

fn asked(session: &Session<Scripted>) -> usize {
    session.door.asked.load(Ordering::SeqCst)
}

#[test]
fn a_refused_password_is_offered_once() {
    let session = session(&[Knock::Fails(1326)], &["old"]);
    for _ in 0..20 {
        let failure = session.runner().expect_err("it is refused");
        assert_eq!(failure.code, "runner.password");
        assert!(failure.remedy.contains("setup --repair") && failure.message.contains("1326"));
    }
    assert_eq!(asked(&session), 1, "each try brings the account nearer to being locked out");
}

#[test]
fn a_password_that_was_just_changed_is_read_again() {
    let changed = session(&[Knock::Fails(1326), Knock::Opens], &["old", "new"]);
    changed.runner().expect("the second opens");
    assert_eq!(asked(&changed), 2);
    let both_wrong = session(&[Knock::Fails(1326)], &["old", "new"]);
    assert!(both_wrong.runner().is_err() && both_wrong.runner().is_err());
    assert_eq!(asked(&both_wrong), 2, "and not a third time");
}

#[test]
fn what_may_pass_is_tried_twice_and_no_more() {
    let session = session(&[Knock::Fails(1053)], &["x"]);
    for _ in 0..20 {
        assert_eq!(session.runner().expect_err("no service").code, "runner.service");
    }
    assert_eq!(asked(&session), TRIES);
}

#[test]
fn a_runner_that_was_lost_is_replaced_for_the_next_command() {
    let session = session(&[Knock::Opens], &["x"]);
    let first = session.runner().expect("it opens");
    // Its channel ends behind the greeting.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while first.client.broken().is_none() && std::time::Instant::now() < end {
        std::thread::yield_now();
    }
    let second = session.runner().expect("it opens");
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!(asked(&session), 2);
}

#[test]
fn every_refusal_has_a_code_a_stage_and_a_remedy_of_its_own() {
    let codes = [1326, 1327, 1330, 1331, 1385, 1909, 1058, 1069, 1053, 2, 3, 193, 740, 1260, 1168, 5, 87];
    for code in codes {
        let opening = logon_failure("A", r"C:\r.exe", SystemError { code, text: "text".to_owned() });
        let failure = opening.failure;
        assert!(
            failure.code.starts_with("runner.") && !failure.remedy.is_empty() && !failure.stage.is_empty()
        );
        assert!(failure.message.contains(&code.to_string()), "{failure}");
        assert_eq!(failure.system.map(|system| system.code), Some(code));
    }
    assert_eq!(stranger(&ProtocolError::Version(7)).code, "runner.version");
    assert_eq!(stranger(&ProtocolError::Stranger("a nonce")).code, "runner.stranger");
    assert!(handshake_failure("x", Some(0xC000_0142)).message.contains("desktop"));
}
