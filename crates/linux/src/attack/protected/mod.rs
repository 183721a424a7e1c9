//! Changing, forging or making protected names (`.git`, `.codex`, `.agents`) inside the workspace.

pub(super) mod existing;
pub(super) mod missing;
pub(super) mod parents;

use super::attempt::{Attempt, Group};
use super::call::sys;
use super::scene::Scene;
use super::tools::{CWD, c, done};
use super::verdict::Tried;

const fn protected(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_outside(Group::Protected, name, what, run)
}

/// renameat2(2) between two names of the workspace.
fn rename(scene: &Scene, from: &str, to: &str, flags: u32) -> Tried {
    let renamed = sys!(libc::SYS_renameat2, CWD, &c(&scene.ours(from)), CWD, &c(&scene.ours(to)), flags);
    done(renamed, &format!("renameat2 {from} {to}"))
}

fn make_folder(scene: &Scene, name: &str) -> Tried {
    done(sys!(libc::SYS_mkdirat, CWD, &c(&scene.ours(name)), 0o755), &format!("mkdirat {name}"))
}
