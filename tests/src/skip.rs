//! Tests that cannot run here.

use std::path::Path;

use crate::run::PATH;

/// Says on standard output that the current test cannot run, in the form that `cargo xtask test` counts.
///
/// Call it in a test's own thread, and return from the test.
#[expect(clippy::print_stdout, reason = "the marker is meant for the test runner's output")]
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    println!("SKIPPED {}: {reason}", thread.name().unwrap_or("a test"));
}

/// Whether all of these programs are installed where every user finds them; skips the current test if not.
pub fn have(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !installed(program)).collect();
    if !missing.is_empty() {
        skip(&format!("not installed: {}", missing.join(", ")));
    }
    missing.is_empty()
}

fn installed(program: &str) -> bool {
    PATH.split(':').any(|dir| Path::new(dir).join(program).is_file())
}
