//! Any text as a path on a described host: found or refused, never a panic; and what was found is found again by its own name.
#![no_main]

use std::sync::LazyLock;

use codex_sandbox_windows::plan::facts::Facts;
use codex_sandbox_windows::plan::locate::locate;
use codex_sandbox_windows::plan::path::{Parsed, WinPath, parse};
use codex_sandbox_windows::plan::tree::Tree;
use libfuzzer_sys::fuzz_target;

/// The laptop of docs/examples: links, 8.3 names, several drives.
static HOST: LazyLock<(Facts, Tree)> = LazyLock::new(|| {
    let text = include_str!("../../../docs/examples/developer-laptop.facts.json");
    let facts: Facts = serde_json::from_str(text).expect("the example is in the format");
    let tree = Tree::new(&facts).expect("the example is complete");
    (facts, tree)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (facts, tree) = &*HOST;
    let base = WinPath::absolute(&facts.cwd).ok();
    if let Ok(Parsed::Drive { path, .. }) = parse(text, base.as_ref()) {
        assert_eq!(parse(&format!(r"\\?\{path}"), None), Ok(Parsed::Drive { path, stream: None }));
    }
    match locate(text, base.as_ref(), facts, tree) {
        Ok(found) => {
            let again = locate(&format!(r"\\?\{}", found.path), None, facts, tree);
            assert_eq!(again.map(|again| again.path), Ok(found.path));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
