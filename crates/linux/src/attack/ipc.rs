//! System V and POSIX objects of an outsider.

use std::ffi::CString;

use super::attempt::{Attempt, Group};
use super::call::{half_words, own, sys, words};
use super::scene::Scene;
use super::stage::MESSAGE_TYPE;
use super::tools::done;
use super::verdict::{Step, Stop, Tried};

const fn ipc(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_outside(Group::Ipc, name, what, run)
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    ipc("shared-memory", "write to an outsider's System V shared memory by its id", |s| {
        store(present(s.shm, "System V shared memory")?.0)
    }),
    ipc(
        "shared-memory-by-key",
        "find an outsider's System V shared memory by its key, and write to it",
        |s| {
            let (_, key) = present(s.shm, "System V shared memory")?;
            store(sys!(libc::SYS_shmget, key, 0, 0).attack("shmget")? as i32)
        },
    ),
    ipc("shared-memory-removal", "remove an outsider's System V shared memory", |s| {
        let (id, _) = present(s.shm, "System V shared memory")?;
        done(sys!(libc::SYS_shmctl, id, libc::IPC_RMID, 0), "shmctl IPC_RMID")
    }),
    ipc("message-queue", "send to an outsider's System V message queue", |s| {
        let id = present(s.messages, "System V message queues")?;
        done(sys!(libc::SYS_msgsnd, id, &words(&[MESSAGE_TYPE, 0]), 8, libc::IPC_NOWAIT), "msgsnd")
    }),
    ipc("message-queue-removal", "remove an outsider's System V message queue", |s| {
        let id = present(s.messages, "System V message queues")?;
        done(sys!(libc::SYS_msgctl, id, libc::IPC_RMID, 0), "msgctl IPC_RMID")
    }),
    ipc("semaphore", "raise an outsider's System V semaphore", |s| {
        let id = present(s.semaphore, "System V semaphores")?;
        // struct sembuf: number 0, add 1, no flags.
        let raise = [[0, 0], 1_i16.to_ne_bytes(), [0, 0]].concat();
        done(sys!(libc::SYS_semop, id, &raise, 1), "semop")
    }),
    ipc("semaphore-by-semctl", "set an outsider's System V semaphore", |s| {
        let id = present(s.semaphore, "System V semaphores")?;
        done(sys!(libc::SYS_semctl, id, 0, libc::SETVAL, 7), "semctl SETVAL")
    }),
    ipc("semaphore-by-semtimedop", "raise an outsider's System V semaphore by semtimedop(2)", |s| {
        let id = present(s.semaphore, "System V semaphores")?;
        let raise = half_words(&[0x0001_0000, 0]);
        done(sys!(libc::SYS_semtimedop, id, &raise, 1, 0), "semtimedop")
    }),
    ipc("posix-message-queue", "send to an outsider's POSIX message queue", |s| {
        let name = CString::new(present(s.posix_queue.clone(), "POSIX message queues")?).unwrap_or_default();
        let queue =
            own(sys!(libc::SYS_mq_open, &name, libc::O_WRONLY | libc::O_NONBLOCK, 0, 0).attack("mq_open")?);
        done(sys!(libc::SYS_mq_timedsend, &queue, &b"!"[..], 1, 0, 0), "mq_timedsend")
    }),
    ipc("posix-message-queue-removal", "remove an outsider's POSIX message queue", |s| {
        let name = CString::new(present(s.posix_queue.clone(), "POSIX message queues")?).unwrap_or_default();
        done(sys!(libc::SYS_mq_unlink, &name), "mq_unlink")
    }),
];

fn present<T>(object: Option<T>, what: &str) -> Result<T, Stop> {
    object.ok_or_else(|| Stop::skipped(format!("this kernel has no {what}")))
}

/// Attaches the segment and stores a byte.
fn store(id: i32) -> Tried {
    // SAFETY: shmat with a null address maps the segment at a free place; it is written within its size, when it was mapped.
    unsafe {
        let address = libc::shmat(id, std::ptr::null(), 0);
        if address as isize == -1 {
            return done(Err(std::io::Error::last_os_error()), "shmat");
        }
        address.cast::<u8>().write_volatile(b'!');
        libc::shmdt(address);
    }
    Ok("stored".into())
}
