//! The commands of the program on Windows.

pub mod attack;
pub mod bench;
pub mod doctor;
pub mod plan;
mod progress;
pub mod run;
pub mod setup;
mod setup_network;
pub mod teardown;
mod terminal;
