//! The Windows plan: what a policy becomes on a Windows host, proved against a model of Windows' access checks, and carried out
//! there.
//!
//! The way of one run, the same on the machine itself (`win32::WindowsHost`) and in memory ([`memory::MemoryHost`]):
//!
//! 1. [`state::State::open`] in the user's state folder (`win32::state_folder`); tell [`state::State::notices`].
//! 2. [`prepare::prepare`] gathers the facts ([`gather`]), plans ([`plan()`](plan::plan)) and grants ([`grants::apply`]) what is not
//!    there yet. Where a root is in [`grants::Applied::degraded`], its write SID stays out of the token and its remedy is told.
//! 3. [`launch`] starts the command as the plan says.
//! 4. [`grants::end_of_run`] freezes protected names that were born in the run, [`state::State::end_run`] ends it.
//!
//! [`teardown::teardown`] takes everything back, and [`state::State::remove`] the state after it.
#![deny(unsafe_code)]

#[cfg(windows)]
pub mod attack;
pub mod explain;
pub mod gather;
pub mod grants;
pub mod host;
pub mod launch;
pub mod memory;
pub mod plan;
pub mod prepare;
pub mod prove;
pub mod runner;
pub mod setup;
pub mod state;
pub mod teardown;
#[cfg(windows)]
pub mod win32;
