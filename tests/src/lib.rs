//! Harness of the whole-program tests: the real `codex-sandbox`, as root and as an ordinary user.
//!
//! ```no_run
//! use codex_sandbox_tests::{Place, each_user};
//!
//! each_user(|user| {
//!     let place = Place::new(user);                       // a workspace and a home folder of its own
//!     let inside = place.run(["touch", "/etc/probe"]);    // in the sandbox
//!     inside.expect_code(1);
//!     assert!(inside.err().contains("Read-only file system"));
//!     place.outside(["touch", "file"]).output().expect_code(0); // the same user without the sandbox
//! });
//! ```
//!
//! * [`Run`] is one command to start, [`Live`] one that runs, [`Output`] one that ended, [`Terminal`] one that runs on a
//!   pseudo terminal.
//! * [`Place::try_inside`] and [`Place::try_outside`] run single system calls by the probe program (`src/bin/probe`)
//!   and give `ok` or the error's name for each, so that a test can show that what is denied inside succeeds outside.
//! * [`Marker`] finds the processes of a test in `/proc`.
//! * A test that cannot run on this machine calls [`skip`] and returns; `cargo xtask test` counts it.
//! * Time limits are guards against hanging; no test measures time.
//!
//! The binary is `$CODEX_SANDBOX_BIN`, or else built once by cargo into the folder of this run.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

mod binary;
mod live;
mod place;
mod process;
mod run;
mod skip;
mod terminal;
mod user;

pub use binary::{probe, program, this_test};
pub use live::Live;
pub use place::Place;
pub use process::{Marker, eventually};
pub use run::{Output, Run};
pub use skip::{have, skip};
pub use terminal::Terminal;
pub use user::{User, each_user, users};

/// One operation of the probe: its name and its arguments, of any string type.
///
/// `op!("rename", "from", &to)`
#[macro_export]
macro_rules! op {
    ($($word:expr),+ $(,)?) => { vec![$(std::ffi::OsString::from($word)),+] };
}
