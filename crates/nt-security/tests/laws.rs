//! The laws of the model, each over thousands of generated descriptors, tokens and requests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[path = "laws/access.rs"]
mod access;
#[path = "laws/arbitrary.rs"]
mod arbitrary;
#[path = "laws/files.rs"]
mod files;
#[path = "laws/inheritance.rs"]
mod inheritance;
#[path = "laws/parsing.rs"]
mod parsing;
