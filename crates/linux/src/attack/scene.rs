//! What an attempt is told: where the stage's things are. Plain data, written to a file that the inside reads.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::drive::Place;

/// Where the victims are, and by which numbers they are reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    pub(super) dir: OsString,
    /// The sandbox' pid 1, or what does its work where there is no pid namespace. Inside it is the attempt's parent, and 0 in
    /// the file; outside the stage's process stands in, so that the attempts on it can succeed without harm.
    pub(super) init: i32,
    /// The stage's process.
    pub(super) victim: i32,
    /// An address in its memory that nothing uses; 0 where the stage itself could not write there.
    pub(super) victim_address: u64,
    /// TCP on 127.0.0.1.
    pub(super) tcp: u16,
    /// TCP on ::1, where there is IPv6.
    pub(super) tcp6: Option<u16>,
    /// UDP on 127.0.0.1.
    pub(super) udp: u16,
    /// Name of the abstract stream listener, without the leading NUL.
    pub(super) abstract_stream: String,
    /// Name of the abstract datagram socket.
    pub(super) abstract_datagram: String,
    /// System V shared memory: id and key.
    pub(super) shm: Option<(i32, i32)>,
    /// System V message queue: id.
    pub(super) messages: Option<i32>,
    /// System V semaphore set: id.
    pub(super) semaphore: Option<i32>,
    /// POSIX message queue: name without the slash.
    pub(super) posix_queue: Option<String>,
    /// A file in /dev/shm.
    pub(super) shm_file: OsString,
    /// A descriptor of an outside file, open for writing, that the caller forgot to close.
    pub(super) forgotten_file: i32,
    /// A descriptor of the outside folder, forgotten too.
    pub(super) forgotten_folder: i32,
    /// A connected socket, forgotten too.
    pub(super) forgotten_socket: i32,
    /// A program that prints its effective user id and has the set-user-id bit of another user.
    pub(super) setuid_program: Option<OsString>,
}

impl Scene {
    /// Reads the file that [`Stage::prepare`](super::Stage::prepare) wrote.
    ///
    /// # Errors
    /// The file cannot be read, or is not a scene.
    pub fn read(file: &Path) -> io::Result<Self> {
        let mut scene: Self = serde_json::from_slice(&std::fs::read(file)?)?;
        if scene.init == 0 {
            scene.init = std::os::unix::process::parent_id() as i32;
        }
        Ok(scene)
    }

    pub(super) fn write(&self, file: &Path) -> io::Result<()> {
        std::fs::write(file, serde_json::to_vec(self)?)
    }

    /// The scene as it is from inside or outside the sandbox.
    pub(super) fn seen_from(&self, place: Place) -> Self {
        let init = match place {
            Place::Inside => 0,
            Place::Outside => self.victim,
        };
        Self { init, ..self.clone() }
    }

    fn at(&self, rest: &str) -> PathBuf {
        Path::new(&self.dir).join(rest)
    }

    /// The writable root, and the attempt's working directory.
    pub(super) fn workspace(&self) -> PathBuf {
        self.at("workspace")
    }

    /// A name in the workspace.
    pub(super) fn ours(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.workspace().join(Path::new(name.as_ref()))
    }

    /// The folder that must not change.
    pub(super) fn outside(&self) -> PathBuf {
        self.at("outside")
    }

    /// A name in the outside folder.
    pub(super) fn theirs(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.outside().join(Path::new(name.as_ref()))
    }

    /// The outside file that most attempts go for.
    pub(super) fn file(&self) -> PathBuf {
        self.theirs("file")
    }

    /// Outside names that a careless program would garble.
    pub(super) fn odd_names(&self) -> [PathBuf; 2] {
        [self.theirs("new\nline"), self.theirs(OsStr::from_bytes(b"not-\xff\xfe-utf-8"))]
    }
}
