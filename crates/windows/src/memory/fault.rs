//! Faults at the n-th effect.

use crate::host::{HostError, HostErrorKind, HostResult, SystemError};
use crate::plan::path::WinPath;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The process ends before the effect; every later call fails.
    Kill,
    /// The effect fails, later ones do not.
    Fail(HostErrorKind),
}

/// Something that happens at an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// At which effect, counted from 0.
    pub at: u64,
    /// What.
    pub kind: FaultKind,
}

/// The count of effects, and what happens to them.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) effects: u64,
    pub(super) descriptor_writes: u64,
    pub(super) opens: u64,
    fault: Option<Fault>,
    dead: bool,
}

impl Faults {
    pub(super) fn set(&mut self, fault: Option<Fault>) {
        *self = Self { fault, ..Self::default() };
    }

    pub(super) fn alive(&self, stage: &'static str, path: &WinPath) -> HostResult<()> {
        if self.dead { Err(HostError::new(HostErrorKind::Killed, stage, path)) } else { Ok(()) }
    }

    pub(super) fn effect(&mut self, stage: &'static str, path: &WinPath) -> HostResult<()> {
        self.alive(stage, path)?;
        let number = self.effects;
        self.effects += 1;
        match self.fault {
            Some(Fault { at, kind: FaultKind::Kill }) if at == number => {
                self.dead = true;
                self.alive(stage, path)
            }
            Some(Fault { at, kind: FaultKind::Fail(kind) }) if at == number => {
                let system = SystemError { code: 5, text: "a fault of the test".to_owned() };
                Err(HostError::new(kind, stage, path).with_system(system))
            }
            _ => Ok(()),
        }
    }
}
