//! The manual of messages lists every code that the program can give.

use std::path::Path;

/// The string literals behind `marker` in a file of this repository.
fn literals(file: &str, marker: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let behind = text.split(marker).skip(1).filter_map(|rest| rest.split('"').next());
    behind.filter(|code| code.contains('.') && !code.contains(' ')).map(str::to_owned).collect()
}

#[test]
fn every_code_is_in_the_manual() {
    let manual = include_str!("../../../docs/messages.md");
    let own = literals("crates/policy/src/error.rs", "=> \"");
    let library = literals("crates/sandbox/src/error.rs", "=> \"");
    assert!(own.len() >= 20 && library.len() >= 15, "{own:?} {library:?}");
    let missing: Vec<&String> =
        own.iter().chain(&library).filter(|code| !manual.contains(&format!("`{code}`"))).collect();
    assert!(missing.is_empty(), "docs/messages.md does not have {missing:?}");
}
