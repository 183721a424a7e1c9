//! What a sandboxed command may do: the policy, its configuration file and its path rules.
//!
//! Nothing here touches the machine. [`Policy`] is what the user wrote; [`resolve`](resolve::resolve) turns it into a
//! [`Resolved`](resolve::Resolved) with the help of facts that the caller looks up; [`rules::PathRules`] then says for any
//! absolute path who may do what, and which rule decided. Every backend and every command asks these rules.
#![forbid(unsafe_code)]

pub mod config;
pub mod error;
pub mod git;
pub mod git_index;
pub mod names;
pub mod policy;
pub mod resolve;
pub mod rules;
pub mod shown;

pub use error::{PolicyError, Problem};
pub use policy::{GitMode, Limits, Mode, Policy};
pub use resolve::Resolved;
pub use rules::{Access, PathRules, Rule, Verdict};
