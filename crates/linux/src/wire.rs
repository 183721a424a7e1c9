//! Messages between the launcher and the sandbox' pid 1: one packet each on a SOCK_SEQPACKET pair.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::error::{Failure, Stage};

/// What pid 1 tells the launcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromInit {
    /// The sandbox could not be built, or the program not be started.
    Failed(Failure),
    /// The program runs. `host_proc`: the host's /proc had to stay.
    Started {
        /// See above.
        host_proc: bool,
    },
    /// Something for the user to know.
    Report(String),
    /// The command ended; the raw wait status.
    Ended(i32),
    /// The wall-clock limit was reached, and the tree was killed.
    TimedOut,
}

/// What the launcher tells pid 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToInit {
    /// The id maps are written (or the cgroup is joined): go on.
    Proceed,
    /// Send this signal to the command.
    Signal(i32),
}

/// Longest packet; longer paths and reports are cut.
const MAX: usize = 8192;

/// A connected pair, close-on-exec.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

impl FromInit {
    /// Sends; an error means that the launcher is gone, which pid 1 notices by itself.
    pub fn send(&self, socket: BorrowedFd<'_>) {
        let mut packet = Vec::with_capacity(64);
        match self {
            Self::Failed(failure) => {
                packet.extend([b'F', failure.stage as u8]);
                packet.extend(failure.errno.raw_os_error().to_le_bytes());
                packet.extend(failure.object.as_os_str().as_bytes());
            }
            Self::Started { host_proc } => packet.extend([b'S', u8::from(*host_proc)]),
            Self::Report(text) => {
                packet.push(b'R');
                packet.extend(text.as_bytes());
            }
            Self::Ended(status) => {
                packet.push(b'E');
                packet.extend(status.to_le_bytes());
            }
            Self::TimedOut => packet.push(b'T'),
        }
        packet.truncate(MAX);
        let _launcher_gone = rustix::net::send(socket, &packet, SendFlags::NOSIGNAL);
    }

    /// Receives; `None` when pid 1 is gone.
    ///
    /// # Errors
    /// recvfrom(2)'s, EAGAIN among them when the socket does not block.
    pub fn receive(socket: BorrowedFd<'_>, flags: RecvFlags) -> Result<Option<Self>, Errno> {
        let mut packet = [0_u8; MAX];
        let length = loop {
            match rustix::net::recv(socket, &mut packet, flags) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(None),
                other => break other?.0,
            }
        };
        if length == 0 {
            return Ok(None);
        }
        Self::decode(&packet[..length]).ok_or(Errno::PROTO).map(Some)
    }

    /// The failure in a packet that was read by other means.
    pub fn decode_failure(packet: &[u8]) -> Option<Failure> {
        match Self::decode(packet)? {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    fn decode(packet: &[u8]) -> Option<Self> {
        let (tag, rest) = packet.split_first()?;
        let number = |bytes: &[u8]| bytes.get(..4)?.try_into().ok().map(i32::from_le_bytes);
        Some(match tag {
            b'F' => {
                let (stage, rest) = rest.split_first()?;
                let errno = Errno::from_raw_os_error(number(rest)?);
                let object = PathBuf::from(std::ffi::OsString::from_vec(rest.get(4..)?.to_vec()));
                Self::Failed(Failure { stage: Stage::from_number(*stage)?, object, errno })
            }
            b'S' => Self::Started { host_proc: *rest.first()? != 0 },
            b'R' => Self::Report(String::from_utf8_lossy(rest).into_owned()),
            b'E' => Self::Ended(number(rest)?),
            b'T' => Self::TimedOut,
            _ => return None,
        })
    }
}

impl ToInit {
    /// Sends.
    ///
    /// # Errors
    /// send(2)'s: pid 1 is gone.
    pub fn send(self, socket: &OwnedFd) -> Result<(), Errno> {
        let mut packet = [b'P', 0, 0, 0, 0];
        if let Self::Signal(signal) = self {
            packet[0] = b'K';
            packet[1..].copy_from_slice(&signal.to_le_bytes());
        }
        rustix::net::send(socket, &packet, SendFlags::NOSIGNAL).map(drop)
    }

    /// Receives; `None` when the launcher is gone or sent nonsense.
    pub fn receive(socket: &OwnedFd) -> Option<Self> {
        let mut packet = [0_u8; 5];
        let (length, _) =
            rustix::io::retry_on_intr(|| rustix::net::recv(socket.as_fd(), &mut packet, RecvFlags::empty()))
                .ok()?;
        if length != packet.len() {
            return None;
        }
        let number = i32::from_le_bytes(packet[1..].try_into().ok()?);
        match packet[0] {
            b'P' => Some(Self::Proceed),
            b'K' => Some(Self::Signal(number)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_wire() {
        let (a, b) = pair().expect("a socket pair");
        let failure = Failure { stage: Stage::Mounts, object: "/x\n/\u{e9}".into(), errno: Errno::PERM };
        for message in [
            FromInit::Failed(failure),
            FromInit::Started { host_proc: true },
            FromInit::Report("two words".into()),
            FromInit::Ended(-7),
            FromInit::TimedOut,
        ] {
            message.send(a.as_fd());
            assert_eq!(FromInit::receive(b.as_fd(), RecvFlags::empty()), Ok(Some(message)));
        }
        for message in [ToInit::Proceed, ToInit::Signal(15)] {
            message.send(&b).expect("sent");
            assert_eq!(ToInit::receive(&a), Some(message));
        }
        drop(a);
        assert_eq!(FromInit::receive(b.as_fd(), RecvFlags::empty()), Ok(None));
    }
}
