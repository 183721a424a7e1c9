//! Any bytes as a configuration file, and any text behind `-c`: a layer or an error with a remedy, never a panic.
#![no_main]

use std::path::Path;

use codex_sandbox_policy::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match config::parse(bytes, Path::new("/c/config.toml")) {
        Ok(layer) => {
            let _ = config::assemble([&layer]);
        }
        Err(error) => check(&error),
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Err(error) = config::parse_override(text)
    {
        check(&error);
    }
});

fn check(error: &codex_sandbox_policy::PolicyError) {
    assert!(!error.to_string().is_empty() && !error.remedy().is_empty() && error.place().is_some());
}
