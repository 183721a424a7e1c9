//! The elevated tier's set-up of a machine: accounts, sealed passwords, firewall, filters, helper programs, read grants.
//!
//! What runs need of it: [`Names`] and [`MachineFolder`] say what is called how and where, [`SetupState::look`] whether it is
//! there, [`Credentials::load`] how to log on.

pub mod credentials;
pub mod error;
pub mod machine;
pub mod names;
pub mod ready;

pub use credentials::{Credentials, Password};
pub use error::SetupError;
pub use machine::{Machine, MachineError, MachineErrorKind, MachineResult};
pub use names::{BadPrefix, MachineFolder, Names, Which};
pub use ready::{Ready, Reason, SetupState};
