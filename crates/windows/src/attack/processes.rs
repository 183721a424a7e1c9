//! Attempts by way of processes and handles.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::windows::io::{FromRawHandle, OwnedHandle};
use std::os::windows::process::CommandExt;
use std::process::Stdio;

use super::Wanted::{Denied, Done};
use super::{Attempt, Scene, again, attempt, pass_on};
use crate::win32::probe;

/// The variable in which the driver tells the number of a handle that it lets leak.
pub const LEAKED: &str = "CODEX_SANDBOX_ATTACK_HANDLE";

/// The table.
pub const ATTEMPTS: &[Attempt] = &[
    attempt(
        "grandchild",
        "a child of a child of a child creates a file outside the roots",
        Denied,
        |scene| pass_on("grandchild-2", scene),
    ),
    attempt("grandchild-2", "a child of a child creates a file outside the roots", Denied, |scene| {
        pass_on("grandchild-1", scene)
    }),
    attempt("grandchild-1", "a child creates a file outside the roots", Denied, |scene| {
        pass_on("create-outside", scene)
    }),
    attempt("cmd-child", "cmd.exe creates a file outside the roots", Denied, |scene| {
        let file = scene.outside().join("by-cmd.txt");
        let line = format!("echo x> \"{}\"", file.display());
        let output = std::process::Command::new("cmd").raw_arg(format!("/d /c {line}")).output()?;
        if file.exists() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(io::Error::new(io::ErrorKind::PermissionDenied, said))
    }),
    attempt(
        "leaked-handle",
        "write through a handle that the launcher left inheritable",
        Denied,
        leaked_handle,
    ),
    attempt("breakaway", "start a child outside the job", Denied, |scene| {
        /// CREATE_BREAKAWAY_FROM_JOB
        const BREAKAWAY: u32 = 0x0100_0000;
        again("read-outside", scene)?.creation_flags(BREAKAWAY).output().map(drop)
    }),
    attempt("child-output", "read a child's output through pipes with default security", Done, |scene| {
        pass_on("read-outside", scene)
    }),
    attempt("child-input", "write 100 KiB to a child and read them back", Done, child_input),
    attempt("cat", "copy standard input to standard output", Done, |_| {
        io::copy(&mut io::stdin().lock(), &mut io::stdout().lock()).map(drop)
    }),
];

/// Handles are small numbers, and those of the launcher mean the same object here only if they were inherited.
fn leaked_handle(_: &Scene) -> io::Result<()> {
    let number = std::env::var(LEAKED).ok().and_then(|text| text.parse::<usize>().ok());
    let number = number.ok_or_else(|| io::Error::other("the driver leaks no handle"))?;
    if !probe::is_disk_file(number) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "no file has that handle here"));
    }
    // SAFETY: the number is an open file's, and nothing else of this process owns it.
    #[allow(unsafe_code, reason = "an attempt on handles needs one")]
    let handle = unsafe { OwnedHandle::from_raw_handle(std::ptr::with_exposed_provenance_mut(number)) };
    File::from(handle).write_all(b"leaked")
}

fn child_input(scene: &Scene) -> io::Result<()> {
    let mut child = again("cat", scene)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let sent: Vec<u8> = (0..100 * 1024_u32).map(|n| (n % 251) as u8).collect();
    let (input, copy) = (child.stdin.take(), sent.clone());
    let writer = std::thread::spawn(move || input.map_or(Ok(()), |mut input| input.write_all(&copy)));
    let mut came = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_end(&mut came)?;
    }
    child.wait()?;
    writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))?;
    if came.starts_with(&sent) {
        Ok(())
    } else {
        Err(io::Error::other(format!("{} bytes came back", came.len())))
    }
}
