//! The outside half: victims of every kind, and the look at them afterwards.

mod files;
mod ipc;
mod process;
mod sockets;
mod terminal;

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) use files::SET_ID_BITS;
pub(super) use ipc::MESSAGE_TYPE;
pub(super) use process::SIGNAL;

use super::drive::Place;
use super::scene::Scene;
use files::Snapshot;
use ipc::Ipc;
use process::Victim;
use sockets::Sockets;
use terminal::Terminal;

/// The stage could not be set.
#[derive(Debug, thiserror::Error)]
#[error("setting the stage in {dir}: {what}: {source}")]
pub struct StageError {
    dir: PathBuf,
    what: &'static str,
    source: io::Error,
}

/// Everything that stands outside. Dropping it ends the process, the sockets and the shared memory; the files stay in `dir`,
/// which belongs to the caller.
#[derive(Debug)]
pub struct Stage {
    dir: PathBuf,
    scene: Scene,
    before: Snapshot,
    victim: Victim,
    sockets: Sockets,
    ipc: Ipc,
    terminal: Option<Terminal>,
    _forgotten: files::Forgotten,
}

impl Stage {
    /// Sets the stage in the empty folder `dir`, whose path must be absolute and without symbolic links. `setuid_program`, if
    /// there is one, is a program that prints its effective user id and has another user's set-user-id bit.
    ///
    /// # Errors
    /// A victim cannot be made.
    pub fn prepare(dir: &Path, setuid_program: Option<&Path>) -> Result<Self, StageError> {
        let fail = |what| move |source| StageError { dir: dir.to_owned(), what, source };
        let unique = unique();
        files::build(dir).map_err(fail("files"))?;
        let setuid_program =
            files::setuid_program(dir, setuid_program).map_err(fail("set-user-id program"))?;
        let sockets = Sockets::open(&dir.join("outside"), &unique).map_err(fail("sockets"))?;
        let ipc = Ipc::open(&unique).map_err(fail("shared memory"))?;
        let victim = Victim::start().map_err(fail("process"))?;
        let forgotten = files::Forgotten::open(dir, &sockets).map_err(fail("descriptors"))?;
        let scene = Scene {
            dir: dir.as_os_str().to_owned(),
            init: 0,
            victim: victim.pid(),
            victim_address: victim.address(),
            tcp: sockets.tcp_port(),
            tcp6: sockets.tcp6_port(),
            udp: sockets.udp_port(),
            abstract_stream: sockets.abstract_name("stream"),
            abstract_datagram: sockets.abstract_name("datagram"),
            shm: ipc.shm(),
            messages: ipc.messages(),
            semaphore: ipc.semaphore(),
            posix_queue: ipc.posix_queue(),
            shm_file: ipc.shm_file().as_os_str().to_owned(),
            forgotten_file: forgotten.file(),
            forgotten_folder: forgotten.folder(),
            forgotten_socket: forgotten.socket(),
            setuid_program: setuid_program.map(PathBuf::into_os_string),
        };
        for place in [Place::Inside, Place::Outside] {
            scene.seen_from(place).write(&scene_file(dir, place)).map_err(fail("scene"))?;
        }
        let before = Snapshot::take(dir).map_err(fail("snapshot"))?;
        // Without pseudo terminals only the attempts on the terminal are lost.
        let terminal = Terminal::open().ok();
        Ok(Self { dir: dir.to_owned(), scene, before, victim, sockets, ipc, terminal, _forgotten: forgotten })
    }

    /// The writable root.
    pub fn workspace(&self) -> PathBuf {
        self.scene.workspace()
    }

    /// The folder that must not change.
    pub fn outside(&self) -> PathBuf {
        self.scene.outside()
    }

    /// The file that tells an attempt about the stage.
    pub fn scene_file(&self, place: Place) -> PathBuf {
        scene_file(&self.dir, place)
    }

    /// The terminal that the launcher is to have, if there are pseudo terminals.
    pub(super) fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().map(Terminal::slave)
    }

    /// What changed outside since the stage was set, one line for each change; empty when all is as it was.
    ///
    /// # Errors
    /// The folder can no longer be read.
    pub fn changes(&mut self) -> Result<Vec<String>, StageError> {
        let now = Snapshot::take(&self.dir);
        let now = now.map_err(|source| StageError { dir: self.dir.clone(), what: "snapshot", source })?;
        let mut changes = self.before.differences(&now);
        changes.extend(self.victim.changes());
        changes.extend(self.sockets.arrivals());
        changes.extend(self.ipc.changes());
        changes.extend(self.terminal.as_ref().and_then(Terminal::input));
        Ok(changes)
    }
}

fn scene_file(dir: &Path, place: Place) -> PathBuf {
    dir.join(match place {
        Place::Inside => "scene-inside.json",
        Place::Outside => "scene-outside.json",
    })
}

/// Different for every stage of every process that runs.
fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("codex-attack-{}-{count}", std::process::id())
}

/// Reads a file of /proc as text; empty when it is gone.
fn read_text(path: impl AsRef<Path>) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage() -> (tempfile::TempDir, Stage) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().canonicalize().expect("it exists");
        let stage = Stage::prepare(&path, None).expect("a stage");
        (dir, stage)
    }

    #[test]
    fn nothing_changes_by_itself_and_lawful_work_is_no_change() {
        let (_dir, mut stage) = stage();
        assert_eq!(stage.changes().expect("readable"), Vec::<String>::new());
        fs::write(stage.workspace().join("file"), "changed").expect("the workspace is writable");
        fs::create_dir(stage.workspace().join("made")).expect("the workspace is writable");
        let _content = fs::read(stage.outside().join("file")).expect("readable");
        assert_eq!(stage.changes().expect("readable"), Vec::<String>::new());
    }

    #[test]
    fn what_happens_outside_is_seen() {
        let (_dir, mut stage) = stage();
        fs::write(stage.outside().join("file"), "changed").expect("writable here");
        fs::create_dir(stage.workspace().join(".AGENTS")).expect("writable here");
        let _stream = std::net::TcpStream::connect(("127.0.0.1", stage.scene.tcp)).expect("it listens");
        let changes = stage.changes().expect("readable").join("\n");
        for expected in ["outside/file", ".AGENTS", "TCP"] {
            assert!(changes.contains(expected), "{expected} in {changes}");
        }
    }

    #[test]
    fn the_scene_reaches_the_other_side() {
        let (_dir, stage) = stage();
        let inside = Scene::read(&stage.scene_file(Place::Inside)).expect("it was written");
        let parent = std::os::unix::process::parent_id() as i32;
        assert_eq!(inside, Scene { init: parent, ..stage.scene.clone() });
        let outside = Scene::read(&stage.scene_file(Place::Outside)).expect("it was written");
        assert_eq!(outside.init, stage.scene.victim);
    }
}
