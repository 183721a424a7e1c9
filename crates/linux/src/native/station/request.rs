//! What a launcher asks of a station: one packet with descriptors; the content, which may be long, lies in a memfd.

use std::ffi::CString;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use crate::error::{Failure, Stage};
use crate::native::command::Image;
use crate::sys;
use crate::wire::FromInit;

/// Content, control socket, three streams, the lock of runs.
const MOST_DESCRIPTORS: usize = 6;

/// A request as the launcher makes it.
pub struct Request<'a> {
    /// The program.
    pub image: &'a Image,
    /// Working directory.
    pub cwd: &'a Path,
    /// Signal mask for the command.
    pub mask: libc::sigset_t,
    /// pid 1 waits for [`crate::wire::ToInit::Proceed`].
    pub wait: bool,
}

/// The same as pid 1 reads it.
pub struct Content {
    /// The program.
    pub image: Image,
    /// Working directory.
    pub cwd: PathBuf,
    /// Signal mask for the command.
    pub mask: libc::sigset_t,
    /// See [`Request`].
    pub wait: bool,
}

/// A request as it arrives.
pub struct Received {
    content: OwnedFd,
    /// pid 1's end of the control socket.
    pub control: OwnedFd,
    /// The command's streams.
    pub stdio: [OwnedFd; 3],
    /// The lock of runs.
    pub lock: Option<OwnedFd>,
}

/// What a failure names when the station is gone or out of its mind.
pub const OBJECT: &str = "request to the station";

fn fail(errno: Errno) -> Failure {
    Failure::at(Stage::Prepare, OBJECT)(errno)
}

fn io(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

impl Request<'_> {
    /// Sends it.
    pub fn send(
        &self,
        socket: &OwnedFd,
        control: &OwnedFd,
        stdio: &[OwnedFd; 3],
        lock: Option<&OwnedFd>,
    ) -> Result<(), Failure> {
        let content = self.write().map_err(fail)?;
        let descriptors: Vec<BorrowedFd<'_>> =
            [&content, control].into_iter().chain(stdio).chain(lock).map(AsFd::as_fd).collect();
        send(socket, b"r", &descriptors).map_err(fail)
    }

    fn write(&self) -> Result<OwnedFd, Errno> {
        let mut bytes = vec![u8::from(self.wait)];
        bytes.extend(sys::mask_bits(&self.mask).to_ne_bytes());
        let mut put = |part: &[u8]| {
            bytes.extend((part.len() as u64).to_ne_bytes());
            bytes.extend(part);
        };
        put(self.cwd.as_os_str().as_bytes());
        put(self.image.program.as_bytes());
        for list in [&self.image.argv, &self.image.envp] {
            put(&(list.len() as u64).to_ne_bytes());
            list.iter().for_each(|string| put(string.as_bytes()));
        }
        let mut file = File::from(rustix::fs::memfd_create(c"request", MemfdFlags::CLOEXEC)?);
        file.write_all(&bytes).and_then(|()| file.rewind()).map_err(|error| io(&error))?;
        Ok(file.into())
    }
}

/// The next request; `None` when the launcher is gone.
pub fn receive(socket: &OwnedFd) -> Result<Option<Received>, Failure> {
    let mut byte = [0_u8; 1];
    let (length, descriptors) = take(socket, &mut byte).map_err(fail)?;
    if length == 0 {
        return Ok(None);
    }
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or_else(|| fail(Errno::PROTO));
    let (content, control) = (next()?, next()?);
    let stdio = [next()?, next()?, next()?];
    Ok(Some(Received { content, control, stdio, lock: next().ok() }))
}

impl Received {
    /// Reads the content. The lengths in it are the launcher's, which is on our side.
    pub fn read(&self) -> Result<Content, Errno> {
        let mut bytes = Vec::new();
        let mut file = File::from(self.content.try_clone().map_err(|error| io(&error))?);
        file.read_to_end(&mut bytes).map_err(|error| io(&error))?;
        let mut rest = bytes.as_slice();
        let wait = take_array::<1>(&mut rest)?[0] != 0;
        let mask = sys::mask_of_bits(u64::from_ne_bytes(take_array(&mut rest)?));
        let cwd = PathBuf::from(std::ffi::OsString::from_vec(take_part(&mut rest)?.to_vec()));
        let program = take_string(&mut rest)?;
        let (argv, envp) = (take_list(&mut rest)?, take_list(&mut rest)?);
        Ok(Content { image: Image::new(program, argv, envp), cwd, mask, wait })
    }
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Errno> {
    let (part, after) = rest.split_first_chunk::<N>().ok_or(Errno::PROTO)?;
    *rest = after;
    Ok(*part)
}

fn take_part<'b>(rest: &mut &'b [u8]) -> Result<&'b [u8], Errno> {
    let length = u64::from_ne_bytes(take_array(rest)?);
    let length = usize::try_from(length).map_err(|_| Errno::PROTO)?;
    let (part, after) = rest.split_at_checked(length).ok_or(Errno::PROTO)?;
    *rest = after;
    Ok(part)
}

fn take_string(rest: &mut &[u8]) -> Result<CString, Errno> {
    CString::new(take_part(rest)?).map_err(|_| Errno::PROTO)
}

fn take_list(rest: &mut &[u8]) -> Result<Vec<CString>, Errno> {
    let count = take_part(rest)?.try_into().map(u64::from_ne_bytes).map_err(|_| Errno::PROTO)?;
    (0..count).map(|_| take_string(rest)).collect()
}

/// The station's answer: the pidfd of the command's pid 1, or why there is none.
pub struct Reply;

impl Reply {
    /// Sends; a launcher that is gone is noticed elsewhere.
    pub fn send(socket: &OwnedFd, reply: Result<&OwnedFd, Failure>) {
        match reply {
            Ok(pidfd) => {
                let _launcher_gone = send(socket, b"p", &[pidfd.as_fd()]);
            }
            Err(failure) => FromInit::Failed(failure).send(socket.as_fd()),
        }
    }

    /// Receives.
    pub fn receive(socket: &OwnedFd) -> Result<OwnedFd, Failure> {
        let mut packet = [0_u8; 8192];
        let (length, descriptors) = take(socket, &mut packet).map_err(fail)?;
        match descriptors.into_iter().next() {
            Some(pidfd) => Ok(pidfd),
            None => Err(FromInit::decode_failure(&packet[..length]).unwrap_or_else(|| fail(Errno::PIPE))),
        }
    }
}

fn send(socket: &OwnedFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !message.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    let bytes = [IoSlice::new(bytes)];
    rustix::io::retry_on_intr(|| sendmsg(socket, &bytes, &mut message, SendFlags::NOSIGNAL)).map(drop)
}

fn take(socket: &OwnedFd, bytes: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(bytes)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let length = rustix::io::retry_on_intr(|| recvmsg(socket, &mut buffers, &mut message, flags))?.bytes;
    let rights = message.drain().filter_map(|part| match part {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    Ok((length, rights.flatten().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_arrives_as_it_was_sent() {
        let (ours, theirs) = crate::wire::pair().expect("a socket pair");
        let c = |text: &str| CString::new(text).expect("no NUL");
        let image = Image::new(c("/bin/x"), vec![c("x"), c(""), c(&"long".repeat(100_000))], vec![c("A=1")]);
        let null = || rustix::fs::open(c"/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty());
        let stdio = [(); 3].map(|()| null().expect("/dev/null"));
        let (control, lock) = (null().expect("/dev/null"), null().expect("/dev/null"));
        let request =
            Request { image: &image, cwd: Path::new("/w\n"), mask: sys::mask_of_bits(6), wait: true };
        for lock in [Some(&lock), None] {
            request.send(&ours, &control, &stdio, lock).expect("sent");
            let received = receive(&theirs).expect("received").expect("a request");
            assert_eq!(received.lock.is_some(), lock.is_some());
            let content = received.read().expect("well formed");
            assert_eq!((content.image.argv, content.image.envp), (image.argv.clone(), image.envp.clone()));
            assert_eq!((content.image.program, content.cwd), (image.program.clone(), PathBuf::from("/w\n")));
            assert_eq!((sys::mask_bits(&content.mask), content.wait), (6, true));
        }
        drop(ours);
        assert!(receive(&theirs).expect("the end").is_none());
    }
}
