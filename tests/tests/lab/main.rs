//! The real `codex-sandbox.exe` in the lab: a Wine that checks access as Windows does.
//!
//! `cargo xtask test --only lab` builds both and runs these; without them each test says `SKIPPED`.
#![cfg(target_os = "linux")]

mod attacks;
mod grants;
mod harness;
mod launch;
mod marks;
mod parallel;
mod places;
mod runner;
mod setup;
mod state;
mod state_faults;
mod streams;
mod terminal;
mod writers;
