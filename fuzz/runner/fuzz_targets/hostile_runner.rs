//! Any bytes behind a runner's greeting: whoever waits for a command is told, never a panic, never more than the window is held.
#![no_main]

use codex_sandbox_windows::runner::{Client, FromRunner, Hello, WINDOW};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = FromRunner::decode(bytes.to_vec()) {
        let again = message.frame().expect("what was decoded is short enough");
        assert_eq!(FromRunner::decode(again[4..].to_vec()), Ok(message));
    }
    let hello = Hello::new(2, [1; 16]);
    let mut all = FromRunner::Hello(hello).frame().expect("short");
    all.extend_from_slice(bytes);
    let mine = Hello::new(1, [1; 16]);
    let client = Client::connect(std::io::Cursor::new(all), std::io::sink(), mine, &hello);
    let client = client.expect("the greeting is right");
    while client.broken().is_none() {
        std::thread::yield_now();
    }
    assert!(client.held().1 <= 2 * WINDOW);
});
