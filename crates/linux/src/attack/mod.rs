//! Escape attempts: code that runs *inside* the sandbox, tries one way out, and says SUCCEEDED or DENIED.
//!
//! Three parties: the [`Stage`] stands outside and owns everything that must not be touched (files, sockets, a process,
//! shared memory); an [`Attempt`] runs inside, is told by the [`Scene`] where the stage's things are, and reaches for one
//! of them; afterwards the stage looks at what really happened. A [`Driver`] brings them together. What an attempt says about
//! itself counts only where nothing outside could show it; see [`Proof`].
//!
//! Every attempt is harmless where it succeeds: it changes things of the stage only, or stops at the first sign that the
//! kernel would go on (an argument check behind the permission check).

mod attempt;
mod call;
mod drive;
mod files;
mod identity;
mod ipc;
mod kernel;
mod leaks;
mod network;
mod processes;
mod protected;
mod races;
mod scene;
mod stage;
mod tools;
mod verdict;

pub use attempt::{Attempt, Group, Need, Proof, Stdin};
pub use drive::{BELIEVED, DriveError, Driver, Outcome, Place};
pub use scene::Scene;
pub use stage::{Stage, StageError};
pub use verdict::{ParseVerdictError, Verdict};

use std::path::Path;

/// Every attempt, by group.
pub fn all() -> impl Iterator<Item = &'static Attempt> {
    let groups = [
        files::writing::ATTEMPTS,
        files::names::ATTEMPTS,
        files::metadata::ATTEMPTS,
        files::detours::ATTEMPTS,
        files::handles::ATTEMPTS,
        protected::existing::ATTEMPTS,
        protected::missing::ATTEMPTS,
        protected::parents::ATTEMPTS,
        races::ATTEMPTS,
        processes::outsiders::ATTEMPTS,
        processes::pid1::ATTEMPTS,
        kernel::namespaces::ATTEMPTS,
        kernel::mounts::ATTEMPTS,
        kernel::calls::ATTEMPTS,
        kernel::entries::ATTEMPTS,
        kernel::terminal::ATTEMPTS,
        kernel::system_files::ATTEMPTS,
        network::inet::ATTEMPTS,
        network::families::ATTEMPTS,
        network::unix::ATTEMPTS,
        ipc::ATTEMPTS,
        identity::ATTEMPTS,
        leaks::ATTEMPTS,
    ];
    groups.into_iter().flatten()
}

/// The attempt of this name.
pub fn by_name(name: &str) -> Option<&'static Attempt> {
    all().find(|attempt| attempt.name == name)
}

/// The inside half: reads the scene, makes the attempt `name`, and says how it went. The caller prints the verdict, alone on
/// a line, to standard output.
pub fn run_inside(name: &str, scene_file: &Path) -> Verdict {
    let Some(attempt) = by_name(name) else { return Verdict::Broken(format!("no attempt is named {name}")) };
    match Scene::read(scene_file) {
        Ok(scene) => attempt.make(&scene),
        Err(error) => Verdict::Broken(format!("scene {}: {error}", scene_file.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_speak() {
        let mut seen = BTreeSet::new();
        for attempt in all() {
            assert!(seen.insert(attempt.name), "{} twice", attempt.name);
            assert!(!attempt.what.is_empty());
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(attempt.name.bytes().all(plain), "{}", attempt.name);
            assert!(std::ptr::eq(by_name(attempt.name).expect("it is listed"), attempt));
        }
        assert!(seen.len() > 150, "{} attempts", seen.len());
    }

    #[test]
    fn an_unknown_name_or_scene_is_broken_not_denied() {
        let scene = Path::new("/nonexistent/scene");
        assert!(matches!(run_inside("no-such-attempt", scene), Verdict::Broken(_)));
        assert!(matches!(run_inside("write", scene), Verdict::Broken(_)));
    }
}
