//! A command behaves in the sandbox as it does outside.
#![cfg(target_os = "linux")]

use codex_sandbox_tests::{Marker, Place, Terminal, each_user, op};
use rustix::process::Signal;

#[test]
fn streams_pass_through_unchanged() {
    each_user(|user| {
        let place = Place::new(user);
        // More than any pipe holds, and every byte value.
        let input: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
        let output = place.sandboxed(["sh", "-c", "cat; echo problem >&2"]).stdin(input.clone()).output();
        output.expect_code(0);
        assert!(output.stdout == input, "standard output differs");
        assert_eq!(output.err(), "problem");
    });
}

#[test]
fn harness_smoke() {
    each_user(|user| {
        for place in [Place::new(user), Place::in_tmp(user)] {
            let ops = [op!("create", place.outside_dir().join("x")), op!("create", "a"), op!("mkdir", place.path(".git"))];
            assert_eq!(place.try_inside(&ops), ["EROFS", "ok", "EROFS"]);
            println!("{:?}", place.try_outside(&ops));
        }
        let place = Place::new(user);
        let marker = Marker::new();
        let live = place.sandboxed(["sleep", marker.as_str()]).start();
        marker.wait_for_sleepers(1);
        live.signal(Signal::TERM);
        live.wait().expect_code(143);
        marker.expect_gone();
        let term = Terminal::start(&place.sandboxed(["sh", "-c", "tty; stty size"]));
        println!("{:?}", term.wait());
        println!("{:?}", place.list(place.base()));
    });
}
