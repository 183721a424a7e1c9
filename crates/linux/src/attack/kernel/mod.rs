//! Doors of the kernel that no command of an agent needs.

pub(super) mod calls;
pub(super) mod entries;
pub(super) mod mounts;
pub(super) mod namespaces;
pub(super) mod system_files;
pub(super) mod terminal;

use super::attempt::{Attempt, Group};
use super::scene::Scene;
use super::verdict::Tried;

const fn kernel(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_inside(Group::Kernel, name, what, run)
}
