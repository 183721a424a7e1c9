//! connect(2) and bind(2): Unix sockets reach only what was bound inside; everything else is the kernel's business.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit};

use super::blocked::Work;
use super::guard::id_of;
use super::names::existing;
use super::notify::{Answer, Call};
use super::resolve::Place;
use super::{Broker, Handled, memory};
use crate::plan::Backend;
use crate::seccomp::Sys;
use crate::sys;

/// `sizeof(struct sockaddr_storage)`.
const MAX_ADDRESS: u64 = 128;
/// `sizeof(sun_path)`.
const MAX_PATH: usize = 108;
/// Sockets that are remembered at most; each is held open, so that its number cannot become another's.
const MAX_SOCKETS: usize = 4096;
/// Descriptors that the broker needs beside those, blocked calls included.
const OTHER_DESCRIPTORS: u64 = 512;

/// Raises this process' limit of descriptors as far as it may; how many sockets can be remembered then.
pub fn most_sockets() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = if rustix::process::setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    let rest = limit.current.unwrap_or(u64::MAX).saturating_sub(OTHER_DESCRIPTORS);
    usize::try_from(rest).unwrap_or(MAX_SOCKETS).min(MAX_SOCKETS)
}
/// Where the path starts in `struct sockaddr_un`.
const SUN_PATH: usize = 2;

/// A Unix address, taken apart (unix(7)).
enum UnixAddress {
    Unnamed,
    Abstract(Vec<u8>),
    Path(CString),
}

impl Broker<'_> {
    pub(super) fn handle_socket(&mut self, call: &Call, sys: Sys) -> Handled {
        match sys {
            Sys::Connect => self.connect(call),
            Sys::Bind => self.bind(call),
            Sys::Socketpair => self.datagram_pair(call),
            _ => Err(Errno::PROTONOSUPPORT),
        }
    }

    fn socket_and_address(&mut self, call: &Call) -> Result<(OwnedFd, Vec<u8>), Errno> {
        let length = u64::from(call.args[2] as u32);
        if length > MAX_ADDRESS {
            return Err(Errno::INVAL);
        }
        let address = memory::bytes(call, call.args[1], length as usize)?;
        let socket = self.proc.descriptor(call.tid, call.int(0))?;
        if self.listener.is_waiting(call.id) { Ok((socket, address)) } else { Err(Errno::INTR) }
    }

    fn connect(&mut self, call: &Call) -> Handled {
        let (socket, address) = self.socket_and_address(call)?;
        // A descriptor that is no socket answers for itself.
        let domain = sys::socket_option(socket.as_fd(), libc::SO_DOMAIN)?;
        if domain != libc::AF_UNIX {
            return self.start_connect(call, socket, address, None);
        }
        match unix_address(&address)? {
            UnixAddress::Unnamed => Err(Errno::INVAL),
            UnixAddress::Abstract(name) => {
                if !self.has_private_network() && !self.session.abstract_names.contains(&name) {
                    return Err(Errno::CONNREFUSED);
                }
                self.start_connect(call, socket, address, None)
            }
            UnixAddress::Path(path) => {
                let target = existing(self.resolver(call).find(libc::AT_FDCWD, &path, true)?)?;
                if target.kind() != FileType::Socket
                    || !self.session.sockets.contains_key(&id_of(&target.stat))
                {
                    let path = target.path.clone();
                    self.report(|| {
                        format!("{}: not connected: the socket belongs to a process outside", path.display())
                    });
                    return Err(Errno::CONNREFUSED);
                }
                // The kernel looks the file up again by this name, which leads to the very socket that was decided about.
                let name = format!("/proc/self/fd/{}", target.fd.as_raw_fd());
                self.start_connect(call, socket, path_address(name.as_bytes()), Some(target.fd))
            }
        }
    }

    fn has_private_network(&self) -> bool {
        self.plan.backend == Backend::Native && !self.plan.policy.network_access
    }

    /// connect(2) of a datagram socket only notes the address. Any other may wait, whatever its flags say now (other threads
    /// share and change them), and gets a thread.
    fn start_connect(
        &mut self,
        call: &Call,
        socket: OwnedFd,
        address: Vec<u8>,
        keep: Option<OwnedFd>,
    ) -> Handled {
        if sys::socket_option(socket.as_fd(), libc::SO_TYPE) == Ok(libc::SOCK_DGRAM) {
            sys::connect(socket.as_fd(), &address)?;
            return Ok(Answer::Value(0));
        }
        self.blocked.start(call, &self.listener, Work::Connect { socket, address, keep })
    }

    fn bind(&mut self, call: &Call) -> Handled {
        let (socket, address) = self.socket_and_address(call)?;
        let domain = sys::socket_option(socket.as_fd(), libc::SO_DOMAIN)?;
        if domain != libc::AF_UNIX {
            sys::bind(socket.as_fd(), &address)?;
            return Ok(Answer::Value(0));
        }
        match unix_address(&address)? {
            UnixAddress::Unnamed => {
                sys::bind(socket.as_fd(), &address)?;
                self.remember_autobound(&socket);
            }
            UnixAddress::Abstract(name) => {
                sys::bind(socket.as_fd(), &address)?;
                self.session.abstract_names.insert(name);
            }
            UnixAddress::Path(path) => self.bind_path(call, &socket, &path, &address)?,
        }
        Ok(Answer::Value(0))
    }

    fn remember_autobound(&mut self, socket: &OwnedFd) {
        if let Ok(address) = rustix::net::getsockname(socket)
            && let Ok(unix) = rustix::net::SocketAddrUnix::try_from(address)
            && let Some(name) = unix.abstract_name()
        {
            self.session.abstract_names.insert(name.to_vec());
        }
    }

    fn bind_path(
        &mut self,
        call: &Call,
        socket: &OwnedFd,
        path: &CString,
        address: &[u8],
    ) -> Result<(), Errno> {
        let place = self.resolver(call).place(libc::AT_FDCWD, path)?;
        if place.stat().is_ok() {
            return Err(Errno::ADDRINUSE);
        }
        self.check_place(&place)?;
        self.take_umask(call)?;
        self.bind_by_name(call, socket, &place, path, address)?;
        let made = place.stat()?;
        if FileType::from_raw_mode(made.st_mode) != FileType::Socket {
            return Err(Errno::ADDRINUSE);
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if self.session.sockets.len() < self.most_sockets {
            let held = rustix::fs::openat(&place.dir, &place.name, flags, rustix::fs::Mode::empty())?;
            self.session.sockets.insert(id_of(&made), held);
        }
        Ok(())
    }

    /// The kernel looks the name up anew, in this process. Where it must come to the same folder (all changes of names go
    /// through this thread), it gets the caller's own words, which getsockname(2) will repeat; else a path through our own
    /// descriptor of the folder.
    fn bind_by_name(
        &mut self,
        call: &Call,
        socket: &OwnedFd,
        place: &Place,
        path: &CString,
        address: &[u8],
    ) -> Result<(), Errno> {
        if let Some(base) = self.resolver(call).base_for(path, place)? {
            rustix::process::fchdir(&base)?;
            let result = sys::bind(socket.as_fd(), address);
            rustix::process::fchdir(&self.root)?;
            return result;
        }
        let own =
            [format!("/proc/self/fd/{}/", place.dir.as_raw_fd()).as_bytes(), place.bare_name()].concat();
        if own.len() >= MAX_PATH {
            return Err(Errno::NAMETOOLONG);
        }
        sys::bind(socket.as_fd(), &path_address(&own))
    }

    /// socketpair(AF_UNIX, SOCK_DGRAM): each end could send to any path, with calls whose address no filter sees. A pair of
    /// SOCK_SEQPACKET sockets keeps message boundaries and order, and sends to its peer only.
    fn datagram_pair(&mut self, call: &Call) -> Handled {
        let kind = call.int(1);
        let mut flags = SocketFlags::CLOEXEC;
        flags.set(SocketFlags::NONBLOCK, kind & libc::SOCK_NONBLOCK != 0);
        let (a, b) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let cloexec = kind & libc::SOCK_CLOEXEC != 0;
        let first = self.listener.give_fd(call.id, &a, cloexec)?;
        let second = self.listener.give_fd(call.id, &b, cloexec)?;
        let numbers = [first.to_ne_bytes(), second.to_ne_bytes()].concat();
        sys::process_vm_write(call.tid, call.args[3], &numbers)?;
        Ok(Answer::Value(0))
    }
}

fn unix_address(address: &[u8]) -> Result<UnixAddress, Errno> {
    let family = address.get(..SUN_PATH).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    match family.map(i32::from) {
        // AF_UNSPEC dissolves an association and names nothing.
        Some(libc::AF_UNIX) => {}
        Some(_) => return Err(Errno::INVAL),
        None => return Err(Errno::INVAL),
    }
    let name = &address[SUN_PATH..];
    match name.split_first() {
        None => Ok(UnixAddress::Unnamed),
        Some((0, rest)) => Ok(UnixAddress::Abstract(rest.to_vec())),
        Some(_) => {
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            CString::new(&name[..end]).map(UnixAddress::Path).map_err(|_| Errno::INVAL)
        }
    }
}

/// A `struct sockaddr_un` for a path.
fn path_address(path: &[u8]) -> Vec<u8> {
    let family = (libc::AF_UNIX as u16).to_ne_bytes();
    [&family[..], path, &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_as_unix_7_says() {
        let make = |name: &[u8]| [&(libc::AF_UNIX as u16).to_ne_bytes()[..], name].concat();
        assert!(matches!(unix_address(&make(b"")), Ok(UnixAddress::Unnamed)));
        assert!(matches!(unix_address(&make(b"\0x")), Ok(UnixAddress::Abstract(name)) if name == b"x"));
        for path in [&b"/a/b\0junk"[..], b"/a/b"] {
            assert!(
                matches!(unix_address(&make(path)), Ok(UnixAddress::Path(name)) if name.to_bytes() == b"/a/b")
            );
        }
        assert!(unix_address(&[1]).is_err());
        assert!(unix_address(&(libc::AF_INET as u16).to_ne_bytes()).is_err());
    }
}
