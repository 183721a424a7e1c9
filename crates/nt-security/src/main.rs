//! The `nt-security` command.

fn main() {}
