//! Reaching anybody outside by a socket.

pub(super) mod families;
pub(super) mod inet;
pub(super) mod unix;

use std::io;
use std::os::fd::OwnedFd;

use super::attempt::{Attempt, Group};
use super::call::{own, sys, words};
use super::scene::Scene;
use super::verdict::Tried;

const fn network(name: &'static str, what: &'static str, run: fn(&Scene) -> Tried) -> Attempt {
    Attempt::seen_outside(Group::Network, name, what, run)
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    sys!(libc::SYS_socket, family, kind | libc::SOCK_CLOEXEC, protocol).map(own)
}

/// `struct msghdr` for one buffer and, perhaps, an address; the caller keeps the parts alive for the call.
struct Message {
    header: Vec<u8>,
    _vector: Box<[u8]>,
}

impl Message {
    fn new(address: &[u8], data: &'static [u8]) -> Self {
        let vector = words(&[data.as_ptr() as u64, data.len() as u64]).into_boxed_slice();
        let name = if address.is_empty() { 0 } else { address.as_ptr() as u64 };
        let header = words(&[name, address.len() as u64, vector.as_ptr() as u64, 1, 0, 0, 0]);
        Self { header, _vector: vector }
    }

    /// sendmsg(2).
    fn send(&self, socket: &OwnedFd) -> io::Result<i64> {
        sys!(libc::SYS_sendmsg, socket, &self.header, 0)
    }

    /// sendmmsg(2) with one message.
    fn send_many(&self, socket: &OwnedFd) -> io::Result<i64> {
        let mut headers = self.header.clone();
        headers.extend([0; 8]);
        sys!(libc::SYS_sendmmsg, socket, &headers, 1, 0)
    }
}
