//! From a plan to a running command: program, command line, environment, token, job, desktop, process.
//!
//! What can be decided without the system is decided here, and tested everywhere; every effect is a method of [`Launch`].

pub mod environment;
pub mod error;
pub mod program;
pub mod quote;

pub use environment::Environment;
pub use error::LaunchError;
