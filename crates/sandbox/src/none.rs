//! The library on a system that it has no backend for: nothing runs, and the error says so.

use std::path::PathBuf;

use codex_sandbox_policy::Policy;

use crate::enforcement::Require;
use crate::error::Error;

/// A policy that is ready to run commands: there is none on this system.
#[derive(Debug)]
pub enum Sandbox {}

/// Settings of a [`Sandbox`].
#[derive(Debug, Clone, Copy)]
pub struct Builder(());

impl Sandbox {
    /// Always fails: nothing is run without a sandbox.
    ///
    /// # Errors
    /// [`Error::NothingToEnforceWith`].
    pub fn new(policy: Policy) -> Result<Self, Error> {
        Self::builder(policy).build()
    }

    /// A builder that builds nothing.
    pub fn builder(_: Policy) -> Builder {
        Builder(())
    }
}

impl Builder {
    /// The workspace.
    #[must_use]
    pub fn current_dir(self, _: impl Into<PathBuf>) -> Self {
        self
    }

    /// How much must be enforced.
    #[must_use]
    pub fn require(self, _: Require) -> Self {
        self
    }

    /// Always fails.
    ///
    /// # Errors
    /// [`Error::NothingToEnforceWith`].
    pub fn build(self) -> Result<Sandbox, Error> {
        Err(Error::NothingToEnforceWith {
            why: "this operating system has no backend yet: nothing is run without a sandbox".to_owned(),
        })
    }
}
