//! Any bytes behind a launcher's greeting: the runner serves, refuses or ends, never panics, and nothing is left when it returns.
#![no_main]

use codex_sandbox_windows::runner::server::{Begun, Engine, serve};
use codex_sandbox_windows::runner::{Failure, Hello, SpawnRequest, ToRunner};
use libfuzzer_sys::fuzz_target;

struct Refusing;

impl Engine for Refusing {
    fn start(&self, request: &SpawnRequest) -> Result<Begun, Failure> {
        assert!(request.command.block.ends_with(&[0, 0]), "CreateProcess would read on");
        Err(Failure::new("run.refused", "start", "refused", ""))
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = ToRunner::decode(bytes.to_vec()) {
        let again = message.frame().expect("what was decoded is short enough");
        assert_eq!(ToRunner::decode(again[4..].to_vec()), Ok(message));
    }
    let hello = Hello::new(1, [1; 16]);
    let mut all = ToRunner::Hello(hello).frame().expect("short");
    all.extend_from_slice(bytes);
    let _ended = serve(all.as_slice(), std::io::sink(), Refusing, Hello::new(2, [1; 16]), &hello);
});
