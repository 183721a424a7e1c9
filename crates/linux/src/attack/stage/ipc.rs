//! Shared memory, message queues and semaphores of an outsider. A kernel without one of them leaves `None`.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::attack::call::{own, sys, words};

const SIZE: usize = 4096;
const CONTENT: &[u8] = b"outside\n";
/// The type of the messages that attempts send.
pub const MESSAGE_TYPE: u64 = 1;
/// IPC_CREAT | IPC_EXCL | 0600.
const CREATE: i32 = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;

/// The objects; dropping removes them from the system.
#[derive(Debug)]
pub struct Ipc {
    shm: Option<(i32, i32)>,
    messages: Option<i32>,
    semaphore: Option<i32>,
    posix_queue: Option<String>,
    shm_file: PathBuf,
}

impl Ipc {
    /// Makes them.
    pub fn open(unique: &str) -> io::Result<Self> {
        let shm_file = Path::new("/dev/shm").join(unique);
        let base = if shm_file.parent().is_some_and(Path::is_dir) {
            shm_file
        } else {
            std::env::temp_dir().join(unique)
        };
        fs::write(&base, CONTENT)?;
        // The key only has to differ from other stages'.
        let key =
            unique.bytes().fold(0x5eed_i32, |key, byte| key.wrapping_mul(31).wrapping_add(byte.into())) | 1;
        let id = |result: io::Result<i64>| result.ok().map(|id| id as i32);
        Ok(Self {
            shm: id(sys!(libc::SYS_shmget, key, SIZE, CREATE)).map(|id| (id, key)),
            messages: id(sys!(libc::SYS_msgget, libc::IPC_PRIVATE, CREATE)),
            semaphore: id(sys!(libc::SYS_semget, libc::IPC_PRIVATE, 1, CREATE)),
            posix_queue: posix_queue(unique),
            shm_file: base,
        })
    }

    /// Shared memory: id and key.
    pub fn shm(&self) -> Option<(i32, i32)> {
        self.shm
    }

    /// Message queue.
    pub fn messages(&self) -> Option<i32> {
        self.messages
    }

    /// Semaphore set.
    pub fn semaphore(&self) -> Option<i32> {
        self.semaphore
    }

    /// POSIX message queue.
    pub fn posix_queue(&self) -> Option<String> {
        self.posix_queue.clone()
    }

    /// The file in /dev/shm.
    pub fn shm_file(&self) -> &Path {
        &self.shm_file
    }

    /// What changed.
    pub fn changes(&self) -> Vec<String> {
        let semaphore = |id| sys!(libc::SYS_semctl, id, 0, libc::GETVAL).is_ok_and(|value| value == 0);
        let changed = [
            (self.shm.is_some_and(|(id, _)| shared_byte(id) != Some(0)), "the shared memory"),
            (self.messages.is_some_and(|id| queued(id) != Some(0)), "the message queue"),
            (self.semaphore.is_some_and(|id| !semaphore(id)), "the semaphore"),
            (
                self.posix_queue.as_deref().is_some_and(|name| queued_posix(name) != Some(0)),
                "the POSIX message queue",
            ),
            (fs::read(&self.shm_file).ok().as_deref() != Some(CONTENT), "the file in /dev/shm"),
        ];
        changed
            .into_iter()
            .filter(|(changed, _)| *changed)
            .map(|(_, what)| format!("{what} changed"))
            .collect()
    }
}

impl Drop for Ipc {
    fn drop(&mut self) {
        // What an attempt removed already is gone; there is nothing to do about any other failure.
        let _gone = fs::remove_file(&self.shm_file);
        if let Some((id, _)) = self.shm {
            let _gone = sys!(libc::SYS_shmctl, id, libc::IPC_RMID, 0);
        }
        if let Some(id) = self.messages {
            let _gone = sys!(libc::SYS_msgctl, id, libc::IPC_RMID, 0);
        }
        if let Some(id) = self.semaphore {
            let _gone = sys!(libc::SYS_semctl, id, 0, libc::IPC_RMID, 0);
        }
        if let Some(name) = self.posix_queue.as_deref().and_then(|name| CString::new(name).ok()) {
            let _gone = sys!(libc::SYS_mq_unlink, &name);
        }
    }
}

/// The first byte of the segment; `None` when it is gone.
fn shared_byte(id: i32) -> Option<u8> {
    // SAFETY: shmat with a null address maps the segment at a free place; it is read within its size and detached again.
    unsafe {
        let address = libc::shmat(id, std::ptr::null(), libc::SHM_RDONLY);
        if address as isize == -1 {
            return None;
        }
        let byte = address.cast::<u8>().read_volatile();
        libc::shmdt(address);
        Some(byte)
    }
}

/// Messages in the queue; `None` when it is gone.
fn queued(id: i32) -> Option<u64> {
    // SAFETY: msqid_ds is plain data that outlives the call.
    unsafe {
        let mut state: libc::msqid_ds = std::mem::zeroed();
        (libc::msgctl(id, libc::IPC_STAT, &raw mut state) == 0).then_some(state.msg_qnum)
    }
}

fn posix_queue(unique: &str) -> Option<String> {
    let name = CString::new(unique).ok()?;
    // mq_flags, mq_maxmsg, mq_msgsize, mq_curmsgs and four reserved words.
    let attributes = words(&[0, 4, 64, 0, 0, 0, 0, 0]);
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDONLY | libc::O_CLOEXEC;
    sys!(libc::SYS_mq_open, &name, flags, 0o600, &attributes).ok().map(own)?;
    Some(unique.to_owned())
}

fn queued_posix(name: &str) -> Option<u64> {
    let name = CString::new(name).ok()?;
    let queue = own(sys!(libc::SYS_mq_open, &name, libc::O_RDONLY | libc::O_CLOEXEC, 0, 0).ok()?);
    let mut state = [0; 64];
    sys!(libc::SYS_mq_getsetattr, &queue, 0, state.as_mut_slice()).ok()?;
    Some(u64::from_ne_bytes(state[24..32].try_into().ok()?))
}
