//! The elevated tier's set-up of a machine: accounts, sealed passwords, firewall, filters, helper programs, read grants.
//!
//! What runs need of it: [`Names`] and [`MachineFolder`] say what is called how and where, [`SetupState::look`] whether it is
//! there, [`Credentials::load`] how to log on.
//!
//! What the set-up program does: [`plan::SetupPlan`] is the steps as data, [`engine::carry_out`] does them, [`reads`] gives the
//! sandbox accounts what the user may read, [`undo::Undo`] takes all back.

pub mod credentials;
pub mod engine;
pub mod error;
pub mod exit;
pub mod journal;
pub mod logon;
pub mod machine;
pub mod names;
pub mod people;
pub mod plan;
pub mod reads;
pub mod ready;
pub mod recover;
pub mod steps;
pub mod undo;

pub use credentials::{Credentials, Password};
pub use error::SetupError;
pub use machine::{Machine, MachineError, MachineErrorKind, MachineResult};
pub use names::{BadPrefix, MachineFolder, Names, Which};
pub use plan::{RealUser, Request, SetupPlan};
pub use ready::{Ready, Reason, SetupState};
