//! The elevated tier's runner: what launcher and runner say to each other, and how each of them behaves.
//!
//! One runner, logged on once as a sandbox account, starts all commands of a launcher's session. Launcher and runner are joined by two
//! one-way byte channels. This module knows no system: [`client`] and [`server`] work over anything that reads and writes, what
//! starts processes is a trait ([`server::Engine`]). The named pipes and the logon are in `win32`, the choice of the account in
//! `launch::elevated`.
//!
//! Neither side trusts the other's bytes: [`message`] decodes strictly, [`frame`] never allocates for what has not arrived, and the first
//! violation ends the session, which kills every command in it.

pub mod arguments;
pub mod client;
pub mod error;
pub mod flow;
pub mod frame;
pub mod message;
#[cfg(all(test, unix))]
mod model;
#[cfg(test)]
mod properties;
pub mod request;
pub mod server;
pub mod wire;

pub use arguments::Arguments;
pub use client::{Client, Remote};
pub use error::{Failure, ProtocolError};
pub use message::{FromRunner, Hello, Signal, Size, Stream, ToRunner};
pub use request::{Connection, SpawnRequest};

/// The version of the protocol. Launcher and runner must have the same: they are installed together, in a folder of their version.
pub const VERSION: u16 = 1;

/// Bytes that may be under way or unread in one direction of one stream: so much one side buffers at most, and so much a command
/// writes before it waits for a slow reader.
pub const WINDOW: usize = 1 << 20;

/// The most bytes of a stream in one frame.
pub const DATA: usize = 128 << 10;

/// The most commands of one session at a time.
pub const COMMANDS: usize = 1024;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(u32),
    /// The time limit was over.
    TimedOut,
}
