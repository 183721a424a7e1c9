//! Attempts on the user's other processes and their objects.

use std::io;

use super::Wanted::{Denied, Done};
use super::{Attempt, Scene, attempt};
use crate::win32::probe::{self, Offered};

/// The variable in which the driver tells the name of the objects that it offers.
pub const OFFERED: &str = "CODEX_SANDBOX_ATTACK_OBJECTS";

/// The table.
pub const ATTEMPTS: &[Attempt] = &[
    attempt(
        "launcher-memory",
        "open the launcher to write its memory, take its handles, make threads or children of it, or change its permissions",
        Denied,
        |_| probe::open_parent_for_writing(),
    ),
    attempt("launcher-read", "open the launcher to read its memory", Denied, |_| {
        probe::open_parent_for_reading()
    }),
    attempt("launcher-thread", "open a thread of the launcher to change what it does", Denied, |_| {
        probe::open_thread_of_parent()
    }),
    attempt("launcher-token", "write outside with the launcher's token", Denied, |scene| {
        probe::impersonate_parent()?;
        std::fs::write(scene.outside().join("by-its-token.txt"), "x")
    }),
    attempt("users-event", "set an event of another process of the user's", Denied, |_| {
        probe::open_event(&offered()?)
    }),
    attempt("users-section", "write memory that another process of the user's shares", Denied, |_| {
        probe::open_section(&offered()?)
    }),
    attempt("users-pipe", "write to a pipe of another process of the user's", Denied, |_| {
        probe::open_pipe(&offered()?)
    }),
    attempt("registry", r"make a key in HKCU\Software", Denied, |_| probe::make_registry_key()),
    attempt("registry-value", r"set a value in HKCU\Environment", Denied, |_| probe::set_registry_value()),
    attempt("own-objects", "open the own process, thread and token for writing", Done, |_| {
        probe::open_own_objects()
    }),
    attempt("named-event", "make a named event and open it again for writing", Done, |_| {
        probe::reopen_named_event()
    }),
    attempt("named-section", "make named shared memory and open it again for writing", Done, |_| {
        probe::reopen_named_section()
    }),
    attempt("named-pipe", "make a named pipe and connect to it", Done, named_pipe),
];

/// With a descriptor of its own, as libraries for pipes make one: without one Windows lets Everyone only read.
fn named_pipe(_: &Scene) -> io::Result<()> {
    let name = format!("codex-sandbox-own-{}", std::process::id());
    let _server = Offered::pipe(&name)?;
    probe::open_pipe(&name)
}

fn offered() -> io::Result<String> {
    std::env::var(OFFERED).map_err(|_| io::Error::other("the driver offers no objects"))
}
