//! Writing outside the roots.

pub(super) mod detours;
pub(super) mod handles;
pub(super) mod metadata;
pub(super) mod names;
pub(super) mod writing;

use super::attempt::{Attempt, Group};
use super::scene::Scene;
use super::verdict::Tried;

const fn file(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_outside(Group::Files, name, what, run)
}
